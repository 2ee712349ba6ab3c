-- What the logs still lack, as statements; `is_large`: each has to run alone, since an index of a large table is built
-- concurrently. An index that an interruption left INVALID is dropped first.
create or replace function montoit.unfinished_logs()
returns table (step integer, table_name text, statement text, is_large boolean)
language plpgsql
stable
set search_path = ''
as $$
#variable_conflict use_column
begin
    return query
    select step, table_name, statement, is_large
    from (
        with wanted as (
            select
                table_name, format('idx_%s_%s', table_name, column_name) as index_name, column_name,
                format('public.%I', table_name)::regclass as relation
            from unnest(array['payment_logs', 'sms_logs', 'whatsapp_logs']) as table_name
            cross join unnest(array['created_at', 'user_id']) as column_name
        ),
        found as (
            select
                wanted.*, indexrelid is not null as exists, coalesce(indisvalid, false) as is_valid,
                pg_relation_size(relation) > 8 * 1024 * 1024 as is_large -- some 40,000 rows, read in a few milliseconds
            from wanted
            left join pg_catalog.pg_index
                on indrelid = relation and indexrelid = to_regclass(format('public.%I', index_name))
        )
        select
            2 as step, table_name, is_large,
            format('drop index %s public.%I;', case when is_large then 'concurrently' else '' end, index_name) as statement
        from found where exists and not is_valid
        union all
        select
            3, table_name, is_large,
            format(
                'create index %s %I on public.%I (%I);',
                case when is_large then 'concurrently' else '' end, index_name, table_name, column_name
            )
        from found where not is_valid
        union all
        select distinct
            1, found.table_name, is_large,
            format('alter table public.%I validate constraint %I;', found.table_name, conname)
        from found
        join pg_catalog.pg_constraint on conrelid = relation and contype = 'c' and not convalidated
        where not exists (
            select from montoit.adopted_tables as adopted
            where adopted.table_name = found.table_name and conname = any (adopted.constraints)
        )
    ) as unfinished;
end;
$$;
