-- Raises an error about credentials again, without its message, which may quote a row.
create or replace function montoit.raise_without_values(state text, constraint_of text, table_of text)
returns void
language plpgsql
set search_path = ''
set plan_cache_mode = force_generic_plan
as $$
begin
    if state = 'MT006' then -- raised by store_credentials
        raise exception using
            errcode = state,
            message = format(
                'Les identifiants n''ont pas été enregistrés, rien n''a été modifié : le Vault a sous nos noms des secrets '
                'qui ne sont pas de nous, et d''une autre valeur (parmi %s). Renommez-les, ou donnez-leur la description '
                '« InTouch, montoit_db », pour que nous les tenions à jour.',
                (select string_agg(name, ', ' order by name) from vault.secrets
                 where name like 'intouch\_%' and description is distinct from 'InTouch, montoit_db')
            );
    end if;
    -- Only names that exist are shown: a trigger can raise an error with any text as the name.
    raise exception using
        errcode = state,
        message = format(
            'Les identifiants n''ont pas été enregistrés, rien n''a été modifié (SQLSTATE %s%s%s).', state,
            (select ', contrainte ' || max(conname) from pg_catalog.pg_constraint where conname = constraint_of),
            (select ', table ' || max(relname) from pg_catalog.pg_class where relname = table_of)
        );
end;
$$;
