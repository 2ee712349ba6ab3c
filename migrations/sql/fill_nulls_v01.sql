-- Gives the rows of an adopted table that have no value in a column the column's default, until they are given back.
create or replace function montoit.fill_nulls(target regclass, target_column name, default_value text)
returns void
language plpgsql
set search_path = ''
as $$
declare
    ids uuid[];
begin
    execute format('select array_agg(id) from %s where %I is null', target, target_column) into ids;
    if ids is not null then
        perform montoit.adopt(
            (select relname::text from pg_catalog.pg_class where oid = target), format('nulls of %I', target_column),
            format('update %1$s set %2$I = %3$s where %2$I is null', target, target_column, default_value),
            format('update %1$s set %2$I = null where id = any (%3$L) and %2$I = %4$s', target, target_column, ids, default_value),
            format('%s lignes sans %s : %s', cardinality(ids), target_column, default_value)
        );
    end if;
end;
$$;
