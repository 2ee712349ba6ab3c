-- Upserts InTouch's credentials from pg_temp.intouch_credentials (key_name, value_hex, metadata) into the rows
-- of one environment, and deactivates the other environment's.
--
-- Values come through a temporary table, which no log and no statistic shows. Whatever fails, an operator's own
-- constraint or trigger included, is raised again without the message, which may quote the row.
create or replace function montoit.store_credentials(target_environment text, target_endpoint text)
returns void
language plpgsql
set search_path = ''
as $$
declare
    state text;
    constraint_of text;
    table_of text;
begin
    insert into public.api_keys as stored
        (service_name, key_name, key_value, endpoint, environment, is_active, metadata)
    select
        'intouch', given.key_name, convert_from(decode(given.value_hex, 'hex'), 'UTF8'), target_endpoint,
        target_environment, true, given.metadata
    from pg_temp.intouch_credentials as given
    on conflict (service_name, key_name, environment) do update set
        key_value = excluded.key_value,
        endpoint = excluded.endpoint,
        is_active = true,
        metadata = stored.metadata || excluded.metadata;

    update public.api_keys set is_active = false
    where service_name = 'intouch' and environment <> target_environment and is_active;
exception
    when others then
        get stacked diagnostics
            state = returned_sqlstate, constraint_of = constraint_name, table_of = table_name;
        raise exception using
            errcode = state,
            message = format(
                'Les identifiants n''ont pas été enregistrés (SQLSTATE %s%s%s).', state,
                coalesce(', contrainte ' || nullif(constraint_of, ''), ''),
                coalesce(', table ' || nullif(table_of, ''), '')
            );
end;
$$;
