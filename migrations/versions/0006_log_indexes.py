"""Indexes of the logs; constraints of adopted logs are validated."""

from montoit_db.deploy.statements import refuse_to_lose_rows, run_alone, run_file, take_its_time

revision = "0006"
down_revision = "0005"
runs_alone = True

before_downgrade = refuse_to_lose_rows


def upgrade() -> None:
    """Finish small logs here; finish large adopted logs statement by statement, while others write."""
    take_its_time()
    run_file("logs/finish_logs_v01")
    run_alone("select statement from montoit.unfinished_logs() order by step, table_name, statement")


def downgrade() -> None:
    """Drop the indexes that the upgrade built."""
    refuse_to_lose_rows()
    run_file("logs/drop_log_indexes_v01")
