"""Fixtures: a database of its own for each test, cloned from a template, on a server that the first of them starts."""

from __future__ import annotations

import os
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from montoit_db.database import make_engine
from tests.support.commands import Alembic
from tests.support.platforms import create_platform
from tests.support.servers import NAMED, PostgresServer, postgres_server, work_in_memory
from tests.support.templates import Templates

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.database import Database

_SERVERS = pytest.StashKey[set[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-schema", action="store_true", help="write docs/schema.sql anew")
    parser.addoption("--write-picture", action="store_true", help="write docs/monitor.png anew")


def pytest_xdist_auto_num_workers() -> int:
    """Test side by side, each worker on a server of its own: roles belong to the whole of it.

    One more than there are cores: many tests wait, for a lock or a server that is silent.
    """
    return 0 if NAMED else (os.cpu_count() or 1) + 1


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_SERVERS] = set()
    work_in_memory()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):
        servers = session.config.stash[_SERVERS]
        session.config.workeroutput["servers"] = sorted(servers)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:  # noqa: ANN401 -- xdist's
    output = getattr(node, "workeroutput", {"servers": ["none: the worker is gone"]})
    node.config.stash[_SERVERS].update(output["servers"])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    servers = config.stash[_SERVERS]
    for described in sorted(servers) or ["no server: none was asked for"]:
        terminalreporter.write_line(f"Tested on {described}")


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hide the developer's own settings, `.env`, proxy and certificates."""
    for name in list(os.environ):
        if name.upper().startswith(
            (
                "INTOUCH_",
                "MONTOIT_",
                "SUPABASE_",
                "DATABASE_URL",
                "COLUMNS",
                "LINES",
                "HTTPS_PROXY",
                "ALL_PROXY",
                "SSL_CERT_",
            )
        ):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    """The server of the session; the first test that asks for it starts it."""
    with postgres_server() as started:
        with make_engine(started.url).connect() as connection:
            version = connection.exec_driver_sql("show server_version").scalar_one()
        request.config.stash[_SERVERS].add(f"PostgreSQL {version} ({started.origin})")
        yield started


@pytest.fixture(scope="session")
def templates(server: PostgresServer) -> Iterator[Templates]:
    with closing(Templates(server)) as made:
        yield made


@pytest.fixture
def database_at(templates: Templates) -> Iterator[Callable[[str], Database]]:
    """Make a database at a revision, or an `empty` one."""
    names = []

    def clone(revision: str) -> Database:
        database = templates.clone(revision)
        names.append(database.name)
        return database

    yield clone
    templates.drop(*names)


@pytest.fixture
def database(database_at: Callable[[str], Database]) -> Database:
    """An empty database."""
    return database_at("empty")


@pytest.fixture
def schema_only(database_at: Callable[[str], Database]) -> Database:
    """A database with the whole schema, ready for its first activation."""
    return database_at("0007")


@pytest.fixture
def activated(database_at: Callable[[str], Database]) -> Database:
    """A database on which InTouch is on, in production."""
    return database_at("0008")


@pytest.fixture
def supabase(templates: Templates) -> Iterator[tuple[Database, Database]]:
    """An empty database with a Vault, as its superuser and as its owner see it."""
    superuser, owner = create_platform(templates, "supabase after October 2026")
    yield superuser, owner
    templates.drop(superuser.name)


@pytest.fixture
def alembic_for() -> Callable[[Database], Alembic]:
    """Return the `alembic` command for a database."""
    return Alembic
