"""How far a concurrent index of a large log has come, on a terminal."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from threading import Event, Thread
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from montoit_db import progress
from montoit_db.errors import MontoitError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine

_PAUSE = 0.5  # seconds between two looks

# Each phase begins with one of these words (source: PostgreSQL's manual, "CREATE INDEX Progress Reporting").
_PHASES = {
    "waiting for writers": "attend la fin d'écritures",
    "waiting for old snapshots": "attend la fin d'anciennes lectures",
    "waiting for readers": "attend la fin de lectures",
    "building": "construction",
    "index validation": "contrôle",
}


@contextmanager
def watched(engine: Engine) -> Iterator[None]:
    """Show the progress of what the block builds, by a second connection, if stderr is a terminal.

    A second connection that cannot be had is no reason to stop: then nothing is shown.
    """
    if not progress.is_shown():
        yield
        return
    done = Event()
    thread = Thread(target=_watch, args=(engine, done), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(timeout=_PAUSE)


def _watch(engine: Engine, done: Event) -> None:
    with suppress(MontoitError, SQLAlchemyError), progress.bar() as report, engine.connect() as connection:
        while not done.wait(_PAUSE):
            row = connection.exec_driver_sql(_PROGRESS).first()
            connection.rollback()  # an index that is built concurrently waits for transactions
            if row is not None:
                what = next((words for start, words in _PHASES.items() if row.phase.startswith(start)), "préparation")
                report(row.done, row.whole, f"{row.index} : {what}")


_PROGRESS = """
select phase, coalesce(i.relname, 'index') as index,
       case when blocks_total > 0 then blocks_done else tuples_done end as done,
       case when blocks_total > 0 then blocks_total else tuples_total end as whole
from pg_stat_progress_create_index as p
left join pg_class as i on i.oid = p.index_relid
where p.datname = current_database()
  and p.relid in (
      to_regclass('public.payment_logs'), to_regclass('public.sms_logs'), to_regclass('public.whatsapp_logs')
  )
"""
