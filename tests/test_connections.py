"""Addresses that really connect: awkward passwords, IPv6, TLS, the session pooler, and what a refusal says."""

from __future__ import annotations

import io
from contextlib import redirect_stderr
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from montoit_db.database import connect, connect_to, engine_url, make_engine
from montoit_db.errors import SettingsError, UnreachableError
from montoit_db.settings import DatabaseSettings
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


# Whatever a shell or a person might put between the parts of a password.
_SIGNS = "@/:?#%&=[]+ ,;'\"\\!$~|<>{}()*^`éß€\x7f\u202e"
PARTS = st.lists(st.text("qzxjkvw", min_size=6, max_size=9), min_size=2, max_size=4)


@st.composite
def passwords(draw: st.DrawFn) -> tuple[str, list[str]]:
    """Return a password and the parts of it that no message may show."""
    parts = draw(PARTS)
    password = parts[0]
    for part in parts[1:]:
        password += draw(st.text(_SIGNS, min_size=1, max_size=3)) + part
    return password, parts


ADDRESSES = (
    "postgres://u:{}@127.0.0.1:1/d",
    "postgresql+psycopg://u:{}@127.0.0.1:1/d?sslmode=require",
    "postgres://{}@127.0.0.1:1/d",
    "postgres://u:{}@[::1]:1/d",
    "postgres://u:{}@/d?host=/nowhere",
    "postgres://127.0.0.1:1/d?user=u&password={}",
    "postgres://u@127.0.0.1:1/d?password={}&connect_timeout=1",
)


def open_one(address: str) -> None:
    """Connect as a command does."""
    with connect(DatabaseSettings.from_environment({"DATABASE_URL": address})):
        pass


@settings(max_examples=300, deadline=None)
@given(passwords(), st.sampled_from(ADDRESSES), st.booleans())
def test_no_part_of_a_password_is_shown(
    secret: tuple[str, list[str]],
    address: str,
    encoded: bool,  # noqa: FBT001
) -> None:
    password, parts = secret
    if address.startswith("postgres://{}"):
        password = f"u:{quote(password, safe='') if encoded else password}"
    elif encoded:
        password = quote(password, safe="")
    told = io.StringIO()
    with pytest.raises((SettingsError, UnreachableError)) as refusal, redirect_stderr(told):
        open_one(address.format(password))
    if encoded:
        assert isinstance(refusal.value, UnreachableError)
    shown = f"{refusal.value}{told.getvalue()}"
    assert not [part for part in parts if part in shown]


@pytest.mark.parametrize(
    "address",
    [
        "postgres://u:canary@canary/canary@h/d",
        "postgres://u:canary@/canary@h/d",
        "postgres://u:canary@canary:/canary@h/d",
        "postgres://u:canary@canary?canary=canary@h/d",
        "postgres://u:canary@canary:5432/d@h/d",
        "postgres://u/canary:canary@h/d",
        "postgres://h:5432/d?password=canary@canary",
        "postgres://h/d?password=canary@canary",
        "postgres://u@h/d?password=canary&canary=1",
        "postgres://u:canary%00canary@127.0.0.1:1/d",
        "postgres://u:canary%ff@127.0.0.1:1/d",
    ],
)
def test_a_password_that_splits_the_address_is_not_shown(address: str) -> None:
    result = run("montoit-db", "status", environment={"DATABASE_URL": address})
    assert result.returncode in {2, 3}
    assert not any(word in result.stdout + result.stderr for word in ("canary", "Traceback")), result.stderr
