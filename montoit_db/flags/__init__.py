"""Feature flags: a user's bucket, and the answers of the database."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy import Connection

BUCKETS = 10_000


def bucket(flag_key: str, user_id: UUID) -> int:
    """Return a user's place in a flag's rollout, 0 to 9999.

    The flag is on for users whose place is below a hundred times its share in percent.

    `montoit.bucket()` in the database and the vectors of tests/vectors/buckets.json give the same number.
    """
    digest = sha256(f"{flag_key}:{user_id}".encode()).digest()
    return int.from_bytes(digest[:7], "big") % BUCKETS


def is_enabled(connection: Connection, key: str, user_id: UUID | None = None) -> bool:
    """Return whether the flag `key` is on for a user; None asks for the caller. False if there is no such flag.

    Raises:
        sqlalchemy.exc.ProgrammingError: the caller may not ask for another user (SQLSTATE 42501).

    """
    question = "select public.check_feature_flag(%(key)s, %(user)s)"
    return bool(connection.exec_driver_sql(question, {"key": key, "user": user_id}).scalar_one())


def flags_for(connection: Connection, user_id: UUID | None = None) -> dict[str, bool]:
    """Return the answers of all flags for a user, by key; None asks for the caller.

    Raises:
        sqlalchemy.exc.ProgrammingError: the caller may not ask for another user (SQLSTATE 42501).

    """
    answers = connection.exec_driver_sql("select public.check_feature_flags(%(user)s)", {"user": user_id})
    return dict(answers.scalar_one())
