"""Monitoring views."""

from montoit_db.deploy.statements import refuse_to_lose_rows, run, run_file

revision = "0007"
down_revision = "0006"

before_downgrade = refuse_to_lose_rows

VIEWS = (
    "intouch_prices",
    "intouch_payments_daily",
    "intouch_sms_daily",
    "intouch_whatsapp_daily",
    "intouch_costs",
    "intouch_failure_rate",
)
FUNCTIONS = ("intouch_daily", "estimated_costs")


def upgrade() -> None:
    """Create the views. Signed-in users may read them, but only administrators get rows."""
    for function in FUNCTIONS:
        run_file(f"monitoring/{function}_v01")
        run(f"revoke all on function montoit.{function} from public, anon, authenticated, service_role;")
        run(f"grant execute on function montoit.{function} to authenticated, service_role;")
    for view in VIEWS:
        run_file(f"monitoring/{view}_v01")
        run(f"revoke all on table public.{view} from public, anon, authenticated, service_role;")
        run(f"grant select on table public.{view} to authenticated, service_role;")


def downgrade() -> None:
    """Drop the views and functions."""
    refuse_to_lose_rows()
    for view in reversed(VIEWS):
        run(f"drop view public.{view};")
    for function in reversed(FUNCTIONS):
        run(f"drop function montoit.{function};")
