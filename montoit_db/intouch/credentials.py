"""InTouch's credentials after the activation: compare them with the environment's, and replace them."""

from __future__ import annotations

import json
import secrets
from hashlib import sha256
from typing import TYPE_CHECKING

from montoit_db.deploy.locks import take_lock
from montoit_db.deploy.statements import copy_values, refuse_missing_vault
from montoit_db.display import with_words
from montoit_db.errors import RefusedError
from montoit_db.intouch.catalogue import CREDENTIALS
from montoit_db.intouch.state import read

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from montoit_db.settings import InTouchSettings


_DIFFERING = """
select given.key_name
from unnest(%(names)s::text[], %(hashes)s::text[]) as given (key_name, hash)
left join montoit.read_credentials('intouch') as stored
    on stored.key_name = given.key_name and stored.is_active and stored.environment = %(environment)s
where encode(sha256(convert_to(%(salt)s || stored.value, 'UTF8')), 'hex') is distinct from given.hash
order by given.key_name
"""


def differing(connection: Connection, settings: InTouchSettings) -> tuple[str, ...]:
    """Return the names of the credentials whose stored values are not those of `settings`, as far as these order any.

    The server compares, and gets a salted hash of each value: no stored value is fetched, and no given one is sent.
    """
    salt = secrets.token_hex(32)
    given = {name: value for name, value in settings.to_store.items() if value}
    hashes = {name: sha256(f"{salt}{value}".encode()).hexdigest() for name, value in given.items()}
    names = connection.exec_driver_sql(
        _DIFFERING,
        {"names": [*hashes], "hashes": [*hashes.values()], "salt": salt, "environment": settings.environment},
    ).scalars()
    return tuple(names)


def rotate(connection: Connection, settings: InTouchSettings, patience: float, reason: str = "") -> tuple[str, ...]:
    """Store the credentials of `settings`, leave the services as they are, and return the names of those that changed.

    A base_url that is not ordered stays as it is. A deployment that is under way is waited for, `patience` seconds at
    the most. The caller commits. Secrets of the Vault keep their ids. The trail keeps `reason`.

    Raises:
        RefusedError: InTouch is not on, or is on in the other environment, or a deployment takes too long.
        SettingsError: the Vault is asked for and the database has none.

    """
    take_lock(connection, patience)
    state = read(connection)
    served = state.served_environment
    if served is None or not any(service.is_enabled for service in state.services):
        raise RefusedError(f"InTouch n'est pas activé : rien n'a été modifié. Activez-le : {state.next_command}")
    contradiction = state.contradiction(settings.environment)
    if contradiction is not None:
        raise RefusedError(f"Rien n'a été modifié. {contradiction}")
    refuse_missing_vault(connection, settings)
    why = with_words("montoit-db rotate", reason)
    connection.exec_driver_sql("select set_config('montoit.reason', %(why)s, true)", {"why": why})
    copy_values(connection, settings.to_store)
    names = [credential.key_name for credential in CREDENTIALS]
    changed = connection.exec_driver_sql(
        "select montoit.store_credentials(%(environment)s, %(store)s, %(credentials)s)",
        {
            "environment": settings.environment,
            "store": settings.credential_store,
            "credentials": json.dumps({name: {} for name in names}),  # the activation has stored their descriptions
        },
    ).scalar_one()
    connection.exec_driver_sql(
        "select montoit.verify_credentials(%(environment)s, %(names)s)",
        {"environment": settings.environment, "names": names},
    )
    connection.exec_driver_sql(
        "insert into montoit.trail (subject, key, after) values ('rotation', 'intouch', %(after)s)",
        {"after": json.dumps({"environment": settings.environment, "changed": sorted(changed)})},
    )
    return tuple(sorted(changed))
