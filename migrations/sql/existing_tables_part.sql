-- The tables of our names that a database has already, how each differs from the platform's of 2025 (null: not at all, so
-- that it can be taken over) and the columns that it will get. What is missing is added, but for what no row can do
-- without (!); what is unknown stays, but for what nobody can leave out. Some columns only ours have (-).
with expected as (
    select
        table_name,
        split_part(description, ' ', 1) as column_name,
        rtrim(substr(description, strpos(description, ' ') + 1), '!-') as column_type,
        description like '%!' as is_essential,
        description like '%-' as is_ours
    from (values
        ('feature_flags', 'id uuid!, key text!, name text!, description text, category text!, is_enabled boolean, '
            'requires_credentials boolean, credentials_status text, rollout_percentage integer, allowed_roles text[], '
            'metadata jsonb, created_at timestamp with time zone, updated_at timestamp with time zone, '
            'created_by uuid, updated_by uuid'),
        ('feature_flag_history', 'id uuid!, feature_flag_id uuid!, action text!, previous_value jsonb, '
            'new_value jsonb, changed_by uuid, changed_at timestamp with time zone, reason text, flag_key text-, '
            'actor text-'),
        ('feature_flag_overrides', 'id uuid!, feature_flag_id uuid!, user_id uuid!, is_enabled boolean!, reason text, '
            'expires_at timestamp with time zone, created_at timestamp with time zone, created_by uuid'),
        ('api_keys', 'id uuid!, service_name text!, display_name text!, description text, keys jsonb!, '
            'is_active boolean, environment text, last_used_at timestamp with time zone, created_by uuid, '
            'created_at timestamp with time zone, updated_at timestamp with time zone, key_name text-, key_value text-, '
            'secret_id uuid-, endpoint text, metadata jsonb'),
        ('sms_logs', 'id uuid!, user_id uuid, phone_number text!, message text!, type text, '
            'partner_transaction_id text!, intouch_sms_id text, status text!, status_code integer, '
            'status_message text, raw_response jsonb, created_at timestamp with time zone!, provider text'),
        ('whatsapp_logs', 'id uuid!, user_id uuid, phone_number text!, message text!, type text, '
            'partner_transaction_id text!, intouch_message_id text, status text!, status_code integer, '
            'status_message text, raw_response jsonb, raw_callback jsonb, created_at timestamp with time zone!, '
            'sent_at timestamp with time zone, delivered_at timestamp with time zone, '
            'read_at timestamp with time zone, updated_at timestamp with time zone, provider text')
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
    select class.relname, class.relkind, class.relowner, class.relhasrules, attribute.*, format_type(atttypid, atttypmod) as column_type
    from pg_catalog.pg_class as class
    join pg_catalog.pg_attribute as attribute on attrelid = class.oid and attnum > 0 and not attisdropped
    where class.relnamespace = 'public'::regnamespace
      and relname in (
          'feature_flags', 'feature_flag_history', 'feature_flag_overrides', 'api_keys',
          'payment_logs', 'sms_logs', 'whatsapp_logs'
      )
)
select
    relname::text as table_name,
    nullif(concat_ws(
        ' ; ',
        case when min(relkind) not in ('r', 'p') then 'pas une table' end,
        case when relname = 'payment_logs' then 'la plateforme n''en avait pas' end,
        'manque ' || (
            select string_agg(column_name, ', ' order by column_name)
            from expected
            where table_name = relname and is_essential and column_name <> all (array_agg(attname::text))
        ),
        'a déjà ' || string_agg(attname, ', ' order by attname) filter (where is_ours),
        case when bool_or(relhasrules and relkind <> 'v') then 'a des règles (create rule)' end,
        case when not bool_or(pg_has_role(relowner, 'usage')) then 'appartient à ' || min(pg_get_userbyid(relowner)) end,
        'unicité inconnue : ' || (
            select string_agg(theirs.relname, ', ' order by theirs.relname)
            from pg_catalog.pg_index
            join pg_catalog.pg_class as theirs on theirs.oid = indexrelid
            where present.relname = 'api_keys' and indrelid = to_regclass('public.api_keys') and indisunique
              and (indpred is not null or indnkeyatts > 1
                   or pg_get_indexdef(indexrelid, 1, false) not in ('id', 'service_name'))
        ),
        string_agg(
            format('%s est %s au lieu de %s', attname, present.column_type, expected.column_type), ', ' order by attname
        ) filter (where present.column_type <> expected.column_type),
        'pas unique : ' || (
            select string_agg(columns, ', ' order by columns)
            from expected_unique
            where table_name = relname
              and string_to_array(columns, ', ') <@ array_agg(attname::text)
              and not exists (
                select from pg_catalog.pg_index
                where indrelid = format('public.%I', relname)::regclass
                  and indisunique and indisvalid and indimmediate and indpred is null
                  and columns = (
                      select string_agg(pg_get_indexdef(indexrelid, position, false), ', ' order by position)
                      from generate_series(1, indnkeyatts) as position
                  )
            )
        ),
        'inconnu et obligatoire : ' || string_agg(attname, ', ' order by attname) filter (
            where expected.column_name is null and attnotnull and not atthasdef and attidentity = ''
              and relname <> 'payment_logs'
        )
    ), '') as differences,
    (
        select string_agg(column_name, ', ' order by column_name)
        from expected
        where table_name = relname and column_name <> all (array_agg(attname::text))
    ) as missing
from present
left join expected on table_name = relname and column_name = attname
group by relname
