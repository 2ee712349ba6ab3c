"""The environment: every rule, every problem at once, and never a value in a message."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from montoit_db.errors import SettingsError
from montoit_db.settings import EXAMPLE_VALUES, DatabaseSettings, InTouchSettings, supabase_url
from tests.support.checkout import ROOT
from tests.support.commands import on, run
from tests.support.settings import PRODUCTION, SANDBOX, SECRETS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.commands import Alembic
    from tests.support.database import Database


def problems(**variables: str) -> tuple[str, ...]:
    """Return what is wrong with complete production settings and these changes."""
    with pytest.raises(SettingsError) as refusal:
        InTouchSettings.from_environment({**PRODUCTION, **variables})
    return refusal.value.problems


def test_complete_settings() -> None:
    order = InTouchSettings.from_environment({**PRODUCTION, "INTOUCH_ROLLOUT_PERCENTAGE": "10"})
    assert order.environment == "production"
    assert order.credentials == {
        "base_url": "https://apidist.gutouch.net",
        **{name.removeprefix("INTOUCH_").lower(): value for name, value in SECRETS.items()},
    }
    assert order.rollout_percentage == 10
    assert order.credential_store == "auto"


def test_production_is_the_default_environment() -> None:
    assert InTouchSettings.from_environment(SECRETS).environment == "production"


def test_secrets_stay_out_of_repr() -> None:
    order = InTouchSettings.from_environment(PRODUCTION)
    database = DatabaseSettings.from_environment({"DATABASE_URL": "postgresql://u:canary@h/d"})
    assert "canary" not in repr(order) + str(order) + repr(database)


@pytest.mark.parametrize("name", sorted(SECRETS))
@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("", "vide"),
        (" canary", "espace"),
        ("canary ", "espace"),
        ("canary\N{NO-BREAK SPACE}", "espace"),
        ("can\nary", "caractère de contrôle"),
        ("can\x00ary", "caractère de contrôle"),
        ("can\x7fary", "caractère de contrôle"),
        ("can\udc80ary", "UTF-8"),
        ("YOUR_INTOUCH_canary", "YOUR_"),
        ("your-canary", "YOUR_"),
        ("'canary'", "guillemets"),
        ('"canary"', "guillemets"),
    ],
)
def test_unusable_credentials(name: str, value: str, problem: str) -> None:
    (found,) = problems(**{name: value})
    assert found.startswith(f"{name} : ")
    assert problem in found
    assert "canary" not in found


def test_quotes_that_belong_to_a_secret_come_by_file(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("'canary'")
    variables = {name: value for name, value in PRODUCTION.items() if name != "INTOUCH_PASSWORD"}
    order = InTouchSettings.from_environment({**variables, "INTOUCH_PASSWORD_FILE": str(tmp_path / "password")})
    assert order.credentials["password"] == "'canary'"


@pytest.mark.parametrize("value", sorted(EXAMPLE_VALUES))
def test_the_guides_examples_are_for_a_sandbox(value: str) -> None:
    (found,) = problems(INTOUCH_PASSWORD=value)
    assert "exemple du guide" in found
    assert value not in found
    order = InTouchSettings.from_environment({**SANDBOX, "INTOUCH_PASSWORD": value})
    assert order.credentials["password"] == value


@pytest.mark.parametrize(
    "value",
    [
        "http://canary.net",
        "ftp://canary.net",
        "canary.net",
        "https://",
        "https:canary.net",
        "https:///canary",
        "https://user@canary.net",
        "https://user:secret@canary.net",
        "https://canary.net?x=1",
        "https://canary.net/?",
        "https://canary.net/#x",
        "https://canary.net:99999",
        "https://canary.net:x",
        "https://[canary",
        "https://can ary.net",
        "https://canary.net/a b",
        "https://canary$(id).net",
        "https://YOUR_canary.net",
        "YOUR_canary",
        "https://apidist.gutouch.net/apidist/sec/YOUR_canary/",
        "",
    ],
)
@pytest.mark.parametrize("name", ["INTOUCH_BASE_URL", "SUPABASE_URL"])
def test_unusable_urls(name: str, value: str) -> None:
    (found,) = problems(**{name: value})
    assert found.startswith(f"{name} : ")
    assert "canary" not in found


@pytest.mark.parametrize(
    "value", ["https://api.example.net", "https://api.example.net:8443/v1/", "HTTPS://API.EXAMPLE.NET"]
)
def test_usable_urls(value: str) -> None:
    assert InTouchSettings.from_environment({**PRODUCTION, "INTOUCH_BASE_URL": value}).base_url == value


def test_supabase_url_loses_its_final_slash() -> None:
    assert supabase_url({"SUPABASE_URL": "https://abc.supabase.co/"}) == "https://abc.supabase.co"
    assert supabase_url({}) is None


@pytest.mark.parametrize(
    "value", ["-1", "101", "1000", "10.5", "10%", "ten", " 10", "", "1e1", "\N{ARABIC-INDIC DIGIT ONE}0", "+5"]
)
def test_unusable_shares(value: str) -> None:
    (found,) = problems(INTOUCH_ROLLOUT_PERCENTAGE=value)
    assert found.startswith("INTOUCH_ROLLOUT_PERCENTAGE : ")


@given(st.integers(0, 100))
def test_usable_shares(share: int) -> None:
    order = InTouchSettings.from_environment({**PRODUCTION, "INTOUCH_ROLLOUT_PERCENTAGE": str(share)})
    assert order.rollout_percentage == share


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("INTOUCH_ENVIRONMENT", "staging"),
        ("INTOUCH_ENVIRONMENT", "Production"),
        ("INTOUCH_ENVIRONMENT", ""),
        ("MONTOIT_CREDENTIAL_STORE", "disk"),
    ],
)
def test_unknown_choices(name: str, value: str) -> None:
    (found,) = problems(**{name: value})
    assert found.startswith(f"{name} : ")


def test_every_problem_is_reported_at_once() -> None:
    with pytest.raises(SettingsError) as refusal:
        InTouchSettings.from_environment({"INTOUCH_ENVIRONMENT": "x", "INTOUCH_ROLLOUT_PERCENTAGE": "x"})
    named = {problem.split()[0] for problem in refusal.value.problems}
    assert named == {*SECRETS, "INTOUCH_ENVIRONMENT", "INTOUCH_ROLLOUT_PERCENTAGE"}


@given(st.text(max_size=40))
def test_any_text_is_taken_as_it_is_or_refused_by_name(value: str) -> None:
    problems_found: tuple[str, ...] = ()
    stored = value
    try:
        stored = InTouchSettings.from_environment({**SANDBOX, "INTOUCH_PASSWORD": value}).credentials["password"]
    except SettingsError as refusal:
        problems_found = refusal.problems
    assert stored == value
    assert [problem.split()[0] for problem in problems_found] in ([], ["INTOUCH_PASSWORD"])


# Mounted files


def without_password() -> dict[str, str]:
    return {name: value for name, value in PRODUCTION.items() if name != "INTOUCH_PASSWORD"}


@pytest.mark.parametrize(
    ("content", "value"),
    [("secret", "secret"), ("secret\n", "secret"), ("secret\r\n", "secret"), ("s $x#'\"", "s $x#'\"")],
)
def test_a_mounted_file_loses_one_final_newline(tmp_path: Path, content: str, value: str) -> None:
    mounted = tmp_path / "password"
    mounted.write_bytes(content.encode())
    order = InTouchSettings.from_environment({**without_password(), "INTOUCH_PASSWORD_FILE": str(mounted)})
    assert order.credentials["password"] == value


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"canary\n\n", b"canary\x00", b"\xffcanary", b" canary", b"YOUR_canary"]
)
def test_unusable_files(tmp_path: Path, content: bytes) -> None:
    mounted = tmp_path / "password"
    mounted.write_bytes(content)
    with pytest.raises(SettingsError) as refusal:
        InTouchSettings.from_environment({**without_password(), "INTOUCH_PASSWORD_FILE": str(mounted)})
    (found,) = refusal.value.problems
    assert found.startswith("INTOUCH_PASSWORD_FILE : ")
    assert "canary" not in found


@pytest.mark.parametrize("path", ["/nowhere/password", "/", ""])
def test_unreadable_files(path: str) -> None:
    with pytest.raises(SettingsError, match="INTOUCH_PASSWORD_FILE : "):
        InTouchSettings.from_environment({**without_password(), "INTOUCH_PASSWORD_FILE": path})


def test_a_variable_and_its_file_are_one_too_many() -> None:
    (found,) = problems(INTOUCH_PASSWORD_FILE="/run/secrets/password")
    assert found.startswith("INTOUCH_PASSWORD : définie deux fois")


# .env


def test_the_real_environment_wins_over_dotenv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("DATABASE_URL='postgresql://from-the-file/db'\nINTOUCH_ENVIRONMENT=sandbox\n")
    assert DatabaseSettings.from_environment().url == "postgresql://from-the-file/db"
    monkeypatch.setenv("DATABASE_URL", "postgresql://from-the-process/db")
    assert DatabaseSettings.from_environment().url == "postgresql://from-the-process/db"
    assert DatabaseSettings.from_environment().environment == "sandbox"


@pytest.mark.parametrize("value", ["$HOME", "${HOME}", "a#b", "a b", "%", "é🔑"])
def test_quoted_values_in_dotenv_are_taken_as_they_are(tmp_path: Path, value: str) -> None:
    (tmp_path / ".env").write_text(f"DATABASE_URL='{value}'\n", encoding="utf-8")
    assert DatabaseSettings.from_environment().url == value


def test_an_unreadable_line_of_dotenv_is_named_without_its_text(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("INTOUCH_ENVIRONMENT=sandbox\nINTOUCH_PASSWORD='canary\n")
    with pytest.raises(SettingsError, match=r"\.env, ligne 2") as refusal:
        DatabaseSettings.from_environment()
    assert "canary" not in str(refusal.value)


def test_dotenv_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"INTOUCH_PASSWORD=\xffcanary\n")
    with pytest.raises(SettingsError, match=r"\.env : illisible"):
        DatabaseSettings.from_environment()


def test_a_dotenv_that_others_may_write_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("INTOUCH_ENVIRONMENT=sandbox\n")
    (tmp_path / ".env").chmod(0o646)
    with pytest.raises(SettingsError, match=r"\.env : tous les comptes"):
        DatabaseSettings.from_environment()


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone can give a file away")
def test_a_dotenv_of_somebody_else_is_refused_unless_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / ".env"
    path.write_text("INTOUCH_ENVIRONMENT=sandbox\n")
    os.chown(path, 12345, -1)
    with pytest.raises(SettingsError, match=r"\.env : appartient à un autre compte"):
        DatabaseSettings.from_environment()
    monkeypatch.setenv("MONTOIT_ENV_FILE", str(path))
    assert DatabaseSettings.from_environment().environment == "sandbox"
    monkeypatch.delenv("MONTOIT_ENV_FILE")
    path.rename(tmp_path / "theirs")
    path.symlink_to("theirs")
    with pytest.raises(SettingsError, match=r"\.env : appartient à un autre compte"):
        DatabaseSettings.from_environment()


def test_a_pipe_instead_of_a_dotenv_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".env")
    with pytest.raises(SettingsError, match="fichier ordinaire"):
        DatabaseSettings.from_environment()


def test_a_named_env_file_replaces_dotenv_and_has_to_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("INTOUCH_ENVIRONMENT=sandbox\n")
    (tmp_path / "named").write_text("DATABASE_URL=postgresql://named/db\n")
    monkeypatch.setenv("MONTOIT_ENV_FILE", "named")
    assert DatabaseSettings.from_environment() == DatabaseSettings("postgresql://named/db", "production")
    monkeypatch.setenv("MONTOIT_ENV_FILE", "missing")
    with pytest.raises(SettingsError, match="MONTOIT_ENV_FILE : fichier illisible"):
        DatabaseSettings.from_environment()


def test_a_refused_dotenv_does_not_stop_a_rollback(
    tmp_path: Path, activated: Database, alembic_for: Callable[[Database], Alembic]
) -> None:
    """The database stands in the environment, so the file is needed for nothing; an activation would need it."""
    (tmp_path / ".env").write_text("INTOUCH_PASSWORD='canary\n")
    alembic = alembic_for(activated)
    assert ".env, ligne 1" in alembic("upgrade", "head").err
    result = alembic("downgrade", "-1", environment={})
    assert (result.code, ".env, ligne 1" in result.err) == (0, True)
    assert activated.value("select count(*) from feature_flags where key = 'wave_payment' and is_enabled") == 0


def test_a_mere_look_creates_no_server(tmp_path: Path) -> None:
    result = run("montoit-db", "status", environment={"INTOUCH_ENVIRONMENT": "sandbox"})
    assert (result.returncode, result.stdout) == (3, "")
    assert "alembic upgrade head le crée" in result.stderr
    assert list(tmp_path.iterdir()) == []


# The database


def test_the_address_of_the_database_may_come_by_file(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("postgresql://u:p@h/d\n")
    assert DatabaseSettings.from_environment({"DATABASE_URL_FILE": "url"}).url == "postgresql://u:p@h/d"
    with pytest.raises(SettingsError, match="DATABASE_URL : définie deux fois"):
        DatabaseSettings.from_environment({"DATABASE_URL_FILE": "url", "DATABASE_URL": "postgresql://h/d"})
    with pytest.raises(SettingsError, match="DATABASE_URL_FILE : fichier illisible"):
        DatabaseSettings.from_environment({"DATABASE_URL_FILE": "nowhere"})


def test_every_group_that_a_command_uses_is_named_at_once(database: Database) -> None:
    """Whatever the order in which they are read; a schema alone needs no credentials."""
    broken = {"INTOUCH_ENVIRONMENT": "sandbox", "MONTOIT_LOCK_TIMEOUT": "x", "INTOUCH_ROLLOUT_PERCENTAGE": "x"}
    wanted = {"MONTOIT_LOCK_TIMEOUT", "INTOUCH_ROLLOUT_PERCENTAGE", *SECRETS}
    for command, named in (
        (("alembic", "-c", f"{ROOT}/alembic.ini", "upgrade", "head"), wanted),
        (("montoit-db", "rotate"), wanted),
        (("alembic", "-c", f"{ROOT}/alembic.ini", "upgrade", "schema@head"), {"MONTOIT_LOCK_TIMEOUT"}),
    ):
        result = run(*command, environment=on(database, broken))
        found = [line.split()[1] for line in result.stderr.splitlines() if line.startswith("  - ")]
        assert sorted(found) == sorted(named), command


@pytest.mark.parametrize("environment", [{}, {"INTOUCH_ENVIRONMENT": "production"}])
def test_production_names_its_database(environment: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="DATABASE_URL : manquante"):
        DatabaseSettings.from_environment(environment)


def test_an_empty_database_url_is_no_sandbox() -> None:
    """A pipeline hands on a secret that it forgot as an empty string."""
    with pytest.raises(SettingsError, match="DATABASE_URL : vide"):
        DatabaseSettings.from_environment({"INTOUCH_ENVIRONMENT": "sandbox", "DATABASE_URL": ""})


def test_a_sandbox_may_use_the_embedded_server() -> None:
    assert DatabaseSettings.from_environment({"INTOUCH_ENVIRONMENT": "sandbox"}).url is None


# The two example files


def variables_of(name: str) -> dict[str, str]:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    pairs = (line.removeprefix("# ").split("=", 1) for line in lines if "=" in line)
    return {key: value.strip("'") for key, value in pairs if key.isupper() or key.replace("_", "").isupper()}


def test_the_demo_is_a_complete_sandbox_that_production_refuses() -> None:
    demo = variables_of(".env.demo")
    assert InTouchSettings.from_environment(demo).environment == "sandbox"
    with pytest.raises(SettingsError) as refusal:
        InTouchSettings.from_environment({**demo, "INTOUCH_ENVIRONMENT": "production"})
    assert len(refusal.value.problems) == 5


def test_the_example_is_refused_until_it_is_filled_in() -> None:
    example = variables_of(".env.example")
    with pytest.raises(SettingsError) as refusal:
        InTouchSettings.from_environment(example)
    assert {problem.split()[0] for problem in refusal.value.problems} >= set(SECRETS)
    with pytest.raises(SettingsError, match="DATABASE_URL : contient encore le texte à remplacer"):
        DatabaseSettings.from_environment(example)
