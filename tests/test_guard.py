"""Failing payments stop a widening, and pause what fails; too few payments decide nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from ruamel.yaml import YAML

from montoit_db.database import make_engine
from montoit_db.errors import RefusedError
from montoit_db.flags.guard import Guard
from montoit_db.flags.rollout import apply, plan
from montoit_db.settings import DeploymentSettings
from tests.support.checkout import ROOT
from tests.support.commands import on, run
from tests.support.logs import log

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Sequence

    from tests.support.database import Database

METHODS = ("orange_money", "mtn_money", "moov_money", "wave")
SHARES = "select key, rollout_percentage from feature_flags where metadata ? 'activated_at'"


@pytest.fixture
def small(activated: Database) -> Database:
    """Each flag at 10 %, and 40 payments a method in 24 hours, none of which failed."""
    activated.execute("update feature_flags set rollout_percentage = 10 where metadata ? 'activated_at'")
    for method in METHODS:
        log(activated, "payment_logs", "success", number=40, payment_method=method)
    return activated


def rollout(database: Database, *arguments: str) -> subprocess.CompletedProcess[str]:
    result = run("montoit-db", "rollout", *arguments, environment=on(database))
    assert "Traceback" not in result.stderr
    return result


def widen(database: Database, *arguments: str) -> subprocess.CompletedProcess[str]:
    return rollout(database, "50", "--max-failure-rate", "5", "--min-payments", "30", "--yes", *arguments)


def shares(database: Database) -> dict[str, int]:
    return dict(database.rows(SHARES))


def test_it_widens_where_payments_succeed_and_the_trail_has_the_figures(small: Database) -> None:
    log(small, "payment_logs", "failed", number=2, payment_method="wave")
    result = widen(small, "--reason", "Semaine 2")
    assert result.returncode == 0, result.stderr
    assert set(shares(small).values()) == {50}
    why = (
        "montoit-db rollout 50 --max-failure-rate 5 --min-payments 30 (24 h : intouch_payment 2/162, orange_money 0/40,"
        " mtn_money 0/40, moov_money 0/40, wave_payment 2/42) : Semaine 2"
    )
    assert small.rows("select distinct reason from feature_flag_history where reason like '%rollout%'") == [(why,)]
    assert small.rows("select reason from montoit.trail where subject = 'rollout'") == [(why,)]


def test_a_long_reason_leaves_the_figures_and_is_told_as_it_was_stored(small: Database) -> None:
    result = widen(small, "--json", "--reason", "Semaine 2, " * 100)
    assert result.returncode == 0, result.stderr
    ((stored,),) = small.rows("select reason from montoit.trail where subject = 'rollout'")
    assert "(24 h : intouch_payment 0/160, orange_money 0/40" in stored
    assert (json.loads(result.stdout)["reason"], len(stored)) == (stored, 500)


def test_one_method_that_fails_or_is_hardly_used_stops_all(small: Database) -> None:
    """Each flag is judged by its own payments: the rate of all of them, 1.2 %, would have let it pass."""
    log(small, "payment_logs", "failed", number=3, payment_method="mtn_money")
    small.execute("delete from payment_logs where payment_method = 'moov_money'")
    log(small, "payment_logs", "success", "now() - interval '25 hours'", 40, payment_method="moov_money")
    log(small, "payment_logs", "success", "now() + interval '1 hour'", 40, payment_method="moov_money")
    result = widen(small)
    assert result.returncode == 1
    assert "MTN Money : 6,98\N{NO-BREAK SPACE}% échouent (3 sur 43), plus que 5,00" in result.stderr
    assert "Moov Money : non concluant, 0 sur les 30 paiements" in result.stderr
    assert "rien n'a été modifié" in result.stderr
    assert "Wave" not in result.stderr
    assert set(shares(small).values()) == {10}
    assert widen(small, "--flag", "wave_payment", "--flag", "sms_notifications").returncode == 0
    assert {key for key, share in shares(small).items() if share == 50} == {"wave_payment", "sms_notifications"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("50", "--max-failure-rate", "5", "--flag", "sms_notifications"), "aucun de ces flags"),
        (("5", "--max-failure-rate", "5"), "ne sert qu'à élargir"),
        (("10", "--if-failure-rate-above", "5"), "avec la part 0"),
        (("0", "--if-failure-rate-above", "5", "--max-failure-rate", "5"), "avec la part 0"),
        (("50", "--max-failure-rate", "101"), "de 0 à 100"),
        (("50", "--max-failure-rate", "5", "--min-payments", "0"), "--min-payments"),
    ],
)
def test_what_makes_no_sense(small: Database, arguments: Sequence[str], said: str) -> None:
    result = rollout(small, *arguments, "--yes")
    assert (result.returncode, said in result.stderr) == (2, True), result.stderr
    assert set(shares(small).values()) == {10}


def pause(database: Database, *arguments: str) -> subprocess.CompletedProcess[str]:
    return rollout(database, "0", "--if-failure-rate-above", "20", "--min-payments", "30", "--yes", *arguments)


def test_it_pauses_what_fails_and_nothing_else(small: Database) -> None:
    """What the scheduled job runs again and again."""
    log(small, "payment_logs", "failed", number=29, payment_method="mtn_money")
    small.execute("delete from payment_logs where payment_method = 'mtn_money' and status = 'success'")
    calm = pause(small, "--json")
    assert (calm.returncode, json.loads(calm.stdout)["applied"]) == (0, False), "29 payments decide nothing"
    log(small, "payment_logs", "failed", payment_method="mtn_money")
    result = pause(small)
    assert result.returncode == 0, result.stderr
    assert {key for key, share in shares(small).items() if share == 0} == {"mtn_money"}
    (reason,) = small.rows("select reason from montoit.trail where subject = 'rollout'")[0]
    assert reason.endswith("(24 h : mtn_money 30/30)")
    again = pause(small)
    assert (again.returncode, "Rien à mettre en pause." in again.stdout) == (0, True)
    small.execute("update feature_flags set is_enabled = false, rollout_percentage = 10 where key = 'mtn_money'")
    assert pause(small).returncode == 0, "a flag that is off serves nobody: there is nothing to pause"


def test_the_guard_judges_again_under_the_lock(small: Database) -> None:
    guard = Guard(5, 30, pauses=False)
    with make_engine(small.url).connect() as connection:
        changes = plan(connection, 50, ["wave_payment"])
        guard.decide(connection, ["wave_payment"])
        connection.rollback()
        log(small, "payment_logs", "failed", number=5, payment_method="wave")
        waits = DeploymentSettings(lock_timeout=1, lock_retries=0, deploy_timeout=10)
        with pytest.raises(RefusedError, match="Wave"):
            apply(connection, changes, "why", waits, guard)
    assert set(shares(small).values()) == {10}


def test_the_scheduled_job_pauses_what_fails(small: Database) -> None:
    """docs/deploy has it, as it runs on Kubernetes."""
    job: dict[str, Any] = YAML(typ="safe").load(ROOT / "docs" / "deploy" / "kubernetes-pause.yml")
    assert (job["kind"], job["spec"]["concurrencyPolicy"]) == ("CronJob", "Forbid")
    pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    small.execute("update payment_logs set status = 'failed' where payment_method = 'wave'")
    result = run(*container["command"], *container["args"], environment=on(small))
    assert result.returncode == 0, result.stderr
    assert {key for key, share in shares(small).items() if share == 0} == {"wave_payment", "intouch_payment"}
