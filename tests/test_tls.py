"""Who is spoken to without TLS, and what a server without it learns."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from montoit_db.database import connect_to, engine_url, make_engine, tls
from montoit_db.database.libpq import effective
from tests.support.checkout import ROOT
from tests.support.commands import run
from tests.support.poolers import PASSWORD, pgbouncer
from tests.support.settings import PRODUCTION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.database import Database
    from tests.support.poolers import Pooler
    from tests.support.servers import PostgresServer

REQUIRED = {"sslmode": "require"}
SSL_REQUEST = bytes.fromhex("0000000804d2162f")


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PGHOST", "PGHOSTADDR", "PGSSLMODE", "PGSERVICE", "PGSSLROOTCERT"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    "address",
    [
        "postgres://u@db.example/d",
        "postgres://u@10.0.0.1/d",
        "postgres://u@[2001:db8::1]/d",
        "postgres://u@/d?host=db.example",
        "postgres://u@db.example/d?hostaddr=127.0.0.1",
        "postgres://u@localhost/d?hostaddr=10.0.0.1",
        "postgres://u@/d?hostaddr=10.0.0.1",
        "postgres://u@localhost,db.example/d",
        "postgres://u@/d?host=localhost&host=db.example",
        "postgres://u@/d?host=/run/postgresql,db.example",
        "postgres://u@localhost.example/d",
        "postgres://u@db.example:6543/d?pgbouncer=true",
        "postgres://u@/d?service=montoit_has_no_such_service",
        "postgres://u@localhost/d?connect_timeout=abc&hostaddr=db.example",
    ],
)
def test_a_remote_host_gets_nothing_without_tls(address: str) -> None:
    assert tls.arguments(engine_url(address)) == REQUIRED


@pytest.mark.parametrize(
    "address",
    [
        "postgres://u@/d",
        "postgres://u@localhost/d",
        "postgres://u@LocalHost/d",
        "postgres://u@127.0.0.1/d",
        "postgres://u@127.1.2.3/d",
        "postgres://u@[::1]/d",
        "postgres://u@/d?host=/run/postgresql",
        "postgres://u@/d?host=%40abstract",
        "postgres://u@/d?hostaddr=127.0.0.1",
        "postgres://u@localhost/d?hostaddr=127.0.0.1",
    ],
)
def test_a_socket_and_loopback_are_left_alone(address: str) -> None:
    assert tls.arguments(engine_url(address)) == {}


@pytest.mark.parametrize("mode", ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"])
def test_the_url_may_name_any_mode(mode: str) -> None:
    assert tls.arguments(engine_url(f"postgres://u@db.example/d?sslmode={mode}")) == {}


@pytest.mark.parametrize(
    ("mode", "added"),
    [
        ("disable", REQUIRED),
        ("allow", REQUIRED),
        ("prefer", REQUIRED),
        ("require", {}),
        ("verify-ca", {}),
        ("verify-full", {}),
    ],
)
@pytest.mark.parametrize("source", ["variable", "service", "service in the environment"])
def test_elsewhere_only_a_stricter_mode_counts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, source: str, mode: str, added: dict[str, str]
) -> None:
    (tmp_path / "services").write_text(f"[montoit]\nhost=db.example\nsslmode={mode}\n")
    monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "services"))
    address = "postgres://u@/d"
    match source:
        case "variable":
            monkeypatch.setenv("PGSSLMODE", mode)
            monkeypatch.setenv("PGHOST", "db.example")
        case "service":
            address += "?service=montoit"
        case _:
            monkeypatch.setenv("PGSERVICE", "montoit")
    url = engine_url(address)
    assert effective(url)["host"] == "db.example"
    assert tls.arguments(url) == added


def test_the_systems_authorities_are_a_stricter_mode() -> None:
    assert tls.arguments(engine_url("postgres://u@db.example/d?sslrootcert=system")) == {}


class Proxy(NamedTuple):
    """What stands between us and a server and answers that there is no TLS; `received` is all that it was sent."""

    port: int
    received: list[bytes]


@contextmanager
def proxy_without_tls() -> Iterator[Proxy]:
    received: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    received.append(connection.recv(8))
                    connection.sendall(b"N")
                    if more := connection.recv(4096):
                        received.append(more)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield Proxy(listener.getsockname()[1], received)
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(5)


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (("montoit-db", "status"), 3),
        (("montoit-db", "check"), 3),
        (("montoit-db", "rotate"), 3),
        (("alembic", "-c", f"{ROOT}/alembic.ini", "current"), 1),
    ],
)
def test_a_server_without_tls_is_told_nothing(command: tuple[str, ...], code: int) -> None:
    with proxy_without_tls() as proxy:
        address = f"postgres://montoit:canary@db.example:{proxy.port}/postgres?hostaddr=127.0.0.1"
        result = run(*command, environment={**PRODUCTION, "DATABASE_URL": address})
    shown = result.stdout + result.stderr
    assert result.returncode == code
    assert "TLS : ce serveur n'en offre pas" in shown
    assert "sslmode=disable dans DATABASE_URL" in shown
    assert not any(word in shown for word in ("canary", "Traceback"))
    assert proxy.received
    assert set(proxy.received) == {SSL_REQUEST}, "neither a role nor a password"


def test_the_proxy_would_have_been_told() -> None:
    """The test above can fail: who asks for no TLS sends the role at once."""
    with proxy_without_tls() as proxy:
        address = f"postgres://montoit@db.example:{proxy.port}/d?hostaddr=127.0.0.1&sslmode=prefer"
        run("montoit-db", "status", environment={"DATABASE_URL": address})
    assert any(b"montoit" in message for message in proxy.received)


@pytest.fixture(scope="module")
def front(server: PostgresServer) -> Iterator[Pooler]:
    """PgBouncer in session mode on TCP, which asks for a password and offers TLS, under the name db.example, too."""
    with pgbouncer(server, "session", tcp=True) as started:
        yield started


@pytest.mark.parametrize(
    ("host", "query", "level", "told"),
    [
        ("db.example", "", "warning", "sslmode=require : la connexion est chiffrée, mais le serveur n'est pas"),
        ("db.example", "&sslmode=verify-ca&sslrootcert={}", "warning", "sslmode=verify-ca : la connexion est chiffrée"),
        ("db.example", "&sslmode=verify-full&sslrootcert={}", "ok", "verify-full : la connexion est chiffrée, et"),
        ("db.example", "&sslmode=prefer", "warning", "sslmode=prefer : la connexion est chiffrée, mais"),
        ("db.example", "&sslmode=disable", "warning", "sslmode=disable : le mot de passe"),
        ("localhost", "", "ok", "connexion locale"),
        ("127.0.0.1", "&sslmode=disable", "ok", "connexion locale"),
    ],
)
def test_check_says_what_is_in_force(  # noqa: PLR0913, PLR0917 -- fixtures and a table
    database_at: Callable[[str], Database], front: Pooler, host: str, query: str, level: str, told: str
) -> None:
    query = "?hostaddr=127.0.0.1" + query.format(front.directory / "certificate.pem")
    address = front.address(database_at("0007"), host, query=query)
    result = run("montoit-db", "check", "--json", environment={**PRODUCTION, "DATABASE_URL": address})
    (finding,) = (found for found in json.loads(result.stdout)["findings"] if found["subject"] == "TLS")
    assert (finding["level"], finding["message"][: len(told)]) == (level, told)
    assert ("sslmode=verify-full" in (finding["remedy"] or "")) == (level == "warning")
    assert result.returncode == 0, "a warning changes no exit status"
    assert PASSWORD not in result.stdout + result.stderr


def test_check_on_a_socket(database: Database) -> None:
    if database.url.host:
        pytest.skip("the server is on TCP")
    document = json.loads(
        run("montoit-db", "check", "--json", environment={**PRODUCTION, "DATABASE_URL": database.address}).stdout
    )
    assert [found["level"] for found in document["findings"] if found["subject"] == "TLS"] == ["ok"]


def test_a_remote_host_is_really_spoken_to_with_tls(database_at: Callable[[str], Database], front: Pooler) -> None:
    address = front.address(database_at("empty"), "db.example", query="?hostaddr=127.0.0.1")
    with connect_to(make_engine(engine_url(address))) as connection:
        raw: Any = connection.connection.driver_connection
        assert tls.protection(raw.pgconn) == (False, "require", True)
