"""The tables that a database had before us: what an upgrade will do to them, and what it did."""

from __future__ import annotations

import textwrap
from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

from montoit_db import deployment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection

FUNCTIONS = frozenset({"check_feature_flag", "check_feature_flags", "get_api_keys", "log_api_usage"})  # replaced, too


class ExistingTable(NamedTuple):
    """A table of one of our names.

    `differences` from the platform's of 2025 keep it from being taken over (None: there are none); `missing` are the
    columns that it will get.
    """

    name: str
    differences: str | None
    missing: str | None


def existing_tables(connection: Connection) -> list[ExistingTable]:
    """Return the tables of our names that a database has already.

    Raises:
        MontoitError: there is no project here.

    """
    return [ExistingTable(*row) for row in _rows(connection, deployment.part("existing_tables"))]


def planned(connection: Connection) -> dict[str, list[str]]:
    """Return what the upgrade will tell of each table that it takes over, without writing anything.

    Raises:
        MontoitError: there is no project here.

    """
    tables = existing_tables(connection)
    told = {table.name: [f"colonnes ajoutées : {table.missing}"] if table.missing else [] for table in tables}
    for row in _rows(connection, deployment.part("legacy_access")):
        if row.told is not None:
            told.setdefault(row.table_name, []).append(row.told)
    names = {table.name for table in tables}  # functions of theirs may be there without the table
    if "feature_flags" in names:
        keys = ", ".join(row.key for row in _rows(connection, _NOBODY_YET))
        if keys:
            told["feature_flags"].append(f"0 % → 100 %, sauf avec -x keep-rollout=yes : {keys}")
    if "api_keys" in names:
        told["api_keys"].append("les upserts sur on_conflict=service_name ne seront plus possibles")
        if _value(connection, _HAS_USER_TYPES):
            people = ", ".join(str(row.id) for row in _rows(connection, deployment.part("platform_administrators")))
            if people:
                told["api_keys"].append(f"perdront leurs droits d'administrateur (profiles.user_type) : {people}")
    return told


# Half-way databases may lack either column.
_NOBODY_YET = """
select flag ->> 'key' as key
from (select to_jsonb(f) as flag from public.feature_flags as f) as flags
where (flag ->> 'is_enabled')::boolean and coalesce((flag ->> 'rollout_percentage')::integer, 0) = 0
order by 1
"""
_HAS_USER_TYPES = """
select count(*) = 2 from pg_attribute
where attrelid = to_regclass('public.profiles') and attname in ('id', 'user_type')
"""


def done(connection: Connection) -> dict[str, list[str]]:
    """Return what was done to each table that was taken over; empty where none was."""
    told = defaultdict(list)
    if _value(connection, "select to_regclass('montoit.adoption_steps') is not null"):
        for row in _rows(
            connection, "select table_name, told from montoit.adoption_steps where told is not null order by id"
        ):
            told[row.table_name].append(row.told)
    return told


def summary(told: Mapping[str, Sequence[str]], width: int = 80) -> str:
    """Return what was done to the tables, for operators: a paragraph a table, `width` columns wide."""
    lines = ["REPRISE DES TABLES EXISTANTES", ""]
    for table, steps in told.items():
        lines.append(table)
        for step in steps:
            lines += textwrap.wrap(step, width, initial_indent="  - ", subsequent_indent="    ", break_long_words=False)
        lines.append("")
    lines += [
        "Nos règles et nos droits remplacent ceux qui sont retirés : l'API anonyme ne lit",
        "plus ces tables, un utilisateur n'y écrit plus. Pour nommer un administrateur :",
        "  insert into montoit.administrators (user_id) values ('…');",
    ]
    return "\n".join(lines)


def legacy_objects(connection: Connection) -> dict[str, frozenset[str]]:
    """Return, for each table that was taken over, the names of the columns, indexes and constraints that it had."""
    if not _value(connection, "select to_regclass('montoit.adopted_tables') is not null"):
        return {}
    rows = _rows(
        connection, "select table_name, columns || indexes || constraints as names from montoit.adopted_tables"
    )
    return {row.table_name: frozenset(row.names) for row in rows}


def _rows(connection: Connection, query: str) -> Sequence[Any]:
    return connection.exec_driver_sql(query, execution_options={"no_parameters": True}).all()


def _value(connection: Connection, query: str) -> Any:  # noqa: ANN401 -- whatever it returns
    return connection.exec_driver_sql(query, execution_options={"no_parameters": True}).scalar_one()
