"""The monitoring as metrics, for the textfile collector of Prometheus's node_exporter."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from montoit_db.errors import MontoitError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from montoit_db.monitoring.read import InTouch, Monitoring

_PERCENT = 100  # a ratio is Prometheus's base unit


def write_metrics(monitoring: Monitoring, path: Path) -> None:
    """Write the metrics aside and rename them to `path`, so that the collector never reads half a file.

    Raises:
        MontoitError: the `prometheus` extra is not installed, or the file cannot be written.

    """
    try:
        from prometheus_client import CollectorRegistry, Gauge, write_to_textfile  # noqa: PLC0415 -- an extra
    except ImportError:
        raise MontoitError(
            "--prometheus a besoin d'une bibliothèque de plus : pip install 'prometheus-client>=0.26,<1'"
        ) from None
    registry = CollectorRegistry()
    gauges: dict[str, Gauge] = {}
    for name, (documentation, labels, value) in _metrics(monitoring):
        if name not in gauges:
            gauges[name] = Gauge(f"montoit_{name}", documentation, [*labels], registry=registry)
        (gauges[name].labels(**labels) if labels else gauges[name]).set(value)
    try:
        write_to_textfile(str(path), registry)
    except OSError as error:
        raise MontoitError(f"{path} : écriture impossible ({error.strerror}).") from None


def _metrics(monitoring: Monitoring) -> Iterator[tuple[str, tuple[str, dict[str, str], float]]]:
    """Yield each metric's name, what it is, its labels and its value."""
    if monitoring.intouch is not None:
        yield from _state(monitoring.intouch)
    for service in monitoring.services:
        today = service.days[0]
        what = "What was asked of InTouch since midnight in Abidjan, by its outcome so far."
        outcomes = {
            "succeeded": today.succeeded,
            "failed": today.failed,
            "cancelled": today.cancelled,
            "under_way": today.under_way,
        }
        for outcome, count in outcomes.items():
            yield "intouch_today", (what, {"service": service.key, "outcome": outcome}, count)
        what = "Rows dated in the future, which count nowhere."
        yield "intouch_future_rows", (what, {"service": service.key}, service.future)
    for operator in monitoring.operators:
        day = operator.failure_rate
        labels = {"method": operator.key}
        yield "intouch_recent_payments", ("Payments of the last 24 hours.", labels, day.total)
        yield "intouch_recent_failed_payments", ("Payments of the last 24 hours that failed.", labels, day.failed)
    for cost in monitoring.costs:
        what = "Estimated costs of the last 30 days in FCFA (XOF)."
        yield "intouch_cost_xof", (what, {"service": cost.key}, float(cost.fcfa))
    what = "When these figures were last read and written."
    yield "monitor_last_success_timestamp_seconds", (what, {}, time.time())


def _state(intouch: InTouch) -> Iterator[tuple[str, tuple[str, dict[str, str], float]]]:
    what = "Whether all of InTouch is on, with the credentials of the environment in the label."
    yield "intouch_operational", (what, {"environment": intouch.environment or ""}, intouch.operational)
    for flag in intouch.services:
        share = (flag.rollout_percentage or 0) / _PERCENT if flag.is_enabled else 0
        yield "intouch_rollout_ratio", ("Share of users that a flag is served to.", {"flag": flag.key}, share)
