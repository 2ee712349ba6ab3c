"""A `DATABASE_URL` in any usual spelling becomes an address."""

from __future__ import annotations

import re

from psycopg.pq import Conninfo
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from montoit_db.errors import SettingsError

DRIVER = "postgresql+psycopg"
_SCHEMES = ("postgres", "postgresql", DRIVER)
# The parameters that libpq knows. psycopg's own (autocommit…) would change what a transaction is.
_PARAMETERS = frozenset({option.keyword.decode() for option in Conninfo.get_defaults()} | {"pgbouncer"})


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
    if "@" in (parsed.host or ""):
        # The text before this @ is the end of the password, which a message about the host would show.
        raise SettingsError(["DATABASE_URL : le mot de passe contient un @ ; écrivez-le %40"])
    unknown = sorted(set(parsed.query) - _PARAMETERS)
    if unknown:
        raise SettingsError([f"DATABASE_URL : paramètre inconnu de PostgreSQL : {', '.join(unknown)}"])
    if not re.fullmatch(r"[0-9,]*", str(parsed.query.get("port", ""))):
        raise SettingsError(["DATABASE_URL : un de ses paramètres n'est pas valable (port)"])
    return parsed.set(drivername=DRIVER)
