"""What libpq makes of an address: its own reading of the URL, the PG… variables and the service file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg import Error
from psycopg.conninfo import make_conninfo
from psycopg.pq import PGconn
from sqlalchemy.exc import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from psycopg.pq import ConninfoOption
    from sqlalchemy import URL

# With the first no password file is opened; the second is refused once all is read, before a host is looked up.
_GOES_NOWHERE = {"password": "-", "target_session_attrs": "none of them"}


def effective(url: URL) -> dict[str, str]:
    """Return the parameters that a connection to `url` would have, by libpq's names; nothing is sent to anybody.

    Empty where libpq refuses to read them: a service that its files do not have, say.
    """
    _, parameters = url.get_dialect()().create_connect_args(url.difference_update_query(["pgbouncer"]))
    try:
        asked = make_conninfo(**{**parameters, **_GOES_NOWHERE}).encode()
        connection = PGconn.connect_start(asked)
    except (ArgumentError, Error, ValueError):
        return {}
    try:
        return values(connection.info)
    finally:
        connection.finish()


def values(options: Iterable[ConninfoOption]) -> dict[str, str]:
    """Return the options that have a value."""
    return {option.keyword.decode(): option.val.decode(errors="replace") for option in options if option.val}
