"""Where the values are kept: in the table, or in Supabase's Vault."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from sqlalchemy.exc import DBAPIError

from montoit_db.database import make_engine
from montoit_db.deploy.statements import has_vault
from montoit_db.intouch.catalogue import CREDENTIALS
from montoit_db.intouch.credentials import rotate
from montoit_db.settings import InTouchSettings
from tests.support.commands import Alembic, on, run, run_check
from tests.support.credentials import expected, places, values
from tests.support.database import Database
from tests.support.platforms import create_platform, install_vault, make_schema
from tests.support.scripts import fill_in, script, with_psql
from tests.support.settings import PRODUCTION, SANDBOX, SECRETS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.servers import PostgresServer
    from tests.support.templates import Templates

NAMES = {credential.key_name for credential in CREDENTIALS}
RENEWED = {**PRODUCTION, "INTOUCH_PASSWORD": "canary-renewed", "INTOUCH_LOGIN_API": "canary-renewed-login"}
TABLE = {"MONTOIT_CREDENTIAL_STORE": "table"}
VAULT = {"MONTOIT_CREDENTIAL_STORE": "vault"}


@pytest.fixture
def empty(templates: Templates) -> Iterator[Database]:
    """An empty database without a Vault, as its owner sees it."""
    superuser, owner = create_platform(templates, "plain")
    yield owner
    templates.drop(superuser.name)


@pytest.fixture
def plain(templates: Templates) -> Iterator[Database]:
    """A database with the whole schema and no Vault, as its owner sees it."""
    superuser, owner = create_platform(templates, "plain", make_schema)
    yield owner
    templates.drop(superuser.name)


@pytest.fixture
def with_vault(templates: Templates) -> Iterator[tuple[Database, Database]]:
    """A database with the whole schema and a Vault, as its superuser and as its owner see it."""
    superuser, owner = create_platform(templates, "supabase after October 2026", make_schema)
    yield superuser, owner
    templates.drop(superuser.name)


def ids(database: Database) -> set[tuple[str, str]]:
    return {(row[0], str(row[1])) for row in database.rows("select key_name, secret_id from api_keys where is_active")}


@pytest.mark.parametrize("choice", [{}, VAULT])
def test_values_go_to_the_vault_where_there_is_one(
    with_vault: tuple[Database, Database], choice: dict[str, str]
) -> None:
    superuser, owner = with_vault
    Alembic(owner).succeeds("upgrade", "head", environment={**PRODUCTION, **choice})
    assert places(superuser) == (0, 6, 6)
    assert values(superuser) == expected(PRODUCTION)
    assert {name for (name,) in superuser.rows("select name from vault.secrets")} == {
        f"intouch_production_{name}" for name in NAMES
    }
    status = json.loads(run("montoit-db", "status", "--json", environment=on(owner)).stdout)
    assert status["credentials"] == {"configured": 6, "expected": 6, "stored": 6, "store": "vault"}
    assert status["operational"] is True


def test_the_table_may_be_chosen_all_the_same(with_vault: tuple[Database, Database]) -> None:
    superuser, owner = with_vault
    Alembic(owner).succeeds("upgrade", "head", environment={**PRODUCTION, **TABLE})
    assert places(superuser) == (6, 0, 0)
    assert values(superuser) == expected(PRODUCTION)


@pytest.mark.parametrize("start", ["empty", "plain"])
def test_a_vault_that_is_not_there_is_refused_before_any_write(request: pytest.FixtureRequest, start: str) -> None:
    alembic = Alembic(request.getfixturevalue(start))
    message = alembic.refuses("upgrade", "head", environment={**PRODUCTION, **VAULT})
    assert "MONTOIT_CREDENTIAL_STORE : vault, mais cette base n'a pas de Vault" in message


def test_a_rollback_keeps_the_secrets_and_a_later_activation_updates_them(
    with_vault: tuple[Database, Database],
) -> None:
    superuser, owner = with_vault
    alembic = Alembic(owner)
    alembic.succeeds("upgrade", "head")
    before = ids(superuser)
    alembic.succeeds("downgrade", "-1")
    assert values(superuser) is None
    assert places(superuser) == (0, 6, 6)
    alembic.succeeds("upgrade", "head", environment=RENEWED)
    assert ids(superuser) == before
    assert values(superuser) == expected(RENEWED)
    assert places(superuser) == (0, 6, 6)


def test_each_environment_has_secrets_of_its_own(with_vault: tuple[Database, Database]) -> None:
    superuser, owner = with_vault
    alembic = Alembic(owner)
    alembic.succeeds("upgrade", "head", environment=SANDBOX)
    alembic.succeeds("downgrade", "-1")
    alembic.succeeds("upgrade", "head", environment=RENEWED)
    assert places(superuser) == (0, 12, 12)
    assert values(superuser) == expected(RENEWED)


def test_switching_stores_moves_every_value(with_vault: tuple[Database, Database]) -> None:
    """Those of the inactive environment too: with the Vault no row carries a value."""
    superuser, owner = with_vault
    alembic = Alembic(owner)
    alembic.succeeds("upgrade", "head", environment={**SANDBOX, **TABLE})
    alembic.succeeds("downgrade", "-1")
    alembic.succeeds("upgrade", "head", environment={**PRODUCTION, **VAULT})
    assert places(superuser) == (0, 12, 12)
    sandbox = "select key_name, value from montoit.read_credentials('intouch') where environment = 'sandbox'"
    assert dict(superuser.rows(sandbox)) == expected(SANDBOX)
    assert superuser.value("select count(*) from api_keys where is_active") == 6
    alembic.succeeds("downgrade", "-1")
    alembic.succeeds("upgrade", "head", environment={**PRODUCTION, **TABLE})
    assert places(superuser) == (12, 0, 0)
    assert dict(superuser.rows(sandbox)) == expected(SANDBOX)
    assert values(superuser) == expected(PRODUCTION)


NAME = "intouch_production_password"
OUR_DESCRIPTION = "InTouch, montoit_db"
SECRET_OF_THIS_NAME = f"select id, decrypted_secret, description from vault.decrypted_secrets where name = '{NAME}'"


def test_a_secret_that_the_operator_made_for_us_is_used_and_kept_up_to_date(
    with_vault: tuple[Database, Database],
) -> None:
    superuser, owner = with_vault
    superuser.execute(f"select vault.create_secret('other', '{NAME}', '{OUR_DESCRIPTION}')")
    made = superuser.value("select id from vault.secrets")
    Alembic(owner).succeeds("upgrade", "head")
    assert ("password", str(made)) in ids(superuser)
    assert values(superuser) == expected(PRODUCTION)


def test_somebody_elses_secret_of_our_name_is_neither_overwritten_nor_deleted(
    with_vault: tuple[Database, Database],
) -> None:
    """Not by an activation, a rotation, a change of the store or `downgrade base`; with the value it is used."""
    superuser, owner = with_vault
    alembic = Alembic(owner)
    superuser.execute(f"select vault.create_secret('other', '{NAME}', 'of another application')")
    code, problems = run_check(owner)
    assert (code, problems["Vault"][0]["level"], NAME in problems["Vault"][0]["message"]) == (0, "warning", True)
    result = alembic("upgrade", "head")
    assert (result.code, f"qui ne sont pas de nous, et d'une autre valeur (parmi {NAME})" in result.err) == (1, True)
    assert superuser.value("select count(*) from api_keys") == 0

    superuser.execute(f"select vault.update_secret(id, '{SECRETS['INTOUCH_PASSWORD']}') from vault.secrets")
    theirs = superuser.rows(SECRET_OF_THIS_NAME)
    alembic.succeeds("upgrade", "head")
    assert values(superuser) == expected(PRODUCTION)
    assert ("password", str(theirs[0][0])) in ids(superuser)
    rotated = run("montoit-db", "rotate", environment=on(owner, RENEWED))
    assert (rotated.returncode, NAME in rotated.stderr) == (2, True)
    assert values(superuser) == expected(PRODUCTION)
    assert run("montoit-db", "rotate", environment={**on(owner), **TABLE}).returncode == 0
    assert (places(superuser), superuser.rows(SECRET_OF_THIS_NAME)) == ((6, 0, 1), theirs)
    assert run("montoit-db", "rotate", environment={**on(owner), **VAULT}).returncode == 0
    alembic.succeeds("-x", "allow-data-loss=yes", "downgrade", "base")
    assert superuser.rows(SECRET_OF_THIS_NAME) == theirs


# Everything that the Vault has, by name, and made by a role of few rights: it writes down what it is given.
FALSE_VAULT = """
create schema vault;
grant usage on schema vault to public;
create table vault.secrets (id uuid default gen_random_uuid(), name text, description text, secret text);
create view vault.decrypted_secrets as select *, secret as decrypted_secret from vault.secrets;
create function vault.create_secret(new_secret text, new_name text, new_description text, new_key_id uuid default null)
returns uuid language sql security definer as $$
    insert into vault.secrets (secret, name, description) values ($1, $2, $3) returning id
$$;
create function vault.update_secret(secret_id uuid, new_secret text) returns void language sql security definer as $$
    insert into vault.secrets (secret) values ($2)
$$;
grant all on all tables in schema vault to public;
"""


def test_a_vault_in_the_schema_of_a_stranger_is_none(schema_only: Database) -> None:
    """He could put a function of his own before the extension's."""
    database = schema_only
    database.execute(f"create role montoit_mallory; grant create on database {database.name} to montoit_mallory")
    ours = "select montoit.has_vault()"
    try:
        database.execute("set role montoit_mallory; create schema vault")
        install_vault(database)
        with make_engine(database.url).connect() as connection:
            assert (has_vault(connection), database.value(ours)) == (False, False)
        assert with_psql(database, fill_in(script("upgrade", "schema@head:intouch@head"))).returncode == 0
        assert places(database) == (6, 0, 0)
        database.execute("alter schema vault owner to current_user")
        with make_engine(database.url).connect() as connection:
            assert (has_vault(connection), database.value(ours)) == (True, True)
    finally:
        database.execute("drop owned by montoit_mallory cascade; drop role montoit_mallory")


@pytest.mark.parametrize("usable", [True, False], ids=["open to all", "closed"])
def test_a_schema_of_this_name_is_no_vault(empty: Database, server: PostgresServer, usable: bool) -> None:  # noqa: FBT001
    superuser = Database(server.url.set(database=empty.name))
    alembic = Alembic(empty)
    superuser.execute(f"create role montoit_mallory; grant create on database {empty.name} to montoit_mallory")
    try:
        superuser.execute(f"set role montoit_mallory; {FALSE_VAULT if usable else 'create schema vault'}")
        code, problems = run_check(empty)
        assert (code, problems["Vault"][0]["level"]) == (0, "warning")
        assert "les valeurs iront dans la table api_keys" in problems["Vault"][0]["message"]
        assert run_check(empty, {**PRODUCTION, **VAULT})[0] == 2
        refusal = "MONTOIT_CREDENTIAL_STORE : vault, mais cette base n'a pas de Vault"
        assert refusal in alembic("upgrade", "head", environment={**PRODUCTION, **VAULT}).err
        alembic.succeeds("upgrade", "head")
        assert superuser.value("select count(key_value) from api_keys") == 6
        assert values(superuser) == expected(PRODUCTION)
        assert run("montoit-db", "rotate", environment=on(empty, RENEWED)).returncode == 0
        result = with_psql(empty, fill_in(script("upgrade", "schema@head:intouch@head")))
        assert result.returncode == 0, result.stderr
        if usable:
            assert superuser.value("select count(*) from vault.secrets") == 0
        alembic.succeeds("-x", "allow-data-loss=yes", "downgrade", "base")
    finally:
        superuser.execute("drop owned by montoit_mallory cascade; drop role montoit_mallory")


def test_a_secret_that_was_deleted_is_made_again(with_vault: tuple[Database, Database]) -> None:
    superuser, owner = with_vault
    Alembic(owner).succeeds("upgrade", "head")
    superuser.execute("delete from vault.secrets where name = 'intouch_production_password'")
    assert (values(superuser) or {}).keys() == NAMES - {"password"}
    assert run("montoit-db", "rotate", environment=on(owner)).returncode == 0
    assert values(superuser) == expected(PRODUCTION)


def test_losing_everything_takes_our_secrets_from_the_vault(with_vault: tuple[Database, Database]) -> None:
    superuser, owner = with_vault
    superuser.execute("select vault.create_secret('theirs', 'theirs')")
    alembic = Alembic(owner)
    alembic.succeeds("upgrade", "head")
    alembic.succeeds("-x", "allow-data-loss=yes", "downgrade", "base")
    assert superuser.rows("select name from vault.secrets") == [("theirs",)]


# Rotation


def flags(database: Database) -> object:
    return database.rows("select to_jsonb(f) from feature_flags f order by key"), database.value(
        "select count(*) from feature_flag_history"
    )


@pytest.mark.parametrize("store", [TABLE, VAULT])
def test_rotation_stores_new_values_and_leaves_services_on(
    with_vault: tuple[Database, Database], store: dict[str, str]
) -> None:
    superuser, owner = with_vault
    Alembic(owner).succeeds("upgrade", "head", environment={**PRODUCTION, **store})
    before = flags(superuser), ids(superuser)
    result = run("montoit-db", "rotate", environment={**on(owner, RENEWED), **store})
    assert result.returncode == 0, result.stderr
    assert result.stdout == "Credentials InTouch (production) renouvelés : login_api, password.\n"
    assert (flags(superuser), ids(superuser)) == before
    assert values(superuser) == expected(RENEWED)
    again = run("montoit-db", "rotate", "--json", environment={**on(owner, RENEWED), **store})
    assert json.loads(again.stdout) == {"environment": "production", "changed": []}
    assert "canary" not in result.stdout + result.stderr + again.stdout + again.stderr


@pytest.mark.parametrize("store", [TABLE, VAULT])
def test_an_unset_base_url_keeps_the_stored_one_of_the_environment(
    with_vault: tuple[Database, Database], store: dict[str, str]
) -> None:
    """The agency stands in it: services that work would ask an address without one."""
    superuser, owner = with_vault
    agency = {"INTOUCH_BASE_URL": "https://apidist.gutouch.net/apidist/sec/AG01/"}
    alembic = Alembic(owner)
    alembic.succeeds("upgrade", "head", environment={**PRODUCTION, **store, **agency})
    told = run("montoit-db", "status", environment=on(owner, RENEWED)).stdout
    assert "diffèrent de ceux de la base : login_api, password.\n" in told
    result = run("montoit-db", "rotate", environment={**on(owner, RENEWED), **store})
    assert result.stdout == "Credentials InTouch (production) renouvelés : login_api, password.\n"
    assert values(superuser) == expected({**RENEWED, **agency})
    alembic.succeeds("downgrade", "-1")
    alembic.succeeds("upgrade", "head", environment={**PRODUCTION, **store})
    assert values(superuser) == expected({**PRODUCTION, **agency})
    alembic.succeeds("downgrade", "-1")
    by_script = fill_in(script("upgrade", "0007:0008"), RENEWED)
    assert (
        with_psql(owner, by_script.replace("'auto', true", f"'{store['MONTOIT_CREDENTIAL_STORE']}', true")).returncode
        == 0
    )
    assert values(superuser) == expected({**RENEWED, **agency})
    alembic.succeeds("downgrade", "-1")
    alembic.succeeds("upgrade", "head", environment={**SANDBOX, **store})
    assert values(superuser) == expected(SANDBOX)
    assert superuser.rows("select distinct environment, endpoint from api_keys order by 1") == [
        ("production", agency["INTOUCH_BASE_URL"]), ("sandbox", "https://apidist.gutouch.net")
    ]  # fmt: skip


def test_no_value_outlives_its_storing(with_vault: tuple[Database, Database]) -> None:
    """Not to triggers that run later, nor to whom a transaction pooler gives the same session next."""
    _, owner = with_vault
    Alembic(owner).succeeds("upgrade", "head")
    setting = "select current_setting('montoit.password', true)"
    with make_engine(owner.url).connect() as connection:
        rotate(connection, InTouchSettings.from_environment(RENEWED), 60)
        assert connection.exec_driver_sql(setting).scalar() == ""
        connection.commit()
        assert connection.exec_driver_sql(setting).scalar() == ""


def test_a_missing_value_is_refused_in_a_session_that_was_used_before(plain: Database) -> None:
    Alembic(plain).succeeds("upgrade", "head")
    with make_engine(plain.url).connect() as connection:
        rotate(connection, InTouchSettings.from_environment(RENEWED), 60)
        connection.commit()
        connection.exec_driver_sql("drop trigger take_credential on montoit.given_credentials;" + SWALLOW)
        connection.commit()
        with pytest.raises(DBAPIError, match="SQLSTATE 22004"):
            rotate(connection, InTouchSettings.from_environment(PRODUCTION), 60)
        connection.rollback()
    assert dict(plain.rows("select key_name, key_value from api_keys where is_active")) == expected(RENEWED)


SWALLOW = """
create function swallow() returns trigger language plpgsql as $$begin return new; end$$;
create trigger swallow instead of insert on montoit.given_credentials for each row execute function swallow();
"""
QUOTE = """
create function quote() returns trigger language plpgsql as $$begin raise exception 'row %', new; end$$;
create trigger a_quote instead of insert on montoit.given_credentials for each row execute function quote();
"""


def test_an_error_while_values_are_taken_is_said_without_them(plain: Database) -> None:
    Alembic(plain).succeeds("upgrade", "head")
    plain.execute(QUOTE)
    result = run("montoit-db", "rotate", environment=on(plain, RENEWED))
    assert (result.returncode, result.stdout) == (2, "")
    assert "les identifiants n'ont pas été reçus (SQLSTATE P0001)" in result.stderr
    assert "Traceback" not in result.stderr
    assert "canary" not in result.stderr


def test_rotation_moves_the_values_where_the_store_changed(with_vault: tuple[Database, Database]) -> None:
    superuser, owner = with_vault
    Alembic(owner).succeeds("upgrade", "head", environment={**PRODUCTION, **TABLE})
    run("montoit-db", "rotate", environment={**on(owner), **VAULT})
    assert places(superuser) == (0, 6, 6)
    assert values(superuser) == expected(PRODUCTION)


def test_rotation_needs_an_activation_in_the_same_environment(empty: Database, plain: Database) -> None:
    for database in (empty, plain):
        result = run("montoit-db", "rotate", environment=on(database))
        assert (result.returncode, "InTouch n'est pas activé" in result.stderr) == (1, True)
    Alembic(plain).succeeds("upgrade", "head")
    result = run("montoit-db", "rotate", environment=on(plain, SANDBOX))
    assert (result.returncode, "InTouch est en production" in result.stderr) == (1, True)
    stored = plain.rows("select key_name, key_value from api_keys where is_active")
    assert dict(stored) == expected(PRODUCTION)


def test_rotation_with_a_bad_setting(plain: Database) -> None:
    Alembic(plain).succeeds("upgrade", "head")
    result = run("montoit-db", "rotate", environment={**on(plain), "INTOUCH_PASSWORD": ""})
    assert (result.returncode, "INTOUCH_PASSWORD : vide" in result.stderr) == (2, True)
    missing = run("montoit-db", "rotate", environment={**on(plain), **VAULT})
    assert (missing.returncode, "n'a pas de Vault" in missing.stderr) == (2, True)


def test_a_rotation_that_does_not_stick_changes_nothing(with_vault: tuple[Database, Database]) -> None:
    superuser, owner = with_vault
    Alembic(owner).succeeds("upgrade", "head", environment={**PRODUCTION, **TABLE})
    superuser.execute(
        "create function meddle() returns trigger language plpgsql as $$begin new.key_value := 'x'; return new; end$$;"
        "create trigger meddle before update of key_value on api_keys for each row execute function meddle()"
    )
    result = run("montoit-db", "rotate", environment={**on(owner, RENEWED), **TABLE})
    assert result.returncode == 2
    assert "rien n'a été modifié" in result.stderr
    assert values(superuser) == expected(PRODUCTION)


def test_status_says_that_the_environment_has_other_values(plain: Database) -> None:
    Alembic(plain).succeeds("upgrade", "head")
    assert "diffèrent" not in run("montoit-db", "status", environment=on(plain)).stdout
    told = run("montoit-db", "status", environment=on(plain, RENEWED)).stdout
    assert "diffèrent de ceux de la base : login_api, password" in told
    assert "montoit-db rotate" in told
    only_url = run("montoit-db", "status", environment={"DATABASE_URL": plain.address})
    assert (only_url.returncode, "diffèrent" in only_url.stdout) == (0, False), "status needs no credentials"
    assert SECRETS["INTOUCH_PASSWORD"] not in told
