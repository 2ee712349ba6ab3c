"""The failure rate of the last 24 hours decides whether a payment flag may be widened, or has to be paused."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from montoit_db.display import number, percent
from montoit_db.errors import MontoitError, RefusedError
from montoit_db.intouch.catalogue import SERVICES
from montoit_db.monitoring.rates import NO_PAYMENTS, FailureRate, failure_rates

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

ENOUGH_PAYMENTS = 30  # fewer say little about a rate

_ALL_PAYMENTS = "intouch_payment"  # the flag that is judged by all payments; the others by those of their method
_METHODS = {service.key: service.payment_method for service in SERVICES if service.payment_method}
_LABELS = {service.key: service.label for service in SERVICES}


class Guard(NamedTuple):
    """A failure rate in percent, and how many payments it takes to judge by it.

    A guard that `pauses` lets a flag go to 0 % only above the rate; any other lets it be widened only up to the rate.
    """

    rate: float
    min_payments: int
    pauses: bool

    def to_pause(self, connection: Connection, keys: Iterable[str]) -> list[str]:
        """Return the flags that serve somebody, and whose payments fail more often than the rate."""
        rates = figures(connection, keys)
        serving = connection.exec_driver_sql(_SERVING, {"keys": list(rates)}).scalars().all()
        return [key for key, rate in rates.items() if key in serving and self._objection(rate) is None]

    def decide(self, connection: Connection, keys: Iterable[str]) -> str:
        """Return the figures that let all flags pass, as text for the history.

        Raises:
            MontoitError: no flag is one of payments, so that there is nothing to judge by.
            RefusedError: the figures of a flag are against it, or too few.

        """
        rates = figures(connection, keys)
        if not rates:
            raise MontoitError("--max-failure-rate juge les paiements, et aucun de ces flags n'en est.")
        objections = [
            f"  - {_LABELS[key]} : {objection}" for key, rate in rates.items() if (objection := self._objection(rate))
        ]
        if objections:
            head = "Les paiements des 24 dernières heures s'y opposent, rien n'a été modifié :"
            raise RefusedError("\n".join([head, *objections]))
        return "24 h : " + ", ".join(f"{key} {rate.failed}/{rate.total}" for key, rate in rates.items())

    def _objection(self, rate: FailureRate) -> str | None:
        """Return what the figures of a flag have against the change, in French."""
        if rate.percent is None or rate.total < self.min_payments:
            return f"non concluant, {number(rate.total)} sur les {number(self.min_payments)} paiements qu'il faut"
        if (rate.percent > self.rate) == self.pauses:
            return None
        compared = "pas plus que" if self.pauses else "plus que"
        counts = f"{number(rate.failed)} sur {number(rate.total)}"
        return f"{percent(rate.percent, 2)} échouent ({counts}), {compared} {percent(self.rate, 2)}"


_SERVING = "select key from public.feature_flags where key = any(%(keys)s) and is_enabled and rollout_percentage > 0"


def figures(connection: Connection, keys: Iterable[str]) -> dict[str, FailureRate]:
    """Return the rate that each payment flag among `keys` is judged by."""
    rates = failure_rates(connection)
    return {
        key: rates.get(_METHODS.get(key), NO_PAYMENTS)
        for key in dict.fromkeys(keys)
        if key == _ALL_PAYMENTS or key in _METHODS
    }
