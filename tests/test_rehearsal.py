"""`montoit-db check --rehearse`: what would stop a deployment half-way is found, and nothing is changed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from montoit_db.database import make_engine
from tests.support.commands import Alembic, run_montoit_db
from tests.support.database import Database, pg_dump
from tests.support.failures import FAILURES
from tests.support.generations import make_generation_b
from tests.support.platforms import OWNER, create_platform

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.templates import Templates


@pytest.fixture(scope="module")
def platform(templates: Templates) -> Iterator[Database]:
    """The platform's database, as its owner, who is no superuser."""
    superuser, owner = create_platform(templates, "plain", make_generation_b)
    yield owner
    templates.drop(superuser.name)


@pytest.fixture
def copy(templates: Templates, platform: Database) -> Iterator[Database]:
    name = templates.create(platform.name, f"owner {OWNER}").name
    yield Database(platform.url.set(database=name))
    templates.drop(name)


@pytest.mark.parametrize("name", FAILURES)
def test_a_failure_is_found_before_it_happens(copy: Database, name: str) -> None:
    """`check` is green, the rehearsal is not, and the upgrade fails with its message and says what stands."""
    failure = FAILURES[name]
    copy.execute(failure.sql)
    before = pg_dump(copy)
    result = run_montoit_db(copy, "check", "--rehearse")
    assert pg_dump(copy) == before
    *checked, rehearsed = result.out.split("❌")
    assert len(checked) == 1, "check alone finds nothing"
    assert result.code == 1
    subject, _, told = rehearsed.replace("\n   ", "\n").partition(" : ")
    assert subject == " Répétition (alembic upgrade head)"
    message, _, passed = told.partition("\nrévisions qui passent : ")
    assert failure.told in message

    upgrade = Alembic(copy)("upgrade", "head")
    assert upgrade.code == 1
    assert message in upgrade.err
    applied = [f"{number:04}" for number in range(1, int(failure.revision))]
    assert passed.startswith(", ".join(applied) + " ;")
    assert f"Ce qui précède reste. Révisions appliquées : {', '.join(applied)} ; {failure.revision} ne" in upgrade.err
    assert "rien n'a été modifié" not in upgrade.err.lower()
    assert copy.value("select version_num from montoit.alembic_version") == applied[-1]
    assert "REPRISE DES TABLES EXISTANTES" in upgrade.err


def test_a_report_that_came_with_a_failure_comes_again(copy: Database) -> None:
    copy.execute(FAILURES["a CHECK on api_keys"].sql)
    report = Alembic(copy)("upgrade", "head").err.partition("REPRISE DES TABLES EXISTANTES")[2].splitlines()
    copy.execute("alter table api_keys drop constraint needs_keys")
    alembic = Alembic(copy)
    told = alembic.succeeds("upgrade", "head").out.partition("REPRISE DES TABLES EXISTANTES")[2].splitlines()
    assert told[: len(report)] == report
    alembic.succeeds("downgrade", "-1")
    assert "REPRISE" not in alembic.succeeds("upgrade", "head").out


def test_a_rehearsal_of_everything(copy: Database) -> None:
    """Up and back in one go; `--schema` stops before the activation; the database never notices."""
    before = pg_dump(copy)
    result = run_montoit_db(copy, "check", "--rehearse", "--rehearse-rollback")
    assert result.code == 0, result.out
    assert (
        "✅ Répétition (alembic upgrade head, puis alembic downgrade -1) : révisions qui passent : 0001, " in result.out
    )
    assert "0007, 0008, 0008 ; tout est annulé" in result.out
    schema = run_montoit_db(copy, "check", "--schema", "--rehearse", environment={})
    assert schema.code == 0, schema.out
    assert "0006, 0007 ; tout est annulé" in schema.out
    assert pg_dump(copy) == before


def test_a_rehearsal_of_nothing(activated: Database) -> None:
    result = run_montoit_db(activated, "check", "--rehearse")
    assert (result.code, result.out.splitlines()[-1]) == (0, "✅ Répétition (alembic upgrade head) : rien à faire")


def test_a_rollback_that_would_fail(activated: Database) -> None:
    activated.execute(
        "create function keep() returns trigger language plpgsql as $$begin new.is_enabled := true; return new; end$$;"
        "create trigger keep before update on feature_flags for each row execute function keep()"
    )
    before = pg_dump(activated)
    result = run_montoit_db(activated, "check", "--schema", "--rehearse-rollback", environment={})
    assert (result.code, "Retour arrière annulé" in result.out) == (1, True)
    assert pg_dump(activated) == before
    assert "Retour arrière annulé" in Alembic(activated).refuses("downgrade", "-1")


def test_a_rehearsal_is_for_what_is_otherwise_green(database_at: Callable[[str], Database]) -> None:
    result = run_montoit_db(database_at("0007"), "check", "--rehearse", environment={})
    assert result.code == 2
    assert "⚠ Répétition : pas faite" in result.out


def test_no_secret_is_written_even_for_a_moment(schema_only: Database) -> None:
    """Stand-ins are: a constraint on the value itself therefore sees them, and the guide says so."""
    schema_only.execute("alter table api_keys add constraint no_canary check (key_value not like 'canary%')")
    assert run_montoit_db(schema_only, "check", "--rehearse").code == 0
    assert "no_canary" in Alembic(schema_only).refuses("upgrade", "head")


def test_who_is_in_the_way_is_named_soon(copy: Database) -> None:
    """The rehearsal gives way to a customer's transaction, and holds nothing afterwards."""
    begin = time.monotonic()
    with make_engine(copy.url).connect() as reader:
        pid = reader.exec_driver_sql("select pg_backend_pid() from feature_flags limit 1").scalar_one()
        result = run_montoit_db(copy, "check", "--rehearse")
        assert (result.code, f"pid {pid} (idle in transaction, depuis " in result.out) == (1, True), result.out
        assert time.monotonic() - begin < 30
        assert reader.exec_driver_sql("select count(*) from feature_flags").scalar_one() == 39
    assert run_montoit_db(copy, "check", "--rehearse").code == 0
