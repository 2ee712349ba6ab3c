"""The stored values: what an Edge Function gets, and where they are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from montoit_db.database import make_engine
from montoit_db.intouch.catalogue import CREDENTIALS
from tests.support.callers import CALLERS, ask

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.database import Database


def values(database: Database) -> dict[str, str] | None:
    """Return what an Edge Function gets."""
    with make_engine(database.url).begin() as connection:
        keys: dict[str, str] | None = ask(
            connection.exec_driver_sql, CALLERS["service"], "select get_api_keys('intouch')"
        ).scalar_one()
    return keys


def expected(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what an Edge Function has to get after an activation with these settings."""
    given = {"INTOUCH_BASE_URL": "https://apidist.gutouch.net", **environment}
    return {credential.key_name: given[credential.variable] for credential in CREDENTIALS}


def places(database: Database) -> tuple[int, int, int]:
    """Return how many values are in the table, how many rows point to the Vault, how many secrets it holds."""
    in_table, in_vault = database.rows("select count(key_value), count(secret_id) from api_keys")[0]
    return in_table, in_vault, database.value("select count(*) from vault.secrets")
