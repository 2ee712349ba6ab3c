"""Our commands: `alembic` in this process, and all of them in processes of their own."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
from contextlib import redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING, Any, NamedTuple

import alembic.config
import pytest
from typer.testing import CliRunner

from montoit_db.cli import app
from tests.support.checkout import BIN, ROOT
from tests.support.database import Database, commits_nothing
from tests.support.forks import MAIN, run_fork
from tests.support.settings import PRODUCTION, SECRETS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class Result(NamedTuple):
    """The exit status of a command, and what it printed."""

    code: int
    out: str
    err: str


def run_alembic(
    database: Database, arguments: list[str], environment: Mapping[str, str], checkout: Path = ROOT
) -> Result:
    """Run the `alembic` command in this process, on the revisions of a checkout; its own exit status and output."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setenv("DATABASE_URL", database.address)
        for name, value in environment.items():
            patch.setenv(name, value)
        code = 0
        try:
            alembic.config.main(argv=["-c", str(checkout / "alembic.ini"), *arguments], prog="alembic")
        except SystemExit as stop:
            code = int(stop.code or 0)
    result = Result(code, out.getvalue(), err.getvalue())
    for name, value in environment.items():
        if name in SECRETS and "canary" in value:  # others may be words that any text has
            assert value not in result.out + result.err, "a secret got out"
    return result


class Alembic:
    """The `alembic` command on one database, with complete production settings unless told otherwise."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def __call__(self, *arguments: str, environment: Mapping[str, str] = PRODUCTION) -> Result:
        return run_alembic(self._database, list(arguments), environment)

    def succeeds(self, *arguments: str, environment: Mapping[str, str] = PRODUCTION) -> Result:
        result = self(*arguments, environment=environment)
        assert result.code == 0, result.err
        return result

    def refuses(self, *arguments: str, environment: Mapping[str, str] = PRODUCTION) -> str:
        """Return the message of a command that fails and commits nothing, not a row."""
        with commits_nothing(self._database):
            result = self(*arguments, environment=environment)
        assert result.code == 1
        assert "Traceback" not in result.err
        return result.err


def run_montoit_db(database: Database, *arguments: str, environment: Mapping[str, str] = PRODUCTION) -> Result:
    """Run `montoit-db` in this process: a tenth of the time of `run`."""
    result = CliRunner().invoke(app, arguments, env=on(database, environment))
    assert not any(secret in result.output for secret in SECRETS.values()), "a secret got out"
    return Result(result.exit_code, result.stdout, result.stderr)


def run(
    *command: str, environment: Mapping[str, str], stdout: int = subprocess.PIPE, release: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run one of our commands as a process of its own, of another release if its checkout is named."""
    inherited = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    everything = {**inherited, "PYTHONUTF8": "1", **environment}
    if command[0] in MAIN and stdout == subprocess.PIPE and not {"PYTHONIOENCODING"} & environment.keys():
        return subprocess.CompletedProcess(command, *run_fork(command, everything, release))
    assert release is None, "only a fork imports another release's modules"
    return subprocess.run(
        [shutil.which(command[0], path=f"{BIN}:/bin") or command[0], *command[1:]],
        env=everything,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="replace",  # a test of another encoding looks at one of the two streams
        check=False,
    )


def on(database: Database, environment: Mapping[str, str] = PRODUCTION) -> dict[str, str]:
    """Return the environment of a command on this database."""
    return {"DATABASE_URL": database.address, **environment}


def run_check(
    database: Database | str, environment: Mapping[str, str] = PRODUCTION
) -> tuple[int, dict[str, list[Any]]]:
    """Run `montoit-db check`; return its exit status and the findings that are no `ok`, by subject.

    Less the agency's code, which the default base URL does not have: see tests/test_evidence.py.
    """
    address = database if isinstance(database, str) else database.address
    result = run("montoit-db", "check", "--json", environment={**environment, "DATABASE_URL": address})
    assert "Traceback" not in result.stderr
    assert not any(secret in result.stdout + result.stderr for secret in SECRETS.values())
    document = json.loads(result.stdout)
    assert document["ok"] == (result.returncode == 0)
    problems: dict[str, list[Any]] = {}
    for finding in document["findings"]:
        if finding["level"] != "ok" and finding["subject"] != "Agence":
            problems.setdefault(finding["subject"], []).append(finding)
    return result.returncode, problems


def target(database: Database, environment: str = "production") -> str:
    """Return the line that a command on `database` begins with, on stderr."""
    url = database.url
    port = url.port or url.query.get("port", 5432)
    place = f"{url.host}:{port}" if url.host else f"le socket {url.query['host']}, port {port}"
    return f"{environment.upper()} : base {database.name}, rôle {url.username}, sur {place}\n"
