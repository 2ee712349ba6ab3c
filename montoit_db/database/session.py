"""What holds for every connection that this package opens: an empty path, bounded waits, an end to silence."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError

from montoit_db.errors import UnreachableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg.abc import PQGen
    from sqlalchemy import Connection, Dialect, Engine

    from montoit_db.settings import DeploymentSettings

RV = TypeVar("RV")

CONNECT_TIMEOUT = 10  # seconds for a connection to be accepted; psycopg waits 130 where nothing is said
_GRACE = 5  # seconds after which a server that should have ended a statement counts as silent
_INTERVAL = 0.1  # seconds between two looks for Ctrl-C, psycopg's own


class BoundedConnection(psycopg.Connection[Any]):
    """A connection that does not wait for ever.

    A server that falls silent keeps the connection open as far as the kernel can tell: its timeouts and keepalives do
    nothing. So each wait has a deadline, `patience` seconds; None: none, for what may take as long as it needs.
    """

    patience: float | None = None

    def wait(self, gen: PQGen[RV], interval: float = _INTERVAL, timeout: float | None = None) -> RV:
        """Wait as psycopg does, and close the connection where nothing came in time.

        Raises:
            UnreachableError: the server has been silent for longer than `patience`.

        """
        patience = self.patience if timeout is None else timeout
        begin = time.monotonic()
        try:
            return super().wait(gen, interval, patience)
        except psycopg.Error:
            if patience is None or time.monotonic() - begin < patience:
                raise
        self.pgconn.finish()  # otherwise the rollback would wait as long again
        raise UnreachableError(
            f"Base de données injoignable : le serveur n'a rien répondu pendant {patience:g} s.\n"
            "Vérifiez le serveur et le réseau ; la transaction en cours est annulée. Voyez : montoit-db status"
        )

    def rollback(self) -> None:
        """Roll back, unless the connection is gone, and the transaction with it."""
        if not self.closed:
            super().rollback()


def beginning(bounds: DeploymentSettings) -> str:
    """Return what every transaction starts with: an empty path, and its timeouts.

    They are set for the transaction, so that a pooler keeps none of them. Nothing that somebody else planted in a
    schema of the path is found, from the first statement on. The server looks every second whether the client is
    still there.
    """
    return (
        "set local search_path = '';"
        f"set local lock_timeout = {round(1000 * bounds.lock_timeout)};"
        f"set local statement_timeout = {round(1000 * bounds.deploy_timeout)};"
        "set local client_connection_check_interval = 1000"
    )


def bounded(engine: Engine, bounds: DeploymentSettings) -> Engine:
    """Let every transaction of `engine` start with an empty path and its timeouts, and return it."""
    statement = beginning(bounds)
    patience = bounds.deploy_timeout + _GRACE

    @event.listens_for(engine, "do_connect")
    def connect(_dialect: Dialect, _record: object, _arguments: object, parameters: dict[str, Any]) -> Any:  # noqa: ANN401
        connection = BoundedConnection.connect(**{"connect_timeout": CONNECT_TIMEOUT, **parameters})
        connection.patience = patience
        return connection

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        session: Any = connection.connection.driver_connection
        if session.autocommit:  # what runs outside of a transaction sets its own limits
            return
        session.patience = patience
        # A cursor of the driver's: Alembic takes what runs on the connection before it for a transaction's.
        try:
            session.cursor().execute(statement)
        except psycopg.Error as error:  # SQLAlchemy wraps what its own calls raise, not what its listeners do
            raise DBAPIError.instance(statement, None, error, psycopg.Error) from None

    return engine


@contextmanager
def path_of_others(connection: Connection) -> Iterator[None]:
    """Let a write's triggers find their functions and tables, which the platform's name without their schema.

    What stands inside has to be one statement, by key, with its values ready: it runs under the path that other
    sessions of this role have. Deferred triggers fire before the empty path comes back.
    """
    connection.exec_driver_sql("set local search_path to default")
    yield
    connection.exec_driver_sql("set constraints all immediate; set local search_path = ''")
