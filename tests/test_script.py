"""`--sql`: scripts for the SQL editor, psql and DBeaver, filled in by hand, that end where the command ends."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from sqlalchemy.exc import DBAPIError

from montoit_db.database import make_engine
from tests.support.commands import Alembic, run_alembic
from tests.support.credentials import expected, places, values
from tests.support.database import Database, pg_dump
from tests.support.scripts import PLACEHOLDERS, fill_in, script, state, with_psql
from tests.support.settings import PRODUCTION, SANDBOX, SECRETS

if TYPE_CHECKING:
    from collections.abc import Callable


def as_one_string(database: Database, text: str) -> None:
    """Send the whole script as one query, as the SQL editor does."""
    engine = make_engine(database.url).execution_options(isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(text, execution_options={"no_parameters": True})


@pytest.mark.parametrize("way", [with_psql, as_one_string])
@pytest.mark.parametrize("environment", [PRODUCTION, SANDBOX])
def test_the_script_ends_where_the_command_ends(
    database_at: Callable[[str], Database], way: Callable[[Database, str], object], environment: dict[str, str]
) -> None:
    online, offline = database_at("empty"), database_at("empty")
    Alembic(online).succeeds("upgrade", "head", environment=environment)
    way(offline, fill_in(script("upgrade", "head"), environment))
    assert state(offline) == state(online)
    Alembic(online).succeeds("downgrade", "-1")
    way(offline, script("downgrade", "0008:0007"))
    assert state(offline) == state(online)


def test_psql_says_what_came_of_it(database: Database) -> None:
    result = with_psql(database, fill_in(script("upgrade", "head")))
    assert (result.returncode, result.stderr) == (0, "")
    assert re.search(r"orange_money +\| t +\| production +\| +100", result.stdout)


@pytest.mark.parametrize("environment", ["production", "sandbox"])
def test_psql_shows_no_value_and_the_script_takes_the_environment(database: Database, environment: str) -> None:
    text = fill_in(script("upgrade", "head", environment={"INTOUCH_ENVIRONMENT": environment}))
    result = with_psql(database, text)
    assert (result.returncode, result.stderr) == (0, "")
    shown = result.stdout
    assert not any(secret in shown for secret in [*SECRETS.values(), "apidist"])
    assert database.rows("select distinct environment from api_keys") == [(environment,)]


def test_awkward_values(database: Database) -> None:
    environment = {**SANDBOX, "INTOUCH_PASSWORD": "a'b''$$%s\\n{}:x;--é🔑", "INTOUCH_USERNAME": "$1 /* */"}
    with_psql(database, fill_in(script("upgrade", "head"), environment))
    assert values(database) == expected(environment)


@pytest.mark.parametrize("variable", PLACEHOLDERS)
def test_a_value_that_was_not_filled_in_stops_it(database: Database, variable: str) -> None:
    before = pg_dump(database)
    text = fill_in(script("upgrade", "head"), {**PRODUCTION, variable: PLACEHOLDERS[variable]})
    result = with_psql(database, text)
    assert result.returncode != 0
    assert f"{variable.removeprefix('INTOUCH_').lower()} : contient encore le texte à remplacer" in result.stderr
    assert "canary" not in result.stderr
    assert pg_dump(database) == before


def test_every_bad_value_is_named_at_once(database: Database) -> None:
    before = pg_dump(database)
    text = fill_in(
        script("upgrade", "head"),
        {
            "INTOUCH_ENVIRONMENT": "staging",
            "INTOUCH_USERNAME": "",
            "INTOUCH_PASSWORD": " canary",
            "INTOUCH_PARTNER_ID": "canary\t",
            "INTOUCH_LOGIN_API": "your-login",
            "INTOUCH_PASSWORD_API": "YOUR_PASSWORD_API",
        },
    )
    text = text.replace("('montoit.base_url', ''", "('montoit.base_url', 'http://canary'")
    text = text.replace("('montoit.rollout_percentage', ''", "('montoit.rollout_percentage', '101'")
    text = text.replace("('montoit.credential_store', 'auto'", "('montoit.credential_store', 'vault'")
    with pytest.raises(DBAPIError) as refusal:
        as_one_string(database, text)
    diagnostic = refusal.value.orig.diag  # type: ignore[union-attr]
    named = re.findall(r"- (\w+) :", diagnostic.message_primary)
    assert sorted(named) == sorted(
        ["environment", "rollout_percentage", "credential_store", "base_url", "username", "password", "partner_id",
         "login_api", "password_api"]
    )  # fmt: skip
    assert "canary" not in diagnostic.message_primary
    assert pg_dump(database) == before


def test_the_activation_and_the_rollback_may_be_run_again(database_at: Callable[[str], Database]) -> None:
    database = database_at("0007")
    activation = script("upgrade", "0007:0008")
    rollback = script("downgrade", "0008:0007")
    for _ in range(2):
        assert with_psql(database, fill_in(activation)).returncode == 0
        assert values(database) == expected(PRODUCTION)
    once = database.value("select count(*) from api_keys")
    for _ in range(2):
        assert with_psql(database, rollback).returncode == 0
        assert values(database) is None
    assert once == database.value("select count(*) from api_keys") == 6
    assert database.value("select version_num from montoit.alembic_version") == "0007"


@pytest.mark.parametrize(
    ("revision", "arguments"),
    [
        ("0004", ("upgrade", "head")),
        ("0008", ("upgrade", "head")),
        ("0004", ("upgrade", "0007:0008")),
        ("empty", ("upgrade", "0007:0008")),
        ("0004", ("downgrade", "0008:0007")),
        ("0007", ("upgrade", "0004:0007")),
        ("0007", ("downgrade", "0006:0005")),
    ],
)
def test_a_script_for_another_revision_changes_nothing(
    database_at: Callable[[str], Database], revision: str, arguments: tuple[str, str]
) -> None:
    database = database_at(revision)
    before = pg_dump(database)
    result = with_psql(database, fill_in(script(*arguments)))
    assert result.returncode != 0
    assert "Ce script est fait pour" in result.stderr
    assert pg_dump(database) == before


def test_the_full_script_takes_a_database_that_was_downgraded_to_base(
    database_at: Callable[[str], Database],
) -> None:
    database = database_at("0007")
    Alembic(database).succeeds("downgrade", "base")
    text = fill_in(script("-x", "reason=l'ouverture {environment}", "upgrade", "head"))
    assert with_psql(database, text).returncode == 0
    why = "select reason from montoit.trail where subject = 'activation'"
    assert database.value(why) == "alembic upgrade head (production) : l'ouverture {environment}"
    assert values(database) == expected(PRODUCTION)


def test_a_schema_downgrade_refuses_to_lose_rows(database_at: Callable[[str], Database]) -> None:
    database = database_at("0008")
    before = pg_dump(database)
    result = with_psql(database, script("downgrade", "0008:base"))
    assert result.returncode != 0
    assert "api_keys : 6 lignes" in result.stderr
    assert pg_dump(database) == before


def test_scripts_hold_no_secret_and_nothing_concurrent(database: Database) -> None:
    """Not even where the environment has complete settings."""
    for arguments in (["upgrade", "head"], ["upgrade", "0007:0008"], ["downgrade", "0008:0007"]):
        printed = run_alembic(database, [*arguments, "--sql"], PRODUCTION)
        assert printed.code == 0
        assert not re.search(r"(create|drop) (unique )?index concurrently", printed.out.lower())
        assert not any(secret in printed.out for secret in SECRETS.values())


def test_values_from_the_vaults_page(supabase: tuple[Database, Database]) -> None:
    """Nothing is filled in: the secrets were made under the names that the header gives."""
    superuser, owner = supabase
    for variable, secret in SECRETS.items():
        name = f"intouch_production_{variable.removeprefix('INTOUCH_').lower()}"
        superuser.execute(f"select vault.create_secret('{secret}', '{name}')")
    result = with_psql(owner, script("upgrade", "head"))
    assert result.returncode == 0, result.stderr
    assert values(superuser) == expected(PRODUCTION)
    assert places(superuser) == (0, 6, 6)
