"""What InTouch did and what it cost, read from the logs."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from montoit_db.display import DASH, masked, number, on_one_line, percent, without_personal_data
from montoit_db.errors import RefusedError

if TYPE_CHECKING:
    from datetime import date, datetime

    from sqlalchemy import Connection

LOGS = {"payment_logs": "Paiements", "sms_logs": "SMS", "whatsapp_logs": "WhatsApp"}
MOST_DAYS = 366
_FAILURES = 5  # the latest ones, of all logs together


@dataclass(frozen=True, slots=True)
class Day:
    """One log on one day (Abidjan's time); `amount` is in FCFA, None if the log has no amounts."""

    date: date
    total: int
    succeeded: int
    failed: int
    amount: int | None


@dataclass(frozen=True, slots=True)
class Service:
    """One log over some days, the newest first."""

    label: str
    days: tuple[Day, ...]

    @property
    def total(self) -> int:
        """Count what was asked of InTouch."""
        return sum(day.total for day in self.days)

    @property
    def succeeded(self) -> int:
        """Count what was paid, or sent."""
        return sum(day.succeeded for day in self.days)

    @property
    def failed(self) -> int:
        """Count what failed."""
        return sum(day.failed for day in self.days)

    @property
    def amount(self) -> int | None:
        """Add up what payers were asked for, in FCFA; None if the log has no amounts."""
        amounts = [day.amount for day in self.days if day.amount is not None]
        return sum(amounts) if amounts else None


@dataclass(frozen=True, slots=True)
class Cost:
    """What a service costs over 30 days, in FCFA; `kind` says how InTouch charges."""

    service: str
    transactions: int
    fcfa: Decimal
    kind: str


@dataclass(frozen=True, slots=True)
class FailureRate:
    """Payments of the last 24 hours; `percent` of them failed, None if there were none."""

    total: int
    failed: int
    percent: float | None


@dataclass(frozen=True, slots=True)
class Failure:
    """A payment or message that failed; `at` is Abidjan's time, `message` InTouch's words, phone numbers masked."""

    at: datetime
    service: str
    phone_number: str
    status_code: int | None
    message: str


@dataclass(frozen=True, slots=True)
class Monitoring:
    """Everything that `montoit-db monitor` shows; `at` is the time of reading, Abidjan's."""

    at: datetime
    services: tuple[Service, ...]
    costs: tuple[Cost, ...]
    failure_rate: FailureRate
    failures: tuple[Failure, ...]

    @property
    def total_cost(self) -> Decimal:
        """Add up the costs of 30 days, in FCFA."""
        return sum((cost.fcfa for cost in self.costs), start=Decimal(0))


def read(connection: Connection, days: int = 7) -> Monitoring:
    """Read the last `days` days, today included; costs are of 30 days, the failure rate of 24 hours.

    Raises:
        RefusedError: the database has no monitoring yet.
        sqlalchemy.exc.ProgrammingError: the role may not see every row.

    """
    # With row_security off, a role that may not see every row gets an error instead of fewer rows.
    _, ready, at = connection.exec_driver_sql(_READY).one()
    if not ready:
        raise RefusedError("Cette base n'a pas encore les vues de surveillance. Lancez : alembic upgrade schema@head")
    services = []
    for log, label in LOGS.items():
        rows = connection.exec_driver_sql(_DAYS, {"log": log, "days": days})
        services.append(Service(label, tuple(Day(*row) for row in rows)))
    costs = connection.exec_driver_sql("select service, transactions, cost_fcfa, type from public.intouch_costs")
    rate = connection.exec_driver_sql(
        "select total_payments, failed_payments, failure_rate::float8 from public.intouch_failure_rate"
    )
    failures = connection.exec_driver_sql(_LATEST_OF_ALL, {"days": days, "limit": _FAILURES})
    return Monitoring(
        at=at,
        services=tuple(services),
        costs=tuple(Cost(*row) for row in costs),
        failure_rate=FailureRate(*rate.one()),
        failures=tuple(
            Failure(
                row.at,
                LOGS[row.log],
                masked(row.phone_number or ""),
                row.status_code,
                without_personal_data(on_one_line(row.message or "")),
            )
            for row in failures
        ),
    )


_READY = """
select set_config('row_security', 'off', true), to_regclass('public.intouch_costs') is not null,
       now() at time zone 'Africa/Abidjan'
"""
_DAYS = "select date, total, succeeded, failed, amount from montoit.intouch_daily(%(log)s, %(days)s)"

_LATEST = """
(select created_at at time zone 'Africa/Abidjan' as at, '{log}' as log, phone_number, status_code,
        status_message as message
 from public.{log}
 where provider = 'intouch' and status = 'failed'
   and created_at >= (date_trunc('day', now() at time zone 'Africa/Abidjan') - (%(days)s - 1) * interval '1 day')
       at time zone 'Africa/Abidjan'
 order by created_at desc
 limit %(limit)s)
"""
_LATEST_OF_ALL = " union all ".join(_LATEST.format(log=log) for log in LOGS) + " order by at desc limit %(limit)s"


class Column(NamedTuple):
    """A column of a service's table as text, with a cell for each day."""

    header: str
    total: str
    cells: list[str]


def columns(service: Service) -> list[Column]:
    """Return the table of a service, with amounts if its log has them."""
    rate = percent(percentage(service.failed, service.total))
    table = [
        Column("Jour", "Total", [f"{day.date:%d/%m}" for day in service.days]),
        Column("Nombre", number(service.total), [number(day.total) for day in service.days]),
        Column("Réussis", number(service.succeeded), [number(day.succeeded) for day in service.days]),
        Column("Échoués", number(service.failed), [number(day.failed) for day in service.days]),
        Column(
            "Échec", rate, [percent(percentage(day.failed, day.total)) if day.total else DASH for day in service.days]
        ),
    ]
    if service.amount is not None:
        table.append(Column("FCFA", number(service.amount), [number(day.amount) for day in service.days]))
    return table


def percentage(part: int, whole: int) -> float | None:
    """Return `part` of `whole` in percent; None if `whole` is 0."""
    return 100 * part / whole if whole else None


def alarms(monitoring: Monitoring, max_failure_rate: float | None, max_cost: int | None) -> list[str]:
    """Return a message in French for each threshold that is passed; an unknown rate passes none.

    `max_failure_rate` is in percent of the payments of 24 hours, `max_cost` in FCFA over 30 days.
    """
    lines = []
    rate = monitoring.failure_rate
    failing = percentage(rate.failed, rate.total)
    if max_failure_rate is not None and failing is not None and failing > max_failure_rate:
        lines.append(
            f"Seuil dépassé : {percent(failing, 2)} des paiements échouent, plus que {percent(max_failure_rate, 2)} "
            f"({number(rate.failed)} sur {number(rate.total)} en 24 heures).\nContactez InTouch : support@gutouch.com"
        )
    if max_cost is not None and monitoring.total_cost > max_cost:
        lines.append(
            f"Seuil dépassé : {number(monitoring.total_cost)} FCFA sur 30 jours, plus que {number(max_cost)} FCFA."
        )
    return lines
