"""Lines of the logs of payments and messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.database import Database

TODAY = "date_trunc('day', now() at time zone 'Africa/Abidjan') at time zone 'Africa/Abidjan'"


def log(database: Database, table: str, status: str, at: str = "now()", number: int = 1, **more: object) -> None:
    """Write `number` lines of one log."""
    columns = {"payment_logs": {"amount": 1000, "payment_method": "wave"}}.get(
        table, {"phone_number": "+2250701020304", "message": "Bonjour"}
    ) | more
    values = ", ".join("null" if value is None else f"'{value}'" for value in columns.values())
    database.execute(
        f"insert into {table} (partner_transaction_id, status, created_at, {', '.join(columns)})"
        f" select gen_random_uuid(), '{status}', {at}, {values} from generate_series(1, {number})"
    )
