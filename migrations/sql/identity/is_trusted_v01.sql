-- Whether a database role may ask for everybody: the service role, the owner of our tables, a superuser.
create or replace function montoit.is_trusted(role_name text)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
    return role_name = 'service_role' or exists (
        select from pg_catalog.pg_roles
        where rolname = role_name and (
            rolsuper
            or oid = (select relowner from pg_catalog.pg_class where oid = 'montoit.administrators'::regclass)
        )
    );
end;
$$;
