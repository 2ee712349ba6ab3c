"""What a deployment does around Alembic's own work: look ahead, fail in plain words, tell the outcome."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg
from alembic.config import Config
from alembic.runtime.migration import RevisionStep
from alembic.script import ScriptDirectory
from alembic.script.revision import ResolutionError
from psycopg.errors import DependentObjectsStillExist
from sqlalchemy.exc import DBAPIError

from montoit_db.errors import MontoitError
from montoit_db.settings import DatabaseSettings, InTouchSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alembic.runtime.migration import MigrationContext, MigrationInfo

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


def is_ours(obj: Any, name: str | None, kind: str, _reflected: bool, _other: Any) -> bool:  # noqa: ANN401, FBT001 -- Alembic's hook
    """Tell autogenerate to look at our seven tables only: the platform has a hundred others."""
    table = name if kind == "table" else obj.table.name
    return table in OUR_TABLES


def prepare(migration: MigrationContext) -> None:
    """Let every revision of the plan object before the first one runs.

    A revision that can tell beforehand that it will not go through has a `before_upgrade` or
    `before_downgrade` function. Alembic compares models with a database through the same environment; they
    are imported for that alone, since the ORM costs a deployment a tenth of its time.
    """
    if "revision_context" in migration.opts:
        from montoit_db.models import Base  # noqa: PLC0415

        migration.opts["target_metadata"] = Base.metadata
    if "destination_rev" not in migration.opts:
        return
    steps = migration.opts["fn"](migration.get_current_heads(), migration)
    checks = [
        getattr(step.revision.module, "before_upgrade" if step.is_upgrade else "before_downgrade", None)
        for step in steps
        if isinstance(step, RevisionStep)
    ]
    for check in dict.fromkeys(checks):  # several revisions share one
        if check is not None:
            check()


class Applied:
    """Remembers which revisions a run applied, and tells what came of it."""

    def __init__(self) -> None:
        """Start with none."""
        self._steps: list[MigrationInfo] = []

    def record(
        self,
        ctx: MigrationContext,  # noqa: ARG002 -- Alembic passes all four by name
        step: MigrationInfo,
        heads: object,  # noqa: ARG002
        run_args: object,  # noqa: ARG002
    ) -> None:
        """Take note of one step; Alembic calls this before the step is committed."""
        if not step.is_stamp:
            self._steps.append(step)

    def tell(self, migration: MigrationContext) -> None:
        """Print the state of InTouch where the activation went up or down, or that there was nothing to do.

        All is committed by then, so that nothing here fails the deployment.
        """
        from montoit_db.intouch import report  # noqa: PLC0415 -- `alembic current` does without

        activation = next((step for step in self._steps if step.up_revision_id == report.ACTIVATION), None)
        idle = not self._steps and _command(migration.config) == "upgrade"
        if migration.connection is None or not (activation or idle):
            return

        try:
            state = report.read(migration.connection)
        except DBAPIError as error:
            print(  # noqa: T201
                f"Les révisions sont appliquées, mais leur résumé n'a pas pu être lu. {database_message(error)}\n"
                "Voyez : montoit-db status",
                file=sys.stderr,
            )
            return
        if activation is None:
            report.tell(report.nothing_to_do(state, DatabaseSettings.from_environment().environment))
            return
        if activation.is_upgrade:
            report.tell(report.summary(state))
            report.tell(report.test_commands(state, ordered(migration).supabase_url))
        else:
            report.tell(report.summary(state, title="RÉSULTAT DU RETOUR ARRIÈRE INTOUCH"))


@contextmanager
def plain_errors(config: Config) -> Iterator[None]:
    """End the `alembic` command with one message on stderr and status 1, without a traceback.

    Callers of Alembic's Python functions, and `alembic --raiseerr`, get a `MontoitError` instead.
    """
    try:
        yield
    except (MontoitError, DBAPIError, psycopg.Error) as error:
        plain = error if isinstance(error, MontoitError) else MontoitError(database_message(error))
        if config.cmd_opts is None or config.cmd_opts.raiseerr:
            raise plain from None
        print(plain, file=sys.stderr)  # noqa: T201
        sys.exit(1)


def database_message(error: DBAPIError | psycopg.Error) -> str:
    """Return what the server said, less its DETAIL, which may quote a whole row."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    diagnostic = cause.diag if isinstance(cause, psycopg.Error) else None
    if diagnostic is None or diagnostic.message_primary is None:
        return f"La base de données a refusé ou coupé la connexion : {str(cause).strip()}"
    lines = [f"La base de données a refusé (SQLSTATE {diagnostic.sqlstate}) : {diagnostic.message_primary}"]
    if diagnostic.sqlstate == DependentObjectsStillExist.sqlstate:
        lines.append("Un objet qui n'est pas à nous en dépend : retirez-le d'abord, ou gardez le schéma.")
    elif diagnostic.message_hint:
        lines.append(diagnostic.message_hint)
    return "\n".join(lines)


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


def ordered(migration: MigrationContext) -> InTouchSettings:
    """Return the settings that the activation was checked with.

    They are read once: a secret may come from a pipe.
    """
    order = migration.config.attributes["order"] if migration.config else None
    if not isinstance(order, InTouchSettings):
        raise TypeError("the activation ran without its before_upgrade")
    return order


def _script_directory() -> ScriptDirectory:
    """Return the revisions of the checkout that this package is of, else of the project that is worked in."""
    for directory in (Path(__file__).parent.parent, Path()):
        ini = directory / "alembic.ini"
        if ini.exists():
            return ScriptDirectory.from_config(Config(ini))
    raise MontoitError("alembic.ini introuvable. Lancez la commande depuis la racine du projet.")


def _command(config: Config | None) -> str | None:
    """Return the name of the `alembic` command that runs; None where a program calls Alembic."""
    command = getattr(config and config.cmd_opts, "cmd", None)
    return command[0].__name__ if command else None
