"""Indexes of the logs, and the constraints of adopted ones validated."""

from montoit_db.deploy.statements import refuse_to_lose_rows, run_alone, run_file, take_its_time

revision = "0006"
down_revision = "0005"
runs_alone = True

before_downgrade = refuse_to_lose_rows


def upgrade() -> None:
    """Do at once what empty and small logs lack, and one by one, while others write, what large adopted ones do."""
    take_its_time()
    run_file("logs/finish_logs_v01")
    run_alone("select statement from montoit.unfinished_logs() order by step, table_name, statement")


def downgrade() -> None:
    """Drop the indexes that are ours."""
    refuse_to_lose_rows()
    run_file("logs/drop_log_indexes_v01")
