-- Whether a relation of the platform's in `public` may be read with the rights of the current user: it is a plain table, and
-- its owner is this user, the database's owner, or a superuser. A view, or the row security policy of somebody else's table,
-- would run its owner's code with these rights. The usual answer comes first: a flag check asks this.
create or replace function montoit.is_trusted_table(table_name text)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
declare
    owner oid;
begin
    select relowner into owner
    from pg_catalog.pg_class
    where relname = table_name and relnamespace = 'public'::regnamespace and relkind in ('r', 'p');
    if not found then
        return false;
    elsif pg_get_userbyid(owner) = current_user then
        return true;
    end if;
    return exists (select from pg_catalog.pg_database where datname = current_database() and datdba = owner)
        or exists (select from pg_catalog.pg_roles where oid = owner and rolsuper);
end;
$$;
