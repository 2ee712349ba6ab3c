-- Puts tables that were just made in montoit where callers look for them. Where there is none of that name, ours moves
-- to public. Where there is one, it becomes ours: what it lacks is added, what it let others do is ended; no column of it
-- is dropped or renamed, and each step is noted with the one that undoes it.
create or replace function montoit.settle(variadic names text[])
returns void
language plpgsql
set search_path = ''
set row_security = off -- rows that the migration role may not see are an error, not an absence
as $$
declare
    name text;
    existing regclass;
    plan jsonb;
    part record;
    violated boolean;
begin
    set constraints all immediate; -- a table with pending events cannot be altered
    select jsonb_agg(to_jsonb(steps) order by table_position, step, position) into plan
    from (
        -- include adoption_plan
    ) as steps;
    foreach name in array names loop
        if to_regclass(format('public.%I', name)) is null then
            delete from montoit.adopted_tables where table_name = name;
            execute format('alter table montoit.%I set schema public', name);
        end if;
    end loop;

    -- What reads rows comes before the first lock, too.
    for part in select ordinality, value from jsonb_array_elements(plan) with ordinality where value ->> 'unless' is not null loop
        execute part.value ->> 'unless' into violated;
        if violated then
            plan := jsonb_set(plan, array[(part.ordinality - 1)::text], part.value || jsonb_build_object(
                'redo', null, 'undo', 'select', 'told', case when part.value ->> 'object' like 'constraint %' then
                    format('contrainte %s non ajoutée : des lignes ne la respectent pas', substr(part.value ->> 'object', 12))
                end
            ));
        end if;
    end loop;

    foreach name in array names loop
        continue when to_regclass(format('montoit.%I', name)) is null;
        existing := format('public.%I', name)::regclass;
        insert into montoit.adopted_tables (table_name, columns, indexes, constraints)
        values (
            name,
            array(select attname::text from pg_catalog.pg_attribute
                  where attrelid = existing and attnum > 0 and not attisdropped),
            array(select relname::text from pg_catalog.pg_class
                  join pg_catalog.pg_index on indexrelid = pg_class.oid where indrelid = existing),
            array(select conname::text from pg_catalog.pg_constraint where conrelid = existing)
        )
        on conflict (table_name) do update set
            columns = excluded.columns, indexes = excluded.indexes, constraints = excluded.constraints;
    end loop;

    for part in
        select step.*
        from jsonb_array_elements(plan) with ordinality as steps (value, ordinal)
        cross join jsonb_to_record(value) as step (table_name text, object text, redo text, undo text, told text)
        order by ordinal
    loop
        if part.undo is null then
            execute part.redo; -- notes what it does itself
        else
            perform montoit.adopt(part.table_name, part.object, coalesce(part.redo, 'select'), part.undo, part.told);
        end if;
    end loop;

    -- A table of ours that is there to stay may refer to one that was only the model of theirs.
    for part in
        select conname, conrelid::regclass as relation, pg_get_constraintdef(pg_constraint.oid) as definition
        from pg_catalog.pg_constraint
        join pg_catalog.pg_class on pg_class.oid = confrelid
        where contype = 'f' and connamespace = 'public'::regnamespace and relnamespace = 'montoit'::regnamespace
    loop
        execute format('alter table %s drop constraint %I', part.relation, part.conname);
        execute format('alter table %s add constraint %I %s', part.relation, part.conname,
                       replace(part.definition, ' montoit.', ' public.'));
    end loop;
    -- The last ones first: they refer to those before them.
    foreach name in array array(select one from unnest(names) as one order by array_position(names, one) desc) loop
        execute format('drop table if exists montoit.%I', name);
    end loop;
end;
$$;
