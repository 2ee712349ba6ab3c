"""Failures, each with one message in French, without a traceback and without a secret."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class MontoitError(Exception):
    """A failure whose message says what is wrong, where, and what to do."""


class SettingsError(MontoitError):
    """The environment cannot be used as it is.

    `problems` names each variable and what is wrong with it, never its value.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        """Take all problems, so that the operator can correct them in one go."""
        self.problems = tuple(problems)
        count = "1 problème" if len(self.problems) == 1 else f"{len(self.problems)} problèmes"
        lines = "\n".join(f"  - {problem}" for problem in self.problems)
        super().__init__(f"Configuration refusée, {count} ; rien n'a été modifié :\n{lines}")


class RefusedError(MontoitError):
    """The command is valid, but the database is not in a state for it."""


class UnreachableError(MontoitError):
    """The database did not answer, or refused the login."""
