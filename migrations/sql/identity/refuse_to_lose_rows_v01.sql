-- Raises MT001 while a table of the package's holds a row that is not an unmodified seed; names each table and its count.
-- Looks for a single row first, and counts only to refuse. A table that is missing, or whose revision is not applied, holds
-- nothing of the package's; of an adopted table only the rows that the package wrote would be lost.
create or replace function montoit.refuse_to_lose_rows()
returns void
language plpgsql
set search_path = ''
set row_security = off -- rows that the migration role may not see are an error, not an absence
as $$
<<refuse>>
declare
    table_name text;
    rows_of text;
    own_rows text;
    found boolean;
    total bigint;
    losses text[] := '{}';
begin
    foreach table_name in array array[
        'public.feature_flags', 'public.feature_flag_history', 'public.feature_flag_overrides', 'public.api_keys',
        'public.payment_logs', 'public.sms_logs', 'public.whatsapp_logs', 'montoit.administrators', 'montoit.trail'
    ] loop
        -- The table's revision is applied if an object that it creates is there.
        continue when to_regclass(table_name) is null or case
            when table_name like '%.feature_flag%' then to_regclass('montoit.feature_flag_seed')::text
            when table_name = 'public.api_keys' then to_regclass('montoit.given_credentials')::text
            when table_name like '%\_logs' then to_regproc('montoit.unfinished_logs')::text
            else table_name
        end is null;
        own_rows := 'true';
        if to_regclass('montoit.adopted_tables') is not null then
            own_rows := coalesce(
                (select a.own_rows from montoit.adopted_tables as a where 'public.' || a.table_name = refuse.table_name),
                'true'
            );
        end if;
        continue when own_rows = 'false';
        rows_of := format('from %s as t where (%s)', table_name, own_rows);
        if table_name = 'public.feature_flag_history' then
            -- The adoption's own change of a share is no loss.
            rows_of := rows_of || ' and reason is distinct from ''montoit_db: adoption''';
        elsif table_name = 'public.feature_flags' then
            rows_of := rows_of || ' and not exists (
                select from montoit.feature_flag_seed as s
                where to_jsonb(t) - ''{id, created_at, updated_at}''::text[] = to_jsonb(s) || ''{
                    "description": null, "allowed_roles": [], "metadata": {}, "created_by": null, "updated_by": null
                }''
            )';
        end if;
        execute 'select exists (select ' || rows_of || ')' into found;
        if found then
            execute 'select count(*) ' || rows_of into total;
            losses := losses || format('  %s : %s ligne%s', replace(table_name, 'public.', ''), total, case when total > 1 then 's' end);
        end if;
    end loop;
    if losses <> '{}' then
        raise exception using
            errcode = 'MT001',
            message = array_to_string(losses, e'\n'),
            hint = 'alembic -x allow-data-loss=yes downgrade …';
    end if;
end;
$$;
