"""The monitoring as one self-contained page, in French: no script, no font and no image from elsewhere.

Time runs one way on it: the newest comes first.
"""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from html import escape
from typing import TYPE_CHECKING

from montoit_db.display import DASH, number, percent, shortened
from montoit_db.monitoring.rates import FailureRate, percentage
from montoit_db.monitoring.read import UNREADABLE, notices, periods, rate

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from montoit_db.intouch.state import ServiceState
    from montoit_db.monitoring.read import Alarm, Counts, Failure, InTouch, Monitoring

_LONGEST = 160  # characters of InTouch's words
_TOGETHER = "\N{NO-BREAK SPACE}"
_ASKED = "FCFA<br><small>demandés</small>"
_SCALES = (5, 10, 20, 50)  # percent at the end of the bars; else 100


def page(
    monitoring: Monitoring,
    alarms: Sequence[Alarm] = (),
    max_failure_rate: float | None = None,
    min_payments: int = 1,
    warnings: Sequence[str] = (),
) -> str:
    """Return the page's HTML, on which the figures of `alarms` are red; `warnings` are lines in French.

    Red are also rates above `max_failure_rate` (percent), of `min_payments` payments at least.
    """
    tables = _Tables(monitoring, max_failure_rate, min_payments)
    return _PAGE.format(
        style=_STYLE,
        hash=b64encode(sha256(_STYLE.encode()).digest()).decode(),
        state=_state(monitoring.intouch),
        at=f"{monitoring.at:%d/%m/%Y à %H:%M}",
        days=_span(monitoring).capitalize(),
        alarms="".join(f'<p class="alarm" role="alert">{_lines(alarm.message)}</p>' for alarm in alarms),
        notices="".join(f'<p class="notice">{_lines(line)}</p>' for line in [*warnings, *notices(monitoring)]),
        figures="".join(_figures(monitoring, {alarm.subject for alarm in alarms if alarm.method is None})),
        sections="".join(tables.sections()),
        failures="".join(_failures(monitoring)),
    )


def _state(intouch: InTouch | None) -> str:
    if intouch is None:
        return f'<div class="state off"><h1>InTouch : {UNREADABLE}</h1></div>'
    kind = "on" if intouch.operational and intouch.shares[1] else "off"
    headline, *rest = intouch.facts
    details = "".join(f"<span>{escape(detail).replace(' à ', f' à{_TOGETHER}')}</span>" for detail in rest)
    shares = {_share(service) for service in intouch.services}
    services = "".join(f"<li>{escape(service.label)} <b>{_share(service)}</b></li>" for service in intouch.services)
    listed = f"<ul>{services}</ul>" if len(shares) > 1 else ""
    return f'<div class="state {kind}"><h1>InTouch est {escape(headline)}</h1><p>{details}</p>{listed}</div>'


def _share(service: ServiceState) -> str:
    return f"{service.rollout_percentage}{_TOGETHER}%" if service.is_enabled else "désactivé"


def _figures(monitoring: Monitoring, passed: set[str]) -> Iterator[str]:
    def figure(big: str, what: str, *, is_red: bool) -> str:
        return f"<div{' class=red' if is_red else ''}><b>{big}</b><span>{what}</span></div>"

    day = monitoring.failure_rate
    if day.total:
        what = f"des paiements échouent<br>24 heures : {number(day.failed)} sur {number(day.total)}"
        yield figure(rate(day), what, is_red="failure_rate" in passed)
    else:
        yield figure(DASH, "aucun paiement<br>24 heures", is_red=False)
    amount = sum(operator.amount or 0 for operator in monitoring.operators)
    yield figure(f"{number(amount)} <small>FCFA</small>", f"demandés aux payeurs<br>{_span(monitoring)}", is_red=False)
    cost = number(monitoring.total_cost) if monitoring.costs else DASH
    what = f"de coûts estimés{_without_price(monitoring)}<br>30 jours"
    yield figure(f"{cost} <small>FCFA</small>", what, is_red="cost" in passed)


def _without_price(monitoring: Monitoring) -> str:
    """Name the services that cost something, too, whose price nobody has told us."""
    priced = {cost.key for cost in monitoring.costs}
    missing = [service.label for service in monitoring.services if service.all_days.total and service.key not in priced]
    return f", sans {' ni '.join(missing)}" if missing else ""


def _span(monitoring: Monitoring) -> str:
    days = len(monitoring.services[0].days)
    return "aujourd'hui" if days == 1 else f"{days} jours"


class _Tables:
    """The tables, whose bars of failures all have one scale."""

    def __init__(self, monitoring: Monitoring, max_failure_rate: float | None, min_payments: int) -> None:
        self._monitoring = monitoring
        self._most = max_failure_rate
        self._least = min_payments
        shown = [max_failure_rate or 0]
        for service in monitoring.services:
            shown += [percentage(line.counts.failed, line.counts.total) or 0 for line in periods(service)[1]]
        for operator in monitoring.operators:
            shown += [percentage(operator.failed, operator.total) or 0, operator.failure_rate.percent or 0]
        self._scale = next((scale for scale in _SCALES if scale >= max(shown)), 100)

    def sections(self) -> Iterator[str]:
        """Return the sections that have something to show."""
        services = self._monitoring.services
        if any(operator.total or operator.failure_rate.total for operator in self._monitoring.operators):
            yield _section("Paiements par opérateur", self._operators(), is_wide=True)
        lines: Sequence[tuple[str, Counts]]
        if len(services[0].days) == 1:
            lines = [(service.label, service.all_days) for service in services if service.all_days.total]
            if lines:
                yield _section("Aujourd'hui", self._counts("Service", lines), is_wide=True)
        else:
            for service in services:
                if service.all_days.total:
                    header, lines = periods(service)
                    table = self._counts(header, lines, service.all_days)
                    yield _section(service.label, table, is_wide=service.all_days.amount is not None)
        if any(cost.transactions for cost in self._monitoring.costs):
            title = f"Coûts estimés{_without_price(self._monitoring)}, 30 jours"
            yield _section(title, self._costs())

    def _counts(self, header: str, lines: Sequence[tuple[str, Counts]], total: Counts | None = None) -> str:
        """Return a table of counts, with columns only for what there is."""
        every = [counts for _, counts in lines]
        with_cancelled = any(counts.cancelled for counts in every)
        with_amount = any(counts.amount is not None for counts in every)
        headers = [
            _cell(header, "th"),
            _cell("Nombre", "th", "n"),
            _cell("Réussis", "th", "n more"),
            _cell("En cours", "th", "n more"),
            _cell("Annulés", "th", "n more") if with_cancelled else "",
            _cell("Échoués", "th", "n"),
            self._rate_header(with_limit=with_amount),
            _cell(_ASKED, "th", "n more") if with_amount else "",
        ]

        def row(name: str, counts: Counts) -> str:
            cells = [
                _cell(escape(name)),
                _cell(number(counts.total), "td", "n"),
                _cell(number(counts.succeeded), "td", "n more"),
                _cell(number(counts.under_way), "td", "n more"),
                _cell(number(counts.cancelled), "td", "n more") if with_cancelled else "",
                _cell(number(counts.failed), "td", "n"),
                self._rate(counts),
                _cell(number(counts.amount), "td", "n more") if with_amount else "",
            ]
            return f"<tr>{''.join(cells)}</tr>"

        foot = f"<tfoot>{row('Total', total)}</tfoot>" if total else ""
        return _table(headers, [row(name, counts) for name, counts in lines], foot)

    def _operators(self) -> str:
        headers = [
            _cell("Opérateur", "th"),
            _cell("24 heures", "th", "n"),
            self._rate_header(with_limit=True),
            _cell(_span(self._monitoring).capitalize(), "th", "n more"),
            _cell("Échec", "th", "n more"),
            _cell(_ASKED, "th", "n more"),
        ]
        rows = [
            "<tr>"
            + _cell(escape(operator.label))
            + _cell(number(operator.failure_rate.total), "td", "n")
            + self._rate(operator.failure_rate)
            + _cell(number(operator.total), "td", "n more")
            + _cell(rate(operator) if operator.total else DASH, "td", f"n more{self._red(operator)}")
            + _cell(number(operator.amount), "td", "n more")
            + "</tr>"
            for operator in self._monitoring.operators
        ]
        return _table(headers, rows)

    def _costs(self) -> str:
        costs = self._monitoring.costs
        headers = [
            _cell("Service", "th"), _cell("Nombre", "th", "n"), _cell("Tarif", "th", "more"), _cell("FCFA", "th", "n")
        ]  # fmt: skip
        rows = [
            f"<tr>{_cell(escape(cost.service))}{_cell(number(cost.transactions), 'td', 'n')}"
            f"{_cell(escape(cost.kind), 'td', 'more')}{_cell(number(cost.fcfa), 'td', 'n')}</tr>"
            for cost in costs
        ]
        total = f"{_cell('Total')}{_cell('')}{_cell('', 'td', 'more')}"
        foot = f"<tfoot><tr>{total}{_cell(number(self._monitoring.total_cost), 'td', 'n')}</tr></tfoot>"
        return _table(headers, rows, foot)

    def _rate_header(self, *, with_limit: bool) -> str:
        limit = f", trait à {self._most:g} %" if self._most and with_limit else ""
        return _cell(f"Échec <small>barre de 0 à {self._scale} %{limit}</small>".replace(".", ","), "th", "rate")

    def _rate(self, counts: Counts | FailureRate) -> str:
        """Return the cell that one looks at: a bar as long as the failure rate, and the rate."""
        failing = percentage(counts.failed, counts.total)
        if failing is None:
            return _cell(DASH, "td", "rate")
        place = 100 * self._most / self._scale if self._most and _is_of_payments(counts) else 0
        threshold = f'<line class="limit" x1="{place:.1f}" x2="{place:.1f}" y2="10"/>' if place else ""
        bar = (
            '<svg viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">'
            f'<rect class="track" width="100" height="10"/>'
            f'<rect class="failed" width="{min(100, 100 * failing / self._scale):.1f}" height="10"/>{threshold}</svg>'
        )
        return _cell(f"<div>{bar}<span>{percent(failing)}</span></div>", "td", f"rate{self._red(counts)}")

    def _red(self, counts: Counts | FailureRate) -> str:
        failing = percentage(counts.failed, counts.total)
        if self._most is None or failing is None or not _is_of_payments(counts):
            return ""
        return " red" if failing > self._most and counts.total >= self._least else ""


def _is_of_payments(counts: Counts | FailureRate) -> bool:
    """Tell whether a threshold concerns the counts: messages have no amounts, and no threshold."""
    return isinstance(counts, FailureRate) or counts.amount is not None


def _failures(monitoring: Monitoring) -> Iterator[str]:
    for service in monitoring.services:
        latest = [failure for failure in monitoring.failures if failure.key == service.key]
        if latest:
            yield _section(
                f"Derniers échecs : {service.label}", f'<ol class="failures">{"".join(map(_failure, latest))}</ol>'
            )
    quiet = [service.label for service in monitoring.services if not service.all_days.total]
    if quiet:
        yield f"<p>Rien, {_span(monitoring)} : {', '.join(quiet)}.</p>"
    elif not monitoring.failures:
        yield f"<p>Aucun échec, {_span(monitoring)}.</p>"


def _failure(failure: Failure) -> str:
    code = "" if failure.status_code is None else f"code {failure.status_code}"
    details = [escape(detail) for detail in (failure.label, failure.phone_number, code) if detail]
    message = escape(shortened(failure.message, _LONGEST)) or "sans message"
    when = f"<time>{failure.at:%d/%m %H:%M}</time>"
    return f"<li>{when} <strong>{message}</strong> <span>{' · '.join(details)}</span></li>"


def _section(title: str, content: str, *, is_wide: bool = False) -> str:
    return f"<section{' class=wide' if is_wide else ''}><h2>{escape(title)}</h2>{content}</section>"


def _table(headers: Iterable[str], rows: Iterable[str], foot: str = "") -> str:
    head = f"<thead><tr>{''.join(headers)}</tr></thead>"
    return f'<div class="scroll"><table>{head}<tbody>{"".join(rows)}</tbody>{foot}</table></div>'


def _cell(content: str, tag: str = "td", kind: str = "") -> str:
    """Return a cell of content that is HTML already."""
    attribute = f' class="{kind}"' if kind else ""
    return f"<{tag}{attribute}>{content}</{tag}>"


def _lines(text: str) -> str:
    return "<br>".join(escape(line) for line in text.splitlines())


_STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --paper: #f4f5f7; --card: #fff; --line: #dfe3e8; --quiet: #566273;
        --on: #11693d; --off: #6a4b00; --bar: #c98a1b; --track: #eceff2; --red: #c02314; --alarm: #fdecea; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6eaf0; --paper: #0f1318; --card: #181e26; --line: #2d3641; --quiet: #9aa7b6;
          --on: #4cc38a; --off: #e2b04a; --bar: #d79a32; --track: #252d37; --red: #ff7a66; --alarm: #43201c; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.2rem; max-width: 78rem; background: var(--paper); color: var(--ink);
       font: 1rem/1.45 system-ui, sans-serif; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: 0; } h2 { font-size: 1.05rem; margin: 0 0 .5rem; }
p { margin: 0; }
.state { border-left: .4rem solid var(--off); padding: .1rem 0 .1rem .9rem; margin-bottom: .8rem; }
.state h1 { color: var(--off); } .state.on { border-color: var(--on); } .state.on h1 { color: var(--on); }
.state span { font-weight: 600; } .state span + span::before { content: " · "; font-weight: 400; }
.state ul { list-style: none; display: flex; flex-wrap: wrap; gap: .1rem 1.2rem; margin: .3rem 0 0; padding: 0; }
.read, small, .failures span, .failures time, .figures span { color: var(--quiet); }
.read { margin-bottom: 1rem; font-size: .9rem; } small { font-weight: 400; }
.alarm, .notice { padding: .6rem .8rem; margin: .5rem 0; border-left: .4rem solid var(--red);
                  background: var(--alarm); }
.notice { border-color: var(--bar); background: var(--card); overflow-wrap: anywhere; }
.figures { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 13rem), 1fr));
           margin: 1rem 0; }
.figures b { display: block; font-size: 1.6rem; line-height: 1.25; } .figures small { font-size: 60%; }
.figures span { font-size: .9rem; display: block; }
.red, .red b, .red span { color: var(--red); } .red b, td.red { font-weight: 700; }
.figures .red { border-color: var(--red); }
main { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 33rem), 1fr));
       align-items: start; } .wide { grid-column: 1 / -1; }
section, .figures div { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: .8rem;
                        min-width: 0; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-size: .875rem; }
th, td { text-align: left; padding: .25rem .35rem; white-space: nowrap; border-bottom: 1px solid var(--line); }
th { color: var(--quiet); font-weight: 600; vertical-align: bottom; }
th small { white-space: normal; } tfoot td { font-weight: 600; border: 0; }
tbody:last-child tr:last-child td { border: 0; }
.n { text-align: right; font-variant-numeric: tabular-nums; }
.rate { width: 99%; padding-left: .7rem; } .rate div { display: flex; align-items: center; gap: .5rem; }
.rate span { min-width: 4.2em; text-align: right; font-variant-numeric: tabular-nums; }
svg { flex: 1 1 1.5rem; width: 1.5rem; height: .8rem; } .track { fill: var(--track); } .failed { fill: var(--bar); }
.red .failed { fill: var(--red); } .limit { stroke: var(--ink); stroke-width: 2px; vector-effect: non-scaling-stroke; }
.failures { list-style: none; margin: 0; padding: 0; font-size: .9rem; }
.failures li { padding: .4rem 0; border-bottom: 1px solid var(--line); } .failures li:last-child { border: 0; }
.failures strong { font-weight: 600; overflow-wrap: anywhere; } .failures span { display: block; font-size: .85rem; }
@media (max-width: 50rem) { table { font-size: .8rem; } }
@media (max-width: 40rem) {
  body { padding: .6rem; } .more { display: none; } section { padding: .7rem .6rem; }
  .figures { gap: .5rem; } .figures div { padding: .5rem .6rem; } .figures b { font-size: 1.4rem; }
  th, td { padding: .25rem .2rem; } }
@media print {
  @page { margin: 12mm; }
  :root { --ink: #000; --paper: #fff; --card: #fff; --line: #bbb; --quiet: #333; --on: #11693d; --off: #6a4b00;
          --bar: #c98a1b; --track: #eee; --red: #b3180a; --alarm: #fff; font-size: 10px; }
  th, td { padding: .15rem .35rem; }
  body { padding: 0; max-width: none; } .more { display: table-cell; } .alarm { border: 2px solid var(--red); }
  main { display: block; } section { border: 0; padding: 0; margin-top: 1.2rem; } h2, thead { break-after: avoid; }
  .figures { grid-template-columns: repeat(3, 1fr); }
  tfoot { display: table-row-group; break-before: avoid; } /* the total stands once, not at the foot of each sheet */
  tr, li, .figures div, section:not(:has(tr:nth-child(16))) { break-inside: avoid; } }
"""

_PAGE = """<!doctype html>
<html lang="fr">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<meta name="referrer" content="no-referrer">
<title>InTouch : surveillance</title>
<style>{style}</style>
</head>
<body>
<header>{state}<p class="read">{days}. Chiffres lus le {at}, heure d'Abidjan</p></header>
{alarms}
{notices}
<div class="figures">{figures}</div>
<main>
{sections}
{failures}
</main>
</body>
</html>
"""
