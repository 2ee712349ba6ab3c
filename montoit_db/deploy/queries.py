"""The queries that live code keeps in files of `sql/`, which no revision loads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection


def read_query(name: str) -> str:
    """Return the text of `sql/<name>.sql`."""
    return (Path(__file__).parent / "sql" / f"{name}.sql").read_text(encoding="utf-8")


def fetch_all(connection: Connection, sql: str) -> Sequence[Any]:
    """Return the rows of a query without parameters, in which `%` and `:` mean nothing."""
    return connection.exec_driver_sql(sql, execution_options={"no_parameters": True}).all()
