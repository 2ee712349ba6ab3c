"""The package's `alembic` commands, compared with psql, dbmate and sqitch that run the same SQL.

    python -m benchmarks.others [--pairs 15] [--dbmate node_modules/.bin/dbmate]

The SQL is that of `alembic upgrade head --sql`, with values filled in. A pair is two whole processes, the package's and
the other tool's, on databases of the same state, in changing order; printed are the medians. dbmate (npm) and sqitch
(Debian) are reported as missing if they are not installed. The other tools do less: no validation, no lock, no reading
back beyond what the SQL does, no summary.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.commands import ROOT, SETTINGS, Databases, facts, seconds
from montoit_db.database import embedded

if TYPE_CHECKING:
    from sqlalchemy import URL

PLACEHOLDERS = re.compile(r"'YOUR_(?:INTOUCH_)?\w+'")


class Other:
    """A tool that brings a database to the state of `upgrade head`, does nothing, or rolls back."""

    name: str

    def __init__(self, directory: Path, server: embedded.Server) -> None:
        """Take a directory for its project."""
        self.directory = directory
        self.server = server

    def command(self, action: str, url: URL) -> list[str] | None:
        """Return the command for `up`, `again` or `down`; None if the tool has none."""
        raise NotImplementedError

    def seconds(self, action: str, url: URL) -> float:
        """Return how long it takes."""
        command = self.command(action, url)
        assert command is not None
        environment = {**os.environ, "PGHOST": str(self.server.socket_directory), "PGUSER": "postgres"}
        start = time.perf_counter()
        subprocess.run(command, cwd=self.directory, env=environment, capture_output=True, check=True)
        return time.perf_counter() - start


class Psql(Other):
    """psql, which keeps no record of what was applied."""

    name = "psql"

    def command(self, action: str, url: URL) -> list[str] | None:
        """Run a script; there is no `again`."""
        if action == "again":
            return None
        program = str(self.server.binaries / "psql")
        return [program, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", str(url.database), "-f", f"{action}.sql"]


class Dbmate(Other):
    """dbmate with one migration."""

    name = "dbmate"
    program = "dbmate"

    def command(self, action: str, url: URL) -> list[str]:
        """Apply, apply once more, or roll back."""
        address = f"postgres://postgres@/{url.database}?host={self.server.socket_directory}&sslmode=disable"
        verb = "rollback" if action == "down" else "up"
        return [self.program, "--no-dump-schema", "--url", address, "-d", str(self.directory / "dbmate"), verb]


class Sqitch(Other):
    """Sqitch with one change."""

    name = "sqitch"

    def command(self, action: str, url: URL) -> list[str]:
        """Deploy, deploy once more, or revert."""
        target = f"db:pg:{url.database}"
        deploy = ["sqitch", "--chdir", str(self.directory / "sqitch"), "deploy", target]
        return (
            ["sqitch", "--chdir", str(self.directory / "sqitch"), "revert", "-y", target]
            if action == "down"
            else deploy
        )


def printed(*arguments: str) -> str:
    """Return a script of the package's, filled in."""
    result = subprocess.run(
        [sys.executable, "-m", "alembic.config", *arguments, "--sql"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return PLACEHOLDERS.sub("'value'", result.stdout).replace(
        "'montoit.environment', 'production'", "'montoit.environment', 'sandbox'"
    )


def body(script: str) -> str:
    """Return what stands between BEGIN and COMMIT."""
    return script.split("BEGIN;", 1)[1].rsplit("COMMIT;", 1)[0]


def write_projects(directory: Path) -> None:
    """Write the same SQL in each tool's manner."""
    up, down = printed("upgrade", "head"), printed("downgrade", "intouch@head:intouch@-1")
    (directory / "up.sql").write_text(up)
    (directory / "down.sql").write_text(down)
    (directory / "dbmate").mkdir()
    (directory / "dbmate" / "20260101000000_activate.sql").write_text(
        f"-- migrate:up\n{body(up)}\n-- migrate:down\n{body(down)}\n"
    )
    sqitch = directory / "sqitch"
    for kind, text in (("deploy", up), ("revert", down)):
        (sqitch / kind).mkdir(parents=True)
        (sqitch / kind / "activate.sql").write_text(f"BEGIN;{body(text)}COMMIT;\n")
    (sqitch / "sqitch.conf").write_text("[core]\n\tengine = pg\n[user]\n\tname = b\n\temail = b@example.net\n")
    (sqitch / "sqitch.plan").write_text(
        "%syntax-version=1.0.0\n%project=montoit\n\nactivate 2026-01-01T00:00:00Z b <b@example.net> # all\n"
    )


COMMANDS = {"up": ("upgrade", "head"), "again": ("upgrade", "head"), "down": ("downgrade", "-1")}
LABELS = {"up": "upgrade head, from nothing", "again": "nothing to do", "down": "rollback"}


def measure(other: Other, action: str, databases: Databases, pairs: int) -> str:
    """Run the pairs of one action and return its line of the table."""
    times: dict[bool, list[float]] = {True: [], False: []}
    for number in range(pairs + 1):
        for is_package in (True, False) if number % 2 else (False, True):
            url = databases.clone("template1")
            if action != "up":
                _ = seconds(COMMANDS["up"], ROOT, url) if is_package else other.seconds("up", url)
            took = seconds(COMMANDS[action], ROOT, url) if is_package else other.seconds(action, url)
            if number:  # the first pair warms the caches
                times[is_package].append(took)
            databases.drop(url)
    ratio = statistics.median(package / tool for package, tool in zip(times[True], times[False], strict=True))
    package_ms, tool_ms = (1000 * statistics.median(times[is_package]) for is_package in (True, False))
    return f"{other.name:<8} {LABELS[action]:<28} {ratio:6.2f} {package_ms:10.0f} {tool_ms:11.0f}"


def main() -> None:
    """Measure every tool that is there and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--dbmate", default="dbmate")
    arguments = parser.parse_args()
    os.environ.update(SETTINGS)
    with tempfile.TemporaryDirectory(prefix="montoit-others-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        write_projects(directory)
        with embedded.server(directory / "server") as server:
            databases = Databases(server)
            print(facts(server), f"{arguments.pairs} pairs\n")
            print(f"{'':<37} {'ratio':>6} {'ours, ms':>10} {'theirs, ms':>11}")
            Dbmate.program = str(Path(shutil.which(arguments.dbmate) or "dbmate").absolute())
            tools = {Psql: str(server.binaries / "psql"), Dbmate: Dbmate.program, Sqitch: "sqitch"}
            for tool, program in tools.items():
                if shutil.which(program) is None:
                    print(f"{tool.name:<8} not installed")
                    continue
                other = tool(directory, server)
                for action in COMMANDS:
                    if other.command(action, server.url()) is not None:
                        print(measure(other, action, databases, arguments.pairs), flush=True)


if __name__ == "__main__":
    main()
