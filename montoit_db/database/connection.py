"""From an address to a connection: poolers, the embedded server, and what to do about a failure."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import create_engine
from sqlalchemy.exc import ArgumentError, OperationalError, ProgrammingError
from sqlalchemy.pool import NullPool

from montoit_db import __version__
from montoit_db.database import target, tls
from montoit_db.database.failures import remedy
from montoit_db.database.session import bounded
from montoit_db.database.url import engine_url
from montoit_db.display import harmless, on_one_line, show
from montoit_db.errors import SettingsError, UnreachableError
from montoit_db.settings import DatabaseSettings, DeploymentSettings, from_environment_together

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg
    from sqlalchemy import URL, Connection, Engine

_TRANSACTION_POOLER_PORT = "6543"


def make_engine(url: URL) -> Engine:
    """Return an engine that keeps no connection, shows no parameter, and encrypts what goes to a remote host.

    It prepares no statement for a transaction pooler (port 6543, or `?pgbouncer=true`): the next transaction may run on
    another connection to the server, which does not know the statement.
    """
    ports = {str(url.port), *str(url.query.get("port", "")).split(",")}
    pooled = _TRANSACTION_POOLER_PORT in ports or url.query.get("pgbouncer") == "true"
    return create_engine(
        url.difference_update_query(["pgbouncer"]),
        poolclass=NullPool,
        hide_parameters=True,
        use_native_hstore=False,  # it would look for the type before any transaction, and so under the role's own path
        connect_args={
            "application_name": f"montoit-db {__version__}",
            "client_encoding": "utf8",
            **({"prepare_threshold": None} if pooled else {}),
            **tls.arguments(url),
        },
    )


@contextmanager
def connect(
    settings: DatabaseSettings | None = None, bounds: DeploymentSettings | None = None, *, is_second: bool = False
) -> Iterator[Connection]:
    """Open one connection to the database that the settings name, or to the embedded server.

    `bounds` are how long it waits; None: as the environment says. A second connection of a command does not name the
    target again.

    Raises:
        SettingsError: `DATABASE_URL` or one of the waits cannot be used.
        UnreachableError: no server answers there, or it refuses the login.

    """
    if settings is None and bounds is None:
        settings, bounds = from_environment_together(DatabaseSettings, DeploymentSettings)
    settings = settings or DatabaseSettings.from_environment()
    bounds = bounds or DeploymentSettings.from_environment()
    with located(settings, is_second=is_second) as url, connect_to(bounded(make_engine(url), bounds)) as connection:
        yield connection


@contextmanager
def located(
    settings: DatabaseSettings | None = None, *, is_second: bool = False, may_create: bool = False
) -> Iterator[URL]:
    """Yield the database's address and name it on stderr; the embedded server, if it is that one, runs until the end.

    A command that only looks creates no embedded server: `may_create` is for those that write.

    Raises:
        SettingsError: `DATABASE_URL` cannot be used.
        UnreachableError: there is no embedded server here, and this command creates none.

    """
    settings = settings or DatabaseSettings.from_environment()
    if settings.url is not None:
        url = engine_url(settings.url)
        if not is_second:
            show(target.described(settings.environment, url), error=True)
        yield url
        return

    from montoit_db.database import embedded  # noqa: PLC0415 -- only a trial loads it

    with embedded.server(may_create=may_create) as server:
        url = server.url()
        where = f"PostgreSQL embarqué, données dans {server.home}"
        if not is_second:
            show(target.described(settings.environment, url, where), error=True)
        yield url


@contextmanager
def connect_to(engine: Engine) -> Iterator[Connection]:
    """Open one connection of `engine`.

    Raises:
        SettingsError: the address has a parameter that cannot be used, or the database is not in UTF-8.
        UnreachableError: no server answers there, or it refuses the login.

    """
    try:
        connection = engine.connect()
    except OperationalError as error:
        reason = harmless(str(error.orig)).strip()
        raise UnreachableError(f"Base de données injoignable : {reason}\n{remedy(reason)}") from None
    except (ArgumentError, ProgrammingError, ValueError) as error:
        reason = harmless(str(error.orig)).strip() if isinstance(error, ProgrammingError) else "illisible"
        raise SettingsError([f"DATABASE_URL : un de ses paramètres n'est pas valable ({reason})"]) from None
    with connection:
        session: psycopg.Connection[Any] = cast("Any", connection.connection.driver_connection)
        encoding = session.info.parameter_status("server_encoding")
        if encoding not in {"UTF8", None}:
            raise SettingsError(
                [f"DATABASE_URL : cette base est en {on_one_line(encoding or '')}, il en faut une en UTF8"]
            )
        yield connection
