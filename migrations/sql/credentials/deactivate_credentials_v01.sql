-- Deactivates every credential of InTouch; values stay. Fails without quoting a row, as store_credentials does.
create or replace function montoit.deactivate_credentials()
returns void
language plpgsql
set search_path = ''
as $$
declare
    state text;
    constraint_of text;
    table_of text;
begin
    update public.api_keys set is_active = false where service_name = 'intouch' and key_name is not null and is_active;
    set constraints all immediate;
exception
    when others then
        get stacked diagnostics
            state = returned_sqlstate, constraint_of = constraint_name, table_of = table_name;
        perform montoit.raise_without_values(state, constraint_of, table_of);
end;
$$;
