"""The monitoring as one self-contained page, in French: no script, no font and no image from elsewhere."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from montoit_db.display import DASH, number, percent
from montoit_db.errors import MontoitError
from montoit_db.monitoring.read import columns

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from xml.etree.ElementTree import Element

    from montoit_db.monitoring.read import Monitoring, Service

_LABELS = 7  # days that are named below a chart: a phone has room for so many


def page(monitoring: Monitoring, alarms: Iterable[str] = ()) -> str:
    """Return the page's HTML; it begins with the lines of `alarms`.

    Raises:
        MontoitError: the `html` extra is not installed.

    """
    rate = monitoring.failure_rate
    figures = [
        (
            percent(rate.percent),
            "des paiements échouent",
            f"24 heures : {number(rate.failed)} sur {number(rate.total)}",
        ),
        (f"{number(monitoring.total_cost)} FCFA", "de coûts estimés", "30 jours"),
    ]
    costs = [
        (escape(cost.service), number(cost.transactions), number(cost.fcfa), escape(cost.kind))
        for cost in monitoring.costs
    ]
    failures = [
        (
            f"{failure.at:%d/%m %H:%M}",
            escape(failure.service),
            escape(failure.phone_number),
            DASH if failure.status_code is None else str(failure.status_code),
            escape(failure.message),
        )
        for failure in monitoring.failures
    ]
    days = len(monitoring.services[0].days)
    return _PAGE.format(
        style=_STYLE,
        at=f"{monitoring.at:%d/%m/%Y à %H:%M}",
        days="aujourd'hui" if days == 1 else f"{days} jours",
        alarms="".join(f'<p class="alarm" role="alert">{escape(line)}</p>' for line in alarms),
        figures="".join(f"<div><b>{big}</b> {what}<small>{when}</small></div>" for big, what, when in figures),
        services="".join(map(_service, monitoring.services)),
        costs=_table(("Service", "Transactions", "FCFA", "Tarif"), costs, numbers={1, 2}),
        failures=_table(("Quand", "Service", "Numéro", "Code", "Message"), failures, numbers={3})
        if failures
        else "<p>Aucun échec sur la période.</p>",
    )


def _service(service: Service) -> str:
    headers, totals, cells = zip(*columns(service), strict=True)
    table = _table(headers, list(zip(*cells, strict=True)), numbers=set(range(1, len(headers))), total=totals)
    return f"<section><h2>{escape(service.label)}</h2>{_chart(service)}{table}</section>"


def _chart(service: Service) -> str:
    try:
        from pygal import StackedBar  # noqa: PLC0415 -- an extra that the terminal does without
        from pygal.style import Style  # noqa: PLC0415
    except ImportError:
        raise MontoitError("--html a besoin d'une bibliothèque de plus : pip install -e '.[html]'") from None
    days = service.days[::-1]
    chart = StackedBar(
        width=420,
        height=240,
        style=Style(
            background="transparent",
            plot_background="transparent",
            foreground="var(--ink)",
            foreground_strong="var(--ink)",
            foreground_subtle="var(--faint)",
            colors=("var(--good)", "var(--bad)", "var(--idle)"),
            font_family="inherit",
            label_font_size=12,
            major_label_font_size=12,
            legend_font_size=13,
            opacity="1",
        ),
        js=[],
        disable_xml_declaration=True,
        legend_at_bottom=True,
        legend_at_bottom_columns=3,
        legend_box_size=10,
        margin=4,
        show_minor_x_labels=False,
        value_formatter=number,
        max_scale=5,
        order_min=0,
        truncate_label=-1,
    )
    chart.x_labels = [f"{day.date:%d/%m}" for day in days]
    chart.x_labels_major = chart.x_labels[:: -max(1, -(-len(days) // _LABELS))]
    chart.add("Réussis", [day.succeeded for day in days])
    chart.add("Échoués", [day.failed for day in days])
    chart.add("En cours", [day.total - day.succeeded - day.failed for day in days])
    chart.add_xml_filter(_without_scripts)
    svg: str = chart.render(is_unicode=True)
    label = escape(f"{service.label} par jour : réussis, échoués, en cours. Les chiffres sont dans le tableau.")
    return svg.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)


def _without_scripts(root: Element) -> Element:
    """Remove the script that shows tooltips: the numbers are in the table."""
    for parent in list(root.iter()):
        for script in [child for child in parent if str(child.tag).endswith("script")]:
            parent.remove(script)
    return root


def _table(
    header: tuple[str, ...], rows: Sequence[tuple[str, ...]], *, numbers: set[int], total: tuple[str, ...] = ()
) -> str:
    """Return a table of cells that are HTML already."""

    def line(cells: tuple[str, ...], tag: str) -> str:
        return "".join(
            f"<{tag}{' class=n' if index in numbers else ''}>{cell}</{tag}>" for index, cell in enumerate(cells)
        )

    body = "".join(f"<tr>{line(row, 'td')}</tr>" for row in rows)
    foot = f"<tfoot><tr>{line(total, 'td')}</tr></tfoot>" if total else ""
    head = f"<thead><tr>{line(header, 'th')}</tr></thead>"
    return f'<div class="scroll"><table>{head}<tbody>{body}</tbody>{foot}</table></div>'


_STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --paper: #fff; --faint: #d5dae1; --quiet: #5a6675;
        --good: #1a7f4b; --bad: #c4331d; --idle: #aab3bf; --alarm: #fdecea; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6eaf0; --paper: #14181e; --faint: #38414d; --quiet: #9aa7b6;
          --good: #3fb67c; --bad: #ff7a62; --idle: #66717f; --alarm: #48201b; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 76rem; background: var(--paper); color: var(--ink);
       font: 1rem/1.45 system-ui, sans-serif; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
h1 { font-size: 1.4rem; margin: 0; } h2 { font-size: 1.1rem; margin: 0 0 .5rem; }
header p, small, footer { color: var(--quiet); } header p { margin: .2rem 0 1rem; } small { display: block; }
.alarm { background: var(--alarm); border-left: .3rem solid var(--bad); padding: .6rem .8rem; margin: .5rem 0; }
.figures, main { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 27rem), 1fr)); }
.figures { margin-bottom: 1rem; } .figures b { font-size: 1.5rem; }
section, .figures div { border: 1px solid var(--faint); border-radius: .5rem; padding: .8rem; min-width: 0; }
.wide { grid-column: 1 / -1; } svg { width: 100%; height: auto; display: block; margin-bottom: .6rem; }
svg.pygal-chart .axis .guide.line { stroke: var(--faint) !important; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-size: .85rem; }
th, td { text-align: left; padding: .2rem .3rem; white-space: nowrap; border-bottom: 1px solid var(--faint); }
th { color: var(--quiet); font-weight: 600; } td:last-child:not(.n) { white-space: normal; overflow-wrap: anywhere; }
.n { text-align: right; font-variant-numeric: tabular-nums; } tfoot td { font-weight: 600; border: 0; }
@media (max-width: 30rem) { body { padding: .5rem; } section { padding: .5rem .4rem; }
                            table { font-size: .7rem; } th, td { padding: .2rem .1rem; } }
@media print {
  :root { --ink: #000; --paper: #fff; --faint: #ccc; --quiet: #444; --good: #1a7f4b; --bad: #c4331d; --idle: #aab3bf;
          --alarm: #fff; font-size: 10px; }
  body { padding: 0; } .figures, main { grid-template-columns: 1fr 1fr; } .alarm { border: 2px solid; }
  section, .figures div { break-inside: avoid; } section:has(tr:nth-child(12)) { break-inside: auto; } }
"""

_PAGE = """<!doctype html>
<html lang="fr">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>InTouch : surveillance</title>
<style>{style}</style>
</head>
<body>
<header><h1>InTouch : surveillance</h1><p>{days}, lus le {at}, heure d'Abidjan</p></header>
{alarms}
<div class="figures">{figures}</div>
<main>
{services}
<section><h2>Coûts estimés, 30 jours</h2>{costs}</section>
<section class="wide"><h2>Derniers échecs</h2>{failures}</section>
</main>
</body>
</html>
"""
