"""The monitoring as tables on a terminal of any width."""

from __future__ import annotations

from io import StringIO
from itertools import accumulate
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from montoit_db.display import DASH, number, shortened
from montoit_db.monitoring.read import UNREADABLE, notices, periods, rate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import ConsoleOptions, RenderableType, RenderResult

    from montoit_db.monitoring.read import Counts, Failure, Monitoring, Service

NARROW = 60  # columns; on a narrower terminal there is no room for bars
_WIDE = 100  # columns; on a narrower terminal bars alone show what was cancelled
_LONGEST = 300  # characters of InTouch's words
_SUCCEEDED, _FAILED, _CANCELLED, _UNDER_WAY = "█", "▓", "▒", "░"


def rendered(monitoring: Monitoring, width: int | None = None, *, colours: bool = False) -> str:
    """Return the tables, `width` columns wide (None: as wide as the terminal)."""
    out = StringIO()
    # Text from the database is never taken for markup.
    console = Console(
        file=out, width=width, markup=False, emoji=False, highlight=False, force_terminal=colours, legacy_windows=False
    )
    for block in _blocks(monitoring, width=console.width):
        console.print(block, "", sep="\n")
    return out.getvalue().rstrip()


class _Bar:
    """A bar, as long as its share of the busiest period: succeeded, failed, cancelled, under way."""

    def __init__(self, counts: Counts, most: int) -> None:
        self._counts = counts
        self._most = most

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        counts = self._counts
        cells = round(options.max_width * counts.total / self._most) if self._most else 0
        least = min(cells, counts.failed, 1)  # what failed is seen, however little it is
        succeeded, failed, cancelled = (
            round(cells * some / counts.total) if cells else 0
            for some in accumulate((counts.succeeded, counts.failed, counts.cancelled))
        )
        succeeded = min(succeeded, cells - least)
        failed = max(failed, succeeded + least)
        cancelled = max(failed, cancelled)
        yield Text.assemble(
            (_SUCCEEDED * succeeded, "green"),
            (_FAILED * (failed - succeeded), "red"),
            (_CANCELLED * (cancelled - failed), "yellow"),
            (_UNDER_WAY * (cells - cancelled), "dim"),
        )


def _blocks(monitoring: Monitoring, *, width: int) -> Iterator[RenderableType]:
    narrow = width < NARROW
    yield f"InTouch : {monitoring.intouch or UNREADABLE}"
    for service in monitoring.services:
        yield _service(service, width=width)
    if not narrow:
        yield f"{_SUCCEEDED} réussis  {_FAILED} échoués  {_CANCELLED} annulés  {_UNDER_WAY} en cours"
    yield _operators(monitoring, narrow=narrow)
    yield _costs(monitoring, narrow=narrow)
    day = monitoring.failure_rate
    yield f"Échec des paiements, 24 heures : {rate(day)} ({number(day.failed)} sur {number(day.total)})"
    for service in monitoring.services:
        failures = [failure for failure in monitoring.failures if failure.key == service.key]
        if failures:
            yield _failures(f"Derniers échecs : {service.label}", failures, narrow=narrow)
    if not monitoring.failures:
        yield "Aucun échec sur la période."
    yield from notices(monitoring)


def _table(title: str, *, show_footer: bool = False, expand: bool = False) -> Table:
    return Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        show_footer=show_footer,
        expand=expand,
    )


def _service(service: Service, *, width: int) -> Table:
    header, lines = periods(service)
    total = service.all_days
    table = _table(service.label, show_footer=True, expand=width >= NARROW)
    table.add_column(header, "Total", no_wrap=True)
    columns = [
        ("Nombre", number(total.total), [number(line.counts.total) for line in lines]),
        ("Réussis", number(total.succeeded), [number(line.counts.succeeded) for line in lines]),
        ("Échoués", number(total.failed), [number(line.counts.failed) for line in lines]),
        ("Annulés", number(total.cancelled), [number(line.counts.cancelled) for line in lines]),
        ("Échec", rate(total), [rate(line.counts) if line.counts.total else DASH for line in lines]),
        ("FCFA", number(total.amount), [number(line.counts.amount) for line in lines]),
    ]
    has_room = width >= NARROW
    is_shown = {
        "Réussis": has_room,
        "Échec": has_room,
        "Annulés": width >= _WIDE and total.cancelled > 0,
        "FCFA": total.amount is not None,
    }
    cells = []
    for name, foot, column in columns:
        if is_shown.get(name, True):
            table.add_column(name, foot, justify="right", no_wrap=True)
            cells.append(column)
    bars: list[list[RenderableType]] = [[] for _ in lines]
    if has_room:
        table.add_column("", ratio=1)
        most = max((line.counts.total for line in lines), default=0)
        bars = [[_Bar(line.counts, most)] for line in lines]
    for line, *row, bar in zip(lines, *cells, bars, strict=True):
        table.add_row(line.name, *row, *bar)
    return table


def _operators(monitoring: Monitoring, *, narrow: bool) -> Table:
    table = _table("Paiements par opérateur")
    table.add_column("Opérateur", no_wrap=True)
    for header in (
        ("Nombre", "Échoués", "Échec") if narrow else ("Nombre", "Échoués", "Annulés", "Échec", "24 heures", "FCFA")
    ):
        table.add_column(header, justify="right", no_wrap=True)
    for operator in monitoring.operators:
        day = operator.failure_rate
        counts = [number(operator.total), number(operator.failed)]
        failing = rate(operator) if operator.total else DASH
        if narrow:
            table.add_row(operator.label, *counts, failing)
        else:
            latest = f"{rate(day)} ({number(day.failed)}/{number(day.total)})" if day.total else DASH
            table.add_row(operator.label, *counts, number(operator.cancelled), failing, latest, number(operator.amount))
    return table


def _costs(monitoring: Monitoring, *, narrow: bool) -> Table:
    table = _table("Coûts estimés, 30 jours", show_footer=True)
    table.add_column("Service", "Total")
    table.add_column("Nombre", justify="right")
    table.add_column("FCFA", number(monitoring.total_cost), justify="right")
    if not narrow:
        table.add_column("Tarif")
    for cost in monitoring.costs:
        kind = () if narrow else (cost.kind,)
        table.add_row(cost.service, number(cost.transactions), number(cost.fcfa), *kind)
    return table


def _failures(title: str, failures: list[Failure], *, narrow: bool) -> Table:
    table = _table(title, expand=True)
    with_method = any(failure.label for failure in failures)
    headers = [] if narrow else [*(["Opérateur"] if with_method else []), "Numéro", "Code"]
    for header in ("Quand", *headers):
        table.add_column(header, no_wrap=True)
    table.add_column("Message", ratio=1)
    for failure in failures:
        code = "" if failure.status_code is None else str(failure.status_code)
        details = [] if narrow else [*([failure.label or ""] if with_method else []), failure.phone_number, code]
        table.add_row(f"{failure.at:%d/%m %H:%M}", *details, shortened(failure.message, _LONGEST))
    return table
