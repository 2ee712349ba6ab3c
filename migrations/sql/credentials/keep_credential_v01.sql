-- Trigger of an adopted api_keys: a credential of ours gets what the table asks for of every row, and stays in its
-- environment, which administrators may change for the platform's own rows.
create or replace function montoit.keep_credential()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
    if tg_op = 'INSERT' then
        new.keys := coalesce(new.keys, '{}');
        new.display_name := coalesce(new.display_name, new.service_name || ' : ' || new.key_name);
    elsif new.environment is distinct from old.environment then
        raise exception using
            errcode = 'insufficient_privilege',
            message = 'a credential stays in its environment';
    end if;
    return new;
end;
$$;
