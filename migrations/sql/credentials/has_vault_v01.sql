-- Whether the database has Supabase's Vault: the extension, in its own schema, and not just a schema of this name. The
-- schema's owner could put functions of his own before the extension's, and so he has to be trusted.
create or replace function montoit.has_vault()
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
    return exists (
        select from pg_catalog.pg_extension
        join pg_catalog.pg_namespace on pg_namespace.oid = extnamespace
        join pg_catalog.pg_roles on pg_roles.oid = nspowner
        where extname = 'supabase_vault' and nspname = 'vault' and (
            rolsuper
            or nspowner = extowner
            or nspowner = (select datdba from pg_catalog.pg_database where datname = current_database())
        )
    );
end;
$$;
