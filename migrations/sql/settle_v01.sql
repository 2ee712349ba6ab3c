-- Puts tables that were just made in montoit where callers look for them. Where there is none of that name, ours moves
-- to public. Where there is one, it becomes ours: what it lacks is added, what it let others do is ended; no column of it
-- is dropped or renamed, and each step is noted with the one that undoes it.
create or replace function montoit.settle(variadic names text[])
returns void
language plpgsql
set search_path = ''
as $$
declare
    name text;
    wanted regclass;
    existing regclass;
    is_log boolean; -- may have millions of rows
    violated boolean;
    unmet text[] := '{}'; -- constraints that some of their rows do not meet
    part record;
begin
    -- What reads rows comes first, while nobody waits for us.
    foreach name in array names loop
        wanted := format('montoit.%I', name)::regclass;
        existing := to_regclass(format('public.%I', name));
        for part in
            select ours.conname, pg_get_expr(ours.conbin, ours.conrelid) as condition
            from pg_catalog.pg_constraint as ours
            where ours.conrelid = wanted and ours.contype = 'c' and existing is not null
              and not exists (
                  select from pg_catalog.pg_constraint as theirs
                  where theirs.conrelid = existing and theirs.conname = ours.conname
                    and pg_get_constraintdef(theirs.oid) = pg_get_constraintdef(ours.oid)
              )
              -- A column that is yet to be added breaks nothing.
              and not exists (
                  select from pg_catalog.pg_attribute as attribute
                  where attribute.attrelid = wanted and attribute.attnum = any (ours.conkey) and not exists (
                      select from pg_catalog.pg_attribute as theirs
                      where theirs.attrelid = existing and theirs.attname = attribute.attname
                        and not theirs.attisdropped
                  )
              )
        loop
            execute format('select exists (select from %s where not (%s))', existing, part.condition) into violated;
            if violated then
                unmet := unmet || part.conname::text;
            end if;
        end loop;
    end loop;

    foreach name in array names loop
        wanted := format('montoit.%I', name)::regclass;
        existing := to_regclass(format('public.%I', name));
        is_log := name like '%\_logs';
        -- Functions of theirs may be there without the table.
        for part in
            -- include legacy_access
        loop
            continue when part.table_name <> name;
            perform montoit.adopt(name, part.object, part.ends, part.restores, part.told);
        end loop;
        if existing is null then
            delete from montoit.adopted_tables where table_name = name;
            execute format('alter table %s set schema public', wanted);
            continue;
        end if;
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

        if obj_description(wanted, 'pg_class') is distinct from obj_description(existing, 'pg_class') then
            perform montoit.adopt(
                name, 'comment',
                format('comment on table %s is %L', existing, obj_description(wanted, 'pg_class')),
                format('comment on table %s is %L', existing, obj_description(existing, 'pg_class'))
            );
        end if;
        for part in
            select
                ours.attname as column_name, format_type(ours.atttypid, ours.atttypmod) as type,
                pg_get_expr(our_default.adbin, our_default.adrelid) as default_value, ours.attnotnull as not_null,
                col_description(wanted, ours.attnum) as comment,
                theirs.attnum is null as is_missing, coalesce(theirs.atthasdef, false) as has_default,
                coalesce(theirs.attnotnull, false) as is_not_null, col_description(existing, theirs.attnum) as their_comment
            from pg_catalog.pg_attribute as ours
            left join pg_catalog.pg_attrdef as our_default
                on our_default.adrelid = wanted and our_default.adnum = ours.attnum
            left join pg_catalog.pg_attribute as theirs
                on theirs.attrelid = existing and theirs.attname = ours.attname and not theirs.attisdropped
            where ours.attrelid = wanted and ours.attnum > 0 and not ours.attisdropped
            order by ours.attnum
        loop
            if part.is_missing then
                -- Without a default it may be null: callers who do not know the column go on.
                perform montoit.adopt(
                    name, format('column %I', part.column_name),
                    format('alter table %s add column %I %s%s%s', existing, part.column_name, part.type,
                           ' default ' || part.default_value,
                           case when part.not_null and part.default_value is not null then ' not null' end),
                    format('alter table %s drop column if exists %I', existing, part.column_name),
                    format('colonne %s ajoutée', part.column_name)
                );
            else
                if part.default_value is not null and not part.has_default then
                    perform montoit.adopt(
                        name, format('default of %I', part.column_name),
                        format('alter table %s alter %I set default %s', existing, part.column_name, part.default_value),
                        format('alter table %s alter %I drop default', existing, part.column_name)
                    );
                end if;
                if part.not_null and not part.is_not_null and not is_log then
                    -- A flag's null would be neither on nor off.
                    if name = 'feature_flags' and part.default_value not like 'now%' then
                        perform montoit.fill_nulls(existing, part.column_name, part.default_value);
                    end if;
                    execute format('select exists (select from %s where %I is null)', existing, part.column_name)
                        into violated;
                    if not violated then
                        perform montoit.adopt(
                            name, format('not null of %I', part.column_name),
                            format('alter table %s alter %I set not null', existing, part.column_name),
                            format('alter table %s alter %I drop not null', existing, part.column_name)
                        );
                    end if;
                end if;
            end if;
            if part.comment is distinct from part.their_comment then
                perform montoit.adopt(
                    name, format('comment on %I', part.column_name),
                    format('comment on column %s.%I is %L', existing, part.column_name, part.comment),
                    case when part.is_missing then 'select' else
                        format('comment on column %s.%I is %L', existing, part.column_name, part.their_comment) end
                );
            end if;
        end loop;

        for part in
            select ours.conname, ours.contype, pg_get_constraintdef(ours.oid) as definition,
                   pg_get_constraintdef(theirs.oid) as their_definition
            from pg_catalog.pg_constraint as ours
            left join pg_catalog.pg_constraint as theirs
                on theirs.conrelid = existing and theirs.conname = ours.conname
            where ours.conrelid = wanted and ours.contype in ('c', 'f', 'u')
              and pg_get_constraintdef(theirs.oid) is distinct from pg_get_constraintdef(ours.oid)
              -- An index of another name may keep the same columns unique.
              and not (ours.contype = 'u' and exists (
                  select from pg_catalog.pg_index as theirs
                  where theirs.indrelid = existing and theirs.indisunique and theirs.indpred is null
                    and array(select pg_get_indexdef(theirs.indexrelid, position, false)
                              from generate_series(1, theirs.indnkeyatts) as position)
                      = array(select quote_ident(attname) from unnest(ours.conkey) with ordinality as key (number, position)
                              join pg_catalog.pg_attribute on attrelid = wanted and attnum = key.number
                              order by key.position)
              ))
        loop
            if part.conname = any (unmet) then
                insert into montoit.adoption_steps (table_name, object, undo, told)
                values (name, format('constraint %I', part.conname), 'select',
                        format('contrainte %s non ajoutée : des lignes ne la respectent pas', part.conname));
                continue;
            end if;
            if part.their_definition is not null then
                perform montoit.adopt(
                    name, format('constraint %I', part.conname),
                    format('alter table %s drop constraint %I', existing, part.conname),
                    format('alter table %s add constraint %I %s', existing, part.conname, part.their_definition),
                    format('contrainte %s élargie', part.conname)
                );
            end if;
            begin
                perform montoit.adopt(
                    name, format('constraint %I', part.conname),
                    format('alter table %s add constraint %I %s%s', existing, part.conname, part.definition,
                           case when is_log then ' not valid' end), -- validated by 0005, while others write
                    format('alter table %s drop constraint if exists %I', existing, part.conname),
                    case when part.their_definition is null then format('contrainte %s ajoutée', part.conname) end
                );
            exception
                when foreign_key_violation then
                    insert into montoit.adoption_steps (table_name, object, undo, told)
                    values (name, format('constraint %I', part.conname), 'select',
                            format('contrainte %s non ajoutée : des lignes ne la respectent pas', part.conname));
            end;
        end loop;

        for part in
            select indexrelid::regclass::text as index_name, pg_get_indexdef(indexrelid) as definition
            from pg_catalog.pg_index
            where indrelid = wanted and not exists (
                select from pg_catalog.pg_constraint where conindid = indexrelid
            )
        loop
            part.index_name := split_part(part.index_name, '.', 2);
            continue when to_regclass(format('public.%I', part.index_name)) is not null;
            perform montoit.adopt(
                name, format('index %I', part.index_name),
                replace(part.definition, ' ON montoit.', ' ON public.'),
                format('drop index if exists public.%I', part.index_name)
            );
        end loop;
        execute format('drop table %s', wanted);
    end loop;
end;
$$;
