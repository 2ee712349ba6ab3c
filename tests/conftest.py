"""Fixtures: a database of its own for each test, cloned from a template, and the real `alembic` command on it."""

from __future__ import annotations

import io
import itertools
import os
from contextlib import ExitStack, closing, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import alembic.config
import pytest

from montoit_db.database import make_engine
from montoit_db.intouch.catalogue import CREDENTIALS
from tests.database import Database, pg_dump
from tests.servers import VARIABLE, PostgresServer, postgres_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

ROOT = Path(__file__).parent.parent

SECRETS = {
    credential.variable: f"canary-{credential.key_name}-5d2f81"
    for credential in CREDENTIALS
    if credential.key_name != "base_url"
}
SANDBOX = {"INTOUCH_ENVIRONMENT": "sandbox", **SECRETS}
PRODUCTION = {"INTOUCH_ENVIRONMENT": "production", **SECRETS}

_SERVER = pytest.StashKey[PostgresServer]()
_SERVERS = pytest.StashKey[list[str]]()
_STACK = pytest.StashKey[ExitStack]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-schema", action="store_true", help="write docs/schema.sql anew")


def pytest_xdist_auto_num_workers() -> int | None:
    """Test side by side, each worker on a server of its own: roles belong to the whole of it."""
    return 0 if VARIABLE in os.environ else None


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    if session.config.getoption("numprocesses") and not hasattr(session.config, "workerinput"):
        return  # it only hands tests out
    stack = session.config.stash[_STACK] = ExitStack()
    session.config.stash[_SERVER] = stack.enter_context(postgres_server())


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if _SERVER in session.config.stash and hasattr(session.config, "workeroutput"):
        session.config.workeroutput["server"] = _described(session.config)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:  # noqa: ANN401 -- xdist's
    node.config.stash[_SERVERS].append(getattr(node, "workeroutput", {}).get("server", "none: the worker is gone"))


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_SERVERS] = []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    servers = config.stash[_SERVERS]
    if _SERVER in config.stash:
        servers.append(_described(config))
    for described in sorted(set(servers)):
        terminalreporter.write_line(f"Tested on {described}")


def _described(config: pytest.Config) -> str:
    server = config.stash[_SERVER]
    with make_engine(server.url).connect() as connection:
        version = connection.exec_driver_sql("show server_version").scalar_one()
    return f"PostgreSQL {version} ({server.origin})"


def pytest_unconfigure(config: pytest.Config) -> None:
    config.stash.get(_STACK, ExitStack()).close()


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hide the developer's own settings and `.env`."""
    for name in list(os.environ):
        if name.startswith(("INTOUCH_", "MONTOIT_", "SUPABASE_", "DATABASE_URL")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest) -> PostgresServer:
    return request.config.stash[_SERVER]


class Templates:
    """Databases at a revision, made once and cloned for each test."""

    def __init__(self, server: PostgresServer) -> None:
        self._engine = make_engine(server.url).execution_options(isolation_level="AUTOCOMMIT")
        self._server = server
        self._numbers = itertools.count()
        self._made: dict[str, str] = {}

    def clone(self, revision: str) -> Database:
        """Return a new database at `revision` (`empty`, or one of ours; 0008 is activated in production)."""
        if revision not in self._made:
            database = self.create("template0")
            if revision != "empty":
                result = run_alembic(database, ["upgrade", revision], PRODUCTION)
                assert result.code == 0, result.err
            self._made[revision] = database.name
        return self.create(self._made[revision])

    def create(self, template: str, options: str = "") -> Database:
        name = f"montoit_test_{os.getpid()}_{next(self._numbers)}"
        with self._engine.connect() as connection:
            connection.exec_driver_sql(f'create database {name} template "{template}" {options}')
        return Database(self._server.url.set(database=name))

    def drop(self, *names: str) -> None:
        with self._engine.connect() as connection:
            for name in names:
                connection.exec_driver_sql(f"drop database if exists {name} with (force)")

    def close(self) -> None:
        self.drop(*self._made.values())


@pytest.fixture(scope="session")
def templates(server: PostgresServer) -> Iterator[Templates]:
    with closing(Templates(server)) as made:
        yield made


@pytest.fixture
def database_at(templates: Templates) -> Iterator[Callable[[str], Database]]:
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


class Result(NamedTuple):
    """What a command came to."""

    code: int
    out: str
    err: str


def run_alembic(
    database: Database, arguments: list[str], environment: Mapping[str, str], checkout: Path = ROOT
) -> Result:
    """Run the `alembic` command in this process, on the revisions of a checkout; its own exit status and output."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setenv("DATABASE_URL", database.address)
        for name, value in environment.items():
            patch.setenv(name, value)
        code = 0
        try:
            alembic.config.main(argv=["-c", str(checkout / "alembic.ini"), *arguments], prog="alembic")
        except SystemExit as stop:
            code = int(stop.code or 0)
    result = Result(code, out.getvalue(), err.getvalue())
    for name, value in environment.items():
        if name in SECRETS and "canary" in value:  # others may be words that any text has
            assert value not in result.out + result.err, "a secret got out"
    return result


class Alembic:
    """The `alembic` command on one database, with complete production settings unless told otherwise."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def __call__(self, *arguments: str, environment: Mapping[str, str] = PRODUCTION) -> Result:
        return run_alembic(self._database, list(arguments), environment)

    def succeeds(self, *arguments: str, environment: Mapping[str, str] = PRODUCTION) -> Result:
        result = self(*arguments, environment=environment)
        assert result.code == 0, result.err
        return result

    def refuses(self, *arguments: str, environment: Mapping[str, str] = PRODUCTION) -> str:
        """Return the message of a command that fails and changes nothing, not a byte."""
        before = pg_dump(self._database)
        result = self(*arguments, environment=environment)
        assert result.code == 1
        assert "Traceback" not in result.err
        assert pg_dump(self._database) == before
        return result.err


@pytest.fixture
def alembic_on() -> Callable[[Database], Alembic]:
    return Alembic
