"""One deployment at a time, and who holds the locks that it waits for."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from psycopg.errors import DeadlockDetected, LockNotAvailable

from montoit_db.database import connect_to
from montoit_db.display import on_one_line
from montoit_db.errors import MontoitError, RefusedError
from montoit_db.intouch.catalogue import TABLES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, Engine

LOCK_ERRORS = (LockNotAvailable, DeadlockDetected)  # a lock was not to be had: the same attempt may succeed later
OURS = ("montoit.trail", "montoit.administrators", "montoit.released_objects")  # beside the seven tables
LOCK_KEY = 7_104_878_111_529_320  # any number, but the same in every version of this package
_PAUSE = 0.1  # seconds between two looks whether the other deployment is done
_SECOND_LOOK = 2.0  # seconds until a session of unknown age is looked for again
_TRANSACTION_TIMEOUT_SINCE = 170000


@contextmanager
def exclusive(engine: Engine, patience: float) -> Iterator[Connection]:
    """Hold the deployments' advisory lock until the block ends, on a connection of its own, which is yielded.

    The lock is polled: a session that waits in the server has a snapshot, which a concurrent index waits for, and
    sixteen such sessions fill a small pool. The lock belongs to a transaction, since a transaction pooler keeps no
    session.

    Raises:
        MontoitError: another deployment is still at work after `patience` seconds.

    """
    deadline = time.monotonic() + patience
    while True:
        with connect_to(engine) as holder:
            _never_time_out(holder)
            # Without parameters: they would make it an extended query, whose portal keeps a snapshot, and a concurrent
            # index would wait for that.
            if holder.exec_driver_sql(f"select pg_try_advisory_xact_lock({LOCK_KEY})").scalar_one():
                yield holder
                return
            other = lock_holder(holder) or "il vient de finir"
        if time.monotonic() > deadline:
            raise MontoitError(_busy(other, patience))
        time.sleep(_PAUSE)


def take_lock(connection: Connection, patience: float, done: str = "rien n'a été modifié") -> None:
    """Hold the deployments' lock until the end of the connection's transaction, which starts here.

    For commands of one transaction: a pool of one connection serves them, too. What they decide by is read after this.
    `done` is what a refusal says, in French, of what the command has done so far.

    Raises:
        RefusedError: another deployment is still at work after `patience` seconds.

    """
    connection.rollback()
    deadline = time.monotonic() + patience
    while not connection.exec_driver_sql(f"select pg_try_advisory_xact_lock({LOCK_KEY})").scalar_one():
        other = lock_holder(connection) or "il vient de finir"
        connection.rollback()
        if time.monotonic() > deadline:
            raise RefusedError(_busy(other, patience, done))
        time.sleep(_PAUSE)


def _busy(other: str, patience: float, done: str = "rien n'a été modifié") -> str:
    return (
        f"Un autre déploiement est en cours ({other}) ; {done}. Attendez sa fin, "
        f"ou augmentez MONTOIT_DEPLOY_TIMEOUT ({patience:g} s)."
    )


def _never_time_out(holder: Connection) -> None:
    """Keep the server from ending the transaction that holds the lock: it is idle."""
    names = ["idle_in_transaction_session_timeout"]
    raw: Any = holder.connection.driver_connection
    if raw.info.server_version >= _TRANSACTION_TIMEOUT_SINCE:
        names.append("transaction_timeout")
    holder.exec_driver_sql("; ".join(f"set local {name} = 0" for name in names))


def lock_holder(connection: Connection) -> str | None:
    """Describe the session that holds the deployments' lock; None if no session does."""
    row = connection.exec_driver_sql(
        "select l.pid, round(extract(epoch from now() - a.xact_start)) from pg_locks as l"
        " left join pg_stat_activity as a using (pid) where l.locktype = 'advisory' and l.granted"
        " and (l.classid::bigint << 32) + l.objid::bigint = %(key)s"
        " and l.database = (select oid from pg_database where datname = current_database())",
        {"key": LOCK_KEY},
    ).first()
    return f"pid {row[0]}, depuis {row[1] or 0} s" if row else None


class Blocker(NamedTuple):
    """Who holds locks on our tables: a session, or a prepared transaction, which has a name and no process.

    `age` is that of its transaction in seconds; None where this role may not know.
    """

    pid: int | None
    state: str | None
    age: int | None
    application: str | None
    tables: str
    prepared: str | None = None

    @property
    def remedy(self) -> str:
        """What ends it."""
        if self.prepared is not None:
            name = self.prepared.replace("'", "''")
            return f"rollback prepared '{name}';"
        return f"select pg_terminate_backend({self.pid});"

    def __str__(self) -> str:
        """Describe the session in French."""
        age = "âge inconnu" if self.age is None else f"depuis {self.age} s"
        if self.prepared is not None:
            return f"transaction préparée « {on_one_line(self.prepared)} » ({age}) sur {self.tables}"
        return (
            f"pid {self.pid} ({self.state or 'état inconnu'}, {age}, {self.application or 'sans nom'}) "
            f"sur {self.tables}"
        )


def blockers(connection: Connection, *others: str) -> list[Blocker]:
    """Return at most five sessions with locks on the package's tables or on `others`, the oldest transaction first."""
    tables = [*(f"public.{table}" for table in TABLES), *OURS, *others]
    return [Blocker(*row) for row in connection.exec_driver_sql(_BLOCKERS, {"tables": tables})]


def old_blockers(connection: Connection, age: float) -> list[Blocker]:
    """Return the sessions with locks on our tables whose transactions are at least `age` seconds old.

    Where this role may not know the age, whoever is still there after a moment counts: others' sessions, an autovacuum
    for example, are mostly gone by then.
    """
    found = blockers(connection)
    unknown = {row.pid for row in found if row.age is None}
    if unknown:
        time.sleep(_SECOND_LOOK)
        found = [row for row in blockers(connection) if row.age is not None or row.pid in unknown]
    return [row for row in found if row.age is None or row.age >= age]


def who_blocks(connection: Connection) -> str:
    """Return what to say of the sessions with locks on our tables, in French, and what to do about them."""
    found = blockers(connection, "auth.users")  # an adoption ends keys that point there
    sessions = " ; ".join(map(str, found))
    return (
        f"Verrous tenus en ce moment : {sessions or 'aucun, relancez la commande'}.\n"
        "Attendez la fin de cette session, ou terminez-la : "
        + (" ".join(blocker.remedy for blocker in found) or "select pg_terminate_backend(pid).")
    )


_BLOCKERS = """
select l.pid, a.state, extract(epoch from now() - coalesce(a.xact_start, p.prepared))::integer, a.application_name,
       string_agg(distinct replace(l.relation::regclass::text, 'public.', ''), ', '), p.gid
from pg_locks as l
left join pg_stat_activity as a using (pid)
left join (
    select own.virtualtransaction, prepared.gid, prepared.prepared
    from pg_locks as own
    join pg_prepared_xacts as prepared on prepared.transaction = own.transactionid
    where own.pid is null
) as p on l.pid is null and p.virtualtransaction = l.virtualtransaction
where l.granted and l.pid is distinct from pg_backend_pid()
  and l.relation in (select to_regclass(t) from unnest(%(tables)s::text[]) as t)
group by l.pid, a.state, a.xact_start, a.application_name, p.gid, p.prepared
order by coalesce(a.xact_start, p.prepared) nulls last
limit 5
"""
