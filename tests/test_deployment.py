"""Deployments side by side, against locks, through a pooler, and killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from montoit_db.database import make_engine
from tests.support.checkout import BIN, ROOT
from tests.support.commands import Alembic, run
from tests.support.database import Database, pg_dump
from tests.support.deployments import STATE, wait_until
from tests.support.generations import LARGE, make_generation_b
from tests.support.platforms import create_roles
from tests.support.poolers import pgbouncer
from tests.support.settings import PRODUCTION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.servers import PostgresServer

AT_ONCE = 16
IMPATIENT = {"MONTOIT_LOCK_TIMEOUT": "0.2", "MONTOIT_LOCK_RETRIES": "1"}


@pytest.fixture(scope="session")
def pooler(server: PostgresServer) -> Iterator[Callable[[Database], Database]]:
    """PgBouncer in transaction mode, as Supabase has it on port 6543."""
    with pgbouncer(server, "transaction") as started:
        yield started.on_socket


def environment(database: Database, **more: str) -> dict[str, str]:
    return {**PRODUCTION, "DATABASE_URL": database.address, **more}


def alembic(database: Database, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return run("alembic", "-c", f"{ROOT}/alembic.ini", *arguments, environment=environment(database, **more))


def at_once(database: Database, commands: list[tuple[str, str]]) -> list[subprocess.CompletedProcess[str]]:
    with ThreadPoolExecutor(len(commands)) as pool:
        return list(pool.map(lambda arguments: alembic(database, *arguments), commands))


@pytest.mark.parametrize("way", ["direct", "pooler"])
@pytest.mark.parametrize("start", ["empty", "0007"])
def test_sixteen_upgrades_at_once_activate_once(
    database_at: Callable[[str], Database], request: pytest.FixtureRequest, way: str, start: str
) -> None:
    database = database_at(start)
    reached = database if way == "direct" else request.getfixturevalue("pooler")(database)
    results = at_once(reached, [("upgrade", "head")] * AT_ONCE)
    assert [result.returncode for result in results] == [0] * AT_ONCE, [result.stderr for result in results]
    assert sum("7/7" in result.stdout for result in results) == 1
    assert sum("Rien à faire" in result.stdout for result in results) == AT_ONCE - 1
    assert database.rows(STATE) == [("0008", 7, 6)]
    assert database.value("select count(*) from feature_flag_history") == 7


def test_upgrades_and_rollbacks_at_once_end_at_a_whole_revision(database_at: Callable[[str], Database]) -> None:
    database = database_at("0007")
    results = at_once(database, [("upgrade", "head"), ("downgrade", "-1")] * (AT_ONCE // 2))
    for result in results:
        assert result.returncode == 0, result.stderr
    assert database.rows(STATE)[0] in {("0008", 7, 6), ("0007", 0, 0)}


def test_several_at_once_take_the_platforms_tables_over_once(
    database_at: Callable[[str], Database], pooler: Callable[[Database], Database]
) -> None:
    """Through a transaction pooler, a log's indexes are built concurrently, too, and it keeps no setting of ours."""
    database = database_at("empty")
    create_roles(database)
    make_generation_b(database)
    database.execute(LARGE + "drop index idx_sms_logs_created_at")
    reached = pooler(database)
    results = at_once(reached, [("upgrade", "head")] * 4)
    assert [result.returncode for result in results] == [0] * 4, [result.stderr for result in results]
    assert sum("REPRISE DES TABLES" in result.stdout for result in results) == 1
    assert (
        database.value("select indisvalid from pg_index where indexrelid = 'idx_sms_logs_created_at'::regclass") is True
    )
    assert database.value("select count(*) from feature_flag_history where actor <> 'unknown'") == 22
    assert reached.value("show statement_timeout") == database.value("show statement_timeout")


def test_every_command_goes_through_the_pooler(
    database_at: Callable[[str], Database], pooler: Callable[[Database], Database]
) -> None:
    database = pooler(database_at("empty"))
    for arguments in (("upgrade", "head"), ("current",), ("check",), ("downgrade", "-1"), ("upgrade", "head")):
        result = alembic(database, *arguments)
        assert result.returncode == 0, result.stderr
    assert run("montoit-db", "status", environment=environment(database)).returncode == 0
    assert run("montoit-db", "rotate", environment=environment(database)).returncode == 0


def test_a_lock_that_outlasts_all_retries_is_named(database_at: Callable[[str], Database]) -> None:
    database = database_at("0007")
    before = pg_dump(database)
    with make_engine(database.url).connect() as holder:
        holder.exec_driver_sql("lock table feature_flags in access exclusive mode")
        pid = holder.exec_driver_sql("select pg_backend_pid()").scalar_one()
        result = alembic(database, "upgrade", "head", **IMPATIENT)
    assert result.returncode == 1
    assert f"pid {pid} (idle in transaction, depuis " in result.stderr
    assert "feature_flags" in result.stderr
    assert "après 2 essais de 0.2 s" in result.stderr
    assert pg_dump(database) == before


def test_a_lock_that_goes_away_is_waited_for(database_at: Callable[[str], Database]) -> None:
    database = database_at("0007")
    with make_engine(database.url).connect() as holder, ThreadPoolExecutor() as pool:
        holder.exec_driver_sql("lock table feature_flags in access exclusive mode")
        activation = pool.submit(
            alembic, database, "upgrade", "head", MONTOIT_LOCK_TIMEOUT="0.2", MONTOIT_LOCK_RETRIES="4"
        )
        wait_until(database, "wait_event_type = 'Lock'", activation)
        time.sleep(0.5)  # longer than one attempt
        holder.rollback()
        result = activation.result()
    assert result.returncode == 0, result.stderr
    assert database.rows(STATE) == [("0008", 7, 6)]


def test_a_deadlock_is_tried_again(database_at: Callable[[str], Database]) -> None:
    """The activation has stored the credentials and waits for the flags; whoever has the flags wants a credential."""
    database = database_at("0007")
    with make_engine(database.url).connect() as other, ThreadPoolExecutor() as pool:
        other.exec_driver_sql("set local deadlock_timeout = '1min'")  # the victim is the one who looks first
        other.exec_driver_sql("select from feature_flags for update")
        activation = pool.submit(alembic, database, "upgrade", "head", MONTOIT_LOCK_TIMEOUT="60")
        wait_until(database, "wait_event_type = 'Lock'", activation)
        other.exec_driver_sql(
            "insert into api_keys (service_name, key_name, environment) values ('intouch', 'username', 'production')"
        )
        other.rollback()
        result = activation.result()
    assert result.returncode == 0, result.stderr
    assert database.rows(STATE) == [("0008", 7, 6)]


def test_another_deployment_is_waited_for_but_not_for_ever(database_at: Callable[[str], Database]) -> None:
    database = database_at("0007")
    database.execute(LINGER.replace("pg_sleep(0.5)", "pg_sleep(1)"))
    with ThreadPoolExecutor() as pool:
        first = pool.submit(alembic, database, "upgrade", "head")
        wait_until_asleep(database, first)
        second = alembic(database, "upgrade", "head", MONTOIT_DEPLOY_TIMEOUT="0.6")
        assert second.returncode == 1
        assert "Un autre déploiement est en cours (pid " in second.stderr
        assert "Traceback" not in second.stderr
        assert alembic(database, "current").returncode == 0, "reading needs no lock"
        assert first.result().returncode == 0


LINGER = """
create function linger() returns trigger language plpgsql as $$begin perform pg_sleep(0.5); return null; end$$;
create trigger linger after insert on api_keys execute function linger();
"""


def wait_until_asleep(database: Database, command: Any) -> None:  # noqa: ANN401 -- a Future
    wait_until(database, "wait_event = 'PgSleep'", command)


def test_a_lost_lock_ends_the_deployment(database_at: Callable[[str], Database]) -> None:
    database = database_at("0007")
    database.execute(LINGER)
    with ThreadPoolExecutor() as pool:
        activation = pool.submit(alembic, database, "upgrade", "head")
        wait_until_asleep(database, activation)
        database.execute(
            "select pg_terminate_backend(l.pid) from pg_locks l where locktype = 'advisory' and granted"
            " and database = (select oid from pg_database where datname = current_database())"
        )
        result = activation.result()
    assert result.returncode == 1
    assert "verrou du déploiement est coupée" in result.stderr
    assert database.rows(STATE) == [("0007", 0, 0)]


def test_an_impatient_server_does_not_end_the_lock(database_at: Callable[[str], Database]) -> None:
    """Each revision takes less than the server's limits, and all of them together more."""
    database = database_at("empty")
    database.execute(
        "create function slow() returns event_trigger language plpgsql as $$begin perform pg_sleep(0.4); end$$;"
        "create event trigger slow on ddl_command_end when tag in ('CREATE TABLE') execute function slow();"
        f"alter database {database.name} set idle_in_transaction_session_timeout = '2s'"
    )
    if database.value("select current_setting('server_version_num')::int >= 170000"):
        database.execute(f"alter database {database.name} set transaction_timeout = '2s'")
    begin = time.monotonic()
    result = alembic(database, "upgrade", "head")
    assert result.returncode == 0, result.stderr
    assert time.monotonic() - begin > 2


def test_waiting_for_a_lock_is_bounded_in_every_revision(database: Database) -> None:
    """`set local` at the start of each transaction, as seen by the statements of the revisions themselves."""
    Alembic(database).succeeds("upgrade", "0001")
    database.execute(
        "create table seen (lock text, statement text, connection text);"
        "create function look() returns event_trigger language plpgsql as $$begin"
        " insert into public.seen values (current_setting('lock_timeout'), current_setting('statement_timeout'),"
        " current_setting('client_connection_check_interval')); end$$;"
        "create event trigger look on ddl_command_end execute function look()"
    )
    Alembic(database).succeeds("upgrade", "head", environment={**PRODUCTION, "MONTOIT_LOCK_TIMEOUT": "1.5"})
    assert set(database.rows("select * from seen")) == {("1500ms", "1min", "1s"), ("1500ms", "0", "1s")}


@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_killed_deployment_leaves_no_lock(database_at: Callable[[str], Database], signal_number: int) -> None:
    database = database_at("0007")
    database.execute(LINGER.replace("pg_sleep(0.5)", "pg_sleep(60)"))
    process = start(database, "upgrade", "head")
    wait_until_asleep(database, Running(process))
    process.send_signal(signal_number)
    _, err = process.communicate()
    assert process.returncode == (-signal.SIGKILL if signal_number == signal.SIGKILL else 130)
    assert ("Interrompu : " in err) == (signal_number != signal.SIGKILL)
    assert "Traceback" not in err
    deadline = time.monotonic() + 2
    held = (
        "select count(*) from pg_locks where pid <> pg_backend_pid()"
        " and database = (select oid from pg_database where datname = current_database())"
    )
    while database.value(held):
        assert time.monotonic() < deadline, "a lock outlived its process by more than two seconds"
        time.sleep(0.05)
    assert database.rows(STATE) == [("0007", 0, 0)]
    database.execute("drop trigger linger on api_keys")
    assert alembic(database, "upgrade", "head").returncode == 0


class Running:
    """A process as `wait_until_asleep` asks for it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def done(self) -> bool:
        return self._process.poll() is not None

    def result(self) -> int | None:
        return self._process.returncode


def start(database: Database, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [f"{BIN}/alembic", "-c", f"{ROOT}/alembic.ini", *arguments],
        env={**os.environ, **environment(database)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(8))
def test_killed_at_any_moment_it_stops_at_a_revision(database_at: Callable[[str], Database], seed: int) -> None:
    """A sample; `python -m benchmarks.kills` does hundreds, and kills the server, too."""
    chance = random.Random(seed)  # noqa: S311 -- repeatable, not secret
    verb, begin = chance.choice([("upgrade", "empty"), ("upgrade", "0007"), ("downgrade", "0008")])
    database = database_at(begin)
    process = start(database, verb, "head" if verb == "upgrade" else "-1")
    time.sleep(chance.uniform(0.3, 1.2))
    process.kill()
    process.communicate()
    assert alembic(database, "upgrade", "head").returncode == 0
    assert database.rows(STATE) == [("0008", 7, 6)]
