"""Our commands in processes of their own that need not import everything again: each is a fork of one that has."""

from __future__ import annotations

import multiprocessing
import os
import sys
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAIN = {"montoit-db": "montoit_db.cli", "alembic": "alembic.config"}
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(
    [
        *(*MAIN.values(), "alembic.command", "sqlalchemy.dialects.postgresql.psycopg", __name__),
        *("montoit_db.deploy.preflight", "montoit_db.deploy.deployment", "montoit_db.monitoring.terminal"),
    ]
)


def run_fork(
    command: Sequence[str], environment: Mapping[str, str], release: Path | None = None
) -> tuple[int, str, str]:
    """Run `montoit-db …` or `alembic …` in a fork; return its exit status and what it printed.

    `release` is the checkout of another release, whose own modules run, in its directory. An import that a command
    forgets is not noticed here: `.ci/run` runs the commands in fresh interpreters, too.
    """
    with TemporaryDirectory() as name:
        process = _FORKS.Process(
            target=_become, args=(list(command), dict(environment), release, Path.cwd(), Path(name))
        )
        process.start()
        process.join()
        code = process.exitcode
        process.close()
        assert code is not None
        printed, told = (Path(name, stream).read_text(encoding="utf-8", errors="replace") for stream in ("out", "err"))
        return code, printed, told


def _become(
    command: list[str], environment: dict[str, str], release: Path | None, directory: Path, outputs: Path
) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(release or directory)
    if release is not None:
        for name in [name for name in sys.modules if name.partition(".")[0] == "montoit_db"]:
            del sys.modules[name]
        sys.path.insert(0, str(release))
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(outputs / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)
    sys.argv = command
    import_module(MAIN[command[0]]).main()
