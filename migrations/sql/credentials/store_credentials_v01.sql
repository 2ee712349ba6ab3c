-- Stores InTouch's credentials as the active ones of one environment, deactivates the other environment's, and returns
-- the names whose values changed.
--
-- credentials describes each of them: {"<key_name>": {metadata}}. The value is in the transaction's setting
-- montoit.<key_name>, and the endpoint in montoit.base_url: see given_credentials. If that one is empty, the one that is
-- stored for the environment stays; without any it is InTouch's root.
--
-- target_store is table, vault, or auto: the Vault if it is installed. All values of InTouch end up in the same store,
-- those of the other environment, too, and a secret of the Vault keeps its id. Our secrets are known by their description;
-- one of somebody else's that has our name is used if it has the value, and is neither changed nor deleted.
--
-- Every error, also of a constraint or trigger of the operator's, is raised again without its message, which may quote the
-- row. A missing value is an error, too: its setting is unset, or empty if the session has set it before.
--
-- No variable holds a value: pgaudit and auto_explain print the variables that a statement gets. Each statement takes the
-- value from its setting, by name. Generic plans only: a plan that is made for a value shows it in a log of plans.
create or replace function montoit.store_credentials(target_environment text, target_store text, credentials jsonb)
returns text[]
language plpgsql
set search_path = ''
set plan_cache_mode = force_generic_plan
as $$
declare
    to_vault boolean := target_store = 'vault'
        or (target_store = 'auto' and montoit.has_vault());
    our_description constant text := 'InTouch, montoit_db';
    credential record;
    secret uuid;
    secret_name text;
    is_stale boolean; -- it has another value
    secret_description text;
    changed text[] := '{}';
    setting text; -- the name of the one that holds the credential's value
    root text := current_setting('montoit.base_url');
    state text;
    constraint_of text;
    table_of text;
begin
    if root = '' then
        select value into root from montoit.read_credentials('intouch')
        where key_name = 'base_url' and environment = target_environment and value <> '';
        root := set_config('montoit.base_url', coalesce(root, 'https://apidist.gutouch.net'), true);
    end if;
    for credential in
        select
            coalesce(given.key_name, stored.key_name) as key_name,
            coalesce(stored.environment, target_environment) as environment,
            coalesce(given.metadata, '{}') as metadata,
            stored.id,
            stored.secret_id as former_secret,
            given.key_name is not null as is_given,
            given.value is distinct from stored.value as is_new
        from (
            select key_name, metadata, current_setting('montoit.' || key_name) as value
            from jsonb_each(credentials) as each (key_name, metadata)
        ) as given
        full join montoit.read_credentials('intouch') as stored
            on stored.key_name = given.key_name and stored.environment = target_environment
        where given.key_name is not null
           or ((stored.secret_id is null) = to_vault and stored.value is not null)
    loop
        setting := 'montoit.' || credential.key_name;
        if not credential.is_given then -- it moves to the other store
            setting := 'montoit.moved';
            perform set_config(setting, value, true) from montoit.read_credentials('intouch') where id = credential.id;
        end if;
        if current_setting(setting) = '' then
            raise exception using errcode = 'null_value_not_allowed';
        end if;
        secret := null;
        if to_vault then
            secret_name := format('intouch_%s_%s', credential.environment, credential.key_name);
            select id, decrypted_secret is distinct from current_setting(setting), description
            into secret, is_stale, secret_description
            from vault.decrypted_secrets
            where id = credential.former_secret or name = secret_name
            order by (id = credential.former_secret) desc nulls last
            limit 1;
            if secret is null then
                secret := vault.create_secret(current_setting(setting), secret_name, our_description);
            elsif is_stale then
                if secret_description is distinct from our_description then
                    raise exception using errcode = 'MT006';
                end if;
                perform vault.update_secret(secret, current_setting(setting));
            end if;
        elsif credential.former_secret is not null and montoit.has_vault() then
            delete from vault.secrets where id = credential.former_secret and description = our_description;
        end if;

        -- Triggers of the platform name its tables without a schema: they find them under the path of other sessions.
        set local search_path to default;
        insert into public.api_keys as stored
            (service_name, key_name, key_value, secret_id, endpoint, environment, is_active, metadata)
        values (
            'intouch', credential.key_name, case when not to_vault then pg_catalog.current_setting(setting) end, secret,
            root, credential.environment, credential.is_given, credential.metadata
        )
        on conflict (service_name, key_name, environment) do update set
            key_value = excluded.key_value,
            secret_id = excluded.secret_id,
            endpoint = case when credential.is_given then excluded.endpoint else stored.endpoint end,
            is_active = credential.is_given or stored.is_active,
            metadata = stored.metadata || excluded.metadata;
        set constraints all immediate; -- a deferred one would fail at the commit, and quote the row there
        set local search_path to '';

        if credential.is_given and credential.is_new then
            changed := changed || credential.key_name;
        end if;
    end loop;
    perform set_config('montoit.moved', '', true);

    perform montoit.change_rows(format(
        'update public.api_keys set is_active = false where id = any (%L::uuid[])',
        array(
            select id from public.api_keys
            where service_name = 'intouch' and key_name is not null and environment <> target_environment and is_active
        )
    ));
    return changed;
exception
    when others then
        get stacked diagnostics
            state = returned_sqlstate, constraint_of = constraint_name, table_of = table_name;
        raise exception using
            errcode = state, message = montoit.message_without_values(state, constraint_of, table_of);
end;
$$;
