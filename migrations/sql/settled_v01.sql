-- Notes for adopted tables what is ours on them once a revision is through: rows, triggers, policies, grants. These go
-- first when the tables are given back.
create or replace function montoit.settled(variadic names text[])
returns void
language plpgsql
set search_path = ''
as $$
begin
    insert into montoit.adoption_steps (table_name, object, undo)
    select table_name, object, undo
    from (
        select 1 as step, table_name, 'rows of ours' as object,
            format('delete from public.%I where %s', table_name, own_rows) as undo
        from montoit.adopted_tables
        union all
        select 2, relname::text, format('trigger %I', tgname),
            format('drop trigger if exists %I on public.%I', tgname, relname)
        from pg_catalog.pg_trigger
        join pg_catalog.pg_class on pg_class.oid = tgrelid
        join pg_catalog.pg_proc on pg_proc.oid = tgfoid
        where not tgisinternal and relnamespace = 'public'::regnamespace and pronamespace = 'montoit'::regnamespace
        union all
        select 2, tablename::text, format('policy %I', policyname),
            format('drop policy if exists %I on public.%I', policyname, tablename)
        from pg_catalog.pg_policies where schemaname = 'public'
        union all
        select 2, table_name, 'grants',
            format('revoke all on table public.%I from public, anon, authenticated, service_role', table_name)
        from montoit.adopted_tables
    ) as ours
    join montoit.adopted_tables as adopted using (table_name)
    where table_name = any (names)
    order by step, table_name, object;
end;
$$;
