"""The line that every command begins with: which database it is about to talk to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from montoit_db.database.libpq import effective
from montoit_db.display import on_one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import URL

_UNKNOWN = "?"


def described(environment: str, url: URL, server: str | None = None) -> str:
    """Return environment, database, role and host in one line, as libpq will have them; never the password.

    `server` is what to say of the server where its host says little.
    """
    parameters = effective(url)
    if parameters:
        database, role, place = parameters.get("dbname"), parameters.get("user"), _place(parameters)
    else:
        database, role, place = url.database, url.username, url.host or _UNKNOWN
    return on_one_line(
        f"{environment.upper()} : base {database or _UNKNOWN}, rôle {role or _UNKNOWN}, sur {server or place}"
    )


def _place(parameters: Mapping[str, str]) -> str:
    """Return each host with its port, and with its address where that is given, too."""
    hosts, addresses, ports = (parameters.get(name, "").split(",") for name in ("host", "hostaddr", "port"))
    count = max(len(hosts), len(addresses))
    each = (values * count if len(values) == 1 else values for values in (hosts, addresses, ports))
    return ", ".join(_one_place(*place) for place in zip(*each, strict=False))


def _one_place(host: str, address: str, port: str) -> str:
    if not host and not address:
        return f"le socket par défaut, port {port}"
    if host.startswith(("/", "@")):
        return f"le socket {host}, port {port}"
    name = host or address
    return (f"[{name}]" if ":" in name else name) + f":{port}" + (f" ({address})" if host and address else "")
