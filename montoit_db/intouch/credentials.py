"""InTouch's credentials after the activation: compare them with the environment's, and replace them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from montoit_db.deploy.locks import take_lock
from montoit_db.deploy.statements import copy_values, refuse_missing_vault
from montoit_db.errors import RefusedError
from montoit_db.intouch.catalogue import CREDENTIALS
from montoit_db.intouch.state import read

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from montoit_db.settings import InTouchSettings


def differing(connection: Connection, settings: InTouchSettings) -> tuple[str, ...]:
    """Return the names of the credentials whose stored values are not those of `settings`."""
    rows = connection.exec_driver_sql(
        "select key_name, value from montoit.read_credentials('intouch')"
        " where is_active and environment = %(environment)s",
        {"environment": settings.environment},
    )
    stored: dict[str, str] = {row[0]: row[1] for row in rows}
    return tuple(sorted(name for name, value in settings.credentials.items() if stored.get(name) != value))


def rotate(connection: Connection, settings: InTouchSettings, patience: float) -> tuple[str, ...]:
    """Store the credentials of `settings`, leave the services as they are, and return the names of those that changed.

    A deployment that is under way is waited for, `patience` seconds at the most. The caller commits. Secrets of the
    Vault keep their ids.

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
    connection.exec_driver_sql("select set_config('montoit.reason', 'montoit-db rotate', true)")
    copy_values(connection, settings.credentials)
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
    return tuple(sorted(changed))
