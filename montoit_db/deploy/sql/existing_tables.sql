-- For montoit-db check: the tables of these names that a database has before its first upgrade, how each differs from the
-- platform's of 2025 (null: not at all, so that it can be adopted), and the columns that it will get. Marks of a column: !
-- it has to be there; * it has to be not null; = it has to have a default; - only the package's tables have it. The
-- revision that adopts has a query of its own, which stays as it was released; a test compares the two.
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
        array(
            select attname::text from pg_catalog.pg_attribute
            where attrelid = class.oid and attnum > 0 and not attisdropped
        ) as columns
    from pg_catalog.pg_class as class
    where relnamespace = 'public'::regnamespace and relname = any (array[
        'feature_flags', 'feature_flag_history', 'feature_flag_overrides', 'api_keys',
        'payment_logs', 'sms_logs', 'whatsapp_logs'
    ]) and relkind not in ('i', 'I', 'S', 't', 'c')
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
        'manque ' || essentials.missing,
        'a déjà ' || (
            select string_agg(column_name, ', ' order by column_name)
            from compared where compared.table_name = present.table_name and marks ~ '-'
        ),
        case when relhasrules and relkind <> 'v' then 'a des règles (create rule)' end,
        case when not pg_has_role(relowner, 'usage') then 'appartient à ' || pg_get_userbyid(relowner) end,
        'unicité inconnue : ' || (
            select string_agg(theirs.relname, ', ' order by theirs.relname)
            from pg_catalog.pg_index
            join pg_catalog.pg_class as theirs on theirs.oid = indexrelid
            where table_name = 'api_keys' and indrelid = present.oid and indisunique
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
          and (expected.table_name <> 'api_keys' or column_name not in ('description', 'created_by'))
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
