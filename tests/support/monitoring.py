"""Monitorings as `read` returns them, without a database."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from montoit_db.intouch.catalogue import SERVICES
from montoit_db.intouch.state import ServiceState
from montoit_db.monitoring.rates import FailureRate
from montoit_db.monitoring.read import METHODS, Cost, Day, Failure, InTouch, Monitoring, Operator, Service, added_up

AT = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
ON = InTouch(
    operational=True,
    environment="production",
    since=datetime(2026, 11, 20, 14, 2, tzinfo=UTC),
    services=tuple(
        ServiceState(service.key, service.label, True, "production", 100, "active")  # noqa: FBT003
        for service in SERVICES
    ),
)


def busy(days: int = 7, message: str = "Solde insuffisant", million: int = 1_000_000) -> Monitoring:
    """A busy one, with names and numbers as long as they get."""
    some = tuple(
        Day(4 * million, 3 * million, million // 20, 0, 4000 * million, (AT - timedelta(number)).date())
        for number in range(days)
    )
    return Monitoring(
        at=AT,
        intouch=ON,
        services=(
            Service("payment", "Paiements", some),
            Service("sms", "SMS", some),
            Service("whatsapp", "WhatsApp", ()),
        ),
        operators=tuple(
            Operator(million, million, 0, 0, 1000 * million, key, label, FailureRate.of(0, 0))
            for key, label in METHODS.items()
        ),
        costs=(Cost("payment", "Paiements", 120 * million, Decimal(1200 * million), "Commission"),),
        failure_rate=FailureRate.of(0, 0),
        failures=(Failure(AT, "whatsapp", "WhatsApp", None, None, "+22507••••••04", 500, message),),
    )


def plausible(days: int = 7) -> Monitoring:
    """A week of a small platform on which MTN fails."""

    def day(number: int, total: int, failed: int, cancelled: int, price: int | None) -> Day:
        total += 17 * number % 31
        date = (AT - timedelta(number)).date()
        amount = None if price is None else price * total
        return Day(total, total - failed - cancelled - (3 if number == 0 else 0), failed, cancelled, amount, date)

    payments = tuple(day(number, 140, 21 if number == 0 else 3 + number % 3, 4, 98_350) for number in range(days))
    sms = tuple(day(number, 690, 3 + number % 2, 0, None) for number in range(days))
    whatsapp = tuple(day(number, 60, number % 2, 0, None) for number in range(days))
    shares = {"orange_money": (0.5, 0.014), "mtn_money": (0.3, 0.42), "moov_money": (0.05, 0), "wave": (0.15, 0.03)}
    total = sum(each.total for each in payments)

    def operator(key: str, share: float, failing: float) -> Operator:
        count = round(total * share)
        latest = FailureRate.of(round(143 * share), round(143 * share * failing))
        failed = round(count * failing / 4)
        return Operator(count, count - failed, failed, 0, count * 98_350, key, METHODS[key], latest)

    operators = [operator(key, share, failing) for key, (share, failing) in shares.items()]
    # What the days have more is Orange's, so that both tables add up to the same.
    rest, first = added_up(payments), operators[0]
    failed = rest.failed - sum(each.failed for each in operators[1:])
    count = rest.total - sum(each.total for each in operators[1:])
    operators[0] = replace(
        first, total=count, succeeded=count - failed - rest.cancelled - rest.under_way, failed=failed,
        cancelled=rest.cancelled, amount=count * 98_350,
    )  # fmt: skip
    failures = [
        Failure(
            AT - timedelta(minutes=7 * number),
            key,
            service,
            method,
            method and METHODS[method],
            f"+22505••••••{number:02}",
            code,
            message,
        )
        for number, (key, service, method, code, message) in enumerate(
            [
                ("payment", "Paiements", "mtn_money", 503, "Service opérateur indisponible"),
                ("payment", "Paiements", "mtn_money", 503, "Service opérateur indisponible"),
                ("payment", "Paiements", "orange_money", 402, "Solde insuffisant du compte 07••••••04"),
                ("payment", "Paiements", "mtn_money", 504, "Délai dépassé en attendant l'opérateur. " * 8),
                ("sms", "SMS", None, 400, "Numéro injoignable"),
                ("sms", "SMS", None, None, ""),
                ("whatsapp", "WhatsApp", None, 470, "Fenêtre de 24 heures fermée"),
            ]
        )
    ]
    return Monitoring(
        at=AT,
        intouch=ON,
        services=(
            Service("payment", "Paiements", payments),
            Service("sms", "SMS", sms),
            Service("whatsapp", "WhatsApp", whatsapp),
        ),
        operators=tuple(operators),
        costs=(
            Cost("payment", "Paiements", 5038, Decimal(5_088_595), "Commission"),
            Cost("sms", "SMS", 20_920, Decimal(523_000), "Forfait"),
        ),
        failure_rate=FailureRate.of(
            sum(each.failure_rate.total for each in operators), sum(each.failure_rate.failed for each in operators)
        ),
        failures=tuple(failures),
    )


def empty(days: int = 7) -> Monitoring:
    """A database to which nobody has written yet."""
    nothing = tuple(Day(0, 0, 0, 0, 0, (AT - timedelta(number)).date()) for number in range(days))
    messages = tuple(replace(day, amount=None) for day in nothing)
    return replace(
        plausible(),
        services=(
            Service("payment", "Paiements", nothing),
            Service("sms", "SMS", messages),
            Service("whatsapp", "WhatsApp", messages),
        ),
        operators=tuple(Operator(0, 0, 0, 0, 0, key, label, FailureRate.of(0, 0)) for key, label in METHODS.items()),
        costs=(
            Cost("payment", "Paiements", 0, Decimal(0), "Commission"),
            Cost("sms", "SMS", 0, Decimal(0), "Forfait"),
        ),
        failure_rate=FailureRate.of(0, 0),
        failures=(),
    )
