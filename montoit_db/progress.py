"""How far a long piece of work has come: a bar on stderr if that is a terminal, and nothing in a pipe."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator


class Report(Protocol):
    """What tells the bar how much of the whole is done; `what` is done at present, in a few words."""

    def __call__(self, done: int, whole: int, what: str) -> None:
        """Show it."""


def is_shown() -> bool:
    """Tell whether somebody could see a bar."""
    return sys.stderr is not None and sys.stderr.isatty()


@contextmanager
def bar() -> Iterator[Report]:
    """Show a bar until the block ends, if stderr is a terminal."""
    if not is_shown():
        yield lambda done, whole, what: None  # noqa: ARG005 -- nobody is there to see it
        return

    from rich.console import Console  # noqa: PLC0415 -- slow to load, and `alembic` does without
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=None)
        yield lambda done, whole, what: progress.update(task, completed=done, total=whole or None, description=what)
