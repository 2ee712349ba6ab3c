"""Linters: Supabase's advisors, plpgsql_check, squawk on the script, and rules of ours that they do not know."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from montoit_db.intouch.catalogue import TABLES
from tests.support.checkout import BIN
from tests.support.commands import Alembic
from tests.support.generations import USERS, make_adopted
from tests.support.platforms import activate, create_platform
from tests.support.tcp import over_tcp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.database import Database
    from tests.support.templates import Templates

OURS = "('public'::regnamespace, 'montoit'::regnamespace)"

RULES = {
    "security definer function executable by an API role in an exposed schema": """
        select p.oid::regprocedure from pg_proc p, unnest(array['anon', 'authenticated', 'service_role']) as role
        where pronamespace = 'public'::regnamespace and prosecdef and has_function_privilege(role, p.oid, 'execute')
    """,
    "function with a mutable search_path": f"""
        select oid::regprocedure from pg_proc
        where pronamespace in {OURS} and not coalesce(proconfig, '{{}}') @> array['search_path=""']
    """,
    "view that runs as its owner": f"""
        select oid::regclass from pg_class
        where relnamespace in {OURS} and relkind = 'v'
          and not coalesce(reloptions, '{{}}') @> array['security_invoker=true']
    """,
    "table without row level security": f"""
        select oid::regclass from pg_class where relnamespace in {OURS} and relkind = 'r' and not relrowsecurity
    """,
    "row level security that binds the owner": f"""
        select oid::regclass from pg_class where relnamespace in {OURS} and relforcerowsecurity
    """,
    "policy whose function runs once a row": r"""
        select tablename, policyname from pg_policies, concat_ws(' ', qual, with_check) as expression
        where regexp_replace(expression, '\( SELECT montoit\.\w+\(\) AS \w+\)', '', 'g')
            ~ 'montoit\.|current_setting|auth\.'
    """,
    "policy for everybody": """
        select tablename, policyname from pg_policies
        where roles && array['public']::name[] and permissive = 'PERMISSIVE'
    """,
    "multiple permissive policies for one role and action": """
        select tablename, role, action from pg_policies, unnest(roles) as role,
            unnest(case cmd when 'ALL' then array['SELECT', 'INSERT', 'UPDATE', 'DELETE'] else array[cmd] end) as action
        where permissive = 'PERMISSIVE' group by 1, 2, 3 having count(*) > 1
    """,
}

# One offence for each rule: a query that finds nothing may as well look for nothing.
OFFENCES = {
    "security definer function executable by an API role in an exposed schema": """
        create function public.f() returns int language sql security definer set search_path = '' as 'select 1';
        grant execute on function public.f to anon""",
    "function with a mutable search_path": """
        create function public.f() returns int language sql set search_path = public as 'select 1'""",
    "view that runs as its owner": "create view public.v as select * from public.sms_logs",
    "table without row level security": "create table public.t (id int primary key)",
    "row level security that binds the owner": "alter table public.sms_logs force row level security",
    "policy whose function runs once a row": """
        create policy p on public.sms_logs for select to anon using (user_id = montoit.current_user_id())""",
    "policy for everybody": "create policy p on public.sms_logs for select using (true)",
    "multiple permissive policies for one role and action": """
        create policy p on public.sms_logs for select to service_role using (true)""",
}


def activate_beside_users(owner: Database) -> None:
    owner.execute(USERS)  # whose tables some functions read
    activate(owner)


@pytest.fixture(scope="module", params=["fresh", "adopted"])
def migrated(request: pytest.FixtureRequest, templates: Templates) -> Iterator[Database]:
    make = make_adopted if request.param == "adopted" else activate_beside_users
    superuser, _ = create_platform(templates, "supabase before October 2026", make)
    yield superuser
    templates.drop(superuser.name)


FUNCTIONS = {"check_feature_flag", "check_feature_flags", "get_api_keys"}


def ours(database: Database) -> set[str]:
    """Return the names of what we made, without the platform's own tables and functions."""
    in_montoit = database.rows("""
        select relname::text from pg_class where relnamespace = 'montoit'::regnamespace
        union all select proname::text from pg_proc where pronamespace = 'montoit'::regnamespace
    """)
    return {name for (name,) in in_montoit} | TABLES | FUNCTIONS


@pytest.mark.parametrize("rule", RULES)
def test_nothing_of_ours_breaks_a_rule(migrated: Database, rule: str) -> None:
    found = {str(row[0]).partition("(")[0].rpartition(".")[2] for row in migrated.rows(RULES[rule])}
    assert found & ours(migrated) == set()


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_notices_an_offence(database_at: Callable[[str], Database], rule: str) -> None:
    database = database_at("0007")
    assert database.rows(RULES[rule]) == []
    database.execute(OFFENCES[rule])
    assert database.rows(RULES[rule]) != []


# The tables that are for nobody but the migration role.
CLOSED = {"administrators", "adopted_tables", "adoption_steps", "alembic_version", "released_objects", "trail"}


def advice(database: Database, directory: Path) -> set[tuple[str, str, str]]:
    """Return what Supabase's advisors say: level, rule, object. An index of a test's database is never used."""
    program = shutil.which("supabase")
    if program is None:
        pytest.skip("Supabase's command is not installed: npm install supabase")
    with over_tcp(database.url) as url:
        address = url.set(drivername="postgresql").render_as_string(hide_password=False)
        result = subprocess.run(
            [program, "db", "advisors", f"--remote={address}", "--level", "info", "--output-format", "json"],
            cwd=directory, env={**os.environ, "HOME": str(directory)}, capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    return {
        (found["level"], found["name"], found["metadata"]["name"])
        for found in json.loads(result.stdout[result.stdout.index("{") :])["results"]
        if found["name"] != "unused_index"
    }


def test_supabase_advises_nothing(migrated: Database, tmp_path: Path) -> None:
    found = {advised for advised in advice(migrated, tmp_path) if advised[2] in ours(migrated)}
    assert {advised for advised in found if advised[0] != "INFO"} == set()
    # The platform's own foreign keys have no index: it knows whether it needs one.
    assert {advised for advised in found if advised[1] != "unindexed_foreign_keys"} == {
        ("INFO", "rls_enabled_no_policy", table) for table in CLOSED
    }


def test_supabase_notices_each_offence(database_at: Callable[[str], Database], tmp_path: Path) -> None:
    """These have no rule of ours. In the schema montoit, which the API does not serve, it overlooks others."""
    database = database_at("0007")
    database.execute("""
        create function montoit.no_path() returns int language sql as 'select 1';
        create table montoit.no_policy (id int primary key);
        alter table montoit.no_policy enable row level security;
        create table montoit.twice (id int primary key, a int);
        create index on montoit.twice (a);
        create index on montoit.twice (a);
        create table montoit.pointing (id int primary key, log uuid references public.sms_logs);
        create table montoit.no_key (id int);
    """)
    assert {advised for advised in advice(database, tmp_path) if advised[2] not in CLOSED} == {
        ("WARN", "function_search_path_mutable", "no_path"),
        ("INFO", "rls_enabled_no_policy", "no_policy"),
        ("WARN", "duplicate_index", "twice"),
        ("INFO", "unindexed_foreign_keys", "pointing"),
        ("INFO", "no_primary_key", "no_key"),
    }


# Every function in plpgsql of ours; a trigger's with a table that it is for.
CHECKED = f"""
select p.oid::regprocedure::text, found.message
from pg_proc as p
join pg_language on pg_language.oid = prolang and lanname = 'plpgsql'
left join lateral (select tgrelid from pg_trigger where tgfoid = p.oid and not tgisinternal limit 1) as used on true
cross join lateral plpgsql_check_function_tb(p.oid, coalesce(tgrelid, 0), fatal_errors => false) as found
where (prorettype <> 'trigger'::regtype or tgrelid is not null) and found.level = 'error'
  and (pronamespace = 'montoit'::regnamespace or proname = any ('{{{",".join(FUNCTIONS)}}}'))
"""


def test_plpgsql_check_finds_no_error(migrated: Database, templates: Templates) -> None:
    if not migrated.value("select count(*) from pg_available_extensions where name = 'plpgsql_check'"):
        pytest.skip("plpgsql_check is not on this server: apt-get install postgresql-15-plpgsql-check")
    database = templates.create(migrated.name)
    try:
        database.execute("create schema extensions; create extension plpgsql_check schema extensions")
        checked = CHECKED.replace("plpgsql_check_function_tb", "extensions.plpgsql_check_function_tb")
        assert database.rows(checked) == []
        database.execute("""
            create function montoit.wrong() returns uuid language plpgsql as $$
            begin
                return (select no_such_column from public.sms_logs);
            end;
            $$
        """)
        assert [function for function, _ in database.rows(checked)] == ["montoit.wrong()"]
    finally:
        templates.drop(database.name)


# squawk's rules that do not apply to our script, with the reason.
NOT_FOR_US = {
    "ban-drop-table": "the script drops an empty version table that an interrupted stamp may have left",
    "prefer-bigint-over-int": "amounts up to 1,000,000 FCFA, status codes, percentages",
    "prefer-text-field": "the version table is Alembic's own",
    "require-statement-timeout": "the editor or psql that runs the script has its own; a script waits 5 s for a lock",
}


def lint_script(script: str) -> set[str]:
    result = subprocess.run(
        [f"{BIN}/squawk", "--pg-version=15", "--reporter=Json", f"--exclude={','.join(NOT_FOR_US)}"],
        input=script, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return {found["rule_name"] for found in json.loads(result.stdout)}


def test_squawk_finds_nothing_in_the_script(database: Database) -> None:
    script = Alembic(database).succeeds("upgrade", "head", "--sql").out
    assert lint_script(script) == set()
    assert lint_script(script + "alter table public.sms_logs add column x int not null;") != set()
