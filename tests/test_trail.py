"""The trail: what leaves a line, who is named in it, and that nobody changes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy.exc import ProgrammingError

from tests.support.callers import ADMIN, CALLERS, OTHER, OVERRIDE, USER, Caller, claims, commit
from tests.support.commands import Alembic, on, run
from tests.support.settings import SECRETS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.support.database import Database


def lines(database: Database, subject: str) -> Sequence[tuple[object, ...]]:
    """Return user, JWT user, role, login role, reason, before and after of the lines with this subject."""
    return database.rows(
        "select user_id::text, jwt_user::text, role, login_role, reason, before, after from montoit.trail"
        f" where subject = '{subject}' order by at"
    )


def test_orders_say_who_and_why(schema_only: Database) -> None:
    database, login = schema_only, str(schema_only.url.username)
    alembic = Alembic(database)
    alembic.succeeds("-x", "reason=l'ouverture", "upgrade", "head")
    rotation = run(
        "montoit-db", "rotate", "--reason", "fuite", environment={**on(database), "INTOUCH_PASSWORD": "other"}
    )
    assert rotation.returncode == 0, rotation.stderr
    assert (
        run("montoit-db", "rollout", "10", "--yes", "--flag", "wave_payment", environment=on(database)).returncode == 0
    )
    alembic.succeeds("-x", "reason=incident", "downgrade", "-1")
    assert database.rows(
        "select subject, key, before, after, reason, jwt_user, role, login_role from montoit.trail"
        " where subject <> 'credential' order by at"
    ) == [
        ("activation", "intouch", {"services": 0}, {"services": 7, "environment": "production"},
         "alembic upgrade head (production) : l'ouverture", None, login, login),
        ("rotation", "intouch", None, {"environment": "production", "changed": ["password"]},
         "montoit-db rotate : fuite", None, login, login),
        ("rollout", None, {"wave_payment": 100}, {"wave_payment": 10}, "montoit-db rollout 10", None, login, login),
        ("rollback", "intouch", {"services": 7}, {"services": 0},
         "alembic downgrade -1 : incident", None, login, login),
    ]  # fmt: skip
    keys = database.rows("select key, after from montoit.trail where subject = 'credential' order by at")
    assert len(keys) == 6 + 1 + 6  # activated, one renewed, deactivated
    assert keys[6] == ("intouch.password", {**keys[5][1], **keys[6][1], "value": "changed"})
    assert not any(secret in str(database.rows("select t::text from montoit.trail t")) for secret in SECRETS.values())


def test_a_reason_in_another_encoding_stops_no_rollback(activated: Database) -> None:
    Alembic(activated).succeeds("-x", "reason=caf\udce9", "downgrade", "-1")  # as Python reads Latin-1
    assert activated.value("select reason from montoit.trail where subject = 'rollback'").endswith(" : caf?")


def test_a_changed_row_says_whose_and_by_whom(schema_only: Database) -> None:
    """An administrator's override, the user's deletion that ends it, and the naming of administrators."""
    database, login = schema_only, str(schema_only.url.username)
    database.execute(
        "create schema auth; create table auth.users (id uuid primary key);"
        f"insert into auth.users values ('{USER}'), ('{ADMIN}');"
        "alter table feature_flag_overrides add foreign key (user_id) references auth.users (id) on delete cascade"
    )
    flag = database.value("select id from feature_flags where key = 'debug_mode'")
    commit(database, CALLERS["administrator"], OVERRIDE.format(flag, USER, USER), "essai")
    commit(database, CALLERS["administrator"], "update feature_flag_overrides set is_enabled = true", "sans effet")
    assert database.value("select created_by::text from feature_flag_overrides") == ADMIN, "not whom the client names"
    commit(
        database, CALLERS["administrator"], "update feature_flag_overrides set is_enabled = false, created_by = null"
    )
    assert database.value("select created_by::text from feature_flag_overrides") == ADMIN
    database.execute(f"delete from auth.users where id = '{USER}'")
    assert database.rows("select count(*) from feature_flag_overrides") == [(0,)]
    assert lines(database, "override") == [
        (USER, ADMIN, "authenticated", login, "essai", None, {"is_enabled": True}),
        (USER, ADMIN, "authenticated", login, None, {"is_enabled": True}, {"is_enabled": False}),
        (USER, None, login, login, None, {"is_enabled": False}, None),
    ]
    database.execute(
        f"insert into montoit.administrators values ('{USER}'); update montoit.administrators set user_id = '{ADMIN}'"
    )
    is_one, is_none = {"is_administrator": True}, {"is_administrator": False}
    assert [(line[0], *line[5:]) for line in lines(database, "administrator")] == [
        (USER, is_none, is_one), (USER, is_one, is_none), (ADMIN, is_none, is_one),
    ]  # fmt: skip


def test_the_authors_of_a_flag_are_stamped_by_the_server(schema_only: Database) -> None:
    database = schema_only
    authors = "select created_by::text, updated_by::text from feature_flags where key = 'new'"
    commit(
        database, CALLERS["administrator"],
        "insert into feature_flags (key, name, category, created_by, updated_by)"
        f" values ('new', 'x', 'y', '{USER}', '{USER}')",
    )  # fmt: skip
    assert database.rows(authors) == [(ADMIN, ADMIN)]
    other = Caller("authenticated", claims("authenticated", OTHER, app_metadata={"role": "admin"}))
    commit(
        database,
        other,
        f"update feature_flags set name = 'z', created_by = '{USER}', updated_by = null where key = 'new'",
    )
    assert database.rows(authors) == [(ADMIN, OTHER)]
    before = database.rows("select f::text from feature_flags f where key = 'new'")
    commit(database, CALLERS["administrator"], "update feature_flags set name = 'z' where key = 'new'")
    assert database.rows("select f::text from feature_flags f where key = 'new'") == before, "nothing changed"
    commit(
        database, CALLERS["service"], f"update feature_flags set updated_by = '{USER}', name = 'a' where key = 'new'"
    )
    assert database.rows(authors) == [(ADMIN, OTHER)]
    commit(
        database, CALLERS["service"], "update feature_flags set created_by = null, updated_by = null where key = 'new'"
    )
    assert database.rows(authors) == [(None, None)], "a user may be erased"


@pytest.mark.parametrize(
    "statement",
    [
        "update montoit.trail set reason = 'x'",
        "delete from montoit.trail",
        "truncate montoit.trail",
        "set session_replication_role = replica; delete from montoit.trail",
    ],
)
def test_nobody_changes_the_trail(activated: Database, statement: str) -> None:
    """Not even the owner, who is a superuser here; a line that it writes is stamped as any other."""
    with pytest.raises(ProgrammingError, match="only added to"):
        activated.execute(statement)


def test_a_line_cannot_lie_about_its_author(schema_only: Database) -> None:
    schema_only.execute(
        "insert into montoit.trail (at, subject, jwt_user, role, login_role, reason)"
        f" values ('1999-01-01', 'activation', '{USER}', 'somebody', 'somebody', 'a lie')"
    )
    login = str(schema_only.url.username)
    assert schema_only.rows(
        "select at > now() - interval '1 hour', jwt_user, role, login_role, reason from montoit.trail"
    ) == [(True, None, login, login, None)]


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("  a\tb\n\nc\x1b[31m ", "a b c [31m"),
        (
            "a\N{RIGHT-TO-LEFT OVERRIDE}b\N{ZERO WIDTH SPACE}\N{NO-BREAK SPACE}\N{TAG LATIN SMALL LETTER A}c\x9b",
            "a b c",
        ),
        ("é🔑 l'été", "é🔑 l'été"),
        ("x" * 3_000_000, "x" * 500),
        ("\x01\x02", None),
    ],
    ids=["controls", "invisible", "plain", "long", "nothing"],
)
def test_a_reason_is_cleaned_and_capped(schema_only: Database, given: str, kept: str | None) -> None:
    database = schema_only
    commit(
        database, CALLERS["administrator"], "update feature_flags set is_enabled = true where key = 'debug_mode'", given
    )
    assert database.rows("select reason from feature_flag_history") == [(kept,)]


def test_a_row_of_the_platform_leaves_names_and_no_value(schema_only: Database) -> None:
    """An adopted api_keys has a document of values in `keys`; a mere use of the credentials is no change."""
    schema_only.execute(
        "alter table api_keys add column keys jsonb, alter key_name drop not null;"
        """insert into api_keys (service_name, keys) values ('brevo', '{"token": "canary-1", "sender": "canary-2"}');"""
        """update api_keys set keys = '{"token": "canary-3", "sender": "canary-2"}';"""
        "update api_keys set last_used_at = now(); delete from api_keys"
    )
    row = {"environment": "sandbox", "is_active": True, "names": ["token", "sender"]}
    found = schema_only.rows("select key, before, after from montoit.trail order by at")
    assert [(key, before and sorted(before["names"]), after) for key, before, after in found] == [
        ("brevo", None, {**row, "names": found[0][2]["names"]}),
        ("brevo", ["sender", "token"], {**row, "names": found[0][2]["names"], "value": "changed"}),
        ("brevo", ["sender", "token"], None),
    ]
    assert sorted(found[0][2]["names"]) == ["sender", "token"]
    assert "canary" not in str(schema_only.rows("select t::text from montoit.trail t"))
