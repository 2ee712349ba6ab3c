-- What to say of an error about credentials instead of its message, which may quote a row.
create or replace function montoit.message_without_values(state text, constraint_of text, table_of text)
returns text
language plpgsql
stable
set search_path = ''
as $$
declare
    known record;
    shown text := '';
begin
    if state = 'MT006' and montoit.has_vault() then -- raised by store_credentials
        return format(
            'Les identifiants n''ont pas été enregistrés, rien n''a été modifié : le Vault a sous nos noms des secrets '
            'qui ne sont pas de nous, et d''une autre valeur (parmi %s). Renommez-les, ou donnez-leur la description '
            '« InTouch, montoit_db », pour que nous les tenions à jour.',
            (select string_agg(name, ', ' order by name) from vault.secrets
             where name like 'intouch\_%' and description is distinct from 'InTouch, montoit_db')
        );
    end if;
    -- Only names that exist are shown: a trigger can raise an error with any text as the name. The names are compared here
    -- and not by the query, since a query's parameters can be logged.
    for known in
        select 'contrainte' as kind, conname::text as name from pg_catalog.pg_constraint
        union
        select 'table', relname::text from pg_catalog.pg_class
        order by kind, name
    loop
        if known.name = (case known.kind when 'table' then table_of else constraint_of end) then
            shown := shown || format(', %s %s', known.kind, known.name);
        end if;
    end loop;
    return format(
        'Les identifiants n''ont pas été enregistrés (SQLSTATE %s%s).', state, shown
    );
end;
$$;
