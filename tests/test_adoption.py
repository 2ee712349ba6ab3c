"""Databases that have tables of our names: recognised, told apart, and left as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from montoit_db.database import make_engine
from montoit_db.deployment import existing_tables
from tests.conftest import PRODUCTION, Alembic
from tests.database import Database, pg_dump
from tests.generations import FORK, SMS, USERS, make_generation_b
from tests.platforms import PLATFORMS, Platform, create_platform
from tests.test_check import check
from tests.test_script import fill_in, script, with_psql

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import Templates

HALF_WAY = {"api_keys": None, "sms_logs": None}
WHOLE = {
    **HALF_WAY,
    "feature_flags": None,
    "feature_flag_history": None,
    "feature_flag_overrides": None,
    "whatsapp_logs": None,
}


@pytest.fixture(params=PLATFORMS)
def owner(templates: Templates, request: pytest.FixtureRequest) -> Iterator[Database]:
    """An empty database of each kind, as its owner, who is no superuser."""
    platform: Platform = request.param
    superuser, owner = create_platform(templates, platform)
    yield owner
    templates.drop(superuser.name)


def found(database: Database) -> dict[str, str | None]:
    with make_engine(database.url).connect() as connection:
        return existing_tables(connection)


@pytest.mark.parametrize("half_way", [False, True])
def test_the_platforms_tables_are_recognised(owner: Database, half_way: bool) -> None:  # noqa: FBT001
    make_generation_b(owner, half_way=half_way)
    assert found(owner) == (HALF_WAY if half_way else WHOLE)
    message = Alembic(owner).refuses("upgrade", "head")
    assert "  - api_keys : celle de la plateforme" in message
    code, problems = check(owner)
    assert code == 1
    assert "api_keys (celle de la plateforme)" in problems["Révisions"][0]["message"]


def test_the_fork_is_refused_by_table_and_column(owner: Database) -> None:
    owner.execute(FORK)
    differences = {
        "api_keys": "manque display_name, keys",
        "feature_flags": "manque category, key ; inconnu et obligatoire : flag_type",
        "sms_logs": "manque partner_transaction_id, phone_number ; inconnu et obligatoire : phone",
        "whatsapp_logs": "manque partner_transaction_id, phone_number ; inconnu et obligatoire : phone",
    }
    assert found(owner) == differences
    message = Alembic(owner).refuses("upgrade", "head")
    for table, difference in differences.items():
        assert f"  - {table} : {difference}" in message
    code, problems = check(owner)
    assert code == 1
    assert all(difference in problems["Révisions"][0]["message"] for difference in differences.values())


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ("alter table sms_logs drop column message", "manque message"),
        ("alter table sms_logs alter status_code type text", "status_code est text au lieu de integer"),
        ("alter table sms_logs add tenant uuid default gen_random_uuid() not null", None),
        ("alter table sms_logs add tenant uuid", None),
        ("alter table sms_logs add number int generated always as identity", None),
        ("truncate sms_logs; alter table sms_logs add tenant uuid not null", "inconnu et obligatoire : tenant"),
        ("alter table sms_logs drop column status_code", None),
        ("drop index idx_sms_logs_status", None),
        (
            "alter table sms_logs rename to logs; create view sms_logs as select * from logs",
            "pas une table",
        ),
        (
            "alter table sms_logs drop column message, alter phone_number type varchar(20)",
            "manque message ; phone_number est character varying(20) au lieu de text",
        ),
    ],
)
def test_what_differs_is_named(database_at: Callable[[str], Database], change: str, difference: str | None) -> None:
    database = database_at("empty")
    Alembic(database).succeeds("upgrade", "0001")  # for the API roles that the policies name
    database.execute(USERS + SMS)
    database.execute(change)
    assert found(database) == {"sms_logs": difference}


def test_a_log_of_payments_was_never_there(database_at: Callable[[str], Database]) -> None:
    database = database_at("empty")
    database.execute("create table payment_logs (id uuid primary key, amount numeric not null)")
    assert found(database) == {"payment_logs": "la plateforme n'en avait pas"}


def test_the_script_refuses_the_same_before_it_writes(owner: Database) -> None:
    owner.execute(FORK)
    before = pg_dump(owner)
    result = with_psql(owner, fill_in(script("upgrade", "head")))
    assert result.returncode != 0
    assert "feature_flags : manque category, key" in result.stderr
    assert pg_dump(owner) == before


def test_tables_of_other_names_and_schemas_are_nobodys_business(database_at: Callable[[str], Database]) -> None:
    database = database_at("empty")
    database.execute("create schema other; create table other.sms_logs (id int); create table sms_log (id int)")
    assert found(database) == {}
    Alembic(database).succeeds("upgrade", "head", environment=PRODUCTION)
