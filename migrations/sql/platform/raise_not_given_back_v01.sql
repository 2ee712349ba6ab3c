-- Says which table cannot be given back, what stopped it, and what to do. The message of an error of class 42 names
-- objects, never values; any other error of api_keys may quote a row, and is reported without its message.
create or replace function montoit.raise_not_given_back(table_name text, object text, state text, reason text)
returns void
language plpgsql
set search_path = ''
as $$
begin
    raise exception using
        errcode = state, -- the same code, so that a deployment retries after a lock that it could not get
        message = format('%s n''a pas pu être rendue (%s)%s', table_name, object, case
            when table_name <> 'api_keys' or state like '42%' then ' : ' || reason else '.'
        end),
        hint = case
            when state = '42703' then 'Recréez cette colonne (alter table … add column), puis relancez la même commande.'
            when state = '42704' then 'Recréez ce rôle ou cet objet (create role … nologin), puis relancez la même commande.'
            when state = '42501' then format('Donnez ce droit à %s, puis relancez la même commande.', current_user)
            when state like '42%' then 'Recréez ce qui manque, puis relancez la même commande.'
            when state like '23%' then 'Corrigez ou supprimez les lignes en cause, puis relancez la même commande.'
            else 'Retirez ce qui l''empêche (un déclencheur, par exemple), puis relancez la même commande.'
        end;
end;
$$;
