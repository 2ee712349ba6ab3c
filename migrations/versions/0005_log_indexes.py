"""Indexes of the logs."""

from migrations.statements import refuse_to_lose_rows, run

revision = "0005"
down_revision = "0004"

before_downgrade = refuse_to_lose_rows

INDEXES = [
    (f"idx_{table}_{column}", table, column)
    for table in ("payment_logs", "sms_logs", "whatsapp_logs")
    for column in ("created_at", "user_id")
]


def upgrade() -> None:
    """Create the indexes on tables that are still empty."""
    run("set local statement_timeout = 0;")
    for index, table, column in INDEXES:
        run(f"create index {index} on public.{table} ({column});")


def downgrade() -> None:
    """Drop them."""
    refuse_to_lose_rows()
    for index, _table, _column in reversed(INDEXES):
        run(f"drop index public.{index};")
