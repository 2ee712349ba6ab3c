"""`purge`: what is old goes, in batches, and nothing else; an interruption loses nothing that was done."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from montoit_db.database import make_engine
from montoit_db.deploy.locks import LOCK_KEY
from tests.support.checkout import BIN, ROOT
from tests.support.commands import on, run, target
from tests.support.logs import log

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.support.database import Database

MONTH = "date_trunc('month', now() at time zone 'Africa/Abidjan')"
LINES = (
    "select (select count(*) from payment_logs), (select count(*) from sms_logs), (select count(*) from whatsapp_logs)"
)


def purge(database: Database, *arguments: str) -> subprocess.CompletedProcess[str]:
    result = run("montoit-db", "purge", *arguments, environment=on(database))
    assert "Traceback" not in result.stderr
    return result


def beginning(months: int, seconds: int = 0) -> str:
    """Return the beginning of the month so many months ago in Abidjan, less some seconds."""
    return f"({MONTH} - interval '{months} months {seconds} seconds') at time zone 'Africa/Abidjan'"


@pytest.fixture
def old(schema_only: Database) -> Database:
    """Each log with lines of three old months, and of the month that is kept."""
    for table in ("payment_logs", "sms_logs", "whatsapp_logs"):
        log(schema_only, table, "failed", beginning(2))
        log(schema_only, table, "failed", beginning(2, seconds=1), 2)
        log(schema_only, table, "failed", beginning(3, seconds=1), 3)
    log(schema_only, "sms_logs", "sent", beginning(4), provider="other")
    return schema_only


def test_it_says_which_months_and_deletes_nothing_else(old: Database) -> None:
    asked = purge(old, "--keep-months", "2")
    assert (asked.returncode, "ajoutez --yes" in asked.stderr, old.rows(LINES)) == (1, True, [(6, 7, 6)])
    result = purge(old, "--keep-months", "2", "--reason", "RGPD", "--yes", "--json")
    assert result.returncode == 0, result.stderr
    assert result.stderr == target(old), "no bar in a pipe"
    document = json.loads(result.stdout)
    assert document["deleted"] == {"sms_logs": 6, "whatsapp_logs": 5}
    assert (document["applied"], document["left"]) == (True, 0)
    months = [month["rows"] for month in document["months"] if month["log"] == "sms_logs"]
    assert months == [4, 2], "the month of the line of another provider is that of the three failures"
    for month in document["months"]:
        assert f"  {month['month']}" in asked.stdout
    assert old.rows(LINES) == [(6, 1, 1)], "payments are purged only by name"
    why = "montoit-db purge --keep-months 2 : RGPD"
    assert old.rows("select key, reason, before ->> 'rows', after ->> 'deleted' from montoit.trail order by at") == [
        ("sms_logs", why, "6", None), ("sms_logs", why, None, "6"),
        ("whatsapp_logs", why, "5", None), ("whatsapp_logs", why, None, "5"),
    ]  # fmt: skip
    again = purge(old, "--keep-months", "2")
    assert (again.returncode, "Rien à supprimer" in again.stdout) == (0, True)
    named = purge(old, "--keep-months", "2", "--log", "payment_logs", "--yes")
    assert (named.returncode, old.rows(LINES)) == (0, [(1, 1, 1)])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--keep-months", "0"), "--keep-months : doit être un nombre"),
        (("--keep-months", "2", "--log", "api_keys"), "--log api_keys : les journaux sont payment_logs"),
        ((), "--keep-months"),
    ],
)
def test_what_makes_no_sense(old: Database, arguments: Sequence[str], said: str) -> None:
    result = purge(old, *arguments, "--yes")
    assert (result.returncode, said in result.stderr) == (2, True)
    assert old.rows(LINES) == [(6, 7, 6)]


def test_rows_that_others_hold_are_left_and_counted(old: Database) -> None:
    """The triggers of the platform, which name tables without their schema, run as ever."""
    old.execute(
        """
        create table seen (log text);
        create function note() returns trigger language plpgsql as $$
        begin insert into seen values (tg_table_name); return null; end; $$;
        create trigger note after delete on sms_logs for each row execute function note();
        """
    )
    with make_engine(old.url).connect() as other:
        other.exec_driver_sql("select from sms_logs where provider = 'other' for update")
        begin = time.monotonic()
        result = purge(old, "--keep-months", "2", "--log", "sms_logs", "--yes")
        assert time.monotonic() - begin < 30
        assert result.returncode == 1
        assert "Restent 1 lignes" in result.stderr
    assert old.value("select count(*) from seen") == 5
    assert purge(old, "--keep-months", "2", "--log", "sms_logs", "--yes").returncode == 0
    assert old.value("select count(*) from sms_logs") == 1


REFUSES = """
create function refuse() returns trigger language plpgsql as $$ begin {} end; $$;
create trigger refuse before delete on sms_logs for each row when (old.provider = 'other') execute function refuse();
"""


def test_rows_that_do_not_go_end_it_and_are_not_counted(old: Database) -> None:
    old.execute(REFUSES.format("return null;"))
    result = purge(old, "--keep-months", "2", "--yes")
    assert (result.returncode, old.rows(LINES)) == (1, [(6, 7, 6)])
    assert "Arrêt, aucune ligne supprimée." in result.stderr
    assert "sms_logs : des lignes ne se laissent pas supprimer, ce lot est annulé" in result.stderr
    assert "public.sms_logs" in result.stderr
    assert old.value("select after ->> 'deleted' from montoit.trail where after is not null") == "0"


def test_an_error_of_a_later_batch_does_not_deny_what_was_deleted(schema_only: Database) -> None:
    """Two thousand lines are a batch: the second one has the line that a trigger refuses."""
    schema_only.execute(REFUSES.format("raise exception 'archives';"))
    log(schema_only, "sms_logs", "sent", beginning(5), 2000)
    log(schema_only, "sms_logs", "sent", beginning(4), provider="other")
    result = purge(schema_only, "--keep-months", "1", "--yes")
    assert (result.returncode, schema_only.value("select count(*) from sms_logs")) == (2, 1)
    assert "archives" in result.stderr
    assert "lignes supprimées : sms_logs 2\N{NARROW NO-BREAK SPACE}000" in result.stderr
    assert "rien n'a été modifié" not in result.stderr


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_interruption_loses_nothing_and_the_next_run_goes_on(schema_only: Database, how: signal.Signals) -> None:
    """Also shows that a deployment comes in between two batches: the test takes its lock."""
    many = 20_000
    log(schema_only, "sms_logs", "sent", beginning(5), many)
    left = "select count(*) from sms_logs"
    command = [f"{BIN}/montoit-db", "purge", "--keep-months", "1", "--yes"]
    with (
        make_engine(schema_only.url).connect() as deployment,
        subprocess.Popen(
            command, env={**os.environ, **on(schema_only)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process,
    ):
        deadline = time.monotonic() + 60
        while schema_only.value(left) == many:
            assert time.monotonic() < deadline
        while not deployment.exec_driver_sql(f"select pg_try_advisory_xact_lock({LOCK_KEY})").scalar_one():
            deployment.rollback()
            time.sleep(0.005)
            assert time.monotonic() < deadline
        rest = schema_only.value(left)
        assert 0 < rest < many
        process.send_signal(how)
        deployment.rollback()
        _, err = process.communicate(timeout=30)
    assert schema_only.value(left) % 2000 == 0
    assert schema_only.value(left) > 0
    assert process.returncode == (1 if how == signal.SIGINT else -how)
    assert ("Pour continuer : relancez la commande." in err) == (how == signal.SIGINT)
    assert "Traceback" not in err
    assert schema_only.value("select (before ->> 'rows')::int from montoit.trail where before is not null") == many
    result = purge(schema_only, "--keep-months", "1", "--yes")
    assert (result.returncode, schema_only.value(left)) == (0, 0), result.stderr


def on_a_terminal(command: list[str], environment: dict[str, str], until: str, then: Callable[[], None]) -> str:
    """Run a command whose stderr is a terminal, do `then` when it has shown a text, and return what it showed."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        command, env={**os.environ, "TERM": "xterm", "COLUMNS": "100", **environment},
        cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=theirs,
    ) as process:  # fmt: skip
        os.close(theirs)
        shown = ""
        try:
            while until not in shown:
                shown += os.read(ours, 4096).decode(errors="replace")
            then()
            while True:
                shown += os.read(ours, 4096).decode(errors="replace")
        except OSError:  # the terminal's other end is closed: the command is done
            pass
        finally:
            os.close(ours)
            process.wait(timeout=30)
    assert (process.returncode, until in shown) == (0, True), shown
    return shown


def test_a_bar_on_a_terminal(schema_only: Database) -> None:
    log(schema_only, "sms_logs", "sent", beginning(5), 10_000)
    command = [f"{BIN}/montoit-db", "purge", "--keep-months", "1", "--yes"]
    assert "100%" in on_a_terminal(command, on(schema_only), "sms_logs", lambda: None)
    assert schema_only.value("select count(*) from sms_logs") == 0


def test_a_large_index_shows_how_far_it_is(database_at: Callable[[str], Database]) -> None:
    """A writer that does not end makes it wait, long enough to be seen."""
    database = database_at("0005")
    log(database, "sms_logs", "sent", number=20_000, message="m" * 500)
    with make_engine(database.url).connect() as writer:
        writer.exec_driver_sql("update sms_logs set status = 'delivered' where id = (select id from sms_logs limit 1)")
        command = [f"{BIN}/montoit-db", "alembic", "upgrade", "schema@head"]
        shown = on_a_terminal(command, on(database), "attend la fin d'écritures", writer.rollback)
    assert "idx_sms_logs_" in shown
    assert database.value("select count(*) from pg_index where indrelid = 'sms_logs'::regclass and indisvalid") == 4
