-- The whole schema, as pg_dump prints it. Made by: pytest tests/test_revisions.py --write-schema

CREATE SCHEMA montoit;

COMMENT ON SCHEMA montoit IS 'Private parts of montoit_db. Not to be exposed by the API.';

CREATE FUNCTION montoit.adopt(stage text, table_name text, object text, redo text, undo text, told text DEFAULT NULL::text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
begin
    if redo like 'update %' then
        perform montoit.change_rows(redo);
    else
        execute redo;
    end if;
    insert into montoit.adoption_steps (stage, table_name, object, undo, told)
    values (adopt.stage, adopt.table_name, adopt.object, adopt.undo, adopt.told);
end;
$$;

CREATE FUNCTION montoit.bucket(flag_key text, user_id uuid) RETURNS integer
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
    SET search_path TO ''
    AS $$
begin
    return ('x' || encode(substr(sha256(convert_to(flag_key || ':' || user_id::text, 'UTF8')), 1, 7), 'hex'))
        ::bit(56)::bigint % 10000;
end;
$$;

CREATE FUNCTION montoit.caller_role() RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
begin
    return coalesce(nullif(current_setting('role', true), 'none'), session_user);
end;
$$;

CREATE FUNCTION montoit.change_rows(statement text) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
    changed bigint;
begin
    set local search_path to default;
    execute statement;
    get diagnostics changed = row_count;
    set constraints all immediate;
    return changed;
end;
$$;

CREATE FUNCTION montoit.check_flag(asked_user uuid, asked_key text) RETURNS boolean
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
    caller text := coalesce(nullif(current_setting('role', true), 'none'), session_user);
    me uuid;
    is_on boolean;
begin
    -- Who may ask for whom: decided here, since the function sees every flag and override. A role that nobody knows asks as a
    -- signed-in user does. `me` repeats the expression of montoit.current_user_id(): calling it would take a tenth of the time
    -- of a check; and unusual callers alone are looked up, for the same reason.
    if caller not in ('authenticated', 'service_role') then
        if caller = 'anon' then
            asked_user := null;
        elsif not montoit.is_trusted(caller) then
            caller := 'authenticated';
        end if;
    end if;
    if caller = 'authenticated' then
        begin
            me := (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')::uuid;
        exception
            when data_exception then
                null;
        end;
        if asked_user is distinct from me then
            if asked_user is null then
                asked_user := me;
            elsif not montoit.is_admin() then
                raise exception using
                    errcode = 'insufficient_privilege',
                    message = 'feature flags of another user';
            end if;
        end if;
    end if;
    select answer into is_on
    from (
        -- The answer of every flag for asked_user. The order of the rules stands only here. The last rule repeats the expression of
        -- montoit.bucket(): calling a function for each flag would cost more than all the rest.
        select
            flag.key,
            case
                when override.is_enabled is not null then override.is_enabled
                when not flag.is_enabled then false
                when flag.requires_credentials and flag.credentials_status = 'not_configured' then false
                when flag.allowed_roles <> '{}' and not flag.allowed_roles && montoit.roles_of(asked_user) then false
                when flag.rollout_percentage = 100 then true
                when asked_user is null then false
                else ('x' || encode(substr(sha256(convert_to(flag.key || ':' || asked_user::text, 'UTF8')), 1, 7), 'hex'))
                    ::bit(56)::bigint % 10000 < flag.rollout_percentage * 100
            end as answer
        from public.feature_flags as flag
        left join public.feature_flag_overrides as override
            on override.feature_flag_id = flag.id
            and override.user_id = asked_user
            and (override.expires_at is null or override.expires_at > now())
    ) as answers
    where key = asked_key;
    return coalesce(is_on, false);
end;
$$;

CREATE FUNCTION montoit.check_flags(asked_user uuid) RETURNS jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
    caller text := coalesce(nullif(current_setting('role', true), 'none'), session_user);
    me uuid;
begin
    -- Who may ask for whom: decided here, since the function sees every flag and override. A role that nobody knows asks as a
    -- signed-in user does. `me` repeats the expression of montoit.current_user_id(): calling it would take a tenth of the time
    -- of a check; and unusual callers alone are looked up, for the same reason.
    if caller not in ('authenticated', 'service_role') then
        if caller = 'anon' then
            asked_user := null;
        elsif not montoit.is_trusted(caller) then
            caller := 'authenticated';
        end if;
    end if;
    if caller = 'authenticated' then
        begin
            me := (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')::uuid;
        exception
            when data_exception then
                null;
        end;
        if asked_user is distinct from me then
            if asked_user is null then
                asked_user := me;
            elsif not montoit.is_admin() then
                raise exception using
                    errcode = 'insufficient_privilege',
                    message = 'feature flags of another user';
            end if;
        end if;
    end if;
    return (
        select coalesce(jsonb_object_agg(key, answer), '{}')
        from (
            -- The answer of every flag for asked_user. The order of the rules stands only here. The last rule repeats the expression of
            -- montoit.bucket(): calling a function for each flag would cost more than all the rest.
            select
                flag.key,
                case
                    when override.is_enabled is not null then override.is_enabled
                    when not flag.is_enabled then false
                    when flag.requires_credentials and flag.credentials_status = 'not_configured' then false
                    when flag.allowed_roles <> '{}' and not flag.allowed_roles && montoit.roles_of(asked_user) then false
                    when flag.rollout_percentage = 100 then true
                    when asked_user is null then false
                    else ('x' || encode(substr(sha256(convert_to(flag.key || ':' || asked_user::text, 'UTF8')), 1, 7), 'hex'))
                        ::bit(56)::bigint % 10000 < flag.rollout_percentage * 100
                end as answer
            from public.feature_flags as flag
            left join public.feature_flag_overrides as override
                on override.feature_flag_id = flag.id
                and override.user_id = asked_user
                and (override.expires_at is null or override.expires_at > now())
        ) as answers
    );
end;
$$;

CREATE FUNCTION montoit.current_user_id() RETURNS uuid
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
begin
    return (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')::uuid;
exception
    when data_exception then
        return null;
end;
$$;

CREATE FUNCTION montoit.described_credential(credential jsonb) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO ''
    AS $_$
begin
    return jsonb_strip_nulls(jsonb_build_object(
        'environment', credential -> 'environment',
        'is_active', credential -> 'is_active',
        'endpoint', credential -> 'endpoint',
        'store', case when credential ->> 'secret_id' is not null then 'vault'
            when credential ->> 'key_value' is not null then 'table' end,
        'names', nullif(jsonb_path_query_array(credential -> 'keys', '$.keyvalue().key', '{}', true), '[]')
    ));
end;
$_$;

CREATE FUNCTION montoit.estimated_costs() RETURNS TABLE(service text, transactions bigint, cost_fcfa numeric, type text)
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
declare
    commission numeric := (select price.percent from public.intouch_prices as price where price.service = 'payment');
    sms_price numeric := (select price.fcfa from public.intouch_prices as price where price.service = 'sms');
begin
    if commission is null then
        return;
    end if;
    return query
    select 'Paiements', count(*), coalesce(sum(amount), 0) * commission / 100, 'Commission'
    from public.payment_logs
    where provider = 'intouch' and status = 'success' and created_at between now() - interval '30 days' and now();
    return query
    select 'SMS', count(*), count(*) * sms_price, 'Forfait'
    from public.sms_logs
    where provider = 'intouch' and status in ('sent', 'delivered') and created_at between now() - interval '30 days' and now();
end;
$$;

CREATE FUNCTION montoit.hand_back(name text, VARIADIC functions regprocedure[] DEFAULT '{}'::regprocedure[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    SET row_security TO 'off'
    AS $$
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

CREATE FUNCTION montoit.has_vault() RETURNS boolean
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
begin
    return exists (
        select from pg_catalog.pg_extension
        join pg_catalog.pg_namespace on pg_namespace.oid = extnamespace
        join pg_catalog.pg_roles on pg_roles.oid = nspowner
        where extname = 'supabase_vault' and nspname = 'vault' and (
            rolsuper
            or nspowner = extowner
            or nspowner = (select datdba from pg_catalog.pg_database where datname = current_database())
        )
    );
end;
$$;

CREATE FUNCTION montoit.intouch_daily(log text, days integer) RETURNS TABLE(date date, total bigint, succeeded bigint, failed bigint, cancelled bigint, amount bigint)
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $_$
declare
    today timestamp := date_trunc('day', now() at time zone 'Africa/Abidjan');
    -- Not `in (…)`: PostgreSQL takes such a list apart for each row anew.
    is_success text := case log
        when 'payment_logs' then 'status = ''success'''
        when 'sms_logs' then 'status = ''sent'' or status = ''delivered'''
        when 'whatsapp_logs' then 'status = ''sent'' or status = ''delivered'' or status = ''read'''
        else 'false'
    end;
begin
    return query execute format(
        $query$
        select day::date, log.*
        from generate_series($1, $2, interval '1 day') as day
        cross join lateral (
            select
                count(*),
                count(*) filter (where %s),
                count(*) filter (where status = 'failed'),
                count(*) filter (where status = 'cancelled'),
                %s
            from public.%I
            where provider = 'intouch'
              and created_at >= day at time zone 'Africa/Abidjan'
              and created_at < (day + interval '1 day') at time zone 'Africa/Abidjan'
              and created_at <= now()
        ) as log
        order by day desc
        $query$,
        is_success,
        case log when 'payment_logs' then 'coalesce(sum(amount), 0)' else 'null::bigint' end,
        log
    ) using today - (days - 1) * interval '1 day', today;
end;
$_$;

CREATE FUNCTION montoit.intouch_status(word text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO ''
    AS $$
begin
    return case upper(btrim(word) collate "C")
        when 'INITIATED' then 'pending'
        when 'PENDING' then 'pending'
        when 'PROCESSING' then 'processing'
        when 'SUCCESS' then 'success'
        when 'SUCCESSFUL' then 'success'
        when 'SUCCEED' then 'success'
        when 'FAILED' then 'failed'
        when 'NOTFOUND' then 'failed'
        when 'CANCELLED' then 'cancelled'
    end;
end;
$$;

CREATE FUNCTION montoit.is_admin() RETURNS boolean
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO ''
    AS $$
begin
    return coalesce(montoit.jwt_claims() -> 'app_metadata' ->> 'role' = 'admin', false)
        or exists (select from montoit.administrators where user_id = montoit.current_user_id());
end;
$$;

CREATE FUNCTION montoit.is_trusted(role_name text) RETURNS boolean
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
begin
    return role_name = 'service_role' or exists (
        select from pg_catalog.pg_roles
        where rolname = role_name and (
            rolsuper
            or oid = (select relowner from pg_catalog.pg_class where oid = 'montoit.administrators'::regclass)
        )
    );
end;
$$;

CREATE FUNCTION montoit.is_trusted_table(table_name text) RETURNS boolean
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
declare
    owner oid;
begin
    select relowner into owner
    from pg_catalog.pg_class
    where relname = table_name and relnamespace = 'public'::regnamespace and relkind in ('r', 'p');
    if not found then
        return false;
    elsif pg_get_userbyid(owner) = current_user then
        return true;
    end if;
    return exists (select from pg_catalog.pg_database where datname = current_database() and datdba = owner)
        or exists (select from pg_catalog.pg_roles where oid = owner and rolsuper);
end;
$$;

CREATE FUNCTION montoit.jwt_claims() RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
declare
    claims jsonb;
begin
    claims := nullif(current_setting('request.jwt.claims', true), '')::jsonb;
    return case when jsonb_typeof(claims) = 'object' then claims end;
exception
    when data_exception then
        return null;
end;
$$;

CREATE FUNCTION montoit.keep_credential() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
begin
    if tg_op = 'INSERT' then
        new.keys := coalesce(new.keys, '{}');
        new.display_name := coalesce(new.display_name, new.service_name || ' : ' || new.key_name);
    elsif new.environment is distinct from old.environment then
        raise exception using
            errcode = 'insufficient_privilege',
            message = 'a credential stays in its environment';
    end if;
    return new;
end;
$$;

CREATE FUNCTION montoit.keep_trail() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
begin
    raise exception using
        errcode = 'insufficient_privilege',
        message = 'the trail is only added to';
end;
$$;

CREATE FUNCTION montoit.lock_tables(names text[], first text DEFAULT NULL::text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
    patience constant text := current_setting('lock_timeout');
    deadline constant timestamptz := clock_timestamp()
        + case when patience = '0' then interval '1 day' else patience::interval end;
    tables constant text := (
        select string_agg(format('public.%I', name), ', ' order by ordinal)
        from unnest(names) with ordinality as each (name, ordinal)
        where to_regclass(format('public.%I', name)) is not null
    );
begin
    if tables is null then
        return;
    end if;
    -- Neither readers nor writers wait for this lock. It ends an autovacuum, which yields only to a session that has waited
    -- for a second: the tries below are too short.
    execute format('lock table %s in share update exclusive mode', tables);
    loop
        begin
            perform set_config('lock_timeout', '50ms', true);
            execute format('lock table %s in access exclusive mode', tables);
            set constraints all immediate; -- a table with pending events cannot be altered
            if first is not null then
                execute first;
            end if;
            perform set_config('lock_timeout', patience, true);
            return;
        exception
            when lock_not_available or deadlock_detected then
                if clock_timestamp() > deadline then
                    raise;
                end if;
        end;
        perform pg_sleep(0.05);
    end loop;
end;
$$;

CREATE FUNCTION montoit.look_again(VARIADIC names text[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $_$
declare
    adopted constant text[] := array(select table_name from montoit.adopted_tables);
    is_later constant boolean := true;
    told text;
begin
    -- Stops if a table among `names` cannot be adopted, and says why. `is_later`: the adoption is over.
    select string_agg(format('  - %s : %s', table_name, differences), e'\n' order by table_name)
    into told
    from (
        -- The tables among `names` that a database has already, and how each differs from the platform's of 2025 (null: not at
        -- all, so that it can be adopted). Marks of a column: ! it has to be there; * it has to be not null; = it has to have a
        -- default; - only the package's tables have it, so that it may be there on tables that are `adopted` already. Other missing
        -- columns are added. An unknown column may stay, unless it is not null without a default.
        with expected as (
            select
                table_name,
                split_part(description, ' ', 1) as column_name,
                rtrim(substr(description, strpos(description, ' ') + 1), '!*=-') as column_type,
                substring(description from '[!*=-]*$') as marks
            from (values
                ('feature_flags', 'id uuid!*=, key text!*, name text!*, description text, category text!*, is_enabled boolean=, '
                    'requires_credentials boolean=, credentials_status text=, rollout_percentage integer=, allowed_roles text[]=, '
                    'metadata jsonb=, created_at timestamp with time zone=, updated_at timestamp with time zone=, '
                    'created_by uuid, updated_by uuid'),
                ('feature_flag_history', 'id uuid!*=, feature_flag_id uuid!, action text!*, previous_value jsonb, '
                    'new_value jsonb, changed_by uuid, changed_at timestamp with time zone=, reason text, flag_key text-, '
                    'actor text-'),
                ('feature_flag_overrides', 'id uuid!*=, feature_flag_id uuid!, user_id uuid!, is_enabled boolean!*, reason text, '
                    'expires_at timestamp with time zone, created_at timestamp with time zone=, created_by uuid'),
                ('api_keys', 'id uuid!*=, service_name text!*, display_name text!*, description text, keys jsonb!*=, '
                    'is_active boolean=, environment text=, last_used_at timestamp with time zone, created_by uuid, '
                    'created_at timestamp with time zone=, updated_at timestamp with time zone=, key_name text-, '
                    'key_value text-, secret_id uuid-, endpoint text, metadata jsonb'),
                ('sms_logs', 'id uuid!*=, user_id uuid, phone_number text!*, message text!*, type text=, '
                    'partner_transaction_id text!*, intouch_sms_id text, status text!*=, status_code integer, '
                    'status_message text, raw_response jsonb, created_at timestamp with time zone!=, provider text'),
                ('whatsapp_logs', 'id uuid!*=, user_id uuid, phone_number text!*, message text!*, type text=, '
                    'partner_transaction_id text!*, intouch_message_id text, status text!*=, status_code integer, '
                    'status_message text, raw_response jsonb, raw_callback jsonb, created_at timestamp with time zone!=, '
                    'sent_at timestamp with time zone, delivered_at timestamp with time zone, '
                    'read_at timestamp with time zone, updated_at timestamp with time zone=, provider text')
            ) as platform (table_name, descriptions)
            cross join regexp_split_to_table(descriptions, ', ') as description
        ),
        expected_unique (table_name, columns) as (
            values
                ('feature_flags', 'id'), ('feature_flags', 'key'),
                ('feature_flag_history', 'id'),
                ('feature_flag_overrides', 'id'), ('feature_flag_overrides', 'feature_flag_id, user_id'),
                ('api_keys', 'id'),
                ('sms_logs', 'id'), ('sms_logs', 'partner_transaction_id'),
                ('whatsapp_logs', 'id'), ('whatsapp_logs', 'partner_transaction_id')
        ),
        present as (
            select
                class.oid, class.relname::text as table_name, class.relkind, class.relowner, class.relhasrules,
                class.relname = any (adopted) as is_adopted,
                array(
                    select attname::text from pg_catalog.pg_attribute
                    where attrelid = class.oid and attnum > 0 and not attisdropped
                ) as columns
            from pg_catalog.pg_class as class
            where relnamespace = 'public'::regnamespace and relname = any (names) and relkind not in ('i', 'I', 'S', 't', 'c')
        ),
        compared as (
            select
                present.table_name, attname::text as column_name, expected.column_type, marks,
                format_type(atttypid, atttypmod) as found_type, attnotnull, atthasdef or attidentity <> '' as has_default
            from present
            join pg_catalog.pg_attribute on attrelid = oid and attnum > 0 and not attisdropped
            left join expected on expected.table_name = present.table_name and expected.column_name = attname
        )
        select
            table_name,
            nullif(concat_ws(
                ' ; ',
                case when relkind not in ('r', 'p') then 'pas une table' end,
                case when table_name = 'payment_logs' then 'la plateforme n''en avait pas' end,
                case when is_later and not is_adopted then 'apparue depuis le début de la reprise' end,
                'manque ' || essentials.missing,
                'a déjà ' || (
                    select string_agg(column_name, ', ' order by column_name)
                    from compared where compared.table_name = present.table_name and marks ~ '-' and not is_adopted
                ),
                case when relhasrules and relkind <> 'v' then 'a des règles (create rule)' end,
                case when not pg_has_role(relowner, 'usage') then 'appartient à ' || pg_get_userbyid(relowner) end,
                'unicité inconnue : ' || (
                    select string_agg(theirs.relname, ', ' order by theirs.relname)
                    from pg_catalog.pg_index
                    join pg_catalog.pg_class as theirs on theirs.oid = indexrelid
                    where table_name = 'api_keys' and not is_adopted and indrelid = present.oid and indisunique
                      and (indpred is not null or indnkeyatts > 1
                           or pg_get_indexdef(indexrelid, 1, false) not in ('id', 'service_name'))
                ),
                'clé étrangère vers service_name : ' || (
                    select string_agg(distinct conrelid::regclass::text, ', ')
                    from pg_catalog.pg_constraint
                    join pg_catalog.pg_attribute on attrelid = confrelid and attnum = any (confkey)
                    where table_name = 'api_keys' and contype = 'f' and confrelid = present.oid and attname = 'service_name'
                ),
                (
                    select string_agg(
                        format('%s est %s au lieu de %s', column_name, found_type, column_type), ', ' order by column_name
                    )
                    from compared where compared.table_name = present.table_name and found_type <> column_type
                ),
                'pas unique : ' || (
                    select string_agg(expected_unique.columns, ', ' order by expected_unique.columns)
                    from expected_unique
                    where expected_unique.table_name = present.table_name
                      and string_to_array(expected_unique.columns, ', ') <@ present.columns
                      and not exists (
                        select from pg_catalog.pg_index
                        where indrelid = present.oid
                          and indisunique and indisvalid and indimmediate and indpred is null
                          and expected_unique.columns = (
                              select string_agg(pg_get_indexdef(indexrelid, position, false), ', ' order by position)
                              from generate_series(1, indnkeyatts) as position
                          )
                    )
                ),
                'inconnu et obligatoire : ' || (
                    select string_agg(column_name, ', ' order by column_name)
                    from compared
                    where compared.table_name = present.table_name and table_name <> 'payment_logs'
                      and column_type is null and attnotnull and not has_default
                ),
                'peut être nul : ' || damaged.nullable,
                'sans valeur par défaut : ' || damaged.bare
            ), '') as differences,
            (
                select string_agg(column_name, ', ' order by column_name)
                from expected
                where expected.table_name = present.table_name and column_name <> all (columns)
            ) as missing
        from present
        cross join lateral (
            select string_agg(column_name, ', ' order by column_name) as missing
            from expected
            where expected.table_name = present.table_name and marks ~ '!' and column_name <> all (columns)
        ) as essentials
        -- Not asked of a table that is another one altogether: the list would be long.
        left join lateral (
            select
                string_agg(column_name, ', ' order by column_name) filter (where marks ~ '\*' and not attnotnull) as nullable,
                string_agg(column_name, ', ' order by column_name) filter (where marks ~ '=' and not has_default) as bare
            from compared where compared.table_name = present.table_name
        ) as damaged on relkind in ('r', 'p') and essentials.missing is null
    ) as tables
    where differences is not null;
    if told is not null then
        raise exception using
            errcode = 'MT004',
            message = format(
                e'Cette base a des tables de ces noms qui ne sont pas celles de la plateforme%s :\n'
                '%s\nElles ne peuvent pas être reprises : %s',
                case when not is_later then ', rien n''a été modifié' end,
                told, case when is_later then 'renommez-les, ou recommencez : alembic downgrade base, puis upgrade.'
                    else 'renommez-les, ou choisissez une autre base.' end
            );
    end if;

    -- A table that was adopted and then dropped is created again, and no longer counts as adopted.
    delete from montoit.adoption_steps where stage = 'tables' and to_regclass(format('public.%I', table_name)) is null;
    delete from montoit.adopted_tables where to_regclass(format('public.%I', table_name)) is null;

    insert into montoit.adoption_steps (stage, table_name, object, undo)
    select 'access', table_name, 'comments', string_agg(statement, '; ')
    from (
        select table_name, attnum, case
            when attnum is null then format('comment on table public.%I is %L', table_name, description)
            else format('comment on column public.%I.%I is %L', table_name, attname, description) end as statement
        from montoit.adopted_tables
        join pg_catalog.pg_description
            on objoid = to_regclass(format('public.%I', table_name)) and classoid = 'pg_catalog.pg_class'::regclass
        left join pg_catalog.pg_attribute on attrelid = objoid and attnum = objsubid and objsubid > 0
        where table_name = any (names) and not coalesce(attisdropped, false)
    ) as described
    group by table_name;
end;
$_$;

CREATE FUNCTION montoit.message_without_values(state text, constraint_of text, table_of text) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
declare
    known record;
    shown text := '';
begin
    if state = 'MT006' and montoit.has_vault() then -- raised by store_credentials
        return format(
            'Les identifiants n''ont pas été enregistrés, rien n''a été modifié : le Vault a sous nos noms des secrets '
            'qui ne sont pas de nous, et d''une autre valeur (parmi %s). Renommez-les, ou donnez-leur la description '
            '« InTouch, montoit_db », pour que nous les tenions à jour.',
            (select string_agg(name, ', ' order by name) from vault.secrets
             where name like 'intouch\_%' and description is distinct from 'InTouch, montoit_db')
        );
    end if;
    -- Only names that exist are shown: a trigger can raise an error with any text as the name. The names are compared here
    -- and not by the query, since a query's parameters can be logged.
    for known in
        select 'contrainte' as kind, conname::text as name from pg_catalog.pg_constraint
        union
        select 'table', relname::text from pg_catalog.pg_class
        order by kind, name
    loop
        if known.name = (case known.kind when 'table' then table_of else constraint_of end) then
            shown := shown || format(', %s %s', known.kind, known.name);
        end if;
    end loop;
    return format(
        'Les identifiants n''ont pas été enregistrés (SQLSTATE %s%s).', state, shown
    );
end;
$$;

CREATE FUNCTION montoit.order_reason() RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
declare
    reason text := nullif(current_setting('montoit.reason', true), '');
begin
    if reason is null then
        begin
            reason := nullif(current_setting('request.headers', true), '')::jsonb ->> 'x-montoit-reason';
        exception
            when data_exception then
                null; -- headers that are not JSON give no reason
        end;
    end if;
    reason := left(reason, 4000); -- before the expression below, whose time grows with the text
    return nullif(left(btrim(regexp_replace(
        reason,
        '[\s\u0001-\u001f\u007f-\u00a0\u00ad\u0600-\u0605\u061c\u06dd\u070f\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f'
        '\ufeff\ufff9-\ufffb\U000e0001-\U000e007f]+',
        ' ', 'g'
    )), 500), '');
end;
$$;

CREATE FUNCTION montoit.raise_not_given_back(table_name text, object text, state text, reason text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
begin
    raise exception using
        errcode = state, -- the same code, so that a deployment retries after a lock that it could not get
        message = format('%s n''a pas pu être rendue (%s)%s', table_name, object, case
            when table_name <> 'api_keys' or state like '42%' then ' : ' || reason else '.'
        end),
        hint = case
            when state = '42703' then 'Recréez cette colonne (alter table … add column), puis relancez la même commande.'
            when state = '42704' then 'Recréez ce rôle ou cet objet (create role … nologin), puis relancez la même commande.'
            when state = '42501' then format('Donnez ce droit à %s, puis relancez la même commande.', current_user)
            when state like '42%' then 'Recréez ce qui manque, puis relancez la même commande.'
            when state like '23%' then 'Corrigez ou supprimez les lignes en cause, puis relancez la même commande.'
            else 'Retirez ce qui l''empêche (un déclencheur, par exemple), puis relancez la même commande.'
        end;
end;
$$;

CREATE FUNCTION montoit.read_credentials(service text) RETURNS TABLE(id uuid, key_name text, environment text, is_active boolean, secret_id uuid, value text)
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
begin
    if not montoit.has_vault() then
        return query
        select k.id, k.key_name, k.environment, k.is_active, k.secret_id, k.key_value
        from public.api_keys as k
        where k.service_name = service and k.key_name is not null;
    else
        return query
        select k.id, k.key_name, k.environment, k.is_active, k.secret_id, coalesce(k.key_value, s.decrypted_secret)
        from public.api_keys as k
        left join vault.decrypted_secrets as s on s.id = k.secret_id
        where k.service_name = service and k.key_name is not null;
    end if;
end;
$$;

CREATE FUNCTION montoit.record_administrator() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
begin
    if tg_op = 'UPDATE' and old.user_id = new.user_id then
        return null;
    end if;
    if tg_op <> 'INSERT' then
        insert into montoit.trail (subject, user_id, before, after)
        values ('administrator', old.user_id, '{"is_administrator": true}', '{"is_administrator": false}');
    end if;
    if tg_op <> 'DELETE' then
        insert into montoit.trail (subject, user_id, before, after)
        values ('administrator', new.user_id, '{"is_administrator": false}', '{"is_administrator": true}');
    end if;
    return null;
end;
$$;

CREATE FUNCTION montoit.record_credential() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
    named text := coalesce(new.service_name, old.service_name) || coalesce('.' || coalesce(new.key_name, old.key_name), '');
    before jsonb;
    after jsonb;
begin
    if tg_op <> 'INSERT' then
        before := montoit.described_credential(to_jsonb(old));
    end if;
    if tg_op <> 'DELETE' then
        after := montoit.described_credential(to_jsonb(new));
    end if;
    if tg_op = 'UPDATE' then
        if to_jsonb(new) -> 'keys' is distinct from to_jsonb(old) -> 'keys'
            or new.key_value <> old.key_value -- a value that moves to the Vault or back shows as its place
        then
            after := after || '{"value": "changed"}';
        end if;
        if before = after then
            return null;
        end if;
    end if;
    insert into montoit.trail (subject, key, before, after) values ('credential', named, before, after);
    return null;
end;
$$;

CREATE FUNCTION montoit.record_flag_change() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
    flag public.feature_flags := coalesce(new, old);
    change text := case tg_op when 'INSERT' then 'created' when 'DELETE' then 'deleted' else 'updated' end;
begin
    if tg_op = 'UPDATE' then
        flag.updated_at := old.updated_at;
        if flag *= old then
            return null;
        end if;
        if new.is_enabled is distinct from old.is_enabled then
            change := case when new.is_enabled then 'enabled' else 'disabled' end;
        end if;
    end if;
    -- current_user_id() is not called if nobody signed in; actor repeats the expression of montoit.caller_role().
    insert into public.feature_flag_history
        (feature_flag_id, flag_key, action, previous_value, new_value, changed_by, actor, reason)
    values (
        flag.id,
        flag.key,
        change,
        case when tg_op <> 'INSERT' then to_jsonb(old) end,
        case when tg_op <> 'DELETE' then to_jsonb(new) end,
        case when current_setting('request.jwt.claims', true) <> '' then montoit.current_user_id() end,
        coalesce(nullif(current_setting('role', true), 'none'), session_user),
        montoit.order_reason()
    );
    return null;
end;
$$;

CREATE FUNCTION montoit.record_objects(stage text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    SET plan_cache_mode TO 'force_generic_plan'
    SET jit TO 'off'
    AS $$
#variable_conflict use_column
begin
    with present as materialized (
        select kind, relation, name, definition, fingerprint, concat_ws(' ', fingerprint, version) as state from montoit.objects
    ),
    missing as (
        update montoit.released_objects set before = null
        where record_objects.stage = 'note' and before is not null and (kind, relation, name) not in (select kind, relation, name from present)
    ),
    gone as (
        delete from montoit.released_objects
        where stage <> 'note' and before is not null and (kind, relation, name) not in (select kind, relation, name from present)
    ),
    compared as (
        select
            present.*, released.definition as old_definition, released.fingerprint as old_fingerprint,
            released.before is distinct from state as is_new,
            released.before is distinct from state and (stage = 'upgrade' or stage = 'downgrade' and released.fingerprint is not null)
                as is_made
        from present
        left join montoit.released_objects as released using (kind, relation, name)
    ),
    opened as (
        select relation from compared where stage = 'upgrade' and kind in ('policy', 'function') and is_made
        except
        select relation from montoit.released_objects where kind in ('policy', 'function') and fingerprint is not null
    ),
    recorded as (
        select *, is_made or kind in ('owner', 'grant', 'row level security') and relation in (select relation from opened) as is_ours
        from compared
    )
    insert into montoit.released_objects as released (kind, relation, name, definition, fingerprint, before)
    select
        kind, relation, name, case when is_ours then definition else old_definition end,
        case when is_ours then fingerprint else old_fingerprint end, state
    from recorded
    where is_new or is_ours
    on conflict (kind, relation, name) do update
    set definition = excluded.definition, fingerprint = excluded.fingerprint, before = excluded.before
    where (released.fingerprint, released.before) is distinct from (excluded.fingerprint, excluded.before);
end;
$$;

CREATE FUNCTION montoit.record_override() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
    override public.feature_flag_overrides := coalesce(new, old);
    before jsonb;
    after jsonb;
begin
    if tg_op = 'UPDATE' and new *= old then
        return null;
    end if;
    if tg_op <> 'INSERT' then
        before := jsonb_build_object('is_enabled', old.is_enabled, 'expires_at', old.expires_at, 'reason', old.reason);
    end if;
    if tg_op <> 'DELETE' then
        after := jsonb_build_object('is_enabled', new.is_enabled, 'expires_at', new.expires_at, 'reason', new.reason);
    end if;
    insert into montoit.trail (subject, key, user_id, before, after)
    values (
        'override',
        coalesce(
            (select key from public.feature_flags where id = override.feature_flag_id), override.feature_flag_id::text
        ),
        override.user_id, jsonb_strip_nulls(before), jsonb_strip_nulls(after)
    );
    return null;
end;
$$;

CREATE FUNCTION montoit.refuse_to_lose_rows() RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    SET row_security TO 'off'
    AS $$
<<refuse>>
declare
    table_name text;
    rows_of text;
    own_rows text;
    found boolean;
    total bigint;
    losses text[] := '{}';
begin
    foreach table_name in array array[
        'public.feature_flags', 'public.feature_flag_history', 'public.feature_flag_overrides', 'public.api_keys',
        'public.payment_logs', 'public.sms_logs', 'public.whatsapp_logs', 'montoit.administrators', 'montoit.trail'
    ] loop
        -- The table's revision is applied if an object that it creates is there.
        continue when to_regclass(table_name) is null or case
            when table_name like '%.feature_flag%' then to_regclass('montoit.feature_flag_seed')::text
            when table_name = 'public.api_keys' then to_regclass('montoit.given_credentials')::text
            when table_name like '%\_logs' then to_regproc('montoit.unfinished_logs')::text
            else table_name
        end is null;
        own_rows := 'true';
        if to_regclass('montoit.adopted_tables') is not null then
            own_rows := coalesce(
                (select a.own_rows from montoit.adopted_tables as a where 'public.' || a.table_name = refuse.table_name),
                'true'
            );
        end if;
        continue when own_rows = 'false';
        rows_of := format('from %s as t where (%s)', table_name, own_rows);
        if table_name = 'public.feature_flag_history' then
            -- The adoption's own change of a share is no loss.
            rows_of := rows_of || ' and reason is distinct from ''montoit_db: adoption''';
        elsif table_name = 'public.feature_flags' then
            rows_of := rows_of || ' and not exists (
                select from montoit.feature_flag_seed as s
                where to_jsonb(t) - ''{id, created_at, updated_at}''::text[] = to_jsonb(s) || ''{
                    "description": null, "allowed_roles": [], "metadata": {}, "created_by": null, "updated_by": null
                }''
            )';
        end if;
        execute 'select exists (select ' || rows_of || ')' into found;
        if found then
            execute 'select count(*) ' || rows_of into total;
            losses := losses || format('  %s : %s ligne%s', replace(table_name, 'public.', ''), total, case when total > 1 then 's' end);
        end if;
    end loop;
    if losses <> '{}' then
        raise exception using
            errcode = 'MT001',
            message = array_to_string(losses, e'\n'),
            hint = 'alembic -x allow-data-loss=yes downgrade …';
    end if;
end;
$$;

CREATE FUNCTION montoit.roles_of(target_user uuid) RETURNS text[]
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
declare
    roles text[];
    claims jsonb := case when current_setting('request.jwt.claims', true) <> '' then montoit.jwt_claims() end;
    tables name[];
begin
    -- One query: each costs a check a tenth of its time. A plain table of the user as whom a check runs is the usual case; of others
    -- is_trusted_table decides.
    select
        array(select 'admin'::text from montoit.administrators where user_id = target_user),
        array(
            select relname
            from pg_catalog.pg_class
            where relnamespace = 'public'::regnamespace and relname in ('user_roles', 'user_role_assignments') and (
                relkind in ('r', 'p') and pg_get_userbyid(relowner) = current_user
                or montoit.is_trusted_table(relname::text)
            )
        )
    into roles, tables;
    if target_user::text = lower(claims ->> 'sub') then
        roles := roles || (claims -> 'app_metadata' ->> 'role');
    end if;
    -- A statement is planned when it is first reached: a table that is not there, or not trusted, is not looked at.
    if 'user_roles' = any (tables) then
        roles := roles || array(select role::text from public.user_roles where user_id = roles_of.target_user);
    end if;
    if 'user_role_assignments' = any (tables) then
        roles := roles || array(
            select role_type::text from public.user_role_assignments where user_id = roles_of.target_user and is_active
        );
    end if;
    return roles;
end;
$$;

CREATE FUNCTION montoit.sees_everything() RETURNS boolean
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
begin
    return montoit.is_trusted(montoit.caller_role()) or montoit.is_admin();
end;
$$;

CREATE FUNCTION montoit.stamp_author() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
    me uuid := montoit.current_user_id();
begin
    if tg_op = 'INSERT' then
        new.created_by := me;
    elsif new.created_by is not null or me is not null then
        new.created_by := old.created_by;
    end if;
    if tg_table_name <> 'feature_flags' then
        return new;
    end if;
    if tg_op = 'INSERT' or me is not null and new *<> old then
        new.updated_by := me;
    elsif new.updated_by is not null or me is not null then
        new.updated_by := old.updated_by;
    end if;
    return new;
end;
$$;

CREATE FUNCTION montoit.stamp_trail() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
begin
    new.at := clock_timestamp();
    new.jwt_user := montoit.current_user_id();
    new.role := montoit.caller_role();
    new.login_role := session_user;
    new.reason := montoit.order_reason();
    return new;
end;
$$;

CREATE FUNCTION montoit.store_credentials(target_environment text, target_store text, credentials jsonb) RETURNS text[]
    LANGUAGE plpgsql
    SET search_path TO ''
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
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

CREATE FUNCTION montoit.switch_off(why text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
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

CREATE FUNCTION montoit.take_credential() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
    kept text;
begin
    kept := set_config('montoit.' || new.key_name, new.value, true);
    return null;
end;
$$;

CREATE FUNCTION montoit.take_over_access(VARIADIC names text[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $_$
declare
    part record;
    administrators text;
begin
    for part in
        select table_name, object, ends, restores, told
        from (
            with tables as (
                select oid, relname::text as table_name, relowner, relacl, relrowsecurity, relforcerowsecurity
                from pg_catalog.pg_class
                where relnamespace = 'public'::regnamespace and relname = any (names)
                  and relname in (select adopted.table_name from montoit.adopted_tables as adopted)
            ),
            functions as (
                select
                    case when proname in ('get_api_keys', 'log_api_usage') then 'api_keys' else 'feature_flags' end as table_name,
                    format('%I.%I(%s)', 'public', proname, pg_get_function_identity_arguments(oid)) as signature,
                    format('%s(%s)', proname, oidvectortypes(proargtypes)) as short,
                    -- Replaced in place (create or replace), so that what depends on it stays.
                    (proname, pg_get_function_arguments(oid), pg_get_function_result(oid)) in (
                        ('check_feature_flag', 'flag_key text, user_id uuid DEFAULT NULL::uuid', 'boolean'),
                        ('check_feature_flags', 'user_id uuid DEFAULT NULL::uuid', 'jsonb'),
                        ('get_api_keys', 'service text', 'jsonb')
                    ) as is_replaced,
                    proname, oid, proowner, coalesce(proacl, acldefault('f', proowner)) as acl
                from pg_catalog.pg_proc
                where pronamespace = 'public'::regnamespace and prokind = 'f' and proname = any (
                    case when 'feature_flags' = any (names) then array['check_feature_flag', 'check_feature_flags'] end
                    || case when 'api_keys' = any (names) then array['get_api_keys', 'log_api_usage'] end
                )
            ),
            grants as ( -- in the order in which they were given, so that the restored list is the same
                select
                    table_name, 'table' as kind, format('public.%I', table_name) as object, null as short, '' as columns,
                    acl.grantee, acl.is_grantable, acl.privilege_type, acl.position
                from tables
                cross join aclexplode(coalesce(relacl, acldefault('r', relowner)))
                    with ordinality as acl (grantor, grantee, privilege_type, is_grantable, position)
                where acl.grantee <> relowner
                union all
                select
                    table_name, 'table', format('public.%I', table_name), null, format(' (%I)', attname),
                    acl.grantee, acl.is_grantable, acl.privilege_type, 1000 * attnum + acl.position
                from tables
                join pg_catalog.pg_attribute on attrelid = tables.oid and attacl is not null and not attisdropped
                cross join aclexplode(attacl)
                    with ordinality as acl (grantor, grantee, privilege_type, is_grantable, position)
                where acl.grantee <> relowner
                union all
                select
                    table_name, 'function', signature, short, '', acl.grantee, acl.is_grantable, acl.privilege_type, acl.position
                from functions
                cross join aclexplode(acl) with ordinality as acl (grantor, grantee, privilege_type, is_grantable, position)
                where acl.grantee <> proowner
            ),
            granted as (
                select
                    table_name, kind, object, short,
                    string_agg(distinct role, ', ') as roles,
                    string_agg(
                        format(
                            'grant %s%s on %s %s to %s%s;', privilege_type, columns, kind, object, role,
                            case when is_grantable then ' with grant option' end
                        ),
                        ' ' order by position
                    ) as statements
                from grants
                cross join lateral (
                    select case when grantee = 0 then 'public' else quote_ident(pg_get_userbyid(grantee)) end as role
                ) as named
                group by table_name, kind, object, short
            )
            select 1 as step, table_name, 'row level security' as object,
                format('alter table public.%I enable row level security', table_name) as ends,
                format('alter table public.%I disable row level security', table_name) as restores,
                'accès sans règles (row level security était éteinte)' as told
            from tables where not relrowsecurity
            union all
            select 1, table_name, 'forced row level security',
                format('alter table public.%I no force row level security', table_name),
                format('alter table public.%I force row level security', table_name), null
            from tables where relforcerowsecurity
            union all
            select 3, table_name, format('policy %I', polname),
                format('drop policy %I on public.%I', polname, table_name),
                format(
                    'drop policy if exists %1$I on public.%2$I; create policy %1$I on public.%2$I as %3$s for %4$s to %5$s%6$s%7$s',
                    polname, table_name,
                    case when polpermissive then 'permissive' else 'restrictive' end, command, roles,
                    ' using (' || pg_get_expr(polqual, polrelid) || ')',
                    ' with check (' || pg_get_expr(polwithcheck, polrelid) || ')'
                ) || format('; comment on policy %I on public.%I is %L', polname, table_name,
                            obj_description(pg_policy.oid, 'pg_policy')),
                format('règle « %s » (%s pour %s), retirée', polname, command, roles)
            from pg_catalog.pg_policy
            join tables on tables.oid = polrelid
            cross join lateral (
                select
                    case polcmd when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' when 'd' then 'delete'
                        else 'all' end as command,
                    (select string_agg(case when role = 0 then 'public' else quote_ident(pg_get_userbyid(role)) end, ', ')
                     from unnest(polroles) as role) as roles
            ) as described
            union all
            select 4, table_name, format('%s %s', case when is_replaced then 'function' else 'dropped function' end, signature),
                case
                    when is_replaced then 'select'
                    when proname = 'log_api_usage' then format(
                        'alter function %s set search_path = public, pg_temp; grant execute on function %1$s to service_role',
                        signature
                    )
                    else format('drop function %s', signature)
                end,
                format(
                    '%s; revoke all on function %s from public, anon, authenticated, service_role; %s', pg_get_functiondef(oid),
                    signature, (select statements from granted where object = signature)
                ) || format(' comment on function %s is %L;', signature, obj_description(oid, 'pg_proc')),
                format('fonction %s, %s', short, case
                    when proname = 'log_api_usage' then 'gardée pour service_role seul'
                    when is_replaced then 'remplacée'
                    else 'retirée'
                end)
            from functions
            union all
            -- Step 0: before the functions of step 4 are replaced, or granted to service_role.
            select case kind when 'function' then 0 else 5 end, table_name, format('grants on %s', object),
                format('revoke all on %s %s from %s', kind, object, roles),
                case kind when 'table' then statements else 'select' end, -- a function's grants come back with it
                format('droits retirés à %s%s', roles, ' sur ' || short) || case
                    when roles !~ '\mservice_role\M' then ''
                    when kind = 'function' then ' ; service_role continue de l''appeler'
                    when table_name = 'feature_flag_history' then ' ; service_role reçoit les nôtres : lire'
                    else ' ; service_role reçoit les nôtres : lire et écrire'
                end
            from granted
        ) as access
        order by table_name, step, object
    loop
        perform montoit.adopt('access', part.table_name, part.object, part.ends, part.restores, part.told);
    end loop;

    -- profiles.user_type no longer makes an administrator, since users write it themselves: names who loses the rights.
    if 'api_keys' = any (names) and to_regclass('public.api_keys') is not null
        and montoit.is_trusted_table('profiles') and 2 = (
        select count(*) from pg_catalog.pg_attribute
        where attrelid = to_regclass('public.profiles') and attname in ('id', 'user_type')
    ) then
        execute $query$
            select string_agg(id::text, ', ' order by id) from public.profiles where user_type::text like 'admin%'
        $query$ into administrators;
        insert into montoit.adoption_steps (stage, table_name, object, undo, told)
        select 'access', 'api_keys', 'administrators', 'select',
               'perdent leurs droits d''administrateur (profiles.user_type) : ' || administrators
        where administrators is not null;
    end if;
end;
$_$;

CREATE FUNCTION montoit.touch_updated_at() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
begin
    if new *<> old then
        new.updated_at := now();
    end if;
    return new;
end;
$$;

CREATE FUNCTION montoit.undo(stage text, table_name text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    SET check_function_bodies TO 'off'
    AS $$
declare
    step record;
    state text;
    reason text;
begin
    for step in
        select id, object, steps.undo from montoit.adoption_steps as steps
        where steps.stage = undo.stage and steps.table_name = undo.table_name
        order by id desc
    loop
        begin
            if step.undo like 'update %' or step.undo like 'delete %' then
                perform montoit.change_rows(step.undo);
            else
                execute step.undo;
            end if;
        exception
            when others then
                get stacked diagnostics state = returned_sqlstate, reason = message_text;
                perform montoit.raise_not_given_back(undo.table_name, step.object, state, reason);
        end;
        delete from montoit.adoption_steps where id = step.id;
    end loop;
end;
$$;

CREATE FUNCTION montoit.unfinished_logs() RETURNS TABLE(step integer, table_name text, statement text, is_large boolean)
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
#variable_conflict use_column
begin
    return query
    select step, table_name, statement, is_large
    from (
        with wanted as (
            select
                table_name, format('idx_%s_%s', table_name, column_name) as index_name, column_name,
                format('public.%I', table_name)::regclass as relation
            from unnest(array['payment_logs', 'sms_logs', 'whatsapp_logs']) as table_name
            cross join unnest(array['created_at', 'user_id']) as column_name
        ),
        found as (
            select
                wanted.*, indexrelid is not null as exists, coalesce(indisvalid, false) as is_valid,
                pg_relation_size(relation) > 8 * 1024 * 1024 as is_large -- some 40,000 rows, read in a few milliseconds
            from wanted
            left join pg_catalog.pg_index
                on indrelid = relation and indexrelid = to_regclass(format('public.%I', index_name))
        )
        select
            2 as step, table_name, is_large,
            format('drop index %s public.%I;', case when is_large then 'concurrently' else '' end, index_name) as statement
        from found where exists and not is_valid
        union all
        select
            3, table_name, is_large,
            format(
                'create index %s %I on public.%I (%I);',
                case when is_large then 'concurrently' else '' end, index_name, table_name, column_name
            )
        from found where not is_valid
        union all
        select distinct
            1, found.table_name, is_large,
            format('alter table public.%I validate constraint %I;', found.table_name, conname)
        from found
        join pg_catalog.pg_constraint on conrelid = relation and contype = 'c' and not convalidated
        where not exists (
            select from montoit.adopted_tables as adopted
            where adopted.table_name = found.table_name and conname = any (adopted.constraints)
        )
    ) as unfinished;
end;
$$;

CREATE FUNCTION montoit.verify_credentials(ordered_environment text, names text[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
declare
    credentials integer;
    others integer;
begin
    select
        count(*) filter (
            where stored.environment = ordered_environment
              and stored.key_name = any (names)
              and stored.value <> ''
              and stored.value = current_setting('montoit.' || stored.key_name, true)
        ),
        count(*) filter (where stored.environment <> ordered_environment)
    into credentials, others
    from montoit.read_credentials('intouch') as stored
    where stored.is_active;

    if (credentials, others) is distinct from (cardinality(names), 0) then
        raise exception using
            errcode = 'MT002',
            message = format(
                'Enregistrement annulé : après écriture la base montre %s/%s identifiants, et %s d''un autre '
                'environnement encore actifs. Cherchez un déclencheur (trigger) ajouté à public.api_keys.',
                credentials, cardinality(names), others
            );
    end if;

    perform set_config('montoit.' || name, '', true) from unnest(names) as name;
end;
$$;

CREATE FUNCTION public.check_feature_flag(flag_key text, user_id uuid DEFAULT NULL::uuid) RETURNS boolean
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
begin
    return montoit.check_flag(user_id, flag_key);
end;
$$;

CREATE FUNCTION public.check_feature_flags(user_id uuid DEFAULT NULL::uuid) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
begin
    return montoit.check_flags(user_id);
end;
$$;

CREATE FUNCTION public.get_api_keys(service text) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
    document jsonb;
    keys jsonb;
    is_ours boolean;
    active_environment text;
    environments integer;
begin
    select
        bool_or(k.key_name is not null),
        max(k.environment) filter (where k.key_name is not null and k.is_active),
        count(distinct k.environment) filter (where k.key_name is not null and k.is_active)
    into is_ours, active_environment, environments
    from public.api_keys as k where k.service_name = get_api_keys.service;
    if is_ours and (active_environment is null or environments > 1 and get_api_keys.service = 'intouch') then
        return null;
    end if;

    select to_jsonb(k) -> 'keys' into document
    from public.api_keys as k
    where k.service_name = get_api_keys.service and k.key_name is null and k.is_active;

    if is_ours then
        select jsonb_object_agg(c.key_name, c.value) into keys
        from montoit.read_credentials(get_api_keys.service) as c
        where c.is_active and c.value is not null and c.environment = active_environment;
    end if;

    -- At most once a minute, without waiting for a row that somebody has locked. A failure is ignored: the credentials can
    -- also be read on a read-only server, or while a trigger of somebody else fails.
    if exists (
        select from public.api_keys as k
        where k.service_name = get_api_keys.service and k.is_active
          and (k.key_name is null or k.environment = active_environment)
          and (k.last_used_at is null or k.last_used_at < now() - interval '1 minute')
    ) then
        begin
            perform montoit.change_rows(format(
                'update public.api_keys set last_used_at = now() where id = any (%L::uuid[])',
                array(
                    select k.id from public.api_keys as k
                    where k.service_name = get_api_keys.service and k.is_active
                      and (k.key_name is null or k.environment = active_environment)
                      and (k.last_used_at is null or k.last_used_at < now() - interval '1 minute')
                    for no key update skip locked
                )
            ));
        exception
            when others then
                null;
        end;
    end if;
    return case when document is null or keys is null then coalesce(document, keys) else document || keys end;
end;
$$;

CREATE TABLE montoit.administrators (
    user_id uuid NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);

COMMENT ON TABLE montoit.administrators IS 'Users who administer flags, besides those whose JWT says so in app_metadata.role.';

CREATE TABLE montoit.adopted_tables (
    table_name text NOT NULL,
    own_rows text DEFAULT 'false'::text NOT NULL,
    columns text[] NOT NULL,
    indexes text[] NOT NULL,
    constraints text[] NOT NULL,
    adopted_at timestamp with time zone DEFAULT now() NOT NULL
);

COMMENT ON TABLE montoit.adopted_tables IS 'Tables that the first upgrade found, with what they had; `downgrade base` gives them back.';

COMMENT ON COLUMN montoit.adopted_tables.own_rows IS 'SQL condition of the rows that the package wrote; they go when the table is given back.';

CREATE TABLE montoit.adoption_steps (
    id integer NOT NULL,
    stage text NOT NULL,
    table_name text NOT NULL,
    object text NOT NULL,
    undo text NOT NULL,
    told text
);

COMMENT ON TABLE montoit.adoption_steps IS 'Steps of the adoption, each with the statement that undoes it; the last step is undone first.';

COMMENT ON COLUMN montoit.adoption_steps.stage IS 'Who undoes the step; tables: the adoption''s downgrade, access: that of the table''s own revision.';

COMMENT ON COLUMN montoit.adoption_steps.told IS 'What operators are told of it; null: nothing.';

ALTER TABLE montoit.adoption_steps ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME montoit.adoption_steps_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE montoit.alembic_version (
    version_num character varying(32) NOT NULL
);

CREATE VIEW montoit.feature_flag_seed WITH (security_invoker='true') AS
 SELECT key,
    category,
    name,
    is_enabled,
    requires_credentials,
    credentials_status,
    rollout_percentage
   FROM ( VALUES ('ab_testing'::text,'advanced'::text,'A/B Testing'::text,false,false,'production'::text,50), ('beta_features'::text,'advanced'::text,'Fonctionnalités Beta'::text,false,false,'production'::text,10), ('debug_mode'::text,'advanced'::text,'Mode Debug'::text,false,false,'production'::text,0), ('agency_commissions'::text,'agency'::text,'Commissions d''Agences'::text,true,false,'production'::text,100), ('agency_management'::text,'agency'::text,'Gestion d''Agences'::text,true,false,'production'::text,100), ('agency_team'::text,'agency'::text,'Équipes d''Agences'::text,true,false,'production'::text,100), ('ai_chatbot'::text,'ai'::text,'Chatbot IA (SUTA)'::text,true,true,'production'::text,100), ('ai_image_generation'::text,'ai'::text,'Génération d''Images IA'::text,false,true,'not_configured'::text,0), ('ai_property_description'::text,'ai'::text,'Description IA'::text,true,true,'production'::text,100), ('ai_recommendations'::text,'ai'::text,'Recommandations IA'::text,true,false,'production'::text,100), ('analytics_dashboard'::text,'analytics'::text,'Dashboard Analytics'::text,true,false,'production'::text,100), ('export_reports'::text,'analytics'::text,'Export de Rapports'::text,true,false,'production'::text,100), ('realtime_analytics'::text,'analytics'::text,'Analytics Temps Réel'::text,false,false,'production'::text,0), ('monartisan'::text,'maintenance'::text,'MonArtisan'::text,true,false,'production'::text,100), ('monartisan_payment'::text,'maintenance'::text,'Paiement MonArtisan'::text,false,true,'not_configured'::text,0), ('monartisan_warranty'::text,'maintenance'::text,'Garantie Travaux'::text,false,false,'production'::text,0), ('map_clustering'::text,'map'::text,'Clustering de Carte'::text,false,false,'production'::text,0), ('map_directions'::text,'map'::text,'Itinéraires'::text,false,true,'not_configured'::text,0), ('map_heatmap'::text,'map'::text,'Heatmap des Prix'::text,false,false,'production'::text,0), ('mapbox_integration'::text,'map'::text,'Carte Mapbox'::text,true,true,'production'::text,100), ('ai_moderation'::text,'moderation'::text,'Modération IA'::text,false,true,'not_configured'::text,0), ('content_moderation'::text,'moderation'::text,'Modération de Contenu'::text,true,false,'production'::text,100), ('fraud_detection'::text,'moderation'::text,'Détection de Fraude'::text,true,false,'production'::text,100), ('email_notifications'::text,'notification'::text,'Notifications Email'::text,true,true,'production'::text,100), ('push_notifications'::text,'notification'::text,'Notifications Push'::text,false,true,'not_configured'::text,0), ('sms_notifications'::text,'notification'::text,'Notifications SMS'::text,false,true,'not_configured'::text,0), ('whatsapp_notifications'::text,'notification'::text,'Notifications WhatsApp'::text,false,true,'not_configured'::text,0), ('intouch_payment'::text,'payment'::text,'Paiements InTouch'::text,false,true,'not_configured'::text,0), ('moov_money'::text,'payment'::text,'Moov Money'::text,false,true,'not_configured'::text,0), ('mtn_money'::text,'payment'::text,'MTN Money'::text,false,true,'not_configured'::text,0), ('orange_money'::text,'payment'::text,'Orange Money'::text,false,true,'not_configured'::text,0), ('split_payment'::text,'payment'::text,'Split Payment (99%/1%)'::text,false,false,'production'::text,0), ('wave_payment'::text,'payment'::text,'Wave'::text,false,true,'not_configured'::text,0), ('cryptoneo_signature'::text,'signature'::text,'Signature CEV CryptoNeo'::text,false,true,'not_configured'::text,0), ('electronic_signature'::text,'signature'::text,'Signature Électronique Simple'::text,true,false,'production'::text,100), ('cnam_verification'::text,'verification'::text,'Vérification CNAM'::text,false,true,'not_configured'::text,0), ('facial_verification'::text,'verification'::text,'Vérification Biométrique'::text,false,true,'not_configured'::text,0), ('oneci_verification'::text,'verification'::text,'Vérification ONECI (NNI)'::text,false,true,'not_configured'::text,0), ('passport_verification'::text,'verification'::text,'Vérification Passeport'::text,true,false,'production'::text,100)) seed(key, category, name, is_enabled, requires_credentials, credentials_status, rollout_percentage);

CREATE VIEW montoit.given_credentials WITH (security_invoker='true') AS
 SELECT NULL::text AS key_name,
    NULL::text AS value
  WHERE false;

CREATE VIEW montoit.objects WITH (security_invoker='true') AS
 WITH names(name) AS (
         VALUES ('feature_flags'::text), ('feature_flag_history'::text), ('feature_flag_overrides'::text), ('api_keys'::text), ('payment_logs'::text), ('sms_logs'::text), ('whatsapp_logs'::text), ('intouch_prices'::text), ('intouch_payments_daily'::text), ('intouch_sms_daily'::text), ('intouch_whatsapp_daily'::text), ('intouch_costs'::text), ('intouch_failure_rate'::text), ('check_feature_flag'::text), ('check_feature_flags'::text), ('get_api_keys'::text)
        ), relations AS (
         SELECT pg_class.oid,
            format('%I.%I'::text, pg_namespace.nspname, pg_class.relname) AS relation,
            pg_class.relkind,
            pg_class.relowner,
            pg_class.relacl,
            pg_class.relrowsecurity,
            pg_class.relforcerowsecurity,
            pg_class.reloptions,
                CASE pg_class.relkind
                    WHEN 'v'::"char" THEN 'view'::text
                    WHEN 'S'::"char" THEN 'sequence'::text
                    ELSE 'table'::text
                END AS word
           FROM (pg_class
             JOIN pg_namespace ON ((pg_namespace.oid = pg_class.relnamespace)))
          WHERE ((pg_class.relkind = ANY (ARRAY['r'::"char", 'p'::"char", 'v'::"char", 'S'::"char"])) AND ((pg_namespace.nspname = 'montoit'::name) OR ((pg_namespace.nspname = 'public'::name) AND (pg_class.relname IN ( SELECT names.name
                   FROM names)))))
        ), functions AS (
         SELECT pg_proc.oid,
            format('%I.%I(%s)'::text, pg_namespace.nspname, pg_proc.proname, pg_get_function_identity_arguments(pg_proc.oid)) AS relation,
            pg_proc.proowner,
            pg_proc.proacl,
            pg_proc.ctid AS version
           FROM (pg_proc
             JOIN pg_namespace ON ((pg_namespace.oid = pg_proc.pronamespace)))
          WHERE ((pg_proc.prokind = 'f'::"char") AND ((pg_namespace.nspname = 'montoit'::name) OR ((pg_namespace.nspname = 'public'::name) AND (pg_proc.proname IN ( SELECT names.name
                   FROM names)))))
        ), privileges AS (
         SELECT relations.relation,
            relations.word,
            relations.relowner AS owner,
            acl.grantee,
            acl.is_grantable,
            acl.privilege_type AS privilege
           FROM relations,
            LATERAL aclexplode(relations.relacl) acl(grantor, grantee, privilege_type, is_grantable)
        UNION ALL
         SELECT relations.relation,
            relations.word,
            relations.relowner,
            acl.grantee,
            acl.is_grantable,
            format('%s (%I)'::text, acl.privilege_type, pg_attribute.attname) AS format
           FROM ((relations
             JOIN pg_attribute ON (((pg_attribute.attrelid = relations.oid) AND (NOT pg_attribute.attisdropped))))
             CROSS JOIN LATERAL aclexplode(pg_attribute.attacl) acl(grantor, grantee, privilege_type, is_grantable))
        UNION ALL
         SELECT functions.relation,
            'function'::text,
            functions.proowner,
            acl.grantee,
            acl.is_grantable,
            acl.privilege_type
           FROM functions,
            LATERAL aclexplode(COALESCE(functions.proacl, acldefault('f'::"char", functions.proowner))) acl(grantor, grantee, privilege_type, is_grantable)
        UNION ALL
         SELECT 'montoit'::text,
            'schema'::text,
            pg_namespace.nspowner,
            acl.grantee,
            acl.is_grantable,
            acl.privilege_type
           FROM pg_namespace,
            LATERAL aclexplode(pg_namespace.nspacl) acl(grantor, grantee, privilege_type, is_grantable)
          WHERE (pg_namespace.nspname = 'montoit'::name)
        ), owners AS (
         SELECT relations.relation,
            relations.word,
            relations.relowner AS owner
           FROM relations
        UNION ALL
         SELECT functions.relation,
            'function'::text,
            functions.proowner
           FROM functions
        ), objects(kind, relation, name, definition, compared, version) AS (
         SELECT 'owner'::text AS "?column?",
            owners.relation,
            ''::text AS "?column?",
            format('alter %s %s owner to %I'::text, owners.word, owners.relation, pg_get_userbyid(owners.owner)) AS format,
                CASE
                    WHEN (owners.owner = pg_namespace.nspowner) THEN 'the owner of the schema'::text
                    ELSE (pg_get_userbyid(owners.owner))::text
                END AS pg_get_userbyid,
            NULL::tid AS tid
           FROM owners,
            pg_namespace
          WHERE (pg_namespace.nspname = 'montoit'::name)
        UNION ALL
         SELECT 'grant'::text,
            privileges.relation,
            roles.grantee,
            format('grant %s on %s %s to %s'::text, string_agg(DISTINCT ((privileges.privilege ||
                CASE
                    WHEN privileges.is_grantable THEN ' (with grant option)'::text
                    ELSE ''::text
                END) COLLATE "C"), ', '::text), privileges.word, privileges.relation, roles.grantee) AS format,
            NULL::text,
            NULL::tid
           FROM (privileges
             CROSS JOIN LATERAL ( SELECT
                        CASE privileges.grantee
                            WHEN 0 THEN 'public'::text
                            ELSE quote_ident((pg_get_userbyid(privileges.grantee))::text)
                        END AS quote_ident) roles(grantee))
          WHERE ((privileges.grantee <> privileges.owner) AND (privileges.privilege <> 'MAINTAIN'::text))
          GROUP BY privileges.relation, privileges.word, roles.grantee
        UNION ALL
         SELECT 'row level security'::text,
            relations.relation,
            ''::text,
            format('alter table %s %s row level security, %s row level security'::text, relations.relation,
                CASE
                    WHEN relations.relrowsecurity THEN 'enable'::text
                    ELSE 'disable'::text
                END,
                CASE
                    WHEN relations.relforcerowsecurity THEN 'force'::text
                    ELSE 'no force'::text
                END) AS format,
            NULL::text,
            NULL::tid
           FROM relations
          WHERE (relations.word = 'table'::text)
        UNION ALL
         SELECT 'policy'::text,
            relations.relation,
            pg_policy.polname,
            format('create policy %I on %s as %s for %s to %s%s%s'::text, pg_policy.polname, relations.relation,
                CASE
                    WHEN pg_policy.polpermissive THEN 'permissive'::text
                    ELSE 'restrictive'::text
                END,
                CASE pg_policy.polcmd
                    WHEN 'r'::"char" THEN 'select'::text
                    WHEN 'a'::"char" THEN 'insert'::text
                    WHEN 'w'::"char" THEN 'update'::text
                    WHEN 'd'::"char" THEN 'delete'::text
                    ELSE 'all'::text
                END, ( SELECT string_agg(named.role, ', '::text ORDER BY (named.role COLLATE "C")) AS string_agg
                   FROM (unnest(pg_policy.polroles) id(id)
                     CROSS JOIN LATERAL ( SELECT
                                CASE id.id
                                    WHEN 0 THEN 'public'::text
                                    ELSE quote_ident((pg_get_userbyid(id.id))::text)
                                END AS quote_ident) named(role))), ((' using ('::text || pg_get_expr(pg_policy.polqual, pg_policy.polrelid)) || ')'::text), ((' with check ('::text || pg_get_expr(pg_policy.polwithcheck, pg_policy.polrelid)) || ')'::text)) AS format,
            NULL::text,
            pg_policy.ctid
           FROM (pg_policy
             JOIN relations ON ((relations.oid = pg_policy.polrelid)))
        UNION ALL
         SELECT 'column'::text,
            relations.relation,
            pg_attribute.attname,
            format('alter table %s add column %I %s%s%s'::text, relations.relation, pg_attribute.attname, format_type(pg_attribute.atttypid, pg_attribute.atttypmod),
                CASE
                    WHEN pg_attribute.attnotnull THEN ' not null'::text
                    ELSE NULL::text
                END,
                CASE
                    WHEN (pg_attribute.attidentity <> ''::"char") THEN ' generated as identity'::text
                    WHEN (pg_attribute.attgenerated <> ''::"char") THEN format(' generated always as (%s)'::text, pg_get_expr(pg_attrdef.adbin, pg_attrdef.adrelid))
                    ELSE (' default '::text || pg_get_expr(pg_attrdef.adbin, pg_attrdef.adrelid))
                END) AS format,
            NULL::text,
            NULL::tid
           FROM ((pg_attribute
             JOIN relations ON (((relations.oid = pg_attribute.attrelid) AND (relations.word = 'table'::text))))
             LEFT JOIN pg_attrdef ON (((pg_attrdef.adrelid = pg_attribute.attrelid) AND (pg_attrdef.adnum = pg_attribute.attnum))))
          WHERE ((pg_attribute.attnum > 0) AND (NOT pg_attribute.attisdropped))
        UNION ALL
         SELECT 'constraint'::text,
            relations.relation,
            pg_constraint.conname,
            format('alter table %s add constraint %I %s'::text, relations.relation, pg_constraint.conname, shown.text) AS format,
            regexp_replace(shown.text, ' NOT VALID$'::text, ''::text) AS regexp_replace,
            NULL::tid
           FROM ((pg_constraint
             JOIN relations ON ((relations.oid = pg_constraint.conrelid)))
             CROSS JOIN LATERAL ( SELECT pg_get_constraintdef(pg_constraint.oid) AS pg_get_constraintdef
                 OFFSET 0) shown(text))
          WHERE (pg_constraint.contype = ANY (ARRAY['p'::"char", 'u'::"char", 'c'::"char", 'f'::"char", 'x'::"char"]))
        UNION ALL
         SELECT 'index'::text,
            relations.relation,
            index.relname,
            (pg_get_indexdef(index.oid) ||
                CASE
                    WHEN pg_index.indisvalid THEN ''::text
                    ELSE ' (invalid)'::text
                END),
            NULL::text,
            NULL::tid
           FROM ((pg_index
             JOIN pg_class index ON ((index.oid = pg_index.indexrelid)))
             JOIN relations ON ((relations.oid = pg_index.indrelid)))
          WHERE (NOT (EXISTS ( SELECT
                   FROM pg_constraint
                  WHERE ((pg_constraint.conindid = pg_index.indexrelid) AND (pg_constraint.contype = ANY (ARRAY['p'::"char", 'u'::"char", 'x'::"char"]))))))
        UNION ALL
         SELECT 'trigger'::text,
            relations.relation,
            pg_trigger.tgname,
            (pg_get_triggerdef(pg_trigger.oid) ||
                CASE pg_trigger.tgenabled
                    WHEN 'O'::"char" THEN ''::text
                    ELSE format('; alter table %s %s trigger %I'::text, relations.relation,
                    CASE pg_trigger.tgenabled
                        WHEN 'D'::"char" THEN 'disable'::text
                        ELSE 'enable'::text
                    END, pg_trigger.tgname)
                END),
            NULL::text,
            pg_trigger.ctid
           FROM (pg_trigger
             JOIN relations ON ((relations.oid = pg_trigger.tgrelid)))
          WHERE ((NOT pg_trigger.tgisinternal) AND (pg_trigger.tgfoid IN ( SELECT functions.oid
                   FROM functions)))
        UNION ALL
         SELECT 'function'::text,
            functions.relation,
            ''::text,
            pg_get_functiondef(functions.oid) AS pg_get_functiondef,
            NULL::text,
            functions.version
           FROM functions
        UNION ALL
         SELECT 'view'::text,
            relations.relation,
            ''::text,
            format('create or replace view %s%s as%s'::text, relations.relation, given.options, shown.text) AS format,
            concat_ws(' '::text, given.options, regexp_replace(regexp_replace(shown.text, '\m\w+\.'::text, ''::text, 'g'::text), '::(\w+) AS \1'::text, '::\1'::text, 'g'::text), ( SELECT string_agg(DISTINCT (pg_identify_object.identity COLLATE "C"), ', '::text) AS string_agg
                   FROM (pg_depend
                     CROSS JOIN LATERAL pg_identify_object(pg_depend.refclassid, pg_depend.refobjid, pg_depend.refobjsubid) pg_identify_object(type, schema, name, identity))
                  WHERE ((pg_depend.classid = ('pg_rewrite'::regclass)::oid) AND (pg_depend.objid = pg_rewrite.oid) AND (pg_depend.refobjid <> relations.oid)))) AS concat_ws,
            pg_rewrite.ctid
           FROM (((relations
             JOIN pg_rewrite ON (((pg_rewrite.ev_class = relations.oid) AND (pg_rewrite.rulename = '_RETURN'::name))))
             CROSS JOIN LATERAL ( SELECT ((' with ('::text || array_to_string(relations.reloptions, ', '::text)) || ')'::text) AS "?column?") given(options))
             CROSS JOIN LATERAL ( SELECT pg_get_viewdef(relations.oid) AS pg_get_viewdef
                 OFFSET 0) shown(text))
        )
 SELECT kind,
    relation,
    name,
    definition,
    md5(COALESCE(compared, definition)) AS fingerprint,
    (version)::text AS version
   FROM objects;

CREATE TABLE montoit.released_objects (
    kind text NOT NULL,
    relation text NOT NULL,
    name text NOT NULL,
    definition text,
    fingerprint text,
    before text
);

COMMENT ON TABLE montoit.released_objects IS 'Objects as the revisions left them; each row was written by the revision that made the object.';

COMMENT ON COLUMN montoit.released_objects.relation IS 'Table, view or function that it is, or belongs to.';

COMMENT ON COLUMN montoit.released_objects.name IS 'Empty: there is one of its kind.';

COMMENT ON COLUMN montoit.released_objects.definition IS 'The statement that makes it; null: no revision made it.';

COMMENT ON COLUMN montoit.released_objects.fingerprint IS 'Hash of what is compared; null: no revision made it.';

COMMENT ON COLUMN montoit.released_objects.before IS 'How a revision found the object; null: it was not there, or none runs.';

CREATE TABLE montoit.trail (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    subject text NOT NULL,
    key text,
    user_id uuid,
    jwt_user uuid,
    role text NOT NULL,
    login_role text NOT NULL,
    reason text,
    before jsonb,
    after jsonb
);

COMMENT ON TABLE montoit.trail IS 'Who ordered what, and why. Written by triggers and commands, and only added to. Flags have feature_flag_history.';

COMMENT ON COLUMN montoit.trail.at IS 'When the line was written, so that the lines of a transaction have an order.';

COMMENT ON COLUMN montoit.trail.subject IS 'activation, rollback, rotation, rollout or purge (an order); override, credential or administrator (a row).';

COMMENT ON COLUMN montoit.trail.key IS 'What was changed: a flag''s key, a credential''s name. Never a value.';

COMMENT ON COLUMN montoit.trail.user_id IS 'Whom the change is about; no foreign key: the trail outlives the user.';

COMMENT ON COLUMN montoit.trail.jwt_user IS 'The JWT''s user; null: nobody signed in.';

COMMENT ON COLUMN montoit.trail.role IS 'Database role that made the change.';

COMMENT ON COLUMN montoit.trail.login_role IS 'Database role that logged in (session_user).';

COMMENT ON COLUMN montoit.trail.reason IS 'Why; null: the author did not say.';

CREATE TABLE public.api_keys (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    service_name text NOT NULL,
    key_name text NOT NULL,
    key_value text,
    secret_id uuid,
    endpoint text,
    environment text DEFAULT 'sandbox'::text NOT NULL,
    is_active boolean DEFAULT true NOT NULL,
    metadata jsonb DEFAULT '{}'::jsonb NOT NULL,
    last_used_at timestamp with time zone,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT api_keys_environment_check CHECK ((environment = ANY (ARRAY['sandbox'::text, 'production'::text]))),
    CONSTRAINT api_keys_one_store_check CHECK (((key_value IS NULL) OR (secret_id IS NULL)))
);

COMMENT ON TABLE public.api_keys IS 'Credentials of the services that the platform calls. For the service role alone.';

COMMENT ON COLUMN public.api_keys.key_value IS 'The secret itself; null: it is in the Vault, see secret_id.';

COMMENT ON COLUMN public.api_keys.secret_id IS 'The secret''s id in the Vault; null: it is in key_value.';

COMMENT ON COLUMN public.api_keys.endpoint IS 'Root of the service''s API.';

COMMENT ON COLUMN public.api_keys.last_used_at IS 'Last read by a caller; null: never.';

CREATE TABLE public.feature_flag_history (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    feature_flag_id uuid NOT NULL,
    flag_key text NOT NULL,
    action text NOT NULL,
    previous_value jsonb,
    new_value jsonb,
    changed_by uuid,
    actor text NOT NULL,
    changed_at timestamp with time zone DEFAULT now() NOT NULL,
    reason text,
    CONSTRAINT feature_flag_history_action_check CHECK ((action = ANY (ARRAY['created'::text, 'enabled'::text, 'disabled'::text, 'updated'::text, 'deleted'::text])))
);

COMMENT ON TABLE public.feature_flag_history IS 'Every change of a feature flag: who, what and why. Written by a trigger only.';

COMMENT ON COLUMN public.feature_flag_history.feature_flag_id IS 'No foreign key: history outlives the flag.';

COMMENT ON COLUMN public.feature_flag_history.previous_value IS 'The row before; null: it was created.';

COMMENT ON COLUMN public.feature_flag_history.new_value IS 'The row after; null: it was deleted.';

COMMENT ON COLUMN public.feature_flag_history.changed_by IS 'The JWT''s user; null: nobody signed in.';

COMMENT ON COLUMN public.feature_flag_history.actor IS 'Database role that made the change.';

COMMENT ON COLUMN public.feature_flag_history.reason IS 'Why; null: the author did not say.';

CREATE TABLE public.feature_flag_overrides (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    feature_flag_id uuid NOT NULL,
    user_id uuid NOT NULL,
    is_enabled boolean NOT NULL,
    reason text,
    expires_at timestamp with time zone,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    created_by uuid
);

COMMENT ON TABLE public.feature_flag_overrides IS 'A flag''s answer for one user, whatever its rollout says.';

COMMENT ON COLUMN public.feature_flag_overrides.expires_at IS 'End of the exception; null: never.';

COMMENT ON COLUMN public.feature_flag_overrides.created_by IS 'User who made it; null: a migration.';

CREATE TABLE public.feature_flags (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    key text NOT NULL,
    name text NOT NULL,
    description text,
    category text NOT NULL,
    is_enabled boolean DEFAULT false NOT NULL,
    requires_credentials boolean DEFAULT false NOT NULL,
    credentials_status text DEFAULT 'not_configured'::text NOT NULL,
    rollout_percentage integer DEFAULT 0 NOT NULL,
    allowed_roles text[] DEFAULT '{}'::text[] NOT NULL,
    metadata jsonb DEFAULT '{}'::jsonb NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    created_by uuid,
    updated_by uuid,
    CONSTRAINT feature_flags_credentials_status_check CHECK ((credentials_status = ANY (ARRAY['not_configured'::text, 'sandbox'::text, 'production'::text]))),
    CONSTRAINT feature_flags_rollout_percentage_check CHECK (((rollout_percentage >= 0) AND (rollout_percentage <= 100)))
);

COMMENT ON TABLE public.feature_flags IS 'Capabilities of the platform, each served to a share of its users.';

COMMENT ON COLUMN public.feature_flags.key IS 'Stable name that callers ask for.';

COMMENT ON COLUMN public.feature_flags.name IS 'Name that operators read, in French.';

COMMENT ON COLUMN public.feature_flags.description IS 'What it does; null: the name says it.';

COMMENT ON COLUMN public.feature_flags.credentials_status IS 'Environment whose credentials serve the flag; not_configured blocks one that requires them.';

COMMENT ON COLUMN public.feature_flags.rollout_percentage IS 'Share of users in percent; counts only while is_enabled.';

COMMENT ON COLUMN public.feature_flags.allowed_roles IS 'Roles that may use it; empty: everyone.';

COMMENT ON COLUMN public.feature_flags.created_by IS 'User who made it; null: a migration.';

COMMENT ON COLUMN public.feature_flags.updated_by IS 'User who changed it last; null: a migration.';

CREATE VIEW public.intouch_costs WITH (security_invoker='true') AS
 SELECT service,
    transactions,
    cost_fcfa,
    type
   FROM montoit.estimated_costs() estimated_costs(service, transactions, cost_fcfa, type);

CREATE TABLE public.payment_logs (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    user_id uuid,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    amount integer NOT NULL,
    status_code integer,
    provider text DEFAULT 'intouch'::text NOT NULL,
    status text DEFAULT 'pending'::text NOT NULL,
    payment_method text NOT NULL,
    phone_number text,
    partner_transaction_id text NOT NULL,
    intouch_transaction_id text,
    status_message text,
    raw_response jsonb,
    raw_callback jsonb,
    CONSTRAINT payment_logs_amount_check CHECK ((amount > 0)),
    CONSTRAINT payment_logs_payment_method_check CHECK ((payment_method = ANY (ARRAY['orange_money'::text, 'mtn_money'::text, 'moov_money'::text, 'wave'::text]))),
    CONSTRAINT payment_logs_status_check CHECK ((status = ANY (ARRAY['pending'::text, 'processing'::text, 'success'::text, 'failed'::text, 'cancelled'::text])))
);

COMMENT ON TABLE public.payment_logs IS 'Mobile-money payments asked of InTouch.';

COMMENT ON COLUMN public.payment_logs.user_id IS 'Whom it concerns; null: nobody signed in.';

COMMENT ON COLUMN public.payment_logs.amount IS 'FCFA.';

COMMENT ON COLUMN public.payment_logs.status_code IS 'InTouch''s code; null: no answer yet.';

COMMENT ON COLUMN public.payment_logs.phone_number IS 'Payer''s number; null: not given.';

COMMENT ON COLUMN public.payment_logs.partner_transaction_id IS 'Mon Toit''s own reference.';

COMMENT ON COLUMN public.payment_logs.intouch_transaction_id IS 'InTouch''s reference; null: none yet.';

COMMENT ON COLUMN public.payment_logs.status_message IS 'InTouch''s words; null: no answer yet.';

COMMENT ON COLUMN public.payment_logs.raw_response IS 'InTouch''s answer; null: none yet.';

COMMENT ON COLUMN public.payment_logs.raw_callback IS 'InTouch''s call back; null: none yet.';

CREATE VIEW public.intouch_failure_rate WITH (security_invoker='true') AS
 SELECT count(*) AS total_payments,
    count(*) FILTER (WHERE (status = 'failed'::text)) AS failed_payments,
    round((((count(*) FILTER (WHERE (status = 'failed'::text)))::numeric * 100.0) / (NULLIF(count(*), 0))::numeric), 2) AS failure_rate
   FROM public.payment_logs
  WHERE ((provider = 'intouch'::text) AND ((created_at >= (now() - '24:00:00'::interval)) AND (created_at <= now())))
 HAVING ( SELECT montoit.sees_everything() AS sees_everything);

CREATE VIEW public.intouch_payments_daily WITH (security_invoker='true') AS
 SELECT date,
    total AS total_payments,
    amount AS total_amount,
    succeeded AS successful_payments,
    failed AS failed_payments
   FROM montoit.intouch_daily('payment_logs'::text, 7) intouch_daily(date, total, succeeded, failed, cancelled, amount)
  WHERE ( SELECT montoit.sees_everything() AS sees_everything);

CREATE VIEW public.intouch_prices WITH (security_invoker='true') AS
 SELECT service,
    percent,
    fcfa
   FROM ( VALUES ('payment'::text,1.0,NULL::integer), ('sms'::text,NULL::numeric,25)) price(service, percent, fcfa)
  WHERE ( SELECT montoit.sees_everything() AS sees_everything);

CREATE VIEW public.intouch_sms_daily WITH (security_invoker='true') AS
 SELECT date,
    total AS total_sms,
    succeeded AS sent_sms,
    failed AS failed_sms
   FROM montoit.intouch_daily('sms_logs'::text, 7) intouch_daily(date, total, succeeded, failed, cancelled, amount)
  WHERE ( SELECT montoit.sees_everything() AS sees_everything);

CREATE VIEW public.intouch_whatsapp_daily WITH (security_invoker='true') AS
 SELECT date,
    total AS total_messages,
    succeeded AS sent_messages,
    failed AS failed_messages
   FROM montoit.intouch_daily('whatsapp_logs'::text, 7) intouch_daily(date, total, succeeded, failed, cancelled, amount)
  WHERE ( SELECT montoit.sees_everything() AS sees_everything);

CREATE TABLE public.sms_logs (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    user_id uuid,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    status_code integer,
    provider text DEFAULT 'intouch'::text NOT NULL,
    status text DEFAULT 'pending'::text NOT NULL,
    phone_number text NOT NULL,
    message text NOT NULL,
    type text DEFAULT 'general'::text NOT NULL,
    partner_transaction_id text NOT NULL,
    intouch_sms_id text,
    status_message text,
    raw_response jsonb,
    CONSTRAINT sms_logs_status_check CHECK ((status = ANY (ARRAY['pending'::text, 'sent'::text, 'delivered'::text, 'failed'::text])))
);

COMMENT ON TABLE public.sms_logs IS 'SMS sent through InTouch.';

COMMENT ON COLUMN public.sms_logs.user_id IS 'Whom it concerns; null: nobody signed in.';

COMMENT ON COLUMN public.sms_logs.status_code IS 'InTouch''s code; null: no answer yet.';

COMMENT ON COLUMN public.sms_logs.partner_transaction_id IS 'Mon Toit''s own reference.';

COMMENT ON COLUMN public.sms_logs.intouch_sms_id IS 'InTouch''s reference; null: none yet.';

COMMENT ON COLUMN public.sms_logs.status_message IS 'InTouch''s words; null: no answer yet.';

COMMENT ON COLUMN public.sms_logs.raw_response IS 'InTouch''s answer; null: none yet.';

CREATE TABLE public.whatsapp_logs (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    user_id uuid,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    sent_at timestamp with time zone,
    delivered_at timestamp with time zone,
    read_at timestamp with time zone,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    status_code integer,
    provider text DEFAULT 'intouch'::text NOT NULL,
    status text DEFAULT 'pending'::text NOT NULL,
    phone_number text NOT NULL,
    message text NOT NULL,
    type text DEFAULT 'general'::text NOT NULL,
    partner_transaction_id text NOT NULL,
    intouch_message_id text,
    status_message text,
    raw_response jsonb,
    raw_callback jsonb,
    CONSTRAINT whatsapp_logs_status_check CHECK ((status = ANY (ARRAY['pending'::text, 'sent'::text, 'delivered'::text, 'read'::text, 'failed'::text])))
);

COMMENT ON TABLE public.whatsapp_logs IS 'WhatsApp messages sent through InTouch.';

COMMENT ON COLUMN public.whatsapp_logs.user_id IS 'Whom it concerns; null: nobody signed in.';

COMMENT ON COLUMN public.whatsapp_logs.status_code IS 'InTouch''s code; null: no answer yet.';

COMMENT ON COLUMN public.whatsapp_logs.partner_transaction_id IS 'Mon Toit''s own reference.';

COMMENT ON COLUMN public.whatsapp_logs.intouch_message_id IS 'InTouch''s reference; null: none yet.';

COMMENT ON COLUMN public.whatsapp_logs.status_message IS 'InTouch''s words; null: no answer yet.';

COMMENT ON COLUMN public.whatsapp_logs.raw_response IS 'InTouch''s answer; null: none yet.';

COMMENT ON COLUMN public.whatsapp_logs.raw_callback IS 'InTouch''s call back; null: none yet.';

ALTER TABLE ONLY montoit.administrators
    ADD CONSTRAINT administrators_pkey PRIMARY KEY (user_id);

ALTER TABLE ONLY montoit.adopted_tables
    ADD CONSTRAINT adopted_tables_pkey PRIMARY KEY (table_name);

ALTER TABLE ONLY montoit.adoption_steps
    ADD CONSTRAINT adoption_steps_pkey PRIMARY KEY (id);

ALTER TABLE ONLY montoit.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);

ALTER TABLE ONLY montoit.released_objects
    ADD CONSTRAINT released_objects_pkey PRIMARY KEY (kind, relation, name);

ALTER TABLE ONLY montoit.trail
    ADD CONSTRAINT trail_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys_secret_id_key UNIQUE (secret_id);

ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys_service_name_key_name_environment_key UNIQUE (service_name, key_name, environment);

ALTER TABLE ONLY public.feature_flag_history
    ADD CONSTRAINT feature_flag_history_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.feature_flag_overrides
    ADD CONSTRAINT feature_flag_overrides_feature_flag_id_user_id_key UNIQUE (feature_flag_id, user_id);

ALTER TABLE ONLY public.feature_flag_overrides
    ADD CONSTRAINT feature_flag_overrides_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.feature_flags
    ADD CONSTRAINT feature_flags_key_key UNIQUE (key);

ALTER TABLE ONLY public.feature_flags
    ADD CONSTRAINT feature_flags_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.payment_logs
    ADD CONSTRAINT payment_logs_partner_transaction_id_key UNIQUE (partner_transaction_id);

ALTER TABLE ONLY public.payment_logs
    ADD CONSTRAINT payment_logs_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.sms_logs
    ADD CONSTRAINT sms_logs_partner_transaction_id_key UNIQUE (partner_transaction_id);

ALTER TABLE ONLY public.sms_logs
    ADD CONSTRAINT sms_logs_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.whatsapp_logs
    ADD CONSTRAINT whatsapp_logs_partner_transaction_id_key UNIQUE (partner_transaction_id);

ALTER TABLE ONLY public.whatsapp_logs
    ADD CONSTRAINT whatsapp_logs_pkey PRIMARY KEY (id);

CREATE INDEX idx_trail_at ON montoit.trail USING btree (at);

CREATE INDEX idx_feature_flag_history_feature_flag_id_changed_at ON public.feature_flag_history USING btree (feature_flag_id, changed_at);

CREATE INDEX idx_payment_logs_created_at ON public.payment_logs USING btree (created_at);

CREATE INDEX idx_payment_logs_user_id ON public.payment_logs USING btree (user_id);

CREATE INDEX idx_sms_logs_created_at ON public.sms_logs USING btree (created_at);

CREATE INDEX idx_sms_logs_user_id ON public.sms_logs USING btree (user_id);

CREATE INDEX idx_whatsapp_logs_created_at ON public.whatsapp_logs USING btree (created_at);

CREATE INDEX idx_whatsapp_logs_user_id ON public.whatsapp_logs USING btree (user_id);

CREATE TRIGGER keep_trail BEFORE DELETE OR UPDATE OR TRUNCATE ON montoit.trail FOR EACH STATEMENT EXECUTE FUNCTION montoit.keep_trail();

ALTER TABLE montoit.trail ENABLE ALWAYS TRIGGER keep_trail;

CREATE TRIGGER record_administrator AFTER INSERT OR DELETE OR UPDATE ON montoit.administrators FOR EACH ROW EXECUTE FUNCTION montoit.record_administrator();

CREATE TRIGGER stamp_trail BEFORE INSERT ON montoit.trail FOR EACH ROW EXECUTE FUNCTION montoit.stamp_trail();

CREATE TRIGGER take_credential INSTEAD OF INSERT ON montoit.given_credentials FOR EACH ROW EXECUTE FUNCTION montoit.take_credential();

CREATE TRIGGER record_credential AFTER INSERT OR DELETE OR UPDATE ON public.api_keys FOR EACH ROW EXECUTE FUNCTION montoit.record_credential();

CREATE TRIGGER record_flag_change AFTER INSERT OR DELETE OR UPDATE ON public.feature_flags FOR EACH ROW EXECUTE FUNCTION montoit.record_flag_change();

CREATE TRIGGER record_override AFTER INSERT OR DELETE OR UPDATE ON public.feature_flag_overrides FOR EACH ROW EXECUTE FUNCTION montoit.record_override();

CREATE TRIGGER stamp_author BEFORE INSERT OR UPDATE ON public.feature_flag_overrides FOR EACH ROW EXECUTE FUNCTION montoit.stamp_author();

CREATE TRIGGER stamp_author BEFORE INSERT OR UPDATE ON public.feature_flags FOR EACH ROW EXECUTE FUNCTION montoit.stamp_author();

CREATE TRIGGER touch_updated_at BEFORE UPDATE OF key_name, key_value, secret_id, endpoint, environment, is_active, metadata ON public.api_keys FOR EACH ROW EXECUTE FUNCTION montoit.touch_updated_at();

CREATE TRIGGER touch_updated_at BEFORE UPDATE ON public.feature_flags FOR EACH ROW EXECUTE FUNCTION montoit.touch_updated_at();

CREATE TRIGGER touch_updated_at BEFORE UPDATE ON public.payment_logs FOR EACH ROW EXECUTE FUNCTION montoit.touch_updated_at();

CREATE TRIGGER touch_updated_at BEFORE UPDATE ON public.whatsapp_logs FOR EACH ROW EXECUTE FUNCTION montoit.touch_updated_at();

ALTER TABLE ONLY public.feature_flag_overrides
    ADD CONSTRAINT feature_flag_overrides_feature_flag_id_fkey FOREIGN KEY (feature_flag_id) REFERENCES public.feature_flags(id) ON DELETE CASCADE;

ALTER TABLE montoit.administrators ENABLE ROW LEVEL SECURITY;

ALTER TABLE montoit.adopted_tables ENABLE ROW LEVEL SECURITY;

ALTER TABLE montoit.adoption_steps ENABLE ROW LEVEL SECURITY;

ALTER TABLE montoit.alembic_version ENABLE ROW LEVEL SECURITY;

ALTER TABLE montoit.released_objects ENABLE ROW LEVEL SECURITY;

ALTER TABLE montoit.trail ENABLE ROW LEVEL SECURITY;

CREATE POLICY "administrators delete" ON public.feature_flag_overrides FOR DELETE TO authenticated USING (( SELECT montoit.is_admin() AS is_admin));

CREATE POLICY "administrators delete" ON public.feature_flags FOR DELETE TO authenticated USING (( SELECT montoit.is_admin() AS is_admin));

CREATE POLICY "administrators insert" ON public.feature_flag_overrides FOR INSERT TO authenticated WITH CHECK (( SELECT montoit.is_admin() AS is_admin));

CREATE POLICY "administrators insert" ON public.feature_flags FOR INSERT TO authenticated WITH CHECK (( SELECT montoit.is_admin() AS is_admin));

CREATE POLICY "administrators read" ON public.api_keys FOR SELECT TO authenticated USING (((key_value IS NULL) AND ( SELECT montoit.is_admin() AS is_admin)));

CREATE POLICY "administrators read" ON public.feature_flag_history FOR SELECT TO authenticated USING (( SELECT montoit.is_admin() AS is_admin));

CREATE POLICY "administrators switch" ON public.api_keys FOR UPDATE TO authenticated USING (((key_value IS NULL) AND ( SELECT montoit.is_admin() AS is_admin))) WITH CHECK (((key_value IS NULL) AND ( SELECT montoit.is_admin() AS is_admin)));

CREATE POLICY "administrators update" ON public.feature_flag_overrides FOR UPDATE TO authenticated USING (( SELECT montoit.is_admin() AS is_admin)) WITH CHECK (( SELECT montoit.is_admin() AS is_admin));

CREATE POLICY "administrators update" ON public.feature_flags FOR UPDATE TO authenticated USING (( SELECT montoit.is_admin() AS is_admin)) WITH CHECK (( SELECT montoit.is_admin() AS is_admin));

ALTER TABLE public.api_keys ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.feature_flag_history ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.feature_flag_overrides ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.feature_flags ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.payment_logs ENABLE ROW LEVEL SECURITY;

CREATE POLICY "signed-in users read" ON public.feature_flags FOR SELECT TO authenticated USING (true);

ALTER TABLE public.sms_logs ENABLE ROW LEVEL SECURITY;

CREATE POLICY "the service does all" ON public.api_keys TO service_role USING (true) WITH CHECK (true);

CREATE POLICY "the service does all" ON public.feature_flag_overrides TO service_role USING (true) WITH CHECK (true);

CREATE POLICY "the service does all" ON public.feature_flags TO service_role USING (true) WITH CHECK (true);

CREATE POLICY "the service does all" ON public.payment_logs TO service_role USING (true) WITH CHECK (true);

CREATE POLICY "the service does all" ON public.sms_logs TO service_role USING (true) WITH CHECK (true);

CREATE POLICY "the service does all" ON public.whatsapp_logs TO service_role USING (true) WITH CHECK (true);

CREATE POLICY "the service reads" ON public.feature_flag_history FOR SELECT TO service_role USING (true);

CREATE POLICY "users read their own" ON public.feature_flag_overrides FOR SELECT TO authenticated USING (((user_id = ( SELECT montoit.current_user_id() AS current_user_id)) OR ( SELECT montoit.is_admin() AS is_admin)));

CREATE POLICY "users read their own" ON public.payment_logs FOR SELECT TO authenticated USING (((user_id = ( SELECT montoit.current_user_id() AS current_user_id)) OR ( SELECT montoit.is_admin() AS is_admin)));

CREATE POLICY "users read their own" ON public.sms_logs FOR SELECT TO authenticated USING (((user_id = ( SELECT montoit.current_user_id() AS current_user_id)) OR ( SELECT montoit.is_admin() AS is_admin)));

CREATE POLICY "users read their own" ON public.whatsapp_logs FOR SELECT TO authenticated USING (((user_id = ( SELECT montoit.current_user_id() AS current_user_id)) OR ( SELECT montoit.is_admin() AS is_admin)));

CREATE POLICY "values are for the service" ON public.api_keys AS RESTRICTIVE USING (((key_value IS NULL) OR ( SELECT pg_has_role(CURRENT_USER, 'service_role'::name, 'usage'::text) AS pg_has_role)));

ALTER TABLE public.whatsapp_logs ENABLE ROW LEVEL SECURITY;

GRANT USAGE ON SCHEMA montoit TO anon;
GRANT USAGE ON SCHEMA montoit TO authenticated;
GRANT USAGE ON SCHEMA montoit TO service_role;

REVOKE ALL ON FUNCTION montoit.adopt(stage text, table_name text, object text, redo text, undo text, told text) FROM PUBLIC;

REVOKE ALL ON FUNCTION montoit.bucket(flag_key text, user_id uuid) FROM PUBLIC;

REVOKE ALL ON FUNCTION montoit.caller_role() FROM PUBLIC;
GRANT ALL ON FUNCTION montoit.caller_role() TO anon;
GRANT ALL ON FUNCTION montoit.caller_role() TO authenticated;
GRANT ALL ON FUNCTION montoit.caller_role() TO service_role;

REVOKE ALL ON FUNCTION montoit.change_rows(statement text) FROM PUBLIC;
GRANT ALL ON FUNCTION montoit.change_rows(statement text) TO service_role;

REVOKE ALL ON FUNCTION montoit.check_flag(asked_user uuid, asked_key text) FROM PUBLIC;
GRANT ALL ON FUNCTION montoit.check_flag(asked_user uuid, asked_key text) TO anon;
GRANT ALL ON FUNCTION montoit.check_flag(asked_user uuid, asked_key text) TO authenticated;
GRANT ALL ON FUNCTION montoit.check_flag(asked_user uuid, asked_key text) TO service_role;

REVOKE ALL ON FUNCTION montoit.check_flags(asked_user uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION montoit.check_flags(asked_user uuid) TO anon;
GRANT ALL ON FUNCTION montoit.check_flags(asked_user uuid) TO authenticated;
GRANT ALL ON FUNCTION montoit.check_flags(asked_user uuid) TO service_role;

REVOKE ALL ON FUNCTION montoit.current_user_id() FROM PUBLIC;
GRANT ALL ON FUNCTION montoit.current_user_id() TO anon;
GRANT ALL ON FUNCTION montoit.current_user_id() TO authenticated;
GRANT ALL ON FUNCTION montoit.current_user_id() TO service_role;

REVOKE ALL ON FUNCTION montoit.described_credential(credential jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION montoit.estimated_costs() FROM PUBLIC;
GRANT ALL ON FUNCTION montoit.estimated_costs() TO authenticated;
GRANT ALL ON FUNCTION montoit.estimated_costs() TO service_role;

REVOKE ALL ON FUNCTION montoit.hand_back(name text, VARIADIC functions regprocedure[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION montoit.has_vault() FROM PUBLIC;
GRANT ALL ON FUNCTION montoit.has_vault() TO service_role;

REVOKE ALL ON FUNCTION montoit.intouch_daily(log text, days integer) FROM PUBLIC;
GRANT ALL ON FUNCTION montoit.intouch_daily(log text, days integer) TO authenticated;
GRANT ALL ON FUNCTION montoit.intouch_daily(log text, days integer) TO service_role;

REVOKE ALL ON FUNCTION montoit.intouch_status(word text) FROM PUBLIC;
GRANT ALL ON FUNCTION montoit.intouch_status(word text) TO service_role;

REVOKE ALL ON FUNCTION montoit.is_admin() FROM PUBLIC;
GRANT ALL ON FUNCTION montoit.is_admin() TO anon;
GRANT ALL ON FUNCTION montoit.is_admin() TO authenticated;
GRANT ALL ON FUNCTION montoit.is_admin() TO service_role;

REVOKE ALL ON FUNCTION montoit.is_trusted(role_name text) FROM PUBLIC;
GRANT ALL ON FUNCTION montoit.is_trusted(role_name text) TO anon;
GRANT ALL ON FUNCTION montoit.is_trusted(role_name text) TO authenticated;
GRANT ALL ON FUNCTION montoit.is_trusted(role_name text) TO service_role;

REVOKE ALL ON FUNCTION montoit.is_trusted_table(table_name text) FROM PUBLIC;

REVOKE ALL ON FUNCTION montoit.jwt_claims() FROM PUBLIC;
GRANT ALL ON FUNCTION montoit.jwt_claims() TO anon;
GRANT ALL ON FUNCTION montoit.jwt_claims() TO authenticated;
GRANT ALL ON FUNCTION montoit.jwt_claims() TO service_role;

REVOKE ALL ON FUNCTION montoit.keep_credential() FROM PUBLIC;

REVOKE ALL ON FUNCTION montoit.keep_trail() FROM PUBLIC;

REVOKE ALL ON FUNCTION montoit.lock_tables(names text[], first text) FROM PUBLIC;

REVOKE ALL ON FUNCTION montoit.look_again(VARIADIC names text[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION montoit.message_without_values(state text, constraint_of text, table_of text) FROM PUBLIC;

REVOKE ALL ON FUNCTION montoit.order_reason() FROM PUBLIC;

REVOKE ALL ON FUNCTION montoit.raise_not_given_back(table_name text, object text, state text, reason text) FROM PUBLIC;

REVOKE ALL ON FUNCTION montoit.read_credentials(service text) FROM PUBLIC;
GRANT ALL ON FUNCTION montoit.read_credentials(service text) TO service_role;

REVOKE ALL ON FUNCTION montoit.record_administrator() FROM PUBLIC;

REVOKE ALL ON FUNCTION montoit.record_credential() FROM PUBLIC;

REVOKE ALL ON FUNCTION montoit.record_flag_change() FROM PUBLIC;

REVOKE ALL ON FUNCTION montoit.record_objects(stage text) FROM PUBLIC;

REVOKE ALL ON FUNCTION montoit.record_override() FROM PUBLIC;

REVOKE ALL ON FUNCTION montoit.refuse_to_lose_rows() FROM PUBLIC;

REVOKE ALL ON FUNCTION montoit.roles_of(target_user uuid) FROM PUBLIC;

REVOKE ALL ON FUNCTION montoit.sees_everything() FROM PUBLIC;
GRANT ALL ON FUNCTION montoit.sees_everything() TO anon;
GRANT ALL ON FUNCTION montoit.sees_everything() TO authenticated;
GRANT ALL ON FUNCTION montoit.sees_everything() TO service_role;

REVOKE ALL ON FUNCTION montoit.stamp_author() FROM PUBLIC;

REVOKE ALL ON FUNCTION montoit.stamp_trail() FROM PUBLIC;

REVOKE ALL ON FUNCTION montoit.store_credentials(target_environment text, target_store text, credentials jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION montoit.switch_off(why text) FROM PUBLIC;

REVOKE ALL ON FUNCTION montoit.take_credential() FROM PUBLIC;

REVOKE ALL ON FUNCTION montoit.take_over_access(VARIADIC names text[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION montoit.touch_updated_at() FROM PUBLIC;

REVOKE ALL ON FUNCTION montoit.undo(stage text, table_name text) FROM PUBLIC;

REVOKE ALL ON FUNCTION montoit.unfinished_logs() FROM PUBLIC;

REVOKE ALL ON FUNCTION montoit.verify_credentials(ordered_environment text, names text[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.check_feature_flag(flag_key text, user_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION public.check_feature_flag(flag_key text, user_id uuid) TO anon;
GRANT ALL ON FUNCTION public.check_feature_flag(flag_key text, user_id uuid) TO authenticated;
GRANT ALL ON FUNCTION public.check_feature_flag(flag_key text, user_id uuid) TO service_role;

REVOKE ALL ON FUNCTION public.check_feature_flags(user_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION public.check_feature_flags(user_id uuid) TO anon;
GRANT ALL ON FUNCTION public.check_feature_flags(user_id uuid) TO authenticated;
GRANT ALL ON FUNCTION public.check_feature_flags(user_id uuid) TO service_role;

REVOKE ALL ON FUNCTION public.get_api_keys(service text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.get_api_keys(service text) TO service_role;

GRANT SELECT ON TABLE public.api_keys TO authenticated;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.api_keys TO service_role;

GRANT UPDATE(is_active) ON TABLE public.api_keys TO authenticated;

GRANT SELECT ON TABLE public.feature_flag_history TO authenticated;
GRANT SELECT ON TABLE public.feature_flag_history TO service_role;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.feature_flag_overrides TO authenticated;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.feature_flag_overrides TO service_role;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.feature_flags TO authenticated;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.feature_flags TO service_role;

GRANT SELECT ON TABLE public.intouch_costs TO authenticated;
GRANT SELECT ON TABLE public.intouch_costs TO service_role;

GRANT SELECT ON TABLE public.payment_logs TO authenticated;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.payment_logs TO service_role;

GRANT SELECT ON TABLE public.intouch_failure_rate TO authenticated;
GRANT SELECT ON TABLE public.intouch_failure_rate TO service_role;

GRANT SELECT ON TABLE public.intouch_payments_daily TO authenticated;
GRANT SELECT ON TABLE public.intouch_payments_daily TO service_role;

GRANT SELECT ON TABLE public.intouch_prices TO authenticated;
GRANT SELECT ON TABLE public.intouch_prices TO service_role;

GRANT SELECT ON TABLE public.intouch_sms_daily TO authenticated;
GRANT SELECT ON TABLE public.intouch_sms_daily TO service_role;

GRANT SELECT ON TABLE public.intouch_whatsapp_daily TO authenticated;
GRANT SELECT ON TABLE public.intouch_whatsapp_daily TO service_role;

GRANT SELECT ON TABLE public.sms_logs TO authenticated;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.sms_logs TO service_role;

GRANT SELECT ON TABLE public.whatsapp_logs TO authenticated;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.whatsapp_logs TO service_role;
