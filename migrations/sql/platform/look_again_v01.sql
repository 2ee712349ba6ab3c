-- Called by each revision before it creates tables: refuses a table that has appeared since the adoption, which `create
-- table if not exists` would take in silence. Notes the comments of adopted tables, which the revision replaces.
create or replace function montoit.look_again(variadic names text[])
returns void
language plpgsql
set search_path = ''
as $$
declare
    adopted constant text[] := array(select table_name from montoit.adopted_tables);
    is_later constant boolean := true;
    told text;
begin
    -- include platform/refuse_tables

    -- A table that was adopted and then dropped is created again, and no longer counts as adopted.
    delete from montoit.adoption_steps where stage = 'tables' and to_regclass(format('public.%I', table_name)) is null;
    delete from montoit.adopted_tables where to_regclass(format('public.%I', table_name)) is null;

    insert into montoit.adoption_steps (stage, table_name, object, undo)
    select 'access', table_name, 'comments', string_agg(statement, '; ')
    from (
        select table_name, attnum, case
            when attnum is null then format('comment on table public.%I is %L', table_name, description)
            else format('comment on column public.%I.%I is %L', table_name, attname, description) end as statement
        from montoit.adopted_tables
        join pg_catalog.pg_description
            on objoid = to_regclass(format('public.%I', table_name)) and classoid = 'pg_catalog.pg_class'::regclass
        left join pg_catalog.pg_attribute on attrelid = objoid and attnum = objsubid and objsubid > 0
        where table_name = any (names) and not coalesce(attisdropped, false)
    ) as described
    group by table_name;
end;
$$;
