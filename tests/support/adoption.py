"""What was there before us, to be compared with what we give back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.database import pg_dump

if TYPE_CHECKING:
    from tests.support.database import Database

GIVE_BACK = ("-x", "allow-data-loss=yes", "downgrade", "base")


def definitions(database: Database) -> list[str]:
    """Return what pg_dump says of the schema, less the version table in its own schema, which stays."""
    dump = pg_dump(database, "--schema-only", "--exclude-table=montoit.alembic_version")
    return [line for line in dump.splitlines() if line and " SCHEMA montoit" not in line]


def rows(database: Database) -> list[str]:
    """Return every row of every table, as the insert that pg_dump writes for it."""
    return sorted(pg_dump(database, "--data-only", "--inserts", "--exclude-table=montoit.alembic_version").splitlines())
