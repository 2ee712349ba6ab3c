"""Record sessions of the commands as text files of docs/: `python -m tests.record [name …]`; without a name, all.

A session is a function that yields lines; add it to `SESSIONS`. What differs from machine to machine is left out: the
line that names the target, and Alembic's INFO.
"""

from __future__ import annotations

import re
import sys
from contextlib import closing
from typing import TYPE_CHECKING

from tests.support.checkout import ROOT
from tests.support.commands import on, run
from tests.support.database import Database
from tests.support.failures import FAILURES
from tests.support.generations import make_generation_b
from tests.support.platforms import OWNER, create_platform
from tests.support.servers import postgres_server
from tests.support.session import recorded
from tests.support.templates import Templates

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_LEFT_OUT = re.compile(r"(PRODUCTION|SANDBOX) : base |INFO ")


def typed(database: Database, *command: str) -> list[str]:
    """Run a command, and return it with what it said and its exit status, as a terminal would show them."""
    words = [command[0], "-c", f"{ROOT}/alembic.ini", *command[1:]] if command[0] == "alembic" else command
    result = run(*words, environment=on(database))
    said = [line.rstrip() for line in (result.stdout + result.stderr).splitlines() if not _LEFT_OUT.match(line)]
    return [f"$ {' '.join(command)}", *said, f"(code {result.returncode})", ""]


def without_what_is_fine(lines: list[str]) -> list[str]:
    """Leave out the findings of `check` that are ✅, with the lines that belong to them."""
    kept = []
    is_fine = False
    for line in lines:
        is_fine = line.startswith("✅") or (is_fine and line.startswith("   "))
        if not is_fine:
            kept.append(line)
    return kept


def rehearsal(templates: Templates) -> Iterator[str]:
    """Ten failures that `check` alone does not see, on the platform's database of 2025."""
    yield "Ten databases of the platform, each with one object that stops the upgrade on its way: what check says,"
    yield "what check --rehearse says, and what the upgrade then does. Findings that are fine (✅) are left out, and"
    yield "from the second database on the report of what was taken over."
    superuser, owner = create_platform(templates, "plain", make_generation_b)
    for number, (name, failure) in enumerate(FAILURES.items(), 1):
        copy = Database(owner.url.set(database=templates.create(owner.name, f"owner {OWNER}").name))
        copy.execute(failure.sql)
        yield f"\n{number}. {name}\n"
        yield from (f"postgres=> {line};" for line in re.split(r";(?=create|insert|alter)", failure.sql))
        yield ""
        yield from without_what_is_fine(typed(copy, "montoit-db", "check"))
        yield from without_what_is_fine(typed(copy, "montoit-db", "check", "--rehearse"))
        upgrade = typed(copy, "alembic", "upgrade", "head")
        report = upgrade.index("REPRISE DES TABLES EXISTANTES")
        yield from upgrade if number == 1 else [*upgrade[: report + 1], "[…]", *upgrade[-2:]]
        templates.drop(copy.name)
    templates.drop(superuser.name)


def session(templates: Templates) -> Iterator[str]:
    """A rollout, its history, the monitoring and a drift, on a database on which InTouch is on."""
    database = templates.clone("0008")
    yield recorded(database)
    templates.drop(database.name)


SESSIONS: dict[str, Callable[[Templates], Iterator[str]]] = {"rehearsal": rehearsal, "session": session}


def main() -> None:
    """Write docs/<name>.txt for each session."""
    with postgres_server() as server, closing(Templates(server)) as templates:
        for name in sys.argv[1:] or SESSIONS:
            text = "\n".join(SESSIONS[name](templates)).rstrip()
            (ROOT / "docs" / f"{name}.txt").write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
