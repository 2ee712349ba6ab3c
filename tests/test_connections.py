"""Addresses that really connect: awkward passwords, IPv6, TLS, the session pooler, and what a refusal says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from montoit_db.database import connect_to, engine_url, make_engine
from tests.support.checkout import ROOT
from tests.support.commands import run
from tests.support.poolers import PASSWORD, pgbouncer
from tests.support.settings import PRODUCTION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from tests.support.database import Database
    from tests.support.poolers import Pooler
    from tests.support.servers import PostgresServer


@pytest.fixture(scope="module")
def front(server: PostgresServer) -> Iterator[Pooler]:
    """PgBouncer in session mode on TCP, which asks for a password and offers TLS."""
    with pgbouncer(server, "session", tcp=True) as started:
        yield started


def test_the_whole_cycle_through_the_session_pooler(database_at: Callable[[str], Database], front: Pooler) -> None:
    environment = {**PRODUCTION, "DATABASE_URL": front.address(database_at("empty"), "127.0.0.1")}
    alembic = ("alembic", "-c", f"{ROOT}/alembic.ini")
    for command in (
        (*alembic, "upgrade", "head"),
        ("montoit-db", "status"),
        ("montoit-db", "rotate"),
        (*alembic, "downgrade", "-1"),
        (*alembic, "upgrade", "head"),
    ):
        result = run(*command, environment=environment)
        assert result.returncode == 0, result.stderr
        assert PASSWORD not in result.stdout + result.stderr


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_every_spelling_and_both_kinds_of_ip(
    database_at: Callable[[str], Database], front: Pooler, scheme: str, host: str
) -> None:
    database = database_at("empty")
    address = front.address(database, host).replace("postgres:", f"{scheme}:", 1)
    with connect_to(make_engine(engine_url(address))) as connection:
        assert connection.exec_driver_sql("select current_database()").scalar_one() == database.name


@pytest.mark.parametrize(("mode", "encrypted"), [("disable", False), ("prefer", True), ("require", True)])
def test_sslmode_is_obeyed(
    database_at: Callable[[str], Database],
    front: Pooler,
    mode: str,
    encrypted: bool,  # noqa: FBT001
) -> None:
    address = front.address(database_at("empty"), "127.0.0.1", query=f"?sslmode={mode}")
    with connect_to(make_engine(engine_url(address))) as connection:
        raw: Any = connection.connection.driver_connection
        assert bool(raw.pgconn.ssl_in_use) is encrypted


def test_a_certificate_is_verified(database_at: Callable[[str], Database], front: Pooler) -> None:
    database = database_at("empty")
    query = f"?sslmode=verify-full&sslrootcert={front.directory}/certificate.pem"
    with connect_to(make_engine(engine_url(front.address(database, "localhost", query=query)))):
        pass
    for told in (
        run("montoit-db", "status", environment={"DATABASE_URL": front.address(database, "localhost", query=bad)})
        for bad in ("?sslmode=verify-full&sslrootcert=/nowhere.pem", "?sslmode=verify-full&sslrootcert=system")
    ):
        assert told.returncode == 3
        assert "TLS : " in told.stderr
        assert "Traceback" not in told.stderr


def test_a_wrong_password_is_said_and_not_shown(database_at: Callable[[str], Database], front: Pooler) -> None:
    address = front.address(database_at("empty"), "127.0.0.1", password="canary-wrong@1")
    result = run("montoit-db", "check", environment={**PRODUCTION, "DATABASE_URL": address})
    assert result.returncode == 3
    assert "Authentification : " in result.stdout
    assert "canary" not in result.stdout + result.stderr


def test_an_unencoded_at_is_explained_and_not_shown(front: Pooler) -> None:
    address = f"postgres://montoit:canary@tail@127.0.0.1:{front.port}/d"
    result = run("montoit-db", "status", environment={"DATABASE_URL": address})
    assert result.returncode == 2
    assert "écrivez-le %40" in result.stderr
    assert "tail" not in result.stderr


@pytest.mark.parametrize("raw", ["a%b", "a:b", "a/b", "a$b", "a b", "100%"])
def test_other_signs_may_stand_as_they_are(raw: str) -> None:
    assert engine_url(f"postgres://u:{raw}@h:5432/d").password == raw
