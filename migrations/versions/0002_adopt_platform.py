"""The platform's tables of 2025: adopted, or refused by name.

Adopted tables get the columns and constraints that the later revisions describe. Those revisions then find their
tables, and add functions, policies and triggers. A fresh database has nothing to adopt.
"""

import sqlalchemy as sa
from alembic import op

from montoit_db.deploy.statements import refuse_to_lose_rows, run, run_file

revision = "0002"
down_revision = "0001"
adopts_tables = True

before_downgrade = refuse_to_lose_rows

CLOSE = """
alter table montoit.adopted_tables enable row level security;
alter table montoit.adoption_steps enable row level security;
revoke all on table montoit.adopted_tables, montoit.adoption_steps from public, anon, authenticated, service_role;
revoke all on sequence montoit.adoption_steps_id_seq from public, anon, authenticated, service_role;
"""

FUNCTIONS = ("adopt", "look_again", "lock_tables", "take_over_access", "raise_not_given_back", "undo", "hand_back")


def before_upgrade() -> None:
    """Refuse tables that cannot be adopted, before anything is written."""
    run_file("platform/refuse_existing_tables_v01")


def upgrade() -> None:
    """Look again, read rows while nothing is locked, then lock all tables and change them."""
    run_file("platform/refuse_existing_tables_v01")
    op.create_table(
        "adopted_tables",
        sa.Column("table_name", sa.Text, nullable=False),
        sa.Column(
            "own_rows",
            sa.Text,
            server_default="false",
            nullable=False,
            comment="SQL condition of the rows that the package wrote; they go when the table is given back.",
        ),
        sa.Column("columns", sa.ARRAY(sa.Text), nullable=False),
        sa.Column("indexes", sa.ARRAY(sa.Text), nullable=False),
        sa.Column("constraints", sa.ARRAY(sa.Text), nullable=False),
        sa.Column("adopted_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("table_name", name="adopted_tables_pkey"),
        comment="Tables that the first upgrade found, with what they had; `downgrade base` gives them back.",
        schema="montoit",
    )
    op.create_table(
        "adoption_steps",
        sa.Column("id", sa.Integer, sa.Identity(always=True), nullable=False),
        sa.Column(
            "stage",
            sa.Text,
            nullable=False,
            comment="Who undoes the step; tables: the adoption's downgrade, access: that of the table's own revision.",
        ),
        sa.Column("table_name", sa.Text, nullable=False),
        sa.Column("object", sa.Text, nullable=False),
        sa.Column("undo", sa.Text, nullable=False),
        sa.Column("told", sa.Text, comment="What operators are told of it; null: nothing."),
        sa.PrimaryKeyConstraint("id", name="adoption_steps_pkey"),
        comment="Steps of the adoption, each with the statement that undoes it; the last step is undone first.",
        schema="montoit",
    )
    run(CLOSE)
    for function in FUNCTIONS:
        run_file(f"platform/{function}_v01")
        run(f"revoke all on function montoit.{function} from public, anon, authenticated, service_role;")

    run_file("platform/note_tables_v01")
    run_file("platform/find_checks_v01")
    run_file("platform/lock_all_v01")
    run_file("platform/end_what_is_in_the_way_v01")
    run_file("platform/add_columns_v01")
    run_file("platform/fill_nulls_v01")
    run_file("platform/adopt_api_keys_v01")
    run_file("platform/add_checks_v01")


def downgrade() -> None:
    """Give the tables back as they were."""
    run("select montoit.lock_tables(array(select table_name from montoit.adopted_tables order by table_name desc));")
    refuse_to_lose_rows()
    run("select montoit.undo('tables', table_name) from montoit.adopted_tables order by table_name;")
    for function in reversed(FUNCTIONS):
        run(f"drop function montoit.{function};")
    op.drop_table("adoption_steps", schema="montoit")
    op.drop_table("adopted_tables", schema="montoit")
