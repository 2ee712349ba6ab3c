"""Feature flags, their history and overrides."""

from montoit_db.deploy.statements import KEEP_ROLLOUT, is_allowed, refuse_to_lose_rows, run, run_file

revision = "0003"
down_revision = "0002"
adopts_tables = True

before_downgrade = refuse_to_lose_rows

TABLES = """
create table montoit.feature_flags (
    id uuid default gen_random_uuid() not null,
    key text not null,
    name text not null,
    description text,
    category text not null,
    is_enabled boolean default false not null,
    requires_credentials boolean default false not null,
    credentials_status text default 'not_configured' not null,
    rollout_percentage integer default 0 not null,
    allowed_roles text[] default '{}'::text[] not null,
    metadata jsonb default '{}'::jsonb not null,
    created_at timestamptz default now() not null,
    updated_at timestamptz default now() not null,
    created_by uuid,
    updated_by uuid,
    constraint feature_flags_pkey primary key (id),
    constraint feature_flags_key_key unique (key),
    constraint feature_flags_credentials_status_check
        check (credentials_status in ('not_configured', 'sandbox', 'production')),
    constraint feature_flags_rollout_percentage_check check (rollout_percentage between 0 and 100)
);
comment on table montoit.feature_flags is 'Capabilities of the platform, each served to a share of its users.';
comment on column montoit.feature_flags.key is 'Stable name that callers ask for.';
comment on column montoit.feature_flags.name is 'Name that operators read, in French.';
comment on column montoit.feature_flags.description is 'What it does; null: the name says it.';
comment on column montoit.feature_flags.credentials_status is
    'Environment whose credentials serve the flag; not_configured blocks one that requires them.';
comment on column montoit.feature_flags.rollout_percentage is
    'Share of users in percent; counts only while is_enabled.';
comment on column montoit.feature_flags.allowed_roles is 'Roles that may use it; empty: everyone.';
comment on column montoit.feature_flags.created_by is 'User who made it; null: a migration.';
comment on column montoit.feature_flags.updated_by is 'User who changed it last; null: a migration.';
create table montoit.feature_flag_history (
    id uuid default gen_random_uuid() not null,
    feature_flag_id uuid not null,
    flag_key text not null,
    action text not null,
    previous_value jsonb,
    new_value jsonb,
    changed_by uuid,
    actor text not null,
    changed_at timestamptz default now() not null,
    reason text,
    constraint feature_flag_history_pkey primary key (id),
    constraint feature_flag_history_action_check
        check (action in ('created', 'enabled', 'disabled', 'updated', 'deleted'))
);
create index idx_feature_flag_history_feature_flag_id_changed_at
    on montoit.feature_flag_history (feature_flag_id, changed_at);
comment on table montoit.feature_flag_history is
    'Every change of a feature flag: who, what and why. Written by a trigger only.';
comment on column montoit.feature_flag_history.feature_flag_id is 'No foreign key: history outlives the flag.';
comment on column montoit.feature_flag_history.previous_value is 'The row before; null: it was created.';
comment on column montoit.feature_flag_history.new_value is 'The row after; null: it was deleted.';
comment on column montoit.feature_flag_history.changed_by is 'The JWT''s user; null: nobody signed in.';
comment on column montoit.feature_flag_history.actor is 'Database role that made the change.';
comment on column montoit.feature_flag_history.reason is 'Why, where the author said so.';

create table montoit.feature_flag_overrides (
    id uuid default gen_random_uuid() not null,
    feature_flag_id uuid not null,
    user_id uuid not null,
    is_enabled boolean not null,
    reason text,
    expires_at timestamptz,
    created_at timestamptz default now() not null,
    created_by uuid,
    constraint feature_flag_overrides_pkey primary key (id),
    constraint feature_flag_overrides_feature_flag_id_user_id_key unique (feature_flag_id, user_id),
    constraint feature_flag_overrides_feature_flag_id_fkey
        foreign key (feature_flag_id) references montoit.feature_flags (id) on delete cascade
);
comment on table montoit.feature_flag_overrides is 'A flag''s answer for one user, whatever its rollout says.';
comment on column montoit.feature_flag_overrides.expires_at is 'End of the exception; null: never.';
comment on column montoit.feature_flag_overrides.created_by is 'User who made it; null: a migration.';
select montoit.settle('feature_flags', 'feature_flag_history', 'feature_flag_overrides');

alter table public.feature_flags enable row level security;
alter table public.feature_flag_history enable row level security;
alter table public.feature_flag_overrides enable row level security;
revoke all on table public.feature_flags, public.feature_flag_history, public.feature_flag_overrides
    from public, anon, authenticated, service_role;
"""

# Before the trigger exists: seeding is no change, and leaves no history. Of a platform that has its own flags, only
# InTouch's are our business: one that was removed there must not come back.
SEED = """
with seeded as (
    insert into public.feature_flags
        (key, category, name, is_enabled, requires_credentials, credentials_status, rollout_percentage)
    select key, category, name, is_enabled, requires_credentials, credentials_status, rollout_percentage
    from montoit.feature_flag_seed
    where not exists (select from public.feature_flags) or key in (
        'intouch_payment', 'orange_money', 'mtn_money', 'moov_money', 'wave_payment',
        'sms_notifications', 'whatsapp_notifications'
    )
    on conflict (key) do nothing
    returning key
)
update montoit.adopted_tables
set own_rows = case table_name
    when 'feature_flags' then format('key = any (%L)', keys)
    else format('feature_flag_id in (select id from public.feature_flags where key = any (%L))', keys)
end
from (select array(select key from seeded) as keys) as ours
where table_name = 'feature_flags'
   or table_name = 'feature_flag_overrides'
      and exists (select from montoit.adopted_tables where table_name = 'feature_flags');
"""

TRIGGERS = """
revoke all on table montoit.feature_flag_seed from public, anon, authenticated, service_role;
revoke all on function montoit.record_flag_change from public, anon, authenticated, service_role;
create or replace trigger touch_updated_at before update on public.feature_flags
    for each row execute function montoit.touch_updated_at();
create or replace trigger record_flag_change after insert or update or delete on public.feature_flags
    for each row execute function montoit.record_flag_change();
"""


# Anonymous visitors ask as nobody, and are told of the flags that are for everyone.
FUNCTION_GRANTS = """
revoke all on function
    montoit.bucket, montoit.check_flag, montoit.check_flags, public.check_feature_flag, public.check_feature_flags
    from public, anon, authenticated, service_role;
grant execute on function
    montoit.check_flag, montoit.check_flags, public.check_feature_flag, public.check_feature_flags
    to anon, authenticated, service_role;
"""


def before_upgrade() -> None:
    """Look at the tables that are there before anything is written."""
    is_allowed(KEEP_ROLLOUT)
    run_file("refuse_existing_tables_v01")  # again: tables may have come since 0002


def upgrade() -> None:
    """Create the tables, fill in the flags, start to keep history, then open what each role may see."""
    run(f"select set_config('montoit.keep_rollout', '{'yes' if is_allowed(KEEP_ROLLOUT) else 'no'}', true);")
    run(TABLES)
    run_file("feature_flag_seed_v01")
    run_file("adopt_feature_flags_v01")
    run(SEED)
    run_file("record_flag_change_v01")
    run(TRIGGERS)
    run_file("feature_flags_policies_v01")
    run_file("bucket_v01")
    run_file("check_flag_v01")
    run_file("check_flags_v01")
    run_file("check_feature_flag_v01")
    run_file("check_feature_flags_v01")
    run(FUNCTION_GRANTS)
    run("select montoit.settled('feature_flags', 'feature_flag_history', 'feature_flag_overrides');")


def downgrade() -> None:
    """Drop them, once nobody can write to them and they hold nothing but the seed."""
    run(
        "lock table public.feature_flags, public.feature_flag_history, public.feature_flag_overrides "
        "in access exclusive mode;"
    )
    refuse_to_lose_rows()
    run(
        """
        select montoit.give_back('feature_flag_overrides');
        select montoit.give_back('feature_flag_history');
        select montoit.give_back(
            'feature_flags', 'public.check_feature_flag(text, uuid)', 'public.check_feature_flags(uuid)'
        );
        drop function montoit.check_flags;
        drop function montoit.check_flag;
        drop function montoit.bucket;
        drop function montoit.record_flag_change;
        drop view montoit.feature_flag_seed;
        """
    )
