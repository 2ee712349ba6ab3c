"""Whether InTouch does what the database says: what `check` and `monitor` find outside of our own tables."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

import pytest
from sqlalchemy.exc import DBAPIError

from montoit_db.database import bounded, connect_to, make_engine
from montoit_db.deploy import preflight
from montoit_db.intouch.evidence import REMOVE_SECRETS, agency, ask, left_behind, silence
from montoit_db.settings import DeploymentSettings, InTouchSettings
from tests.support.commands import on, run, run_check
from tests.support.database import Database, pg_dump
from tests.support.intouch import InTouch, intouch
from tests.support.settings import PRODUCTION, SECRETS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from montoit_db.deploy.findings import Finding

# As the platform's migrations make them, less the columns that nothing here reads.
PAYMENTS = """
create table public.payments (id uuid primary key default gen_random_uuid(), amount numeric, intouch_status text);
"""
TRANSACTIONS = """
create table public.mobile_money_transactions (
    id uuid primary key default gen_random_uuid(), phone_number text, amount numeric, intouch_request jsonb
);
"""
WITH_SECRETS = """
insert into public.mobile_money_transactions (amount, intouch_request) values
    (1000, '{"login_api": "canary-stored", "password_api": "canary-stored", "amount": 1000}'),
    (2000, '{"partner_id": "p", "amount": 2000}'), (3000, null), (4000, '"login_api"'), (5000, '["login_api"]');
"""
PAID = "insert into public.payments (amount) values (1000);"
LOGGED = """
insert into public.payment_logs (amount, payment_method, partner_transaction_id) values (1000, 'wave', 'a');
"""


class Stand(NamedTuple):
    """A stand-in for InTouch, and the environment of a client that trusts it."""

    server: InTouch
    environment: dict[str, str]

    def settings(self, agency: str) -> dict[str, str]:
        return {**self.environment, "INTOUCH_BASE_URL": self.server.base_url(agency)}


@pytest.fixture(scope="module")
def stand() -> Iterator[Stand]:
    with TemporaryDirectory() as directory, intouch(Path(directory)) as (server, certificate):
        yield Stand(server, {**PRODUCTION, "SSL_CERT_FILE": str(certificate)})


@pytest.mark.parametrize(
    ("agency", "least", "level", "told"),
    [
        ("digest", 988750, "ok", "les six credentials sont acceptés ; solde : 988\u202f750\u00a0FCFA (InTouch"),
        ("decimals", 1251, "problem", "solde : 1\u202f250,75\u00a0FCFA, moins que 1\u202f251\u00a0FCFA"),
        ("wrong-login", None, "problem", "refusé (statut 200) : INTOUCH_LOGIN_API ou INTOUCH_PASSWORD_API. « No agent"),
        (
            "wrong-agency",
            None,
            "problem",
            "INTOUCH_LOGIN_API, INTOUCH_PASSWORD_API ou INTOUCH_BASE_URL. « The provided",
        ),
        ("page", 0, "problem", "inconnu (statut 200), une réponse qui ne se lit pas. « Portail"),
        ("redirect", 0, "problem", "inconnu (statut 302) : une redirection"),
        ("echo", 0, "problem", "inconnu (statut 500), une réponse qui ne se lit pas."),
    ],
)
def test_only_an_acceptance_is_no_problem(  # noqa: PLR0913, PLR0917 -- a table
    stand: Stand, monkeypatch: pytest.MonkeyPatch, agency: str, least: int | None, level: str, told: str
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", stand.environment["SSL_CERT_FILE"])
    found = ask(InTouchSettings.from_environment(stand.settings(agency)), least)
    assert (found.subject, found.level) == ("InTouch", level)
    assert told in found.message


def test_the_answer_decides_the_exit_status(stand: Stand, schema_only: Database) -> None:
    """And nothing is written, here or there: a question, and once more the question after the server's challenge."""
    before = pg_dump(schema_only)
    stand.server.asked.clear()
    for answer, code in (("basic", 0), ("wrong-user", 1)):
        environment = {**stand.settings(answer), **on(schema_only, {})}
        result = run("montoit-db", "check", "--intouch", "--min-balance", "1000", environment=environment)
        assert result.returncode == code, result.stdout + result.stderr
        assert not any(secret in result.stdout + result.stderr for secret in SECRETS.values())
    assert [path.rsplit("/", 1)[1] for path, _ in stand.server.asked] == ["get_balance"] * 4
    assert pg_dump(schema_only) == before
    assert run("montoit-db", "check", environment=environment).returncode == 0
    assert len(stand.server.asked) == 4, "nobody is asked unless told to"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--intouch", "--schema"), "--schema"),
        (("--min-balance", "1000"), "--intouch"),
        (("--intouch", "--min-balance", "mille"), "--min-balance : doit être un nombre entier"),
    ],
)
def test_options_that_do_not_go_together(options: tuple[str, ...], told: str) -> None:
    result = run("montoit-db", "check", *options, environment=PRODUCTION)
    assert (result.returncode, result.stdout) == (2, "")
    assert told in result.stderr


def test_without_the_extra_it_says_what_to_install(schema_only: Database, tmp_path: Path) -> None:
    (tmp_path / "httpx.py").write_text("raise ModuleNotFoundError('no', name='httpx')")
    environment = {
        **on(schema_only),
        "INTOUCH_BASE_URL": "https://localhost:1/apidist/sec/a/",
        "PYTHONPATH": str(tmp_path),
    }
    command = ("python", "-m", "montoit_db", "check")  # a fresh interpreter
    assert run(*command, environment=environment).returncode == 0
    result = run(*command, "--intouch", environment=environment)
    assert (result.returncode, result.stderr.count("\n")) == (1, 1), "only the database is named on stderr"
    assert "❌ InTouch : la question n'est pas posée : --intouch a besoin de httpx\n" in result.stdout
    assert "pip install 'httpx>=0.28,<1'\n" in result.stdout
    assert "✅ Serveur : PostgreSQL" in result.stdout, "the rest is looked at all the same"


@pytest.mark.parametrize(
    ("base_url", "told"),
    [
        ("https://apidist.gutouch.net", "code d'agence"),
        ("https://apidist.gutouch.net/apidist/sec/", "code d'agence"),
        ("https://apidist.gutouch.net/apidist/sec/<agence>/", "code d'agence"),
        ("https://apidist.gutouch.net/apidist/sec/MT0001", "ne finit pas par /"),
        ("https://apidist.gutouch.net/apidist/sec/MT0001/", None),
        ("https://api.gutouch.com/dist/api/touchpayapi/v1/MT0001/", None),
        ("https://api.gutouch.com/v1/MT0001/", None),
    ],
)
def test_the_agency_is_missed(base_url: str, told: str | None) -> None:
    found = [*agency(InTouchSettings.from_environment({**PRODUCTION, "INTOUCH_BASE_URL": base_url}))]
    assert [finding.level for finding in found] == ["warning"] * (told is not None)
    assert told is None or told in found[0].message


def test_without_an_agency_nothing_is_asked(database: Database) -> None:
    result = run("montoit-db", "check", "--intouch", environment=on(database))
    assert result.returncode == 1
    assert "⚠ Agence : INTOUCH_BASE_URL ne porte pas le code d'agence" in result.stdout
    assert "❌ InTouch : la question n'est pas posée : sans code d'agence" in result.stdout


@pytest.mark.parametrize("host", ["localhost.example", "gutouch.net.example", "127.0.0.1.example"])
def test_a_host_that_is_none_of_intouchs_is_named_and_gets_nothing(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    def sent(*_: object, **__: object) -> None:
        pytest.fail("the credentials were sent")

    monkeypatch.setattr("montoit_db.intouch.api.get_balance", sent)
    for name, value in {**PRODUCTION, "INTOUCH_BASE_URL": f"https://{host}/apidist/sec/MT0001/"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("DATABASE_URL", raising=False)  # the host is named without any database, too
    found = {finding.subject: finding for finding in preflight.look(ask_intouch=True)}
    assert (found["API InTouch"].level, found["InTouch"].level) == ("warning", "problem")
    assert f"la question n'est pas posée : {host} n'est pas un hôte d'InTouch" in found["InTouch"].message


def left(database: Database) -> dict[str, Finding]:
    """Return what is found in the platform's tables, by subject."""
    with make_engine(database.url).connect() as connection:
        return {finding.subject: finding for finding in left_behind(connection)}


def test_a_silence_is_named(activated: Database) -> None:
    activated.execute(PAYMENTS + TRANSACTIONS)
    assert left(activated) == {}, "nobody pays"
    activated.execute(PAID)
    silent = left(activated)["Silence"]
    assert silent.level == "warning"
    assert "payment_logs est vide, et payments ne l'est pas" in silent.message
    watched = run("montoit-db", "monitor", "--json", environment=on(activated))
    assert watched.returncode == 0
    assert json.loads(watched.stdout)["warnings"] == [silent.message]
    assert f"⚠ {silent.message}" in watched.stderr
    activated.execute(LOGGED)
    assert left(activated) == {}


def test_a_table_that_others_hold_is_not_waited_for(activated: Database) -> None:
    activated.execute(PAYMENTS + PAID + TRANSACTIONS + WITH_SECRETS)
    engine = bounded(make_engine(activated.url), DeploymentSettings(lock_timeout=0.1))
    with make_engine(activated.url).connect() as holder:
        holder.exec_driver_sql("lock table mobile_money_transactions, payment_logs in access exclusive mode")
        with connect_to(engine) as connection:
            (found,) = left_behind(connection)
    assert (found.level, "n'a pas pu être lue à temps" in found.message) == ("warning", True)
    assert found.subject == "Secrets en clair", "a log that cannot be read is not called empty"


def test_while_intouch_is_off_silence_means_nothing(schema_only: Database) -> None:
    schema_only.execute(PAYMENTS + PAID)
    assert left(schema_only) == {}


def test_secrets_in_clear_are_told_and_the_printed_update_removes_them(schema_only: Database) -> None:
    schema_only.execute(TRANSACTIONS)
    assert left(schema_only) == {}
    schema_only.execute(WITH_SECRETS)
    before = pg_dump(schema_only)
    code, found = run_check(schema_only)
    (finding,) = found["Secrets en clair"]
    assert (code, finding["level"], REMOVE_SECRETS in finding["remedy"]) == (0, "warning", True)
    assert "canary-stored" not in str(found)
    assert pg_dump(schema_only) == before, "the update is printed, and not run"
    schema_only.execute(REMOVE_SECRETS)
    assert left(schema_only) == {}
    assert schema_only.rows("select amount::int, intouch_request::text from mobile_money_transactions order by 1") == [
        (1000, '{"amount": 1000}'),
        (2000, '{"amount": 2000, "partner_id": "p"}'),
        (3000, None),
        (4000, '"login_api"'),
        (5000, '["login_api"]'),
    ]


def test_who_may_read_the_logs_alone_is_not_refused(activated: Database) -> None:
    """The monitoring's own role need not read flags and credentials."""
    activated.execute(f"""
        create role {STRANGER} login bypassrls password 'reader'; grant usage on schema montoit to {STRANGER};
        grant select on payment_logs to {STRANGER}; {PAYMENTS} {PAID}
    """)
    try:
        reader = Database(activated.url.set(username=STRANGER, password="reader"))
        with make_engine(reader.url).connect() as connection:
            assert silence(connection) == []
    finally:
        activated.execute(f"drop owned by {STRANGER}; drop role {STRANGER}")


STRANGER = "montoit_evidence_stranger"


def test_what_a_stranger_planted_is_not_read(activated: Database) -> None:
    """His function would run as whoever reads his view; a table is read as soon as somebody trusted owns it."""
    activated.execute(f"""
        create role {STRANGER}; grant create on schema public to {STRANGER};
        create function public.shout() returns boolean language plpgsql as
            $$begin raise 'run as %', current_user; end$$;
        set role {STRANGER};
        create view public.mobile_money_transactions as select '{{}}'::jsonb as intouch_request where public.shout();
        {PAYMENTS} {PAID}
    """)
    try:
        with pytest.raises(DBAPIError, match="run as"):
            activated.rows("select * from mobile_money_transactions")
        assert left(activated) == {}
        activated.execute("alter table payments owner to current_user")
        assert list(left(activated)) == ["Silence"]
    finally:
        activated.execute(f"drop owned by {STRANGER}; drop role {STRANGER}")
