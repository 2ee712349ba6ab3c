"""The tables that Mon Toit's databases have already, with rows: generation B whole or half-way, and the fork C.

Written from what is known of the platform: names, types, defaults, constraints, triggers, policies, functions, callers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.checkout import ROOT
from tests.support.platforms import activate

if TYPE_CHECKING:
    from tests.support.database import Database

TENANT = "a1111111-1111-4111-8111-111111111111"
AGENCY = "a2222222-2222-4222-8222-222222222222"
OPERATOR = "a3333333-3333-4333-8333-333333333333"

USERS = f"""
create schema auth;
create table auth.users (id uuid primary key default gen_random_uuid(), email text);
create function auth.uid() returns uuid language sql stable as $$
    select (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')::uuid
$$;
grant usage on schema auth to anon, authenticated, service_role;
insert into auth.users (id, email) values
    ('{TENANT}', 'tenant@example.net'), ('{AGENCY}', 'agency@example.net'), ('{OPERATOR}', 'operator@example.net');

create type public.user_role as enum ('user', 'moderator', 'admin');
create type public.user_type as enum ('locataire', 'proprietaire', 'agence', 'admin_ansut');
create table public.profiles (
    id uuid primary key references auth.users (id) on delete cascade, full_name text, user_type public.user_type
);
create table public.user_roles (
    user_id uuid references auth.users (id) on delete cascade, role public.user_role not null,
    primary key (user_id, role)
);
create table public.user_role_assignments (
    id uuid primary key default gen_random_uuid(), user_id uuid references auth.users (id) on delete cascade,
    role_type public.user_type not null, is_active boolean default true, is_primary boolean default false,
    unique (user_id, role_type)
);
alter table public.profiles enable row level security;
create policy "own profile" on public.profiles for all to authenticated
    using (id = auth.uid()) with check (id = auth.uid());
insert into public.profiles values
    ('{TENANT}', 'Awa', 'locataire'), ('{AGENCY}', 'Agence', 'agence'), ('{OPERATOR}', 'Koffi', 'admin_ansut');
insert into public.user_roles values ('{OPERATOR}', 'admin'), ('{TENANT}', 'user');
insert into public.user_role_assignments (user_id, role_type) values ('{AGENCY}', 'agence'), ('{TENANT}', 'locataire');
"""

FLAGS = """
create table public.feature_flags (
    id uuid primary key default gen_random_uuid(),
    key text not null unique,
    name text not null,
    description text,
    category text not null,
    is_enabled boolean default false,
    requires_credentials boolean default false,
    credentials_status text default 'not_configured'
        check (credentials_status in ('not_configured', 'sandbox', 'production')),
    rollout_percentage integer default 0 check (rollout_percentage >= 0 and rollout_percentage <= 100),
    allowed_roles text[] default '{}',
    metadata jsonb default '{}',
    created_at timestamptz default now(),
    updated_at timestamptz default now(),
    created_by uuid references auth.users (id),
    updated_by uuid references auth.users (id)
);
create index idx_feature_flags_key on public.feature_flags (key);
create index idx_feature_flags_category on public.feature_flags (category);
create index idx_feature_flags_enabled on public.feature_flags (is_enabled);
create table public.feature_flag_history (
    id uuid primary key default gen_random_uuid(),
    feature_flag_id uuid references public.feature_flags (id) on delete cascade,
    action text not null check (action in ('enabled', 'disabled', 'updated', 'created')),
    previous_value jsonb,
    new_value jsonb,
    changed_by uuid references auth.users (id),
    changed_at timestamptz default now(),
    reason text
);
create table public.feature_flag_overrides (
    id uuid primary key default gen_random_uuid(),
    feature_flag_id uuid references public.feature_flags (id) on delete cascade,
    user_id uuid references auth.users (id) on delete cascade,
    is_enabled boolean not null,
    reason text,
    expires_at timestamptz,
    created_at timestamptz default now(),
    created_by uuid references auth.users (id),
    unique (feature_flag_id, user_id)
);
create function public.log_feature_flag_change() returns trigger language plpgsql as $$
begin
    insert into feature_flag_history (feature_flag_id, action, previous_value, new_value)
    values (new.id, case when tg_op = 'INSERT' then 'created' else 'updated' end, to_jsonb(old), to_jsonb(new));
    return new;
end;
$$;
create function public.update_feature_flags_updated_at() returns trigger language plpgsql as $$
begin
    new.updated_at = now();
    return new;
end;
$$;
create function public.check_feature_flag(flag_key text, user_id uuid default null)
returns boolean language plpgsql security definer as $$
declare
    v_flag record;
begin
    select * into v_flag from feature_flags where key = flag_key;
    if not found or not v_flag.is_enabled then
        return false;
    end if;
    if v_flag.rollout_percentage < 100 and user_id is not null then
        return hashtext(user_id::text) % 100 < v_flag.rollout_percentage;
    end if;
    return true;
end;
$$;
alter table public.feature_flags enable row level security;
alter table public.feature_flag_history enable row level security;
alter table public.feature_flag_overrides enable row level security;
create policy "Anyone can view feature flags" on public.feature_flags for select to authenticated using (true);
create policy "Users can view own overrides" on public.feature_flag_overrides for select to authenticated
    using (user_id = auth.uid());
"""
FLAG_TRIGGERS = """
create trigger trigger_log_feature_flag_change after insert or update on public.feature_flags
    for each row execute function public.log_feature_flag_change();
create trigger trigger_update_feature_flags_updated_at before update on public.feature_flags
    for each row execute function public.update_feature_flags_updated_at();
"""

API_KEYS = """
create table public.api_keys (
    id uuid primary key default gen_random_uuid(),
    service_name text not null unique,
    display_name text not null,
    description text,
    keys jsonb not null default '{}',
    is_active boolean default true,
    environment text default 'sandbox' check (environment in ('sandbox', 'production')),
    last_used_at timestamptz,
    created_by uuid references auth.users (id),
    created_at timestamptz default now(),
    updated_at timestamptz default now(),
    provider_type text,
    priority integer default 1,
    health_check_url text,
    health_status text default 'unknown',
    last_health_check timestamptz,
    response_time_ms integer,
    success_rate numeric(5, 2)
);
create table public.api_key_logs (
    id uuid primary key default gen_random_uuid(), service_name text not null, action text not null,
    status text not null, request_data jsonb, response_data jsonb, error_message text, ip_address inet, user_id uuid,
    created_at timestamptz default now()
);
create table public.service_providers (
    id uuid primary key default gen_random_uuid(), api_key_id uuid references public.api_keys (id) on delete cascade
);
create table public.provider_health_checks (
    id uuid primary key default gen_random_uuid(), api_key_id uuid references public.api_keys (id) on delete cascade
);
create table public.provider_usage_costs (
    id uuid primary key default gen_random_uuid(), api_key_id uuid references public.api_keys (id) on delete cascade
);
create table public.provider_failover_logs (
    id uuid primary key default gen_random_uuid(), from_api_key_id uuid references public.api_keys (id),
    to_api_key_id uuid references public.api_keys (id)
);
create function public.get_api_keys(service text) returns jsonb language plpgsql security definer as $$
declare
    v_keys jsonb;
begin
    if (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'role') <> 'service_role' then
        raise exception 'Unauthorized';
    end if;
    select keys into v_keys from api_keys where service_name = service and is_active;
    return v_keys;
end;
$$;
create function public.log_api_usage(
    p_service text, p_action text, p_status text, p_request jsonb default null, p_response jsonb default null,
    p_error text default null, p_ip inet default null, p_user uuid default null
) returns void language plpgsql security definer as $$
begin
    insert into api_key_logs
        (service_name, action, status, request_data, response_data, error_message, ip_address, user_id)
    values (p_service, p_action, p_status, p_request, p_response, p_error, p_ip, p_user);
    update api_keys set last_used_at = now() where service_name = p_service;
end;
$$;
alter table public.api_keys enable row level security;
alter table public.api_key_logs enable row level security;
create policy "Admins can view" on public.api_keys for select to authenticated
    using (exists (select from public.profiles where id = auth.uid() and user_type = 'admin_ansut'));
create policy "Admins can insert" on public.api_keys for insert to authenticated
    with check (exists (select from public.profiles where id = auth.uid() and user_type = 'admin_ansut'));
create policy "Admins can update" on public.api_keys for update to authenticated
    using (exists (select from public.profiles where id = auth.uid() and user_type = 'admin_ansut'));
insert into public.api_keys (service_name, display_name, keys, is_active, environment)
select
    service, initcap(service), jsonb_build_object('api_key', 'legacy-' || service),
    service <> 'off', case when service = 'oneci' then 'sandbox' else 'production' end
from unnest(array[
    'brevo', 'resend', 'oneci', 'azure_maps', 'mapbox', 'gemini', 'openai', 'smileless', 'cryptoneo', 'twilio',
    'orange', 'mtn', 'moov', 'wave', 'cnam', 'passport', 'sentry', 'storage', 'captcha', 'weather', 'geocoding', 'push',
    'pdf', 'ocr', 'off'
]) as service;
insert into public.service_providers (api_key_id) select id from public.api_keys;
insert into public.provider_health_checks (api_key_id) select id from public.api_keys where service_name < 'd';
insert into public.provider_usage_costs (api_key_id) select id from public.api_keys where service_name < 'c';
insert into public.provider_failover_logs (from_api_key_id, to_api_key_id)
select a.id, b.id from public.api_keys a, public.api_keys b
where a.service_name = 'brevo' and b.service_name = 'resend';
"""

_MESSAGE_LOG = """
    user_id uuid references auth.users (id) on delete set null,
    phone_number text not null,
    message text not null,
    type text default 'general',
    partner_transaction_id text not null unique,
    {reference} text,
    status text not null default 'pending'{check},
    status_code integer,
    status_message text,
    raw_response jsonb,
    created_at timestamptz default now()
"""

SMS = f"""
create table public.sms_logs (
    id uuid primary key default gen_random_uuid(), {_MESSAGE_LOG.format(reference="intouch_sms_id", check="")}
);
create index idx_sms_logs_user_id on public.sms_logs (user_id);
create index idx_sms_logs_phone_number on public.sms_logs (phone_number);
create index idx_sms_logs_status on public.sms_logs (status);
create index idx_sms_logs_created_at on public.sms_logs (created_at desc);
create index idx_sms_logs_partner_transaction_id on public.sms_logs (partner_transaction_id);
create index idx_sms_logs_intouch_sms_id on public.sms_logs (intouch_sms_id);
alter table public.sms_logs enable row level security;
create policy "Service role full access" on public.sms_logs for all to service_role using (true) with check (true);
create policy "Users can view own SMS" on public.sms_logs for select to authenticated using (user_id = auth.uid());
insert into public.sms_logs (user_id, phone_number, message, partner_transaction_id, status, created_at)
select case i % 2 when 0 then '{TENANT}'::uuid end, '+22507010203' || i, 'Bonjour', 'SMS_' || i,
       (array['sent', 'delivered', 'failed', 'pending'])[1 + i % 4], now() - i * interval '1 hour'
from generate_series(1, 40) as i;
"""

# Enough rows in a log for its indexes to be built concurrently.
LARGE = """
insert into sms_logs (phone_number, message, partner_transaction_id, status, created_at)
select '+2250701020304', repeat('m', 100), 'large_' || i, 'sent', now() - i * interval '1 minute'
from generate_series(1, 60000) as i;
"""

WHATSAPP = f"""
create table public.whatsapp_logs (
    id uuid primary key default gen_random_uuid(),
    {
    _MESSAGE_LOG.format(
        reference="intouch_message_id", check=" check (status in ('pending', 'sent', 'delivered', 'read', 'failed'))"
    )
},
    raw_callback jsonb,
    sent_at timestamptz,
    delivered_at timestamptz,
    read_at timestamptz,
    updated_at timestamptz default now()
);
create function public.update_whatsapp_logs_updated_at() returns trigger language plpgsql as $$
begin
    new.updated_at = now();
    return new;
end;
$$;
create trigger update_whatsapp_logs_updated_at before update on public.whatsapp_logs
    for each row execute function public.update_whatsapp_logs_updated_at();
alter table public.whatsapp_logs enable row level security;
create policy "Service role full access" on public.whatsapp_logs for all to service_role
    using (true) with check (true);
create policy "Users can view own messages" on public.whatsapp_logs for select to authenticated
    using (user_id = auth.uid());
insert into public.whatsapp_logs (phone_number, message, partner_transaction_id, status)
select '+22505010203' || i, 'Bonjour', 'WA_' || i, 'read' from generate_series(1, 10) as i;
"""

FORK = """
create table public.feature_flags (
    id uuid primary key default gen_random_uuid(), name text not null unique, flag_type text not null,
    is_active boolean default false, rollout_percentage integer default 0, segment_rules jsonb,
    created_at timestamptz default now()
);
create table public.api_keys (
    id uuid primary key default gen_random_uuid(), service_name text not null unique, api_key text, api_secret text,
    config jsonb, is_active boolean default true, created_at timestamptz default now()
);
create table public.sms_logs (
    id uuid primary key default gen_random_uuid(), phone text not null, message text not null, provider text,
    status text, transaction_id text, error_message text, created_at timestamptz default now()
);
create table public.whatsapp_logs (like public.sms_logs including all);
insert into public.feature_flags (name, flag_type) values ('orange_money', 'boolean');
insert into public.api_keys (service_name, api_key) values ('brevo', 'legacy-brevo');
"""


def insert_flags(owner: Database) -> None:
    """Insert the platform's 39 flags as they are there: fifteen are on, at 0 %.

    The view of our seed knows them; it is there for as long as it is read.
    """
    seed = (ROOT / "migrations" / "sql" / "flags" / "feature_flag_seed_v01.sql").read_text(encoding="utf-8")
    owner.execute(f"""
        create schema montoit;
        {seed}
        insert into public.feature_flags
            (key, category, name, is_enabled, requires_credentials, credentials_status, rollout_percentage)
        select
            key, category, name, is_enabled, requires_credentials, credentials_status,
            case when is_enabled then 0 else rollout_percentage end
        from montoit.feature_flag_seed;
        drop schema montoit cascade;
    """)


def make_generation_b(owner: Database, *, half_way: bool = False) -> None:
    """Make the platform's tables of 2025; some databases stopped before the flags and WhatsApp."""
    owner.execute(USERS)
    if not half_way:
        owner.execute(FLAGS)
        owner.execute(FLAG_TRIGGERS)
        insert_flags(owner)
    owner.execute(API_KEYS)
    owner.execute(SMS)
    if not half_way:
        owner.execute(WHATSAPP)


def make_adopted(owner: Database) -> None:
    """Make the platform's tables of 2025, and take them over."""
    make_generation_b(owner)
    activate(owner)
