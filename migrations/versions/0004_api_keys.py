"""Credentials of the services."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from montoit_db.deploy.statements import refuse_to_lose_rows, run, run_file

revision = "0004"
down_revision = "0003"
adopts_tables = True

before_downgrade = refuse_to_lose_rows

LOCK = "select montoit.lock_tables(array['api_keys']);"

CLOSE = """
alter table public.api_keys enable row level security;
revoke all on table public.api_keys from public, anon, authenticated, service_role;

create or replace trigger touch_updated_at
    before update of key_name, key_value, secret_id, endpoint, environment, is_active, metadata on public.api_keys
    for each row execute function montoit.touch_updated_at();
create or replace trigger record_credential after insert or update or delete on public.api_keys
    for each row execute function montoit.record_credential();
"""

GRANTS = """
revoke all on function
    montoit.keep_credential, montoit.store_credentials, montoit.verify_credentials, montoit.switch_off,
    montoit.message_without_values, montoit.has_vault, montoit.read_credentials, montoit.take_credential,
    montoit.record_credential, montoit.described_credential, public.get_api_keys
    from public, anon, authenticated, service_role;
grant execute on function montoit.has_vault, montoit.read_credentials, public.get_api_keys to service_role;
"""

# Without their rows, nobody would know what our secrets in the Vault are for.
DROP_SECRETS = """
do $$
begin
    if montoit.has_vault() then
        delete from vault.secrets
        where description = 'InTouch, montoit_db'
          and id in (select secret_id from public.api_keys where service_name = 'intouch');
    end if;
end;
$$;
"""


def upgrade() -> None:
    """Create the table, open what each role may see, and add the functions that fill and read it."""
    run("select montoit.look_again('api_keys');")
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Uuid, server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("service_name", sa.Text, nullable=False),
        sa.Column("key_name", sa.Text, nullable=False),
        sa.Column("key_value", sa.Text, comment="The secret itself; null: it is in the Vault, see secret_id."),
        sa.Column("secret_id", sa.Uuid, comment="The secret's id in the Vault; null: it is in key_value."),
        sa.Column("endpoint", sa.Text, comment="Root of the service's API."),
        sa.Column("environment", sa.Text, server_default="sandbox", nullable=False),
        sa.Column("is_active", sa.Boolean, server_default=sa.true(), nullable=False),
        sa.Column("metadata", JSONB, server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True), comment="Last read by a caller; null: never."),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="api_keys_pkey"),
        sa.UniqueConstraint(
            "service_name", "key_name", "environment", name="api_keys_service_name_key_name_environment_key"
        ),
        sa.UniqueConstraint("secret_id", name="api_keys_secret_id_key"),
        sa.CheckConstraint("environment in ('sandbox', 'production')", name="api_keys_environment_check"),
        sa.CheckConstraint("key_value is null or secret_id is null", name="api_keys_one_store_check"),
        comment="Credentials of the services that the platform calls. For the service role alone.",
        schema="public",
        if_not_exists=True,
    )
    run_file("credentials/keep_credential_v01")
    run_file("credentials/record_credential_v01")
    run_file("credentials/has_vault_v01")
    run_file("credentials/read_credentials_v01")
    run_file("credentials/message_without_values_v01")
    run_file("credentials/given_credentials_v01")
    run_file("credentials/store_credentials_v01")
    run_file("credentials/verify_credentials_v01")
    run_file("credentials/switch_off_v01")
    # From here on other sessions wait.
    run(LOCK)
    run("select montoit.take_over_access('api_keys');")
    run(CLOSE)
    run_file("credentials/api_keys_policies_v01")
    run_file("credentials/adopted_api_keys_v01")
    run_file("credentials/get_api_keys_v01")
    run(GRANTS)


def downgrade() -> None:
    """Drop the table, or give it back, once nobody can write to it and its rows are none or may be lost."""
    run(LOCK)
    refuse_to_lose_rows()
    run(DROP_SECRETS)
    run(
        """
        select montoit.hand_back('api_keys', 'public.get_api_keys(text)');
        drop function montoit.switch_off;
        drop function montoit.verify_credentials;
        drop function montoit.store_credentials;
        drop view montoit.given_credentials;
        drop function montoit.take_credential;
        drop function montoit.message_without_values;
        drop function montoit.read_credentials;
        drop function montoit.has_vault;
        drop function montoit.keep_credential;
        drop function montoit.record_credential;
        drop function montoit.described_credential;
        """
    )
