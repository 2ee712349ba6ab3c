-- What only an adopted api_keys needs: room for InTouch's six rows beside a row for each of the platform's services, and
-- the columns that its admin page writes.
do $$
declare
    unique_of record;
    administrators text;
begin
    if not exists (select from montoit.adopted_tables where table_name = 'api_keys') then
        return;
    end if;
    update montoit.adopted_tables
    set own_rows = 'key_name is not null', indexes = indexes || 'api_keys_platform_service_name_key'::text
    where table_name = 'api_keys';

    for unique_of in
        select indexrelid::regclass as index_name, conname, pg_get_constraintdef(pg_constraint.oid) as definition,
               pg_get_indexdef(indexrelid) as index_definition,
               obj_description(pg_constraint.oid, 'pg_constraint') as comment
        from pg_catalog.pg_index
        left join pg_catalog.pg_constraint on conindid = indexrelid and contype = 'u'
        where indrelid = 'public.api_keys'::regclass and indisunique and indpred is null
          and pg_get_indexdef(indexrelid, 1, false) = 'service_name' and indnkeyatts = 1
    loop
        if unique_of.conname is null then
            perform montoit.adopt(
                'api_keys', format('index %s', unique_of.index_name),
                format('drop index %s', unique_of.index_name), unique_of.index_definition
            );
        else
            perform montoit.adopt(
                'api_keys', format('constraint %I', unique_of.conname),
                format('alter table public.api_keys drop constraint %I', unique_of.conname),
                format('alter table public.api_keys add constraint %I %s', unique_of.conname, unique_of.definition)
                    || format('; comment on constraint %I on public.api_keys is %L', unique_of.conname, unique_of.comment),
                'service_name reste unique par service de la plateforme, mais un upsert sur conflit de service_name '
                '(on_conflict=service_name) échoue désormais : passez par id, ou par update puis insert'
            );
        end if;
        if to_regclass('public.api_keys_platform_service_name_key') is null then
            perform montoit.adopt(
                'api_keys', 'index api_keys_platform_service_name_key',
                'create unique index api_keys_platform_service_name_key on public.api_keys (service_name) where key_name is null',
                'drop index if exists public.api_keys_platform_service_name_key'
            );
        end if;
    end loop;

    -- Users write that column themselves: it makes nobody an administrator any more.
    if 2 = (
        select count(*) from pg_catalog.pg_attribute
        where attrelid = to_regclass('public.profiles') and attname in ('id', 'user_type')
    ) then
        execute $query$
            select string_agg(id::text, ', ') from (
                -- include platform_administrators
            ) as found
        $query$ into administrators;
        insert into montoit.adoption_steps (table_name, object, undo, told)
        select 'api_keys', 'administrators', 'select',
               'perdent leurs droits d''administrateur (profiles.user_type) : ' || administrators
        where administrators is not null;
    end if;

    create trigger keep_credential_insert before insert on public.api_keys
        for each row when (new.key_name is not null) execute function montoit.keep_credential();
    create trigger keep_credential_update before update of environment on public.api_keys
        for each row when (old.key_name is not null) execute function montoit.keep_credential();
    grant update (keys, environment) on table public.api_keys to authenticated;
end;
$$;
