-- The look of each revision at the tables that it is about to take for adopted ones, or to create: one that came since would
-- be taken in silence. Comments of adopted tables are noted, since ours are written over them.
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

    -- A table that was dropped since it was adopted is made anew, and is ours.
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
