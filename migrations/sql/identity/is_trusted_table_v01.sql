-- Whether a relation of the platform's in `public` may be read with the rights of the current user: it is a plain table, and
-- its owner is this user, a superuser, or the database's owner. A view, or the row security policy of somebody else's table,
-- would run its owner's code with these rights.
create or replace function montoit.is_trusted_table(table_name text)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
    return exists (
        select from pg_catalog.pg_class
        join pg_catalog.pg_roles on pg_roles.oid = relowner
        where relnamespace = 'public'::regnamespace and relname = table_name and relkind in ('r', 'p') and (
            rolsuper
            or rolname = current_user
            or relowner = (select datdba from pg_catalog.pg_database where datname = current_database())
        )
    );
end;
$$;
