-- Adds the columns that the later revisions describe and adopted tables may lack. A column without a default may be null,
-- so that callers who do not know it can go on. Defaults are constants, so that no table is rewritten.
alter table if exists public.feature_flags
    add column if not exists description text,
    add column if not exists is_enabled boolean default false,
    add column if not exists requires_credentials boolean default false,
    add column if not exists credentials_status text default 'not_configured',
    add column if not exists rollout_percentage integer default 0,
    add column if not exists allowed_roles text[] default '{}'::text[],
    add column if not exists metadata jsonb default '{}'::jsonb,
    add column if not exists created_at timestamptz default now(),
    add column if not exists updated_at timestamptz default now(),
    add column if not exists created_by uuid,
    add column if not exists updated_by uuid;
-- The revision of the flags fills in flag_key, and drops both defaults of 'unknown'.
alter table if exists public.feature_flag_history
    add column if not exists previous_value jsonb,
    add column if not exists new_value jsonb,
    add column if not exists changed_by uuid,
    add column if not exists changed_at timestamptz default now(),
    add column if not exists reason text,
    add column if not exists flag_key text default 'unknown' not null,
    add column if not exists actor text default 'unknown' not null;
alter table if exists public.feature_flag_overrides
    add column if not exists reason text,
    add column if not exists expires_at timestamptz,
    add column if not exists created_at timestamptz default now(),
    add column if not exists created_by uuid;
alter table if exists public.api_keys
    add column if not exists is_active boolean default true,
    add column if not exists environment text default 'sandbox',
    add column if not exists last_used_at timestamptz,
    add column if not exists created_at timestamptz default now(),
    add column if not exists updated_at timestamptz default now(),
    add column if not exists key_name text,
    add column if not exists key_value text,
    add column if not exists secret_id uuid,
    add column if not exists endpoint text,
    add column if not exists metadata jsonb default '{}'::jsonb not null;
alter table if exists public.sms_logs
    add column if not exists user_id uuid,
    add column if not exists type text default 'general',
    add column if not exists intouch_sms_id text,
    add column if not exists status_code integer,
    add column if not exists status_message text,
    add column if not exists raw_response jsonb,
    add column if not exists provider text default 'intouch' not null;
alter table if exists public.whatsapp_logs
    add column if not exists user_id uuid,
    add column if not exists type text default 'general',
    add column if not exists intouch_message_id text,
    add column if not exists status_code integer,
    add column if not exists status_message text,
    add column if not exists raw_response jsonb,
    add column if not exists raw_callback jsonb,
    add column if not exists sent_at timestamptz,
    add column if not exists delivered_at timestamptz,
    add column if not exists read_at timestamptz,
    add column if not exists updated_at timestamptz default now(),
    add column if not exists provider text default 'intouch' not null;

insert into montoit.adoption_steps (stage, table_name, object, undo, told)
select
    'tables', table_name, 'columns',
    string_agg(format('alter table public.%I drop column if exists %I', table_name, attname), '; '),
    case when count(*) = 1 then 'colonne ajoutée : ' else 'colonnes ajoutées : ' end
        || string_agg(attname, ', ' order by attname)
from montoit.adopted_tables
join pg_catalog.pg_attribute on attrelid = to_regclass(format('public.%I', table_name)) and attnum > 0
where not attisdropped and attname <> all (columns)
group by table_name;
