-- Nulls of adopted flags become the column's default, until the table is given back: a flag is either on or off.
do $$
declare
    wanted record;
    ids uuid[];
    filled text[] := '{}';
begin
    if not exists (select from montoit.adopted_tables where table_name = 'feature_flags') then
        return;
    end if;
    for wanted in
        select *
        from (values
            ('is_enabled', 'false'), ('requires_credentials', 'false'), ('credentials_status', '''not_configured'''),
            ('rollout_percentage', '0'), ('allowed_roles', '''{}'''), ('metadata', '''{}''')
        ) as columns (name, value)
        join pg_catalog.pg_attribute on attrelid = 'public.feature_flags'::regclass and attname = name
        where not attnotnull
    loop
        execute format('select array_agg(id) from public.feature_flags where %I is null', wanted.name) into ids;
        if ids is not null then
            perform montoit.adopt(
                'tables', 'feature_flags', format('nulls of %I', wanted.name),
                format('update public.feature_flags set %1$I = %2$s where %1$I is null', wanted.name, wanted.value),
                format('update public.feature_flags set %1$I = null where id = any (%2$L::uuid[])'
                       ' and %1$I operator(pg_catalog.=) %3$s',
                       wanted.name, ids, wanted.value),
                format('%s sans %s : %s', case cardinality(ids) when 1 then '1 ligne' else cardinality(ids) || ' lignes' end,
                       wanted.name, wanted.value)
            );
        end if;
        filled := filled || wanted.name;
    end loop;
    set constraints all immediate; -- a table with pending events cannot be altered
    if filled <> '{}' then
        perform montoit.adopt(
            'tables', 'feature_flags', 'not null',
            (select 'alter table public.feature_flags ' || string_agg(format('alter %I set not null', name), ', ')
             from unnest(filled) as name),
            (select 'alter table public.feature_flags ' || string_agg(format('alter %I drop not null', name), ', ')
             from unnest(filled) as name),
            (case cardinality(filled) when 1 then 'devient obligatoire (not null) : '
                else 'deviennent obligatoires (not null) : ' end)
                || array_to_string(array(select name from unnest(filled) as name order by name), ', ')
        );
    end if;
end;
$$;
