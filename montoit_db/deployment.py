"""What a deployment does around Alembic's own work: one at a time, bounded waits, plain words, the outcome told."""

from __future__ import annotations

import signal
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg
from alembic.config import Config
from alembic.runtime.migration import RevisionStep
from alembic.script import ScriptDirectory
from alembic.script.revision import ResolutionError
from psycopg.errors import DeadlockDetected, LockNotAvailable
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError

from montoit_db import database
from montoit_db.errors import MontoitError
from montoit_db.settings import DatabaseSettings, DeploymentSettings, InTouchSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from alembic.runtime.migration import MigrationContext, MigrationInfo
    from sqlalchemy import Connection, Engine

OUR_TABLES = frozenset(
    {
        "api_keys",
        "feature_flag_history",
        "feature_flag_overrides",
        "feature_flags",
        "payment_logs",
        "sms_logs",
        "whatsapp_logs",
    }
)

LOCK_KEY = 7_104_878_111_529_320  # any number, the same for every version of this package
_PAUSE = 0.1  # seconds between two looks whether the other deployment is done
_FIRST_RETRY = 0.5  # seconds; each pause is twice the one before
_TRANSACTION_TIMEOUT_SINCE = 170000
_BYSTANDER = "montoit_bystander"  # marks connections that run no revision


class Deployment:
    """One run of an `alembic` command on a database."""

    def __init__(self, engine: Engine, connection: Connection, settings: DeploymentSettings) -> None:
        """Take the connection that the revisions run on, and its engine for the one that holds the lock."""
        self.connection = connection
        self._bystander = engine.execution_options(**{_BYSTANDER: True})
        self._settings = settings
        self._holder: Connection | None = None
        self._steps: list[MigrationInfo] = []
        self._legacy: dict[str, frozenset[str]] = {}

    @property
    def is_alone(self) -> bool:
        """Whether we hold the deployments' lock, as every command does that writes."""
        return self._holder is not None

    def is_ours(
        self,
        obj: Any,  # noqa: ANN401 -- Alembic's hook
        name: str | None,
        kind: str,
        reflected: bool,  # noqa: FBT001
        other: Any,  # noqa: ANN401
    ) -> bool:
        """Tell autogenerate to look at our seven tables only: the platform has a hundred others.

        Of a table that was adopted it overlooks what was there before us, and where null is allowed.
        """
        table = name if kind == "table" else obj.table.name
        legacy = self._legacy.get(str(table))
        if legacy is not None and kind != "table":
            if kind == "column" and other is not None:
                other.nullable = obj.nullable
                other.comment = other.comment if obj.comment else None
            elif name in legacy and (reflected or kind == "index"):
                return False
        return table in OUR_TABLES

    def record(
        self,
        ctx: MigrationContext,  # noqa: ARG002 -- Alembic passes all four by name
        step: MigrationInfo,
        heads: object,  # noqa: ARG002
        run_args: object,  # noqa: ARG002
    ) -> None:
        """Take note of one step, before it is committed: not without the lock.

        Raises:
            MontoitError: the connection that holds the lock is gone, and with it the lock.

        """
        if self._holder is not None:
            try:
                self._holder.exec_driver_sql("select 1")
            except DBAPIError:
                raise MontoitError(
                    "La connexion qui garde le verrou du déploiement est coupée : la révision en cours est annulée. "
                    "Relancez la commande."
                ) from None
        if not step.is_stamp:
            self._steps.append(step)

    def run(self, migration: MigrationContext, run_migrations: Callable[[], None]) -> None:
        """Run what the command asks for: alone where it writes, and again where a lock was not to be had.

        Raises:
            MontoitError: another deployment, or somebody's lock, outlasted our patience; or a revision objected.

        """
        if "destination_rev" not in migration.opts:
            if "revision_context" in migration.opts:
                # Only `check` and `revision` compare; the ORM costs a deployment a tenth of its time.
                from montoit_db import adoption  # noqa: PLC0415
                from montoit_db.models import Base  # noqa: PLC0415

                self._legacy = adoption.legacy_objects(self.connection)
                migration.opts["target_metadata"] = Base.metadata
            run_migrations()
            return
        with self._alone():
            prepare(migration)
            for pause in self._pauses():
                try:
                    run_migrations()
                    break
                except DBAPIError as error:
                    if not isinstance(error.orig, (LockNotAvailable, DeadlockDetected)):
                        raise
                    self.connection.rollback()
                    if pause is None or (self._steps and _is_relative(migration)):
                        raise MontoitError(self._who_blocks()) from None
                    time.sleep(pause)
            self.connection.rollback()

    def _pauses(self) -> Iterator[float | None]:
        """Yield how long to wait after each attempt, and None after the last."""
        for number in range(self._settings.lock_retries):
            yield _FIRST_RETRY * 2**number
        yield None

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the deployments' advisory lock, on a connection of its own, for as long as this lasts.

        It is polled: a session that blocks on a lock has a snapshot, which a concurrent index waits for, and sixteen
        of them fill a small pool. It is a transaction's lock: a transaction pooler keeps no session's.
        """
        deadline = time.monotonic() + self._settings.deploy_timeout
        while True:
            with database.connect_to(self._bystander) as holder:
                _never_time_out(holder)
                # Without a parameter: the portal of an extended query would keep its snapshot, which an index that is
                # built concurrently waits for.
                if holder.exec_driver_sql(f"select pg_try_advisory_xact_lock({LOCK_KEY})").scalar_one():
                    self._holder = holder
                    try:
                        yield
                    finally:
                        self._holder = None
                    return
                other = lock_holder(holder) or "il vient de finir"
            if time.monotonic() > deadline:
                raise MontoitError(
                    f"Un autre déploiement est en cours ({other}) ; rien n'a été modifié. Attendez sa fin, "
                    f"ou augmentez MONTOIT_DEPLOY_TIMEOUT ({self._settings.deploy_timeout:g} s)."
                )
            time.sleep(_PAUSE)

    def _who_blocks(self) -> str:
        """Return the message about the sessions that hold locks on our tables."""
        with database.connect_to(self._bystander) as connection:
            told = who_blocks(connection)
        return (
            f"Verrou impossible à obtenir après {self._settings.lock_retries + 1} essais de "
            f"{self._settings.lock_timeout:g} s ; la révision en cours n'a rien modifié.\n{told}"
        )

    def tell(self, migration: MigrationContext) -> None:
        """Print what was taken over, the state of InTouch where it went up or down, or that there was nothing to do.

        All is committed by then, so that nothing here fails the deployment.
        """
        from montoit_db import adoption  # noqa: PLC0415 -- `alembic current` does without
        from montoit_db.intouch import report  # noqa: PLC0415

        activation = next((step for step in self._steps if step.up_revision_id == report.ACTIVATION), None)
        may_adopt = any(step.is_upgrade and step.up_revision_id in adoption.REVISIONS for step in self._steps)
        idle = not self._steps and _command(migration.config) == "upgrade"
        if not (activation or idle or may_adopt):
            return
        try:
            state = report.read(self.connection)
            adopted = adoption.done(self.connection) if may_adopt else {}
        except DBAPIError as error:
            print(  # noqa: T201
                f"Les révisions sont appliquées, mais leur résumé n'a pas pu être lu. {database.message(error)}\n"
                "Voyez : montoit-db status",
                file=sys.stderr,
            )
            return
        if adopted:
            report.tell(adoption.summary(adopted) + "\n")
        if idle:
            report.tell(report.nothing_to_do(state, DatabaseSettings.from_environment().environment))
        if activation is None:
            return
        if activation.is_upgrade:
            report.tell(report.summary(state))
            report.tell(report.test_commands(state, _ordered(migration).supabase_url))
        else:
            report.tell(report.summary(state, title="RÉSULTAT DU RETOUR ARRIÈRE INTOUCH"))


@contextmanager
def deployment() -> Iterator[Deployment]:
    """Open the connection that the revisions run on.

    Every transaction on it starts with its timeouts, `set local`, so that a pooler keeps none of them; and the
    server looks every second whether we are still there.

    Raises:
        SettingsError: `DATABASE_URL` or one of the waits cannot be used.
        UnreachableError: nobody answers there, or we are not let in.

    """
    settings = DeploymentSettings.from_environment()
    timeouts = (
        f"set local lock_timeout = {round(1000 * settings.lock_timeout)};"
        f"set local statement_timeout = {round(1000 * settings.deploy_timeout)};"
        "set local client_connection_check_interval = 1000"
    )
    with database.located() as url:
        engine = database.make_engine(url)

        @event.listens_for(engine, "begin")
        def set_timeouts(connection: Connection) -> None:
            # A cursor of the driver's: Alembic takes what runs on the connection before it for a transaction's.
            if _BYSTANDER not in connection.get_execution_options():
                # Revisions name every schema, and must not meet a function that somebody else put on the path.
                path = "set local search_path = '';" if deploy is not None and deploy.is_alone else ""
                connection.connection.cursor().execute(path + timeouts)

        deploy: Deployment | None = None
        with database.connect_to(engine) as connection:
            deploy = Deployment(engine, connection, settings)
            yield deploy


def prepare(migration: MigrationContext) -> None:
    """Let every revision of the plan object before the first one runs.

    A revision that can tell beforehand that it will not go through has a `before_upgrade` or
    `before_downgrade` function.
    """
    checks = [
        getattr(step.revision.module, "before_upgrade" if step.is_upgrade else "before_downgrade", None)
        for step in reversed(plan(migration))  # a script begins with the values that have to be filled in
    ]
    for check in dict.fromkeys(checks):  # several revisions share one
        if check is not None:
            check()


def plan(migration: MigrationContext) -> list[RevisionStep]:
    """Return the revisions that an upgrade or a downgrade will go through; none for `stamp`."""
    steps = migration.opts["fn"](migration.get_current_heads(), migration)
    return [step for step in steps if isinstance(step, RevisionStep)]


@contextmanager
def plain_errors(config: Config) -> Iterator[None]:
    """End the `alembic` command with one message on stderr and status 1, without a traceback.

    SIGTERM ends it as Ctrl-C does, in a container, too, where the first process would ignore it. Callers of Alembic's
    Python functions, and `alembic --raiseerr`, get a `MontoitError` instead.
    """
    is_command = config.cmd_opts is not None and threading.current_thread() is threading.main_thread()
    former = signal.signal(signal.SIGTERM, signal.default_int_handler) if is_command else None
    try:
        yield
    except (MontoitError, DBAPIError, psycopg.Error) as error:
        plain = error if isinstance(error, MontoitError) else MontoitError(database.message(error))
        if config.cmd_opts is None or config.cmd_opts.raiseerr:
            raise plain from None
        print(plain, file=sys.stderr)  # noqa: T201
        sys.exit(1)
    except KeyboardInterrupt:
        print(  # noqa: T201
            "Interrompu : une révision qui n'était pas finie est annulée, les autres restent. "
            "Voyez : montoit-db status",
            file=sys.stderr,
        )
        sys.exit(130)
    finally:
        if is_command:
            signal.signal(signal.SIGTERM, former)


class RevisionState(NamedTuple):
    """The database's revision (None: it has none), the project's newest, and those still to be applied."""

    current: str | None
    head: str | None
    pending: tuple[str, ...]

    def __str__(self) -> str:
        """Say it in a line."""
        if not self.pending:
            return f"Révision {self.current}, à jour."
        return f"Révision {self.current or 'aucune'}, en attente : {', '.join(self.pending)}."


def revision_state(current: str | None) -> RevisionState:
    """Compare a database's revision with the project's.

    Raises:
        MontoitError: there is no project here, or it does not know that revision.

    """
    scripts = _script_directory()
    try:
        steps = [script.revision for script in scripts.iterate_revisions("head", current or "base")]
    except ResolutionError:
        raise MontoitError(
            f"La base est à la révision {current}, que ce projet ne connaît pas. Mettez-le à jour."
        ) from None
    return RevisionState(current, scripts.get_current_head(), tuple(reversed(steps)))


def activation() -> Any:  # noqa: ANN401 -- a revision is a file without a type
    """Return the module of the activation, for those who repeat a part of it.

    Raises:
        MontoitError: there is no project here.

    """
    from montoit_db.intouch.report import ACTIVATION  # noqa: PLC0415

    return _script_directory().get_revision(ACTIVATION).module


def _script_directory() -> ScriptDirectory:
    """Return the revisions of the checkout that this package is of, else of the project that is worked in."""
    for directory in (Path(__file__).parent.parent, Path()):
        ini = directory / "alembic.ini"
        if ini.exists():
            return ScriptDirectory.from_config(Config(ini))
    raise MontoitError("alembic.ini introuvable. Lancez la commande depuis la racine du projet.")


def _ordered(migration: MigrationContext) -> InTouchSettings:
    """Return the settings that the activation was checked with.

    They are read once: a secret may come from a pipe.
    """
    order = migration.config.attributes["order"] if migration.config else None
    if not isinstance(order, InTouchSettings):
        raise TypeError("the activation ran without its before_upgrade")
    return order


def _command(config: Config | None) -> str | None:
    """Return the name of the `alembic` command that runs; None where a program calls Alembic."""
    command = getattr(config and config.cmd_opts, "cmd", None)
    return command[0].__name__ if command else None


def _is_relative(migration: MigrationContext) -> bool:
    """Tell whether the destination is counted from the current revision, which a first attempt has moved."""
    return str(migration.opts["destination_rev"]).lstrip().startswith(("+", "-")) or "@" in str(
        migration.opts["destination_rev"]
    )


def _never_time_out(holder: Connection) -> None:
    """Keep the server from ending the transaction that does nothing but hold the lock."""
    names = ["idle_in_transaction_session_timeout"]
    raw: Any = holder.connection.driver_connection
    if raw.info.server_version >= _TRANSACTION_TIMEOUT_SINCE:
        names.append("transaction_timeout")
    holder.exec_driver_sql("; ".join(f"set local {name} = 0" for name in names))


def lock_holder(connection: Connection) -> str | None:
    """Describe the session that holds the deployments' lock; None where nobody does."""
    row = connection.exec_driver_sql(
        "select l.pid, round(extract(epoch from now() - a.xact_start)) from pg_locks as l"
        " left join pg_stat_activity as a using (pid) where l.locktype = 'advisory' and l.granted"
        " and (l.classid::bigint << 32) + l.objid::bigint = %(key)s"
        " and l.database = (select oid from pg_database where datname = current_database())",
        {"key": LOCK_KEY},
    ).first()
    return f"pid {row[0]}, depuis {row[1] or 0} s" if row else None


class Blocker(NamedTuple):
    """A session that holds locks on our tables; `age` of its transaction in seconds, None where we may not know."""

    pid: int
    state: str | None
    age: int | None
    application: str | None
    tables: str

    def __str__(self) -> str:
        """Say who it is."""
        age = "âge inconnu" if self.age is None else f"depuis {self.age} s"
        return (
            f"pid {self.pid} ({self.state or 'état inconnu'}, {age}, {self.application or 'sans nom'}) "
            f"sur {self.tables}"
        )


def blockers(connection: Connection, *others: str) -> list[Blocker]:
    """Return the sessions with locks on our tables, or on `others`, the oldest transaction first, five at the most."""
    tables = [*(f"public.{table}" for table in OUR_TABLES), *others]
    return [Blocker(*row) for row in connection.exec_driver_sql(_BLOCKERS, {"tables": tables})]


def who_blocks(connection: Connection) -> str:
    """Return what to say of the sessions with locks on our tables, in French, and what to do about them."""
    told = " ; ".join(map(str, blockers(connection, "auth.users")))  # an adoption ends keys that point there
    return (
        f"Verrous tenus en ce moment : {told or 'aucun, relancez la commande'}.\n"
        "Attendez la fin de cette session, ou terminez-la : select pg_terminate_backend(pid)."
    )


_BLOCKERS = """
select l.pid, a.state, extract(epoch from now() - a.xact_start)::integer, a.application_name,
       string_agg(distinct l.relation::regclass::text, ', ')
from pg_locks as l
left join pg_stat_activity as a using (pid)
where l.granted and l.pid <> pg_backend_pid()
  and l.relation in (select to_regclass(t) from unnest(%(tables)s::text[]) as t)
group by l.pid, a.state, a.xact_start, a.application_name
order by a.xact_start nulls last
limit 5
"""
