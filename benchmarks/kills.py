"""Kill deployments, or the server under them, at random moments, and look at what each kill leaves.

    python -m benchmarks.kills [--kills 200] [--seed 1]

Half of the kills are SIGKILL to the `alembic` process, half to the server; some databases are the platform's of 2025,
with a log that is large enough to get its indexes concurrently. After each kill the database has to be at a revision
boundary, with 0 or 7 services on, and the next `upgrade head` has to succeed and to leave no index INVALID. The first
failure ends the run with status 1. The same seed draws the same commands and moments.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.adoption import make_platform
from benchmarks.commands import ROOT, SETTINGS, Databases
from montoit_db.database import embedded, make_engine
from tests.support.database import Database

if TYPE_CHECKING:
    from sqlalchemy import URL

STATE = """
select version_num,
       (select count(*) from feature_flags where is_enabled and metadata ? 'activated_at'),
       (select count(*) from api_keys where service_name = 'intouch' and is_active)
from montoit.alembic_version
"""


FIRST_WITH_CREDENTIALS, ACTIVATION = "0004", "0008"
CASES = (("upgrade", "base"), ("upgrade", "the platform"), ("upgrade", "0007"), ("downgrade", ACTIVATION))
PLATFORM_ROWS = 100_000


def start(address: str, *arguments: str) -> subprocess.Popen[bytes]:
    """Start an `alembic` process on the package's revisions."""
    return subprocess.Popen(
        [sys.executable, "-m", "alembic.config", "-c", str(ROOT / "alembic.ini"), *arguments],
        env={**os.environ, **SETTINGS, "DATABASE_URL": address},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def ready(databases: Databases, verb: str, begin: str, name: str) -> tuple[URL, subprocess.Popen[bytes]]:
    """Make a database that a command can begin with, and start the command."""
    url = databases.clone("platform" if begin == "the platform" else "template1", name)
    if begin.isdigit():
        _, err = (process := start(Database(url).address, "upgrade", begin)).communicate()
        assert process.returncode == 0, err.decode()
    return url, start(Database(url).address, verb, "head" if verb == "upgrade" else "-1")


def boundary(directory: Path, database: str) -> str:
    """Return the revision that a kill left the database at; a server that was killed recovers first.

    Raises:
        AssertionError: the database is not at a boundary.

    """
    with embedded.server(directory) as server, make_engine(server.url(database)).connect() as connection:
        if connection.exec_driver_sql("select to_regclass('montoit.alembic_version')").scalar() is None:
            return "base"
        revision = connection.exec_driver_sql("select version_num from montoit.alembic_version").scalar()
        if revision is None:
            return "base"
        if revision < FIRST_WITH_CREDENTIALS:
            return str(revision)
        state = connection.exec_driver_sql(STATE, execution_options={"no_parameters": True}).one()
    assert tuple(state)[1:] == ((7, 6) if revision == ACTIVATION else (0, 0)), state
    return str(revision)


def main() -> None:
    """Kill as often as asked, and count the revisions that were left."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)  # noqa: S311 -- repeatable, not secret
    left: Counter[tuple[str, str, str]] = Counter()
    durations: dict[tuple[str, str], float] = {}  # seconds that a command takes on this machine, left alone
    with tempfile.TemporaryDirectory(prefix="montoit-kills-") as name:
        Path(name).chmod(0o755)
        directory = Path(name) / "server"
        for number in range(arguments.kills):
            victim = "process" if number % 2 else "server"
            verb, begin = chance.choice(CASES)
            with embedded.server(directory) as server:
                databases = Databases(server)
                if number == 0:
                    make_platform(Database(databases.clone("template1", "platform")), PLATFORM_ROWS)
                if (verb, begin) not in durations:
                    url, process = ready(databases, verb, begin, "undisturbed")
                    began = time.perf_counter()
                    _, err = process.communicate()
                    assert process.returncode == 0, err.decode()
                    durations[verb, begin] = time.perf_counter() - began
                    databases.drop(url)
                url, process = ready(databases, verb, begin, f"kill_{number}")
                # Python's start is half of it, and leaves nothing to look at.
                time.sleep(chance.uniform(0.4, 1.0) * durations[verb, begin])
                if victim == "process":
                    process.kill()
                else:
                    pid = int((server.home / "data" / "postmaster.pid").read_text().splitlines()[0])
                    os.kill(pid, signal.SIGKILL)
                process.communicate()
            revision = boundary(directory, str(url.database))
            with embedded.server(directory):
                again = start(Database(url).address, "upgrade", "head")
                _, err = again.communicate()
                assert again.returncode == 0, err.decode()
                assert Database(url).value("select count(*) from pg_index where not indisvalid") == 0
            assert boundary(directory, str(url.database)) == ACTIVATION
            with embedded.server(directory) as server:
                Databases(server).drop(url)  # a killed server looks at every file when it starts again
            left[victim, f"{verb} from {begin}", revision] += 1
    print(f"{arguments.kills} kills, seed {arguments.seed}; the next `upgrade head` succeeded after each\n")
    for (victim, command, revision), count in sorted(left.items()):
        print(f"{victim:<8} {command:<26} left at {revision:<5} {count:>4}")


if __name__ == "__main__":
    main()
