"""Feature flags, their history and overrides."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from montoit_db.deploy.statements import KEEP_ROLLOUT, is_allowed, refuse_to_lose_rows, run, run_file

revision = "0003"
down_revision = "0002"
adopts_tables = True

before_downgrade = refuse_to_lose_rows

SERVICES = (
    "intouch_payment", "orange_money", "mtn_money", "moov_money", "wave_payment", "sms_notifications",
    "whatsapp_notifications",
)  # fmt: skip

# Settings that the statements below read: whether shares of 0 % are kept, and InTouch's keys.
SETTINGS = """
select set_config('montoit.keep_rollout', '{keep_rollout}', true),
    set_config('montoit.services', '{{{services}}}', true);
"""

LOCK = "select montoit.lock_tables(array['feature_flag_history', 'feature_flag_overrides', 'feature_flags']);"

CLOSE = """
alter table public.feature_flags enable row level security;
alter table public.feature_flag_history enable row level security;
alter table public.feature_flag_overrides enable row level security;
revoke all on table public.feature_flags, public.feature_flag_history, public.feature_flag_overrides
    from public, anon, authenticated, service_role;
"""

# Runs before the trigger exists, so that the seed leaves no history. An adopted table that has flags gets InTouch's
# only: a flag that the platform has removed must not come back.
SEED = r"""
do $$
declare
    wanted text[] := array(
        select key from montoit.feature_flag_seed
        where (not exists (select from public.feature_flags) or key = any (current_setting('montoit.services')::text[]))
          and key not in (select key from public.feature_flags)
    );
begin
    perform montoit.change_rows(format(
        'insert into public.feature_flags'
        ' (key, category, name, is_enabled, requires_credentials, credentials_status, rollout_percentage)'
        ' select key, category, name, is_enabled, requires_credentials, credentials_status, rollout_percentage'
        ' from montoit.feature_flag_seed where key = any (%L::text[])',
        wanted
    ));

    insert into montoit.adoption_steps (stage, table_name, object, undo, told)
    select
        'access', 'feature_flags', 'flags of ours', 'select',
        case when count(*) = 1 then 'flag ajouté et actif, la plateforme n''en avait aucun : '
            else count(*) || ' flags ajoutés et actifs, la plateforme n''en avait aucun : ' end
            || string_agg(key || case when key like 'ai\_%' then ' (payant à l''appel)' else '' end, ', ' order by key)
    from montoit.feature_flag_seed
    where key = any (wanted) and is_enabled and exists (select from montoit.adopted_tables)
    having count(*) > 0;

    update montoit.adopted_tables
    set own_rows = case table_name
        when 'feature_flags' then format('key = any (%L::text[])', wanted)
        else format('feature_flag_id in (select id from public.feature_flags where key = any (%L::text[]))', wanted)
    end
    where table_name = 'feature_flags'
       or table_name = 'feature_flag_overrides'
          and exists (select from montoit.adopted_tables where table_name = 'feature_flags');
end;
$$;
"""

TRIGGERS = """
revoke all on table montoit.feature_flag_seed from public, anon, authenticated, service_role;
revoke all on function montoit.record_flag_change, montoit.record_override, montoit.stamp_author
    from public, anon, authenticated, service_role;
create or replace trigger stamp_author before insert or update on public.feature_flags
    for each row execute function montoit.stamp_author();
create or replace trigger touch_updated_at before update on public.feature_flags
    for each row execute function montoit.touch_updated_at();
create or replace trigger record_flag_change after insert or update or delete on public.feature_flags
    for each row execute function montoit.record_flag_change();
create or replace trigger stamp_author before insert or update on public.feature_flag_overrides
    for each row execute function montoit.stamp_author();
create or replace trigger record_override after insert or update or delete on public.feature_flag_overrides
    for each row execute function montoit.record_override();
"""


# Anonymous visitors ask without a user: flags that are on for everyone are on for them.
FUNCTION_GRANTS = """
revoke all on function
    montoit.bucket, montoit.check_flag, montoit.check_flags, public.check_feature_flag, public.check_feature_flags
    from public, anon, authenticated, service_role;
grant execute on function
    montoit.check_flag, montoit.check_flags, public.check_feature_flag, public.check_feature_flags
    to anon, authenticated, service_role;
"""


def before_upgrade() -> None:
    """Refuse a misspelt -x before anything is written."""
    is_allowed(KEEP_ROLLOUT)


def upgrade() -> None:
    """Create the tables, fill in the flags, start to keep history, then open what each role may see."""
    run("select montoit.look_again('feature_flags', 'feature_flag_history', 'feature_flag_overrides');")
    run(
        SETTINGS.format(
            keep_rollout="yes" if is_allowed(KEEP_ROLLOUT) else "no",
            services=",".join(SERVICES),
        )
    )
    run_file("platform/fill_history_v01")
    create_tables()
    run_file("flags/feature_flag_seed_v01")
    run_file("flags/record_flag_change_v01")
    run_file("flags/stamp_author_v01")
    run_file("flags/record_override_v01")
    run_file("flags/bucket_v01")
    run_file("flags/check_flag_v01")
    run_file("flags/check_flags_v01")
    # From here on other sessions wait.
    run(LOCK)
    run("select montoit.take_over_access('feature_flags', 'feature_flag_history', 'feature_flag_overrides');")
    run(CLOSE)
    run_file("platform/adopt_flags_v01")
    run(SEED)
    run(TRIGGERS)
    run_file("flags/feature_flags_policies_v01")
    run_file("flags/check_feature_flag_v01")
    run_file("flags/check_feature_flags_v01")
    run(FUNCTION_GRANTS)


def create_tables() -> None:
    """Create the tables that are not adopted."""
    op.create_table(
        "feature_flags",
        sa.Column("id", sa.Uuid, server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("key", sa.Text, nullable=False, comment="Stable name that callers ask for."),
        sa.Column("name", sa.Text, nullable=False, comment="Name that operators read, in French."),
        sa.Column("description", sa.Text, comment="What it does; null: the name says it."),
        sa.Column("category", sa.Text, nullable=False),
        sa.Column("is_enabled", sa.Boolean, server_default=sa.false(), nullable=False),
        sa.Column("requires_credentials", sa.Boolean, server_default=sa.false(), nullable=False),
        sa.Column(
            "credentials_status",
            sa.Text,
            server_default="not_configured",
            nullable=False,
            comment="Environment whose credentials serve the flag; not_configured blocks one that requires them.",
        ),
        sa.Column(
            "rollout_percentage",
            sa.Integer,
            server_default=sa.text("0"),
            nullable=False,
            comment="Share of users in percent; counts only while is_enabled.",
        ),
        sa.Column(
            "allowed_roles",
            sa.ARRAY(sa.Text),
            server_default=sa.text("'{}'::text[]"),
            nullable=False,
            comment="Roles that may use it; empty: everyone.",
        ),
        sa.Column("metadata", JSONB, server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("created_by", sa.Uuid, comment="User who made it; null: a migration."),
        sa.Column("updated_by", sa.Uuid, comment="User who changed it last; null: a migration."),
        sa.PrimaryKeyConstraint("id", name="feature_flags_pkey"),
        sa.UniqueConstraint("key", name="feature_flags_key_key"),
        sa.CheckConstraint(
            "credentials_status in ('not_configured', 'sandbox', 'production')",
            name="feature_flags_credentials_status_check",
        ),
        sa.CheckConstraint("rollout_percentage between 0 and 100", name="feature_flags_rollout_percentage_check"),
        comment="Capabilities of the platform, each served to a share of its users.",
        schema="public",
        if_not_exists=True,
    )
    op.create_table(
        "feature_flag_history",
        sa.Column("id", sa.Uuid, server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("feature_flag_id", sa.Uuid, nullable=False, comment="No foreign key: history outlives the flag."),
        sa.Column("flag_key", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("previous_value", JSONB, comment="The row before; null: it was created."),
        sa.Column("new_value", JSONB, comment="The row after; null: it was deleted."),
        sa.Column("changed_by", sa.Uuid, comment="The JWT's user; null: nobody signed in."),
        sa.Column("actor", sa.Text, nullable=False, comment="Database role that made the change."),
        sa.Column("changed_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("reason", sa.Text, comment="Why; null: the author did not say."),
        sa.PrimaryKeyConstraint("id", name="feature_flag_history_pkey"),
        sa.CheckConstraint(
            "action in ('created', 'enabled', 'disabled', 'updated', 'deleted')",
            name="feature_flag_history_action_check",
        ),
        comment="Every change of a feature flag: who, what and why. Written by a trigger only.",
        schema="public",
        if_not_exists=True,
    )
    op.create_index(
        "idx_feature_flag_history_feature_flag_id_changed_at",
        "feature_flag_history",
        ["feature_flag_id", "changed_at"],
        schema="public",
        if_not_exists=True,
    )
    op.create_table(
        "feature_flag_overrides",
        sa.Column("id", sa.Uuid, server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("feature_flag_id", sa.Uuid, nullable=False),
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("is_enabled", sa.Boolean, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("expires_at", sa.DateTime(timezone=True), comment="End of the exception; null: never."),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("created_by", sa.Uuid, comment="User who made it; null: a migration."),
        sa.PrimaryKeyConstraint("id", name="feature_flag_overrides_pkey"),
        sa.UniqueConstraint("feature_flag_id", "user_id", name="feature_flag_overrides_feature_flag_id_user_id_key"),
        sa.ForeignKeyConstraint(
            ["feature_flag_id"],
            ["public.feature_flags.id"],
            name="feature_flag_overrides_feature_flag_id_fkey",
            ondelete="CASCADE",
        ),
        comment="A flag's answer for one user, whatever its rollout says.",
        schema="public",
        if_not_exists=True,
    )


def downgrade() -> None:
    """Drop the tables, or give them back, once nobody can write to them and they hold nothing but the seed."""
    run(LOCK)
    refuse_to_lose_rows()
    run(
        """
        select montoit.hand_back('feature_flag_overrides');
        select montoit.hand_back('feature_flag_history');
        select montoit.hand_back(
            'feature_flags', 'public.check_feature_flag(text, uuid)', 'public.check_feature_flags(uuid)'
        );
        drop function montoit.check_flags;
        drop function montoit.check_flag;
        drop function montoit.bucket;
        drop function montoit.record_flag_change;
        drop function montoit.record_override;
        drop function montoit.stamp_author;
        drop view montoit.feature_flag_seed;
        """
    )
