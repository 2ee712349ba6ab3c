"""The monitoring as tables on a terminal of any width."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from montoit_db.monitoring import DASH, number, percent, percentage

if TYPE_CHECKING:
    from rich.console import ConsoleOptions, RenderableType, RenderResult

    from montoit_db.monitoring import Day, Monitoring, Service


def show(monitoring: Monitoring, width: int | None = None) -> None:
    """Print on stdout, `width` columns wide where that is given; without colours where nobody could see them."""
    console = Console(width=width, highlight=False)
    for service in monitoring.services:
        console.print(_service(service), "")
    full, cross, light = _PLAIN_SIGNS if console.options.ascii_only else _SIGNS
    console.print(f"{full} réussis  {cross} échoués  {light} en cours", "")
    console.print(Group(*_rest(monitoring)))


_SIGNS, _PLAIN_SIGNS = "█▓░", "#x-"  # what succeeded, what failed, what is under way


class _Bar:
    """One day against the busiest: what succeeded, what failed, and what is under way."""

    def __init__(self, day: Day, most: int) -> None:
        self._day = day
        self._most = most

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        full, cross, light = _PLAIN_SIGNS if options.ascii_only else _SIGNS
        width = options.max_width
        day = self._day
        cells = round(width * day.total / self._most) if self._most else 0
        failed = min(cells, max(round(cells * day.failed / day.total), day.failed > 0)) if cells else 0
        succeeded = min(cells - failed, round(cells * day.succeeded / day.total)) if cells else 0
        yield Text.assemble(
            (full * succeeded, "green"), (cross * failed, "red"), (light * (cells - succeeded - failed), "dim")
        )


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


def _service(service: Service) -> Table:
    table = _table(service.label, show_footer=True, expand=True)
    has_amount = service.amount is not None
    table.add_column("Jour", "Total", no_wrap=True)
    table.add_column("Nombre", number(service.total), justify="right", no_wrap=True)
    table.add_column("Réussis", number(service.succeeded), justify="right", no_wrap=True)
    table.add_column("Échoués", number(service.failed), justify="right", no_wrap=True)
    table.add_column("Échec", percent(percentage(service.failed, service.total)), justify="right", no_wrap=True)
    if has_amount:
        table.add_column("FCFA", number(service.amount), justify="right", no_wrap=True)
    table.add_column("", ratio=1)
    most = max((day.total for day in service.days), default=0)
    for day in service.days:
        cells: list[RenderableType] = [
            f"{day.date:%d/%m}",
            number(day.total),
            number(day.succeeded),
            number(day.failed),
            percent(percentage(day.failed, day.total)) if day.total else DASH,
        ]
        table.add_row(*cells, *([number(day.amount)] if has_amount else []), _Bar(day, most))
    return table


def _rest(monitoring: Monitoring) -> list[RenderableType]:
    costs = _table("Coûts estimés, 30 jours", show_footer=True)
    costs.add_column("Service", "Total")
    costs.add_column("Transactions", justify="right")
    costs.add_column("FCFA", number(monitoring.total_cost), justify="right")
    costs.add_column("Tarif")
    for cost in monitoring.costs:
        costs.add_row(cost.service, number(cost.transactions), number(cost.fcfa), cost.kind)
    rate = monitoring.failure_rate
    told = f"Échec des paiements, 24 heures : {percent(rate.percent)} ({number(rate.failed)} sur {number(rate.total)})"
    if not monitoring.failures:
        return [costs, Text(), Text(told), Text("Aucun échec sur la période.")]
    failures = _table("Derniers échecs", expand=True)
    for header in ("Quand", "Service", "Numéro", "Code"):
        failures.add_column(header, no_wrap=True)
    failures.add_column("Message", ratio=1)
    for failure in monitoring.failures:
        failures.add_row(
            f"{failure.at:%d/%m %H:%M}",
            failure.service,
            failure.phone_number,
            "" if failure.status_code is None else str(failure.status_code),
            Text(failure.message),
        )
    return [costs, Text(), Text(told), Text(), failures]
