"""Whatever part of the platform's tables is there: taken over with every promise kept, or refused with nothing changed.

ADOPTIONS=200 pytest tests/test_adoption_random.py      two hundred databases instead of eight
"""

from __future__ import annotations

import difflib
import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st

from tests.support.adoption import GIVE_BACK, definitions, rows
from tests.support.callers import CALLERS, value
from tests.support.commands import Alembic
from tests.support.database import Database, pg_dump
from tests.support.generations import make_generation_b
from tests.support.platforms import PLATFORMS, Platform, create_platform

if TYPE_CHECKING:
    from tests.support.templates import Templates

TABLES = {
    "feature_flags": "cascade",
    "feature_flag_history": "",
    "feature_flag_overrides": "",
    "api_keys": "cascade",
    "sms_logs": "",
    "whatsapp_logs": "",
}

# Every column that can go alone, index, policy, trigger, constraint and function of ours-to-be, each with its removal.
PARTS = """
select format('alter table %s drop column %I cascade', attrelid::regclass, attname) from pg_attribute
where attrelid::regclass::text = any (%(tables)s) and attnum > 0
union all
select format('alter table %s alter %I drop default', attrelid::regclass, attname) from pg_attribute
where attrelid::regclass::text = any (%(tables)s) and atthasdef
union all
select format('alter table %s alter %I drop not null', attrelid::regclass, attname) from pg_attribute
where attrelid::regclass::text = any (%(tables)s) and attnotnull and attnum > 1
union all
select format('alter table %s drop constraint %I cascade', conrelid::regclass, conname) from pg_constraint
where conrelid::regclass::text = any (%(tables)s) and contype <> 'n'
union all
select format('drop index %s', indexrelid::regclass) from pg_index
where indrelid::regclass::text = any (%(tables)s)
  and not exists (select from pg_constraint where conindid = indexrelid)
union all
select format('drop policy %I on %I', policyname, tablename) from pg_policies where tablename = any (%(tables)s)
union all
select format('drop trigger %I on %s', tgname, tgrelid::regclass) from pg_trigger
where tgrelid::regclass::text = any (%(tables)s) and not tgisinternal
union all
select format('drop function %s', oid::regprocedure) from pg_proc
where proname in ('check_feature_flag', 'get_api_keys', 'log_api_usage')
union all
select format('alter table %s disable row level security', t) from unnest(%(tables)s) as t
union all
select format('revoke all on %s from anon, service_role', t) from unnest(%(tables)s) as t
union all
select format('delete from %s', t) from unnest(%(tables)s) as t where t <> 'api_keys'
order by 1
"""
# What no generation has, and what rows may look like.
SURPRISES = (
    "alter table sms_logs add tenant uuid",
    "alter table whatsapp_logs add number integer generated always as identity",
    "alter table feature_flags add owner text not null default 'x'",
    "update feature_flags set is_enabled = null where key < 'd'",
    "update feature_flags set rollout_percentage = null, metadata = null, allowed_roles = null where key > 'm'",
    "update feature_flags set is_enabled = true, rollout_percentage = 0",
    "update sms_logs set status = 'queued'",
    "update api_keys set environment = null, is_active = null where service_name < 'm'",
    "insert into api_keys (service_name, display_name, keys) values ('intouch', 'InTouch', '{}')",
    "delete from feature_flags where key in ('orange_money', 'ai_chatbot')",
    "insert into feature_flag_history (feature_flag_id, action) select id, 'updated' from feature_flags",
    "insert into feature_flag_history (action) values ('enabled')",
    "alter table sms_logs force row level security",
    "create index idx_payment_logs_user_id_of_theirs on sms_logs (user_id, status)",
)


# Tables that anonymous visitors could read.
OPEN = """
select count(*) from pg_class
where relnamespace = 'public'::regnamespace
  and relname = any (array['feature_flags', 'feature_flag_history', 'api_keys', 'sms_logs', 'whatsapp_logs'])
  and (not relrowsecurity or has_table_privilege('anon', oid, 'select'))
"""


def differences(before: list[str], after: list[str]) -> list[str]:
    return [
        line for line in difflib.unified_diff(before, after, lineterm="", n=0) if not line.startswith(("---", "+++"))
    ]


def run_each(database: Database, statements: list[str]) -> list[str]:
    """Execute those that still can be, after the others, and return them."""
    done = []
    for statement in statements:
        try:
            database.execute(statement)
        except Exception as error:  # noqa: BLE001 -- its table or column is gone already
            event(type(error).__name__)
        else:
            done.append(statement)
    return done


@pytest.fixture(scope="module")
def parts(templates: Templates) -> list[str]:
    superuser, owner = create_platform(templates, "plain", make_generation_b)
    tables = f"array[{', '.join(map(repr, TABLES))}]"
    found = [statement for (statement,) in owner.rows(PARTS.replace("%(tables)s", tables))]
    templates.drop(superuser.name)
    assert len(found) > 150
    return found


@settings(
    max_examples=int(os.environ.get("ADOPTIONS", "8")),
    derandomize="ADOPTIONS" not in os.environ,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_whatever_is_there(templates: Templates, parts: list[str], data: st.DataObject) -> None:
    platform: Platform = data.draw(st.sampled_from(PLATFORMS))
    absent = data.draw(st.sets(st.sampled_from(sorted(TABLES)), max_size=3))
    changes = [f"drop table {table} {TABLES[table]}" for table in sorted(absent)]
    changes += data.draw(st.lists(st.sampled_from(SURPRISES), max_size=3, unique=True))
    changes += data.draw(st.lists(st.sampled_from(parts), max_size=6, unique=True))
    superuser, owner = create_platform(templates, platform, make_generation_b)
    try:
        changes = run_each(owner, changes)
        before, rows_before, whole = definitions(owner), rows(owner), pg_dump(owner)
        alembic = Alembic(owner)
        result = alembic("upgrade", "head")
        if result.code != 0:
            event("refused")
            assert "ne sont pas celles de la plateforme" in result.err, changes
            assert pg_dump(owner) == whole
            return
        event("taken over")
        assert "Services activés : 7/7" in result.out, changes
        assert len(value(superuser, CALLERS["service"], "select get_api_keys('intouch')")) == 6
        assert superuser.value("select count(*) from feature_flags where is_enabled and rollout_percentage = 0") == 0
        assert superuser.value(OPEN) == 0, changes
        alembic.succeeds("check")
        alembic.succeeds("downgrade", "-1")
        alembic.succeeds(*GIVE_BACK)
        assert differences(before, definitions(owner)) == [], changes
        assert differences(rows_before, rows(owner)) == [], changes
    finally:
        templates.drop(superuser.name)
