"""What a server says reaches a terminal in its own lines, and as nothing but text."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

import pytest
from sqlalchemy.exc import DBAPIError

from montoit_db.database import make_engine, message
from montoit_db.display import harmless
from tests.support.checkout import ROOT
from tests.support.commands import on, run
from tests.support.settings import PRODUCTION

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.database import Database

# Clears the screen, hides the line, turns it round, and writes the title: in seven bits, in eight, and with marks.
EVIL = "\x1b[2J\x1b]0;owned\x07 \x9b31m one\r\n two \u202e eert \u2066\u200f\x08\x7f end"


def is_text(shown: str) -> bool:
    return not [sign for sign in shown if sign != "\n" and unicodedata.category(sign) in {"Cc", "Cf", "Zl", "Zp"}]


def test_lines_stay_and_the_rest_goes() -> None:
    assert harmless("a\n  b\x1b[31m\tc\r\n") == "a\n  b [31m c \n"
    assert is_text(harmless(EVIL))


def test_an_error_and_its_hint(database: Database) -> None:
    raising = f"do $$ begin raise exception using message = '{EVIL}', hint = 'hint {EVIL}', detail = 'detail'; end $$"
    with make_engine(database.url).connect() as connection, pytest.raises(DBAPIError) as refusal:
        connection.exec_driver_sql(raising, execution_options={"no_parameters": True})
    told = message(refusal.value)
    assert is_text(told)
    assert told.count("\n") == 3, "its own line breaks, and the hint's"
    assert "hint" in told
    assert "detail" not in told


@pytest.mark.parametrize(
    "command",
    [
        ("montoit-db", "rollout", "10", "--yes"),
        ("alembic", "-c", f"{ROOT}/alembic.ini", "downgrade", "-1"),
        ("alembic", "-c", f"{ROOT}/alembic.ini", "downgrade", "-1", "--sql"),
    ],
    ids=" ".join,
)
def test_what_a_trigger_raises(database_at: Callable[[str], Database], command: tuple[str, ...]) -> None:
    database = database_at("0008")
    database.execute(
        f"create function public.evil() returns trigger language plpgsql as $$ begin"
        f" raise notice '{EVIL}'; raise exception using message = '{EVIL}', hint = '{EVIL}'; end $$;"
        "create trigger evil before update on public.feature_flags execute function public.evil()"
    )
    result = run(*command, environment=on(database))
    if "--sql" not in command:
        assert result.returncode != 0
        assert "eert" in result.stderr
    assert is_text(result.stdout + result.stderr)


def test_names_of_roles_and_of_applications(database: Database) -> None:
    role = f'"montoit{EVIL}"'
    database.execute(f"create role {role} login password 'evil'")
    try:
        stranger = type(database)(database.url.set(username=f"montoit{EVIL}", password="evil"))
        for command in (("montoit-db", "check"), ("montoit-db", "status")):
            result = run(*command, environment={**PRODUCTION, "DATABASE_URL": stranger.address})
            assert "owned" in result.stdout + result.stderr
            assert is_text(result.stdout + result.stderr)
    finally:
        database.execute(f"drop role {role}")


def test_what_a_session_calls_itself(database_at: Callable[[str], Database]) -> None:
    database = database_at("0007")
    with make_engine(database.url).connect() as holder:
        holder.exec_driver_sql("set application_name = 'a\x1b[2Jb'")  # the server itself makes the escape `?` or \\x1b
        holder.exec_driver_sql("lock table public.feature_flags")
        result = run(
            "alembic", "-c", f"{ROOT}/alembic.ini", "upgrade", "head",
            environment={**on(database), "MONTOIT_LOCK_TIMEOUT": "0.1", "MONTOIT_LOCK_RETRIES": "0"},
        )  # fmt: skip
    assert result.returncode == 1
    assert is_text(result.stdout + result.stderr)


@pytest.mark.parametrize("command", ["current", "downgrade", "upgrade"])
def test_a_revision_of_the_databases(database_at: Callable[[str], Database], command: str) -> None:
    database = database_at("0008")
    database.execute(
        "alter table montoit.alembic_version alter column version_num type text;"
        f"update montoit.alembic_version set version_num = '{EVIL}'"
    )
    words = {"current": (), "downgrade": ("-1",), "upgrade": ("head",)}[command]
    result = run("alembic", "-c", f"{ROOT}/alembic.ini", command, *words, environment=on(database))
    assert result.returncode != 0
    assert "eert" in result.stdout + result.stderr
    assert is_text(result.stdout + result.stderr)
