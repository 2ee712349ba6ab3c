"""How a revision runs SQL: the same text is executed online and printed with `--sql`."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING, Any

import psycopg
from alembic import context
from sqlalchemy.exc import DBAPIError

from montoit_db.deploy.indexes import watched
from montoit_db.display import with_words
from montoit_db.errors import MontoitError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection

    from montoit_db.settings import InTouchSettings

ALLOW_DATA_LOSS = "allow-data-loss"
KEEP_ROLLOUT = "keep-rollout"
KEEP_TRIGGERS = "keep-triggers"
REHEARSAL = "montoit_db.rehearsal"  # in the attributes of Alembic's configuration: the transaction is rolled back
REASON = "reason"

_INCLUDE = re.compile(r"^( *)-- include ([\w/]+)$", re.MULTILINE)
_CONCURRENT_INDEX = re.compile(r"create index concurrently (\S+) on (\S+) (.+);")
_ROWS_AT_RISK = "MT001"  # raised by montoit.refuse_to_lose_rows()


def run(sql: str) -> None:
    """Execute `sql`, one or more statements that each end in a semicolon.

    There are no parameters, so that neither the driver nor SQLAlchemy looks for placeholders (`%`, `:`) in the text.
    """
    if context.is_offline_mode():
        context.get_context().impl.static_output(sql.strip())
    else:
        context.get_bind().exec_driver_sql(sql, execution_options={"no_parameters": True})


def run_file(name: str) -> None:
    """Execute `sql/<name>.sql`; a name is `flags/bucket_v01`, for example.

    A line `-- include flags/who_asks` in it is replaced by the file `sql/flags/who_asks_part.sql`.
    """
    run(_expanded(_read(name)))


def take_its_time() -> None:
    """Lift the time limit of statements until the end of the transaction: an index may take hours."""
    run("set local statement_timeout = 0;")
    if not context.is_offline_mode():
        raw: Any = context.get_bind().connection.driver_connection
        raw.patience = None


def run_alone(query: str) -> None:
    """Execute the statements that `query` returns, each outside of a transaction.

    This commits what the revision has done so far, which therefore has to be repeatable. With `--sql` nothing runs
    alone: the script ends with the list of these statements.
    """
    if context.is_offline_mode():
        return
    rows = context.get_bind().exec_driver_sql(query, execution_options={"no_parameters": True})
    statements = rows.scalars().all()
    if context.config.attributes.get(REHEARSAL):
        for statement in statements:
            _try_name(statement)
        return
    if not statements:
        return
    with context.get_context().autocommit_block():
        # A transaction pooler would keep the setting for its other clients, and not for us.
        raw: Any = context.get_bind().connection.driver_connection
        raw.patience = None
        has_session = raw.prepare_threshold is not None
        if has_session:
            run("set search_path = ''; set statement_timeout = 0; set lock_timeout = '60s';")
        try:
            with watched(context.get_bind().engine):
                for statement in statements:
                    run(statement)
        finally:
            if has_session and not raw.closed:
                run("reset search_path; reset statement_timeout; reset lock_timeout;")


def _try_name(statement: str) -> None:
    """Build an index that would run alone on an empty copy of its table, and take it back: its name may be taken."""
    index = _CONCURRENT_INDEX.fullmatch(statement)
    if index is not None:
        name, table, columns = index.groups()
        run(
            f"savepoint alone; create table public.montoit_rehearsal (like {table});"
            f"create index {name} on public.montoit_rehearsal {columns}; rollback to savepoint alone;"
        )


def _expanded(sql: str) -> str:
    return _INCLUDE.sub(lambda include: indent(_expanded(_read(f"{include[2]}_part")).strip(), include[1]), sql)


def _read(name: str) -> str:
    return (Path(context.script.dir) / "sql" / f"{name}.sql").read_text(encoding="utf-8")


def is_allowed(name: str) -> bool:
    """Tell whether the operator allowed something by name: `alembic -x <name>=yes …`.

    Raises:
        MontoitError: a word after `-x` is unknown, or the answer to one is not `yes`, whichever it is.

    """
    answers = context.get_x_argument(as_dictionary=True)
    for given, answer in answers.items():
        if given not in {ALLOW_DATA_LOSS, KEEP_ROLLOUT, KEEP_TRIGGERS, REASON}:
            raise MontoitError(f"-x {given} n'est pas connu, rien n'a été modifié.")
        if given != REASON and answer != "yes":
            raise MontoitError(f"-x {given} n'est pas compris, rien n'a été modifié. Écrivez -x {given}=yes")
    return name in answers


def with_reason(order: str) -> str:
    """Return what the trail keeps as the reason of `order`, with the operator's own: `alembic -x reason="…" …`."""
    reason = context.get_x_argument(as_dictionary=True).get(REASON, "")
    # A terminal of another encoding is no reason to refuse a rollback.
    return with_words(order, reason.encode(errors="replace").decode())


def refuse_to_lose_rows() -> None:
    """Stop a schema downgrade while a table holds any row other than an unmodified seed.

    It does not look if the operator allowed the loss by name: `alembic -x allow-data-loss=yes downgrade …`.

    Raises:
        MontoitError: naming the tables, their row counts and the command that would go on.

    """
    if is_allowed(ALLOW_DATA_LOSS):
        return
    try:
        run("select montoit.refuse_to_lose_rows();")
    except DBAPIError as error:
        if not isinstance(error.orig, psycopg.Error) or error.orig.sqlstate != _ROWS_AT_RISK:
            raise
        raise MontoitError(
            "Retour arrière refusé, rien n'a été modifié : il détruirait des lignes.\n"
            f"{error.orig.diag.message_primary}\n"
            "Sauvegardez-les d'abord. Pour continuer et les perdre :\n"
            f"  alembic -x {ALLOW_DATA_LOSS}=yes downgrade {_downgrade_target()}"
        ) from None


def copy_values(connection: Connection, values: Mapping[str, str]) -> None:
    """Send credentials to `montoit.given_credentials`, by COPY, whose data no log shows.

    In the binary format: an error in the text format would quote the line.

    Raises:
        sqlalchemy.exc.DBAPIError: the server did not take them; the message holds no value.

    """
    statement = "copy montoit.given_credentials from stdin (format binary)"
    try:
        with connection.connection.cursor().copy(statement) as copy:
            copy.set_types(("text", "text"))
            for row in values.items():
                copy.write_row(row)
    except psycopg.Error as error:
        # As SQLAlchemy raises it, so that a lock is retried; without the message, which may quote a row.
        withheld = type(error)(f"les identifiants n'ont pas été reçus (SQLSTATE {error.sqlstate or 'inconnu'})")
        raise DBAPIError.instance(statement, None, withheld, psycopg.Error) from None


def refuse_missing_vault(connection: Connection, settings: InTouchSettings) -> None:
    """Refuse to store credentials in the Vault of a database that has none.

    Raises:
        SettingsError: `MONTOIT_CREDENTIAL_STORE` is `vault` and the database has no Vault.

    """
    if settings.credential_store != "vault":
        return
    if not has_vault(connection):
        problem = "vault, mais cette base n'a pas de Vault. Installez l'extension supabase_vault, ou choisissez table"
        raise SettingsError([f"MONTOIT_CREDENTIAL_STORE : {problem}"])


def has_vault(connection: Connection) -> bool:
    """Tell whether the database has Supabase's Vault: the extension, in a schema whose owner can be trusted.

    The database has the same rule as montoit.has_vault(), once its revision is applied.
    """
    return bool(connection.exec_driver_sql(_HAS_VAULT).scalar_one())


_HAS_VAULT = """
select exists (
    select from pg_extension
    join pg_namespace on pg_namespace.oid = extnamespace
    join pg_roles on pg_roles.oid = nspowner
    where extname = 'supabase_vault' and nspname = 'vault' and (
        rolsuper or nspowner = extowner
        or nspowner = (select datdba from pg_database where datname = current_database())
    )
)
"""


def _downgrade_target() -> str:
    """Return the revision that the operator asked for, as it was typed."""
    return str(getattr(context.config.cmd_opts, "revision", None) or "-1")
