"""A deployment: one at a time, with bounded waits and retries around Alembic's own work; then it shows the outcome."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import psycopg
from sqlalchemy.exc import DBAPIError

from montoit_db import database
from montoit_db.deploy import adoption, trust
from montoit_db.deploy.autogenerate import Filter
from montoit_db.deploy.locks import LOCK_ERRORS, exclusive, who_blocks
from montoit_db.deploy.revisions import ACTIVATION, HEAD, VERSION_SCHEMA, Tree, declares, is_rollback
from montoit_db.deploy.statements import KEEP_TRIGGERS, is_allowed
from montoit_db.deploy.words import Words, let_revisions_object
from montoit_db.display import show
from montoit_db.errors import MontoitError, SettingsError, UnreachableError
from montoit_db.intouch.state import InTouchState, read
from montoit_db.intouch.summary import nothing_to_do, summary, what_next
from montoit_db.intouch.test_commands import Functions, test_commands
from montoit_db.settings import (
    DatabaseSettings,
    DeploymentSettings,
    InTouchSettings,
    from_environment_together,
    names_database,
    own_environment,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext, MigrationInfo
    from sqlalchemy import Connection, Engine

# The commands that write, by the names of Alembic's functions.
WRITING = frozenset({"upgrade", "downgrade", "do_stamp", "do_ensure_version"})
_UNREAD = "Ce qui est fait n'a pas pu être lu. Quand la base répond de nouveau : montoit-db status"
CREATING = frozenset({"upgrade", "stamp", "ensure_version", None})  # commands that may create an embedded server
_FIRST_RETRY = 0.5  # seconds; each pause is twice the one before


class Deployment:
    """One run of an `alembic` command on a database."""

    def __init__(self, engine: Engine, connection: Connection, settings: DeploymentSettings) -> None:
        """Take the connection for the revisions, and its engine, for a second connection that holds the lock."""
        self.connection = connection
        self.object_filter = Filter()
        self._engine = engine
        self._settings = settings
        self._lock_connection: Connection | None = None
        self._steps_done: list[MigrationInfo] = []
        self._refused_strangers: tuple[str, ...] = trust.EVERY_COMMAND

    def record(
        self,
        ctx: MigrationContext,  # noqa: ARG002 -- Alembic passes all four by name
        step: MigrationInfo,
        heads: object,  # noqa: ARG002
        run_args: object,  # noqa: ARG002
    ) -> None:
        """Note one step, just before it is committed; stop if the lock was lost, or at a stranger's object.

        Raises:
            MontoitError: the connection that holds the lock is gone, and the lock with it.
            RefusedError: an object of our names appeared meanwhile, and belongs to somebody whom we do not trust.

        """
        if self._lock_connection is not None:
            try:
                self._lock_connection.exec_driver_sql("select 1")
            except DBAPIError:
                raise MontoitError(
                    "La connexion qui garde le verrou du déploiement est coupée : la révision en cours est annulée. "
                    "Relancez la commande."
                ) from None
        trust.refuse_strangers(self.connection, self._refused_strangers)
        if not step.is_stamp:
            self._steps_done.append(step)

    def run(self, migration: MigrationContext, run_migrations: Callable[[], None]) -> None:
        """Run the command: under the deployments' lock if it writes, and again after a lock that it could not get.

        Raises:
            MontoitError: another deployment or a lock took longer than the settings allow; or a revision objected.
            RefusedError: an object of our names belongs to somebody whom we do not trust.

        """
        command, destination = migration.opts["fn"].__name__, migration.opts.get("destination_rev")
        self._refused_strangers = trust.refused_by(
            command, is_rollback=is_rollback(command, destination), keep_triggers=is_allowed(KEEP_TRIGGERS)
        )
        trust.refuse_strangers(self.connection, self._refused_strangers)
        self.connection.rollback()
        if command not in WRITING:
            migration.opts["dont_mutate"] = True
            self._look(migration, run_migrations)
            return
        with self._alone():
            words = Words(migration, self._state)
            if words.verb.startswith("do_") or let_revisions_object(migration):
                make_version_schema(self.connection)
            else:
                migration.opts["dont_mutate"] = True
            try:
                self._try_again(migration, words, run_migrations)
            except (MontoitError, DBAPIError, psycopg.Error) as error:
                if isinstance(error, MontoitError) and not self._steps_done:
                    raise  # what it says of the database is true
                said = str(error) if isinstance(error, MontoitError) else database.message(error)
                stands = _UNREAD if isinstance(error, UnreachableError) else self._what_stands(words)
                raise MontoitError(f"{said}\n{stands}") from None
            self.connection.rollback()

    def _try_again(self, migration: MigrationContext, words: Words, run_migrations: Callable[[], None]) -> None:
        """Run the command, and run it again after each lock that it could not get."""
        for pause in self._pauses():
            try:
                with one_transaction(migration) if words.verb.startswith("do_") else nullcontext():
                    run_migrations()
            except DBAPIError as error:
                if not isinstance(error.orig, LOCK_ERRORS):
                    raise
                self.connection.rollback()
                if pause is None or (self._steps_done and words.is_relative):
                    raise MontoitError(self._who_blocks()) from None
                time.sleep(pause)
            else:
                return

    def _what_stands(self, words: Words) -> str:
        """Return what a failed command leaves behind, read from the database, and how to go on."""
        verb = {"upgrade": "appliquée", "downgrade": "défaite"}.get(words.verb, "changée")
        try:
            with database.connect_to(self._engine) as connection:
                heads = read(connection).revisions
                applied = words.tree.applied(heads)
                adopted = adoption.done(connection) if self._has_adopted else {}
        except (MontoitError, DBAPIError):
            return _UNREAD
        # A step is noted before its commit, which may fail as well.
        done = [step for step in self._steps_done if step.is_upgrade == (str(step.up_revision_id) in applied)]
        if not done:
            return f"Aucune révision n'a été {verb}."
        names = ", ".join(str(step.up_revision_id) for step in done)
        pending = words.tree.pending(heads) if words.verb == "upgrade" else []
        told = (
            f"Ce qui précède reste. Révisions {verb}s : {names} ; {pending[0] if pending else 'la suivante'} ne l'est "
            "pas.\n"
            "Corrigez la cause, puis relancez la même commande : elle reprend là. Voyez : montoit-db status"
        )
        return f"{told}\n\n{adoption.summary(adopted)}" if adopted else told

    @property
    def _has_adopted(self) -> bool:
        """Whether a revision was applied that may have taken tables over."""
        return any(step.is_upgrade and declares(step.up_revision, "adopts_tables") for step in self._steps_done)

    def _to_be_told(self, tree: Tree, switched: MigrationInfo | None) -> dict[str, list[str]]:
        """Return what an adoption did, if this run did it, or went on after one that had failed on the way."""
        first_schema = {script.revision for script in tree.schema(tree.fork)}
        if any(step.is_upgrade and step.up_revision_id in first_schema for step in self._steps_done):
            return adoption.done(self.connection)
        if switched is not None and switched.is_upgrade:
            return adoption.done(self.connection, only_if_never_activated=True)
        return {}

    def _look(self, migration: MigrationContext, run_migrations: Callable[[], None]) -> None:
        """Run a command that writes nothing to the database."""
        if "revision_context" in migration.opts:
            # Only `check` and `revision` compare; importing the ORM would cost a deployment a tenth of its time.
            from montoit_db.models import Base  # noqa: PLC0415

            self.object_filter.look_for_adopted_tables(self.connection)
            migration.opts["target_metadata"] = Base.metadata
            # The search_path is empty: models and the tables read from the database both name their schema.
            self.connection.dialect.default_schema_name = ""
            Words(migration, None)
        run_migrations()

    def _state(self) -> InTouchState:
        """Return what the database says of InTouch, and end the transaction that read it."""
        state = read(self.connection)
        self.connection.rollback()
        return state

    def _pauses(self) -> Iterator[float | None]:
        """Yield how long to wait after each attempt, and None after the last."""
        for number in range(self._settings.lock_retries):
            yield _FIRST_RETRY * 2**number
        yield None

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the deployments' lock until the block ends.

        Raises:
            MontoitError: another deployment took longer than the settings allow.

        """
        with exclusive(self._engine, self._settings.deploy_timeout) as lock_connection:
            self._lock_connection = lock_connection
            try:
                yield
            finally:
                self._lock_connection = None

    def _who_blocks(self) -> str:
        """Return the message about the sessions that hold locks on our tables."""
        with database.connect_to(self._engine) as connection:
            sessions = who_blocks(connection)
        return (
            f"Verrou impossible à obtenir après {self._settings.lock_retries + 1} essais de "
            f"{self._settings.lock_timeout:g} s ; la révision en cours n'a rien modifié.\n{sessions}"
        )

    def show_outcome(self, migration: MigrationContext) -> None:
        """Print what was adopted, InTouch's state if the activation or the rollback ran, or that nothing was to do.

        All is committed by then: a failure here is not one of the deployment.
        """
        tree = Tree(migration.opts["script"])
        activation = tree.activation.revision
        switched = next((step for step in self._steps_done if step.up_revision_id == activation), None)
        words = migration.opts["fn"]
        idle_verb = words.verb if isinstance(words, Words) and not self._steps_done else None
        if not self._steps_done and idle_verb not in {"upgrade", "downgrade"}:
            return
        try:
            state = read(self.connection)
            adopted = self._to_be_told(tree, switched)
        except DBAPIError as error:
            print(  # noqa: T201
                f"Les révisions sont appliquées, mais leur résumé n'a pas pu être lu. {database.message(error)}\n"
                "Voyez : montoit-db status",
                file=sys.stderr,
            )
            return
        if adopted:
            show(adoption.summary(adopted) + "\n")
        if idle_verb == "upgrade":
            show(nothing_to_do(state))
        elif idle_verb == "downgrade" and not state.is_on:
            show("Rien à faire : InTouch est déjà désactivé. Rien n'a été modifié.")
        if switched is None:
            return
        if switched.is_upgrade:
            show("\n".join(filter(None, (summary(state), what_next(state)))))
            show(test_commands(state, _activation_settings(migration).supabase_url, Functions()))
        else:
            show(summary(state, title="RÉSULTAT DU RETOUR ARRIÈRE INTOUCH"))


@contextmanager
def deployment(config: Config) -> Iterator[Deployment]:
    """Open the connection that the revisions run on.

    Raises:
        SettingsError: `DATABASE_URL` or one of the waits cannot be used; an activation names its own problems, too.
        UnreachableError: no server answers there, or it refuses the login.

    """
    command, destination = _typed(config)
    target, settings = _settings(command, destination)
    with database.located(target, may_create=command in CREATING) as url:
        engine = database.bounded(database.make_engine(url), settings)
        with database.connect_to(engine) as connection:
            yield Deployment(engine, connection, settings)


def _typed(config: Config) -> tuple[str | None, str]:
    """Return the command by the name of Alembic's function, None if a program calls Alembic; and its destination."""
    options: Any = config.cmd_opts
    return (None, "") if options is None else (options.cmd[0].__name__, str(getattr(options, "revision", "")))


def _settings(command: str | None, destination: str) -> tuple[DatabaseSettings, DeploymentSettings]:
    """Read the settings of a command; what a refused `.env` says does not stop a rollback of a database that is named.

    Raises:
        SettingsError: naming every problem of the groups that the command uses.

    """
    try:
        return from_environment_together(DatabaseSettings, DeploymentSettings)
    except SettingsError as error:
        if is_rollback(command, destination) and names_database():
            own = own_environment()
            settings = DatabaseSettings.from_environment(own), DeploymentSettings.from_environment(own)
            show("Le fichier .env est refusé, et le retour arrière s'en passe :", error=True)
            show("\n".join(f"  - {problem}" for problem in error.problems), error=True)
            return settings
        if command == "upgrade" and destination in HEAD | ACTIVATION:
            from_environment_together(DatabaseSettings, DeploymentSettings, InTouchSettings)
        raise


def needs_no_database(config: Config) -> bool:
    """Tell whether the `alembic` command only looks at files: a plain `revision`, `history`.

    Raises:
        MontoitError: it is `merge`, which would put a revision above the activation.

    """
    options: Any = config.cmd_opts
    if options is None:  # a program calls Alembic
        return False
    match options.cmd[0].__name__:
        case "merge":
            raise MontoitError(
                "Les deux branches ne se rejoignent pas : une révision au-dessus de l'activation changerait le sens de "
                "« downgrade -1 ». Rien n'a été créé."
            )
        case "revision":
            return not options.autogenerate
        case "history":
            return not options.indicate_current and "current" not in (options.rev_range or "")
    return False


def make_version_schema(connection: Connection) -> None:
    """Create the schema of the version table if it is missing; only then does the role need the right to create one."""
    exists = "select to_regnamespace(%(schema)s) is not null"
    if not connection.exec_driver_sql(exists, {"schema": VERSION_SCHEMA}).scalar_one():
        connection.exec_driver_sql(f"create schema {VERSION_SCHEMA}")
        connection.commit()


@contextmanager
def one_transaction(migration: MigrationContext) -> Iterator[None]:
    """Commit all steps of a command together, so that a kill cannot leave some of them."""
    migration._transaction_per_migration = False  # noqa: SLF001 -- a test fails when the name is gone
    with migration.begin_transaction():
        yield


def _activation_settings(migration: MigrationContext) -> InTouchSettings:
    """Return the settings that the activation has used. They are read once: a secret may come from a pipe."""
    settings = migration.config.attributes["intouch_settings"] if migration.config else None
    if not isinstance(settings, InTouchSettings):
        raise TypeError("the activation ran without its before_upgrade")
    return settings
