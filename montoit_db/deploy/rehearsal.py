"""`montoit-db check --rehearse`: the whole plan on the real database, in one transaction that is rolled back."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError

from montoit_db import database
from montoit_db.deploy import trust
from montoit_db.deploy.locks import LOCK_ERRORS, exclusive, who_blocks
from montoit_db.deploy.revisions import VERSION_SCHEMA, home, is_rollback, script_directory
from montoit_db.deploy.statements import REHEARSAL
from montoit_db.deploy.words import Words, let_revisions_object
from montoit_db.errors import MontoitError
from montoit_db.intouch.state import read

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alembic.runtime.migration import MigrationContext, MigrationInfo
    from sqlalchemy import URL, Connection

    from montoit_db.settings import DeploymentSettings, InTouchSettings

# Below deadlock_timeout (1 s), so that we, and not a customer's transaction, give way in a deadlock.
_LOCK_TIMEOUT = 0.5  # seconds
_PAUSES = (0.5, 1, None)  # seconds before another attempt after a lock that was not to be had


class Order(NamedTuple):
    """One command to rehearse: `upgrade head`, `upgrade schema@head` or `downgrade -1`."""

    verb: str
    word: str

    def __str__(self) -> str:
        """Return the command as it is typed."""
        return f"alembic {self.verb} {self.word}"


class Outcome(NamedTuple):
    """What came of a rehearsal: the revisions that went through, and why the next one did not (None: all did)."""

    went_through: tuple[str, ...]
    failure: str | None
    seconds: float

    def __str__(self) -> str:
        """Describe it in French; the failure's lines come first, as the real command would print them."""
        if not self.went_through and not self.failure:
            return "rien à faire"
        lines = [self.failure] if self.failure else []
        passed = ", ".join(self.went_through) or "aucune"
        return "\n".join([*lines, f"révisions qui passent : {passed} ; tout est annulé, après {self.seconds:.1f} s"])


_NAME_IS_TAKEN = "MT006"  # raised by montoit.store_credentials()
LEFT_OUT = (
    "Non répété : les valeurs des secrets (d'autres les remplacent), les index construits pendant que d'autres "
    "écrivent, ce qu'un déclencheur fait hors de la base ; une séquence qu'il avance le reste."
)


def rehearse(url: URL, orders: Sequence[Order], bounds: DeploymentSettings, intouch: InTouchSettings | None) -> Outcome:
    """Carry out the orders in one transaction, under the deployments' lock, and roll it back.

    It holds each lock until the end of the whole plan, but waits for none longer than half a second.

    Raises:
        MontoitError: another deployment takes longer than `bounds` allow.
        UnreachableError: the database does not grant two connections.

    """
    bounds = replace(bounds, lock_timeout=min(bounds.lock_timeout, _LOCK_TIMEOUT))
    engine = database.bounded(database.make_engine(url), bounds)
    event.listen(engine, "commit", _refuse_to_commit)
    with exclusive(database.bounded(database.make_engine(url), bounds), bounds.deploy_timeout):
        for pause in _PAUSES:
            with database.connect_to(engine) as connection:
                attempt = _Attempt(connection, bounds, intouch)
                blocked = attempt.run(orders)
                connection.rollback()
            if not blocked or pause is None:
                break
            time.sleep(pause)
    return attempt.outcome


def _refuse_to_commit(_connection: Connection) -> None:
    raise RuntimeError("a rehearsal commits nothing")


class _Attempt:
    def __init__(self, connection: Connection, bounds: DeploymentSettings, intouch: InTouchSettings | None) -> None:
        self._connection = connection
        self._bounds = bounds
        self._intouch = None if intouch is None else _with_stand_ins(intouch)
        self._went_through: list[str] = []
        self._failure: str | None = None
        self._begin = time.monotonic()
        self._patience: float | None = None

    @property
    def outcome(self) -> Outcome:
        return Outcome(tuple(self._went_through), self._failure, time.monotonic() - self._begin)

    def run(self, orders: Sequence[Order]) -> bool:
        """Carry out the orders; tell whether a lock was not to be had."""
        transaction = self._transaction()  # begun before Alembic looks: so it commits nothing itself
        session: Any = self._connection.connection.driver_connection
        self._patience = session.patience
        try:
            for order in orders:
                scopes = trust.refused_by(
                    order.verb, is_rollback=is_rollback(order.verb, order.word), keep_triggers=False
                )
                trust.refuse_strangers(self._connection, scopes)
                self._carry_out(order)
            if self._transaction() != transaction:
                raise RuntimeError("the rehearsal's transaction has ended on the way")
        except DBAPIError as error:
            self._failure = database.message(error)
            if getattr(error.orig, "sqlstate", None) == _NAME_IS_TAKEN:
                self._failure += (
                    "\nLa répétition remplace les valeurs : si celles du Vault sont les bonnes, l'activation passe."
                )
            if isinstance(error.orig, LOCK_ERRORS):
                self._connection.rollback()
                self._failure += f"\n{who_blocks(self._connection)}"
                return True
        except MontoitError as error:
            self._failure = str(error)
        return False

    def _transaction(self) -> str:
        return str(self._connection.exec_driver_sql("select pg_current_xact_id()::text").scalar_one())

    def _carry_out(self, order: Order) -> None:
        def choose(_heads: object, _migration: object) -> tuple[()]:
            return ()  # `Words` knows the steps of a lasting word

        choose.__name__ = order.verb
        config = Config(home() / "alembic.ini")
        config.attributes[REHEARSAL] = True
        if self._intouch is not None:
            config.attributes["intouch_settings"] = self._intouch
        script = script_directory()
        with EnvironmentContext(config, script, fn=choose, destination_rev=order.word) as environment:
            environment.configure(
                connection=self._connection,
                transaction_per_migration=True,
                version_table_schema=VERSION_SCHEMA,
                on_version_apply=self._note,
            )
            migration = environment.get_context()
            Words(migration, lambda: read(self._connection))
            if let_revisions_object(migration):
                self._connection.exec_driver_sql(f"create schema if not exists {VERSION_SCHEMA}")
                environment.run_migrations()

    def _note(
        self,
        ctx: MigrationContext,  # noqa: ARG002 -- Alembic passes all four by name
        step: MigrationInfo,
        heads: object,  # noqa: ARG002
        run_args: object,  # noqa: ARG002
    ) -> None:
        """Do what a commit would do, and what the next transaction would begin with."""
        session: Any = self._connection.connection.driver_connection
        session.patience = self._patience
        self._connection.exec_driver_sql(f"set constraints all immediate; {database.beginning(self._bounds)}")
        if not step.is_stamp:
            self._went_through.append(str(step.up_revision_id))


def _with_stand_ins(intouch: InTouchSettings) -> InTouchSettings:
    """Replace the five secrets: what is rolled back has reached the server's files all the same."""
    values = {name: f"montoit-rehearsal-{name}" for name in intouch.credentials}
    return replace(intouch, credentials={**values, "base_url": intouch.base_url})
