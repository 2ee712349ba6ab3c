"""What was broken on the platform (PLATFORM.md of the design), tried again here."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from psycopg.errors import InsufficientPrivilege
from sqlalchemy.exc import DBAPIError

from montoit_db.database import make_engine
from tests.support.callers import ADMIN, CALLERS, OTHER, ROWS_OF_TWO_USERS, USER, Caller, ask, attempt, claims, value
from tests.support.platforms import OWNER, activate, create_platform
from tests.support.settings import SECRETS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.database import Database
    from tests.support.templates import Templates

FLAG = "intouch_payment"


@pytest.fixture(scope="module")
def activated(templates: Templates) -> Iterator[Database]:
    """A plain database, where the values are in the table, as its superuser sees it."""
    superuser, owner = create_platform(templates, "plain", activate)
    owner.execute(ROWS_OF_TWO_USERS)
    yield superuser
    templates.drop(superuser.name)


@pytest.fixture
def attacked(templates: Templates, activated: Database) -> Iterator[Database]:
    database = templates.create(activated.name)
    database.execute(f"alter database {database.name} owner to {OWNER}")
    yield database
    templates.drop(database.name)


def answer(database: Database, caller: Caller, flag: str = FLAG) -> bool:
    result = value(database, caller, f"select check_feature_flag('{flag}')")
    assert isinstance(result, bool)
    return result


MALFORMED = [
    "",
    "not json",
    "[]",
    '"text"',
    "null",
    "42",
    "{}",
    '{"sub": null}',
    '{"sub": ""}',
    '{"sub": "not-a-uuid"}',
    '{"sub": 42}',
    '{"sub": "\\u0000"}',
    f'{{"sub": "{USER}"',
    '{"app_metadata": "admin"}',
    '{"app_metadata": ["admin"]}',
    '{"app_metadata": {"role": null}}',
    '{"app_metadata": {"role": ["admin"]}}',
    '{"user_metadata": {"role": "admin"}}',
    '{"role": "service_role"}',
    '{"role": "admin"}',
]


@pytest.mark.parametrize("malformed", MALFORMED)
def test_malformed_claims_are_nobody(attacked: Database, malformed: str) -> None:
    attacked.execute(f"update feature_flags set rollout_percentage = 99 where key = '{FLAG}'")
    nobody = Caller("authenticated", malformed)
    assert answer(attacked, nobody) is False, "nobody is in no bucket"
    assert attempt(attacked, nobody, "select * from payment_logs") == 0
    assert attempt(attacked, nobody, "select * from feature_flag_history") == 0
    assert attempt(attacked, nobody, "select * from api_keys") == 0
    assert attempt(attacked, nobody, "update feature_flags set is_enabled = false") == 0
    assert attempt(attacked, nobody, "select get_api_keys('intouch')") == "42501"


def test_claims_that_were_never_set_are_nobody(attacked: Database) -> None:
    with make_engine(attacked.url).connect() as connection:
        connection.exec_driver_sql("set local role authenticated")
        assert connection.exec_driver_sql("select count(*) from payment_logs").scalar_one() == 0
        assert connection.exec_driver_sql("select montoit.is_admin()").scalar_one() is False
        with pytest.raises(DBAPIError) as refusal:
            connection.exec_driver_sql("select get_api_keys('intouch')")
    assert isinstance(refusal.value.orig, InsufficientPrivilege)


@pytest.mark.parametrize(
    "forged",
    [
        {"user_metadata": {"role": "admin", "app_metadata": {"role": "admin"}}},
        {"role": "admin"},
        {"app_metadata": {"roles": ["admin"], "provider": "admin"}},
        {"user_role": "admin", "is_admin": True},
        {"app_metadata": {"role": "ADMIN "}},
    ],
)
def test_forged_metadata_makes_no_administrator(attacked: Database, forged: dict[str, Any]) -> None:
    caller = Caller("authenticated", json.dumps({"role": "authenticated", "sub": USER, **forged}))
    assert value(attacked, caller, "select montoit.is_admin()") is False
    assert attempt(attacked, caller, "update feature_flags set is_enabled = false") == 0
    assert attempt(attacked, caller, "select * from feature_flag_history") == 0


def test_promoting_oneself(attacked: Database) -> None:
    """`profiles.user_type` is a column that users may write; it means nothing here."""
    attacked.execute(
        "create table profiles (id uuid primary key, user_type text); grant all on profiles to authenticated;"
        f"insert into profiles values ('{USER}', 'admin_ansut')"
    )
    caller = CALLERS["user"]
    assert attempt(attacked, caller, "update profiles set user_type = 'admin_ansut'") == 1
    assert attempt(attacked, caller, f"insert into montoit.administrators values ('{USER}')") == "42501"
    assert attempt(attacked, caller, "select * from api_keys") == 0
    assert value(attacked, caller, "select montoit.is_admin()") is False


def test_an_administrator_by_name(attacked: Database) -> None:
    """The one documented line that names the first one."""
    caller = Caller("authenticated", claims("authenticated", ADMIN))
    assert attempt(attacked, caller, "select * from feature_flag_history") == 0
    attacked.execute(f"insert into montoit.administrators (user_id) values ('{ADMIN}')")
    assert attempt(attacked, caller, "select * from feature_flag_history") == 7


SHADOWS = [
    "create temp table feature_flags (key text, is_enabled boolean, rollout_percentage int, id uuid)",
    "create temp table feature_flag_overrides (feature_flag_id uuid, user_id uuid, is_enabled boolean)",
    "create temp table api_keys (service_name text, key_name text, key_value text, is_active boolean)",
    f"create temp table administrators as select '{USER}'::uuid as user_id",
    "create function pg_temp.is_admin() returns boolean language sql as 'select true'",
    "create function pg_temp.sha256(bytea) returns bytea language sql as 'select ''\\x00''::bytea'",
    "create function pg_temp.now() returns timestamptz language sql as 'select ''epoch''::timestamptz'",
    (
        "create function pg_temp.current_setting(text, boolean) returns text language sql as"
        """ 'select ''{"app_metadata": {"role": "admin"}}'' '"""
    ),
]


@pytest.mark.parametrize("shadow", SHADOWS)
def test_shadowing_changes_nothing(attacked: Database, shadow: str) -> None:
    attacked.execute("update feature_flags set is_enabled = false where key = 'wave_payment'")
    caller = CALLERS["user"]
    questions = (
        "select check_feature_flag('wave_payment')",
        "select check_feature_flags()::text",
        "select montoit.is_admin()",
        f"select check_feature_flag('debug_mode', '{USER}')",
    )
    before = [value(attacked, caller, question) for question in questions]
    with make_engine(attacked.url).connect() as connection:
        ask(connection.exec_driver_sql, caller, "select 1")
        connection.exec_driver_sql(shadow, execution_options={"no_parameters": True})
        connection.exec_driver_sql("set local search_path = pg_temp, public")
        after = [
            connection.exec_driver_sql(
                f"select {q.removeprefix('select ').replace('check_', 'public.check_')}"
            ).scalar_one()
            for q in questions
        ]
    assert after == before
    assert before[0] is False


PROBES = [
    "select key_value from api_keys",
    "select * from api_keys where key_value like 'can%'",
    "select key_name from api_keys order by key_value",
    "select key_name from api_keys order by key_value::int",
    "select key_value::int from api_keys where service_name = 'intouch'",
    "select count(*) from api_keys where 1 / (length(key_value) - length(key_value)) = 1",
    "select max(key_value) from api_keys",
    "select row_to_json(k)::text from api_keys k",
    "update api_keys set is_active = is_active returning key_value",
    "select k.key_value from feature_flags f left join api_keys k on true",
    "select public.get_api_keys('intouch')",
    "select * from montoit.read_credentials('intouch')",
    "table montoit.given_credentials",
    "select * from pg_stats where tablename = 'api_keys'",
    "select query from pg_stat_activity",
    "select new_value, previous_value from feature_flag_history",
    "select pg_get_functiondef('montoit.store_credentials'::regproc)",
]


@pytest.mark.parametrize("probe", PROBES)
@pytest.mark.parametrize("caller", ["anon", "nobody", "user", "administrator"])
def test_no_way_to_a_value(attacked: Database, caller: str, probe: str) -> None:
    """By a column, an order, an error message, a statistic or a function: rows and errors show no secret."""
    attacked.execute("analyze api_keys")
    with make_engine(attacked.url).connect() as connection:
        try:
            result = ask(connection.exec_driver_sql, CALLERS[caller], probe)
            shown = str(result.all()) if result.returns_rows else ""
        except DBAPIError as error:
            shown = str(error)
    assert "canary" not in shown


@pytest.mark.parametrize("caller", ["nobody", "user", "administrator"])
def test_copy_shows_what_select_shows(attacked: Database, caller: str) -> None:
    with make_engine(attacked.url).connect() as connection:
        ask(connection.exec_driver_sql, CALLERS[caller], "select 1")
        with connection.connection.cursor().copy("copy api_keys to stdout") as copy:
            lines = [bytes(line).decode() for line in copy]
    assert len(lines) == (1 if caller == "administrator" else 0)
    assert "canary" not in "".join(lines)


def test_a_function_cannot_be_made_to_look(attacked: Database) -> None:
    """A cheap, leaky function in WHERE runs only on the rows that the policy lets through."""
    attacked.execute("grant create on schema public to authenticated")
    with make_engine(attacked.url).connect() as connection:
        ask(
            connection.exec_driver_sql,
            CALLERS["administrator"],
            "create function look(text) returns boolean language plpgsql cost 0.0000001 as"
            " $$begin if $1 is not null then raise exception '%', $1; end if; return true; end$$",
        )
        seen = connection.exec_driver_sql("select key_name from api_keys where look(key_value)").all()
    assert seen == [("token",)]


def test_the_service_still_gets_the_values(attacked: Database) -> None:
    """The control: where it is allowed, the value is seen."""
    keys = value(attacked, CALLERS["service"], "select get_api_keys('intouch')")
    assert keys["password"] == SECRETS["INTOUCH_PASSWORD"]


def test_two_flags_choose_different_users_and_zero_is_nobody(attacked: Database) -> None:
    attacked.execute("update feature_flags set rollout_percentage = 0 where key = 'wave_payment'")
    users = [f"{number:08x}-0000-4000-8000-000000000000" for number in range(200)]
    answers = attacked.rows(
        "select check_feature_flag('wave_payment', u::uuid) from unnest(array["
        + ", ".join(f"'{user}'" for user in users)
        + "]) u"
    )
    assert set(answers) == {(False,)}


def test_a_flag_that_requires_credentials_waits_for_them(attacked: Database) -> None:
    attacked.execute(f"update feature_flags set credentials_status = 'not_configured' where key = '{FLAG}'")
    assert answer(attacked, CALLERS["user"]) is False


def test_allowed_roles(attacked: Database) -> None:
    attacked.execute(f"update feature_flags set allowed_roles = '{{agence}}' where key = '{FLAG}'")
    agency = Caller("authenticated", claims("authenticated", USER, app_metadata={"role": "agence"}))
    assert answer(attacked, agency) is True
    assert answer(attacked, CALLERS["user"]) is False
    assert answer(attacked, CALLERS["anon"]) is False


def test_an_administrator_switches_a_flag_and_history_says_who_what_and_why(attacked: Database) -> None:
    admin = CALLERS["administrator"]
    with make_engine(attacked.url).begin() as connection:
        connection.exec_driver_sql(
            "select set_config('request.headers', %(headers)s, true)",
            {"headers": json.dumps({"x-montoit-reason": "Incident Wave"})},
        )
        ask(connection.exec_driver_sql, admin, "update feature_flags set is_enabled = false where key = 'wave_payment'")
        connection.exec_driver_sql("delete from feature_flags where key = 'ab_testing'")
    history = attacked.rows(
        "select flag_key, action, changed_by::text, actor, reason, previous_value ->> 'is_enabled',"
        " new_value ->> 'is_enabled' from feature_flag_history order by changed_at desc, flag_key limit 2"
    )
    assert history == [
        ("ab_testing", "deleted", ADMIN, "authenticated", "Incident Wave", "false", None),
        ("wave_payment", "disabled", ADMIN, "authenticated", "Incident Wave", "true", "false"),
    ]


@pytest.mark.parametrize("headers", ["", "not json", "[]", '{"x-montoit-reason": null}'])
def test_headers_that_give_no_reason(attacked: Database, headers: str) -> None:
    with make_engine(attacked.url).begin() as connection:
        connection.exec_driver_sql("select set_config('request.headers', %(headers)s, true)", {"headers": headers})
        ask(
            connection.exec_driver_sql,
            CALLERS["administrator"],
            "update feature_flags set is_enabled = false where key = 'wave_payment'",
        )
    assert attacked.value(
        "select reason from feature_flag_history where flag_key = 'wave_payment' and action = 'disabled'"
    ) is None  # fmt: skip


def test_last_used_is_stamped_at_most_once_a_minute(attacked: Database) -> None:
    stamps = "select distinct last_used_at, updated_at > created_at from api_keys where service_name = 'intouch'"

    def use() -> None:
        with make_engine(attacked.url).begin() as connection:
            ask(connection.exec_driver_sql, CALLERS["service"], "select get_api_keys('intouch')")

    use()
    ((first, updated),) = attacked.rows(stamps)
    assert first is not None
    assert updated is False, "a use is no change"
    use()
    assert attacked.rows(stamps) == [(first, False)]
    attacked.execute("update api_keys set last_used_at = last_used_at - interval '61 seconds'")
    use()
    ((last, _),) = attacked.rows(stamps)
    assert last > first


def test_a_stamp_never_waits(attacked: Database) -> None:
    with make_engine(attacked.url).begin() as holder:
        holder.exec_driver_sql("select * from api_keys for update")
        with make_engine(attacked.url).begin() as connection:
            connection.exec_driver_sql("set local lock_timeout = '100ms'")
            keys = ask(connection.exec_driver_sql, CALLERS["service"], "select get_api_keys('intouch')").scalar_one()
    assert len(keys) == 6


def test_another_users_override_is_not_told(attacked: Database) -> None:
    assert attempt(attacked, CALLERS["user"], f"select check_feature_flag('debug_mode', '{OTHER}')") == "42501"
    assert attempt(attacked, CALLERS["user"], f"select montoit.check_flags('{OTHER}')") == "42501"
    assert value(attacked, CALLERS["anon"], f"select check_feature_flag('debug_mode', '{OTHER}')") is False


def test_an_expired_override_is_none(attacked: Database) -> None:
    attacked.execute("update feature_flag_overrides set expires_at = now() - interval '1 second'")
    assert answer(attacked, CALLERS["user"], "debug_mode") is False
