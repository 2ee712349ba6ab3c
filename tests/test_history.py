"""`montoit-db history`: every change in one list, a line each."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

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
    rollout = run("montoit-db", "rollout", "10", "--yes", "--flag", "orange_money", environment=on(database))
    assert rollout.returncode == 0, rollout.stderr

    shown = run("montoit-db", "history", environment=on(database))
    assert shown.returncode == 0, shown.stderr
    lines = shown.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert all(re.match(r"\d\d/\d\d/\d\d \d\d:\d\d  \S", line) for line in lines)
    what = [line[16:] for line in lines]
    assert what[:5] == [
        f"{login:<12}  parts orange_money 100 → 10 : montoit-db rollout …",
        f"{login:<12}  orange_money part 100 → 10 : montoit-db rollout 10",
        "service_role  credential intouch.password actif oui → non",
        "33333333      exception wave_payment 11111111 actif \N{EN DASH} → oui : u…",
        "33333333      wave_payment actif oui → non : panne [31mWave",
    ]
    assert f"{login:<12}  activation services 0 → 7, production : alembic u…" in what
    assert len(lines) == 5 + 1 + 7 + 6

    answer = run("montoit-db", "history", "--flag", "wave_payment", "--days", "1", "--json", environment=on(database))
    changes = json.loads(answer.stdout)
    assert [(change["subject"], change["jwt_user"], change["user_id"]) for change in changes] == [
        ("override", ADMIN, USER), ("flag", ADMIN, None), ("flag", None, None),
    ]  # fmt: skip
    assert (changes[1]["before"], changes[1]["after"]) == ({"is_enabled": True}, {"is_enabled": False})
    assert changes[1]["reason"] == "panne [31mWave"

    nothing = run("montoit-db", "history", "--flag", "no_such_flag", "--days", "1", environment=on(database))
    assert (nothing.returncode, nothing.stdout) == (0, "Aucun changement en 1 jour.\n")


def test_a_database_without_a_trail_is_told_so(database: Database) -> None:
    result = run("montoit-db", "history", environment=on(database))
    assert (result.returncode, result.stdout) == (1, "")
    assert "alembic upgrade schema@head" in result.stderr
