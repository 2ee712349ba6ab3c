-- Makes room for InTouch's six rows: service_name stays unique only among the platform's rows, which have no key_name.
do $$
declare
    unique_of record;
begin
    if not exists (select from montoit.adopted_tables where table_name = 'api_keys') then
        return;
    end if;
    for unique_of in
        select indexrelid::regclass as index_name, relname, conname, indisclustered, indisreplident,
               pg_get_constraintdef(pg_constraint.oid) as definition, pg_get_indexdef(indexrelid) as index_definition,
               obj_description(pg_constraint.oid, 'pg_constraint') as comment
        from pg_catalog.pg_index
        join pg_catalog.pg_class on pg_class.oid = indexrelid
        left join pg_catalog.pg_constraint on conindid = indexrelid and contype = 'u'
        where indrelid = 'public.api_keys'::regclass and indisunique and indpred is null
          and pg_get_indexdef(indexrelid, 1, false) = 'service_name' and indnkeyatts = 1
    loop
        if unique_of.indisreplident then -- a published table without a replica identity refuses updates
            perform montoit.adopt(
                'tables', 'api_keys', 'replica identity', 'alter table public.api_keys replica identity default',
                'select', -- comes back with its index
                format('REPLICA IDENTITY (%s) remplacée par la clé primaire jusqu''au retour de la table', unique_of.relname)
            );
        end if;
        perform montoit.adopt(
            'tables', 'api_keys',
            case when unique_of.conname is null then format('index %s', unique_of.index_name)
                else format('constraint %I', unique_of.conname) end,
            case when unique_of.conname is null then format('drop index %s', unique_of.index_name)
                else format('alter table public.api_keys drop constraint %I', unique_of.conname) end,
            case when unique_of.conname is null then unique_of.index_definition
                else format('alter table public.api_keys add constraint %1$I %2$s; comment on constraint %1$I on public.api_keys is %3$L',
                            unique_of.conname, unique_of.definition, unique_of.comment) end
                || case when unique_of.indisclustered
                    then format('; alter table public.api_keys cluster on %I', unique_of.relname) else '' end
                || case when unique_of.indisreplident
                    then format('; alter table public.api_keys replica identity using index %I', unique_of.relname) else '' end,
            'service_name reste unique par service de la plateforme, mais un upsert sur conflit de service_name '
            '(on_conflict=service_name) échoue désormais : passez par id, ou par update puis insert'
                || case when unique_of.indisclustered
                    then format(' ; CLUSTER sur %s est perdu jusqu''au retour de la table', unique_of.relname) else '' end
        );
        if to_regclass('public.api_keys_platform_service_name_key') is null then
            perform montoit.adopt(
                'tables', 'api_keys', 'index api_keys_platform_service_name_key',
                'create unique index api_keys_platform_service_name_key on public.api_keys (service_name) where key_name is null',
                'drop index if exists public.api_keys_platform_service_name_key'
            );
        end if;
    end loop;

    perform montoit.adopt(
        'tables', 'api_keys', format('constraint %I', name),
        format('alter table public.api_keys add constraint %I %s', name, definition),
        format('alter table public.api_keys drop constraint if exists %I', name),
        format('contrainte %s ajoutée', name)
    )
    from (values
        ('api_keys_service_name_key_name_environment_key', 'unique (service_name, key_name, environment)'),
        ('api_keys_secret_id_key', 'unique (secret_id)'),
        ('api_keys_one_store_check', 'check (key_value is null or secret_id is null)')
    ) as constraints (name, definition);
    update montoit.adopted_tables set indexes = indexes || 'api_keys_platform_service_name_key'::text
    where table_name = 'api_keys';
end;
$$;
