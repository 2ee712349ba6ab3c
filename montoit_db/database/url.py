"""A `DATABASE_URL` in any usual spelling becomes an address."""

from __future__ import annotations

import re

from psycopg.pq import Conninfo
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from montoit_db.errors import SettingsError

DRIVER = "postgresql+psycopg"
_SCHEMES = ("postgres", "postgresql", DRIVER)
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
