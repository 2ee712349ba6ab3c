"""What is said is true: an order that was not carried out is not green, 0 % is nobody, a remedy leads somewhere."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import termios
import threading
import time
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest
from sqlalchemy.exc import DBAPIError
from typer.testing import CliRunner

from montoit_db.cli import app
from montoit_db.database import make_engine, message
from montoit_db.display import _columns, in_ascii
from montoit_db.intouch.summary import FUNCTIONS_MAY_GO_ON
from tests.support.checkout import BIN, ROOT
from tests.support.commands import Alembic, on, run, run_montoit_db
from tests.support.database import Database
from tests.support.settings import PRODUCTION, SANDBOX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.templates import Templates


def test_an_order_for_the_other_environment_is_not_green(activated: Database) -> None:
    """The three commands of the pipeline file; orders for the schema alone ignore it."""
    alembic = Alembic(activated)
    for word in ("head", "intouch@head"):
        told = alembic.refuses("upgrade", word, environment=SANDBOX)
        assert "InTouch est en production, et INTOUCH_ENVIRONMENT demande sandbox" in told
        assert "alembic downgrade -1, puis : alembic upgrade head" in told
    check = run_montoit_db(activated, "check", environment=SANDBOX)
    assert check.code == 1
    assert "❌ Environnement : InTouch est en production, et INTOUCH_ENVIRONMENT demande sandbox\n" in check.out
    assert "alembic downgrade -1, puis : alembic upgrade head" in check.out
    status = run_montoit_db(activated, "status", environment=SANDBOX)
    assert status.code == 1
    assert "InTouch est en production, et INTOUCH_ENVIRONMENT demande sandbox" in status.err
    document = json.loads(run_montoit_db(activated, "status", "--json", environment=SANDBOX).out)
    assert document["contradiction"] in status.err

    alembic.succeeds("upgrade", "schema@head", environment=SANDBOX)
    assert run_montoit_db(activated, "check", "--schema", environment=SANDBOX).code == 0
    unset = {name: value for name, value in PRODUCTION.items() if name != "INTOUCH_ENVIRONMENT"}
    assert run_montoit_db(activated, "status", environment=unset).code == 0


def test_a_share_of_nobody_is_a_pause(activated: Database) -> None:
    assert run_montoit_db(activated, "rollout", "0", "--flag", "wave_payment", "--yes").code == 0
    one = run_montoit_db(activated, "status")
    assert (one.code, "OPÉRATIONNELLE" in one.out) == (1, False)
    assert "Services activés : 6/7" in one.out
    assert "Wave : EN PAUSE (0 % : personne)" in one.out
    assert one.out.endswith("Pour le rendre opérationnel : montoit-db rollout <part> --flag wave_payment\n")
    assert FUNCTIONS_MAY_GO_ON in one.out

    assert run_montoit_db(activated, "rollout", "0", "--yes").code == 0
    all_of_them = run_montoit_db(activated, "status", "--json")
    document = json.loads(all_of_them.out)
    assert (all_of_them.code, document["operational"]) == (1, False)
    assert {service["state"] for service in document["services"]} == {"paused"}
    tests = run_montoit_db(activated, "test-commands")
    assert (tests.code, "en pause (7 sur 7) : rien à essayer" in tests.err) == (1, True)
    check = run_montoit_db(activated, "check")
    assert (check.code, "⚠ Part : 7 services à 0 % (en pause)\n" in check.out) == (0, True)
    idle = Alembic(activated).succeeds("upgrade", "head").out
    assert "InTouch n'est pas opérationnel pour autant" in idle
    assert "montoit-db rollout <part>\n" in idle
    assert run_montoit_db(activated, "rollout", "100", "--yes").code == 0
    assert run_montoit_db(activated, "status").code == 0


def test_after_a_rollback(activated: Database) -> None:
    rollback = Alembic(activated).succeeds("downgrade", "-1").out
    told = run_montoit_db(activated, "status").out
    assert FUNCTIONS_MAY_GO_ON in rollback
    assert FUNCTIONS_MAY_GO_ON in told
    assert max(map(len, FUNCTIONS_MAY_GO_ON.splitlines())) <= 80
    assert "RÉSULTAT DE L'ACTIVATION" not in told
    assert "NON CONFIGURÉS" not in told
    assert "Credentials InTouch : DÉSACTIVÉS (6/6 valeurs gardées)" in told
    assert told.endswith("Pour le rendre opérationnel : alembic upgrade head\n")


@pytest.mark.parametrize(
    ("damage", "remedy"),
    [
        ("update api_keys set is_active = false where key_name = 'password'", "montoit-db rotate"),
        ("update api_keys set is_active = false", "montoit-db rotate"),
        ("update feature_flags set credentials_status = 'not_configured'", "alembic upgrade intouch@head"),
        ("update feature_flags set is_enabled = false where key = 'wave_payment'", "alembic upgrade intouch@head"),
        ("delete from feature_flags where key = 'wave_payment'", "alembic upgrade intouch@head"),
        ("select montoit.switch_off('night')", "alembic upgrade head"),
    ],
)
def test_the_next_command_leads_out(database_at: Callable[[str], Database], damage: str, remedy: str) -> None:
    """Each command that meets the damage names the same remedy, none ends green, and the remedy mends it."""
    database = database_at("0008")
    database.execute(damage)
    status = run_montoit_db(database, "status")
    assert (status.code, status.out.splitlines()[-1]) == (1, f"Pour le rendre opérationnel : {remedy}")
    if remedy != "alembic upgrade head":
        assert remedy in Alembic(database).refuses("upgrade", "head")
        check = run_montoit_db(database, "check")
        assert check.code == 1
        assert f"Pour le rendre opérationnel : {remedy}" in check.out
    name, *arguments = remedy.split()
    if name == "alembic":
        Alembic(database).succeeds(*arguments)
    else:
        assert run_montoit_db(database, *arguments).code == 0
    assert run_montoit_db(database, "status").code == 0


@contextmanager
def server_that_says(words: bytes, *, speaks_first: bool) -> Iterator[int]:
    """Lend the port of a server that is no PostgreSQL."""

    def answer() -> None:
        with suppress(OSError):
            while True:
                client, _ = listening.accept()
                with client:
                    if not speaks_first:
                        client.recv(1000)
                    client.sendall(words)

    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        threading.Thread(target=answer, daemon=True).start()
        yield int(listening.getsockname()[1])


@pytest.mark.parametrize("tls", ["disable", "prefer", "require"])
def test_a_server_that_is_not_postgresql(tls: str) -> None:
    for words, speaks_first, told in (
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", False, "Serveur : un serveur web (HTTP) répond"),
        (b"SSH-2.0-OpenSSH_9.2p1\r\n", True, "Serveur : ce n'est pas PostgreSQL qui répond"),
    ):
        with server_that_says(words, speaks_first=speaks_first) as port:
            address = f"postgres://u@127.0.0.1:{port}/d?sslmode={tls}"
            result = CliRunner().invoke(app, ["status"], env={"DATABASE_URL": address})
        assert (result.exit_code, result.stderr.splitlines()[-1].startswith(told)) == (3, True), result.stderr


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("alter role montoit_guest connection limit 0", "Connexions : toutes sont prises"),
        ("alter database {name} allow_connections false", "Serveur : il démarre, s'arrête, ou cette base est fermée"),
        ("revoke connect on database {name} from public", "Droits : ce rôle ne peut pas se connecter à cette base"),
    ],
)
def test_a_connection_that_is_refused(database: Database, templates: Templates, change: str, told: str) -> None:
    root = templates.create("template0")  # `database` may be closed to all
    root.execute("create role montoit_guest login password 'guest'")
    try:
        root.execute(change.format(name=database.name))
        guest = Database(database.url.set(username="montoit_guest", password="guest"))
        result = run_montoit_db(guest, "status")
        assert (result.code, result.err.splitlines()[-1][: len(told)]) == (3, told)
    finally:
        root.execute("drop role montoit_guest")
        templates.drop(root.name)


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ("42501", "propriétaire"),
        ("25006", "lecture seule"),
        ("53100", "disque du serveur est plein"),
        ("53300", "connexions du serveur sont prises"),
        ("42P01", "public. devant"),
        ("57P01", "relancez la commande"),
        ("08P01", "?pgbouncer=true"),
        ("2BP01", "retirez-le d'abord"),
        ("42P07", "renommez-le"),
        ("23514", "contrainte que quelqu'un a ajoutée"),
    ],
)
def test_each_error_has_a_remedy_in_french(database: Database, state: str, told: str) -> None:
    with make_engine(database.url).connect() as connection, pytest.raises(DBAPIError) as refusal:
        connection.exec_driver_sql(f"do $$ begin raise exception 'no' using errcode = '{state}'; end $$")
    said, remedy = message(refusal.value).split("\n")
    assert said == f"La base de données a refusé (SQLSTATE {state}) : no"
    assert told in remedy


def test_who_may_is_named(activated: Database) -> None:
    activated.execute(
        "create role montoit_blind login password 'blind'; grant usage on schema montoit to montoit_blind"
    )
    try:
        result = run_montoit_db(Database(activated.url.set(username="montoit_blind", password="blind")), "status")
        assert (result.code, f"Propriétaire : {activated.url.username}." in result.err) == (2, True)
    finally:
        activated.execute("drop owned by montoit_blind; drop role montoit_blind")


def test_a_mistyped_command_is_told_in_french() -> None:
    for arguments, told in (
        (("stauts",), "montoit-db : commande inconnue : stauts (vouliez-vous status ?)"),
        (("status", "--jso"), "montoit-db status : option inconnue : --jso (options proches : --json)"),
        (("rollout",), "montoit-db rollout : il manque l'argument PART"),
        (("rollout", "1", "2"), "montoit-db rollout : argument en trop : 2"),
        (("monitor", "--days"), "montoit-db : l'option --days attend une valeur"),
    ):
        result = run("python", "-m", "montoit_db", *arguments, environment={})
        assert (result.returncode, result.stderr.startswith(f"{told}. Rien n'a été fait. Aide : ")) == (2, True)


def test_the_frame_of_a_narrow_terminal(activated: Database) -> None:
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (24, 40))
    run("montoit-db", "status", environment=on(activated), stdout=theirs)
    os.close(theirs)
    shown = os.read(ours, 100_000).decode()
    os.close(ours)
    frame = [line.rstrip() for line in shown.splitlines() if line.startswith(("╔", "║", "╠", "╚"))]
    assert {_columns(line) for line in frame} == {40}
    assert "║ ✅ WhatsApp InTouch : ACTIF          ║" in frame
    assert in_ascii("\n".join(frame)).splitlines()[0] == f"+{'-' * 38}+"


def test_ctrl_c_while_modules_are_loading() -> None:
    script = (
        "import signal\ndef interrupt(*_):\n    raise KeyboardInterrupt\n"
        "signal.signal(signal.SIGALRM, interrupt); signal.setitimer(signal.ITIMER_REAL, 0.05)\n"
        "from montoit_db.__main__ import main\nmain()"
    )
    result = run("python", "-c", script, environment={})
    assert (result.returncode, result.stderr) == (130, "")


def test_ctrl_c_during_initdb_leaves_nothing() -> None:
    with TemporaryDirectory(prefix="montoit-test-") as name:
        home = Path(name)
        home.chmod(0o755)
        with subprocess.Popen(
            [f"{BIN}/alembic", "-c", f"{ROOT}/alembic.ini", "upgrade", "schema@head"],
            cwd=home, stderr=subprocess.PIPE, text=True, env={**os.environ, "INTOUCH_ENVIRONMENT": "sandbox"},
        ) as process:  # fmt: skip
            deadline = time.monotonic() + 60
            while not (unfinished := [*home.glob(".montoit-db/data.unfinished-*/base")]):
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.01)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate()
        assert (process.returncode, "Traceback" in err) == (130, False), err
        assert not unfinished[0].parent.exists()
        assert not [*home.glob(".montoit-db/data*")]
