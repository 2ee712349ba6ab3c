-- Trigger of an adopted api_keys, for rows with a key_name: fills in the platform's columns that may not be null, and
-- keeps the environment, which administrators may change on the platform's own rows.
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
