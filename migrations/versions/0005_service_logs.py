"""Logs of payments, SMS and WhatsApp."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from montoit_db.deploy.statements import refuse_to_lose_rows, run, run_file

revision = "0005"
down_revision = "0004"
adopts_tables = True

before_downgrade = refuse_to_lose_rows

LOGS = ("payment_logs", "sms_logs", "whatsapp_logs")
FUNCTIONS = ("unfinished_logs", "intouch_status")
LOCK = "select montoit.lock_tables(array['payment_logs', 'sms_logs', 'whatsapp_logs']);"

TRIGGERS = """
create or replace trigger touch_updated_at before update on public.payment_logs
    for each row execute function montoit.touch_updated_at();
create or replace trigger touch_updated_at before update on public.whatsapp_logs
    for each row execute function montoit.touch_updated_at();
"""

CLOSE = """
alter table public.{table} enable row level security;
revoke all on table public.{table} from public, anon, authenticated, service_role;
"""


def upgrade() -> None:
    """Create the tables, and open what each role may see."""
    run("select montoit.look_again('payment_logs', 'sms_logs', 'whatsapp_logs');")
    create_tables()
    # From here on other sessions wait.
    run(LOCK)
    run("select montoit.take_over_access('payment_logs', 'sms_logs', 'whatsapp_logs');")
    run(TRIGGERS)
    for table in LOGS:
        run(CLOSE.format(table=table))
    run_file("logs/service_logs_policies_v01")
    run_file("logs/unfinished_logs_v01")
    run_file("logs/intouch_status_v01")
    for function in FUNCTIONS:
        run(f"revoke all on function montoit.{function} from public, anon, authenticated, service_role;")
    run("grant execute on function montoit.intouch_status to service_role;")


# Columns of a fixed size come first, so that a row has no gaps. Then come the columns that every count reads:
# PostgreSQL reads a row up to the last column that a query needs.
def create_tables() -> None:
    """Create the tables that are not adopted."""
    op.create_table(
        "payment_logs",
        sa.Column("id", sa.Uuid, server_default=sa.text("gen_random_uuid()"), nullable=False),
        user_id(),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("amount", sa.Integer, nullable=False, comment="FCFA."),
        *answer_code(),
        sa.Column("payment_method", sa.Text, nullable=False),
        sa.Column("phone_number", sa.Text, comment="Payer's number; null: not given."),
        reference(),
        sa.Column("intouch_transaction_id", sa.Text, comment="InTouch's reference; null: none yet."),
        *answer(),
        sa.Column("raw_callback", JSONB, comment="InTouch's call back; null: none yet."),
        sa.PrimaryKeyConstraint("id", name="payment_logs_pkey"),
        sa.UniqueConstraint("partner_transaction_id", name="payment_logs_partner_transaction_id_key"),
        sa.CheckConstraint("amount > 0", name="payment_logs_amount_check"),
        sa.CheckConstraint(
            "payment_method in ('orange_money', 'mtn_money', 'moov_money', 'wave')",
            name="payment_logs_payment_method_check",
        ),
        sa.CheckConstraint(
            "status in ('pending', 'processing', 'success', 'failed', 'cancelled')", name="payment_logs_status_check"
        ),
        comment="Mobile-money payments asked of InTouch.",
        schema="public",
        if_not_exists=True,
    )
    op.create_table(
        "sms_logs",
        sa.Column("id", sa.Uuid, server_default=sa.text("gen_random_uuid()"), nullable=False),
        user_id(),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        *answer_code(),
        *message(),
        reference(),
        sa.Column("intouch_sms_id", sa.Text, comment="InTouch's reference; null: none yet."),
        *answer(),
        sa.PrimaryKeyConstraint("id", name="sms_logs_pkey"),
        sa.UniqueConstraint("partner_transaction_id", name="sms_logs_partner_transaction_id_key"),
        sa.CheckConstraint("status in ('pending', 'sent', 'delivered', 'failed')", name="sms_logs_status_check"),
        comment="SMS sent through InTouch.",
        schema="public",
        if_not_exists=True,
    )
    op.create_table(
        "whatsapp_logs",
        sa.Column("id", sa.Uuid, server_default=sa.text("gen_random_uuid()"), nullable=False),
        user_id(),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True)),
        sa.Column("delivered_at", sa.DateTime(timezone=True)),
        sa.Column("read_at", sa.DateTime(timezone=True)),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        *answer_code(),
        *message(),
        reference(),
        sa.Column("intouch_message_id", sa.Text, comment="InTouch's reference; null: none yet."),
        *answer(),
        sa.Column("raw_callback", JSONB, comment="InTouch's call back; null: none yet."),
        sa.PrimaryKeyConstraint("id", name="whatsapp_logs_pkey"),
        sa.UniqueConstraint("partner_transaction_id", name="whatsapp_logs_partner_transaction_id_key"),
        sa.CheckConstraint(
            "status in ('pending', 'sent', 'delivered', 'read', 'failed')", name="whatsapp_logs_status_check"
        ),
        comment="WhatsApp messages sent through InTouch.",
        schema="public",
        if_not_exists=True,
    )


def user_id() -> sa.Column[object]:
    """Return the column of the user whom a log's row concerns."""
    return sa.Column("user_id", sa.Uuid, comment="Whom it concerns; null: nobody signed in.")


def reference() -> sa.Column[str]:
    """Return the column of Mon Toit's own reference."""
    return sa.Column("partner_transaction_id", sa.Text, nullable=False, comment="Mon Toit's own reference.")


def answer_code() -> tuple[sa.Column[object], ...]:
    """Return the columns of InTouch's code, the provider, and the status."""
    return (
        sa.Column("status_code", sa.Integer, comment="InTouch's code; null: no answer yet."),
        sa.Column("provider", sa.Text, server_default="intouch", nullable=False),
        sa.Column("status", sa.Text, server_default="pending", nullable=False),
    )


def message() -> tuple[sa.Column[str], ...]:
    """Return the columns of a message: to whom, what, and its type."""
    return (
        sa.Column("phone_number", sa.Text, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("type", sa.Text, server_default="general", nullable=False),
    )


def answer() -> tuple[sa.Column[object], ...]:
    """Return the columns of InTouch's answer."""
    return (
        sa.Column("status_message", sa.Text, comment="InTouch's words; null: no answer yet."),
        sa.Column("raw_response", JSONB, comment="InTouch's answer; null: none yet."),
    )


def downgrade() -> None:
    """Drop the logs, or give them back, once nobody can write to them and they are empty."""
    run(LOCK)
    refuse_to_lose_rows()
    for table in reversed(LOGS):
        run(f"select montoit.hand_back('{table}');")
    for function in FUNCTIONS:
        run(f"drop function montoit.{function};")
