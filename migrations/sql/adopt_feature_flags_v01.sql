-- What only adopted flags need: history that outlives its flag, what downgrade has to put back, and a share of 100 for the
-- enabled flags that the platform meant for everyone and wrote down as 0 % (its hash let in half of the users).
do $$
declare
    constraint_of record;
    flag record;
    zero record;
begin
    if exists (select from montoit.adopted_tables where table_name = 'feature_flag_history') then
        for constraint_of in
            select conname, pg_get_constraintdef(oid) as definition
            from pg_catalog.pg_constraint
            where conrelid = 'public.feature_flag_history'::regclass and confrelid = 'public.feature_flags'::regclass
        loop
            perform montoit.adopt(
                'feature_flag_history', format('constraint %I', constraint_of.conname),
                format('alter table public.feature_flag_history drop constraint %I', constraint_of.conname),
                -- Rows of a flag that was deleted since are kept.
                format(
                    'do $montoit_undo$ begin alter table public.feature_flag_history add constraint %I %s;'
                    ' exception when foreign_key_violation then'
                    ' alter table public.feature_flag_history add constraint %1$I %2$s not valid; end $montoit_undo$',
                    constraint_of.conname, constraint_of.definition
                ),
                'l''historique survit désormais à la suppression d''un flag'
            );
        end loop;
        update public.feature_flag_history as history set
            flag_key = coalesce(
                (select key from public.feature_flags as f where f.id = history.feature_flag_id),
                history.new_value ->> 'key', history.previous_value ->> 'key', 'unknown'
            ),
            actor = 'unknown'; -- that of every row from before us
        update montoit.adopted_tables set own_rows = 'actor <> ''unknown''' where table_name = 'feature_flag_history';
        alter table public.feature_flag_history alter flag_key set not null, alter actor set not null;
    end if;

    if not exists (select from montoit.adopted_tables where table_name = 'feature_flags') then
        return;
    end if;
    for flag in
        select * from public.feature_flags
        where key in (
            'intouch_payment', 'orange_money', 'mtn_money', 'moov_money', 'wave_payment',
            'sms_notifications', 'whatsapp_notifications'
        )
    loop
        insert into montoit.adoption_steps (table_name, object, undo) values (
            'feature_flags', format('flag %s', flag.key),
            format(
                'update public.feature_flags set is_enabled = %L, requires_credentials = %L, credentials_status = %L,'
                ' rollout_percentage = %L, metadata = %L, updated_at = %L where id = %L',
                flag.is_enabled, flag.requires_credentials, flag.credentials_status,
                flag.rollout_percentage, flag.metadata, flag.updated_at, flag.id
            )
        );
    end loop;

    for zero in select * from public.feature_flags where is_enabled and rollout_percentage = 0 order by key loop
        if current_setting('montoit.keep_rollout') = 'yes' then
            insert into montoit.adoption_steps (table_name, object, undo, told)
            values ('feature_flags', 'rollout of ' || zero.key, 'select',
                    format('%s : actif, laissé à 0 %%, ne sert plus personne', zero.key));
            continue;
        end if;
        perform montoit.adopt(
            'feature_flags', 'rollout of ' || zero.key,
            format('update public.feature_flags set rollout_percentage = 100 where id = %L', zero.id),
            format('update public.feature_flags set rollout_percentage = 0 where id = %L and rollout_percentage = 100',
                   zero.id),
            format('%s : 0 %% → 100 %%%s', zero.key,
                   case when zero.key like 'ai\_%' then ' (payant à l''appel)' end)
        );
        insert into public.feature_flag_history
            (feature_flag_id, flag_key, action, previous_value, new_value, actor, reason)
        select id, key, 'updated', to_jsonb(f) || '{"rollout_percentage": 0}', to_jsonb(f),
               coalesce(nullif(current_setting('role', true), 'none'), session_user), 'alembic upgrade 0003'
        from public.feature_flags as f where id = zero.id;
    end loop;

    insert into montoit.adoption_steps (table_name, object, undo, told)
    select 'feature_flags', 'credentials of ' || key, 'select',
           format('%s : actif mais sans credentials, ne sert plus personne', key)
    from public.feature_flags
    where is_enabled and requires_credentials and credentials_status = 'not_configured'
    order by key;
end;
$$;
