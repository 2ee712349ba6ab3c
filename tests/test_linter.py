"""The rules of Supabase's database linter, for every object of ours; each query finds what breaks one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.commands import Alembic
from tests.support.platforms import create_platform

if TYPE_CHECKING:
    from collections.abc import Iterator

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
    "table without a policy, but for those that are for nobody": f"""
        select oid::regclass from pg_class
        where relnamespace in {OURS} and relkind = 'r'
          and not exists (select from pg_policy where polrelid = pg_class.oid)
          and oid not in (
              'montoit.alembic_version'::regclass, 'montoit.administrators'::regclass,
              'montoit.adopted_tables'::regclass, 'montoit.adoption_steps'::regclass, 'montoit.trail'::regclass
          )
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
    "duplicate index": f"""
        select indrelid::regclass, array_agg(indexrelid::regclass)
        from pg_index join pg_class on pg_class.oid = indrelid
        where relnamespace in {OURS}
        group by indrelid, indkey, indclass, indoption, indpred::text, indexprs::text having count(*) > 1
    """,
    "unindexed foreign key": f"""
        select conrelid::regclass, conname from pg_constraint c
        where contype = 'f' and connamespace in {OURS} and not exists (
            select from pg_index where indrelid = conrelid and (indkey::smallint[])[0:cardinality(conkey) - 1] @> conkey
        )
    """,
    "table without a primary key": f"""
        select oid::regclass from pg_class where relnamespace in {OURS} and relkind = 'r'
          and not exists (select from pg_constraint where conrelid = pg_class.oid and contype = 'p')
    """,
}

# One offence for each rule: a query that finds nothing may as well look for nothing.
OFFENCES = {
    "security definer function executable by an API role in an exposed schema": """
        create function public.f() returns int language sql security definer set search_path = '' as 'select 1';
        grant execute on function public.f to anon""",
    "function with a mutable search_path": "create function public.f() returns int language sql as 'select 1'",
    "view that runs as its owner": "create view public.v as select * from public.sms_logs",
    "table without row level security": "create table public.t (id int primary key)",
    "row level security that binds the owner": "alter table public.sms_logs force row level security",
    "table without a policy, but for those that are for nobody": """
        create table public.t (id int primary key); alter table public.t enable row level security""",
    "policy whose function runs once a row": """
        create policy p on public.sms_logs for select to anon using (user_id = montoit.current_user_id())""",
    "policy for everybody": "create policy p on public.sms_logs for select using (true)",
    "multiple permissive policies for one role and action": """
        create policy p on public.sms_logs for select to service_role using (true)""",
    "duplicate index": "create index on public.sms_logs (user_id)",
    "unindexed foreign key": "create table public.t (id int primary key, f uuid references public.sms_logs)",
    "table without a primary key": "create table public.t (id int)",
}


@pytest.fixture(scope="module")
def migrated(templates: Templates) -> Iterator[Database]:
    superuser, owner = create_platform(templates, "supabase before October 2026")
    Alembic(owner).succeeds("upgrade", "head")
    yield superuser
    templates.drop(superuser.name)


@pytest.mark.parametrize("rule", RULES)
def test_nothing_of_ours_breaks_a_rule(migrated: Database, rule: str) -> None:
    assert migrated.rows(RULES[rule]) == []


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_notices_an_offence(migrated: Database, templates: Templates, rule: str) -> None:
    database = templates.create(migrated.name)
    try:
        database.execute(OFFENCES[rule])
        assert database.rows(RULES[rule]) != []
    finally:
        templates.drop(database.name)
