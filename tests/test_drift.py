"""What somebody has changed since a deployment is named; what is the owner's own is not."""

from __future__ import annotations

import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest

from montoit_db.database import embedded, make_engine
from montoit_db.deploy import drift
from montoit_db.deploy.trust import EVERY_COMMAND, strangers
from tests.support.commands import Alembic, run_check
from tests.support.database import Database, program
from tests.support.generations import make_adopted
from tests.support.platforms import OWNER, Platform, create_platform, create_roles
from tests.support.servers import FAST, PostgresServer
from tests.support.templates import Templates

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Connection

DEBIAN_15 = Path("/usr/lib/postgresql/15/bin")


def found(connection: Connection) -> list[tuple[str, bool]]:
    """Return what differs, and whether it is a problem."""
    connection.exec_driver_sql("set local search_path = ''")
    differences = drift.differences(connection)
    assert differences is not None, "nothing is recorded"
    return [(difference.message, difference.is_problem) for difference in differences]


def found_in(database: Database) -> list[tuple[str, bool]]:
    with make_engine(database.url).connect() as connection:
        return found(connection)


def found_after(database: Database, statements: str) -> list[tuple[str, bool]]:
    """Return what differs after `statements`, and undo them."""
    with make_engine(database.url).connect() as connection:
        connection.exec_driver_sql(statements, execution_options={"no_parameters": True})
        return found(connection)


def adopted(templates: Templates, platform: Platform = "supabase before October 2026") -> tuple[Database, Database]:
    """Make the platform's database of 2025, taken over by its owner; as its superuser and as its owner see it."""
    return create_platform(templates, platform, make_adopted)


@pytest.fixture(scope="module", params=["fresh", "adopted"])
def deployed(request: pytest.FixtureRequest, templates: Templates) -> Iterator[Database]:
    """An activated database that nobody has touched."""
    database = templates.clone("0008") if request.param == "fresh" else adopted(templates)[0]
    yield database
    templates.drop(database.name)


DIFFERS, GONE, ADDED = (
    "ne correspond plus à ce qui a été déployé",
    "n'existe plus",
    "ajout, qu'aucune révision n'a fait",
)
CHANGES = {
    'alter policy "users read their own" on public.sms_logs using (true)': (
        f"règle « users read their own » de public.sms_logs : {DIFFERS}", False,
    ),
    'drop policy "administrators switch" on public.api_keys': (
        f"règle « administrators switch » de public.api_keys : {GONE}", True,
    ),
    'create policy "Admins can view" on public.api_keys for select to authenticated using (true)': (
        f"règle « Admins can view » de public.api_keys : {ADDED}", True,
    ),
    "create policy open on public.sms_logs for select to public using (true)": (
        f"règle « open » de public.sms_logs : {ADDED}", False,
    ),
    "alter table public.api_keys disable row level security": (
        f"row level security de public.api_keys : {DIFFERS}", True,
    ),
    "alter table public.feature_flags force row level security": (
        f"row level security de public.feature_flags : {DIFFERS}", False,
    ),
    "grant select on public.api_keys to anon": (f"droits de anon sur public.api_keys : {ADDED}", True),
    "grant update (message) on public.sms_logs to authenticated": (
        f"droits de authenticated sur public.sms_logs : {DIFFERS}", False,
    ),
    "grant create on schema montoit to anon": (f"droits de anon sur montoit : {DIFFERS}", False),
    "grant execute on function montoit.read_credentials to authenticated": (
        f"droits de authenticated sur montoit.read_credentials(service text) : {ADDED}", True,
    ),
    "revoke execute on function public.check_feature_flags from anon": (
        f"droits de anon sur public.check_feature_flags(user_id uuid) : {GONE}", True,
    ),
    "alter table public.api_keys owner to pg_database_owner": (f"propriétaire de public.api_keys : {DIFFERS}", True),
    "alter function montoit.is_admin owner to pg_database_owner": (
        f"propriétaire de montoit.is_admin() : {DIFFERS}", True,
    ),
    "create or replace function montoit.is_admin() returns boolean language sql as 'select true'": (
        f"fonction montoit.is_admin() : {DIFFERS}", True,
    ),
    "alter function public.get_api_keys security definer": (
        f"fonction public.get_api_keys(service text) : {DIFFERS}", True,
    ),
    "alter table public.api_keys disable trigger touch_updated_at": (
        f"déclencheur touch_updated_at de public.api_keys : {DIFFERS}", True,
    ),
    "drop trigger touch_updated_at on public.payment_logs": (
        f"déclencheur touch_updated_at de public.payment_logs : {GONE}", False,
    ),
    "alter view public.intouch_costs reset (security_invoker)": (f"vue public.intouch_costs : {DIFFERS}", False),
    "create or replace view public.intouch_prices with (security_invoker = true) as"
    " select 'payment'::text as service, 2.0 as percent, 0 as fcfa": (f"vue public.intouch_prices : {DIFFERS}", False),
    "alter table public.payment_logs alter column amount type bigint": (
        f"colonne amount de public.payment_logs : {DIFFERS}", False,
    ),
    "alter table public.payment_logs alter column provider drop default": (
        f"colonne provider de public.payment_logs : {DIFFERS}", False,
    ),
    "alter table public.api_keys drop constraint api_keys_one_store_check": (
        f"contrainte api_keys_one_store_check de public.api_keys : {GONE}", False,
    ),
    "drop index public.idx_payment_logs_created_at": (
        f"index idx_payment_logs_created_at de public.payment_logs : {GONE}", False,
    ),
}  # fmt: skip


def test_each_change_is_named_with_its_level(deployed: Database) -> None:
    assert found_in(deployed) == []
    for statement, expected in CHANGES.items():
        assert found_after(deployed, statement) == [expected], statement


def test_a_constraint_that_is_validated_later_is_no_drift(activated: Database) -> None:
    """A script leaves that to the operator: a large log is read without a lock."""
    name, definition = activated.rows(
        "select conname, pg_get_constraintdef(oid) from pg_constraint"
        " where conrelid = 'sms_logs'::regclass and contype = 'c' limit 1"
    )[0]
    again = f"alter table public.sms_logs drop constraint {name}, add constraint {name} {definition} not valid"
    assert found_after(activated, again) == []


def test_every_object_of_ours_is_watched(activated: Database) -> None:
    """On a fresh database all that lies in the two schemas is ours."""
    objects = {
        name
        for (name,) in activated.rows("""
            select format('%I.%I', relnamespace::regnamespace, relname) from pg_class
            where relnamespace in ('public'::regnamespace, 'montoit'::regnamespace) and relkind in ('r', 'v', 'S')
            union all
            select format('%I.%I(%s)', pronamespace::regnamespace, proname, pg_get_function_identity_arguments(oid))
            from pg_proc where pronamespace in ('public'::regnamespace, 'montoit'::regnamespace)
        """)
    }
    owned = activated.rows(
        "select relation from montoit.released_objects where kind = 'owner' and fingerprint is not null"
    )
    assert {relation for (relation,) in owned} == objects


def test_additions_of_the_owner_are_no_drift(deployed: Database) -> None:
    additions = """
        create role montoit_reporting;
        create table public.theirs (id uuid primary key, sms uuid references public.sms_logs);
        alter table public.sms_logs add column campaign text;
        alter table public.sms_logs add constraint campaign_check check (campaign <> '');
        create index on public.sms_logs (campaign);
        alter table public.sms_logs set (fillfactor = 90);
        alter table public.sms_logs alter column status set statistics 500;
        create function public.their_trigger() returns trigger language plpgsql as 'begin return new; end';
        create trigger theirs after insert on public.sms_logs for each row execute function public.their_trigger();
        create view public.report as select count(*) from public.sms_logs;
        create policy reporting on public.sms_logs for select to montoit_reporting
            using (user_id in (select id from public.theirs));
        grant select on public.sms_logs to montoit_reporting;
        comment on table public.sms_logs is 'theirs';
    """
    assert found_after(deployed, additions) == []
    about_credentials = """
        create role montoit_reporting;
        grant select on public.api_keys to montoit_reporting;
        create policy reporting on public.api_keys for select to montoit_reporting using (true);
    """
    assert found_after(deployed, about_credentials) == [
        (f"droits de montoit_reporting sur public.api_keys : {ADDED}", False),
        (f"règle « reporting » de public.api_keys : {ADDED}", False),
    ]


def test_check_names_the_released_definition(activated: Database) -> None:
    assert run_check(activated)[0] == 0
    activated.execute("""alter policy "users read their own" on sms_logs using (true)""")
    code, findings = run_check(activated)
    assert code == 0, "a warning"
    (finding,) = findings["Dérive"]
    assert finding["level"] == "warning"
    definition = finding["remedy"].partition("\n")[2]
    assert definition.startswith('create policy "users read their own" on public.sms_logs')
    activated.execute(f'drop policy "users read their own" on sms_logs; {definition}')
    assert found_in(activated) == []
    activated.execute("alter function montoit.is_admin() security invoker")
    code, findings = run_check(activated)
    assert code == 1
    assert [finding["level"] for finding in findings["Dérive"]] == ["problem"]
    assert "CREATE OR REPLACE FUNCTION montoit.is_admin()" in findings["Dérive"][0]["remedy"]


def test_a_deployment_does_not_bless_what_drifted_before(database_at: Callable[[str], Database]) -> None:
    database = database_at("0005")
    database.execute("""
        alter policy "users read their own" on sms_logs using (true);
        alter function montoit.is_admin() security invoker;
        create policy open on sms_logs for select to anon using (true);
        drop trigger touch_updated_at on payment_logs;
    """)
    drifted = found_in(database)
    assert len(drifted) == 4
    alembic = Alembic(database)
    alembic.succeeds("upgrade", "head")
    assert found_in(database) == drifted
    alembic.succeeds("downgrade", "-1")
    alembic.succeeds("-x", "allow-data-loss=yes", "downgrade", "schema@-1")
    assert found_in(database) == drifted, "and the views that the downgrade dropped are not missed"


def test_what_a_revision_writes_again_is_recorded(database_at: Callable[[str], Database]) -> None:
    """The text that somebody put in by hand becomes the released one with the revision that brings it."""
    database = database_at("0007")
    by_hand = "create or replace function montoit.is_admin() returns boolean language sql as 'select false'"
    database.execute(by_hand)
    assert found_in(database) != []
    database.execute(f"select montoit.record_objects('note'); {by_hand}; select montoit.record_objects('upgrade');")
    assert found_in(database) == []


def test_a_script_records_as_well(database: Database) -> None:
    script = Alembic(database).succeeds("upgrade", "schema@head", "--sql").out
    database.execute(script)
    assert found_in(database) == []
    assert database.value("select count(*) from montoit.released_objects where fingerprint is null") == 0


def test_a_database_without_a_record_says_so(database_at: Callable[[str], Database]) -> None:
    database = database_at("0007")
    database.execute("delete from montoit.released_objects")
    _, findings = run_check(database)
    assert [finding["level"] for finding in findings["Dérive"]] == ["warning"]


@pytest.mark.parametrize("relation", ["view montoit.objects", "table montoit.released_objects"])
def test_a_record_of_a_stranger_stops_every_command(schema_only: Database, relation: str) -> None:
    """And so the look at it, which would run a stranger's code: see tests/test_owners.py."""
    with make_engine(schema_only.url).connect() as connection:
        connection.exec_driver_sql(f"create role montoit_stranger; alter {relation} owner to montoit_stranger")
        stopped = [stranger.what for stranger in strangers(connection, EVERY_COMMAND)]
    assert [what.split()[1] for what in stopped] == [f"{relation.split()[1]},"]


def test_without_the_relations_there_is_no_record(database_at: Callable[[str], Database]) -> None:
    with make_engine(database_at("empty").url).connect() as connection:
        assert drift.differences(connection) is None


def test_an_upgrade_of_postgresql_is_no_drift(templates: Templates) -> None:
    """Dumped on PostgreSQL 15, restored here: with the owners as they were, and all owned by another role."""
    if not DEBIAN_15.exists():
        pytest.skip("PostgreSQL 15 is not installed")
    with TemporaryDirectory(prefix="montoit-test-", ignore_cleanup_errors=True) as directory:
        Path(directory).chmod(0o755)
        with embedded.server(Path(directory) / "postgresql", FAST, DEBIAN_15) as old:
            # Without a Vault: the tests' own can be dumped as little as an extension that is not there.
            superuser, owner = adopted(Templates(PostgresServer(old.url(), "Debian")), "plain")
            assert owner.value("show server_version").startswith("15")
            options = ["--host", str(old.url().query["host"]), "--username", str(superuser.url.username)]
            dumps = [
                subprocess.run(
                    [program("pg_dump"), *options, "--dbname", superuser.name, *more],
                    capture_output=True,
                    text=True,
                    check=True,
                ).stdout
                for more in ([], ["--no-owner"])
            ]
    for dump in dumps:
        restored = templates.create("template0")
        try:
            create_roles(restored)
            restored.execute(f"alter database {restored.name} owner to {OWNER}")
            restore(restored, dump)
            assert found_in(restored) == []
        finally:
            templates.drop(restored.name)


def restore(database: Database, dump: str) -> None:
    # What other servers do not know: a parameter that Debian's PostgreSQL 15.20 gives to columns, and a setting of 17.
    unknown = ("SET (pg_attver=", "SET transaction_timeout")
    known = "\n".join(line for line in dump.splitlines() if not any(word in line for word in unknown))
    result = subprocess.run(
        [program("psql"), "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--dbname", database.address],
        input=known, text=True, check=False, capture_output=True,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
