"""`montoit-db history`: every change in one list, a line each."""

from __future__ import annotations

import json
import os
import re
import termios
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from montoit_db.flags.history import Change, described
from tests.support.callers import ADMIN, CALLERS, OVERRIDE, USER, commit
from tests.support.commands import on, run

if TYPE_CHECKING:
    from tests.support.database import Database


def test_trail_and_flag_history_in_one_list(activated: Database) -> None:
    """What an administrator, the service and this package did, the newest first, in 80 columns; and as JSON."""
    database, login = activated, str(activated.url.username)
    admin = CALLERS["administrator"]
    wave = database.value("select id from feature_flags where key = 'wave_payment'")
    commit(
        database, admin, "update feature_flags set is_enabled = false where key = 'wave_payment'", "panne \x1b[31mWave"
    )
    commit(database, admin, OVERRIDE.format(wave, USER, USER), "un essai " + "très " * 30 + "long")
    commit(database, CALLERS["service"], "update api_keys set is_active = false where key_name = 'password'")
    rollout = run(
        "montoit-db", "rollout", "10", "--yes", "--flag", "orange_money", "--reason", "Semaine 1 : dix pour cent",
        environment=on(database),
    )  # fmt: skip
    assert rollout.returncode == 0, rollout.stderr

    shown = run("montoit-db", "history", environment=on(database))
    assert shown.returncode == 0, shown.stderr
    lines = shown.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert all(re.match(r"\d\d/\d\d/\d\d \d\d:\d\d  \S", line) for line in lines)
    what = [line[16:] for line in lines]
    assert what[:5] == [
        f"{login:<12}  parts orange_money 100 → 10 : Semaine 1 : dix pou…",
        f"{login:<12}  orange_money part 100 → 10 : Semaine 1 : dix pour…",
        "service_role  credential intouch.password actif oui → non",
        "33333333      exception wave_payment 111111… : un essai très tr…",
        "33333333      wave_payment actif oui → non : panne [31mWave",
    ]
    assert f"{login:<12}  activation services 0 → 7, production : alembic u…" in what
    assert len(lines) == 5 + 1 + 7 + 6
    wide = on_a_terminal(database, 120)
    assert wide[0][16:] == (
        f"{login:<12}  parts orange_money 100 → 10 : Semaine 1 : dix pour cent (montoit-db rollout 10)"
    )
    assert "11111111 actif \N{EN DASH} → oui : un essai" in wide[3]
    assert max(map(len, wide)) == 120

    answer = run("montoit-db", "history", "--flag", "wave_payment", "--days", "1", "--json", environment=on(database))
    changes = json.loads(answer.stdout)
    assert [(change["subject"], change["jwt_user"], change["user_id"]) for change in changes] == [
        ("override", ADMIN, USER), ("flag", ADMIN, None), ("flag", None, None),
    ]  # fmt: skip
    assert (changes[1]["before"], changes[1]["after"]) == ({"is_enabled": True}, {"is_enabled": False})
    assert changes[1]["reason"] == "panne [31mWave"
    assert {change["at"][-6:] for change in changes} == {"+00:00"}

    nothing = run("montoit-db", "history", "--flag", "no_such_flag", "--days", "1", environment=on(database))
    assert (nothing.returncode, nothing.stdout) == (0, "Aucun changement en 1 jour.\n")


def on_a_terminal(database: Database, columns: int) -> list[str]:
    """Return the lines of `montoit-db history` on a terminal so wide."""
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (24, columns))
    run("montoit-db", "history", environment=on(database), stdout=theirs)
    os.close(theirs)
    shown = os.read(ours, 100_000).decode()
    os.close(ours)
    return shown.splitlines()


def test_a_guards_figures_are_no_words_of_a_person() -> None:
    command = "montoit-db rollout 50 --max-failure-rate 5 --min-payments 30"
    at = datetime(2026, 11, 25, tzinfo=UTC)
    for reason, told in (
        (f"{command} (24 h : wave_payment 1/40)", f"{command} (24 h : wave_payment 1/40)"),
        (f"{command} : Semaine 2 (24 h : wave_payment 1/40)", f"Semaine 2 (24 h : wave_payment 1/40) ({command})"),
        ("alembic upgrade 0008 (production) : feu vert", "feu vert (alembic upgrade 0008 (production))"),
    ):
        before, after = {"wave_payment": 10}, {"wave_payment": 50}
        change = Change(at, "rollout", None, None, None, "postgres", "postgres", reason, before, after)
        assert described([change], 1, 200).endswith(f"parts wave_payment 10 → 50 : {told}")


def test_a_database_without_a_trail_is_told_so(database: Database) -> None:
    result = run("montoit-db", "history", environment=on(database))
    assert (result.returncode, result.stdout) == (1, "")
    assert "alembic upgrade schema@head" in result.stderr
