-- Adopted flags, once the history can be written: notes what the downgrade has to put back, and gives a share of 100 to
-- enabled flags at 0 %, which the platform meant for everyone (its hash let in half of the users).
do $$
declare
    flag jsonb;
    keeps_rollout constant boolean := current_setting('montoit.keep_rollout') = 'yes';
    services constant text[] := current_setting('montoit.services');
    zero record;
begin
    if exists (select from montoit.adopted_tables where table_name = 'feature_flag_history') then
        perform montoit.adopt(
            'access', 'feature_flag_history', 'defaults',
            'alter table public.feature_flag_history alter flag_key drop default, alter actor drop default',
            'alter table public.feature_flag_history alter flag_key set default ''unknown'', alter actor set default ''unknown'''
        );
        -- Rows from before the adoption have the actor 'unknown'.
        update montoit.adopted_tables set own_rows = 'actor <> ''unknown''' where table_name = 'feature_flag_history';
    end if;
    -- The platform's foreign key may be missing: it goes when a table of flags is dropped.
    if exists (select from montoit.adopted_tables where table_name = 'feature_flag_overrides') and not exists (
        select from pg_catalog.pg_constraint
        where conrelid = 'public.feature_flag_overrides'::regclass and confrelid = 'public.feature_flags'::regclass
    ) then
        if exists (
            select from public.feature_flag_overrides as o
            where feature_flag_id is not null
              and not exists (select from public.feature_flags as f where f.id = o.feature_flag_id)
        ) then
            insert into montoit.adoption_steps (stage, table_name, object, undo, told) values (
                'access', 'feature_flag_overrides', 'constraint feature_flag_overrides_feature_flag_id_fkey', 'select',
                'contrainte feature_flag_overrides_feature_flag_id_fkey non ajoutée : des lignes ne la respectent pas'
            );
        else
            perform montoit.adopt(
                'access', 'feature_flag_overrides', 'constraint feature_flag_overrides_feature_flag_id_fkey',
                'alter table public.feature_flag_overrides add constraint feature_flag_overrides_feature_flag_id_fkey '
                'foreign key (feature_flag_id) references public.feature_flags (id) on delete cascade',
                'alter table public.feature_flag_overrides drop constraint if exists feature_flag_overrides_feature_flag_id_fkey',
                'contrainte feature_flag_overrides_feature_flag_id_fkey ajoutée'
            );
        end if;
    end if;
    if not exists (select from montoit.adopted_tables where table_name = 'feature_flags') then
        return;
    end if;

    insert into montoit.adoption_steps (stage, table_name, object, undo, told)
    select
        'access', 'feature_flags', format('flag %s', key),
        format(
            'update public.feature_flags set is_enabled = %L, requires_credentials = %L, credentials_status = %L,'
            ' rollout_percentage = %L, metadata = %L, updated_at = %L where id = %L',
            is_enabled, requires_credentials, credentials_status, rollout_percentage, metadata, updated_at, id
        ),
        case when is_enabled and rollout_percentage between 1 and 99 then format(
            '%s : actif pour %s %% des utilisateurs, une part que l''activation garde', key, rollout_percentage
        ) end
    from public.feature_flags where key = any (services) order by key;

    for zero in select * from public.feature_flags where is_enabled and rollout_percentage = 0 order by key loop
        if keeps_rollout then
            insert into montoit.adoption_steps (stage, table_name, object, undo, told) values (
                'access', 'feature_flags', 'rollout of ' || zero.key, 'select',
                format('%s : actif, laissé à 0 %%, ne sert plus personne', zero.key)
            );
            continue;
        end if;
        perform montoit.adopt(
            'access', 'feature_flags', 'rollout of ' || zero.key,
            format('update public.feature_flags set rollout_percentage = 100 where id = %L', zero.id),
            format('update public.feature_flags set rollout_percentage = 0 where id = %L and rollout_percentage = 100',
                   zero.id),
            format('%s : 0 %% → 100 %%%s', zero.key,
                   case when zero.key like 'ai\_%' then ' (payant à l''appel)' end)
        );
        select to_jsonb(f) into flag from public.feature_flags as f where id = zero.id;
        perform montoit.change_rows(format(
            'insert into public.feature_flag_history'
            ' (feature_flag_id, flag_key, action, previous_value, new_value, actor, reason)'
            ' values (%L, %L, %L, %L, %L, %L, %L)',
            zero.id, zero.key, 'updated', flag || '{"rollout_percentage": 0}', flag,
            coalesce(nullif(current_setting('role', true), 'none'), session_user), 'montoit_db: adoption'
        ));
    end loop;

    insert into montoit.adoption_steps (stage, table_name, object, undo, told)
    select 'access', 'feature_flags', 'credentials of ' || key, 'select',
           format('%s : actif mais sans credentials, ne sert plus personne', key)
    from public.feature_flags
    where is_enabled and requires_credentials and credentials_status = 'not_configured'
    order by key;
end;
$$;
