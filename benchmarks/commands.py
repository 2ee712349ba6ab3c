"""The package's `alembic` commands, compared with a bare Alembic project that runs the same statements.

    python -m benchmarks.commands [--pairs 15] [--against CHECKOUT]

A pair is two whole processes, one of each project, on databases of the same state; their order changes from pair to
pair. Printed are the median of the pairs' ratios, and the medians of both sides in milliseconds. With `--against` the
other side is another checkout of this project, made by `git worktree add ../before v1.0` for example.
"""

from __future__ import annotations

import argparse
import itertools
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from montoit_db.database import embedded, make_engine
from tests.support.database import Database

if TYPE_CHECKING:
    from sqlalchemy import URL

ROOT = Path(__file__).parent.parent
SETTINGS = {
    "INTOUCH_ENVIRONMENT": "sandbox",
    "INTOUCH_USERNAME": "username",
    "INTOUCH_PASSWORD": "password",
    "INTOUCH_PARTNER_ID": "partner_id",
    "INTOUCH_LOGIN_API": "login_api",
    "INTOUCH_PASSWORD_API": "password_api",
}

BARE_INI = """
[alembic]
script_location = %(here)s/bare
[loggers]
keys = root,sqlalchemy,alembic
[handlers]
keys = console
[formatters]
keys = generic
[logger_root]
level = WARNING
handlers = console
[logger_sqlalchemy]
level = WARNING
handlers =
qualname = sqlalchemy.engine
[logger_alembic]
level = INFO
handlers =
qualname = alembic
[handler_console]
class = StreamHandler
args = (sys.stderr,)
level = NOTSET
formatter = generic
[formatter_generic]
format = %(levelname)-5.5s [%(name)s] %(message)s
"""

BARE_ENV = """
import os
from logging.config import fileConfig
from alembic import context
from sqlalchemy import create_engine, pool

from bare_statements import InTouchSettings

def record(ctx, step, **_):
    # the package adds this statement to the transaction of each revision of the schema
    if step.is_upgrade and not hasattr(step.up_revision.module, "branch_labels"):  # which the activation has
        ctx.connection.exec_driver_sql("select montoit.record_objects('upgrade')")

fileConfig(context.config.config_file_name)
context.config.attributes["intouch_settings"] = InTouchSettings.from_environment()
with create_engine(os.environ["BARE_URL"], poolclass=pool.NullPool).connect() as connection:
    connection.exec_driver_sql("create schema if not exists montoit")
    connection.commit()
    context.configure(
        connection=connection, transaction_per_migration=True, version_table_schema="montoit", on_version_apply=record
    )
    with context.begin_transaction():
        context.run_migrations()
"""

# What the revisions import from the package, without what the package adds: no validation, no objections beforehand.
BARE_STATEMENTS = """
import os
import re
from pathlib import Path
from types import SimpleNamespace
from alembic import op

class SettingsError(Exception):
    pass

class InTouchSettings:
    @staticmethod
    def from_environment():
        names = ("username", "password", "partner_id", "login_api", "password_api")
        url = "https://apidist.gutouch.net"
        return SimpleNamespace(
            environment=os.environ["INTOUCH_ENVIRONMENT"], rollout_percentage=None,
            credential_store="auto",
            to_store={"base_url": url, **{name: os.environ["INTOUCH_" + name.upper()] for name in names}},
        )

def ordered_environment():
    return os.environ["INTOUCH_ENVIRONMENT"]

def run(sql):
    op.get_bind().exec_driver_sql(sql, execution_options={"no_parameters": True})

def read(name):
    text = (Path(__file__).parent / "sql" / f"{name}.sql").read_text()
    return re.sub("-- include ([\\\\w/]+)", lambda include: read(include[1] + "_part"), text)

def run_file(name):
    run(read(name))

def run_alone(query):
    op.get_bind().exec_driver_sql(query, execution_options={"no_parameters": True}).all()

def take_its_time():
    pass

def copy_values(connection, values):
    statement = "copy montoit.given_credentials from stdin (format binary)"
    with connection.connection.cursor().copy(statement) as copy:
        copy.set_types(("text", "text"))
        for row in values.items():
            copy.write_row(row)

def refuse_missing_vault(connection, settings):
    pass

KEEP_ROLLOUT = "keep-rollout"

def is_allowed(name):
    return False

def with_reason(order):
    return order

def refuse_to_lose_rows():
    run("select montoit.refuse_to_lose_rows();")
"""


class Case(NamedTuple):
    """A command, and the state that it starts from: InTouch `on` or `off`; None: an empty database."""

    name: str
    arguments: tuple[str, ...]
    start: str | None


CASES = (
    Case("current", ("current",), "on"),
    Case("upgrade head, from nothing", ("upgrade", "head"), None),
    Case("upgrade head, activation only", ("upgrade", "head"), "off"),
    Case("upgrade head, nothing to do", ("upgrade", "head"), "on"),
    Case("downgrade -1", ("downgrade", "-1"), "on"),
)


class Databases:
    """Databases on one server, each a clone of a template at a revision."""

    def __init__(self, server: embedded.Server) -> None:
        """Take the server to create them on."""
        self._server = server
        self._numbers = itertools.count()

    def clone(self, template: str, name: str | None = None) -> URL:
        """Create a database like `template` and return its address."""
        name = name or f"benchmark_{next(self._numbers)}"
        with make_engine(self._server.url()).execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            connection.exec_driver_sql(f'create database {name} template "{template}"')
        return self._server.url(name)

    def drop(self, url: URL) -> None:
        """Drop a database that nobody uses any more."""
        with make_engine(self._server.url()).execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            connection.exec_driver_sql(f'drop database "{url.database}"')


def make_bare_project(directory: Path) -> None:
    """Write a bare Alembic project, with copies of the package's revisions."""
    bare = directory / "bare"
    shutil.copytree(ROOT / "migrations" / "sql", bare / "sql")
    shutil.copy(ROOT / "pyproject.toml", directory)  # Alembic reads it
    (directory / "alembic.ini").write_text(BARE_INI)
    (bare / "env.py").write_text(BARE_ENV)
    (bare / "bare_statements.py").write_text(BARE_STATEMENTS)
    (bare / "versions").mkdir()
    for revision in (ROOT / "migrations" / "versions").glob("*.py"):
        text = re.sub(r"from montoit_db[.\w]* import", "from bare_statements import", revision.read_text())
        (bare / "versions" / revision.name).write_text(text)


def seconds(arguments: tuple[str, ...], directory: Path, url: URL) -> float:
    """Return how long one `alembic` process takes.

    Raises:
        subprocess.CalledProcessError: it failed, so that its time means nothing.

    """
    address = Database(url).address
    environment = {
        **os.environ,
        **SETTINGS,
        "PYTHONDONTWRITEBYTECODE": "",  # unset: with it, a project changed since would be compiled at every start
        "DATABASE_URL": address,
        "BARE_URL": address.replace("postgresql", "postgresql+psycopg", 1),
        "PYTHONPATH": str(directory / "bare"),
    }
    command = [sys.executable, "-m", "alembic.config", *arguments]
    start = time.perf_counter()
    subprocess.run(command, cwd=directory, env=environment, capture_output=True, check=True)
    return time.perf_counter() - start


def facts(server: embedded.Server) -> str:
    """Return the date, the machine and the versions, without which a figure means nothing."""
    with make_engine(server.url()).connect() as connection:
        version = connection.exec_driver_sql("show server_version").scalar_one()
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {platform.system()} {platform.machine()}, {os.cpu_count()} cores,\n"
        f"Python {platform.python_version()}, PostgreSQL {version},"
    )


def latencies(  # noqa: PLR0913, PLR0917
    server: embedded.Server,
    database: str,
    scripts: list[Path],
    duration: int,
    clients: int = 4,
    environment: dict[str, str] | None = None,
) -> list[float]:
    """Return pgbench's mean latency of each script, in milliseconds, with prepared statements.

    Each client draws its next script at random, so that other work of the machine slows all scripts alike.
    """
    result = subprocess.run(
        [
            *(str(server.binaries / "pgbench"), "-n", "-M", "prepared", "-c", str(clients), "-j", "2"),
            *("-T", str(duration)),
            *(argument for script in scripts for argument in ("-f", str(script))),
            *("-h", str(server.socket_directory), "-p", "5432", "-U", "postgres", database),
        ],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    averages = re.findall(r"latency average = ([\d.]+) ms", result.stdout)
    return [float(average) for average in averages[-len(scripts) :]]  # of several scripts, the overall one comes first


def measure(case: Case, databases: Databases, bare: Path, pairs: int) -> str:
    """Run the pairs of one case and return its line of the table."""
    is_checkout = (bare / "montoit_db").exists()  # it has a schema of its own, and makes the databases to start from
    templates = {project: databases.clone("template1") for project in (ROOT, bare)}
    for project, template in templates.items():
        if case.start:
            seconds(("upgrade", start_of(case, project)), project if is_checkout else ROOT, template)
    times: dict[Path, list[float]] = {ROOT: [], bare: []}
    for number in range(pairs + 1):
        for project in (ROOT, bare) if number % 2 else (bare, ROOT):
            url = databases.clone(str(templates[project].database))
            took = seconds(case.arguments, project, url)
            if number:  # the first pair warms the caches
                times[project].append(took)
            databases.drop(url)
    for template in templates.values():
        databases.drop(template)
    ratio = statistics.median(ours / theirs for ours, theirs in zip(times[ROOT], times[bare], strict=True))
    ours, theirs = (1000 * statistics.median(times[project]) for project in (ROOT, bare))
    return f"{case.name:<32} {ratio:6.2f} {ours:10.0f} {theirs:10.0f}"


def start_of(case: Case, project: Path) -> str:
    """Return the revision that a case starts from, as the project numbers it: the activation, or the one before."""
    revisions = sorted(path.name[:4] for path in (project / "migrations" / "versions").glob("0*.py"))
    if not revisions:  # the bare project's revisions lie elsewhere, and have the same numbers
        return start_of(case, ROOT)
    (activation,) = (path.name[:4] for path in (project / "migrations" / "versions").glob("*_activate_intouch.py"))
    return activation if case.start == "on" else revisions[revisions.index(activation) - 1]


def main() -> None:
    """Measure every case and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--against", type=Path, metavar="CHECKOUT")
    arguments = parser.parse_args()
    pairs = arguments.pairs
    with tempfile.TemporaryDirectory(prefix="montoit-benchmark-") as name:
        Path(name).chmod(0o755)
        with embedded.server(Path(name) / "server") as server:
            databases = Databases(server)
            print(facts(server), f"{pairs} pairs\n")
            other = arguments.against.resolve() if arguments.against else Path(name)
            side = "before, ms" if arguments.against else "bare, ms"
            print(f"{'command':<32} {'ratio':>6} {'ours, ms':>10} {side:>10}")
            if arguments.against is None:
                make_bare_project(Path(name))
            for case in CASES:
                print(measure(case, databases, other, pairs), flush=True)


if __name__ == "__main__":
    main()
