"""How many payments of the last 24 hours failed: of all of them, and of each payment method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import Connection


@dataclass(frozen=True, slots=True)
class FailureRate:
    """Payments of the last 24 hours; `percent` of them failed, None if there were none."""

    total: int
    failed: int
    percent: float | None

    @classmethod
    def of(cls, total: int, failed: int) -> FailureRate:
        """Return the rate of `failed` payments among `total`."""
        return cls(total, failed, percentage(failed, total))


NO_PAYMENTS = FailureRate(0, 0, None)


def percentage(part: int, whole: int) -> float | None:
    """Return `part` of `whole` in percent; None if `whole` is 0."""
    return 100 * part / whole if whole else None


def failure_rates(connection: Connection) -> dict[str | None, FailureRate]:
    """Return the rate of each payment method that had a payment, and under None that of all payments.

    Raises:
        sqlalchemy.exc.ProgrammingError: the role may not see every row.

    """
    # With row_security off, a role that may not see every row gets an error instead of fewer rows.
    connection.exec_driver_sql("set local row_security = off")
    rates = {row[0]: FailureRate.of(row[1], row[2]) for row in connection.exec_driver_sql(_RATES)}
    # Added up here: Citus has no rollup.
    every = FailureRate.of(sum(rate.total for rate in rates.values()), sum(rate.failed for rate in rates.values()))
    return {None: every, **rates}


_RATES = """
select payment_method, count(*), count(*) filter (where status = 'failed')
from public.payment_logs
where provider = 'intouch' and created_at between now() - interval '24 hours' and now()
group by payment_method
"""
