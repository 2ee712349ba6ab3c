-- What turns the existing tables among `names` into ours, step by step: ours lie in montoit, theirs in public. A step whose
-- `unless` finds something is left out. Only the catalog is read here, before the first lock that others would wait for.
select
    array_position(names, table_name) as table_position, step, position, table_name, object, redo, undo, told, unless
from (
    with tables as (
        select
            one as table_name, format('montoit.%I', one)::regclass as ours, to_regclass(format('public.%I', one)) as theirs,
            one like '%\_logs' as is_log -- may have millions of rows
        from unnest(names) as one
    ),
    columns as (
        select
            tables.*, ours_of.attnum as position, ours_of.attname as column_name,
            format_type(ours_of.atttypid, ours_of.atttypmod) as type,
            pg_get_expr(adbin, adrelid) as default_value, ours_of.attnotnull as not_null,
            col_description(ours, ours_of.attnum) as comment,
            theirs_of.attnum is null as is_missing, coalesce(theirs_of.atthasdef, false) as has_default,
            coalesce(theirs_of.attnotnull, false) as is_not_null, col_description(theirs, theirs_of.attnum) as their_comment
        from tables
        join pg_catalog.pg_attribute as ours_of on ours_of.attrelid = ours and ours_of.attnum > 0 and not ours_of.attisdropped
        left join pg_catalog.pg_attrdef on adrelid = ours and adnum = ours_of.attnum
        left join pg_catalog.pg_attribute as theirs_of
            on theirs_of.attrelid = theirs and theirs_of.attname = ours_of.attname and not theirs_of.attisdropped
        where theirs is not null
    ),
    constraints as (
        select
            tables.*, ours_of.conname, ours_of.contype, ours_of.conkey, ours_of.confkey, ours_of.confrelid,
            pg_get_expr(ours_of.conbin, ours) as condition,
            replace(pg_get_constraintdef(ours_of.oid), ' montoit.', ' public.') as definition,
            pg_get_constraintdef(theirs_of.oid) as their_definition,
            -- A constraint on a column that is yet to be added is met by every row.
            not exists (
                select from columns
                where columns.table_name = tables.table_name and position = any (ours_of.conkey) and is_missing
            ) as may_be_violated
        from tables
        join pg_catalog.pg_constraint as ours_of on ours_of.conrelid = ours and ours_of.contype in ('c', 'f', 'u')
        left join pg_catalog.pg_constraint as theirs_of
            on theirs_of.conrelid = theirs and theirs_of.conname = ours_of.conname
        where theirs is not null
          -- An index of another name may keep the same columns unique.
          and not (ours_of.contype = 'u' and exists (
              select from pg_catalog.pg_index
              where indrelid = theirs and indisunique and indpred is null
                and array(select pg_get_indexdef(indexrelid, number, false)
                          from generate_series(1, indnkeyatts) as number)
                  = array(select quote_ident(attname)
                          from unnest(ours_of.conkey) with ordinality as key (number, ordinal)
                          join pg_catalog.pg_attribute on attrelid = ours and attnum = key.number
                          order by ordinal)
          ))
    )
    select 1 as step, row_number() over () as position, table_name, object, ends as redo, restores as undo, told, null as unless
    from (
        -- include legacy_access
    ) as access
    where table_name = any (names)
    union all
    select 2, 0, table_name, 'comment',
        format('comment on table %s is %L', theirs, obj_description(ours, 'pg_class')),
        format('comment on table %s is %L', theirs, obj_description(theirs, 'pg_class')), null, null
    from tables
    where theirs is not null and obj_description(ours, 'pg_class') is distinct from obj_description(theirs, 'pg_class')
    union all
    -- Without a default it may be null: callers who do not know the column go on.
    select 3, position, table_name, format('column %I', column_name),
        format('alter table %s add column %I %s%s%s', theirs, column_name, type, ' default ' || default_value,
               case when not_null and default_value is not null then ' not null' end),
        format('alter table %s drop column if exists %I', theirs, column_name),
        format('colonne %s ajoutée', column_name), null
    from columns where is_missing
    union all
    select 3, position, table_name, format('default of %I', column_name),
        format('alter table %s alter %I set default %s', theirs, column_name, default_value),
        format('alter table %s alter %I drop default', theirs, column_name), null, null
    from columns where default_value is not null and not has_default and not is_missing
    union all
    -- A flag's null would be neither on nor off.
    select 4, position, table_name, format('nulls of %I', column_name),
        format('select montoit.fill_nulls(%L, %L, %L)', theirs, column_name, default_value), null, null, null
    from columns
    where table_name = 'feature_flags' and not_null and not is_not_null and not is_missing and default_value not like 'now%'
    union all
    select 5, position, table_name, format('not null of %I', column_name),
        format('alter table %s alter %I set not null', theirs, column_name),
        format('alter table %s alter %I drop not null', theirs, column_name), null,
        case when table_name <> 'feature_flags' or default_value is null or default_value like 'now%' then
            format('select exists (select from %s where %I is null)', theirs, column_name)
        end
    from columns where not_null and not is_not_null and not is_missing and not is_log
    union all
    select 6, position, table_name, format('comment on %I', column_name),
        format('comment on column %s.%I is %L', theirs, column_name, comment),
        case when is_missing then 'select'
            else format('comment on column %s.%I is %L', theirs, column_name, their_comment) end,
        null, null
    from columns where comment is distinct from their_comment
    union all
    select 7, 2 * row_number() over (order by conname) + number, table_name, format('constraint %I', conname),
        case number
            when 0 then format('alter table %s drop constraint %I', theirs, conname)
            else format('alter table %s add constraint %I %s%s', theirs, conname, definition,
                        case when is_log then ' not valid' end) -- validated by 0006, while others write
        end,
        case number
            when 0 then format('alter table %s add constraint %I %s', theirs, conname, their_definition)
            else format('alter table %s drop constraint if exists %I', theirs, conname)
        end,
        case
            when number = 0 then format('contrainte %s élargie', conname)
            when their_definition is null then format('contrainte %s ajoutée', conname)
        end,
        case
            when number = 0 or not may_be_violated then null
            when contype = 'c' then format('select exists (select from %s where not (%s))', theirs, condition)
            when contype = 'f' then format(
                'select exists (select from %s as one where not exists (select from public.%I where %I = one.%I)'
                ' and one.%4$I is not null)',
                theirs, (select relname from pg_catalog.pg_class where oid = confrelid),
                (select attname from pg_catalog.pg_attribute where attrelid = confrelid and attnum = confkey[1]),
                (select attname from pg_catalog.pg_attribute where attrelid = ours and attnum = conkey[1])
            )
        end
    from constraints
    cross join generate_series(case when their_definition is null then 1 else 0 end, 1) as number
    where their_definition is distinct from definition
      -- Theirs stays as it is, but for the one that would not let a deletion into history.
      and (their_definition is null or conname = 'feature_flag_history_action_check')
    union all
    select 7, 0, table_name, format('constraint %I', conname),
        format('alter table %s drop constraint %I', theirs, conname),
        format('alter table %s add constraint %I %s', theirs, conname, pg_get_constraintdef(pg_constraint.oid)),
        format('contrainte %s remplacée', conname), null
    from tables
    join pg_catalog.pg_constraint on conrelid = theirs and contype = 'c'
    join pg_catalog.pg_attribute on attrelid = theirs and attname = 'action' and conkey = array[attnum]
    where table_name = 'feature_flag_history' and conname <> 'feature_flag_history_action_check'
    union all
    select 8, 0, table_name, format('index %I', relname),
        replace(pg_get_indexdef(indexrelid), ' ON montoit.', ' ON public.'),
        format('drop index if exists public.%I', relname), null, null
    from tables
    join pg_catalog.pg_index on indrelid = ours
    join pg_catalog.pg_class on pg_class.oid = indexrelid
    where theirs is not null
      and not exists (select from pg_catalog.pg_constraint where conindid = indexrelid)
      and to_regclass(format('public.%I', relname)) is null
) as steps
