"""Every revision goes up and down, the models say what the revisions make, and nothing is open."""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from montoit_db.database import make_engine
from montoit_db.intouch.catalogue import TABLES
from montoit_db.models import Base
from tests.support.checkout import ROOT, revision_module
from tests.support.commands import Alembic
from tests.support.database import Database, pg_dump
from tests.support.platforms import OWNER, create_platform

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.templates import Templates

REVISIONS = ["0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008"]


def test_stairway(database: Database, alembic_for: Callable[[Database], Alembic]) -> None:
    alembic = alembic_for(database)
    for revision in REVISIONS:
        below = pg_dump(database, "--schema-only") if revision != "0001" else None
        alembic.succeeds("upgrade", "+1")
        above = pg_dump(database, "--schema-only")
        alembic.succeeds("-x", "allow-data-loss=yes", "downgrade", "-1" if revision == REVISIONS[-1] else "schema@-1")
        if below is not None:  # before 0001 there is not even a version table
            assert pg_dump(database, "--schema-only") == below
        alembic.succeeds("upgrade", "+1")
        assert pg_dump(database, "--schema-only") == above
        assert database.value("select version_num from montoit.alembic_version") == revision


def test_downgrade_to_base_leaves_only_the_empty_version_table(
    database_at: Callable[[str], Database], alembic_for: Callable[[Database], Alembic]
) -> None:
    database = database_at("0007")
    alembic_for(database).succeeds("downgrade", "base")
    assert database.rows(
        "select relname from pg_class where relnamespace in"
        " (select oid from pg_namespace where nspname in ('public', 'montoit')) and relkind in ('r', 'v')"
    ) == [("alembic_version",)]
    assert database.value("select count(*) from montoit.alembic_version") == 0
    assert database.value("select count(*) from pg_proc where pronamespace = 'montoit'::regnamespace") == 0
    assert database.value("select has_schema_privilege('anon', 'montoit', 'usage')") is False


def test_models_and_revisions_agree(
    database_at: Callable[[str], Database], alembic_for: Callable[[Database], Alembic]
) -> None:
    """Autogenerate finds nothing to do, and what it does not compare (checks, order of keys) is equal too."""
    migrated, modelled = database_at("0008"), database_at("empty")
    alembic_for(migrated).succeeds("check")
    Base.metadata.create_all(make_engine(modelled.url))
    assert {table.name for table in Base.metadata.tables.values()} == TABLES
    for facts in (COLUMNS, CONSTRAINTS, INDEXES):
        assert migrated.rows(facts) == modelled.rows(facts)
        assert len(modelled.rows(facts)) >= len(TABLES)


OURS = ", ".join(f"'{table}'" for table in sorted(TABLES))
COLUMNS = f"""
select attrelid::regclass::text, attname, format_type(atttypid, atttypmod), attnotnull,
       pg_get_expr(adbin, adrelid), col_description(attrelid, attnum), obj_description(attrelid, 'pg_class')
from pg_attribute
left join pg_attrdef on adrelid = attrelid and adnum = attnum
where attnum > 0 and attrelid::regclass::text in ({OURS})
order by 1, 2
"""
CONSTRAINTS = f"""
select conrelid::regclass::text, conname, pg_get_constraintdef(oid)
from pg_constraint where contype <> 'n' and conrelid::regclass::text in ({OURS})
order by 1, 2
"""
INDEXES = f"""
select tablename, indexname, indexdef from pg_indexes where tablename in ({OURS}) order by 1, 2
"""


def test_check_notices_a_column_that_no_model_has(
    database_at: Callable[[str], Database], alembic_for: Callable[[Database], Alembic]
) -> None:
    database = database_at("0008")
    database.execute("alter table sms_logs add column surprise text")
    result = alembic_for(database)("check")
    assert result.code != 0
    assert "surprise" in result.err


def test_check_overlooks_the_tables_of_others(
    database_at: Callable[[str], Database], alembic_for: Callable[[Database], Alembic]
) -> None:
    database = database_at("0008")
    database.execute("create table profiles (id uuid primary key); create index on profiles (id)")
    alembic_for(database).succeeds("check")


def test_schema_file_is_fresh(database_at: Callable[[str], Database], request: pytest.FixtureRequest) -> None:
    path = ROOT / "docs" / "schema.sql"
    header = "-- The whole schema, as pg_dump prints it. Made by: pytest tests/test_revisions.py --write-schema\n\n"
    schema = header + pg_dump(database_at("0008"), "--schema-only", "--no-owner")
    if request.config.getoption("--write-schema"):
        path.write_text(schema, encoding="utf-8")
    assert comparable(path.read_text(encoding="utf-8")) == comparable(schema)


def comparable(schema: str) -> str:
    """Drop the table names that PostgreSQL 15 writes before a view's columns, and 18 does not."""
    return re.sub(r"\b(?!(?:public|montoit|pg_catalog)\.)[a-z]\w*\.(?=[a-z*])", "", schema)


def test_the_platforms_flags_are_seeded(database_at: Callable[[str], Database]) -> None:
    database = database_at("0007")
    assert database.value("select count(*) from feature_flags") == 39
    assert database.value("select count(*) from feature_flags where is_enabled") == 15
    assert database.value("select count(*) from feature_flags where is_enabled and rollout_percentage <> 100") == 0
    assert database.value("select count(*) from feature_flag_history") == 0, "seeding is no change"


def test_every_table_has_row_level_security(database_at: Callable[[str], Database]) -> None:
    database = database_at("0008")
    tables = dict(
        database.rows(
            "select relname, relrowsecurity from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r'"
        )
    )
    assert tables == dict.fromkeys(TABLES, True)
    assert database.value("select relrowsecurity from pg_class where oid = 'montoit.alembic_version'::regclass") is True


def test_a_role_that_cannot_be_created_is_asked_of_an_administrator(database: Database) -> None:
    """Other tests need the API roles of this cluster, so a stand-in for one of them is missing."""
    roles = revision_module("0001_identity").API_ROLES.replace("'service_role'", "'montoit_missing'")
    database.execute("create role montoit_plain login password 'plain'")
    try:
        with pytest.raises(Exception, match="Le rôle montoit_missing manque") as refusal:
            Database(database.url.set(username="montoit_plain", password="plain")).execute(roles)
    finally:
        database.execute("drop role montoit_plain")
    assert "create role montoit_missing nologin noinherit bypassrls" in str(refusal.value)


def test_stamp_is_no_activation(database: Database, alembic_for: Callable[[Database], Alembic]) -> None:
    assert alembic_for(database).succeeds("stamp", "head", environment={}).out == ""
    assert alembic_for(database).succeeds("stamp", "0007", environment={}).out == ""


def test_a_database_in_another_encoding_is_refused(templates: Templates) -> None:
    database = templates.create("template0", "encoding 'LATIN1' lc_collate 'C' lc_ctype 'C'")
    try:
        result = Alembic(database)("upgrade", "head")
        assert result.code == 1
        assert "en LATIN1" in result.err
    finally:
        templates.drop(database.name)


def test_the_permission_to_lose_rows_is_taken_literally(
    database_at: Callable[[str], Database], alembic_for: Callable[[Database], Alembic]
) -> None:
    alembic = alembic_for(database_at("0008"))
    for unclear in ("allow-data-loss", "allow-data-loss=true", "allow-data-loss=no"):
        for order in (("downgrade", "base"), ("upgrade", "head")):  # also where it is not asked for
            assert "Écrivez -x allow-data-loss=yes" in alembic.refuses("-x", unclear, *order)


@pytest.mark.parametrize("table", ["feature_flag_overrides", "api_keys", "sms_logs"])
def test_a_row_written_while_a_downgrade_waits_is_kept(
    database_at: Callable[[str], Database], alembic_for: Callable[[Database], Alembic], table: str
) -> None:
    """The look before the plan saw an empty table; the one under the lock sees the row."""
    revision, row = {
        "feature_flag_overrides": (
            "0003",
            """insert into feature_flag_overrides (feature_flag_id, user_id, is_enabled)
               select id, gen_random_uuid(), true from feature_flags limit 1""",
        ),
        "api_keys": ("0004", "insert into api_keys (service_name, key_name) values ('brevo', 'token')"),
        "sms_logs": (
            "0005",
            "insert into sms_logs (phone_number, message, partner_transaction_id) values ('1', 'm', 't')",
        ),
    }[table]
    database = database_at(revision)
    with make_engine(database.url).connect() as writer:
        writer.exec_driver_sql(row)
        with ThreadPoolExecutor() as pool:
            downgrade = pool.submit(alembic_for(database), "downgrade", "schema@-1")
            waiting = "select count(*) from pg_locks where not granted and mode = 'AccessExclusiveLock'"
            while not database.value(waiting):
                assert not downgrade.done(), downgrade.result()
                time.sleep(0.02)
            writer.commit()
            result = downgrade.result()
    assert result.code == 1
    assert f"{table} : 1 ligne" in result.err
    assert database.value(f"select count(*) from {table}") == 1


def test_the_guard_sees_rows_that_a_policy_hides(templates: Templates) -> None:
    superuser, owner = create_platform(templates, "plain")
    try:
        superuser.execute(f"alter role {OWNER} nobypassrls")
        alembic = Alembic(owner)
        alembic.succeeds("upgrade", "0007")
        superuser.execute(
            "insert into sms_logs (phone_number, message, partner_transaction_id) values ('1', 'm', 't');"
            "alter table sms_logs force row level security"
        )
        assert alembic("downgrade", "base").code == 1
        assert superuser.value("select count(*) from sms_logs") == 1
    finally:
        superuser.execute(f"alter role {OWNER} bypassrls")
        templates.drop(superuser.name)


def test_a_view_of_somebody_else_is_not_cascaded(
    database_at: Callable[[str], Database], alembic_for: Callable[[Database], Alembic]
) -> None:
    database = database_at("0003")
    database.execute("create view theirs as select key from feature_flags")
    message = alembic_for(database).refuses("downgrade", "schema@-1")
    assert "CASCADE" not in message
    assert "n'est pas à nous en dépend" in message
