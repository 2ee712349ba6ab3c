"""`monitor --prometheus`: what Prometheus's own checker says, and a collector that never reads half a file."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from montoit_db.errors import MontoitError
from montoit_db.monitoring.metrics import write_metrics
from tests.support.commands import on, run
from tests.support.logs import log
from tests.support.monitoring import plausible

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.database import Database


def values(text: str) -> dict[str, float]:
    return {name: float(value) for name, value in re.findall(r"^(montoit_\S+) (\S+)$", text, re.MULTILINE)}


def test_promtool_finds_nothing(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed: apt-get install prometheus --no-install-recommends")
    write_metrics(plausible(), tmp_path / "montoit.prom")
    text = (tmp_path / "montoit.prom").read_bytes()
    result = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, b"", b"")
    assert [path.name for path in tmp_path.iterdir()] == ["montoit.prom"]


def test_the_file_says_what_the_database_says(activated: Database, tmp_path: Path) -> None:
    log(activated, "payment_logs", "failed", number=3, payment_method="mtn_money")
    log(activated, "payment_logs", "cancelled")
    log(activated, "sms_logs", "sent", number=4)
    activated.execute("update feature_flags set rollout_percentage = 25 where key = 'mtn_money'")
    path = tmp_path / "montoit.prom"
    path.write_text("before")
    before = time.time()
    arguments = ("--prometheus", str(path), "--max-failure-rate", "1")
    result = run("montoit-db", "monitor", *arguments, environment=on(activated))
    assert result.returncode == 1, "a threshold is passed, and the file is written all the same"
    found = values(path.read_text(encoding="utf-8"))
    assert found['montoit_intouch_operational{environment="production"}'] == 1
    assert found['montoit_intouch_rollout_ratio{flag="mtn_money"}'] == 0.25
    assert found['montoit_intouch_recent_failed_payments{method="mtn_money"}'] == 3
    assert found['montoit_intouch_recent_payments{method="wave"}'] == 1
    assert found['montoit_intouch_today{outcome="cancelled",service="payment"}'] == 1
    assert found['montoit_intouch_today{outcome="under_way",service="payment"}'] == 0
    assert found['montoit_intouch_cost_xof{service="sms"}'] == 100
    assert before < found["montoit_monitor_last_success_timestamp_seconds"] < time.time()


def test_a_failure_leaves_the_former_file(tmp_path: Path) -> None:
    with pytest.raises(MontoitError, match="écriture impossible"):
        write_metrics(plausible(), tmp_path / "nowhere" / "montoit.prom")
    path = tmp_path / "montoit.prom"
    path.write_text("before")
    unreachable = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none", "INTOUCH_ENVIRONMENT": "sandbox"}
    result = run("montoit-db", "monitor", "--prometheus", str(path), environment=unreachable)
    assert result.returncode == 3
    assert path.read_text() == "before"
    assert [each.name for each in tmp_path.iterdir()] == ["montoit.prom"]
