"""Adopted tables, which a database had before the first upgrade: what the upgrade will do to them, and what it did."""

from __future__ import annotations

import textwrap
from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

from montoit_db.deploy.queries import fetch_all, read_query
from montoit_db.deploy.trust import is_trusted_table
from montoit_db.display import harmless
from montoit_db.intouch.catalogue import SERVICES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection

# The platform's functions that an adoption replaces, or closes.
FUNCTIONS = frozenset({"check_feature_flag", "check_feature_flags", "get_api_keys", "log_api_usage"})


class ExistingTable(NamedTuple):
    """A table that is there already, under a name that the package uses.

    `differences` from the platform's table of 2025 make the upgrade refuse it (None: it can be adopted); `missing` are
    the columns that it will get.
    """

    name: str
    differences: str | None
    missing: str | None


def existing_tables(connection: Connection) -> list[ExistingTable]:
    """Return the tables that are there already, under names that the package uses."""
    return [ExistingTable(*row) for row in fetch_all(connection, read_query("existing_tables"))]


def planned(connection: Connection) -> dict[str, list[str]]:
    """Return what the upgrade will do to each table, in the words of its report; nothing is written."""
    tables = existing_tables(connection)
    steps = {table.name: [f"colonnes ajoutées : {table.missing}"] if table.missing else [] for table in tables}
    for row in fetch_all(connection, read_query("existing_access")):
        steps.setdefault(row.table_name, []).append(row.told)
    names = {table.name for table in tables}  # `steps` has more: the platform's functions may be there without a table
    if "feature_flags" in names:
        flags = fetch_all(connection, _FLAGS)
        keys = ", ".join(flag.key for flag in flags if not flag.share)
        if keys:
            steps["feature_flags"].append(f"0 % → 100 %, sauf avec -x keep-rollout=yes : {keys}")
        services = {service.key for service in SERVICES}
        steps["feature_flags"] += [
            f"{flag.key} : actif pour {flag.share} % des utilisateurs, une part que l'activation garde"
            for flag in flags
            if flag.key in services and 0 < (flag.share or 0) < _EVERYONE
        ]
        nullable = ", ".join(row.attname for row in fetch_all(connection, _NULLABLE))
        if nullable:
            steps["feature_flags"].append(f"deviennent obligatoires (not null) : {nullable}")
    if "api_keys" in names:
        steps["api_keys"].append("les upserts sur on_conflict=service_name ne seront plus possibles")
        if is_trusted_table(connection, "profiles") and _value(connection, _HAS_USER_TYPES):
            people = ", ".join(str(row.id) for row in fetch_all(connection, _PLATFORM_ADMINISTRATORS))
            if people:
                steps["api_keys"].append(f"perdront leurs droits d'administrateur (profiles.user_type) : {people}")
    return steps


def warnings(connection: Connection) -> list[tuple[str, str]]:
    """Return what will cost money, or is lost for a time, each with what to do about it."""
    names = {table.name for table in existing_tables(connection)}
    lines = []
    flags = fetch_all(connection, _FLAGS) if "feature_flags" in names else []
    paid = [flag.key for flag in flags if not flag.share and flag.key.startswith("ai_")]
    if paid:
        lines.append(
            (
                f"payants à l'appel, et ouverts à tous (0 % → 100 %) : {', '.join(paid)}",
                "Pour les laisser à 0 %, avec tous les flags à 0 % : alembic -x keep-rollout=yes upgrade head",
            )
        )
    if names and ("feature_flags" not in names or not _value(connection, _HAS_FLAGS)):
        lines.append(
            (
                "cette base n'a aucun flag : 15 seront actifs pour tous, dont payants à l'appel : "
                + ", ".join(PAID_SEEDS),
                "Éteignez après la reprise ceux que vous ne voulez pas.",
            )
        )
    if "api_keys" in names:
        for index, is_clustered, is_identity in fetch_all(connection, _KEPT_BY_INDEX):
            lost = [word for word, is_lost in (("CLUSTER", is_clustered), ("REPLICA IDENTITY", is_identity)) if is_lost]
            lines.append(
                (
                    f"api_keys : {' et '.join(lost)} par {index}, perdu jusqu'à ce que la table soit rendue",
                    "La clé primaire identifie alors les lignes répliquées.",
                )
            )
    return lines


_EVERYONE = 100  # percent
# Of the flags that a fresh database gets, those that are on and cost money at each call.
PAID_SEEDS = ("ai_chatbot", "ai_property_description", "ai_recommendations")

# The flags that are on; by way of JSON, since some of the platform's databases lack one of the columns.
_FLAGS = """
select flag ->> 'key' as key, (flag ->> 'rollout_percentage')::integer as share
from (select to_jsonb(f) as flag from public.feature_flags as f) as flags
where (flag ->> 'is_enabled')::boolean
order by 1
"""
_HAS_FLAGS = "select exists (select from public.feature_flags)"
_NULLABLE = """
select attname from pg_attribute
where attrelid = 'public.feature_flags'::regclass and not attnotnull and attname in (
    'is_enabled', 'requires_credentials', 'credentials_status', 'rollout_percentage', 'allowed_roles', 'metadata'
)
order by 1
"""
_HAS_USER_TYPES = """
select count(*) = 2 from pg_attribute
where attrelid = to_regclass('public.profiles') and attname in ('id', 'user_type')
"""
_PLATFORM_ADMINISTRATORS = "select id from public.profiles where user_type::text like 'admin%' order by id"
_KEPT_BY_INDEX = """
select replace(indexrelid::regclass::text, 'public.', ''), indisclustered, indisreplident
from pg_index
where indrelid = 'public.api_keys'::regclass and indisunique and (indisclustered or indisreplident)
  and pg_get_indexdef(indexrelid, 1, false) = 'service_name' and indnkeyatts = 1
"""


def done(connection: Connection, *, only_if_never_activated: bool = False) -> dict[str, list[str]]:
    """Return what was done to each adopted table, for operators; empty if there is none.

    `only_if_never_activated`: empty, too, if InTouch was on before the activation that has just been committed.
    """
    steps: dict[str, list[str]] = defaultdict(list)
    query = "select table_name, told from montoit.adoption_steps where told is not null"
    if only_if_never_activated:  # the schema is there
        query += f" and ({_NEVER_ACTIVATED})"
    elif not _value(connection, "select to_regclass('montoit.adoption_steps') is not null"):
        return steps
    for row in fetch_all(connection, f"{query} order by id"):
        steps[row.table_name].append(row.told)
    return steps


# Each activation stores the credentials: only the first one inserts them.
_NEVER_ACTIVATED = """
select bool_and(created_at = updated_at) from public.api_keys where service_name = 'intouch' and key_name is not null
"""


def summary(steps: Mapping[str, Sequence[str]], width: int = 80) -> str:
    """Return what was done to the tables, for operators: a paragraph for each table, `width` columns wide."""
    lines = ["REPRISE DES TABLES EXISTANTES", ""]
    for table, steps_of_table in steps.items():
        lines.append(table)
        for step in steps_of_table:
            lines += textwrap.wrap(step, width, initial_indent="  - ", subsequent_indent="    ", break_long_words=False)
        lines.append("")
    lines += [
        "Nos règles et nos droits remplacent ceux qui sont retirés : l'API anonyme ne lit",
        "plus ces tables, un utilisateur n'y écrit plus.",
    ]
    if any(step.startswith(_LOSE_RIGHTS) for steps_of_table in steps.values() for step in steps_of_table):
        lines += [
            "Pour qu'un administrateur le reste, nommez-le :",
            "  insert into montoit.administrators (user_id) values ('…');",
        ]
    return harmless("\n".join(lines))


_LOSE_RIGHTS = "perdent leurs droits d'administrateur"


def legacy_objects(connection: Connection) -> dict[str, frozenset[str]]:
    """Return, for each adopted table, the names of the columns, indexes and constraints that it had before."""
    if not _value(connection, "select to_regclass('montoit.adopted_tables') is not null"):
        return {}
    rows = fetch_all(
        connection, "select table_name, columns || indexes || constraints as names from montoit.adopted_tables"
    )
    return {row.table_name: frozenset(row.names) for row in rows}


def constraints_left_out(connection: Connection) -> frozenset[str]:
    """Return the constraints that adopted tables did not get, since rows violate them."""
    if not _value(connection, "select to_regclass('montoit.adoption_steps') is not null"):
        return frozenset()
    rows = fetch_all(
        connection,
        "select substr(object, 12) as name from montoit.adoption_steps"
        " where object like 'constraint %' and undo = 'select'",
    )
    return frozenset(row.name for row in rows)


def _value(connection: Connection, query: str) -> Any:  # noqa: ANN401 -- whatever it returns
    return connection.exec_driver_sql(query, execution_options={"no_parameters": True}).scalar_one()
