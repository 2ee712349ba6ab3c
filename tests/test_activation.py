"""0008: InTouch on, completely or not at all; its downgrade: InTouch off."""

from __future__ import annotations

import os
import re
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from alembic import command
from alembic.config import Config
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from montoit_db.errors import SettingsError
from montoit_db.intouch.catalogue import CREDENTIALS, SERVICES
from montoit_db.settings import InTouchSettings
from tests.support.checkout import ROOT
from tests.support.commands import Alembic
from tests.support.database import pg_dump
from tests.support.settings import PRODUCTION, SANDBOX, SECRETS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.database import Database

KEYS = tuple(service.key for service in SERVICES)
FLAGS = f"select key, is_enabled, credentials_status, rollout_percentage from feature_flags where key in {KEYS}"
ACTIVE = "select environment, key_name, key_value from api_keys where service_name = 'intouch' and is_active"


@pytest.fixture
def alembic(schema_only: Database) -> Alembic:
    return Alembic(schema_only)


def stored_values(environment: dict[str, str]) -> set[tuple[str, str, str]]:
    """Return what `ACTIVE` shows after an activation with these settings."""
    given = {"INTOUCH_BASE_URL": "https://apidist.gutouch.net", **environment}
    return {(given["INTOUCH_ENVIRONMENT"], item.key_name, given[item.variable]) for item in CREDENTIALS}


def test_upgrade_activates_six_credentials_and_seven_services(schema_only: Database, alembic: Alembic) -> None:
    result = alembic.succeeds("upgrade", "head")
    assert set(schema_only.rows(ACTIVE)) == stored_values(PRODUCTION)
    assert set(schema_only.rows(FLAGS)) == {(key, True, "production", 100) for key in KEYS}
    assert "📊 Services activés : 7/7" in result.out
    assert "🎉 INTÉGRATION INTOUCH COMPLÈTE ET OPÉRATIONNELLE !" in result.out
    assert "SANDBOX" not in result.out
    assert result.out.count("curl -X POST") == 6


def test_upgrade_describes_what_it_activated(schema_only: Database, alembic: Alembic) -> None:
    schema_only.execute(
        """update feature_flags set metadata = '{"team": "paiements", "provider": "x"}' where key = 'orange_money'"""
    )
    alembic.succeeds("upgrade", "head")
    metadata = schema_only.value("select metadata from feature_flags where key = 'orange_money'")
    assert metadata.pop("activated_at")
    assert metadata == {
        "team": "paiements",
        "provider": "intouch",
        "currency": "XOF",
        "min_amount": 100,
        "max_amount": 1_000_000,
        "commission_percent": 1,
    }
    assert schema_only.value(
        "select count(*) from api_keys where metadata ? 'description' and metadata ? 'required_for'"
        " and endpoint = 'https://apidist.gutouch.net'"
    ) == 6  # fmt: skip


def test_other_flags_and_other_services_are_left_alone(schema_only: Database, alembic: Alembic) -> None:
    schema_only.execute("insert into api_keys (service_name, key_name, key_value) values ('brevo', 'token', 'b')")
    others = f"select to_jsonb(f) from feature_flags f where key not in {KEYS} order by key"
    brevo = "select to_jsonb(k) from api_keys k where service_name = 'brevo'"
    before = schema_only.rows(others), schema_only.rows(brevo)
    alembic.succeeds("upgrade", "head")
    alembic.succeeds("downgrade", "-1")
    assert (schema_only.rows(others), schema_only.rows(brevo)) == before


def test_a_missing_flag_is_created(schema_only: Database, alembic: Alembic) -> None:
    schema_only.execute("delete from feature_flags where key in ('wave_payment', 'sms_notifications')")
    alembic.succeeds("upgrade", "head")
    assert set(schema_only.rows(FLAGS)) == {(key, True, "production", 100) for key in KEYS}


def test_sandbox_says_so(schema_only: Database, alembic: Alembic) -> None:
    result = alembic.succeeds("upgrade", "head", environment=SANDBOX)
    assert "🧪 SANDBOX" in result.out
    assert set(schema_only.rows(ACTIVE)) == stored_values(SANDBOX)


def test_sandbox_then_production_leaves_six_active_rows(schema_only: Database, alembic: Alembic) -> None:
    alembic.succeeds("upgrade", "head", environment=SANDBOX)
    alembic.succeeds("downgrade", "-1")
    result = alembic.succeeds("upgrade", "head")
    assert set(schema_only.rows(ACTIVE)) == stored_values(PRODUCTION)
    assert schema_only.value("select count(*) from api_keys where environment = 'sandbox'") == 6, "kept, inactive"
    assert set(schema_only.rows(FLAGS)) == {(key, True, "production", 100) for key in KEYS}
    assert "7/7" in result.out
    assert "SANDBOX" not in result.out


def test_the_other_environments_credentials_are_switched_off(schema_only: Database, alembic: Alembic) -> None:
    """As the guide's script left them: both environments active."""
    schema_only.execute(
        "insert into api_keys (service_name, key_name, key_value, environment)"
        " values ('intouch', 'username', 'old', 'sandbox')"
    )
    alembic.succeeds("upgrade", "head")
    assert set(schema_only.rows(ACTIVE)) == stored_values(PRODUCTION)


def test_rollback_needs_no_credentials_and_keeps_values(schema_only: Database, alembic: Alembic) -> None:
    alembic.succeeds("upgrade", "head")
    result = alembic.succeeds("downgrade", "-1", environment={})
    assert set(schema_only.rows(FLAGS)) == {(key, False, "not_configured", 100) for key in KEYS}
    assert schema_only.rows(ACTIVE) == []
    assert schema_only.value("select count(*) from api_keys where key_value is not null") == 6
    assert "Services activés : 0/7" in result.out
    assert result.out.count("INACTIF") == 7
    assert "curl" not in result.out


def test_upgrade_after_a_rollback_takes_new_values_into_the_same_rows(schema_only: Database, alembic: Alembic) -> None:
    alembic.succeeds("upgrade", "head")
    ids = set(schema_only.rows("select id from api_keys"))
    alembic.succeeds("downgrade", "-1")
    renewed = {**PRODUCTION, "INTOUCH_PASSWORD": "canary-renewed-password"}
    alembic.succeeds("upgrade", "head", environment=renewed)
    assert set(schema_only.rows(ACTIVE)) == stored_values(renewed)
    assert set(schema_only.rows("select id from api_keys")) == ids


def test_a_later_activation_keeps_each_flags_share(schema_only: Database, alembic: Alembic) -> None:
    alembic.succeeds("upgrade", "head")
    schema_only.execute("update feature_flags set rollout_percentage = 10 where key = 'orange_money'")
    alembic.succeeds("downgrade", "-1")
    result = alembic.succeeds("upgrade", "head")
    assert {row[0]: row[3] for row in schema_only.rows(FLAGS)} == {
        **dict.fromkeys(KEYS, 100),
        "orange_money": 10,
    }
    assert "Orange Money : ACTIF (10 % des utilisateurs)" in result.out
    assert "7/7" in result.out


@pytest.mark.parametrize("share", ["0", "10", "100"])
def test_an_ordered_share_is_applied_each_time(schema_only: Database, alembic: Alembic, share: str) -> None:
    alembic.succeeds("upgrade", "head")
    alembic.succeeds("downgrade", "-1")
    alembic.succeeds("upgrade", "head", environment={**PRODUCTION, "INTOUCH_ROLLOUT_PERCENTAGE": share})
    assert {row[3] for row in schema_only.rows(FLAGS)} == {int(share)}


def test_history_says_what_and_why(schema_only: Database, alembic: Alembic) -> None:
    alembic.succeeds("upgrade", "head")
    alembic.succeeds("downgrade", "-1")
    history = schema_only.rows(
        "select flag_key, action, reason, new_value ->> 'credentials_status' from feature_flag_history"
    )
    assert sorted(history) == sorted(
        (key, action, reason, status)
        for key in KEYS
        for action, reason, status in (
            ("enabled", "alembic upgrade head (production)", "production"),
            ("disabled", "alembic downgrade -1", "not_configured"),
        )
    )


def test_a_second_upgrade_says_that_there_is_nothing_to_do(schema_only: Database, alembic: Alembic) -> None:
    alembic.succeeds("upgrade", "head")
    before = pg_dump(schema_only)
    assert "Rien à faire" in alembic.succeeds("upgrade", "head").out
    assert pg_dump(schema_only) == before
    other = alembic.refuses("upgrade", "head", environment=SANDBOX)
    assert "INTOUCH_ENVIRONMENT demande sandbox" in other
    assert "alembic downgrade -1" in other


@pytest.mark.parametrize("name", sorted(SECRETS))
def test_each_missing_credential_changes_nothing(database_at: Callable[[str], Database], name: str) -> None:
    """On an empty database not even the schema is created: the whole plan is looked at first."""
    environment = {key: value for key, value in PRODUCTION.items() if key != name}
    for database in (database_at("empty"), database_at("0007")):
        message = Alembic(database).refuses("upgrade", "head", environment=environment)
        assert name in message
        assert "1 problème" in message


def test_schema_revisions_need_no_credentials(database_at: Callable[[str], Database]) -> None:
    database = database_at("empty")
    Alembic(database).succeeds("upgrade", "0007", environment={})


def test_every_problem_is_in_one_message(alembic: Alembic) -> None:
    message = alembic.refuses(
        "upgrade",
        "head",
        environment={
            "INTOUCH_ENVIRONMENT": "sandbox",
            "INTOUCH_USERNAME": "",
            "INTOUCH_PASSWORD": "YOUR_INTOUCH_PASSWORD",
            "INTOUCH_LOGIN_API": " canary-spaces ",
            "INTOUCH_PARTNER_ID": "canary-line\n",
            "INTOUCH_BASE_URL": "http://canary.example",
            "INTOUCH_ROLLOUT_PERCENTAGE": "101",
            "SUPABASE_URL": "canary.supabase.co",
        },
    )
    named = [line.split()[1] for line in message.splitlines() if line.startswith("  - ")]
    assert sorted(named) == sorted([*SECRETS, "INTOUCH_BASE_URL", "INTOUCH_ROLLOUT_PERCENTAGE", "SUPABASE_URL"])
    assert "8 problèmes" in message
    assert "canary" not in message


@pytest.mark.parametrize(
    ("table", "change"),
    [
        ("api_keys", "new.key_value := 'other'"),
        ("api_keys", "new.is_active := new.is_active or new.environment = 'sandbox'"),
        ("api_keys", "new.is_active := false"),
        ("feature_flags", "new.is_enabled := false"),
        ("feature_flags", "new.rollout_percentage := 7"),
        ("feature_flags", "new.credentials_status := 'sandbox'"),
        ("feature_flags", "new.metadata := '[]'"),
    ],
)
def test_a_write_that_does_not_stick_is_noticed(
    schema_only: Database, alembic: Alembic, table: str, change: str
) -> None:
    schema_only.execute(
        "insert into api_keys (service_name, key_name, key_value, environment)"
        " values ('intouch', 'username', 'old', 'sandbox')"
    )
    schema_only.execute(
        f"create function meddle() returns trigger language plpgsql as $$begin {change}; return new; end$$;"
        f"create trigger meddle before insert or update on {table} for each row execute function meddle()"
    )
    message = alembic.refuses("upgrade", "head")
    assert re.search(r"(Activation annulée|Enregistrement annulé) : après écriture", message)
    assert "Aucune révision n'a été appliquée" in message
    assert f"public.{table}" in message


def test_a_failing_row_is_not_quoted(schema_only: Database, alembic: Alembic) -> None:
    schema_only.execute("alter table feature_flags add constraint never check (not is_enabled) not valid")
    message = alembic.refuses("upgrade", "head")
    assert "never" in message
    assert "Failing row" not in message


def test_a_rollback_that_does_not_stick_is_noticed(schema_only: Database, alembic: Alembic) -> None:
    alembic.succeeds("upgrade", "head")
    schema_only.execute(
        "create function meddle() returns trigger language plpgsql as $$begin new.is_active := true; return new; end$$;"
        "create trigger meddle before update on api_keys for each row execute function meddle()"
    )
    assert "Retour arrière annulé, rien n'a été modifié" in alembic.refuses("downgrade", "-1")


def test_a_secret_from_a_pipe_is_read_once(database_at: Callable[[str], Database], tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    environment = {key: value for key, value in PRODUCTION.items() if key != "INTOUCH_PASSWORD"}
    with ThreadPoolExecutor() as pool:
        written = pool.submit(pipe.write_text, "canary-from-a-pipe")
        database = database_at("empty")
        Alembic(database).succeeds(
            "upgrade", "head", environment={**environment, "INTOUCH_PASSWORD_FILE": str(pipe)}
        )  # fmt: skip
        written.result()
    assert ("production", "password", "canary-from-a-pipe") in database.rows(ACTIVE)


def test_idle_says_that_intouch_is_off(schema_only: Database, alembic: Alembic) -> None:
    alembic.succeeds("upgrade", "head")
    schema_only.execute("update api_keys set is_active = false")
    assert "pas opérationnel" in alembic.refuses("upgrade", "head")


def test_a_failing_constraint_is_named_without_the_row(schema_only: Database, alembic: Alembic) -> None:
    schema_only.execute("alter table api_keys add constraint no_canary check (key_value not like 'canary%')")
    message = alembic.refuses("upgrade", "head")
    assert "no_canary" in message
    assert "canary-" not in message


def test_a_trigger_that_shouts_the_value_is_not_repeated(schema_only: Database, alembic: Alembic) -> None:
    schema_only.execute(
        "create function shout() returns trigger language plpgsql as"
        " $$begin raise exception 'row %', new.key_value using hint = new.key_value; end$$;"
        "create trigger shout before insert on api_keys for each row execute function shout()"
    )
    message = alembic.refuses("upgrade", "head")
    assert "P0001" in message
    assert "canary-" not in message


def is_accepted(password: str) -> bool:
    try:
        InTouchSettings.from_environment({**SANDBOX, "INTOUCH_PASSWORD": password})
    except SettingsError:
        return False
    return True


AWKWARD = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=60),
    st.sampled_from(
        ["'", '"', "%", "%s", "%(x)s", "$$", "$1", "\\", "\\x41", "a,b\\N", "{}", ":x", "🔑é漢", "é" * 2048]
    ),
).filter(is_accepted)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(password=AWKWARD, username=AWKWARD.map("canary{}".format))
def test_values_arrive_byte_by_byte(schema_only: Database, password: str, username: str) -> None:
    alembic = Alembic(schema_only)
    environment = {**SANDBOX, "INTOUCH_PASSWORD": password, "INTOUCH_USERNAME": username}
    alembic.succeeds("upgrade", "head", environment=environment)
    assert set(schema_only.rows(ACTIVE)) == stored_values(environment)
    alembic.succeeds("downgrade", "-1")


def test_secrets_from_mounted_files(schema_only: Database, alembic: Alembic, tmp_path: Path) -> None:
    mounted = tmp_path / "password"
    mounted.write_text("canary-from-a-file\n", encoding="utf-8")
    environment = {key: value for key, value in PRODUCTION.items() if key != "INTOUCH_PASSWORD"}
    alembic.succeeds("upgrade", "head", environment={**environment, "INTOUCH_PASSWORD_FILE": str(mounted)})
    assert ("production", "password", "canary-from-a-file") in schema_only.rows(ACTIVE)


def test_one_downgrade_too_many_changes_nothing(schema_only: Database, alembic: Alembic) -> None:
    alembic.succeeds("upgrade", "head")
    alembic.succeeds("downgrade", "-1")
    before = pg_dump(schema_only)
    for word in ("-1", "intouch@-1"):
        assert "InTouch est déjà désactivé" in alembic.succeeds("downgrade", word, environment={}).out
    assert pg_dump(schema_only) == before
    message = alembic.refuses("downgrade", "schema@-1")
    assert "api_keys : 6 lignes" in message
    assert "feature_flags : 7 lignes" in message
    assert "feature_flag_history : 14 lignes" in message
    assert "alembic -x allow-data-loss=yes downgrade schema@-1" in message


def test_downgrade_to_base_is_refused_before_its_first_step(schema_only: Database, alembic: Alembic) -> None:
    alembic.succeeds("upgrade", "head")
    message = alembic.refuses("downgrade", "base")
    assert "alembic -x allow-data-loss=yes downgrade base" in message
    assert len(schema_only.rows(ACTIVE)) == 6, "services are still on"
    alembic.succeeds("-x", "allow-data-loss=yes", "downgrade", "base")
    assert schema_only.value("select to_regclass('api_keys')") is None


@pytest.mark.parametrize(
    "row",
    [
        "insert into feature_flags (key, name, category) values ('ours', 'Ours', 'x')",
        "update feature_flags set rollout_percentage = 3 where key = 'debug_mode'",
        "update feature_flags set allowed_roles = '{agence}' where key = 'debug_mode'",
        "update feature_flags set description = 'x' where key = 'debug_mode'",
        (
            "insert into feature_flag_overrides (feature_flag_id, user_id, is_enabled)"
            " select id, gen_random_uuid(), true from feature_flags limit 1"
        ),
        "insert into api_keys (service_name, key_name) values ('brevo', 'token')",
        "insert into payment_logs (amount, payment_method, partner_transaction_id) values (100, 'wave', 't')",
        "insert into sms_logs (phone_number, message, partner_transaction_id) values ('+2250701020304', 'm', 't')",
        "insert into whatsapp_logs (phone_number, message, partner_transaction_id) values ('+2250701020304', 'm', 't')",
    ],
)
@pytest.mark.parametrize("revision", ["0007", "0005"])
def test_any_row_that_is_no_seed_is_kept(database_at: Callable[[str], Database], revision: str, row: str) -> None:
    database = database_at(revision)
    database.execute(row)
    table = row.replace("insert into ", "").replace("update ", "").split()[0]
    assert f"{table} : 1 ligne" in Alembic(database).refuses("downgrade", "base")


def test_a_program_gets_the_error_instead_of_an_exit(schema_only: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", schema_only.address)
    with pytest.raises(SettingsError, match="INTOUCH_PASSWORD"):
        command.upgrade(Config(ROOT / "alembic.ini"), "head")
