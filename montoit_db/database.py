"""A `DATABASE_URL` becomes an engine: any usual spelling, poolers, the embedded server."""

from __future__ import annotations

import re
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import psycopg
from psycopg.errors import DependentObjectsStillExist
from psycopg.pq import Conninfo
from sqlalchemy import URL, create_engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError, ProgrammingError
from sqlalchemy.pool import NullPool

from montoit_db import __version__
from montoit_db.errors import SettingsError, UnreachableError
from montoit_db.settings import DatabaseSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, Engine

DRIVER = "postgresql+psycopg"
_SCHEMES = ("postgres", "postgresql", DRIVER)
_TRANSACTION_POOLER_PORT = "6543"
# What libpq takes in a URL. Python's own arguments (autocommit…) would change what a transaction is.
_PARAMETERS = frozenset({option.keyword.decode() for option in Conninfo.get_defaults()} | {"pgbouncer"})


def engine_url(url: str) -> URL:
    """Return `url` as SQLAlchemy wants it, whichever way it is spelt.

    Raises:
        SettingsError: it is not a PostgreSQL URL. The message does not repeat it, since it holds a password.

    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        parsed = None
    if parsed is None or parsed.drivername not in _SCHEMES:
        raise SettingsError(
            ["DATABASE_URL : n'est pas une adresse PostgreSQL. Attendu : postgresql://utilisateur:…@hôte:5432/base"]
        )
    if "@" in (parsed.host or ""):
        # What stands before it is the end of the password, which a message about the host would show.
        raise SettingsError(["DATABASE_URL : le mot de passe contient un @ ; écrivez-le %40"])
    unknown = sorted(set(parsed.query) - _PARAMETERS)
    if unknown:
        raise SettingsError([f"DATABASE_URL : paramètre inconnu de PostgreSQL : {', '.join(unknown)}"])
    if not re.fullmatch(r"[0-9,]*", str(parsed.query.get("port", ""))):
        raise SettingsError(["DATABASE_URL : un de ses paramètres n'est pas valable (port)"])
    return parsed.set(drivername=DRIVER)


def make_engine(url: URL) -> Engine:
    """Return an engine that keeps no connection and shows no parameter.

    A transaction pooler (port 6543, or `?pgbouncer=true`) gets no prepared statements, which would not
    survive from one of its transactions to the next.
    """
    ports = {str(url.port), *str(url.query.get("port", "")).split(",")}
    pooled = _TRANSACTION_POOLER_PORT in ports or url.query.get("pgbouncer") == "true"
    return create_engine(
        url.difference_update_query(["pgbouncer"]),
        poolclass=NullPool,
        hide_parameters=True,
        connect_args={
            "application_name": f"montoit-db {__version__}",
            "client_encoding": "utf8",
            **({"prepare_threshold": None} if pooled else {}),
        },
    )


@contextmanager
def connect(settings: DatabaseSettings | None = None) -> Iterator[Connection]:
    """Open one connection to the database that the settings name, or to the embedded server.

    Raises:
        SettingsError: `DATABASE_URL` cannot be used.
        UnreachableError: nobody answers there, or we are not let in.

    """
    with located(settings) as url, connect_to(make_engine(url)) as connection:
        yield connection


@contextmanager
def located(settings: DatabaseSettings | None = None) -> Iterator[URL]:
    """Say where the database is; the embedded server runs for as long as this lasts.

    Raises:
        SettingsError: `DATABASE_URL` cannot be used.

    """
    settings = settings or DatabaseSettings.from_environment()
    if settings.url is not None:
        yield engine_url(settings.url)
        return

    from montoit_db import embedded  # noqa: PLC0415 -- only a trial pays for it

    with embedded.server() as server:
        print(f"PostgreSQL embarqué, données dans {server.home}", file=sys.stderr)  # noqa: T201
        yield server.url()


@contextmanager
def connect_to(engine: Engine) -> Iterator[Connection]:
    """Open one connection of `engine`.

    Raises:
        SettingsError: the address has a parameter that cannot be used, or the database is not in UTF-8.
        UnreachableError: nobody answers there, or we are not let in.

    """
    try:
        connection = engine.connect()
    except OperationalError as error:
        reason = str(error.orig).strip()
        raise UnreachableError(f"Base de données injoignable : {reason}\n{_remedy(reason)}") from None
    except (ArgumentError, ProgrammingError, ValueError) as error:
        reason = str(error.orig).strip() if isinstance(error, ProgrammingError) else "illisible"
        raise SettingsError([f"DATABASE_URL : un de ses paramètres n'est pas valable ({reason})"]) from None
    with connection:
        session: psycopg.Connection[Any] = cast("Any", connection.connection.driver_connection)
        encoding = session.info.parameter_status("server_encoding")
        if encoding not in {"UTF8", None}:
            raise SettingsError([f"DATABASE_URL : cette base est en {encoding}, il en faut une en UTF8"])
        yield connection


def message(error: DBAPIError | psycopg.Error) -> str:
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


# What libpq and the server say, which has no code before there is a session: what it means, and what to do.
_REMEDIES = (
    (
        r"failed to resolve host|could not translate host name|Name or service not known",
        "Hôte : ce nom n'existe pas, ou seulement en IPv6 (Supabase en direct) ; depuis IPv4, prenez le pooler.",
    ),
    (
        r"Connection refused|No such file or directory|unreachable|time[d]? ?out|No route to host",
        "Hôte ou port : rien ne répond à cette adresse. Vérifiez le port, le pare-feu, et que le serveur tourne.",
    ),
    (r"(?i)\bssl\b|certificate|\btls\b", "TLS : vérifiez sslmode et sslrootcert dans DATABASE_URL."),
    (r"FATAL: .*database \"", "Base : ce nom n'existe pas sur ce serveur. Créez-la, ou corrigez la fin de l'adresse."),
    (
        r"(?i)authentication|role \"|pg_hba|password",
        "Authentification : vérifiez l'utilisateur et le mot de passe (caractères spéciaux encodés : @ s'écrit %40).",
    ),
)


def _remedy(reason: str) -> str:
    """Return what to do about a connection that failed for `reason`."""
    for pattern, remedy in _REMEDIES:
        if re.search(pattern, reason):
            return remedy
    return "Vérifiez DATABASE_URL (hôte, port, utilisateur, mot de passe, base) et que le serveur répond."
