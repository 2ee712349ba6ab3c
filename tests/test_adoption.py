"""Databases that have tables of our names: told apart, taken over with every row, and given back as they were."""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from sqlalchemy.exc import DBAPIError

from montoit_db.database import make_engine
from montoit_db.deploy import adoption
from tests.support.adoption import GIVE_BACK, definitions, rows
from tests.support.callers import CALLERS, DENIED, Caller, attempt, claims, value
from tests.support.commands import Alembic, on, run, run_check
from tests.support.database import Database, pg_dump
from tests.support.generations import AGENCY, FORK, LARGE, OPERATOR, SMS, TENANT, USERS, make_adopted, make_generation_b
from tests.support.platforms import OWNER, PLATFORMS, Platform, create_platform
from tests.support.scripts import PLACEHOLDERS, fill_in, script, state, with_psql
from tests.support.settings import PRODUCTION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.templates import Templates

HALF_WAY = {"api_keys": None, "sms_logs": None}
WHOLE = {
    **HALF_WAY,
    "feature_flags": None,
    "feature_flag_history": None,
    "feature_flag_overrides": None,
    "whatsapp_logs": None,
}

ANON, SERVICE = CALLERS["anon"], CALLERS["service"]
ADMINISTRATOR = Caller("authenticated", claims("authenticated", OPERATOR, app_metadata={"role": "admin"}))
SELF_MADE = Caller("authenticated", claims("authenticated", OPERATOR))  # user_type admin_ansut, which users write
TENANT_CALLER = Caller("authenticated", claims("authenticated", TENANT))


class Platforms(NamedTuple):
    """One database as its superuser and as its owner, who is none."""

    superuser: Database
    owner: Database


@pytest.fixture(params=PLATFORMS)
def empty(templates: Templates, request: pytest.FixtureRequest) -> Iterator[Platforms]:
    platform: Platform = request.param
    databases = Platforms(*create_platform(templates, platform))
    yield databases
    templates.drop(databases.superuser.name)


@pytest.fixture
def owner(empty: Platforms) -> Database:
    """An empty database of each kind, as its owner, who is no superuser."""
    return empty.owner


@pytest.fixture
def whole(templates: Templates) -> Iterator[Platforms]:
    """Generation B, on a Supabase that grants everything to everyone, not touched yet."""
    databases = Platforms(*create_platform(templates, "supabase before October 2026", make_generation_b))
    yield databases
    templates.drop(databases.superuser.name)


@pytest.fixture
def adopted(templates: Templates) -> Iterator[Platforms]:
    """The same after `upgrade head`."""
    databases = Platforms(*create_platform(templates, "supabase before October 2026", make_adopted))
    yield databases
    templates.drop(databases.superuser.name)


def found(database: Database) -> dict[str, str | None]:
    with make_engine(database.url).connect() as connection:
        return {table.name: table.differences for table in adoption.existing_tables(connection)}


# --- told apart


@pytest.mark.parametrize("half_way", [False, True])
def test_the_platforms_tables_are_recognised(owner: Database, half_way: bool) -> None:  # noqa: FBT001
    make_generation_b(owner, half_way=half_way)
    assert found(owner) == (HALF_WAY if half_way else WHOLE)


def test_the_fork_is_refused_by_table_and_column(owner: Database) -> None:
    owner.execute(FORK)
    differences = {
        "api_keys": "manque display_name, keys",
        "feature_flags": "manque category, key ; inconnu et obligatoire : flag_type",
        "sms_logs": "manque partner_transaction_id, phone_number ; inconnu et obligatoire : phone",
        "whatsapp_logs": "manque partner_transaction_id, phone_number ; inconnu et obligatoire : phone",
    }
    assert found(owner) == differences
    message = Alembic(owner).refuses("upgrade", "head")
    for table, difference in differences.items():
        assert f"  - {table} : {difference}" in message
    code, problems = run_check(owner)
    assert code == 1
    assert all(difference in problems["Reprise"][0]["message"] for difference in differences.values())


# Of the fork, and the table that the guide's script wanted.
STRANGERS = {
    "feature_flags": "create table feature_flags (id uuid primary key, name text not null, is_active boolean)",
    "api_keys": "create table api_keys (service_name text, key_name text, key_value text, primary key (service_name))",
    "sms_logs": "create table sms_logs (id uuid primary key, phone text not null, message text, status text)",
}


@pytest.mark.parametrize("table", STRANGERS)
def test_one_stranger_among_the_platforms_tables_is_enough(whole: Platforms, table: str) -> None:
    whole.owner.execute(f"alter table {table} rename to theirs")
    whole.owner.execute(STRANGERS[table])
    message = Alembic(whole.owner).refuses("upgrade", "head")
    assert re.findall(r"^  - (\w+) :", message, re.MULTILINE) == [table]


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ("alter table sms_logs drop column message", "manque message"),
        ("alter table sms_logs alter status_code type text", "status_code est text au lieu de integer"),
        ("alter table sms_logs add tenant uuid default gen_random_uuid() not null", None),
        ("alter table sms_logs add tenant uuid", None),
        ("alter table sms_logs add number int generated always as identity", None),
        ("truncate sms_logs; alter table sms_logs add tenant uuid not null", "inconnu et obligatoire : tenant"),
        ("alter table sms_logs drop column status_code", None),
        ("alter table sms_logs add provider varchar(9)", "provider est character varying(9) au lieu de text"),
        ("drop index idx_sms_logs_status", None),
        (
            "alter table sms_logs drop constraint sms_logs_partner_transaction_id_key",
            "pas unique : partner_transaction_id",
        ),
        (
            "alter table sms_logs rename to logs; create view sms_logs as select * from logs",
            "pas une table ; pas unique : id, partner_transaction_id",
        ),
        (
            "alter table sms_logs drop column message, alter phone_number type varchar(20)",
            "manque message ; phone_number est character varying(20) au lieu de text",
        ),
    ],
)
def test_what_differs_is_named(database_at: Callable[[str], Database], change: str, difference: str | None) -> None:
    database = database_at("empty")
    Alembic(database).succeeds("upgrade", "0001")  # for the API roles that the policies name
    database.execute(USERS + SMS)
    database.execute(change)
    assert found(database) == {"sms_logs": difference}
    if difference is not None:  # what `check` says is what the revision goes by
        assert f"  - sms_logs : {difference}\n" in Alembic(database).refuses("upgrade", "head")


def test_a_log_of_payments_was_never_there(database_at: Callable[[str], Database]) -> None:
    database = database_at("empty")
    database.execute("create table payment_logs (id uuid primary key, amount numeric not null)")
    assert found(database) == {"payment_logs": "la plateforme n'en avait pas"}


def test_the_script_refuses_the_same_before_it_writes(owner: Database) -> None:
    owner.execute(FORK)
    before = pg_dump(owner)
    result = with_psql(owner, fill_in(script("upgrade", "head")))
    assert result.returncode != 0
    assert "feature_flags : manque category, key" in result.stderr
    assert pg_dump(owner) == before


def test_tables_of_other_names_and_schemas_are_nobodys_business(database_at: Callable[[str], Database]) -> None:
    database = database_at("empty")
    database.execute("create schema other; create table other.sms_logs (id int); create table sms_log (id int)")
    assert found(database) == {}
    Alembic(database).succeeds("upgrade", "head")
    assert database.value("select count(*) from montoit.adopted_tables") == 0


# --- taken over and given back


@pytest.mark.parametrize("half_way", [False, True])
def test_taken_over_switched_on_and_off_and_given_back(empty: Platforms, half_way: bool) -> None:  # noqa: FBT001
    owner = empty.owner
    make_generation_b(owner, half_way=half_way)
    before, rows_before = definitions(owner), rows(owner)
    alembic = Alembic(owner)

    result = alembic.succeeds("upgrade", "head")
    assert "🎉 INTÉGRATION INTOUCH COMPLÈTE ET OPÉRATIONNELLE !" in result.out
    assert owner.value("select count(*) from api_keys where service_name = 'intouch' and is_active") == 6
    assert owner.value("select min(display_name) from api_keys where service_name = 'intouch'") == "intouch : base_url"
    alembic.succeeds("downgrade", "-1")
    message = alembic.refuses("downgrade", "base")
    assert "api_keys : 6 lignes" in message
    assert "sms_logs" not in message

    alembic.succeeds(*GIVE_BACK)
    assert definitions(owner) == before
    assert rows(owner) == rows_before
    alembic.succeeds("upgrade", "head")


def test_every_row_of_others_is_as_it_was_while_we_are_there(whole: Platforms) -> None:
    columns = dict(
        whole.owner.rows(
            "select attrelid::regclass::text, string_agg(quote_ident(attname), ', ' order by attnum) from pg_attribute"
            " join pg_class on pg_class.oid = attrelid where relnamespace = 'public'::regnamespace and relkind = 'r'"
            " and attnum > 0 group by 1"
        )
    )
    ours = {"feature_flags": "false", "feature_flag_history": "actor = 'unknown'", "api_keys": "key_name is null"}

    def everything(condition: dict[str, str]) -> dict[str, Any]:
        return {
            table: sorted(
                map(str, whole.owner.rows(f"select {names} from {table} where {condition.get(table, 'true')}"))
            )
            for table, names in columns.items()
        }

    before = everything({"feature_flags": "false"})
    Alembic(whole.owner).succeeds("upgrade", "head")
    assert everything(ours) == before
    assert len(before) > 10


def test_an_adoption_without_a_deployment_can_be_undone_without_permission(whole: Platforms) -> None:
    before, rows_before = definitions(whole.owner), rows(whole.owner)
    Alembic(whole.owner).succeeds("upgrade", "0007")
    Alembic(whole.owner).succeeds("downgrade", "base")
    assert (definitions(whole.owner), rows(whole.owner)) == (before, rows_before)


def test_the_script_adopts_as_the_command_does(templates: Templates) -> None:
    ends = []
    for by_script in (False, True):
        databases = Platforms(*create_platform(templates, "plain", make_generation_b))
        if by_script:
            result = with_psql(databases.owner, fill_in(script("upgrade", "head")))
            assert (result.returncode, result.stderr) == (0, "")
            assert re.search(r"2 \| feature_flags : ai_chatbot : 0 % → 100 % \(payant", result.stdout)
        else:
            Alembic(databases.owner).succeeds("upgrade", "head")
        ends.append(re.sub(r"[0-9.]+ms|'<moment>'", "", state(databases.owner)))
        templates.drop(databases.superuser.name)
    assert ends[0] == ends[1]
    assert PLACEHOLDERS["INTOUCH_PASSWORD"] not in ends[1]


def test_rights_and_rules_are_those_of_a_fresh_database(adopted: Platforms, database: Database) -> None:
    """But for what the admin page writes, and the function that only the platform has."""
    Alembic(database).succeeds("upgrade", "head")
    policies = "select tablename, policyname, roles::text, cmd, qual, with_check from pg_policies"
    ours = f"({', '.join(repr(table) for table in (*WHOLE, 'payment_logs'))})"
    assert adopted.owner.rows(f"{policies} where tablename in {ours} order by 1, 2") == database.rows(
        f"{policies} where tablename in {ours} order by 1, 2"
    )
    grants = (
        "select c.relname::text, a.grantee::regrole::text, a.privilege_type from pg_class c, aclexplode(c.relacl) a"
        f" where c.relname in {ours} and a.grantee <> c.relowner"
        " union all select p.proname::text, case a.grantee when 0 then 'public' else a.grantee::regrole::text end,"
        " a.privilege_type from pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a"
        " where p.proname in ('check_feature_flag', 'check_feature_flags', 'get_api_keys') and a.grantee <> p.proowner"
        " order by 1, 2, 3"
    )
    assert adopted.owner.rows(grants) == database.rows(grants)
    columns = (
        "select attname::text from pg_attribute, aclexplode(attacl) a where attrelid = 'public.api_keys'::regclass"
        " and a.grantee = 'authenticated'::regrole order by 1"
    )
    assert adopted.owner.rows(columns) == [("environment",), ("is_active",), ("keys",), ("updated_at",)]
    assert adopted.owner.rows(
        "select a.grantee::regrole::text from pg_proc, aclexplode(proacl) a"
        " where proname = 'log_api_usage' and a.grantee <> proowner"
    ) == [("service_role",)]
    assert adopted.owner.value("select proconfig from pg_proc where proname = 'log_api_usage'") == [
        "search_path=public, pg_temp"
    ]


# --- the platform's callers

MESSAGE = (
    "insert into {log} (user_id, phone_number, message, type, partner_transaction_id, {reference}, status, status_code,"
    f" status_message, raw_response) values ('{TENANT}', '+2250701020304', 'm', 'otp', 'new', 'i',"
    " 'sent', 200, 'ok', null)"
)


def test_edge_functions_read_their_keys(adopted: Platforms) -> None:
    assert value(adopted.superuser, SERVICE, "select get_api_keys('brevo')") == {"api_key": "legacy-brevo"}
    assert value(adopted.superuser, SERVICE, "select get_api_keys('off')") is None
    assert len(value(adopted.superuser, SERVICE, "select get_api_keys('intouch')")) == 6
    for caller in (ANON, TENANT_CALLER, SELF_MADE, ADMINISTRATOR):
        assert attempt(adopted.superuser, caller, "select get_api_keys('brevo')") == DENIED


def test_a_service_of_the_platforms_that_is_called_intouch_stays_its_own(whole: Platforms) -> None:
    whole.owner.execute(
        "insert into api_keys (service_name, display_name, keys) values ('intouch', 'InTouch', '{\"old\": \"x\"}')"
    )
    before = rows(whole.owner)
    alembic = Alembic(whole.owner)
    alembic.succeeds("upgrade", "head")
    keys = value(whole.superuser, SERVICE, "select get_api_keys('intouch')")
    assert (keys["old"], keys["password"]) == ("x", PRODUCTION["INTOUCH_PASSWORD"])
    alembic.succeeds("downgrade", "-1")
    assert value(whole.superuser, SERVICE, "select get_api_keys('intouch')") is None
    alembic.succeeds(*GIVE_BACK)
    assert rows(whole.owner) == before


@pytest.mark.parametrize(
    "statement",
    [
        MESSAGE.format(log="sms_logs", reference="intouch_sms_id"),
        MESSAGE.format(log="whatsapp_logs", reference="intouch_message_id"),
        "insert into api_keys (service_name, display_name, keys) values ('new', 'New', '{\"api_key\": \"x\"}')",
        "select log_api_usage('brevo', 'send', 'success')",
    ],
)
def test_edge_functions_write(adopted: Platforms, statement: str) -> None:
    assert attempt(adopted.superuser, SERVICE, statement) == 1
    assert attempt(adopted.superuser, TENANT_CALLER, statement) == DENIED
    assert attempt(adopted.superuser, ANON, statement) == DENIED


@pytest.mark.parametrize(
    ("statement", "administrator", "self_made"),
    [
        ("select * from api_keys where key_name is null", 25, 0),
        ("update api_keys set is_active = not is_active where service_name = 'brevo'", 1, 0),
        ("update api_keys set keys = '{\"api_key\": \"new\"}' where service_name = 'brevo'", 1, 0),
        ("update api_keys set environment = 'sandbox' where service_name = 'brevo'", 1, 0),
        ("update api_keys set service_name = 'evil' where service_name = 'brevo'", DENIED, DENIED),
        ("update api_keys set is_active = false where service_name = 'intouch'", 6, 0),
        ("select * from feature_flags", 39, 39),
        ("update feature_flags set is_enabled = true where key = 'debug_mode'", 1, 0),
        ("select * from feature_flag_history where actor <> 'unknown'", 22, 0),
    ],
)
def test_administrators_go_on_and_self_made_ones_do_not(
    adopted: Platforms, statement: str, administrator: int | str, self_made: int | str
) -> None:
    assert attempt(adopted.superuser, ADMINISTRATOR, statement) == administrator
    assert attempt(adopted.superuser, SELF_MADE, statement) == self_made


def test_administrators_move_no_credential_of_ours_to_another_environment(adopted: Platforms) -> None:
    statement = "update api_keys set environment = 'sandbox' where service_name = 'intouch'"
    assert attempt(adopted.superuser, ADMINISTRATOR, statement) == DENIED


def test_who_is_named_administrates(adopted: Platforms) -> None:
    adopted.owner.execute(f"insert into montoit.administrators (user_id) values ('{OPERATOR}')")
    assert attempt(adopted.superuser, SELF_MADE, "select * from api_keys where key_name is null") == 25


def test_foreign_keys_to_api_keys_hold(adopted: Platforms) -> None:
    adopted.owner.execute(
        "insert into service_providers (api_key_id) select id from api_keys where service_name = 'pdf'"
    )
    with pytest.raises(DBAPIError, match="violates foreign key"):
        adopted.owner.execute("insert into service_providers (api_key_id) values (gen_random_uuid())")
    assert (
        adopted.owner.value(
            "select count(*) from pg_constraint where confrelid = 'public.api_keys'::regclass and contype = 'f'"
        )
        == 5
    )


def test_a_service_has_one_row_as_before(adopted: Platforms) -> None:
    with pytest.raises(DBAPIError, match="api_keys_platform_service_name_key"):
        adopted.owner.execute("insert into api_keys (service_name, display_name) values ('brevo', 'Brevo again')")


def test_a_change_of_a_flag_is_kept_when_the_flag_goes(adopted: Platforms) -> None:
    with make_engine(adopted.superuser.url).begin() as connection:
        connection.exec_driver_sql(f"set local role {ADMINISTRATOR.role}")
        connection.exec_driver_sql(
            "select set_config('request.jwt.claims', %(claims)s, true)", {"claims": ADMINISTRATOR.claims}
        )
        connection.exec_driver_sql("delete from feature_flags where key = 'debug_mode'")
    assert adopted.owner.rows(
        "select action, changed_by::text from feature_flag_history where flag_key = 'debug_mode' and actor <> 'unknown'"
    ) == [("deleted", OPERATOR)]


def test_roles_come_from_the_platforms_tables(adopted: Platforms) -> None:
    """For targeting; whoever makes himself an administrator in his profile gets nothing by it."""
    adopted.owner.execute(
        "update feature_flags set is_enabled = true, rollout_percentage = 100 where key = 'debug_mode'"
    )
    for roles, served in (("{agence}", AGENCY), ("{user}", TENANT), ("{admin_ansut}", None), ("{admin}", OPERATOR)):
        adopted.owner.execute(f"update feature_flags set allowed_roles = '{roles}' where key = 'debug_mode'")
        for person in (TENANT, AGENCY, OPERATOR):
            answer = value(adopted.superuser, SERVICE, f"select check_feature_flag('debug_mode', '{person}')")
            assert answer is (person == served), (roles, person)
    adopted.owner.execute(
        "update user_role_assignments set is_active = false;"
        "update feature_flags set allowed_roles = '{agence}' where key = 'debug_mode'"
    )
    assert value(adopted.superuser, SERVICE, f"select check_feature_flag('debug_mode', '{AGENCY}')") is False


# --- shares


def test_flags_meant_for_everyone_reach_everyone(whole: Platforms) -> None:
    meant = whole.owner.rows("select key from feature_flags where is_enabled order by key")
    assert len(meant) == 15
    stamps = "select max(updated_at) from feature_flags"
    before = whole.owner.value(stamps)
    result = Alembic(whole.owner).succeeds("upgrade", "0007")
    assert whole.owner.value(stamps) == before
    changed = whole.owner.rows(
        "select flag_key from feature_flag_history where previous_value ->> 'rollout_percentage' = '0'"
        " and new_value ->> 'rollout_percentage' = '100' order by flag_key"
    )
    assert changed == meant
    for (key,) in meant:
        assert re.search(rf"- {key} : 0 % → 100 %{' .payant' if key.startswith('ai_') else ''}", result.out)
    assert value(whole.superuser, SERVICE, f"select check_feature_flag('monartisan', '{TENANT}')") is True


def test_shares_are_left_where_the_operator_says_so(whole: Platforms) -> None:
    alembic = Alembic(whole.owner)
    for unclear in ("keep-rollout=oui", "keep-rolout=yes"):
        assert "rien n'a été modifié" in alembic.refuses("-x", unclear, "upgrade", "head")
    result = alembic.succeeds("-x", "keep-rollout=yes", "upgrade", "head")
    assert whole.owner.value("select max(rollout_percentage) from feature_flags where key = 'monartisan'") == 0
    assert "monartisan : actif, laissé à 0 %, ne sert plus personne" in result.out


def test_a_flag_that_the_platform_removed_stays_away(whole: Platforms) -> None:
    whole.owner.execute("delete from feature_flags where key in ('ai_chatbot', 'orange_money')")
    Alembic(whole.owner).succeeds("upgrade", "0007")
    found = whole.owner.rows("select key, is_enabled from feature_flags where key in ('ai_chatbot', 'orange_money')")
    assert found == [("orange_money", False)]


def test_a_script_leaves_them_too(whole: Platforms) -> None:
    text = script("-x", "keep-rollout=yes", "upgrade", "head")
    assert with_psql(whole.owner, fill_in(text)).returncode == 0
    assert whole.owner.value("select rollout_percentage from feature_flags where key = 'monartisan'") == 0


def test_a_share_that_somebody_chose_since_is_kept(whole: Platforms) -> None:
    alembic = Alembic(whole.owner)
    alembic.succeeds("upgrade", "0007")
    whole.owner.execute("update feature_flags set rollout_percentage = 30 where key = 'monartisan'")
    alembic.succeeds(*GIVE_BACK)
    shares = dict(whole.owner.rows("select key, rollout_percentage from feature_flags where is_enabled"))
    assert shares.pop("monartisan") == 30
    assert set(shares.values()) == {0}


def test_flags_without_a_value_are_off_until_they_are_given_back(whole: Platforms) -> None:
    whole.owner.execute(
        "update feature_flags set is_enabled = null, allowed_roles = null, rollout_percentage = null"
        " where key = 'debug_mode'"
    )
    before = rows(whole.owner)
    alembic = Alembic(whole.owner)
    result = alembic.succeeds("upgrade", "head")
    assert "is_enabled" in result.out
    assert value(whole.superuser, SERVICE, f"select check_feature_flag('debug_mode', '{TENANT}')") is False
    alembic.succeeds("downgrade", "-1")
    alembic.succeeds(*GIVE_BACK)
    assert [row for row in rows(whole.owner) if "feature_flags " in row] == [
        row for row in before if "feature_flags " in row
    ]


# --- what operators are told


def test_the_upgrade_lists_what_it_closed(whole: Platforms) -> None:
    out = Alembic(whole.owner).succeeds("upgrade", "head").out
    text = " ".join(out.split())
    for told in (
        "REPRISE DES TABLES EXISTANTES",
        "règle « Admins can view » (select pour authenticated), retirée",
        "fonction get_api_keys(text), remplacée",
        "droits retirés à anon, authenticated, service_role",
        "déclencheur trigger_log_feature_flag_change, remplacé",
        f"perdent leurs droits d'administrateur (profiles.user_type) : {OPERATOR}",
        "(on_conflict=service_name) échoue désormais",
        "insert into montoit.administrators (user_id) values",
    ):
        assert told in text
    assert max(map(len, out.splitlines())) <= 80
    assert "REPRISE" not in Alembic(whole.owner).succeeds("upgrade", "head").out


def test_check_describes_what_will_be_done_table_by_table(whole: Platforms) -> None:
    before = pg_dump(whole.owner)
    with make_engine(whole.owner.url).connect() as connection:
        told = adoption.planned(connection)
    assert pg_dump(whole.owner) == before
    assert set(told) == set(WHOLE)
    assert "colonnes ajoutées : endpoint, key_name, key_value, metadata, secret_id" in told["api_keys"]
    assert any("ai_chatbot" in line and "0 % → 100 %" in line for line in told["feature_flags"])
    assert any(OPERATOR in line for line in told["api_keys"])
    Alembic(whole.owner).succeeds("upgrade", "head")
    with make_engine(whole.owner.url).connect() as connection:
        done = adoption.done(connection)
    for table, lines in told.items():  # whatever is closed is announced
        announced = {line for line in lines if line.startswith(("règle", "droits", "fonction", "déclencheur"))}
        assert announced == {line for line in done[table] if line.startswith(("règle", "droits", "fonction", "décl"))}
    code, problems = run_check(whole.owner)
    assert code == 0, problems


def test_functions_without_their_tables_are_described_replaced_and_given_back(whole: Platforms) -> None:
    whole.owner.execute("drop table feature_flags cascade; drop table feature_flag_overrides, feature_flag_history")
    before = definitions(whole.owner)
    code, problems = run_check(whole.owner)
    assert code == 0, problems
    alembic = Alembic(whole.owner)
    assert "fonction check_feature_flag(text, uuid), remplacée" in alembic.succeeds("upgrade", "0007").out
    alembic.succeeds(*GIVE_BACK)
    assert definitions(whole.owner) == before


def test_check_names_the_functions_that_the_role_cannot_replace(whole: Platforms) -> None:
    whole.superuser.execute("alter function log_api_usage owner to postgres")
    code, problems = run_check(whole.owner)
    assert code == 1
    assert "log_api_usage" in problems["Droits"][0]["message"]


def test_alembic_check_overlooks_what_was_there_and_nothing_else(adopted: Platforms) -> None:
    alembic = Alembic(adopted.owner)
    alembic.succeeds("check")
    for surprise, named in (
        ("alter table sms_logs add surprise text", "surprise"),
        ("drop index idx_payment_logs_user_id", "idx_payment_logs_user_id"),
        ("alter table whatsapp_logs drop column provider", "provider"),
        ("create index idx_surprise on feature_flags (name)", "idx_surprise"),
        ("alter table feature_flags alter is_enabled set default true", "is_enabled"),
    ):
        adopted.owner.execute(surprise)
        result = alembic("check")
        assert result.code != 0
        assert named in result.err


# --- awkward tables


def test_rows_that_meet_no_constraint_of_ours_are_let_be(whole: Platforms) -> None:
    whole.owner.execute("update sms_logs set status = 'queued' where partner_transaction_id = 'SMS_1'")
    before = rows(whole.owner)
    alembic = Alembic(whole.owner)
    out = " ".join(alembic.succeeds("upgrade", "head").out.split())
    assert "contrainte sms_logs_status_check non ajoutée : des lignes ne la respectent pas" in out
    insert = (
        "insert into sms_logs (phone_number, message, partner_transaction_id, status) values ('1', 'm', 'n', 'queued')"
    )
    assert attempt(whole.superuser, SERVICE, insert) == 1
    alembic.succeeds(*GIVE_BACK)
    assert rows(whole.owner) == before


def test_columns_whose_type_has_no_equality(whole: Platforms) -> None:
    for table in ("feature_flags", "api_keys"):
        whole.owner.execute(f"alter table {table} add column settings json; update {table} set settings = '[1]'")
    Alembic(whole.owner).succeeds("upgrade", "head")
    history = "select count(*) from feature_flag_history"
    before = whole.owner.value(history)
    whole.owner.execute("update feature_flags set name = name; update api_keys set is_active = is_active")
    assert whole.owner.value(history) == before
    whole.owner.execute("update feature_flags set settings = '[2]' where key = 'debug_mode'")
    assert whole.owner.value(history) == before + 1


def test_history_of_a_flag_that_was_deleted_comes_back_without_it(whole: Platforms) -> None:
    whole.owner.execute(
        "insert into feature_flag_history (feature_flag_id, action, reason)"
        " select id, 'updated', 'legacy' from feature_flags where key = 'debug_mode'"
    )
    alembic = Alembic(whole.owner)
    alembic.succeeds("upgrade", "0007")
    whole.owner.execute("delete from feature_flags where key = 'debug_mode'")
    alembic.succeeds(*GIVE_BACK)
    assert whole.owner.value("select count(*) from feature_flag_history where reason = 'legacy'") == 1
    assert (
        whole.owner.value(
            "select convalidated from pg_constraint where conname = 'feature_flag_history_feature_flag_id_fkey'"
        )
        is False
    )


AWKWARD = {
    "overloads": """
        create function get_api_keys(service text, environment text) returns jsonb language sql security definer as
            'select keys from api_keys where service_name = $1';
        comment on function get_api_keys(text, text) is 'Theirs.';
    """,
    "comments": """
        comment on table api_keys is 'Theirs.';
        comment on column sms_logs.user_id is 'Theirs.';
        comment on function get_api_keys(text) is 'Theirs.';
        comment on policy "Admins can view" on api_keys is 'Theirs.';
        comment on trigger trigger_log_feature_flag_change on feature_flags is 'Theirs.';
        comment on constraint api_keys_service_name_key on api_keys is 'Theirs.';
    """,
    "switches": """
        alter table sms_logs disable row level security;
        alter table feature_flags disable trigger trigger_log_feature_flag_change;
        alter table whatsapp_logs force row level security;
    """,
    "grants": """
        grant select (service_name, is_active) on api_keys to anon;
        grant insert on sms_logs to authenticated with grant option;
    """,
    "a restrictive policy": """
        create policy "No""body" on whatsapp_logs as restrictive for delete to public using (false);
    """,
    "no overrides": "drop table feature_flag_overrides",
    "no flags, but overrides": "drop table feature_flags cascade",
    "an index of a likely name": "create index idx_api_keys_service_name on api_keys (service_name)",
    "an index instead of a constraint": """
        alter table api_keys drop constraint api_keys_service_name_key;
        create unique index theirs on api_keys (service_name);
    """,
    "a function without a default": """
        drop function check_feature_flag;
        create function check_feature_flag(flag_key text, user_id uuid) returns boolean language sql as 'select true';
    """,
    "triggers of our names": """
        create function theirs() returns trigger language plpgsql as 'begin return new; end';
        create trigger touch_updated_at before update on api_keys for each row execute function theirs();
    """,
    "a check of another name": """
        alter table feature_flag_history rename constraint feature_flag_history_action_check to other;
    """,
    "a check that is narrower": """
        alter table whatsapp_logs drop constraint whatsapp_logs_status_check,
            add constraint whatsapp_logs_status_check check (status in ('read', 'queued', 'sent'));
    """,
    "a deferred trigger": """
        create function theirs() returns trigger language plpgsql as 'begin return null; end';
        create constraint trigger late after insert or update or delete on feature_flags
            deferrable initially deferred for each row execute function theirs();
    """,
}


@pytest.mark.parametrize("kind", AWKWARD)
def test_awkward_definitions_come_back(whole: Platforms, kind: str) -> None:
    whole.owner.execute(AWKWARD[kind])
    before, rows_before = definitions(whole.owner), rows(whole.owner)
    alembic = Alembic(whole.owner)
    assert "Services activés : 7/7" in alembic.succeeds("upgrade", "head").out
    assert attempt(whole.superuser, ANON, "select service_name from api_keys") == DENIED
    assert whole.owner.value("select count(*) from pg_proc where proname = 'get_api_keys'") == 1
    whole.owner.execute("insert into feature_flags (key, name, category) values ('x', 'X', 'x')")
    whole.owner.execute("delete from feature_flags where key = 'x'")
    with pytest.raises(DBAPIError, match="duplicate key"):
        whole.owner.execute("insert into api_keys (service_name, display_name) values ('brevo', 'Brevo again')")
    alembic.succeeds("downgrade", "-1")
    alembic.succeeds(*GIVE_BACK)
    assert definitions(whole.owner) == before
    assert rows(whole.owner) == rows_before


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ("alter table api_keys add key_name text", "api_keys : a déjà key_name"),
        ("alter table feature_flag_history add actor text", "feature_flag_history : a déjà actor"),
        ("create rule r as on delete to api_keys do instead nothing", "api_keys : a des règles"),
        (
            "create unique index theirs on api_keys (service_name, environment)",
            "api_keys : unicité inconnue : theirs",
        ),
        ("create unique index theirs on api_keys (lower(service_name))", "api_keys : unicité inconnue : theirs"),
        (
            "alter table feature_flags drop constraint feature_flags_key_key, add unique (key) deferrable",
            "feature_flags : pas unique : key",
        ),
        ("alter table feature_flags alter allowed_roles drop default", "sans valeur par défaut : allowed_roles"),
        ("alter table feature_flags alter category drop not null", "feature_flags : peut être nul : category"),
        (
            "create table theirs (service text references api_keys (service_name))",
            "api_keys : clé étrangère vers service_name : public.theirs",
        ),
    ],
)
def test_what_would_fail_later_is_refused_first(whole: Platforms, change: str, difference: str) -> None:
    whole.owner.execute(change)
    assert difference in Alembic(whole.owner).refuses("upgrade", "head")


def test_a_table_of_another_owner_is_refused_first(whole: Platforms) -> None:
    whole.superuser.execute("alter table sms_logs owner to postgres")
    whole.superuser.execute(f"grant all on sms_logs to {whole.owner.url.username}")
    assert "sms_logs : appartient à postgres" in Alembic(whole.owner).refuses("upgrade", "head")


def test_before_anything_is_ours_nothing_is_lost(whole: Platforms) -> None:
    before = definitions(whole.owner)
    Alembic(whole.owner).succeeds("upgrade", "0001")
    Alembic(whole.owner).succeeds("downgrade", "base")
    assert definitions(whole.owner) == before


def test_an_override_on_a_flag_of_ours_is_counted(whole: Platforms) -> None:
    whole.owner.execute("delete from feature_flags where key = 'orange_money'")
    alembic = Alembic(whole.owner)
    alembic.succeeds("upgrade", "0007")
    whole.owner.execute(
        "insert into feature_flag_overrides (feature_flag_id, user_id, is_enabled)"
        f" select id, '{TENANT}', true from feature_flags where key = 'orange_money'"
    )
    assert "feature_flag_overrides : 1 ligne" in alembic.refuses("downgrade", "base")


def test_nobodys_functions_are_run_for_us(whole: Platforms) -> None:
    """What the path would offer is not what a revision calls."""
    for signature in ("format(text, text)", "format(text, name)", "replace(text, text, text)"):
        whole.superuser.execute(
            f"create function public.{signature} returns text language plpgsql as 'begin raise exception $$trap$$; end'"
        )
    alembic = Alembic(whole.owner)
    alembic.succeeds("upgrade", "head")
    alembic.succeeds("downgrade", "-1")
    alembic.succeeds(*GIVE_BACK)


def test_a_trigger_that_sees_credentials_is_named_and_quotes_none(whole: Platforms) -> None:
    whole.owner.execute(
        """
        create function theirs() returns trigger language plpgsql as
            $$ begin raise exception 'no: %', to_jsonb(old); end $$;
        create trigger audit before delete on api_keys for each row execute function theirs();
        """
    )
    alembic = Alembic(whole.owner)
    out = " ".join(alembic.succeeds("upgrade", "head").out.split())
    assert "déclencheur audit gardé : il verra passer les identifiants InTouch" in out
    alembic.succeeds("downgrade", "-1")
    result = alembic(*GIVE_BACK)  # searched for secrets, as every run is
    assert result.code == 1
    assert "api_keys n'a pas pu être rendue (rows of ours)" in result.err


def test_an_operators_changes_since_then_do_not_stop_the_way_back(whole: Platforms) -> None:
    alembic = Alembic(whole.owner)
    alembic.succeeds("upgrade", "0007")
    whole.owner.execute(
        """
        drop index idx_whatsapp_logs_user_id;
        drop policy "users read their own" on sms_logs;
        create policy "Users can view own SMS" on sms_logs for select to authenticated using (false);
        create policy "Theirs" on sms_logs for select to authenticated using (true);
        drop trigger touch_updated_at on feature_flags;
        """
    )
    alembic.succeeds("downgrade", "base")
    assert whole.owner.rows("select policyname from pg_policies where tablename = 'sms_logs' order by 1") == [
        ("Service role full access",),
        ("Theirs",),
        ("Users can view own SMS",),
    ]


def test_a_function_that_others_use_is_not_torn_from_them(whole: Platforms) -> None:
    """Its place is taken and given back; whatever calls it never misses it."""
    whole.owner.execute("create view theirs as select check_feature_flag('monartisan') as is_on")
    before = definitions(whole.owner)
    alembic = Alembic(whole.owner)
    alembic.succeeds("upgrade", "head")
    assert whole.owner.value("select is_on from theirs") is True
    alembic.succeeds("downgrade", "-1")
    alembic.succeeds(*GIVE_BACK)
    assert definitions(whole.owner) == before


def test_a_large_log_gets_its_indexes_while_others_write(whole: Platforms) -> None:
    """One that an interruption left INVALID is built anew; the log is read for a constraint without being locked."""
    whole.owner.execute(LARGE + "drop index idx_sms_logs_created_at; drop index idx_sms_logs_user_id")
    whole.owner.execute("create index idx_sms_logs_user_id on sms_logs (user_id)")
    whole.superuser.execute(
        "update pg_index set indisvalid = false where indexrelid = 'idx_sms_logs_user_id'::regclass"
    )
    invalid = whole.owner.value("select 'idx_sms_logs_user_id'::regclass::oid")
    Alembic(whole.owner).succeeds("upgrade", "head")
    assert whole.owner.rows(
        "select indexrelid::regclass::text, indisvalid from pg_index join pg_class on pg_class.oid = indexrelid"
        " where relname in ('idx_sms_logs_created_at', 'idx_sms_logs_user_id') order by 1"
    ) == [("idx_sms_logs_created_at", True), ("idx_sms_logs_user_id", True)]
    assert whole.owner.value("select 'idx_sms_logs_user_id'::regclass::oid") != invalid
    assert whole.owner.value("select bool_and(convalidated) from pg_constraint where conrelid = 'sms_logs'::regclass")


def test_the_indexes_do_not_wait_for_our_own_lock(whole: Platforms) -> None:
    """A run that begins with them, after an interruption, say, has nothing else behind it."""
    alembic = Alembic(whole.owner)
    alembic.succeeds("upgrade", "0005")
    whole.owner.execute(LARGE + "drop index idx_sms_logs_created_at")
    alembic.succeeds("upgrade", "head", environment={**PRODUCTION, "MONTOIT_LOCK_RETRIES": "0"})


def test_the_script_leaves_large_indexes_to_be_run_alone(whole: Platforms) -> None:
    whole.owner.execute(LARGE + "drop index idx_sms_logs_user_id")
    result = with_psql(whole.owner, fill_in(script("upgrade", "head")))
    assert result.returncode == 0, result.stderr
    left = re.findall(r"À EXÉCUTER ENSUITE, SEUL : (.*?;)", result.stdout)
    assert left == [
        "alter table public.sms_logs validate constraint sms_logs_status_check;",
        "create index concurrently idx_sms_logs_user_id on public.sms_logs (user_id);",
    ]
    for statement in left:
        engine = make_engine(whole.owner.url).execution_options(isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql(statement)
    Alembic(whole.owner).succeeds("check")


# --- the platform's callers, one by one


@pytest.mark.parametrize(
    "by", ["id = (select id from api_keys where service_name = 'brevo')", "service_name = 'brevo'"]
)
def test_an_administrator_saves_keys_with_the_moment(adopted: Platforms, by: str) -> None:
    statement = f'update api_keys set keys = \'{{"api_key": "new"}}\', updated_at = now() where {by}'
    assert attempt(adopted.superuser, ADMINISTRATOR, statement) == 1
    assert attempt(adopted.superuser, SELF_MADE, statement) == 0
    assert attempt(adopted.superuser, ANON, statement) == DENIED


LAST_USED = "select last_used_at from api_keys where service_name = 'brevo'"


def ask_for_keys(database: Database, before: str = "select") -> Any:  # noqa: ANN401 -- whatever the function returns
    """Ask as the service does, and commit."""
    with make_engine(database.url).begin() as connection:
        connection.exec_driver_sql(before)
        connection.exec_driver_sql("set local role service_role")
        return connection.exec_driver_sql("select get_api_keys('brevo')").scalar_one()


def test_the_last_use_of_the_platforms_services_is_noted_once_a_minute(adopted: Platforms) -> None:
    assert adopted.superuser.value(LAST_USED) is None
    ask_for_keys(adopted.superuser)
    first = adopted.superuser.value(LAST_USED)
    ask_for_keys(adopted.superuser)
    assert adopted.superuser.value(LAST_USED) == first is not None
    adopted.superuser.execute("update api_keys set last_used_at = now() - interval '2 minutes'")
    ask_for_keys(adopted.superuser)
    assert adopted.superuser.value(LAST_USED) > first


def test_keys_are_read_where_their_last_use_cannot_be_noted(adopted: Platforms) -> None:
    keys = {"api_key": "legacy-brevo"}
    assert ask_for_keys(adopted.superuser, "set transaction read only") == keys
    adopted.owner.execute(
        "create function theirs() returns trigger language plpgsql as"
        " $$ begin perform * from nowhere; return new; end $$;"
        "create trigger theirs before update on api_keys for each row execute function theirs()"
    )
    assert ask_for_keys(adopted.superuser) == keys


AUTH = f"""
do $$ begin create role supabase_auth_admin login noinherit createrole password 'auth'; exception
when duplicate_object then null; end $$;
alter schema auth owner to supabase_auth_admin;
grant usage on schema auth to {OWNER};
alter table auth.users owner to supabase_auth_admin;
grant select, references on table auth.users to {OWNER};
"""
TRACES = f"""
insert into feature_flag_overrides (feature_flag_id, user_id, is_enabled, created_by)
select id, '{{user}}', true, '{{user}}' from feature_flags where key = 'debug_mode';
insert into feature_flag_overrides (feature_flag_id, user_id, is_enabled, created_by)
select id, '{AGENCY}', true, '{{user}}' from feature_flags where key = 'debug_mode';
insert into feature_flag_history (feature_flag_id, {{columns}} action, changed_by)
select id, {{values}} 'updated', '{{user}}' from feature_flags where key = 'debug_mode';
update feature_flags set created_by = '{{user}}', updated_by = '{{user}}' where key = 'debug_mode';
insert into sms_logs (user_id, phone_number, message, partner_transaction_id) values ('{{user}}', '1', 'm', 'his');
insert into whatsapp_logs (user_id, phone_number, message, partner_transaction_id) values ('{{user}}', '1', 'm', 'his');
"""


@pytest.mark.parametrize("is_before", [True, False])
def test_deleting_a_user_works_as_the_role_that_supabase_uses(whole: Platforms, is_before: bool) -> None:  # noqa: FBT001
    """With overrides, history and logs of his, those that were there before us and those that came since."""
    whole.superuser.execute(AUTH)
    traces = TRACES.replace("{user}", TENANT)
    if is_before:
        whole.owner.execute(traces.replace("{columns}", "").replace("{values}", ""))
    Alembic(whole.owner).succeeds("upgrade", "head")
    if not is_before:
        whole.owner.execute(
            traces.replace("{columns}", "flag_key, actor,").replace("{values}", "key, 'montoit_owner',")
            + f"insert into payment_logs (user_id, amount, payment_method, partner_transaction_id)"
            f" values ('{TENANT}', 1, 'wave', 'his')"
        )
    auth = Database(whole.owner.url.set(username="supabase_auth_admin", password="auth"))
    auth.execute(f"delete from auth.users where id = '{TENANT}'")
    assert whole.owner.value(f"select count(*) from feature_flag_overrides where user_id = '{TENANT}'") == 0
    assert whole.owner.value(f"select count(*) from feature_flag_history where changed_by = '{TENANT}'") == 1
    assert (
        whole.owner.value("select count(*) from sms_logs where partner_transaction_id = 'his' and user_id is null") == 1
    )
    Alembic(whole.owner).succeeds("downgrade", "-1")
    Alembic(whole.owner).succeeds(*GIVE_BACK)


# --- says all it does, and does no more


def test_a_piloted_service_keeps_its_share(whole: Platforms) -> None:
    whole.owner.execute(
        "update feature_flags set is_enabled = true, rollout_percentage = 20, credentials_status = 'sandbox'"
        " where key = 'orange_money'"
    )
    share = "select rollout_percentage from feature_flags where key = 'orange_money'"
    with make_engine(whole.owner.url).connect() as connection:
        assert any("orange_money : actif pour 20 %" in line for line in adoption.planned(connection)["feature_flags"])
    alembic = Alembic(whole.owner)
    out = " ".join(alembic.succeeds("upgrade", "head").out.split())
    assert "orange_money : actif pour 20 % des utilisateurs, une part que l'activation garde" in out
    assert whole.owner.value(share) == 20
    assert whole.owner.value("select rollout_percentage from feature_flags where key = 'mtn_money'") == 100
    alembic.succeeds("downgrade", "-1")
    alembic.succeeds("upgrade", "head", environment={**PRODUCTION, "INTOUCH_ROLLOUT_PERCENTAGE": "30"})
    assert whole.owner.value(share) == 30


def test_columns_that_may_not_be_null_any_more_are_named(whole: Platforms) -> None:
    whole.owner.execute("update feature_flags set metadata = null where key = 'debug_mode'")
    out = " ".join(Alembic(whole.owner).succeeds("upgrade", "0007").out.split())
    assert (
        "deviennent obligatoires (not null) : allowed_roles, credentials_status, is_enabled, metadata,"
        " requires_credentials, rollout_percentage"
    ) in out
    assert "1 ligne sans metadata" in out
    assert (
        whole.owner.rows(
            "select attname::text from pg_attribute where attrelid = 'sms_logs'::regclass and attnotnull and attnum > 0"
            " and attname in ('user_id', 'type', 'created_at') order by 1"
        )
        == []
    ), "a column of the platform's that was not named may be null as before"


@pytest.mark.parametrize("half_way", [True, False])
def test_flags_that_the_platform_had_none_of_are_named(owner: Database, half_way: bool) -> None:  # noqa: FBT001
    make_generation_b(owner, half_way=half_way)
    if not half_way:
        owner.execute("delete from feature_flags")
    code, problems = run_check(owner)
    (warned,) = problems["Reprise"]
    assert (code, warned["level"]) == (0, "warning")
    out = " ".join(Alembic(owner).succeeds("upgrade", "0007").out.split())
    seeded = [key for (key,) in owner.rows("select key from feature_flags where is_enabled order by key")]
    assert len(seeded) == 15
    assert f"{len(seeded)} flags ajoutés et actifs, la plateforme n'en avait aucun : " in out
    assert all(key in out for key in seeded)
    paid = tuple(key for key in seeded if key.startswith("ai_"))
    assert paid == adoption.PAID_SEEDS
    assert all(key in warned["message"] for key in paid)


def test_a_fresh_database_is_told_of_no_adoption(database: Database) -> None:
    assert "REPRISE" not in Alembic(database).succeeds("upgrade", "head").out


def test_check_warns_of_what_will_cost_money(whole: Platforms) -> None:
    paid = whole.owner.rows("select key from feature_flags where is_enabled and key like 'ai%' order by 1")
    code, problems = run_check(whole.owner)
    (warned,) = problems["Reprise"]
    assert (code, warned["level"]) == (0, "warning")
    assert warned["message"].endswith(", ".join(key for (key,) in paid))
    assert "-x keep-rollout=yes" in warned["remedy"]
    text = run("montoit-db", "check", environment=on(whole.owner))
    assert text.returncode == 0
    assert "⚠ Reprise : payants à l'appel" in text.stdout


def test_the_service_is_told_that_it_goes_on(whole: Platforms) -> None:
    out = " ".join(Alembic(whole.owner).succeeds("upgrade", "0007").out.split())
    assert "droits retirés à anon, authenticated, service_role ; service_role reçoit les nôtres : lire et écrire" in out
    assert "service_role continue de l'appeler" in out


def test_nobody_is_shown_sql_that_he_does_not_need(whole: Platforms) -> None:
    whole.owner.execute("update profiles set user_type = 'agence'")
    assert "insert into" not in Alembic(whole.owner).succeeds("upgrade", "0007").out


def test_what_the_platforms_index_kept_is_said_before_it_is_lost_and_comes_back(whole: Platforms) -> None:
    whole.owner.execute(
        """
        alter table api_keys alter service_name set not null, cluster on api_keys_service_name_key,
            replica identity using index api_keys_service_name_key;
        create publication theirs for table api_keys;
        """
    )
    before = definitions(whole.owner)
    code, problems = run_check(whole.owner)
    assert code == 0
    assert any("CLUSTER et REPLICA IDENTITY par api_keys_service_name_key" in f["message"] for f in problems["Reprise"])
    alembic = Alembic(whole.owner)
    out = " ".join(alembic.succeeds("upgrade", "head").out.split())
    assert "CLUSTER sur api_keys_service_name_key est perdu" in out
    assert "REPLICA IDENTITY (api_keys_service_name_key)" in out
    alembic.succeeds("downgrade", "-1")
    alembic.succeeds(*GIVE_BACK)
    assert definitions(whole.owner) == before


# --- steps, waits, and what stops the way back


@pytest.mark.parametrize("stop", ["0002", "0003", "0004", "0005"])
def test_it_may_stop_anywhere_and_go_either_way(whole: Platforms, stop: str) -> None:
    before, rows_before = definitions(whole.owner), rows(whole.owner)
    alembic = Alembic(whole.owner)
    there = []
    for _ in range(2):
        alembic.succeeds("upgrade", stop)
        alembic.succeeds("upgrade", "0007")
        alembic.succeeds("downgrade", stop)
        there.append(definitions(whole.owner))
    assert there[0] == there[1]
    alembic.succeeds("downgrade", "base")
    assert definitions(whole.owner) == before
    assert rows(whole.owner) == rows_before


def test_a_table_that_came_in_between_is_not_taken_in_silence(owner: Database) -> None:
    Alembic(owner).succeeds("upgrade", "0003")
    owner.execute("create table api_keys (id uuid primary key)")
    message = Alembic(owner).refuses("upgrade", "0007")
    assert "api_keys : apparue depuis le début de la reprise" in message
    assert "alembic downgrade base" in message


def test_a_table_that_was_damaged_in_between_is_refused_by_name(whole: Platforms) -> None:
    Alembic(whole.owner).succeeds("upgrade", "0002")
    whole.owner.execute("alter table sms_logs drop column phone_number; alter table feature_flags drop column category")
    assert "feature_flags : manque category" in Alembic(whole.owner).refuses("upgrade", "0007")


@pytest.mark.parametrize("read", ["sms_logs", "auth.users"])
def test_a_reader_of_one_table_keeps_nobody_from_the_others(whole: Platforms, read: str) -> None:
    """All locks or none: while we wait for one table, nobody waits for us at another."""
    longest = 0.0
    with make_engine(whole.owner.url).connect() as reader:
        reader.exec_driver_sql(f"select count(*) from {read}")
        with ThreadPoolExecutor() as pool, make_engine(whole.owner.url).connect() as caller:
            upgrade = pool.submit(Alembic(whole.owner), "upgrade", "0007")
            until = time.monotonic() + 2
            while time.monotonic() < until:
                for table in ("feature_flags", "api_keys", "whatsapp_logs"):
                    start = time.monotonic()
                    caller.exec_driver_sql(f"select count(*) from {table}")
                    caller.commit()
                    longest = max(longest, time.monotonic() - start)
            assert not upgrade.done(), upgrade.result()
            reader.rollback()
            assert upgrade.result().code == 0
    assert longest < 0.5


@pytest.mark.parametrize("table", ["whatsapp_logs", "auth.users"])
def test_somebodys_lock_is_named_when_patience_ends(whole: Platforms, table: str) -> None:
    environment = {**PRODUCTION, "MONTOIT_LOCK_TIMEOUT": "0.2", "MONTOIT_LOCK_RETRIES": "0"}
    with make_engine(whole.owner.url).connect() as reader:
        reader.exec_driver_sql(f"select count(*) from {table}")
        result = Alembic(whole.owner)("upgrade", "0007", environment=environment)
    assert result.code == 1
    assert f"sur {table}" in result.err
    assert whole.owner.value("select version_num from montoit.alembic_version") == "0001"


STOPS = {
    "a row that points at ours": (
        """
        insert into service_providers (api_key_id) select id from api_keys
        where service_name = 'intouch' and key_name = 'password'
        """,
        "delete from service_providers where api_key_id in (select id from api_keys where service_name = 'intouch')",
        "0004",
        (
            "api_keys ne peut pas être rendue",
            "api_key_id sur public.service_providers",
            "select * from public.service_providers",
        ),
    ),
    "a column that is gone": (
        "alter table feature_flags drop column metadata cascade",
        "alter table feature_flags add column metadata jsonb default '{}'",
        "0003",
        ("feature_flags n'a pas pu être rendue", '"metadata"', "Recréez cette colonne"),
    ),
    "a role that is gone": (
        "revoke all on sms_logs from reporting; drop role reporting",
        "create role reporting",
        "0005",
        ("sms_logs n'a pas pu être rendue", '"reporting"', "create role"),
    ),
}


@pytest.mark.parametrize("kind", STOPS)
def test_what_stops_the_way_back_is_named_with_its_remedy(whole: Platforms, kind: str) -> None:
    change, remedy, boundary, told = STOPS[kind]
    whole.superuser.execute(f"drop role if exists reporting; create role reporting; grant reporting to {OWNER}")
    whole.owner.execute("grant select on sms_logs to reporting")
    alembic = Alembic(whole.owner)
    alembic.succeeds("upgrade", "head")
    alembic.succeeds("downgrade", "-1")
    whole.superuser.execute(change)
    result = alembic(*GIVE_BACK)
    assert result.code == 1
    for words in told:
        assert words in result.err
    assert whole.owner.value("select version_num from montoit.alembic_version") == boundary
    whole.superuser.execute(remedy)
    alembic.succeeds(*GIVE_BACK)
    whole.superuser.execute("drop owned by reporting; drop role reporting")
