-- What only an adopted api_keys needs: triggers that fill in the columns of the platform's that may not be null, and the
-- right to the columns that its admin page writes.
do $$
begin
    if not exists (select from montoit.adopted_tables where table_name = 'api_keys') then
        return;
    end if;
    update montoit.adopted_tables set own_rows = 'key_name is not null' where table_name = 'api_keys';
    create trigger keep_credential_insert before insert on public.api_keys
        for each row when (new.key_name is not null) execute function montoit.keep_credential();
    create trigger keep_credential_update before update of environment on public.api_keys
        for each row when (old.key_name is not null) execute function montoit.keep_credential();
    grant update (keys, environment, updated_at) on table public.api_keys to authenticated;
end;
$$;
