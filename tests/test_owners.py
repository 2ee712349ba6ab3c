"""What a stranger planted under our names, or under names that we read, is refused by name, and its code never runs."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import pytest
import typer.main
from typer.testing import CliRunner

from montoit_db import cli
from montoit_db.database import make_engine
from montoit_db.deploy import preflight, queries, trust
from tests.support.callers import CALLERS, ROWS_OF_TWO_USERS, USER, Caller, ask, attempt, value
from tests.support.commands import Alembic, on, run
from tests.support.database import Database, pg_dump
from tests.support.generations import make_generation_b
from tests.support.platforms import OWNER, activate, create_platform
from tests.support.scripts import fill_in, script, with_psql

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

    from montoit_db.deploy.findings import Finding
    from tests.support.servers import PostgresServer
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
    user_id uuid not null, created_at timestamptz default now() not null,
    constraint administrators_pkey primary key (user_id)
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
        "create view public.profiles as select null::uuid as id, 'admin'::text as user_type where public.spring()",
        f"vue public.profiles, de {MALLORY}", stops_every_command=False,
    ),
    "roles": Attack(
        "create table public.user_roles (user_id uuid, role text)", f"table public.user_roles, de {MALLORY}",
        stops_every_command=False,
    ),
    "view of ours": Attack(
        "create view public.intouch_costs as select public.spring() as service",
        f"vue public.intouch_costs, de {MALLORY}",
    ),
    "sequence": Attack("create sequence public.sms_logs", f"séquence public.sms_logs, de {MALLORY}"),
}  # fmt: skip


@pytest.fixture(scope="module")
def mallory(server: PostgresServer) -> Iterator[str]:
    """The role of few rights; it belongs to the whole server, and each database lets go of it."""
    database = Database(server.url)
    database.execute(f"create role {MALLORY}")
    yield MALLORY
    database.execute(f"drop role {MALLORY}")


@pytest.fixture(scope="module")
def empty(templates: Templates, mallory: str) -> Iterator[tuple[Database, Database]]:
    """An empty database, as its superuser and as its owner; each attack cleans up after itself."""
    superuser, owner = create_platform(templates, "plain")
    yield superuser, owner
    superuser.execute(f"drop owned by {mallory} cascade")
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
    return [finding for finding in preflight.look() if finding.subject != "Agence"]  # that is a matter of the settings


def problems(findings: list[Finding]) -> set[str]:
    return {finding.subject for finding in findings if finding.level == "problem"}


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
            way_out = "rename to" if attack.named.startswith("table public.") else "drop "
            assert way_out in str(found[0].remedy) or "revoke create" in str(found[0].remedy)
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
    arguments = {"rollout": ["50", "--yes"], "purge": ["--keep-months", "1", "--yes"]}
    with planted(superuser, owner, Attack(f"create schema montoit; {view}", "")):
        # `check` is a transaction that cannot write, nor the trap: a look into it would end in an error.
        assert problems(look(superuser, monkeypatch)) == {"Propriétaires"}
        for command in typer.main.get_command(cli.app).list_commands(None):  # type: ignore[attr-defined]
            if command == "alembic":
                continue
            result = CliRunner().invoke(cli.app, [command, *arguments.get(command, [])])
            assert (result.exit_code, f"schéma montoit, de {MALLORY}" in result.output) == (1, True), command
        rehearsed = CliRunner().invoke(cli.app, ["check", "--rehearse", "--rehearse-rollback"])
        assert (rehearsed.exit_code, f"schéma montoit, de {MALLORY}" in rehearsed.output) == (1, True)
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
    query = queries.read_query("strangers")  # it has to name each object of ours in public
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


def test_what_appears_while_a_script_runs_is_refused_too(empty: tuple[Database, Database]) -> None:
    superuser, owner = empty
    check = trust.script_check(trust.UPGRADE)
    text = script("upgrade", "schema@head")
    assert text.count(check) == 2, "before the first write, and before the commit"
    with planted(superuser, owner, ATTACKS["get_api_keys"]):
        result = with_psql(superuser, text.replace(check, "", 1))
        assert (result.returncode, ATTACKS["get_api_keys"].named in result.stderr) == (3, True)


def test_a_rollback_is_not_stopped_by_what_it_does_not_read(
    empty: tuple[Database, Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    superuser, owner = empty
    Alembic(owner).succeeds("upgrade", "head")
    with planted(superuser, owner, ATTACKS["overload"]):
        assert Alembic(owner)("upgrade", "head").code == 1
        Alembic(owner).succeeds("downgrade", "-1")
        assert "Propriétaires" in problems(look(owner, monkeypatch))
        owner.execute("drop table feature_flags, feature_flag_history, feature_flag_overrides, api_keys, payment_logs,"
                      "sms_logs, whatsapp_logs cascade; drop schema montoit cascade;"
                      "drop function check_feature_flag(text, uuid), check_feature_flags, get_api_keys")  # fmt: skip


# Tables of the platform's


@pytest.fixture(scope="module")
def platform(templates: Templates, mallory: str) -> Iterator[tuple[Database, Database]]:
    """The platform's tables of 2025, as a superuser and as their owner see them."""
    superuser, owner = create_platform(templates, "plain", make_generation_b)
    superuser.execute(f"grant usage on schema public to {MALLORY}")
    yield superuser, owner
    superuser.execute(f"drop owned by {mallory} cascade")
    templates.drop(superuser.name)


def test_a_trigger_of_a_stranger_stops_an_upgrade_unless_it_is_kept_by_name(
    platform: tuple[Database, Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Triggers whose function belongs to a superuser or to an extension do not stop it; all that stay are listed."""
    superuser, owner = platform
    assert problems(look(owner, monkeypatch)) == set()
    owner.execute(f"grant trigger, insert on public.sms_logs to {MALLORY}")
    superuser.execute(f"""
        grant create on schema public to {MALLORY};
        set role {MALLORY};
        {TRAP}
        create trigger spy after update on public.sms_logs for each row execute function public.spring_trigger();
        reset role;
        create function public.hook() returns trigger language plpgsql as 'begin return new; end';
        create trigger webhook after insert on public.sms_logs for each row execute function public.hook();
        create extension moddatetime schema public;
        alter function public.moddatetime() owner to {MALLORY};
        create trigger stamp before update on public.sms_logs
            for each row execute function public.moddatetime(created_at);
    """)
    named = f"déclencheur spy sur public.sms_logs, dont la fonction public.spring_trigger() est à {MALLORY}"
    findings = look(owner, monkeypatch)
    (found,) = (finding for finding in findings if finding.level == "problem")
    assert (found.subject, found.message) == ("Déclencheurs", named)
    assert any("déclencheur webhook gardé (fonction public.hook(), de" in finding.message for finding in findings)

    before = pg_dump(superuser)
    result = Alembic(owner)("upgrade", "head")
    assert (result.code, named in result.err, "-x keep-triggers=yes" in result.err) == (1, True, True)
    assert pg_dump(superuser) == before
    kept = Alembic(owner).succeeds("-x", "keep-triggers=yes", "upgrade", "head").out
    assert f"déclencheur spy gardé (fonction public.spring_trigger(), de {MALLORY})" in " ".join(kept.split())
    assert any(
        finding.level == "ok"
        and f"spy sur sms_logs (fonction public.spring_trigger(), de {MALLORY})" in finding.message
        for finding in look(owner, monkeypatch)
    )
    for command in (("rotate",), ("rollout", "50", "--yes"), ("purge", "--keep-months", "1", "--yes")):
        result_of_command = run("montoit-db", *command, environment=on(owner))
        assert (result_of_command.returncode, named in result_of_command.stderr) == (1, True), command
    Alembic(owner).succeeds("downgrade", "-1")
    Alembic(owner).succeeds("-x", "allow-data-loss=yes", "downgrade", "base")
    superuser.execute(
        f"drop extension moddatetime cascade; drop owned by {MALLORY} cascade; drop function hook cascade"
    )


def test_profiles_are_read_only_if_they_are_a_table_of_an_owner_whom_we_trust(
    platform: tuple[Database, Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    superuser, owner = platform
    lost = "perdent leurs droits d'administrateur"
    view = "create view public.profiles as select id, user_type from public.people"
    owner.execute(f"alter table public.profiles rename to people; grant select on public.people to {MALLORY}")
    superuser.execute(f"""
        grant create on schema public to {MALLORY};
        set role {MALLORY};
        {TRAP}
        {view} where public.spring();
    """)
    assert problems(look(owner, monkeypatch)) == {"Propriétaires"}
    superuser.execute(f"drop owned by {MALLORY} cascade")
    owner.execute(view)
    assert lost not in Alembic(owner).succeeds("upgrade", "schema@head").out
    Alembic(owner).succeeds("-x", "allow-data-loss=yes", "downgrade", "base")
    owner.execute("drop view public.profiles; alter table public.people rename to profiles")
    assert lost in Alembic(owner).succeeds("upgrade", "schema@head").out
    Alembic(owner).succeeds("-x", "allow-data-loss=yes", "downgrade", "base")
    superuser.execute(f"grant usage on schema public to {MALLORY}")


def test_a_grant_that_was_given_on_is_named_with_what_takes_it_back(
    platform: tuple[Database, Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    superuser, owner = platform
    owner.execute("grant select on public.sms_logs to authenticated with grant option")
    superuser.execute(f"set role authenticated; grant select on public.sms_logs to {MALLORY}")
    (found,) = (finding for finding in look(owner, monkeypatch) if finding.level == "problem")
    assert (found.subject, f"SELECT sur sms_logs, de authenticated à {MALLORY}" in found.message) == ("Droits", True)
    assert "dependent privileges exist" in Alembic(owner)("upgrade", "schema@head").err, "the problem is one"
    Alembic(owner).succeeds("-x", "allow-data-loss=yes", "downgrade", "base")
    owner.execute(str(found.remedy))
    assert problems(look(owner, monkeypatch)) == set()
    Alembic(owner).succeeds("upgrade", "schema@head")


# An activated database


@pytest.fixture(scope="module")
def activated_platform(templates: Templates, mallory: str) -> Iterator[tuple[Database, Database]]:
    """InTouch is on, with its values in the table; as a superuser and as the owner."""
    superuser, owner = create_platform(templates, "plain", activate)
    owner.execute(ROWS_OF_TWO_USERS)
    superuser.execute(f"grant create, usage on schema public to {MALLORY}")
    yield superuser, owner
    superuser.execute(f"drop owned by {mallory} cascade")
    templates.drop(superuser.name)


def test_a_rollback_looks_at_what_it_needs_alone(activated_platform: tuple[Database, Database]) -> None:
    """Nobody can keep InTouch on by owning a log; and no remedy deletes the customers' rows."""
    superuser, owner = activated_platform
    superuser.execute(f"alter table public.sms_logs owner to {MALLORY}")
    refused = run("montoit-db", "status", environment=on(owner))
    assert (refused.returncode, "alter table public.sms_logs owner to" in refused.stderr) == (1, True)
    assert "drop table" not in refused.stderr
    Alembic(owner).succeeds("downgrade", "-1")
    assert owner.value("select count(*) from feature_flags where is_enabled and key ~ 'wave|orange|mtn|moov'") == 0
    superuser.execute(f"alter table public.sms_logs owner to {OWNER}")
    Alembic(owner).succeeds("upgrade", "head")


ROLES = {
    "a view": f"""
        create view public.user_roles as select '{USER}'::uuid as user_id, 'agence' as role where public.spring()""",
    "a table with a policy": f"""
        create table public.user_roles (user_id uuid, role text);
        insert into public.user_roles values ('{USER}', 'agence');
        alter table public.user_roles enable row level security;
        create policy spring on public.user_roles using (public.spring())""",
    "a table": f"create table public.user_roles as select '{USER}'::uuid as user_id, 'agence' as role",
}
FOR_AGENCIES = """
update public.feature_flags set is_enabled = true, allowed_roles = '{agence}', rollout_percentage = 100
where key = 'debug_mode';
delete from public.feature_flag_overrides
"""
ASK = "select check_feature_flag('debug_mode')"


@pytest.mark.parametrize("roles", ROLES)
def test_a_flag_check_reads_no_roles_of_a_stranger(activated_platform: tuple[Database, Database], roles: str) -> None:
    superuser, owner = activated_platform
    owner.execute(FOR_AGENCIES)
    superuser.execute(f"""
        set role {MALLORY};
        {TRAP}
        {ROLES[roles]};
        grant select on public.user_roles to public;
    """)
    try:
        for caller in ("anon", "user", "service"):
            assert value(superuser, CALLERS[caller], ASK) is False
        assert value(superuser, CALLERS["service"], ASK.replace(")", f", '{USER}')")) is False
        assert superuser.rows("select role from public.caught") == []
    finally:
        superuser.execute(f"drop owned by {MALLORY} cascade; grant create, usage on schema public to {MALLORY}")


@pytest.mark.parametrize("roles", ROLES)
def test_a_session_that_read_roles_reads_none_of_a_stranger(
    activated_platform: tuple[Database, Database], roles: str
) -> None:
    """It still has the plan of its statement."""
    superuser, owner = activated_platform
    owner.execute(f"{FOR_AGENCIES}; {ROLES['a table']}")
    try:
        with make_engine(superuser.url).connect() as session:
            for expected in (True, False):
                assert ask(session.exec_driver_sql, CALLERS["user"], ASK).scalar_one() is expected
                session.rollback()
                if expected:
                    superuser.execute(f"drop table user_roles; set role {MALLORY}; {TRAP}; {ROLES[roles]}")
        assert superuser.rows("select role from public.caught") == []
    finally:
        superuser.execute(f"drop owned by {MALLORY} cascade; grant create, usage on schema public to {MALLORY}")


@pytest.mark.parametrize("owned_by", ["owner", "superuser"])
def test_a_flag_check_reads_roles_of_an_owner_whom_we_trust(
    activated_platform: tuple[Database, Database], owned_by: str
) -> None:
    superuser, owner = activated_platform
    owner.execute(FOR_AGENCIES)
    (owner if owned_by == "owner" else superuser).execute(f"{ROLES['a table']}; grant select on user_roles to {OWNER}")
    try:
        assert value(superuser, CALLERS["user"], ASK) is True
        superuser.execute(
            f"drop table user_roles; create view user_roles as select '{USER}'::uuid as user_id, 'agence' as role;"
            f" alter view user_roles owner to {OWNER}"
        )
        assert value(superuser, CALLERS["user"], ASK) is False, "a view is not read, whoever owns it"
    finally:
        superuser.execute("drop view user_roles")


def test_an_added_policy_opens_no_value(activated_platform: tuple[Database, Database]) -> None:
    """As one of the platform's migrations adds; a role that a policy of its own lets in sees none, either."""
    superuser, owner = activated_platform
    owner.execute(f"""
        grant select, update, delete on api_keys to {MALLORY}, authenticated;
        create policy opened on api_keys for all to public using (true);
    """)
    try:
        for caller in (CALLERS["user"], CALLERS["administrator"], Caller(MALLORY, "")):
            assert attempt(superuser, caller, "select from api_keys where key_value is not null") == 0
            assert attempt(superuser, caller, "select from api_keys") == 1, "the row without a value"
            assert attempt(superuser, caller, "update api_keys set environment = 'sandbox'") == 1
            assert attempt(superuser, caller, "delete from api_keys") == 1
        assert attempt(superuser, CALLERS["service"], "select from api_keys where key_value is not null") == 6
        superuser.execute("alter role service_role nobypassrls")  # as on a server where nobody could give it
        assert len(value(superuser, CALLERS["service"], "select get_api_keys('intouch')")) == 6
    finally:
        superuser.execute("alter role service_role bypassrls")
        owner.execute(
            f"drop policy opened on api_keys; revoke all on api_keys from {MALLORY}, authenticated;"
            "grant select on api_keys to authenticated; grant update (is_active) on api_keys to authenticated"
        )


def test_two_active_environments_are_none_for_intouch(activated_platform: tuple[Database, Database]) -> None:
    superuser, owner = activated_platform
    owner.execute("""
        insert into api_keys (service_name, key_name, key_value, environment)
        select service_name, key_name, 'sandbox-' || key_name, 'sandbox' from api_keys where service_name = 'intouch';
        insert into api_keys (service_name, key_name, key_value, environment)
        values ('other', 'token', 's', 'sandbox'), ('other', 'token', 'p', 'production');
    """)
    ask = "select get_api_keys('{}')"
    assert value(superuser, CALLERS["service"], ask.format("intouch")) is None
    assert value(superuser, CALLERS["service"], ask.format("other")) == {"token": "s"}, "as before"
    owner.execute("update api_keys set is_active = false where environment = 'sandbox'")
    assert value(superuser, CALLERS["service"], ask.format("intouch"))["username"].startswith("canary")
    owner.execute("delete from api_keys where environment = 'sandbox' or service_name = 'other'")


READERS = """
create function active_provider() returns jsonb language plpgsql security definer as
    $$begin return (select jsonb_agg(k) from api_keys as k); end$$;
create function for_the_service() returns jsonb language sql security definer as
    'select jsonb_agg(k) from api_keys as k';
revoke execute on function for_the_service from public;
create function as_the_caller() returns jsonb language sql as 'select jsonb_agg(k) from api_keys as k';
create function of_another_table() returns bigint language sql security definer as
    'select count(*) from api_keys_of_ours';
create function in_a_body() returns bigint language sql security definer
    begin atomic; select count(*) from api_keys; end;
create view as_the_callers with (security_invoker = true) as select service_name from api_keys;
create view of_the_owner as select service_name from as_the_callers;
create materialized view copied as select service_name from api_keys;
"""


def test_check_names_what_reads_the_keys_past_their_policies(
    activated_platform: tuple[Database, Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    superuser, owner = activated_platform
    owner.execute("set check_function_bodies = off;" + READERS)
    superuser.execute("create publication keys for table api_keys")
    try:
        (found,) = (finding for finding in look(owner, monkeypatch) if finding.subject == "api_keys")
        assert (found.level, found.message.partition(" : ")[2].split(", ")) == (
            "warning",
            [
                "fonction public.active_provider()", "fonction public.in_a_body()", "publication keys",
                "vue matérialisée public.copied", "vue public.of_the_owner",
            ],
        )  # fmt: skip
    finally:
        superuser.execute("drop publication keys")
        owner.execute("drop function active_provider, for_the_service, as_the_caller, of_another_table, in_a_body;"
                      "drop materialized view copied; drop view of_the_owner, as_the_callers")  # fmt: skip
    assert "api_keys" not in {finding.subject for finding in look(owner, monkeypatch)}


LIMITS = {
    "read only": (
        "alter database {name} set default_transaction_read_only = on", "Serveur", "default_transaction_read_only"
    ),
    "role with one connection": (f"alter role {OWNER} connection limit 1", "Droits", f"alter role {OWNER} connection"),
    "database with one connection": ("alter database {name} connection limit 1", "Droits", "alter database {name}"),
    # On PostgreSQL 15 also for a role that has bypassrls itself.
    "bypassrls": (
        f"alter role {OWNER} nobypassrls; alter role service_role rename to montoit_service_aside", "Rôles", "bypassrls"
    ),
}  # fmt: skip


@pytest.mark.parametrize("limit", LIMITS)
def test_what_the_server_does_not_let_us_do_is_said_before(
    activated_platform: tuple[Database, Database], server: PostgresServer, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    _, owner = activated_platform
    administrator = Database(server.url)
    statement, subject, word = LIMITS[limit]
    administrator.execute(statement.format(name=owner.name))
    try:
        found = [finding for finding in look(owner, monkeypatch) if finding.level == "problem"]
    finally:
        administrator.execute(f"""
            alter database {owner.name} reset default_transaction_read_only;
            alter database {owner.name} connection limit -1;
            alter role {OWNER} connection limit -1 bypassrls;
        """)
        if administrator.value("select count(*) from pg_roles where rolname = 'montoit_service_aside'"):
            administrator.execute("alter role montoit_service_aside rename to service_role")
    assert {finding.subject for finding in found} - {"Dérive"} == {subject}  # a grant is another's if its role is
    assert word.format(name=owner.name) in f"{found[0].message} {found[0].remedy}"
