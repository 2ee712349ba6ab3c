"""The platform's tables of 2025: recognised, or refused by name."""

from montoit_db.deploy.statements import refuse_to_lose_rows, run_file

revision = "0002"
down_revision = "0001"

before_downgrade = refuse_to_lose_rows


def before_upgrade() -> None:
    """Look at the tables that are there before anything is written."""
    run_file("refuse_existing_tables_v01")


def upgrade() -> None:
    """Look once more: tables may have come since the plan was made."""
    run_file("refuse_existing_tables_v01")


def downgrade() -> None:
    """Only look at the rows that the next step down would lose."""
    refuse_to_lose_rows()
