-- The whole schema, as pg_dump prints it. Made by: pytest tests/test_revisions.py --write-schema

CREATE SCHEMA montoit;

COMMENT ON SCHEMA montoit IS 'Private parts of montoit_db. Not to be exposed by the API.';

CREATE FUNCTION montoit.current_user_id() RETURNS uuid
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
begin
    return (montoit.jwt_claims() ->> 'sub')::uuid;
exception
    when data_exception then
        return null;
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

CREATE FUNCTION montoit.record_flag_change() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
    flag public.feature_flags := coalesce(new, old);
    change text := case tg_op when 'INSERT' then 'created' when 'DELETE' then 'deleted' else 'updated' end;
begin
    if tg_op = 'UPDATE' then
        if (to_jsonb(new) - 'updated_at') = (to_jsonb(old) - 'updated_at') then
            return null;
        end if;
        if new.is_enabled is distinct from old.is_enabled then
            change := case when new.is_enabled then 'enabled' else 'disabled' end;
        end if;
    end if;
    insert into public.feature_flag_history
        (feature_flag_id, flag_key, action, previous_value, new_value, changed_by, actor, reason)
    values (
        flag.id,
        flag.key,
        change,
        case when tg_op <> 'INSERT' then to_jsonb(old) end,
        case when tg_op <> 'DELETE' then to_jsonb(new) end,
        montoit.current_user_id(),
        coalesce(nullif(current_setting('montoit.actor', true), ''), session_user),
        nullif(current_setting('montoit.reason', true), '')
    );
    return null;
end;
$$;

CREATE FUNCTION montoit.refuse_to_lose_rows() RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
    table_name text;
    rows_of text;
    found boolean;
    total bigint;
    losses text[] := '{}';
begin
    foreach table_name in array array[
        'feature_flags', 'feature_flag_history', 'feature_flag_overrides', 'api_keys',
        'payment_logs', 'sms_logs', 'whatsapp_logs'
    ] loop
        continue when to_regclass('public.' || table_name) is null;
        rows_of := format('from public.%I as t', table_name);
        if table_name = 'feature_flags' then
            rows_of := rows_of || ' where not exists (
                select from montoit.feature_flag_seed as s
                where (s.key, s.category, s.name, s.is_enabled, s.requires_credentials,
                       s.credentials_status, s.rollout_percentage)
                    = (t.key, t.category, t.name, t.is_enabled, t.requires_credentials,
                       t.credentials_status, t.rollout_percentage)
                  and t.description is null and t.allowed_roles = ''{}'' and t.metadata = ''{}''
            )';
        end if;
        execute 'select exists (select ' || rows_of || ')' into found;
        if found then
            execute 'select count(*) ' || rows_of into total;
            losses := losses || format('  %s : %s ligne%s', table_name, total, case when total > 1 then 's' end);
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

CREATE FUNCTION montoit.store_credentials(target_environment text, target_endpoint text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
    state text;
    constraint_of text;
    table_of text;
begin
    insert into public.api_keys as stored
        (service_name, key_name, key_value, endpoint, environment, is_active, metadata)
    select
        'intouch', given.key_name, convert_from(decode(given.value_hex, 'hex'), 'UTF8'), target_endpoint,
        target_environment, true, given.metadata
    from pg_temp.intouch_credentials as given
    on conflict (service_name, key_name, environment) do update set
        key_value = excluded.key_value,
        endpoint = excluded.endpoint,
        is_active = true,
        metadata = stored.metadata || excluded.metadata;

    update public.api_keys set is_active = false
    where service_name = 'intouch' and environment <> target_environment and is_active;
exception
    when others then
        get stacked diagnostics
            state = returned_sqlstate, constraint_of = constraint_name, table_of = table_name;
        raise exception using
            errcode = state,
            message = format(
                'Les identifiants n''ont pas été enregistrés (SQLSTATE %s%s%s).', state,
                coalesce(', contrainte ' || nullif(constraint_of, ''), ''),
                coalesce(', table ' || nullif(table_of, ''), '')
            );
end;
$$;

CREATE FUNCTION montoit.touch_updated_at() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
begin
    if new is distinct from old then
        new.updated_at := now();
    end if;
    return new;
end;
$$;

CREATE VIEW montoit.feature_flag_seed WITH (security_invoker='true') AS
 SELECT key,
    category,
    name,
    is_enabled,
    requires_credentials,
    credentials_status,
    rollout_percentage
   FROM ( VALUES ('ab_testing'::text,'advanced'::text,'A/B Testing'::text,false,false,'production'::text,50), ('beta_features'::text,'advanced'::text,'Fonctionnalités Beta'::text,false,false,'production'::text,10), ('debug_mode'::text,'advanced'::text,'Mode Debug'::text,false,false,'production'::text,0), ('agency_commissions'::text,'agency'::text,'Commissions d''Agences'::text,true,false,'production'::text,100), ('agency_management'::text,'agency'::text,'Gestion d''Agences'::text,true,false,'production'::text,100), ('agency_team'::text,'agency'::text,'Équipes d''Agences'::text,true,false,'production'::text,100), ('ai_chatbot'::text,'ai'::text,'Chatbot IA (SUTA)'::text,true,true,'production'::text,100), ('ai_image_generation'::text,'ai'::text,'Génération d''Images IA'::text,false,true,'not_configured'::text,0), ('ai_property_description'::text,'ai'::text,'Description IA'::text,true,true,'production'::text,100), ('ai_recommendations'::text,'ai'::text,'Recommandations IA'::text,true,false,'production'::text,100), ('analytics_dashboard'::text,'analytics'::text,'Dashboard Analytics'::text,true,false,'production'::text,100), ('export_reports'::text,'analytics'::text,'Export de Rapports'::text,true,false,'production'::text,100), ('realtime_analytics'::text,'analytics'::text,'Analytics Temps Réel'::text,false,false,'production'::text,0), ('monartisan'::text,'maintenance'::text,'MonArtisan'::text,true,false,'production'::text,100), ('monartisan_payment'::text,'maintenance'::text,'Paiement MonArtisan'::text,false,true,'not_configured'::text,0), ('monartisan_warranty'::text,'maintenance'::text,'Garantie Travaux'::text,false,false,'production'::text,0), ('map_clustering'::text,'map'::text,'Clustering de Carte'::text,false,false,'production'::text,0), ('map_directions'::text,'map'::text,'Itinéraires'::text,false,true,'not_configured'::text,0), ('map_heatmap'::text,'map'::text,'Heatmap des Prix'::text,false,false,'production'::text,0), ('mapbox_integration'::text,'map'::text,'Carte Mapbox'::text,true,true,'production'::text,100), ('ai_moderation'::text,'moderation'::text,'Modération IA'::text,false,true,'not_configured'::text,0), ('content_moderation'::text,'moderation'::text,'Modération de Contenu'::text,true,false,'production'::text,100), ('fraud_detection'::text,'moderation'::text,'Détection de Fraude'::text,true,false,'production'::text,100), ('email_notifications'::text,'notification'::text,'Notifications Email'::text,true,true,'production'::text,100), ('push_notifications'::text,'notification'::text,'Notifications Push'::text,false,true,'not_configured'::text,0), ('sms_notifications'::text,'notification'::text,'Notifications SMS'::text,false,true,'not_configured'::text,0), ('whatsapp_notifications'::text,'notification'::text,'Notifications WhatsApp'::text,false,true,'not_configured'::text,0), ('intouch_payment'::text,'payment'::text,'Paiements InTouch'::text,false,true,'not_configured'::text,0), ('moov_money'::text,'payment'::text,'Moov Money'::text,false,true,'not_configured'::text,0), ('mtn_money'::text,'payment'::text,'MTN Money'::text,false,true,'not_configured'::text,0), ('orange_money'::text,'payment'::text,'Orange Money'::text,false,true,'not_configured'::text,0), ('split_payment'::text,'payment'::text,'Split Payment (99%/1%)'::text,false,false,'production'::text,0), ('wave_payment'::text,'payment'::text,'Wave'::text,false,true,'not_configured'::text,0), ('cryptoneo_signature'::text,'signature'::text,'Signature CEV CryptoNeo'::text,false,true,'not_configured'::text,0), ('electronic_signature'::text,'signature'::text,'Signature Électronique Simple'::text,true,false,'production'::text,100), ('cnam_verification'::text,'verification'::text,'Vérification CNAM'::text,false,true,'not_configured'::text,0), ('facial_verification'::text,'verification'::text,'Vérification Biométrique'::text,false,true,'not_configured'::text,0), ('oneci_verification'::text,'verification'::text,'Vérification ONECI (NNI)'::text,false,true,'not_configured'::text,0), ('passport_verification'::text,'verification'::text,'Vérification Passeport'::text,true,false,'production'::text,100)) seed(key, category, name, is_enabled, requires_credentials, credentials_status, rollout_percentage);

CREATE TABLE public.alembic_version (
    version_num character varying(32) NOT NULL
);

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

COMMENT ON COLUMN public.feature_flag_history.actor IS 'Database role or tool that made the change.';

COMMENT ON COLUMN public.feature_flag_history.reason IS 'Why, where the author said so.';

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

CREATE VIEW public.intouch_prices WITH (security_invoker='true') AS
 SELECT service,
    percent,
    fcfa
   FROM ( VALUES ('payment'::text,1.0,NULL::integer), ('sms'::text,NULL::numeric,25)) price(service, percent, fcfa);

CREATE TABLE public.payment_logs (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    user_id uuid,
    provider text DEFAULT 'intouch'::text NOT NULL,
    amount integer NOT NULL,
    payment_method text NOT NULL,
    phone_number text,
    partner_transaction_id text NOT NULL,
    intouch_transaction_id text,
    status text DEFAULT 'pending'::text NOT NULL,
    status_code integer,
    status_message text,
    raw_response jsonb,
    raw_callback jsonb,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT payment_logs_amount_check CHECK ((amount > 0)),
    CONSTRAINT payment_logs_payment_method_check CHECK ((payment_method = ANY (ARRAY['orange_money'::text, 'mtn_money'::text, 'moov_money'::text, 'wave'::text]))),
    CONSTRAINT payment_logs_status_check CHECK ((status = ANY (ARRAY['pending'::text, 'processing'::text, 'success'::text, 'failed'::text, 'cancelled'::text])))
);

COMMENT ON TABLE public.payment_logs IS 'Mobile-money payments asked of InTouch.';

COMMENT ON COLUMN public.payment_logs.user_id IS 'Whom it concerns; null: nobody signed in.';

COMMENT ON COLUMN public.payment_logs.amount IS 'FCFA.';

COMMENT ON COLUMN public.payment_logs.phone_number IS 'Payer''s number; null: not given.';

COMMENT ON COLUMN public.payment_logs.partner_transaction_id IS 'Our own reference.';

COMMENT ON COLUMN public.payment_logs.intouch_transaction_id IS 'InTouch''s reference; null: none yet.';

COMMENT ON COLUMN public.payment_logs.status_code IS 'InTouch''s code; null: no answer yet.';

COMMENT ON COLUMN public.payment_logs.status_message IS 'InTouch''s words; null: no answer yet.';

COMMENT ON COLUMN public.payment_logs.raw_response IS 'InTouch''s answer; null: none yet.';

COMMENT ON COLUMN public.payment_logs.raw_callback IS 'InTouch''s call back; null: none yet.';

CREATE TABLE public.sms_logs (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    user_id uuid,
    provider text DEFAULT 'intouch'::text NOT NULL,
    phone_number text NOT NULL,
    message text NOT NULL,
    type text DEFAULT 'general'::text NOT NULL,
    partner_transaction_id text NOT NULL,
    intouch_sms_id text,
    status text DEFAULT 'pending'::text NOT NULL,
    status_code integer,
    status_message text,
    raw_response jsonb,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT sms_logs_status_check CHECK ((status = ANY (ARRAY['pending'::text, 'sent'::text, 'delivered'::text, 'failed'::text])))
);

COMMENT ON TABLE public.sms_logs IS 'SMS sent through InTouch.';

COMMENT ON COLUMN public.sms_logs.user_id IS 'Whom it concerns; null: nobody signed in.';

COMMENT ON COLUMN public.sms_logs.partner_transaction_id IS 'Our own reference.';

COMMENT ON COLUMN public.sms_logs.intouch_sms_id IS 'InTouch''s reference; null: none yet.';

COMMENT ON COLUMN public.sms_logs.status_code IS 'InTouch''s code; null: no answer yet.';

COMMENT ON COLUMN public.sms_logs.status_message IS 'InTouch''s words; null: no answer yet.';

COMMENT ON COLUMN public.sms_logs.raw_response IS 'InTouch''s answer; null: none yet.';

CREATE VIEW public.intouch_costs WITH (security_invoker='true') AS
 SELECT 'Paiements'::text AS service,
    count(log.id) AS transactions,
    (((COALESCE(sum(log.amount), (0)::bigint))::numeric * price.percent) / (100)::numeric) AS cost_fcfa,
    'Commission'::text AS type
   FROM (public.intouch_prices price
     LEFT JOIN public.payment_logs log ON (((log.provider = 'intouch'::text) AND (log.status = 'success'::text) AND (log.created_at >= (now() - '30 days'::interval)))))
  WHERE (price.service = 'payment'::text)
  GROUP BY price.percent
UNION ALL
 SELECT 'SMS'::text AS service,
    count(log.id) AS transactions,
    ((count(log.id) * price.fcfa))::numeric AS cost_fcfa,
    'Forfait'::text AS type
   FROM (public.intouch_prices price
     LEFT JOIN public.sms_logs log ON (((log.provider = 'intouch'::text) AND (log.status = ANY (ARRAY['sent'::text, 'delivered'::text])) AND (log.created_at >= (now() - '30 days'::interval)))))
  WHERE (price.service = 'sms'::text)
  GROUP BY price.fcfa;

CREATE VIEW public.intouch_failure_rate WITH (security_invoker='true') AS
 SELECT count(*) AS total_payments,
    count(*) FILTER (WHERE (status = 'failed'::text)) AS failed_payments,
    round((((count(*) FILTER (WHERE (status = 'failed'::text)))::numeric * 100.0) / (NULLIF(count(*), 0))::numeric), 2) AS failure_rate
   FROM public.payment_logs
  WHERE ((provider = 'intouch'::text) AND (created_at >= (now() - '24:00:00'::interval)));

CREATE VIEW public.intouch_payments_daily WITH (security_invoker='true') AS
 SELECT ((created_at AT TIME ZONE 'Africa/Abidjan'::text))::date AS date,
    count(*) AS total_payments,
    sum(amount) AS total_amount,
    count(*) FILTER (WHERE (status = 'success'::text)) AS successful_payments,
    count(*) FILTER (WHERE (status = 'failed'::text)) AS failed_payments
   FROM public.payment_logs
  WHERE ((provider = 'intouch'::text) AND (created_at >= ((date_trunc('day'::text, (now() AT TIME ZONE 'Africa/Abidjan'::text)) - '6 days'::interval) AT TIME ZONE 'Africa/Abidjan'::text)))
  GROUP BY (((created_at AT TIME ZONE 'Africa/Abidjan'::text))::date)
  ORDER BY (((created_at AT TIME ZONE 'Africa/Abidjan'::text))::date) DESC;

CREATE VIEW public.intouch_sms_daily WITH (security_invoker='true') AS
 SELECT ((created_at AT TIME ZONE 'Africa/Abidjan'::text))::date AS date,
    count(*) AS total_sms,
    count(*) FILTER (WHERE (status = ANY (ARRAY['sent'::text, 'delivered'::text]))) AS sent_sms,
    count(*) FILTER (WHERE (status = 'failed'::text)) AS failed_sms
   FROM public.sms_logs
  WHERE ((provider = 'intouch'::text) AND (created_at >= ((date_trunc('day'::text, (now() AT TIME ZONE 'Africa/Abidjan'::text)) - '6 days'::interval) AT TIME ZONE 'Africa/Abidjan'::text)))
  GROUP BY (((created_at AT TIME ZONE 'Africa/Abidjan'::text))::date)
  ORDER BY (((created_at AT TIME ZONE 'Africa/Abidjan'::text))::date) DESC;

CREATE TABLE public.whatsapp_logs (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    user_id uuid,
    provider text DEFAULT 'intouch'::text NOT NULL,
    phone_number text NOT NULL,
    message text NOT NULL,
    type text DEFAULT 'general'::text NOT NULL,
    partner_transaction_id text NOT NULL,
    intouch_message_id text,
    status text DEFAULT 'pending'::text NOT NULL,
    status_code integer,
    status_message text,
    raw_response jsonb,
    raw_callback jsonb,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    sent_at timestamp with time zone,
    delivered_at timestamp with time zone,
    read_at timestamp with time zone,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT whatsapp_logs_status_check CHECK ((status = ANY (ARRAY['pending'::text, 'sent'::text, 'delivered'::text, 'read'::text, 'failed'::text])))
);

COMMENT ON TABLE public.whatsapp_logs IS 'WhatsApp messages sent through InTouch.';

COMMENT ON COLUMN public.whatsapp_logs.user_id IS 'Whom it concerns; null: nobody signed in.';

COMMENT ON COLUMN public.whatsapp_logs.partner_transaction_id IS 'Our own reference.';

COMMENT ON COLUMN public.whatsapp_logs.intouch_message_id IS 'InTouch''s reference; null: none yet.';

COMMENT ON COLUMN public.whatsapp_logs.status_code IS 'InTouch''s code; null: no answer yet.';

COMMENT ON COLUMN public.whatsapp_logs.status_message IS 'InTouch''s words; null: no answer yet.';

COMMENT ON COLUMN public.whatsapp_logs.raw_response IS 'InTouch''s answer; null: none yet.';

COMMENT ON COLUMN public.whatsapp_logs.raw_callback IS 'InTouch''s call back; null: none yet.';

CREATE VIEW public.intouch_whatsapp_daily WITH (security_invoker='true') AS
 SELECT ((created_at AT TIME ZONE 'Africa/Abidjan'::text))::date AS date,
    count(*) AS total_messages,
    count(*) FILTER (WHERE (status = ANY (ARRAY['sent'::text, 'delivered'::text, 'read'::text]))) AS sent_messages,
    count(*) FILTER (WHERE (status = 'failed'::text)) AS failed_messages
   FROM public.whatsapp_logs
  WHERE ((provider = 'intouch'::text) AND (created_at >= ((date_trunc('day'::text, (now() AT TIME ZONE 'Africa/Abidjan'::text)) - '6 days'::interval) AT TIME ZONE 'Africa/Abidjan'::text)))
  GROUP BY (((created_at AT TIME ZONE 'Africa/Abidjan'::text))::date)
  ORDER BY (((created_at AT TIME ZONE 'Africa/Abidjan'::text))::date) DESC;

ALTER TABLE ONLY public.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);

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

CREATE INDEX idx_feature_flag_history_feature_flag_id_changed_at ON public.feature_flag_history USING btree (feature_flag_id, changed_at);

CREATE INDEX idx_payment_logs_created_at ON public.payment_logs USING btree (created_at);

CREATE INDEX idx_payment_logs_user_id ON public.payment_logs USING btree (user_id);

CREATE INDEX idx_sms_logs_created_at ON public.sms_logs USING btree (created_at);

CREATE INDEX idx_sms_logs_user_id ON public.sms_logs USING btree (user_id);

CREATE INDEX idx_whatsapp_logs_created_at ON public.whatsapp_logs USING btree (created_at);

CREATE INDEX idx_whatsapp_logs_user_id ON public.whatsapp_logs USING btree (user_id);

CREATE TRIGGER record_flag_change AFTER INSERT OR DELETE OR UPDATE ON public.feature_flags FOR EACH ROW EXECUTE FUNCTION montoit.record_flag_change();

CREATE TRIGGER touch_updated_at BEFORE UPDATE ON public.api_keys FOR EACH ROW EXECUTE FUNCTION montoit.touch_updated_at();

CREATE TRIGGER touch_updated_at BEFORE UPDATE ON public.feature_flags FOR EACH ROW EXECUTE FUNCTION montoit.touch_updated_at();

CREATE TRIGGER touch_updated_at BEFORE UPDATE ON public.payment_logs FOR EACH ROW EXECUTE FUNCTION montoit.touch_updated_at();

CREATE TRIGGER touch_updated_at BEFORE UPDATE ON public.whatsapp_logs FOR EACH ROW EXECUTE FUNCTION montoit.touch_updated_at();

ALTER TABLE ONLY public.feature_flag_overrides
    ADD CONSTRAINT feature_flag_overrides_feature_flag_id_fkey FOREIGN KEY (feature_flag_id) REFERENCES public.feature_flags(id) ON DELETE CASCADE;

ALTER TABLE public.alembic_version ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.api_keys ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.feature_flag_history ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.feature_flag_overrides ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.feature_flags ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.payment_logs ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.sms_logs ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.whatsapp_logs ENABLE ROW LEVEL SECURITY;

REVOKE ALL ON FUNCTION montoit.current_user_id() FROM PUBLIC;

REVOKE ALL ON FUNCTION montoit.jwt_claims() FROM PUBLIC;

REVOKE ALL ON FUNCTION montoit.record_flag_change() FROM PUBLIC;

REVOKE ALL ON FUNCTION montoit.refuse_to_lose_rows() FROM PUBLIC;

REVOKE ALL ON FUNCTION montoit.store_credentials(target_environment text, target_endpoint text) FROM PUBLIC;

REVOKE ALL ON FUNCTION montoit.touch_updated_at() FROM PUBLIC;
