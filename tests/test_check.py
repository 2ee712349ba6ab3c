"""`montoit-db check`: every problem with its remedy, before a deployment, and nothing written."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from montoit_db.database import engine_url, make_engine
from montoit_db.deploy import locks, preflight
from montoit_db.deploy.locks import LOCK_KEY
from tests.support.commands import Alembic, on, run, run_check
from tests.support.database import Database, pg_dump
from tests.support.platforms import OWNER, create_platform, make_schema
from tests.support.poolers import pgbouncer
from tests.support.settings import PRODUCTION

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.servers import PostgresServer
    from tests.support.templates import Templates


@pytest.mark.parametrize("revision", ["empty", "0004", "0007", "0008"])
def test_nothing_in_the_way(database_at: Callable[[str], Database], revision: str) -> None:
    database = database_at(revision)
    before = pg_dump(database)
    assert run_check(database) == (0, {})
    assert pg_dump(database) == before


def test_it_reads_well(database_at: Callable[[str], Database]) -> None:
    result = run("montoit-db", "check", environment=on(database_at("0007")))
    assert result.returncode == 0
    assert "✅ Révisions : 0007, en attente : 0008.\n" in result.stdout


def test_every_bad_setting_and_the_database_all_the_same(database_at: Callable[[str], Database]) -> None:
    database = database_at("0007")
    database.execute("create role montoit_nobody login password 'nobody'")
    try:
        stranger = Database(database.url.set(username="montoit_nobody", password="nobody"))
        code, problems = run_check(
            stranger, {**PRODUCTION, "INTOUCH_PASSWORD": "", "MONTOIT_LOCK_TIMEOUT": "0", "SUPABASE_URL": "http://x"}
        )
    finally:
        database.execute("drop role montoit_nobody")
    assert code == 2
    assert sorted(finding["message"].split()[0] for finding in problems["Réglages"]) == [
        "INTOUCH_PASSWORD", "MONTOIT_LOCK_TIMEOUT", "SUPABASE_URL",
    ]  # fmt: skip
    assert "Droits" in problems


@pytest.mark.parametrize(
    ("address", "remedy"),
    [
        ("postgres://u@nowhere.invalid/d", "Hôte :"),
        ("postgres://u@127.0.0.1:1/d", "Hôte ou port :"),
        ("postgres://u@[::1]:1/d", "Hôte ou port :"),
        ("postgres://u@/d?host=/nowhere", "Hôte ou port :"),
    ],
)
def test_an_address_that_nobody_answers(address: str, remedy: str) -> None:
    code, problems = run_check(address)
    assert code == 3
    assert problems["Connexion"][0]["remedy"].startswith(remedy)


def test_database_tls_and_authentication_are_told_apart(database: Database) -> None:
    code, problems = run_check(Database(database.url.set(database="montoit_missing")))
    assert (code, problems["Connexion"][0]["remedy"][:7]) == (3, "Base : ")
    code, problems = run_check(Database(database.url.set(username="montoit_missing", password="x")))
    assert (code, problems["Connexion"][0]["remedy"][:16]) == (3, "Authentification")
    if database.url.host:  # there is no TLS on a socket
        code, problems = run_check(Database(database.url.update_query_dict({"sslmode": "verify-full"})))
        assert (code, problems["Connexion"][0]["remedy"][:5]) == (3, "TLS :")


def test_a_role_without_rights(templates: Templates) -> None:
    superuser, owner = create_platform(templates, "plain")
    try:
        superuser.execute(f"alter database {superuser.name} owner to current_user")
        code, problems = run_check(owner)
        assert code == 1
        assert [finding["remedy"].split(" : ")[1] for finding in problems["Droits"]] == [
            f"grant create on database … to {OWNER};",
            f"grant create on schema public to {OWNER};",
        ]
    finally:
        templates.drop(superuser.name)


def test_a_role_that_owns_nothing(database_at: Callable[[str], Database]) -> None:
    database = database_at("0007")
    database.execute(f"grant create on database {database.name} to {OWNER};"
                     f"grant usage on schema montoit to {OWNER}; grant all on schema public to {OWNER};"
                     f"grant select on all tables in schema public to {OWNER}")  # fmt: skip
    _, problems = run_check(Database(database.url.set(username=OWNER, password="owner")))
    database.execute(f"drop owned by {OWNER}")
    assert "n'est pas propriétaire de api_keys" in problems["Droits"][0]["message"]
    assert "montoit.alembic_version" in problems["Droits"][0]["message"]


def test_existing_tables(database: Database) -> None:
    database.execute("create table sms_logs (id int)")
    code, problems = run_check(database)
    assert (code, "sms_logs" in problems["Reprise"][0]["message"]) == (1, True)


def test_a_newer_database(database_at: Callable[[str], Database]) -> None:
    database = database_at("0008")
    database.execute("update montoit.alembic_version set version_num = '0099'")
    code, problems = run_check(database)
    assert (code, "0099" in problems["Révisions"][0]["message"]) == (1, True)


def test_the_vault(database_at: Callable[[str], Database], templates: Templates) -> None:
    code, problems = run_check(database_at("0007"), {**PRODUCTION, "MONTOIT_CREDENTIAL_STORE": "vault"})
    assert (code, list(problems)) == (2, ["Vault"])
    superuser, owner = create_platform(templates, "supabase after October 2026")
    try:
        told = run("montoit-db", "check", environment=on(owner)).stdout
        assert "✅ Vault : installé ; les valeurs iront dans le Vault" in told
    finally:
        templates.drop(superuser.name)


def test_other_credentials(database_at: Callable[[str], Database]) -> None:
    code, problems = run_check(database_at("0008"), {**PRODUCTION, "INTOUCH_PASSWORD": "another-secret"})
    assert (code, problems["Credentials"][0]["message"]) == (1, "l'environnement diffère de la base : password")


def test_another_deployment_and_an_old_transaction(
    database_at: Callable[[str], Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    database = database_at("0007")
    with make_engine(database.url).connect() as deployment:
        pid = deployment.exec_driver_sql(f"select pg_backend_pid() from pg_advisory_xact_lock({LOCK_KEY})").scalar_one()
        code, problems = run_check(database)
    assert (code, f"un autre est en cours (pid {pid}" in problems["Déploiement"][0]["message"]) == (1, True)
    monkeypatch.setattr(preflight, "OLD_TRANSACTION", 0)
    for name, given in on(database).items():
        monkeypatch.setenv(name, given)
    with make_engine(database.url).connect() as reader:
        pid = reader.exec_driver_sql("select pg_backend_pid() from feature_flags limit 1").scalar_one()
        (found,) = (finding for finding in preflight.look() if finding.subject in {"Déploiement", "Verrous"})
    assert found.level == "problem"
    assert found.message.startswith(f"pid {pid} (idle in transaction, depuis 0 s, montoit-db ")
    assert found.remedy is not None
    assert f"pg_terminate_backend({pid})" in found.remedy


def test_a_session_of_unknown_age_is_looked_for_twice(templates: Templates, monkeypatch: pytest.MonkeyPatch) -> None:
    """A role that may not see others' sessions cannot tell an autovacuum from a transaction of last night."""
    superuser, owner = create_platform(templates, "plain", make_schema)
    for name, given in on(owner).items():
        monkeypatch.setenv(name, given)
    with make_engine(superuser.url).connect() as reader:
        pid = reader.exec_driver_sql("select pg_backend_pid() from feature_flags limit 1").scalar_one()
        monkeypatch.setattr(locks, "_SECOND_LOOK", 0)
        (found,) = (finding for finding in preflight.look() if finding.subject == "Verrous")
        assert (found.level, f"pid {pid} (état inconnu, âge inconnu" in found.message) == ("problem", True)
        monkeypatch.setattr("time.sleep", lambda _: reader.rollback())
        (found,) = (finding for finding in preflight.look() if finding.subject == "Verrous")
        assert found.level == "ok"
    templates.drop(superuser.name)


def test_a_transaction_pooler_has_to_be_named(server: PostgresServer, database_at: Callable[[str], Database]) -> None:
    with pgbouncer(server, "transaction", tcp=True) as front:
        address = front.address(database_at("0007"), "127.0.0.1")
        code, problems = run_check(address)
        assert (code, list(problems)) == (1, ["Pooler"])
        assert "?pgbouncer=true" in problems["Pooler"][0]["remedy"]
        named = run("montoit-db", "check", environment={**PRODUCTION, "DATABASE_URL": f"{address}?pgbouncer=true"})
    assert named.returncode == 0
    assert "✅ Pooler : mode transaction\n" in named.stdout


@pytest.mark.parametrize("free", [2, 3])
def test_a_transaction_pooler_whose_connections_take_turns_is_one(
    server: PostgresServer, database_at: Callable[[str], Database], free: int
) -> None:
    with pgbouncer(server, "transaction", tcp=True, take_turns=True) as front:
        address = front.address(database_at("0007"), "127.0.0.1")
        with ExitStack() as stack:
            for _ in range(free):
                stack.enter_context(make_engine(engine_url(f"{address}?pgbouncer=true")).connect()).exec_driver_sql(
                    "select 1"
                )
        code, problems = run_check(address)
    assert (code, list(problems)) == (1, ["Pooler"])


def test_a_session_pooler_needs_no_name(server: PostgresServer, database_at: Callable[[str], Database]) -> None:
    with pgbouncer(server, "session", tcp=True) as front:
        address = front.address(database_at("0007"), "127.0.0.1")
        result = run("montoit-db", "check", environment={**PRODUCTION, "DATABASE_URL": address})
    assert result.returncode == 0
    assert "✅ Pooler : mode session\n" in result.stdout


def test_status_and_check_agree(database_at: Callable[[str], Database]) -> None:
    database = database_at("0008")
    Alembic(database).succeeds("downgrade", "-1")
    assert run_check(database) == (0, {}), "off is a state, not a problem"
