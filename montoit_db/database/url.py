"""A `DATABASE_URL` in any usual spelling becomes an address."""

from __future__ import annotations

import re

from psycopg.pq import Conninfo
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from montoit_db.display import on_one_line
from montoit_db.errors import SettingsError

DRIVER = "postgresql+psycopg"
_SCHEMES = ("postgres", "postgresql", DRIVER)
# The parameters that libpq knows. psycopg's own (autocommit…) would change what a transaction is.
_PARAMETERS = frozenset({option.keyword.decode() for option in Conninfo.get_defaults()} | {"pgbouncer"})
_SECRET = frozenset({"password", "sslpassword", "oauth_client_secret"})


def engine_url(url: str) -> URL:
    """Return `url`, in any of its spellings, as SQLAlchemy wants it.

    Raises:
        SettingsError: it is not a PostgreSQL URL. The message does not repeat the URL, which holds a password.

    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        parsed = None
    if parsed is None or parsed.drivername not in _SCHEMES:
        raise SettingsError(
            ["DATABASE_URL : n'est pas une adresse PostgreSQL. Attendu : postgresql://utilisateur:…@hôte:5432/base"]
        )
    if _at_is_misplaced(url, parsed):
        raise SettingsError(
            ["DATABASE_URL : le mot de passe contient un @ ; écrivez-le %40, comme partout ailleurs dans l'adresse"]
        )
    unknown = sorted(set(parsed.query) - _PARAMETERS)
    if unknown:
        # After a password that stands there, too, an & splits it, and its end looks like a parameter.
        told = "écrivez les & du mot de passe %26" if _SECRET & set(parsed.query) else on_one_line(", ".join(unknown))
        raise SettingsError([f"DATABASE_URL : paramètre inconnu de PostgreSQL : {told}"])
    if not re.fullmatch(r"[0-9,]*", str(parsed.query.get("port", ""))):
        raise SettingsError(["DATABASE_URL : un de ses paramètres n'est pas valable (port)"])
    return parsed.set(drivername=DRIVER)


def _at_is_misplaced(url: str, parsed: URL) -> bool:
    """Tell whether a password may have ended at the wrong `@`.

    A part of it would then be taken for a host, a database or a parameter, and a message about that would show it.
    """
    user, at, rest = url.partition("://")[2].partition("@")
    return "@" in rest or (at != "" and (parsed.username is None or any(f"{name}=" in user for name in _SECRET)))
