"""Who may do what: every caller, every object, every verb, on every platform."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from montoit_db.database import make_engine
from tests.support.callers import ADMIN, CALLERS, DENIED, OTHER, ROWS_OF_TWO_USERS, USER, attempt_on, value
from tests.support.commands import Alembic
from tests.support.platforms import PLATFORMS, Platform, activate, create_platform
from tests.support.settings import PRODUCTION

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

    from tests.support.database import Database
    from tests.support.templates import Templates


@pytest.fixture(scope="module", params=PLATFORMS)
def platform(request: pytest.FixtureRequest, templates: Templates) -> Iterator[tuple[Platform, Database]]:
    """An activated database of each kind, migrated by its owner, with rows of two users."""
    superuser, owner = create_platform(templates, request.param, activate)
    owner.execute(ROWS_OF_TWO_USERS)
    yield request.param, superuser
    templates.drop(superuser.name)


@pytest.fixture(scope="module")
def connection(platform: tuple[Platform, Database]) -> Iterator[Connection]:
    """One connection for all of the matrix."""
    with make_engine(platform[1].url).connect() as connection:
        yield connection


NO = (DENIED,) * 5
ONLY_SERVICE = (DENIED, DENIED, DENIED, DENIED)
VALUELESS = "keys without a value"  # one where values are in the table, all where they are in the Vault

# statement → what anon, nobody, a user, an administrator and the service get: rows, or 42501
TABLES: dict[str, dict[str, tuple[int | str, ...]]] = {
    "public.feature_flags": {
        "select * from {}": (DENIED, 39, 39, 39, 39),
        "insert into {} (key, name, category) values ('new', 'New', 'x')": (DENIED, DENIED, DENIED, 1, 1),
        "update {} set is_enabled = not is_enabled": (DENIED, 0, 0, 39, 39),
        "delete from {} where key = 'debug_mode'": (DENIED, 0, 0, 1, 1),
    },
    "public.feature_flag_history": {
        "select * from {}": (DENIED, 0, 0, 7, 7),
        "insert into {} (feature_flag_id, flag_key, action, actor)"
        " values (gen_random_uuid(), 'x', 'updated', 'me')": NO,
        "update {} set reason = 'none'": NO,
        "delete from {}": NO,
    },
    "public.feature_flag_overrides": {
        "select * from {}": (DENIED, 0, 1, 2, 2),
        "insert into {} (feature_flag_id, user_id, is_enabled)"
        f" select id, '{ADMIN}', true from public.feature_flags where key = 'wave_payment'": (
            DENIED, DENIED, DENIED, 1, 1,
        ),
        "update {} set is_enabled = false": (DENIED, 0, 0, 2, 2),
        "delete from {}": (DENIED, 0, 0, 2, 2),
    },
    "public.api_keys": {
        "select * from {}": (DENIED, 0, 0, VALUELESS, 7),
        "insert into {} (service_name, key_name) values ('x', 'y')": (*ONLY_SERVICE, 1),
        "update {} set is_active = not is_active": (DENIED, 0, 0, VALUELESS, 7),
        "update {} set endpoint = 'https://evil.example'": (*ONLY_SERVICE, 7),
        "update {} set key_value = 'x' where secret_id is null": (*ONLY_SERVICE, "keys in the table"),
        "delete from {}": (*ONLY_SERVICE, 7),
    },
    "public.payment_logs": {
        "select * from {}": (DENIED, 0, 1, 2, 2),
        "insert into {} (amount, payment_method, partner_transaction_id) values (1, 'wave', 'c')": (*ONLY_SERVICE, 1),
        "update {} set status = 'success'": (*ONLY_SERVICE, 2),
        "delete from {}": (*ONLY_SERVICE, 2),
    },
    **{
        f"public.{table}": {
            "select * from {}": (DENIED, 0, 1, 2, 2),
            "insert into {} (phone_number, message, partner_transaction_id) values ('1', 'm', 'c')": (*ONLY_SERVICE, 1),
            "update {} set status = 'sent'": (*ONLY_SERVICE, 2),
            "delete from {}": (*ONLY_SERVICE, 2),
        }
        for table in ("sms_logs", "whatsapp_logs")
    },
    "montoit.alembic_version": {
        "select * from {}": NO,
        "insert into {} values ('0001')": NO,
        "update {} set version_num = '0001'": NO,
        "delete from {}": NO,
    },
    "montoit.administrators": {
        "select * from {}": NO,
        f"insert into {{}} values ('{USER}')": NO,
        "update {} set created_at = now()": NO,
        "delete from {}": NO,
    },
    "montoit.trail": {
        "select * from {}": NO,
        "insert into {} (subject) values ('activation')": NO,
        "update {} set reason = 'none'": NO,
        "delete from {}": NO,
    },
    "montoit.given_credentials": {
        "select * from {}": NO,
        "insert into {} values ('reason', 'x')": NO,
    },
    "montoit.feature_flag_seed": {"select * from {}": NO},
    "montoit.adopted_tables": {"select * from {}": NO, "update {} set own_rows = 'true'": NO},
    "montoit.adoption_steps": {
        "select * from {}": NO,
        "insert into {} (stage, table_name, object, undo)"
        " values ('tables', 'sms_logs', 'x', 'drop table public.sms_logs')": NO,
        "update {} set undo = 'drop table public.sms_logs'": NO,
    },
    "montoit.released_objects": {
        "select * from {}": NO,
        "update {} set fingerprint = ''": NO,
    },
    "montoit.objects": {"select * from {}": NO},
    "public.intouch_prices": {"select * from {}": (DENIED, 0, 0, 2, 2)},
    "public.intouch_payments_daily": {"select * from {}": (DENIED, 0, 0, 7, 7)},
    "public.intouch_sms_daily": {"select * from {}": (DENIED, 0, 0, 7, 7)},
    "public.intouch_whatsapp_daily": {"select * from {}": (DENIED, 0, 0, 7, 7)},
    "public.intouch_costs": {"select * from {}": (DENIED, 0, 0, 2, 2)},
    "public.intouch_failure_rate": {"select * from {}": (DENIED, 0, 0, 1, 1)},
}  # fmt: skip

EVERYONE = (1, 1, 1, 1, 1)
FUNCTIONS: dict[str, dict[str, tuple[int | str, ...]]] = {
    "public.check_feature_flag": {
        "select {}('wave_payment')": EVERYONE,
        "select {}('wave_payment', null)": EVERYONE,
        f"select {{}}('wave_payment', '{USER}')": (1, DENIED, 1, 1, 1),
        f"select {{}}('wave_payment', '{OTHER}')": (1, DENIED, DENIED, 1, 1),
    },
    "public.check_feature_flags": {
        "select {}()": EVERYONE,
        f"select {{}}('{USER}')": (1, DENIED, 1, 1, 1),
        f"select {{}}('{OTHER}')": (1, DENIED, DENIED, 1, 1),
    },
    "public.get_api_keys": {"select {}('intouch')": (*ONLY_SERVICE, 1)},
    "montoit.intouch_daily": {"select generate_series(1, total) from {}('sms_logs', 7)": (DENIED, 0, 1, 2, 2)},
    "montoit.estimated_costs": {"select {}()": (DENIED, 0, 0, 2, 2)},
    "montoit.intouch_status": {"select {}('SUCCESSFUL')": (*ONLY_SERVICE, 1)},
    "montoit.check_flag": {f"select {{}}('{OTHER}', 'wave_payment')": (1, DENIED, DENIED, 1, 1)},
    "montoit.check_flags": {f"select {{}}('{OTHER}')": (1, DENIED, DENIED, 1, 1)},
    "montoit.jwt_claims": {"select {}()": EVERYONE},
    "montoit.current_user_id": {"select {}()": EVERYONE},
    "montoit.caller_role": {"select {}()": EVERYONE},
    "montoit.is_admin": {"select {}()": EVERYONE},
    "montoit.sees_everything": {"select {}()": EVERYONE},
    "montoit.is_trusted": {"select {}('service_role')": EVERYONE},
    "montoit.is_trusted_table": {"select {}('user_roles')": NO},
    "montoit.has_vault": {"select {}()": (*ONLY_SERVICE, 1)},
    "montoit.read_credentials": {"select {}('intouch')": (*ONLY_SERVICE, 6)},
    "montoit.store_credentials": {"select {}('sandbox', 'table', '[]')": NO},
    "montoit.take_credential": {"select {}()": NO},
    "montoit.change_rows": {"select {}('delete from montoit.administrators')": NO},
    "montoit.order_reason": {"select {}()": NO},
    "montoit.stamp_trail": {"select {}()": NO},
    "montoit.keep_trail": {"select {}()": NO},
    "montoit.record_administrator": {"select {}()": NO},
    "montoit.record_override": {"select {}()": NO},
    "montoit.stamp_author": {"select {}()": NO},
    "montoit.record_credential": {"select {}()": NO},
    "montoit.described_credential": {"select {}('{{}}')": NO},
    "montoit.switch_off": {"select {}('why')": NO},
    "montoit.verify_credentials": {"select {}('sandbox', '{{}}')": NO},
    "montoit.message_without_values": {"select {}('P0001', '', '')": NO},
    "montoit.bucket": {f"select {{}}('x', '{USER}')": NO},
    "montoit.roles_of": {f"select {{}}('{USER}')": NO},
    "montoit.refuse_to_lose_rows": {"select {}()": NO},
    "montoit.record_flag_change": {"select {}()": NO},
    "montoit.record_objects": {"select {}('upgrade')": NO},
    "montoit.adopt": {"select {}('tables', 'api_keys', 'x', 'drop table public.api_keys', '')": NO},
    "montoit.look_again": {"select {}('api_keys')": NO},
    "montoit.lock_tables": {"select {}(array['api_keys'])": NO},
    "montoit.take_over_access": {"select {}('api_keys')": NO},
    "montoit.raise_not_given_back": {"select {}('api_keys', '', 'P0001', '')": NO},
    "montoit.undo": {"select {}('tables', 'api_keys')": NO},
    "montoit.hand_back": {"select {}('api_keys')": NO},
    "montoit.unfinished_logs": {"select {}()": NO},
    "montoit.keep_credential": {"select {}()": NO},
    "montoit.touch_updated_at": {"select {}()": NO},
}

CELLS = [
    pytest.param(statement.format(name), caller, outcome, id=f"{caller}: {statement.format(name.split('.')[1])[:60]}")
    for objects in (TABLES, FUNCTIONS)
    for name, statements in objects.items()
    for statement, outcomes in statements.items()
    for caller, outcome in zip(CALLERS, outcomes, strict=True)
]


@pytest.mark.parametrize(("statement", "caller", "outcome"), CELLS)
def test_matrix(
    platform: tuple[Platform, Database], connection: Connection, statement: str, caller: str, outcome: int | str
) -> None:
    kind, _ = platform
    if outcome == VALUELESS:
        outcome = 1 if kind == "plain" else 7
    elif outcome == "keys in the table":
        outcome = 7 if kind == "plain" else 1
    assert attempt_on(connection, CALLERS[caller], statement) == outcome


def test_the_matrix_is_complete(platform: tuple[Platform, Database]) -> None:
    _, database = platform
    relations = database.rows(
        "select relnamespace::regnamespace || '.' || relname from pg_class"
        " where relnamespace in ('public'::regnamespace, 'montoit'::regnamespace) and relkind in ('r', 'v', 'm', 'p')"
    )
    assert {name for (name,) in relations} == set(TABLES)
    functions = database.rows(
        "select pronamespace::regnamespace || '.' || proname from pg_proc"
        " where pronamespace in ('public'::regnamespace, 'montoit'::regnamespace)"
    )
    assert {name for (name,) in functions} == set(FUNCTIONS)


def test_every_platform_grants_the_same(platform: tuple[Platform, Database], database: Database) -> None:
    """Nothing is left to default privileges: the lists of grants are those of a database that has none."""
    _, migrated = platform
    Alembic(database).succeeds("upgrade", "head")
    grants = (
        "select c.oid::regclass::text, a.grantee::regrole::text, a.privilege_type from pg_class c,"
        " aclexplode(c.relacl) a where relnamespace in ('public'::regnamespace, 'montoit'::regnamespace)"
        " and a.grantee <> c.relowner union all"
        " select p.oid::regprocedure::text, a.grantee::regrole::text, a.privilege_type from pg_proc p,"
        " aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a"
        " where pronamespace in ('public'::regnamespace, 'montoit'::regnamespace) and a.grantee <> p.proowner"
        " order by 1, 2, 3"
    )
    assert migrated.rows(grants) == database.rows(grants)
    assert {row[1] for row in database.rows(grants)} == {"anon", "authenticated", "service_role"}


def test_get_api_keys_returns_the_active_values(platform: tuple[Platform, Database]) -> None:
    _, database = platform
    keys = value(database, CALLERS["service"], "select get_api_keys('intouch')")
    assert keys == {
        "base_url": "https://apidist.gutouch.net",
        **{
            name.removeprefix("INTOUCH_").lower(): secret
            for name, secret in PRODUCTION.items()
            if name != "INTOUCH_ENVIRONMENT"
        },
    }
    assert value(database, CALLERS["service"], "select get_api_keys('unknown')") is None
    assert value(database, CALLERS["service"], "select get_api_keys(null)") is None


@pytest.mark.parametrize(
    ("caller", "asked", "is_on"),
    [
        ("anon", "null", False),
        ("anon", f"'{USER}'", False),
        ("nobody", "null", False),
        ("user", "null", True),
        ("user", f"'{USER}'", True),
        ("administrator", "null", False),
        ("administrator", f"'{USER}'", True),
        ("administrator", f"'{ADMIN}'", False),
        ("service", "null", False),
        ("service", f"'{OTHER}'", True),
    ],
)
def test_flags_are_answered_for_whom_they_are_asked(
    platform: tuple[Platform, Database],
    caller: str,
    asked: str,
    is_on: bool,  # noqa: FBT001
) -> None:
    """debug_mode is off, but for the user and the other, who have an override."""
    _, database = platform
    assert value(database, CALLERS[caller], f"select check_feature_flag('debug_mode', {asked})") is is_on
    assert value(database, CALLERS[caller], f"select check_feature_flags({asked})")["debug_mode"] is is_on
