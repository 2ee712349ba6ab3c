"""What `montoit-db check` says of one subject."""

from __future__ import annotations

from typing import Literal, NamedTuple

Level = Literal["ok", "warning", "problem", "settings", "unreachable"]


class Finding(NamedTuple):
    """What was found about one subject; `remedy` says what to do about it.

    `level` is ok; warning (a deployment goes through, but its operator should know; the exit status does not change);
    problem; settings (the environment has to change); or unreachable (the database was not reached).
    """

    subject: str
    level: Level
    message: str
    remedy: str | None = None
