-- The rollback: seven services off, every credential inactive, values kept; the history and the trail keep `why`.
-- `alembic downgrade -1` calls it, and an operator may, in an SQL editor.
--
-- Reads services and credentials back. Its errors quote no row of api_keys, as those of store_credentials.
create or replace function montoit.switch_off(why text)
returns void
language plpgsql
set search_path = ''
as $$
declare
    services text[] := array[
        'intouch_payment', 'orange_money', 'mtn_money', 'moov_money', 'wave_payment',
        'sms_notifications', 'whatsapp_notifications'
    ];
    state text;
    constraint_of text;
    table_of text;
    still_on integer;
    still_active integer;
    before jsonb;
begin
    perform set_config('montoit.reason', coalesce(nullif(btrim(why), ''), 'montoit.switch_off'), true);

    select jsonb_build_object('services', count(*)) into before
    from public.feature_flags where key = any (services) and is_enabled;

    perform montoit.change_rows(format(
        'update public.feature_flags set is_enabled = false, credentials_status = %L where key = any (%L::text[])',
        'not_configured', services
    ));

    begin
        perform montoit.change_rows(format(
            'update public.api_keys set is_active = false where id = any (%L::uuid[])',
            array(select id from public.api_keys where service_name = 'intouch' and key_name is not null and is_active)
        ));
    exception
        when others then
            get stacked diagnostics
                state = returned_sqlstate, constraint_of = constraint_name, table_of = table_name;
            raise exception using
                errcode = state, message = montoit.message_without_values(state, constraint_of, table_of);
    end;

    select count(*) into still_on
    from public.feature_flags
    where key = any (services) and (is_enabled or credentials_status <> 'not_configured');
    select count(*) into still_active
    from public.api_keys where service_name = 'intouch' and key_name is not null and is_active;
    if (still_on, still_active) is distinct from (0, 0) then
        raise exception using
            errcode = 'MT002',
            message = format(
                'Retour arrière annulé, rien n''a été modifié : après écriture la base montre encore %s services '
                'et %s identifiants actifs. Cherchez un déclencheur (trigger) ajouté à public.api_keys ou à '
                'public.feature_flags.',
                still_on, still_active
            );
    end if;
    insert into montoit.trail (subject, key, before, after) values ('rollback', 'intouch', before, '{"services": 0}');
end;
$$;
