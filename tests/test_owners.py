"""What a stranger planted under our names, or under names that we read, is refused by name, and its code never runs."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import pytest
import typer.main
from typer.testing import CliRunner

from montoit_db import cli
from montoit_db.deploy import preflight, trust
from tests.support.callers import CALLERS, USER, value
from tests.support.commands import Alembic, on
from tests.support.database import pg_dump
from tests.support.generations import make_generation_b
from tests.support.platforms import OWNER, create_platform
from tests.support.scripts import fill_in, script, with_psql

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

    from montoit_db.deploy.findings import Finding
    from tests.support.database import Database
    from tests.support.templates import Templates

MALLORY = "montoit_mallory"  # an application's role: it may create objects, and owns nothing of ours

# Each call is written down with the role that it had; the function is mallory's, too.
TRAP = """
create table public.caught (role text default current_user);
grant insert on public.caught to public;
create function public.spring() returns boolean language plpgsql as $$
begin
    insert into public.caught default values;
    return true;
end;
$$;
create function public.spring_trigger() returns trigger language plpgsql as $$
begin
    perform public.spring();
    return new;
end;
$$;
"""
API_KEYS = """
create table public.api_keys (
    id uuid primary key default gen_random_uuid(), service_name text not null unique, display_name text not null,
    description text, keys jsonb not null default '{}', is_active boolean default true,
    environment text default 'sandbox', last_used_at timestamptz, created_by uuid,
    created_at timestamptz default now(), updated_at timestamptz default now()
);
create trigger spring before insert on public.api_keys for each row execute function public.spring_trigger();
"""
ADMINISTRATORS = f"""
create table montoit.administrators (
    user_id uuid not null, created_at timestamptz default now() not null, constraint administrators_pkey primary key (user_id)
);
insert into montoit.administrators values ('{USER}');
"""
VERSIONS = """
create table montoit.alembic_version (version_num varchar(32) not null);
create trigger spring before insert on montoit.alembic_version for each row execute function public.spring_trigger();
"""
GET_API_KEYS = """
create function public.get_api_keys(service text) returns jsonb language sql as $$ select to_jsonb(public.spring()) $$;
"""


class Attack(NamedTuple):
    """What mallory plants; `prepared` is what the owner did before, `named` what the refusal says of it."""

    planted: str
    named: str
    prepared: str = ""
    stops_every_command: bool = True


ATTACKS = {
    "schema": Attack(f"create schema montoit; {ADMINISTRATORS}", f"schéma montoit, de {MALLORY}"),
    "administrators": Attack(
        ADMINISTRATORS, f"table montoit.administrators, de {MALLORY}",
        f"create schema montoit; grant create, usage on schema montoit to {MALLORY}",
    ),
    "version table": Attack(
        VERSIONS, f"table montoit.alembic_version, de {MALLORY}",
        f"create schema montoit; grant create, usage on schema montoit to {MALLORY}",
    ),
    "right to create in our schema": Attack(
        "", f"droit de créer des objets dans le schéma montoit, de {MALLORY}",
        f"create schema montoit; grant create on schema montoit to {MALLORY}", stops_every_command=False,
    ),
    "function in our schema": Attack(
        "create function montoit.jwt_claims() returns jsonb language sql as 'select to_jsonb(public.spring())'",
        f"fonction montoit.jwt_claims(), de {MALLORY}",
        f"create schema montoit; grant create, usage on schema montoit to {MALLORY}",
    ),
    "get_api_keys": Attack(
        GET_API_KEYS, f"fonction public.get_api_keys(text), de {MALLORY}", stops_every_command=False
    ),
    "overload": Attack(
        "create function public.check_feature_flag(text) returns boolean language sql as 'select public.spring()'",
        f"fonction public.check_feature_flag(text), de {MALLORY}", stops_every_command=False,
    ),
    "api_keys": Attack(API_KEYS, f"table public.api_keys, de {MALLORY}"),
    "profiles": Attack(
        "create view public.profiles as select gen_random_uuid() as id, 'admin'::text as user_type where public.spring()",
        f"vue public.profiles, de {MALLORY}", stops_every_command=False,
    ),
    "roles": Attack(
        "create table public.user_roles (user_id uuid, role text)", f"table public.user_roles, de {MALLORY}",
        stops_every_command=False,
    ),
    "view of ours": Attack(
        "create view public.intouch_costs as select public.spring() as service", f"vue public.intouch_costs, de {MALLORY}"
    ),
    "sequence": Attack("create sequence public.sms_logs", f"séquence public.sms_logs, de {MALLORY}"),
}  # fmt: skip


@pytest.fixture(scope="module")
def empty(templates: Templates) -> Iterator[tuple[Database, Database]]:
    """An empty database, as its superuser and as its owner; each attack cleans up after itself."""
    superuser, owner = create_platform(templates, "plain")
    superuser.execute(f"create role {MALLORY}")
    yield superuser, owner
    superuser.execute(f"drop owned by {MALLORY} cascade; drop role {MALLORY}")
    templates.drop(superuser.name)


@contextmanager
def planted(superuser: Database, owner: Database, attack: Attack) -> Iterator[None]:
    superuser.execute(f"""
        grant create on database {superuser.name} to {MALLORY};
        grant create, usage on schema public to {MALLORY};
    """)
    if attack.prepared:
        owner.execute(attack.prepared)
    superuser.execute(f"set role {MALLORY}; {TRAP} {attack.planted}")
    try:
        yield
    finally:
        superuser.execute(f"drop owned by {MALLORY} cascade; drop schema if exists montoit cascade")


def look(database: Database, patch: pytest.MonkeyPatch) -> list[Finding]:
    for name, given in on(database).items():
        patch.setenv(name, given)
    return preflight.look()


@pytest.mark.parametrize("name", ATTACKS)
def test_a_strangers_object_is_refused_before_the_first_write(
    empty: tuple[Database, Database], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """In `check` and by `upgrade`, for the database's owner and for a superuser."""
    superuser, owner = empty
    attack = ATTACKS[name]
    with planted(superuser, owner, attack):
        for database in (owner, superuser):
            found = [finding for finding in look(database, monkeypatch) if finding.message == attack.named]
            assert [finding.level for finding in found] == ["problem"]
            assert "drop" in str(found[0].remedy) or "revoke create" in str(found[0].remedy)
            before = pg_dump(superuser)
            result = Alembic(database)("upgrade", "head")
            assert (result.code, pg_dump(superuser) == before) == (1, True)
            assert f"  - {attack.named}\n    {found[0].remedy}\n" in result.err
            assert (Alembic(database)("current").code == 0) is not attack.stops_every_command
        with_script = with_psql(owner, fill_in(script("upgrade", "head")))
        assert (with_script.returncode, attack.named in with_script.stderr) == (3, True)
        assert superuser.rows("select role from public.caught") == [], "nothing of it ran"


def test_no_command_reads_what_a_stranger_owns(
    empty: tuple[Database, Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The version table is a view here: whoever looks at it would run its function."""
    superuser, owner = empty
    view = "create view montoit.alembic_version as select '0008'::text as version_num where public.spring()"
    arguments = {"rollout": ["50", "--yes"]}
    with planted(superuser, owner, Attack(f"create schema montoit; {view}", "")):
        look(superuser, monkeypatch)
        for command in typer.main.get_command(cli.app).list_commands(None):  # type: ignore[attr-defined]
            if command == "alembic":
                continue
            result = CliRunner().invoke(cli.app, [command, *arguments.get(command, [])])
            assert (result.exit_code, f"schéma montoit, de {MALLORY}" in result.output) == (1, True), command
        assert superuser.rows("select role from public.caught") == []
        superuser.execute("select from montoit.alembic_version")
        assert superuser.rows("select role from public.caught") != [], "the trap would spring"


def test_with_nothing_planted_all_is_green(empty: tuple[Database, Database], monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty schema montoit of the owner's is used, and stays."""
    superuser, owner = empty
    owner.execute("create schema montoit")
    assert {finding.level for finding in look(owner, monkeypatch)} == {"ok"}
    alembic = Alembic(owner)
    alembic.succeeds("upgrade", "head")
    for database in (owner, superuser):
        assert {finding.level for finding in look(database, monkeypatch)} == {"ok"}
    ours = owner.rows(
        "select oid::regclass::text from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'v')"
        " union all"
        " select distinct proname::text from pg_proc where pronamespace = 'public'::regnamespace"
    )
    query = trust._query("strangers")  # noqa: SLF001 -- it has to name each object of ours in public
    assert [name for (name,) in ours if f"'{name}'" not in query] == []
    alembic.succeeds("-x", "allow-data-loss=yes", "downgrade", "base")
    assert owner.value("select nspowner::regrole::text from pg_namespace where nspname = 'montoit'") == OWNER
    superuser.execute("drop schema montoit cascade")


def test_what_appears_during_the_deployment_is_refused_too(
    empty: tuple[Database, Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A superuser's `create or replace` would leave the function to its owner, who could change it later."""
    superuser, owner = empty
    refuse, calls = trust.refuse_strangers, []

    def too_early(connection: Connection, scopes: tuple[str, ...]) -> None:
        calls.append(scopes)
        if len(calls) > 1:
            refuse(connection, scopes)

    monkeypatch.setattr(trust, "refuse_strangers", too_early)
    with planted(superuser, owner, ATTACKS["get_api_keys"]):
        result = Alembic(superuser)("upgrade", "schema@head")
        assert (result.code, ATTACKS["get_api_keys"].named in result.err) == (1, True)
        assert superuser.value("select to_regclass('montoit.administrators')") is None, "the revision is undone"


def test_a_rollback_is_not_stopped_by_what_it_does_not_read(
    empty: tuple[Database, Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    superuser, owner = empty
    Alembic(owner).succeeds("upgrade", "head")
    with planted(superuser, owner, ATTACKS["overload"]):
        assert Alembic(owner)("upgrade", "head").code == 1
        Alembic(owner).succeeds("downgrade", "-1")
        assert "problem" in {finding.level for finding in look(owner, monkeypatch)}
        owner.execute("drop table feature_flags, feature_flag_history, feature_flag_overrides, api_keys, payment_logs,"
                      "sms_logs, whatsapp_logs cascade; drop schema montoit cascade;"
                      "drop function check_feature_flag(text, uuid), check_feature_flags, get_api_keys")  # fmt: skip
