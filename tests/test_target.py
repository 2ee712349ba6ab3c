"""Every command says first which database it talks to."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from montoit_db.database import engine_url
from montoit_db.database.target import described
from tests.support.checkout import ROOT
from tests.support.commands import on, run, target
from tests.support.settings import PRODUCTION, SANDBOX

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.database import Database

ALEMBIC = ("alembic", "-c", f"{ROOT}/alembic.ini")


@pytest.mark.parametrize(
    "command",
    [
        ("montoit-db", "status", "--json"),
        ("montoit-db", "check"),
        ("montoit-db", "check", "--json"),
        ("montoit-db", "rotate", "--json"),
        ("montoit-db", "rollout", "10"),
        ("montoit-db", "rollout", "10", "--json"),
        ("montoit-db", "monitor", "--json"),
        ("montoit-db", "test-commands"),
        ("montoit-db", "alembic", "current"),
        (*ALEMBIC, "current"),
        (*ALEMBIC, "check"),
        (*ALEMBIC, "upgrade", "schema@head"),
        (*ALEMBIC, "stamp", "0008"),
        (*ALEMBIC, "history", "--indicate-current"),
    ],
    ids=" ".join,
)
def test_the_target_is_named_first_and_once(database_at: Callable[[str], Database], command: tuple[str, ...]) -> None:
    database = database_at("0008")
    result = run(*command, environment=on(database))
    line = target(database)
    assert result.stderr.startswith(line), result.stderr
    assert (result.stdout + result.stderr).count(line.strip()) == 1
    if "--json" in command:
        json.loads(result.stdout)


@pytest.mark.parametrize("command", [("montoit-db", "status"), (*ALEMBIC, "current")])
def test_a_sandbox_is_named_as_loud(database_at: Callable[[str], Database], command: tuple[str, ...]) -> None:
    database = database_at("0008")
    result = run(*command, environment=on(database, SANDBOX))
    assert result.stderr.startswith(target(database, "sandbox")), result.stderr
    assert "PRODUCTION" not in result.stderr


@pytest.mark.parametrize("command", [("montoit-db", "status"), (*ALEMBIC, "upgrade", "head")])
def test_it_is_named_before_the_connection_fails(command: tuple[str, ...]) -> None:
    result = run(*command, environment={**PRODUCTION, "DATABASE_URL": "postgres://u:canary@127.0.0.1:1/d"})
    assert result.stderr.startswith("PRODUCTION : base d, rôle u, sur 127.0.0.1:1\n")
    assert result.stderr.count("PRODUCTION") == 1
    assert "canary" not in result.stderr


@pytest.mark.parametrize("command", [("history",), ("heads",), ("upgrade", "head", "--sql")])
def test_what_does_not_connect_names_nothing(command: tuple[str, ...]) -> None:
    result = run(*ALEMBIC, *command, environment={**PRODUCTION, "DATABASE_URL": "postgres://u:canary@127.0.0.1:1/d"})
    assert (result.returncode, "PRODUCTION" in result.stderr, "127.0.0.1" in result.stderr) == (0, False, False)


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("postgres://u:canary@db.example/d", "base d, rôle u, sur db.example:5432"),
        ("postgres://u:canary@db.example:6543/d?pgbouncer=true", "base d, rôle u, sur db.example:6543"),
        ("postgres://u@[2001:db8::1]:5433/d", "base d, rôle u, sur [2001:db8::1]:5433"),
        ("postgres://u@/d?host=/run/x&port=5434", "base d, rôle u, sur le socket /run/x, port 5434"),
        ("postgres://u@/d", "base d, rôle u, sur le socket par défaut, port 5432"),
        ("postgres://u@/", "base u, rôle u, sur le socket par défaut, port 5432"),
        ("postgres://u@db.example/d?hostaddr=127.0.0.1", "base d, rôle u, sur db.example:5432 (127.0.0.1)"),
        ("postgres://u@/d?hostaddr=10.0.0.1", "base d, rôle u, sur 10.0.0.1:5432"),
        ("postgres://u@/d?host=a:1&host=b:2", "base d, rôle u, sur a:1, b:2"),
        ("postgres://u@a,b/d", "base d, rôle u, sur a:5432, b:5432"),
        ("postgres://db.example/?user=v&dbname=e&password=canary", "base e, rôle v, sur db.example:5432"),
        ("postgres://u%1b[2J@h/d%0d%e2%80%aex", "base d x, rôle u [2J, sur h:5432"),
        ("postgres://u:canary@h/d?service=montoit_has_no_such_service", "base d, rôle u, sur h"),
        ("postgres://?service=montoit_has_no_such_service", "base ?, rôle ?, sur ?"),
    ],
)
def test_how_it_reads(monkeypatch: pytest.MonkeyPatch, address: str, told: str) -> None:
    for name in ("PGHOST", "PGHOSTADDR", "PGPORT", "PGDATABASE", "PGUSER", "PGSERVICE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PGPASSWORD", "canary")
    assert described("production", engine_url(address)) == f"PRODUCTION : {told}"


def test_what_libpq_adds_is_named_too(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"PGHOST": "h", "PGPORT": "5435", "PGDATABASE": "d", "PGUSER": "v"}.items():
        monkeypatch.setenv(name, value)
    assert described("sandbox", engine_url("postgres://")) == "SANDBOX : base d, rôle v, sur h:5435"
