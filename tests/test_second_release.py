"""The words last: releases 2 and 3 are built out of this tree and run on release 1's databases."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from types import CodeType
from typing import TYPE_CHECKING

import alembic.command
import pytest
from alembic.runtime.migration import MigrationContext

from tests.support.checkout import ROOT, revision_module
from tests.support.commands import Alembic, on, run, run_alembic
from tests.support.database import Database, commits_nothing
from tests.support.scripts import fill_in, with_psql
from tests.support.settings import PRODUCTION, SECRETS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.templates import Templates

ROWS = "select string_agg(version_num, ' ' order by version_num) from montoit.alembic_version"
SERVICES = "select count(*) from feature_flags where is_enabled and metadata ? 'activated_at'"
CREDENTIALS = "select count(*) from api_keys where is_active"
HISTORY = "select count(*) from feature_flag_history"
COLUMNS = "select string_agg(attname, ' ') from pg_attribute where attname in ('fees_paid', 'campaign')"
NO_CREDENTIALS = {"INTOUCH_ENVIRONMENT": "production"}


@dataclass(frozen=True)
class Release:
    """A checkout of its own."""

    directory: Path

    def run(self, database: Database, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run `alembic` or `montoit-db` of this release, in its directory, with complete settings."""
        result = run(*command, environment=on(database, environment or PRODUCTION), release=self.directory)
        assert "Traceback" not in result.stderr, result.stderr
        assert not any(secret in result.stdout + result.stderr for secret in SECRETS.values())
        return result

    def succeeds(self, database: Database, *command: str, **environment: str) -> str:
        result = self.run(database, *command, **environment)
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    def refuses(self, database: Database, *command: str, code: int = 1) -> str:
        """Return the message of a command that fails and changes nothing."""
        with commits_nothing(database):
            result = self.run(database, *command)
        assert result.returncode == code, result.stdout + result.stderr
        return result.stderr

    def copy(self, directory: Path) -> Release:
        """Return a checkout with the same files."""
        for name in ("montoit_db", "migrations", "alembic.ini", "pyproject.toml"):
            source = self.directory / name
            (shutil.copytree if source.is_dir() else shutil.copy)(source, directory / name)
        return Release(directory)

    def next(self, directory: Path, database: Database, model: str, column: str, message: str) -> Release:
        """Return the release after this one: a column in a model, and what autogenerate makes of it."""
        release = self.copy(directory)
        models = directory / "montoit_db" / "models" / "service_log.py"
        text = models.read_text(encoding="utf-8")
        # A developer's edit: the column becomes the last line of the class.
        head, tail = text.split(f"class {model}(ServiceLog):", 1)
        place = tail.index('"""\n\n    __tablename__')
        end = tail.index("\n\n\n", place) if "\n\n\n" in tail[place:] else len(tail.rstrip())
        models.write_text(f"{head}class {model}(ServiceLog):{tail[:end]}\n    {column}{tail[end:]}", encoding="utf-8")
        release.succeeds(database, "alembic", "revision", "--autogenerate", "-m", message)
        return release

    def revision(self, name: str) -> dict[str, object]:
        """Return what a revision says of itself."""
        return {
            variable: value
            for variable, value in vars(revision_module(name, self.directory)).items()
            if not variable.startswith("__") and isinstance(value, (str, tuple))
        }


FIRST = Release(ROOT)


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory, templates: Templates) -> Iterator[Release]:
    """Release 2: written while InTouch is off."""
    database = templates.clone("0007")
    yield FIRST.next(
        tmp_path_factory.mktemp("second"), database, "PaymentLog",
        'fees_paid: Mapped[int | None] = mapped_column(comment="FCFA.")', "fees of payments",
    )  # fmt: skip
    templates.drop(database.name)


@pytest.fixture(scope="module")
def third(tmp_path_factory: pytest.TempPathFactory, templates: Templates, second: Release) -> Iterator[Release]:
    """Release 3: written while InTouch is on."""
    database = templates.clone("0008")
    second.succeeds(database, "alembic", "upgrade", "head")
    yield second.next(
        tmp_path_factory.mktemp("third"), database, "SmsLog", "campaign: Mapped[str | None]", "campaigns of messages"
    )
    templates.drop(database.name)


def facts(database: Database) -> tuple[str, int, int, str | None]:
    """Return the rows of the version table, the services and credentials that are on, and the releases' columns."""
    return (
        database.value(ROWS) or "", database.value(SERVICES), database.value(CREDENTIALS), database.value(COLUMNS),
    )  # fmt: skip


def test_autogenerate_numbers_and_places_a_revision(second: Release, third: Release) -> None:
    assert second.revision("0009_fees_of_payments") == {
        "revision": "0009", "down_revision": "0007", "branch_labels": ("schema",),
    }  # fmt: skip
    assert third.revision("0010_campaigns_of_messages") == {"revision": "0010", "down_revision": "0009"}
    text = (third.directory / "migrations" / "versions" / "0010_campaigns_of_messages.py").read_text(encoding="utf-8")
    assert "op.add_column('sms_logs', sa.Column('campaign', sa.Text(), nullable=True), schema='public')" in text


def test_on_stays_on(database_at: Callable[[str], Database], second: Release) -> None:
    """Nobody's credentials are needed: InTouch is on already."""
    database = database_at("0008")
    changes = database.value(HISTORY)
    second.succeeds(database, "alembic", "upgrade", "head", **NO_CREDENTIALS)
    assert facts(database) == ("0008 0009", 7, 6, "fees_paid")
    assert database.value(HISTORY) == changes
    assert "Rien à faire" in second.succeeds(database, "alembic", "upgrade", "head", **NO_CREDENTIALS)
    assert "Révision 0008, 0009, à jour." in second.succeeds(database, "montoit-db", "status")
    second.succeeds(database, "montoit-db", "check")
    assert "password" in second.succeeds(
        database, "montoit-db", "rotate", **{**PRODUCTION, "INTOUCH_PASSWORD": "canary-renewed"}
    )
    second.succeeds(database, "alembic", "check")


def test_the_rollback_is_the_rollback(database_at: Callable[[str], Database], second: Release) -> None:
    database = database_at("0008")
    second.succeeds(database, "alembic", "upgrade", "head")
    assert "RETOUR ARRIÈRE" in second.succeeds(database, "alembic", "downgrade", "-1", **NO_CREDENTIALS)
    assert facts(database) == ("0009", 0, 0, "fees_paid")
    with commits_nothing(database):
        assert "déjà désactivé" in second.succeeds(database, "alembic", "downgrade", "-1")
        assert "déjà désactivé" in second.succeeds(database, "alembic", "downgrade", "intouch@-1")
    second.succeeds(database, "alembic", "check")
    second.succeeds(database, "montoit-db", "check")
    assert second.run(database, "montoit-db", "status").returncode == 1
    assert "7/7" in second.succeeds(database, "alembic", "upgrade", "head")
    assert facts(database) == ("0008 0009", 7, 6, "fees_paid")


def test_off_stays_off_while_the_schema_goes_up_and_down(
    database_at: Callable[[str], Database], second: Release
) -> None:
    for start, services, activation in (("0007", 0, ""), ("0008", 7, "0008 ")):
        database = database_at(start)
        second.succeeds(database, "alembic", "upgrade", "schema@head", **NO_CREDENTIALS)
        assert facts(database) == (f"{activation}0009", services, 6 if services else 0, "fees_paid")
        second.succeeds(database, "alembic", "-x", "allow-data-loss=yes", "downgrade", "schema@-1")
        assert facts(database) == (start, services, 6 if services else 0, None)
        if services:
            assert "Désactivez-le d'abord" in second.refuses(database, "alembic", "downgrade", "schema@-1")


def test_from_nothing(database: Database, second: Release, third: Release) -> None:
    second.succeeds(database, "alembic", "upgrade", "head")
    assert facts(database) == ("0008 0009", 7, 6, "fees_paid")
    third.succeeds(database, "alembic", "upgrade", "head")
    assert facts(database) == ("0008 0010", 7, 6, "fees_paid campaign")
    third.succeeds(database, "alembic", "downgrade", "-1")
    assert facts(database) == ("0010", 0, 0, "fees_paid campaign")
    third.succeeds(database, "alembic", "-x", "allow-data-loss=yes", "downgrade", "base")
    assert database.value(ROWS) is None


def test_the_activation_alone_needs_no_later_schema(database_at: Callable[[str], Database], third: Release) -> None:
    database = database_at("0007")
    third.succeeds(database, "alembic", "upgrade", "intouch@head")
    assert facts(database) == ("0008", 7, 6, None)
    third.succeeds(database, "alembic", "upgrade", "schema@head")
    assert facts(database) == ("0008 0010", 7, 6, "fees_paid campaign")


def test_on_or_off_is_read_from_the_data(database_at: Callable[[str], Database], second: Release) -> None:
    database = database_at("0008")
    second.succeeds(database, "alembic", "upgrade", "head")
    database.execute("select montoit.switch_off('three in the morning')")
    assert facts(database) == ("0008 0009", 0, 0, "fees_paid")
    assert database.value("select reason from feature_flag_history order by changed_at desc limit 1") == (
        "three in the morning"
    )
    assert "7/7" in second.succeeds(database, "alembic", "upgrade", "head")
    assert facts(database) == ("0008 0009", 7, 6, "fees_paid")
    database.execute("delete from montoit.alembic_version where version_num = '0008'")
    assert "RETOUR ARRIÈRE" in second.succeeds(database, "alembic", "downgrade", "-1")
    assert facts(database) == ("0009", 0, 0, "fees_paid")


@pytest.mark.parametrize("release", ["first", "second"])
def test_some_services_off(
    database_at: Callable[[str], Database], request: pytest.FixtureRequest, release: str
) -> None:
    here = FIRST if release == "first" else request.getfixturevalue(release)
    database = database_at("0008")
    database.execute("update feature_flags set is_enabled = false where key in ('wave_payment', 'moov_money')")
    message = here.refuses(database, "alembic", "upgrade", "head")
    assert "Moov Money (moov_money)" in message
    assert "Wave (wave_payment)" in message
    assert "Orange" not in message
    assert "alembic upgrade intouch@head" in message
    here.succeeds(database, "alembic", "upgrade", "intouch@head")
    assert database.value(SERVICES) == 7


def test_stamp(database_at: Callable[[str], Database], third: Release) -> None:
    """Also from {0008, 0009}, where Alembic's own `stamp heads` loses the activation's row."""
    database = database_at("0008")
    for arguments, rows in (
        (("head",), "0008 0010"), (("schema@head",), "0010"), (("heads",), "0008 0010"), (("0009",), "0008 0009"),
        (("--purge", "head"), "0008 0010"), (("--purge", "0009", "0008"), "0008 0009"), (("heads",), "0008 0010"),
        (("base",), None), (("--purge", "schema@head"), "0010"),
    ):  # fmt: skip
        third.succeeds(database, "alembic", "stamp", *arguments, **NO_CREDENTIALS)
        assert database.value(ROWS) == rows, arguments
        assert database.value(SERVICES) == 7


def test_stamp_is_one_transaction(database_at: Callable[[str], Database], second: Release) -> None:
    """What stops it half-way, a kill or a trigger, leaves no activated database without its revision."""
    database = database_at("0008")
    database.execute(
        "create function stop() returns trigger language plpgsql as $$begin raise exception 'no'; end$$;"
        "create trigger stop before insert on montoit.alembic_version for each row"
        " when (new.version_num = '0009') execute function stop()"
    )
    for arguments in (("head",), ("--purge", "head")):
        second.refuses(database, "alembic", "stamp", *arguments)
    assert database.value(ROWS) == "0008"


@pytest.mark.parametrize("release", ["second", "third"])
def test_scripts(database: Database, request: pytest.FixtureRequest, release: str) -> None:
    """The same words in each release; the activation and the rollback may be run again."""
    here: Release = request.getfixturevalue(release)
    schema = {"second": "0009", "third": "0010"}[release]

    def script(*arguments: str) -> None:
        text = here.succeeds(database, "alembic", *arguments, "--sql")
        result = with_psql(database, fill_in(text))
        assert result.returncode == 0, result.stderr

    script("upgrade", "schema@head")
    assert facts(database)[:3] == (schema, 0, 0)
    for _ in range(2):
        script("upgrade", "schema@head:intouch@head")
        assert facts(database)[:3] == (f"0008 {schema}", 7, 6)
    for _ in range(2):
        script("downgrade", "intouch@head:intouch@-1")
        assert facts(database)[:3] == (schema, 0, 0)
    if release == "third":
        script("-x", "allow-data-loss=yes", "downgrade", "0010:0009")
        assert database.value(ROWS) == "0009"
        script("upgrade", "0009:head")
        assert facts(database)[:3] == ("0008 0010", 7, 6)
        script("-x", "allow-data-loss=yes", "downgrade", "0008,0010:0009")
        assert facts(database) == ("0008 0009", 7, 6, "fees_paid")


def test_a_script_from_nothing(database: Database, third: Release) -> None:
    text = third.succeeds(database, "alembic", "upgrade", "head", "--sql")
    assert with_psql(database, fill_in(text)).returncode == 0
    assert facts(database) == ("0008 0010", 7, 6, "fees_paid campaign")


def test_an_older_checkout_says_so(database_at: Callable[[str], Database], second: Release) -> None:
    database = database_at("0008")
    second.succeeds(database, "alembic", "upgrade", "head")
    assert "Can't locate revision identified by '0009'" in FIRST.refuses(
        database, "alembic", "downgrade", "-1", code=255
    )
    result = FIRST.run(database, "montoit-db", "status")
    assert (result.returncode, "0008, 0009, que ce projet ne connaît pas" in result.stderr) == (2, True)


def test_no_word_ends_in_a_traceback(database_at: Callable[[str], Database], third: Release) -> None:
    """In this process, where one would come out as an exception."""
    words = [
        "-1",
        "-2",
        "+1",
        "head",
        "heads",
        "base",
        "schema@-1",
        "schema@-2",
        "schema@+1",
        "intouch@-2",
        "intouch@+1",
    ]
    for start in ("empty", "0007", "0008"):
        database = database_at(start)
        for verb in ("upgrade", "downgrade"):
            for word in words:
                run_alembic(database, [verb, word], PRODUCTION, third.directory)
    database = database_at("0008")
    third.succeeds(database, "alembic", "upgrade", "head")
    assert "ambigu" in third.refuses(database, "alembic", "downgrade", "-2")


def test_a_revision_above_the_activation_is_refused(database_at: Callable[[str], Database], tmp_path: Path) -> None:
    database = database_at("0008")
    release = FIRST.next(
        tmp_path, database_at("0007"), "SmsLog", "campaign: Mapped[str | None]", "campaigns of messages"
    )
    (path,) = (tmp_path / "migrations" / "versions").glob("0009_*.py")
    path.write_text(
        path.read_text(encoding="utf-8")
        .replace("down_revision = '0007'", "down_revision = '0008'")
        .replace("branch_labels = ('schema',)\n", ""),
        encoding="utf-8",
    )
    assert "posée au-dessus de l'activation (0008)" in release.refuses(database, "alembic", "upgrade", "head")
    result = release.run(database, "alembic", "revision", "--head", "intouch@head", "-m", "above")
    assert result.returncode == 1
    release.succeeds(database, "alembic", "downgrade", "-1")  # the rollback goes on working
    assert database.value(SERVICES) == 0


def test_nothing_is_merged_above_the_activation(database: Database, tmp_path: Path) -> None:
    release = FIRST.copy(tmp_path)
    assert "ne se rejoignent pas" in release.refuses(database, "alembic", "merge", "heads", "-m", "both")
    assert len([*(tmp_path / "migrations" / "versions").glob("*.py")]) == len(
        [*(ROOT / "migrations" / "versions").glob("*.py")]
    )


def test_ensure_version_on_an_empty_database(database: Database) -> None:
    FIRST.succeeds(database, "alembic", "ensure_version")
    assert database.value("select count(*) from montoit.alembic_version") == 0
    FIRST.succeeds(database, "alembic", "upgrade", "head")


def test_a_third_head_is_refused(database_at: Callable[[str], Database], third: Release, tmp_path: Path) -> None:
    third.copy(tmp_path)
    (tmp_path / "migrations" / "versions" / "0011_other.py").write_text(
        'revision = "0011"\ndown_revision = "0009"\n\n\ndef upgrade():\n    pass\n\n\ndef downgrade():\n    pass\n',
        encoding="utf-8",
    )
    database = database_at("0008")
    message = Release(tmp_path).refuses(database, "alembic", "upgrade", "head")
    assert "plusieurs têtes (0010, 0011)" in message


def test_files_alone_need_no_database(tmp_path: Path) -> None:
    """`history`, `heads`, `show` and a plain `revision`, with nothing set."""
    FIRST.copy(tmp_path)
    nowhere = {"PATH": os.defpath, "PYTHONPATH": str(tmp_path)}
    for command in (["history"], ["heads"], ["branches"], ["show", "head"], ["revision", "-m", "by hand"]):
        result = subprocess.run(
            [sys.executable, "-m", "alembic.config", *command],
            cwd=tmp_path, env=nowhere, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert result.returncode == 0, result.stderr
    assert Release(tmp_path).revision("0009_by_hand")["down_revision"] == "0007"


def test_another_alembic_project_in_the_same_database(database: Database, tmp_path: Path) -> None:
    """A back end keeps its own public.alembic_version: neither sees the other's."""
    (tmp_path / "theirs" / "versions").mkdir(parents=True)
    (tmp_path / "alembic.ini").write_text("[alembic]\nscript_location = %(here)s/theirs\n", encoding="utf-8")
    (tmp_path / "theirs" / "env.py").write_text(
        "import os\nfrom alembic import context\nfrom sqlalchemy import create_engine\n"
        "url = os.environ['DATABASE_URL'].replace('postgresql:', 'postgresql+psycopg:')\n"
        "with create_engine(url).connect() as connection:\n"
        "    context.configure(connection=connection)\n"
        "    with context.begin_transaction():\n        context.run_migrations()\n",
        encoding="utf-8",
    )
    (tmp_path / "theirs" / "versions" / "0001_theirs.py").write_text(
        'from alembic import op\nrevision = "0001"\ndown_revision = None\n\n\n'
        'def upgrade():\n    op.execute("create table theirs (id int)")\n\n\n'
        'def downgrade():\n    op.execute("drop table theirs")\n',
        encoding="utf-8",
    )

    def theirs(*arguments: str) -> None:
        subprocess.run(
            [sys.executable, "-m", "alembic.config", *arguments],
            cwd=tmp_path, env={**os.environ, "DATABASE_URL": database.address}, check=True, capture_output=True,
        )  # fmt: skip

    theirs("upgrade", "head")
    Alembic(database).succeeds("upgrade", "head")
    Alembic(database).succeeds("check")
    assert database.rows("select version_num from public.alembic_version") == [("0001",)]
    assert database.value(ROWS) == "0008"
    theirs("downgrade", "base")
    assert database.value(ROWS) == "0008"
    theirs("upgrade", "head")
    Alembic(database).succeeds("-x", "allow-data-loss=yes", "downgrade", "base")
    assert database.rows("select version_num from public.alembic_version") == [("0001",)]
    assert database.value("select to_regclass('theirs') is not null") is True


def test_alembics_names_that_we_rely_on() -> None:
    """Two are private; the others are how Alembic calls the functions of its commands."""
    assert {"_migrations_fn", "_transaction_per_migration"} <= set(MigrationContext.__init__.__code__.co_names)
    commands = (
        ("upgrade", "upgrade"), ("downgrade", "downgrade"), ("stamp", "do_stamp"), ("check", "retrieve_migrations"),
        ("revision", "retrieve_migrations"), ("ensure_version", "do_ensure_version"),
    )  # fmt: skip
    for command, function in commands:
        constants = getattr(alembic.command, command).__code__.co_consts
        assert function in {constant.co_name for constant in constants if isinstance(constant, CodeType)}


def test_a_checkout_runs_its_own_revisions(database: Database, tmp_path: Path) -> None:
    """Not a copy that a build has left inside the package, and not what lies in the current directory."""
    release = FIRST.copy(tmp_path)
    (tmp_path / "montoit_db" / "migrations").mkdir()
    (tmp_path / "montoit_db" / "migrations" / "env.py").write_text("raise SystemExit('stale')", encoding="utf-8")
    (tmp_path / "montoit_db" / "alembic.ini").write_text("[alembic]\nscript_location = %(here)s/migrations\n")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "alembic.ini").write_text("[alembic]\nscript_location = nowhere\n", encoding="utf-8")
    (elsewhere / "pyproject.toml").write_text('[tool.alembic]\nscript_location = "nowhere"\n', encoding="utf-8")
    (elsewhere / "alembic.py").write_text("raise SystemExit('planted')", encoding="utf-8")
    release.succeeds(database, "montoit-db", "alembic", "upgrade", "schema@head")
    result = subprocess.run(
        [sys.executable, "-m", "montoit_db", "alembic", "current"],
        cwd=elsewhere,
        env={"PYTHONPATH": str(tmp_path), "DATABASE_URL": database.address, "ALEMBIC_CONFIG": "alembic.ini"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (result.returncode, result.stdout) == (0, "0007\n"), result.stderr
    refused = release.run(database, "montoit-db", "alembic", "-c", "alembic.ini", "current")
    assert (refused.returncode, "aucune autre" in refused.stderr) == (2, True)
