"""Deployments in processes of their own: what they left, and the moment at which they wait."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.support.database import Database

STATE = (
    "select version_num, (select count(*) from feature_flags where is_enabled and metadata ? 'activated_at'),"
    " (select count(*) from api_keys where is_active) from montoit.alembic_version"
)


def wait_until(database: Database, condition: str, command: Any) -> None:  # noqa: ANN401 -- a Future
    """Wait for a session of `command` to be in a state, by pg_stat_activity."""
    reached = f"select count(*) from pg_stat_activity where {condition} and datname = '{database.name}'"
    deadline = time.monotonic() + 30
    while not database.value(reached):
        assert not command.done(), command.result()
        assert time.monotonic() < deadline, f"never {condition}"
        time.sleep(0.02)
