"""What InTouch did and what it cost, read from the logs."""

from __future__ import annotations

from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from psycopg.errors import InsufficientPrivilege
from sqlalchemy.exc import ProgrammingError

from montoit_db.display import masked, number, on_one_line, percent, without_personal_data
from montoit_db.errors import RefusedError
from montoit_db.intouch import state
from montoit_db.intouch.catalogue import SERVICES
from montoit_db.monitoring.rates import NO_PAYMENTS, FailureRate, failure_rates, percentage

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date

    from sqlalchemy import Connection

    from montoit_db.intouch.state import ServiceState

ABIDJAN = UTC  # Abidjan's time since 1912
MOST_DAYS = 366
_FAILURES = 5  # the latest ones of each log
METHODS = {service.payment_method: service.label for service in SERVICES if service.payment_method}


UNREADABLE = "état que ce rôle de connexion ne peut pas lire"


class Log(NamedTuple):
    """A log's name in JSON, for operators, and in the database."""

    key: str
    label: str
    table: str


LOGS = (
    Log("payment", "Paiements", "payment_logs"),
    Log("sms", "SMS", "sms_logs"),
    Log("whatsapp", "WhatsApp", "whatsapp_logs"),
)


@dataclass(frozen=True, slots=True)
class InTouch:
    """InTouch according to the database; `since` is when a service's state or share last changed, None: unknown."""

    operational: bool
    environment: str | None
    since: datetime | None
    services: tuple[ServiceState, ...]

    @property
    def shares(self) -> tuple[int, int]:
        """The smallest and the largest share of users that a service is given to, in percent."""
        shares = [service.rollout_percentage or 0 for service in self.services if service.is_enabled]
        return (min(shares), max(shares)) if shares else (0, 0)

    @property
    def facts(self) -> list[str]:
        """What to say in French: whether InTouch is on, in which environment, at which share, last changed when."""
        on = sum(service.is_enabled for service in self.services)
        least, most = self.shares
        since = [] if self.since is None else [f"dernier changement le {self.since:%d/%m/%Y à %H:%M}"]
        if not on:
            return ["désactivé", *since]
        state = "en pause" if not most else "activé" if on == len(self.services) else "activé en partie"
        some = [] if on == len(self.services) else [f"{on} services sur {len(self.services)}"]
        share = f"{most} % des utilisateurs" if least == most else f"de {least} à {most} % des utilisateurs"
        return [state, self.environment or "sans credentials", *some, share, *since]

    def __str__(self) -> str:
        """Say the facts on one line."""
        return ", ".join(self.facts)


@dataclass(frozen=True, slots=True)
class Counts:
    """What was asked of InTouch, and what became of it; `amount` is in FCFA, None if the log has no amounts."""

    total: int
    succeeded: int
    failed: int
    cancelled: int
    amount: int | None

    @property
    def under_way(self) -> int:
        """What has no outcome yet."""
        return self.total - self.succeeded - self.failed - self.cancelled


@dataclass(frozen=True, slots=True)
class Day(Counts):
    """One log on one day (Abidjan's time)."""

    date: date


def added_up(counts: Iterable[Counts]) -> Counts:
    """Return the sum of several counts."""
    listed = list(counts)
    amounts = [count.amount for count in listed if count.amount is not None]
    return Counts(
        sum(count.total for count in listed),
        sum(count.succeeded for count in listed),
        sum(count.failed for count in listed),
        sum(count.cancelled for count in listed),
        sum(amounts) if amounts else None,
    )


@dataclass(frozen=True, slots=True)
class Service:
    """One log over some days, the newest first; `future` rows are dated in the future, and count nowhere."""

    key: str
    label: str
    days: tuple[Day, ...]
    future: int = 0

    @property
    def all_days(self) -> Counts:
        """The sum of the days."""
        return added_up(self.days)


@dataclass(frozen=True, slots=True)
class Operator(Counts):
    """The payments by one payment method over the same days, and its failures of the last 24 hours."""

    key: str
    label: str
    failure_rate: FailureRate


@dataclass(frozen=True, slots=True)
class Cost:
    """What a service costs over 30 days, in FCFA; `kind` says how InTouch charges."""

    key: str
    service: str
    transactions: int
    fcfa: Decimal
    kind: str


@dataclass(frozen=True, slots=True)
class Failure:
    """A payment or message that failed; `at` is Abidjan's time, `message` InTouch's words, phone numbers masked.

    `method` and `label` are the key of a payment's method and its name for operators, None for a message.
    """

    at: datetime
    key: str
    service: str
    method: str | None
    label: str | None
    phone_number: str
    status_code: int | None
    message: str


@dataclass(frozen=True, slots=True)
class Monitoring:
    """Everything that `montoit-db monitor` shows; `at` is the time of reading, Abidjan's.

    `failures` are the latest ones of each log, the newest first. `intouch` is None if this role may not read it.
    """

    at: datetime
    intouch: InTouch | None
    services: tuple[Service, ...]
    operators: tuple[Operator, ...]
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
    at = time_of_reading(connection)
    rates = failure_rates(connection)
    return Monitoring(
        at=at,
        intouch=_intouch(connection),
        services=tuple(_service(connection, log, days) for log in LOGS),
        operators=tuple(_operators(connection, days, rates)),
        costs=tuple(_costs(connection)),
        failure_rate=rates[None],
        failures=tuple(_failures(connection, days)),
    )


def time_of_reading(connection: Connection) -> datetime:
    """Return when this transaction began, Abidjan's time. From here on it sees every row of a table, or fails.

    Raises:
        RefusedError: the database has no monitoring yet.

    """
    # With row_security off, a role that may not see every row gets an error instead of fewer rows.
    _, ready, at = connection.exec_driver_sql(_READY).one()
    if not ready:
        raise RefusedError("Cette base n'a pas encore les vues de surveillance. Lancez : alembic upgrade schema@head")
    began: datetime = at.astimezone(ABIDJAN)
    return began


_READY = "select set_config('row_security', 'off', true), to_regclass('public.intouch_costs') is not null, now()"


def _intouch(connection: Connection) -> InTouch | None:
    """Return InTouch's state; None for a role that may read the logs alone."""
    try:
        with connection.begin_nested():
            read = state.read(connection)
            since = connection.exec_driver_sql(_SINCE, {"keys": [service.key for service in SERVICES]}).scalar()
    except ProgrammingError as error:
        if isinstance(error.orig, InsufficientPrivilege):
            return None
        raise
    return InTouch(read.operational, read.environment, since and since.astimezone(ABIDJAN), read.services)


_SINCE = """
select max(changed_at)
from public.feature_flags as flag
cross join lateral (
    select changed_at
    from public.feature_flag_history as h
    where h.feature_flag_id = flag.id
      and (
          previous_value -> 'is_enabled' is distinct from new_value -> 'is_enabled'
          or previous_value -> 'credentials_status' is distinct from new_value -> 'credentials_status'
          or previous_value -> 'rollout_percentage' is distinct from new_value -> 'rollout_percentage'
      )
    order by changed_at desc
    limit 1
) as latest
where flag.key = any(%(keys)s)
"""


def _service(connection: Connection, log: Log, days: int) -> Service:
    rows = connection.exec_driver_sql(_DAYS, {"log": log.table, "days": days})
    # A minute's grace: rows may have come since this transaction began, by which "now" is meant.
    future = connection.exec_driver_sql(
        f"select count(*) from public.{log.table} where provider = 'intouch' and created_at > now() + interval '1 min'"  # noqa: S608 -- of LOGS
    )
    return Service(log.key, log.label, tuple(Day(**row) for row in rows.mappings()), future.scalar_one())


_DAYS = """
select date, total, succeeded, failed, cancelled, amount from montoit.intouch_daily(%(log)s, %(days)s)
"""
_FROM = """
    created_at >= (date_trunc('day', now() at time zone 'Africa/Abidjan') - (%(days)s - 1) * interval '1 day')
        at time zone 'Africa/Abidjan'
    and created_at <= now()
"""


def _operators(connection: Connection, days: int, rates: dict[str | None, FailureRate]) -> Iterable[Operator]:
    rows = {row["key"]: row for row in connection.exec_driver_sql(_OPERATORS, {"days": days}).mappings()}
    nothing = {"total": 0, "succeeded": 0, "failed": 0, "cancelled": 0, "amount": 0}
    for key in dict.fromkeys((*METHODS, *rows)):
        yield Operator(
            **{"key": key, **nothing, **rows.get(key, {})},
            label=METHODS.get(key, key),
            failure_rate=rates.get(key, NO_PAYMENTS),
        )


_OPERATORS = f"""
select payment_method as key, count(*) as total, count(*) filter (where status = 'success') as succeeded,
       count(*) filter (where status = 'failed') as failed, count(*) filter (where status = 'cancelled') as cancelled,
       sum(amount)::bigint as amount
from public.payment_logs
where provider = 'intouch' and {_FROM}
group by payment_method
"""  # noqa: S608 -- of this file


def _costs(connection: Connection) -> Iterable[Cost]:
    keys = {log.label: log.key for log in LOGS}
    for row in connection.exec_driver_sql("select service, transactions, cost_fcfa, type from public.intouch_costs"):
        yield Cost(keys[row.service], *row)


def _failures(connection: Connection, days: int) -> Iterable[Failure]:
    logs = {log.table: log for log in LOGS}
    for row in connection.exec_driver_sql(_LATEST_OF_ALL, {"days": days, "limit": _FAILURES}):
        log = logs[row.log]
        yield Failure(
            row.at.astimezone(ABIDJAN),
            log.key,
            log.label,
            row.method,
            METHODS.get(row.method, row.method),
            masked(row.phone_number or ""),
            row.status_code,
            without_personal_data(on_one_line(row.message or "")),
        )


_LATEST = """
(select created_at as at, '{log.table}' as log, {method} as method, phone_number, status_code, status_message as message
 from public.{log.table}
 where provider = 'intouch' and status = 'failed' and {since}
 order by created_at desc
 limit %(limit)s)
"""
_LATEST_OF_ALL = (
    " union all ".join(
        _LATEST.format(log=log, since=_FROM, method="payment_method" if log.key == "payment" else "null")
        for log in LOGS
    )
    + " order by at desc"
)


class Period(NamedTuple):
    """A line of a service's table: a day, a week or a month, as text, and its counts."""

    name: str
    counts: Counts


MOST_LINES = 31  # a longer table is read by nobody, and prints metres of paper


def periods(service: Service) -> tuple[str, list[Period]]:
    """Return what a line stands for, as a header, and the lines, the newest first: days, if need be weeks or months."""
    if len(service.days) <= MOST_LINES:
        return "Jour", [Period(f"{day.date:%d/%m}", day) for day in service.days]
    by_week = len(service.days) <= 7 * (MOST_LINES - 1)
    lines = []
    for _, group in groupby(service.days, lambda day: day.date.isocalendar()[:2] if by_week else day.date.month):
        days = list(group)
        first = days[-1].date
        whole = 7 if by_week else monthrange(first.year, first.month)[1]
        # Fewer days have fewer payments, which is no collapse.
        part = "" if len(days) == whole else f" ({len(days)} j)"
        lines.append(Period(f"{first:%d/%m}{part}" if by_week else f"{first:%m/%Y}{part}", added_up(days)))
    return ("Semaine du" if by_week else "Mois"), lines


def rate(counts: Counts | FailureRate) -> str:
    """Return how much of it failed, as text."""
    return percent(percentage(counts.failed, counts.total))


class Alarm(NamedTuple):
    """A threshold that is passed: `failure_rate` (of one payment method, or of all payments) or `cost`."""

    subject: str
    method: str | None
    message: str


def alarms(
    monitoring: Monitoring, max_failure_rate: float | None, max_cost: int | None, min_payments: int = 1
) -> list[Alarm]:
    """Return an alarm for each threshold that is passed, with a message in French.

    `max_failure_rate` is in percent of the payments of 24 hours, of all and of each payment method; fewer than
    `min_payments` pass none. `max_cost` is in FCFA over 30 days.
    """
    found = []
    if max_failure_rate is not None:
        rates: list[tuple[str | None, str, FailureRate]] = [(None, "des paiements", monitoring.failure_rate)]
        with_payments = [operator for operator in monitoring.operators if operator.failure_rate.total]
        if len(with_payments) > 1:
            rates += [(each.key, f"des paiements {each.label}", each.failure_rate) for each in with_payments]
        for method, what, day in rates:
            if day.percent is not None and day.percent > max_failure_rate and day.total >= min_payments:
                found.append(
                    Alarm(
                        "failure_rate",
                        method,
                        f"Seuil dépassé : {percent(day.percent, 2)} {what} échouent, plus que "
                        f"{percent(max_failure_rate, 2)} ({number(day.failed)} sur {number(day.total)} en 24 heures).",
                    )
                )
        if found:
            found[-1] = found[-1]._replace(message=f"{found[-1].message}\nContactez InTouch : support@gutouch.com")
    if max_cost is not None and monitoring.total_cost > max_cost:
        found.append(
            Alarm(
                "cost",
                None,
                f"Seuil dépassé : {number(monitoring.total_cost)} FCFA sur 30 jours, plus que {number(max_cost)} FCFA.",
            )
        )
    return found


def notices(monitoring: Monitoring) -> list[str]:
    """Return, in French, what the figures leave out."""
    return [
        f"{log.table} : {number(service.future)} de ses lignes sont datées dans le futur et ne comptent nulle part."
        for service, log in zip(monitoring.services, LOGS, strict=True)
        if service.future
    ]
