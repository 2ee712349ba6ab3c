-- Finds the constraints on values that all rows meet, while nothing is locked yet, and puts them into the setting
-- montoit.checks. A constraint that some row violates is left out, and operators are told. Logs and the history may be
-- large: their constraints are added `not valid`, and a later revision validates them while others write.
do $$
declare
    wanted record;
    is_violated boolean;
    checks jsonb := '[]';
begin
    set local row_security = off; -- rows that the migration role may not see are an error, not an absence
    for wanted in
        select checks.*, split_part(condition, ' ', 1) = any (columns) as has_column
        from (values
            ('feature_flags', 'feature_flags_credentials_status_check', '',
             'credentials_status in (''not_configured'', ''sandbox'', ''production'')'),
            ('feature_flags', 'feature_flags_rollout_percentage_check', '', 'rollout_percentage between 0 and 100'),
            ('feature_flag_history', 'feature_flag_history_action_check', ' not valid',
             'action in (''created'', ''enabled'', ''disabled'', ''updated'', ''deleted'')'),
            ('api_keys', 'api_keys_environment_check', '', 'environment in (''sandbox'', ''production'')'),
            ('sms_logs', 'sms_logs_status_check', ' not valid',
             'status in (''pending'', ''sent'', ''delivered'', ''failed'')'),
            ('whatsapp_logs', 'whatsapp_logs_status_check', ' not valid',
             'status in (''pending'', ''sent'', ''delivered'', ''read'', ''failed'')')
        ) as checks (table_name, name, validity, condition)
        join montoit.adopted_tables using (table_name)
        -- A constraint of the platform's stays as it is, except that on the history's actions, which lacks 'deleted'.
        where name <> all (constraints) or table_name = 'feature_flag_history'
    loop
        is_violated := false;
        if wanted.has_column then
            execute format('select exists (select from public.%I where not (%s))', wanted.table_name, wanted.condition)
                into is_violated;
        end if;
        if is_violated then
            insert into montoit.adoption_steps (stage, table_name, object, undo, told) values (
                'tables', wanted.table_name, format('constraint %I', wanted.name), 'select',
                format('contrainte %s non ajoutée : des lignes ne la respectent pas', wanted.name)
            );
        else
            checks := checks || jsonb_build_array(to_jsonb(wanted));
        end if;
    end loop;
    perform set_config('montoit.checks', checks::text, true);
end;
$$;
