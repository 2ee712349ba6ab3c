-- Raises an error about credentials again, without its message, which may quote a row.
create or replace function montoit.raise_without_values(state text, constraint_of text, table_of text)
returns void
language plpgsql
set search_path = ''
set plan_cache_mode = force_generic_plan
as $$
begin
    -- Only names that exist are shown: a trigger can raise an error with any text as the name.
    raise exception using
        errcode = state,
        message = format(
            'Les identifiants n''ont pas été enregistrés (SQLSTATE %s%s%s).', state,
            (select ', contrainte ' || max(conname) from pg_catalog.pg_constraint where conname = constraint_of),
            (select ', table ' || max(relname) from pg_catalog.pg_class where relname = table_of)
        );
end;
$$;
