"""The monitoring as tables on a terminal of any width."""

from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from montoit_db.display import number, percent
from montoit_db.monitoring.read import columns

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import ConsoleOptions, RenderableType, RenderResult

    from montoit_db.monitoring.read import Day, Monitoring, Service

NARROW = 60  # columns; on a narrower terminal there is no room for bars
_SUCCEEDED, _FAILED, _UNDER_WAY = "█", "▓", "░"


def rendered(monitoring: Monitoring, width: int | None = None, *, colours: bool = False) -> str:
    """Return the tables, `width` columns wide (None: as wide as the terminal)."""
    out = StringIO()
    # Text from the database is never taken for markup.
    console = Console(
        file=out, width=width, markup=False, emoji=False, highlight=False, force_terminal=colours, legacy_windows=False
    )
    for block in _blocks(monitoring, narrow=console.width < NARROW):
        console.print(block, "", sep="\n")
    return out.getvalue().rstrip()


class _Bar:
    """A bar of one day, as long as its share of the busiest day: succeeded, failed, under way."""

    def __init__(self, day: Day, most: int) -> None:
        self._day = day
        self._most = most

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        day = self._day
        cells = round(options.max_width * day.total / self._most) if self._most else 0
        failed = min(cells, max(round(cells * day.failed / day.total), day.failed > 0)) if cells else 0
        succeeded = min(cells - failed, round(cells * day.succeeded / day.total)) if cells else 0
        yield Text.assemble(
            (_SUCCEEDED * succeeded, "green"),
            (_FAILED * failed, "red"),
            (_UNDER_WAY * (cells - succeeded - failed), "dim"),
        )


def _blocks(monitoring: Monitoring, *, narrow: bool) -> Iterator[RenderableType]:
    for service in monitoring.services:
        yield _service(service, narrow=narrow)
    if not narrow:
        yield f"{_SUCCEEDED} réussis  {_FAILED} échoués  {_UNDER_WAY} en cours"
    yield _costs(monitoring, narrow=narrow)
    rate = monitoring.failure_rate
    yield f"Échec des paiements, 24 heures : {percent(rate.percent)} ({number(rate.failed)} sur {number(rate.total)})"
    yield _failures(monitoring, narrow=narrow) if monitoring.failures else "Aucun échec sur la période."


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


def _service(service: Service, *, narrow: bool) -> Table:
    left_out = {"Réussis", "Échec"} if narrow else set()
    shown = [column for column in columns(service) if column.header not in left_out]
    table = _table(service.label, show_footer=True, expand=not narrow)
    for header, total, _ in shown:
        table.add_column(header, total, justify="left" if header == "Jour" else "right", no_wrap=True)
    if narrow:
        bars: list[list[RenderableType]] = [[] for _ in service.days]
    else:
        table.add_column("", ratio=1)
        most = max((day.total for day in service.days), default=0)
        bars = [[_Bar(day, most)] for day in service.days]
    for row, bar in zip(zip(*(column.cells for column in shown), strict=True), bars, strict=True):
        table.add_row(*row, *bar)
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


def _failures(monitoring: Monitoring, *, narrow: bool) -> Table:
    table = _table("Derniers échecs", expand=True)
    for header in ("Quand", "Service") if narrow else ("Quand", "Service", "Numéro", "Code"):
        table.add_column(header, no_wrap=True)
    table.add_column("Message", ratio=1)
    for failure in monitoring.failures:
        code = "" if failure.status_code is None else str(failure.status_code)
        details = () if narrow else (failure.phone_number, code)
        table.add_row(f"{failure.at:%d/%m %H:%M}", failure.service, *details, failure.message)
    return table
