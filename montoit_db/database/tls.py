"""Which connections have to be encrypted, and what a connection has come to.

A host that is neither a socket nor loopback, by its name and by its `hostaddr`, is spoken to with `sslmode=require`.
The URL alone may ask for less. A stricter mode counts wherever libpq finds it: PGSSLMODE, a service file,
`sslrootcert=system`. A weaker one does not count there: such a variable was hardly set with this database in mind.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, NamedTuple

from montoit_db.database.libpq import effective, values

if TYPE_CHECKING:
    from collections.abc import Mapping

    from psycopg.pq.abc import PGconn
    from sqlalchemy import URL

_ENCRYPTED = frozenset({"require", "verify-ca", "verify-full"})
VERIFIED = "verify-full"


class Protection(NamedTuple):
    """How a connection is protected: libpq's `sslmode`, and whether TLS is spoken."""

    is_local: bool
    mode: str
    is_encrypted: bool


def arguments(url: URL) -> dict[str, str]:
    """Return what a connection to `url` needs besides the URL, so that a remote host gets nothing without TLS."""
    if "sslmode" in url.query:
        return {}
    parameters = effective(url)
    if parameters.get("sslmode") in _ENCRYPTED or (parameters and _is_local(parameters)):
        return {}
    return {"sslmode": "require"}


def protection(connection: PGconn) -> Protection:
    """Return what is in force on an open connection."""
    parameters = values(connection.info)
    return Protection(_is_local(parameters), parameters.get("sslmode", "prefer"), bool(connection.ssl_in_use))


def _is_local(parameters: Mapping[str, str]) -> bool:
    """Tell whether every host is a socket or loopback; no host at all means libpq's own socket."""
    named = [*parameters.get("host", "").split(","), *parameters.get("hostaddr", "").split(",")]
    return all(map(_is_socket_or_loopback, named))


def _is_socket_or_loopback(host: str) -> bool:
    if host.startswith(("/", "@")) or host.lower() in {"", "localhost"}:
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
