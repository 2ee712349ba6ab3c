"""`montoit-db purge`: delete the lines of old months from the logs, which hold messages and phone numbers."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy.exc import DBAPIError

from montoit_db.database import path_of_others
from montoit_db.deploy.locks import take_lock
from montoit_db.display import number
from montoit_db.errors import MontoitError, RefusedError
from montoit_db.monitoring.read import LOGS, time_of_reading

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from sqlalchemy import Connection

PURGED = ("sms_logs", "whatsapp_logs")  # payments are purged only by name
_BATCH = 2000  # rows in a transaction: some 40 ms
_SHARE = 4  # after each batch others have a quarter of its time to themselves


class Month(NamedTuple):
    """What a log holds of one month (Abidjan's, `2025-11`)."""

    log: str
    month: str
    rows: int


class Plan(NamedTuple):
    """What is older than `before`, the beginning of a month in Abidjan."""

    before: datetime
    months: tuple[Month, ...]

    @property
    def rows(self) -> int:
        """Count the rows that are to be deleted."""
        return sum(month.rows for month in self.months)


def plan(connection: Connection, keep_months: int, logs: Sequence[str]) -> Plan:
    """Return which rows of `logs` are older than the present month and the `keep_months` before it; nothing is written.

    Raises:
        MontoitError: one of `logs` is no log.
        RefusedError: the database has no monitoring yet.
        sqlalchemy.exc.ProgrammingError: the role may not see every row.

    """
    known = [log.table for log in LOGS]
    if unknown := [log for log in logs if log not in known]:
        raise MontoitError(f"--log {unknown[0]} : les journaux sont {', '.join(known)}.")
    time_of_reading(connection)
    before = connection.exec_driver_sql(_BEFORE, {"months": keep_months}).scalar_one()
    months = [
        Month(log, *row)
        for log in dict.fromkeys(logs)
        for row in connection.exec_driver_sql(_MONTHS.format(log=log), {"before": before})
    ]
    return Plan(before, tuple(months))


_BEFORE = """
select (date_trunc('month', now() at time zone 'Africa/Abidjan') - %(months)s * interval '1 month')
       at time zone 'Africa/Abidjan'
"""
_MONTHS = """
select to_char(created_at at time zone 'Africa/Abidjan', 'YYYY-MM'), count(*)
from public.{log}
where created_at < %(before)s
group by 1
order by 1
"""


def described(planned: Plan) -> str:
    """Return a plan in French."""
    if not planned.rows:
        return f"Rien à supprimer : aucune ligne d'avant le {planned.before:%d/%m/%Y}."
    lines = [f"Lignes d'avant le {planned.before:%d/%m/%Y}, à supprimer pour toujours :"]
    for log, months in groupby(planned.months, lambda month: month.log):
        listed = list(months)
        lines += ["", f"{log:<14} {number(sum(month.rows for month in listed)):>12}"]
        lines += [f"  {month.month:<12} {number(month.rows):>12}" for month in listed]
    return "\n".join(lines)


def purge(connection: Connection, planned: Plan, reason: str, patience: float) -> Iterator[tuple[str, int]]:
    """Delete what was planned, and yield each log with how many rows of it a batch has deleted.

    Each batch is a transaction under the deployments' lock: an interruption loses none of the others, the next run goes
    on, and a deployment that waits (as a batch waits for it, `patience` seconds at the most) comes in between two
    batches. Rows that others hold are left. The trail has a line when a log is begun, and one when it is done.

    Raises:
        RefusedError: a deployment takes too long, or a trigger keeps rows.

    """
    for log, months in groupby(planned.months, lambda month: month.log):
        rows = sum(month.rows for month in months)
        _record(connection, log, reason, {"rows": rows, "until": planned.before.isoformat()}, None)
        deleted = 0
        try:
            for batch in _batches(connection, log, planned.before, patience):
                deleted += batch
                yield log, batch
        finally:  # also after an interruption, if the connection is still there
            with suppress(DBAPIError, MontoitError):
                _record(connection, log, reason, None, {"deleted": deleted})


def _batches(connection: Connection, log: str, before: datetime, patience: float) -> Iterator[int]:
    """Delete the oldest rows of a log, batch by batch, and yield how many each one had."""
    after = "-infinity"
    while True:
        begin = time.monotonic()
        take_lock(connection, patience, "ce qui est supprimé le reste")
        values = {"after": after, "before": before, "limit": _BATCH}
        ids, after = connection.exec_driver_sql(_OLDEST.format(log=log), values).one()
        if not ids:
            connection.rollback()
            return
        with path_of_others(connection):
            gone = connection.exec_driver_sql(_DELETE.format(log=log), {"ids": ids}).rowcount
        if gone != len(ids):
            raise RefusedError(
                f"{log} : des lignes ne se laissent pas supprimer, ce lot est annulé ; ce qui est supprimé le reste. "
                f"Cherchez un déclencheur (trigger) ajouté à public.{log}."
            )
        connection.commit()
        yield len(ids)
        time.sleep((time.monotonic() - begin) / _SHARE)


# What was deleted before is passed over by `after`: the index still has it until a vacuum.
_OLDEST = """
select array_agg(id) as ids, max(created_at)::text as last
from (
    select id, created_at
    from public.{log}
    where created_at >= %(after)s::timestamptz and created_at < %(before)s
    order by created_at
    limit %(limit)s
    for update skip locked
) as oldest
"""
_DELETE = "delete from public.{log} where id = any(%(ids)s)"
_RECORD = "insert into montoit.trail (subject, key, before, after) values ('purge', %(log)s, %(before)s, %(after)s)"


def _record(
    connection: Connection, log: str, reason: str, before: dict[str, object] | None, after: dict[str, object] | None
) -> None:
    connection.rollback()
    connection.exec_driver_sql("select set_config('montoit.reason', %(reason)s, true)", {"reason": reason})
    values = {"before": before and json.dumps(before), "after": after and json.dumps(after)}
    connection.exec_driver_sql(_RECORD, {"log": log, **values})
    connection.commit()
