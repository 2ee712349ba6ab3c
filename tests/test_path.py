"""What somebody planted in a schema of the path never runs, and the platform's own triggers find what they name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.checkout import ROOT
from tests.support.commands import Alembic, on, run, run_check
from tests.support.platforms import OWNER, create_platform
from tests.support.scripts import fill_in, script, with_psql
from tests.support.settings import PRODUCTION

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.database import Database
    from tests.support.templates import Templates

ALEMBIC = ("alembic", "-c", f"{ROOT}/alembic.ini")
ATTACKER = "montoit_attacker"

# One function of each operator and of each function that a statement is likely to use, for types that pg_catalog has
# not: an exact match wins over a cast. Each call is written down with the role that made it.
PLANT = """
create table public.caught (what text, role text default current_user);
grant insert on public.caught to public;
create function public.planted(what text) returns boolean language plpgsql as $$
begin
    insert into public.caught (what) values (planted.what);
    return true;
end;
$$;
do $plant$
declare
    pair record;
begin
    for pair in
        select sign, a, b
        from unnest(array['=', '<>', '<', '~', '~~', '||', '@>', '?', '->', '->>']) as sign
        cross join unnest(array['oid', 'regclass', 'name', 'varchar', 'text[]', 'integer', 'bigint', 'uuid[]']) as a
        cross join unnest(array['oid', 'regclass', 'name', 'varchar', 'text', 'text[]', 'bigint', 'uuid[]']) as b
        where not exists (
            select from pg_operator
            where oprname = sign and oprleft = a::regtype and oprright = b::regtype and oprnamespace = 11
        )
    loop
        execute format(
            'create or replace function public.planted_operator(%1$s, %2$s) returns boolean language plpgsql as'
            ' $f$begin perform public.planted(%3$L); return true; end$f$',
            pair.a, pair.b, pair.sign || ' ' || pair.a || ' ' || pair.b
        );
        execute format(
            'create operator public.%s (leftarg = %s, rightarg = %s, function = public.planted_operator)',
            pair.sign, pair.a, pair.b
        );
    end loop;
    for pair in
        select * from (values
            ('count', 'varchar'), ('format', 'text, varchar'), ('array_agg', 'text'), ('array_agg', 'varchar'),
            ('coalesce_', 'varchar'), ('string_agg', 'text, varchar'), ('to_regclass', 'varchar'),
            ('set_config', 'varchar, varchar, boolean'), ('current_setting', 'varchar'), ('cardinality', 'text[]'),
            ('unnest', 'text[]'), ('jsonb_object_agg', 'text, text'), ('now', 'integer')
        ) as functions (a, b)
    loop
        execute format(
            'create function public.%I(%s) returns text language plpgsql as'
            ' $f$begin perform public.planted(%L); return null; end$f$',
            pair.a, pair.b, pair.a
        );
    end loop;
end;
$plant$;
"""

# As the platform writes its functions: no schema before a name, no path of their own.
UNQUALIFIED = """
create table public.seen (what text);
create function public.note_change() returns trigger language plpgsql as $$
begin
    insert into seen (what) values (tg_table_name || ' ' || lower(tg_op));
    return coalesce(new, old);
end;
$$;
create trigger note_flag before insert or update on public.feature_flags for each row execute function note_change();
create trigger note_key before insert or update on public.api_keys for each row execute function note_change();
create constraint trigger note_flag_later after update on public.feature_flags
    deferrable initially deferred for each row execute function note_change();
create constraint trigger note_key_later after update on public.api_keys
    deferrable initially deferred for each row execute function note_change();
grant insert on public.seen to service_role;
"""


@pytest.fixture
def owned(templates: Templates) -> Iterator[tuple[Database, Database]]:
    """An empty database as its superuser and as its owner, who is none."""
    superuser, owner = create_platform(templates, "plain")
    yield superuser, owner
    templates.drop(superuser.name)


def plant(superuser: Database) -> None:
    """Let a role with CREATE on public, and with nothing else, plant what it can."""
    if not superuser.value(f"select count(*) from pg_roles where rolname = '{ATTACKER}'"):
        superuser.execute(f"create role {ATTACKER}")
    superuser.execute(f"grant create, usage on schema public to {ATTACKER}")
    superuser.execute(f"set role {ATTACKER}; {PLANT}")


def caught(superuser: Database) -> list[tuple[object, ...]]:
    return [row for row in superuser.rows("select distinct what, role from public.caught") if row[1] != ATTACKER]


@pytest.mark.parametrize("early", [True, False], ids=["before the first revision", "after the activation"])
def test_planted_code_does_not_run(owned: tuple[Database, Database], early: bool) -> None:  # noqa: FBT001
    superuser, owner = owned
    if early:
        plant(superuser)
    Alembic(owner).succeeds("upgrade", "head")
    if not early:
        plant(superuser)
    for command in (
        ("montoit-db", "status"), ("montoit-db", "check"), ("montoit-db", "rotate"),
        ("montoit-db", "rollout", "50", "--yes"), ("montoit-db", "test-commands"), ("montoit-db", "monitor"),
        (*ALEMBIC, "check"), (*ALEMBIC, "current"), (*ALEMBIC, "downgrade", "-1"), (*ALEMBIC, "upgrade", "head"),
        (*ALEMBIC, "upgrade", "head"), (*ALEMBIC, "downgrade", "-1"),
    ):  # fmt: skip
        result = run(*command, environment=on(owner))
        assert result.returncode == 0, (command, result.stderr)
        assert caught(superuser) == [], command
    for text in (script("upgrade", "schema@head:intouch@head"), script("downgrade", "intouch@head:intouch@-1")):
        result = with_psql(owner, fill_in(text))
        assert result.returncode == 0, result.stderr
        assert caught(superuser) == []
    superuser.execute(f"drop owned by {ATTACKER} cascade")


def test_the_planted_code_would_run(owned: tuple[Database, Database]) -> None:
    """The attack itself works: under the path of other sessions the owner calls it."""
    superuser, owner = owned
    plant(superuser)
    owner.execute("select count(*) from pg_class where oid = 'pg_class'::regclass")
    assert {role for _, role in caught(superuser)} == {OWNER}
    superuser.execute(f"drop owned by {ATTACKER} cascade")


def test_check_names_who_may_create_in_public(owned: tuple[Database, Database]) -> None:
    superuser, owner = owned
    plant(superuser)
    code, problems = run_check(owner)
    assert code == 0, "a warning changes no exit status"
    (found,) = problems["Chemin"]
    assert (found["level"], ATTACKER in found["message"]) == ("warning", True)
    superuser.execute(f"drop owned by {ATTACKER} cascade")


def test_check_refuses_a_path_with_pg_catalog_last(owned: tuple[Database, Database]) -> None:
    superuser, owner = owned
    superuser.execute(f"alter role {OWNER} in database {superuser.name} set search_path = public, pg_catalog")
    code, problems = run_check(owner)
    assert (code, problems["Chemin"][0]["level"]) == (1, "problem")


def test_triggers_find_what_they_name_without_a_schema(owned: tuple[Database, Database]) -> None:
    """Also deferred ones, and those that were made after the activation."""
    superuser, owner = owned
    Alembic(owner).succeeds("upgrade", "schema@head")
    owner.execute(UNQUALIFIED)

    def seen() -> dict[str, int]:
        rows = dict(owner.rows("select what, count(*) from seen group by what"))
        owner.execute("delete from seen")
        return rows

    Alembic(owner).succeeds("upgrade", "head")
    # An upsert fires the trigger of the insert, and then that of the update.
    assert seen() == {"feature_flags insert": 7, "feature_flags update": 14, "api_keys insert": 6}
    assert run("montoit-db", "rollout", "50", "--yes", environment=on(owner)).returncode == 0
    assert seen() == {"feature_flags update": 14}
    renewed = {**PRODUCTION, "INTOUCH_PASSWORD": "canary-renewed"}
    assert run("montoit-db", "rotate", environment=on(owner, renewed)).returncode == 0
    assert seen()["api_keys update"] >= 2
    superuser.execute("set role service_role; select get_api_keys('intouch')")
    assert owner.value("select count(*) from api_keys where last_used_at is null") == 0
    assert seen() == {"api_keys update": 12}
    Alembic(owner).succeeds("downgrade", "-1")
    assert seen() == {"feature_flags update": 14, "api_keys update": 12}
    assert with_psql(owner, fill_in(script("upgrade", "schema@head:intouch@head"))).returncode == 0
    assert seen()["feature_flags insert"] == 7
    owner.execute("select montoit.switch_off('by hand')")
    assert seen() == {"feature_flags update": 14, "api_keys update": 12}
