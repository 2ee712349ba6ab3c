"""No command hangs: behind a lock, a pool of one connection, a server that never answers, and one that falls silent."""

from __future__ import annotations

import socket
import threading
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from montoit_db.database import embedded, make_engine
from tests.support.checkout import ROOT
from tests.support.commands import on, run
from tests.support.database import Database
from tests.support.deployments import wait_until
from tests.support.poolers import pgbouncer
from tests.support.settings import PRODUCTION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.servers import PostgresServer

ALEMBIC = ("alembic", "-c", f"{ROOT}/alembic.ini")
COMMANDS = (
    ("montoit-db", "status"),
    ("montoit-db", "check"),
    ("montoit-db", "rotate"),
    ("montoit-db", "rollout", "50", "--yes"),
    ("montoit-db", "test-commands"),
    ("montoit-db", "monitor"),
    (*ALEMBIC, "downgrade", "-1"),
)
LOCK = "lock table feature_flags, api_keys, payment_logs, sms_logs, whatsapp_logs in access exclusive mode"
IMPATIENT = {**PRODUCTION, "MONTOIT_LOCK_TIMEOUT": "0.3", "MONTOIT_LOCK_RETRIES": "0", "MONTOIT_DEPLOY_TIMEOUT": "2"}


@pytest.mark.parametrize("way", ["direct", "a pool of one"])
def test_who_blocks_is_named(server: PostgresServer, activated: Database, way: str) -> None:
    with (
        pgbouncer(server, "transaction", pool=1) as front,
        make_engine(activated.url).connect() as holder,
    ):
        reached = activated if way == "direct" else front.on_socket(activated)
        holder.exec_driver_sql(LOCK)
        pid = holder.exec_driver_sql("select pg_backend_pid()").scalar_one()
        for command in COMMANDS if way == "direct" else COMMANDS[:1] + COMMANDS[2:-1]:
            result = run(*command, environment=on(reached, IMPATIENT))
            assert result.returncode == 1, (command, result.stdout, result.stderr)
            assert f"pid {pid} (idle in transaction, depuis " in result.stdout + result.stderr, command
            assert f"pg_terminate_backend({pid})" in result.stdout + result.stderr, command
            assert "Traceback" not in result.stderr
            assert result.stderr.count("PRODUCTION : base ") == 1, "the target is named once"


def test_who_holds_the_trail_is_named(activated: Database) -> None:
    """Every command that writes leaves a line in it."""
    with make_engine(activated.url).connect() as holder:
        holder.exec_driver_sql("lock table montoit.trail in access exclusive mode")
        result = run(*ALEMBIC, "downgrade", "-1", environment=on(activated, IMPATIENT))
        assert (result.returncode, " sur montoit.trail" in result.stderr) == (1, True), result.stderr


def test_a_prepared_transaction_is_named(tmp_path: Path) -> None:
    """It holds its locks without a session."""
    Path(tmp_path).chmod(0o755)
    with embedded.server(tmp_path / "postgresql", ("fsync=off", "max_prepared_transactions=2")) as own:
        database = Database(own.url())
        assert run(*ALEMBIC, "upgrade", "head", environment=on(database)).returncode == 0
        database.execute(f"begin; {LOCK}; prepare transaction 'left over'")
        for command in COMMANDS:
            result = run(*command, environment=on(database, IMPATIENT))
            assert result.returncode == 1, (command, result.stdout, result.stderr)
            assert "transaction préparée « left over » (depuis " in result.stdout + result.stderr, command
            assert "rollback prepared 'left over';" in result.stdout + result.stderr, command


def test_a_server_that_never_answers() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        port = listening.getsockname()[1]
        for command in (("montoit-db", "status"), ("montoit-db", "rotate")):
            result = run(*command, environment={**PRODUCTION, "DATABASE_URL": f"postgres://u@127.0.0.1:{port}/d"})
            assert result.returncode == 3, result.stderr
            assert "Base de données injoignable" in result.stderr
            assert "Traceback" not in result.stderr


@contextmanager
def falls_silent(server: PostgresServer, word: bytes) -> Iterator[int]:
    """Lend a port that leads to the server, until a client sends `word`: from then on nothing comes back."""
    url = server.url
    address = f"{url.host or url.query['host']}/.s.PGSQL.{url.port or url.query.get('port', 5432)}"

    def pump(source: socket.socket, sink: socket.socket, silent: threading.Event) -> None:
        while data := source.recv(65536):
            if word in data:
                silent.set()
            if not silent.is_set():
                sink.sendall(data)

    def serve(client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as upstream:
            upstream.connect(address)
            silent = threading.Event()
            back = threading.Thread(target=pump, args=(upstream, client, silent), daemon=True)
            back.start()
            pump(client, upstream, silent)
            upstream.shutdown(socket.SHUT_RDWR)
            back.join()

    def accept() -> None:
        while True:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(client,), daemon=True).start()

    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        threading.Thread(target=accept, daemon=True).start()
        yield int(listening.getsockname()[1])


@pytest.mark.parametrize("command", [*COMMANDS[:2], COMMANDS[2], COMMANDS[-1]])
def test_a_server_that_falls_silent_after_the_login(
    server: PostgresServer, activated: Database, command: tuple[str, ...]
) -> None:
    if "host" not in server.url.query:
        pytest.skip("the proxy leads to a socket, and this server has a host")
    with falls_silent(server, b"set local search_path") as port:
        address = f"postgres://{activated.url.username}@127.0.0.1:{port}/{activated.name}"
        result = run(*command, environment={**IMPATIENT, "MONTOIT_DEPLOY_TIMEOUT": "0.5", "DATABASE_URL": address})
    assert result.returncode == (1 if command[0] == "alembic" else 3), (result.stdout, result.stderr)
    assert "n'a rien répondu pendant 5.5 s" in result.stdout + result.stderr
    assert "Traceback" not in result.stderr


def test_rotate_and_rollout_wait_for_a_deployment_and_read_after_it(
    database_at: Callable[[str], Database],
) -> None:
    """A rotate beside a rollback left six active credentials with the services off."""
    activated = database_at("0008")
    with make_engine(activated.url).connect() as deployment:
        deployment.exec_driver_sql("select pg_advisory_xact_lock(7104878111529320)")
        for command in (("montoit-db", "rotate"), ("montoit-db", "rollout", "50", "--yes")):
            busy = run(*command, environment=on(activated, IMPATIENT))
            assert (busy.returncode, "Un autre déploiement est en cours (pid " in busy.stderr) == (1, True), busy.stderr
        deployment.exec_driver_sql("select montoit.switch_off('a rollback that is not committed yet')")
        results = []
        waiting = threading.Thread(
            target=lambda: results.append(
                run("montoit-db", "rotate", environment=on(activated, {**PRODUCTION, "INTOUCH_PASSWORD": "canary-new"}))
            )
        )
        waiting.start()
        wait_until(activated, "query like '%%pg_try_advisory_xact_lock%%' and state <> 'active'", Unfinished(waiting))
        deployment.commit()
        waiting.join()
    assert results[0].returncode == 1
    assert "InTouch n'est pas activé" in results[0].stderr
    assert activated.value("select count(*) from api_keys where is_active") == 0


class Unfinished:
    """A thread as `wait_until` asks for it."""

    def __init__(self, thread: threading.Thread) -> None:
        self._thread = thread

    def done(self) -> bool:
        return not self._thread.is_alive()

    def result(self) -> None:
        return None
