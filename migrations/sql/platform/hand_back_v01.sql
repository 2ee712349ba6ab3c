-- Drops a table that the package created. An adopted table is given back: what its revision put on it goes (rows, triggers,
-- policies, grants, functions, comments), and what that replaced returns. The adoption's downgrade takes back columns and
-- constraints.
create or replace function montoit.hand_back(name text, variadic functions regprocedure[] default '{}')
returns void
language plpgsql
set search_path = ''
set row_security = off -- rows that the migration role may not see are an error, not an absence
as $$
declare
    function regprocedure;
    own_rows text;
    part record;
    pointing bigint;
    state text;
    reason text;
begin
    set constraints all immediate; -- a table with pending events cannot be altered
    foreach function in array functions loop
        if not exists (
            select from montoit.adoption_steps
            where table_name = name and object = format('function %s', (
                select format('%I.%I(%s)', 'public', proname, pg_get_function_identity_arguments(oid))
                from pg_catalog.pg_proc where oid = function
            ))
        ) then
            execute format('drop function %s', function);
        end if;
    end loop;

    select adopted.own_rows into own_rows from montoit.adopted_tables as adopted where table_name = name;
    if own_rows is null then
        execute format('drop table public.%I', name);
        perform montoit.undo('access', name);
        return;
    end if;
    -- A foreign key of another table to one of the rows that go would delete that table's row, or stop the deletion.
    for part in
        select conrelid::regclass as relation, theirs.attname as column_name, ours.attname as our_column
        from pg_catalog.pg_constraint
        join pg_catalog.pg_attribute as theirs on theirs.attrelid = conrelid and theirs.attnum = conkey[1]
        join pg_catalog.pg_attribute as ours on ours.attrelid = confrelid and ours.attnum = confkey[1]
        where contype = 'f' and confrelid = format('public.%I', name)::regclass and conrelid <> confrelid
          and cardinality(conkey) = 1
    loop
        execute format(
            'select count(*) from %s where %I in (select %I from public.%I where %s)',
            part.relation, part.column_name, part.our_column, name, own_rows
        ) into pointing;
        if pointing > 0 then
            raise exception using
                errcode = 'MT005',
                message = format(
                    '%s ne peut pas être rendue : %s (%s sur %s)', name,
                    case when pointing = 1 then 'une ligne d''une autre table pointe vers une ligne à nous'
                        else pointing || ' lignes d''une autre table pointent vers des lignes à nous' end,
                    part.column_name, part.relation
                ),
                hint = format(
                    'Faites-les pointer ailleurs, ou supprimez-les, puis relancez la même commande. Pour les voir : '
                    'select * from %s where %I in (select %I from public.%I where %s);',
                    part.relation, part.column_name, part.our_column, name, own_rows
                );
        end if;
    end loop;

    begin
        for part in
            select 'grants' as object, 0 as position,
                format('revoke all on table public.%I from public, anon, authenticated, service_role', name) as statement
            union all
            select format('trigger %I', tgname), 1, format('drop trigger %I on public.%I', tgname, name)
            from pg_catalog.pg_trigger
            join pg_catalog.pg_proc on pg_proc.oid = tgfoid
            where tgrelid = format('public.%I', name)::regclass and not tgisinternal
              and pronamespace = 'montoit'::regnamespace
            union all
            select format('policy %I', policyname), 1, format('drop policy %I on public.%I', policyname, name)
            from pg_catalog.pg_policies
            where schemaname = 'public' and tablename = name and policyname in (
                'signed-in users read', 'users read their own', 'administrators read', 'administrators insert',
                'administrators update', 'administrators delete', 'administrators switch', 'the service does all',
                'the service reads', 'values are for the service'
            )
            union all
            select 'index', 1, 'drop index if exists public.idx_feature_flag_history_feature_flag_id_changed_at'
            from montoit.adopted_tables
            where table_name = name and name = 'feature_flag_history'
              and 'idx_feature_flag_history_feature_flag_id_changed_at' <> all (indexes)
            union all
            select 'comments', 1, format('comment on table public.%I is null', name)
            union all
            select 'comments', 1, format('comment on column public.%I.%I is null', name, attname)
            from pg_catalog.pg_attribute
            where attrelid = format('public.%I', name)::regclass and attnum > 0 and not attisdropped
              and col_description(attrelid, attnum) is not null
            union all
            select 'rows of ours', 2, format('delete from public.%I where %s', name, own_rows)
            order by position, object
        loop
            execute part.statement;
        end loop;
    exception
        when others then
            get stacked diagnostics state = returned_sqlstate, reason = message_text;
            perform montoit.raise_not_given_back(name, part.object, state, reason);
    end;
    perform montoit.undo('access', name);
    update montoit.adopted_tables set own_rows = 'false' where table_name = name; -- the rows that are left are the platform's
end;
$$;
