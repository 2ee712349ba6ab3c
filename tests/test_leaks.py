"""No secret leaves: canaries are stored, and searched for in every channel, on every path that fails.

The server is one of our own making, so that its log can be read: with `log_statement = all` and pg_stat_statements,
with default settings, and with pgaudit, which prints the variables that the statements of plpgsql get.
"""

from __future__ import annotations

import base64
import itertools
import logging
import os
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

import alembic.command
import pytest
from alembic.config import Config
from sqlalchemy.exc import DBAPIError

from montoit_db import database as montoit_database
from montoit_db.database import embedded, make_engine
from montoit_db.settings import DatabaseSettings, InTouchSettings
from tests.support.checkout import ROOT
from tests.support.commands import run
from tests.support.database import Database
from tests.support.platforms import create_roles, install_vault
from tests.support.servers import FAST
from tests.support.settings import PRODUCTION, SECRETS

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator

    from sqlalchemy import Engine

LOUD = (
    "log_statement=all",
    "log_min_duration_statement=0",
    "log_parameter_max_length=-1",
    "log_lock_waits=on",
    "log_connections=on",
    "shared_preload_libraries=pg_stat_statements,auto_explain",
    "pg_stat_statements.track=all",
    "pg_stat_statements.track_utility=on",
)
# Not with a Vault: what its own functions plan is not ours to hide.
LOUD_PLANS = (
    "auto_explain.log_min_duration=0",
    "auto_explain.log_nested_statements=on",
    "auto_explain.log_verbose=on",
)
# Debian's PostgreSQL has pgaudit, the embedded one has not.
PGAUDIT = (
    "shared_preload_libraries=pgaudit,auto_explain",
    "pgaudit.log=all",
    "pgaudit.log_parameter=on",
    "pgaudit.log_client=off",
    *LOUD_PLANS,
)
POSTGRESQL_15 = Path("/usr/lib/postgresql/15")
SERVERS = ("loud, table", "loud, vault", "default, table")
AUDITED = "audited, table"


class Server(NamedTuple):
    """A server whose log can be read."""

    handle: embedded.Server
    log: Path
    loud: bool


@pytest.fixture(scope="module")
def watched_servers() -> Iterator[Callable[[str], Server]]:
    """Start each of the servers when the first test asks for it."""
    with ExitStack() as stack:
        yield lru_cache(lambda name: stack.enter_context(start(name)))


@pytest.fixture(params=SERVERS)
def watched_server(request: pytest.FixtureRequest, watched_servers: Callable[[str], Server]) -> Server:
    return watched_servers(request.param)


@contextmanager
def start(name: str) -> Iterator[Server]:
    log, store = name.split(", ")
    loud = log == "loud"
    settings = (*(LOUD if loud else ()), *(LOUD_PLANS if loud and store == "table" else ()))
    binaries = None
    if name == AUDITED:
        if not (POSTGRESQL_15 / "lib" / "pgaudit.so").exists():
            pytest.skip("pgaudit (Debian: postgresql-15-pgaudit) is missing")
        settings, binaries = PGAUDIT, POSTGRESQL_15 / "bin"
    with TemporaryDirectory(prefix="montoit-leaks-") as directory:
        Path(directory).chmod(0o755)
        with embedded.server(Path(directory) / "server", (*FAST, *settings), binaries) as handle:
            template = Database(handle.url("template1"))
            create_roles(template)
            if store == "vault":
                install_vault(template)
            if loud:
                template.execute("create extension pg_stat_statements")
            assert command(template, "upgrade", "0007").returncode == 0
            yield Server(handle, Path(directory) / "server" / "log", loud)


@pytest.fixture
def watched_database(watched_server: Server) -> Iterator[Database]:
    """A database at 0007, with a Vault or without."""
    admin = make_engine(watched_server.handle.url()).execution_options(isolation_level="AUTOCOMMIT")
    name = f"leaks_{time.monotonic_ns()}"
    with admin.connect() as connection:
        connection.exec_driver_sql(f"create database {name} strategy file_copy")
    yield Database(watched_server.handle.url(name))
    with admin.connect() as connection:
        connection.exec_driver_sql(f"drop database {name} with (force)")


# A failure is wanted here, and soon.
IMPATIENT = {"MONTOIT_LOCK_TIMEOUT": "0.3", "MONTOIT_LOCK_RETRIES": "0"}


def command(database: Database, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {**PRODUCTION, **IMPATIENT, **more, "DATABASE_URL": database.address}
    return run("alembic", "-c", f"{ROOT}/alembic.ini", *arguments, environment=environment)


def forms(secret: str) -> set[str]:
    """Return what a secret may look like on its way: as it is, in hex, in base64."""
    raw = secret.encode()
    return {secret, raw.hex(), base64.b64encode(raw).decode()}


CANARIES = {form for secret in SECRETS.values() for form in forms(secret)}


def found_in(text: str) -> set[str]:
    return {canary for canary in CANARIES if canary.lower() in text.lower()}


SHOUT = """
create function shout() returns trigger language plpgsql as $$
begin
    if new.key_name = 'password' then -- the first row is the URL, which is no secret
        raise exception 'row %', new.key_value
            using detail = new.key_value, hint = new.key_value, constraint = new.key_value, table = new.key_value;
    end if;
    return new;
end $$;
"""

# Each ends the activation (or the rollback, where it says so) with an error.
PATHS: dict[str, tuple[str, str]] = {
    "constraint": ("upgrade", "alter table api_keys add constraint ours check (length(key_name) > 99) not valid"),
    "deferred constraint": (
        "upgrade",
        """insert into api_keys (service_name, key_name, key_value) values ('x', 'y', 'canary-password-5d2f81');
           alter table api_keys add constraint ours unique (key_value) deferrable initially deferred""",
    ),
    "shouting trigger": (
        "upgrade",
        SHOUT + "create trigger shout before insert or update on api_keys for each row execute function shout()",
    ),
    "deferred shouting trigger": (
        "upgrade",
        SHOUT
        + """create constraint trigger shout after insert or update on api_keys deferrable initially deferred
             for each row execute function shout()""",
    ),
    "wrong type": (
        "upgrade",
        """drop policy "administrators read" on api_keys; drop policy "administrators switch" on api_keys;
           drop policy "values are for the service" on api_keys;
           drop trigger touch_updated_at on api_keys; alter table api_keys drop constraint api_keys_one_store_check;
           alter table api_keys alter column key_value type int using 0, alter column secret_id type int using 0""",
    ),
    "verification": (
        "upgrade",
        """create function meddle() returns trigger language plpgsql as
               $$begin new.is_active := false; return new; end$$;
           create trigger meddle before insert or update on api_keys for each row execute function meddle()""",
    ),
    "failing index expression": (
        "upgrade",
        "create index on api_keys ((1 / (length(key_name) - length(key_name))))",
    ),
    "copy that is refused": (
        "upgrade",
        """create function refuse() returns trigger language plpgsql as
               $$begin if new.key_name = 'password' then raise exception 'no'; end if; return new; end$$;
           create trigger refuse instead of insert on montoit.given_credentials
               for each row execute function refuse()""",
    ),
    "rollback: constraint": (
        "downgrade",
        "alter table api_keys add constraint ours check (is_active)",
    ),
    "rollback: shouting trigger": (
        "downgrade",
        SHOUT + "create trigger shout before update on api_keys for each row execute function shout()",
    ),
    "rollback: deferred shouting trigger": (
        "downgrade",
        SHOUT
        + """create constraint trigger shout after update on api_keys deferrable initially deferred
             for each row execute function shout()""",
    ),
}


def channels(server: Server, database: Database, shown: str) -> dict[str, str]:
    """Return what every channel holds; `shown` is what the commands printed."""
    found = {
        "stdout and stderr": shown,
        "server log": server.log.read_text(encoding="utf-8", errors="replace"),
        "feature_flag_history": str(database.rows("select h::text from feature_flag_history h")),
        "feature_flags": str(database.rows("select f::text from feature_flags f")),
        "pg_stat_activity": str(database.rows("select query from pg_stat_activity")),
        "pg_stats": str(database.rows("select most_common_vals::text, histogram_bounds::text from pg_stats"
                                      " where schemaname <> 'public' or tablename <> 'api_keys'")),
    }  # fmt: skip
    if server.loud:
        found["pg_stat_statements"] = str(database.rows("select query from pg_stat_statements"))
    return found


def search(server: Server, database: Database, shown: str, path: str) -> None:
    """Assert that no channel holds a canary, and print which were searched."""
    searched = channels(server, database, shown)
    print(f"{path} (log {'loud' if server.loud else 'default'}): {', '.join(searched)}: ", end="")  # noqa: T201
    hits = {name: found_in(text) for name, text in searched.items()}
    assert {name: canaries for name, canaries in hits.items() if canaries} == {}
    print("0 hits")  # noqa: T201


# With pgaudit only what raises errors of its own making, both ways.
SHOUTING = ("shouting trigger", "deferred shouting trigger", "verification", "rollback: shouting trigger")


@pytest.mark.parametrize(
    ("watched_server", "path"),
    [*itertools.product(SERVERS, PATHS), *itertools.product([AUDITED], SHOUTING)],
    indirect=["watched_server"],
)
def test_a_failing_path_shows_nothing(watched_server: Server, watched_database: Database, path: str) -> None:
    verb, obstacle = PATHS[path]
    if verb == "downgrade":
        assert command(watched_database, "upgrade", "head").returncode == 0
    watched_database.execute(obstacle)
    os.truncate(watched_server.log, 0)
    if watched_server.loud:
        watched_database.execute("select pg_stat_statements_reset()")
    result = command(watched_database, verb, "head" if verb == "upgrade" else "-1")
    in_vault = watched_database.value("select to_regclass('vault.secrets') is not null")
    if path not in INDIFFERENT_TO_THE_VAULT or not in_vault:
        assert result.returncode == 1, result.stdout
        assert "Traceback" not in result.stderr
    search(watched_server, watched_database, result.stdout + result.stderr, path)


# With the Vault key_value stays null, so these have nothing to refuse.
INDIFFERENT_TO_THE_VAULT = {"deferred constraint"}


@pytest.mark.parametrize("watched_server", [*SERVERS, AUDITED], indirect=True)
def test_the_working_paths_show_nothing(watched_server: Server, watched_database: Database) -> None:
    os.truncate(watched_server.log, 0)
    environment = {**PRODUCTION, "DATABASE_URL": watched_database.address, "SUPABASE_URL": "https://abc.supabase.co"}
    shown = ""
    for arguments in (
        ("alembic", "-c", f"{ROOT}/alembic.ini", "upgrade", "head"),
        ("montoit-db", "status"),
        ("montoit-db", "status", "--json"),
        ("montoit-db", "test-commands"),
        ("montoit-db", "rotate"),
        ("montoit-db", "rotate", "--json"),
        ("alembic", "-c", f"{ROOT}/alembic.ini", "upgrade", "head"),
        ("alembic", "-c", f"{ROOT}/alembic.ini", "downgrade", "-1"),
        ("alembic", "-c", f"{ROOT}/alembic.ini", "downgrade", "schema@-1"),
        ("alembic", "-c", f"{ROOT}/alembic.ini", "upgrade", "0007", "--sql"),
        ("alembic", "-c", f"{ROOT}/alembic.ini", "upgrade", "head", "--sql"),
        ("alembic", "-c", f"{ROOT}/alembic.ini", "downgrade", "0008:0007", "--sql"),
        ("alembic", "-c", f"{ROOT}/alembic.ini", "check"),
    ):
        result = run(*arguments, environment=environment)
        shown += result.stdout + result.stderr
    assert "7/7" in shown
    search(watched_server, watched_database, shown, "working paths")


def test_a_lock_timeout_shows_nothing(watched_server: Server, watched_database: Database) -> None:
    watched_database.execute(f"alter database {watched_database.name} set deadlock_timeout = '50ms'")
    with make_engine(watched_database.url).connect() as holder:
        holder.exec_driver_sql("lock table api_keys in access exclusive mode")
        result = command(watched_database, "upgrade", "head")
    assert result.returncode == 1
    search(watched_server, watched_database, result.stdout + result.stderr, "lock timeout")


SLEEP = """
create function linger() returns trigger language plpgsql as $$begin perform pg_sleep(30); return new; end$$;
create trigger linger before insert or update on api_keys for each row execute function linger();
"""


def processes() -> str:
    """Return the command lines of all processes."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue  # it ended while we looked
    return "\n".join(lines)


@pytest.mark.parametrize("end", ["lost connection", "cancelled", "statement timeout"])
def test_an_interrupted_activation_shows_nothing(watched_server: Server, watched_database: Database, end: str) -> None:
    watched_database.execute(SLEEP)
    timeout = {"MONTOIT_DEPLOY_TIMEOUT": "1"} if end == "statement timeout" else {}
    asleep = f"select pid from pg_stat_activity where wait_event = 'PgSleep' and datname = '{watched_database.name}'"
    with ThreadPoolExecutor() as pool:
        activation = pool.submit(command, watched_database, "upgrade", "head", **timeout)
        while not watched_database.rows(asleep):
            assert not activation.done(), activation.result()
            time.sleep(0.02)
        listed = processes()
        activity = str(watched_database.rows("select query from pg_stat_activity"))
        (pid,) = watched_database.rows(asleep)[0]
        if end == "lost connection":
            watched_database.execute(f"select pg_terminate_backend({pid})")
        elif end == "cancelled":
            watched_database.execute(f"select pg_cancel_backend({pid})")
        result = activation.result()
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert "alembic" in listed
    search(watched_server, watched_database, result.stdout + result.stderr + listed + activity, end)


@pytest.mark.parametrize("fails", [False, True])
def test_logging_at_debug_with_echo_shows_nothing(
    watched_server: Server,
    watched_database: Database,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    *,
    fails: bool,
) -> None:
    """As a program that calls Alembic might have it; the exception's whole chain and every frame's locals included."""
    if fails:
        watched_database.execute(PATHS["shouting trigger"][1])
    for name, value in {**PRODUCTION, "DATABASE_URL": watched_database.address}.items():
        monkeypatch.setenv(name, value)
    echoing = lambda url: echo(make_engine(url))  # noqa: E731
    monkeypatch.setattr(montoit_database, "make_engine", echoing)
    ini = Path("alembic.ini")
    ini.write_text(
        (ROOT / "alembic.ini")
        .read_text()
        .replace("%(here)s", str(ROOT))
        .replace("WARNING", "DEBUG")
        .replace("INFO", "DEBUG")
    )
    shown = ""
    with caplog.at_level(logging.DEBUG):
        try:
            alembic.command.upgrade(Config(ini), "head")
        except Exception as error:  # noqa: BLE001 -- whatever a caller would log
            shown = "".join(traceback.format_exception(error)) + repr(error) + str(error)
    assert bool(shown) is fails
    search(watched_server, watched_database, shown + caplog.text, "debug logging with echo")


def echo(engine: Engine) -> Engine:
    engine.echo = "debug"
    return engine


def test_reprs_show_nothing() -> None:
    order = InTouchSettings.from_environment(PRODUCTION)
    settings = DatabaseSettings.from_environment({"DATABASE_URL": f"postgresql://u:{SECRETS['INTOUCH_PASSWORD']}@h/d"})
    engine = make_engine(montoit_database.engine_url(str(settings.url)))
    shown = " ".join(map(repr, (order, settings, engine, engine.url))) + f"{order}{settings}{engine}{engine.url}"
    assert found_in(shown) == set()


def test_the_search_finds_what_is_there(watched_server: Server, watched_database: Database) -> None:
    """The control: a statement with a canary in it is found in the log, and in the statistics."""
    secret = SECRETS["INTOUCH_PASSWORD"]
    watched_database.execute(f"do $$ begin perform '{secret}'; end $$")
    with pytest.raises(DBAPIError):
        watched_database.execute(f"select '{secret}'::int")
    hits = {name for name, text in channels(watched_server, watched_database, "").items() if found_in(text)}
    assert hits == ({"server log", "pg_stat_statements"} if watched_server.loud else {"server log"})
    os.truncate(watched_server.log, 0)
    if watched_server.loud:
        watched_database.execute("select pg_stat_statements_reset()")
