"""The page of `monitor --html`: what it says first, what is red, in a browser and on paper."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from dataclasses import replace
from hashlib import sha256
from html import unescape
from typing import TYPE_CHECKING, Any

import pytest

from montoit_db.monitoring.page import page
from montoit_db.monitoring.read import InTouch, alarms
from tests.support.checkout import ROOT
from tests.support.commands import on, run
from tests.support.logs import TODAY, log
from tests.support.monitoring import ON, busy, empty, plausible
from tests.support.pages import Links, chromium

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.database import Database


def body(text: str) -> str:
    """Return what is read, without tags."""
    words = unescape(re.sub(r"<[^>]+>", " ", text.partition("<body>")[2]))
    return re.sub(r"\s+", " ", words.replace("\N{NO-BREAK SPACE}", " ").replace("\N{NARROW NO-BREAK SPACE}", " "))


def test_the_page_stands_alone() -> None:
    alarm = alarms(busy(), None, 1)[0]._replace(message="Seuil dépassé : <b>")
    text = page(busy(message="<script>alert(1)</script>"), [alarm])
    links = Links()
    links.feed(text)
    assert links.loaded == []
    assert "script" not in links.tags
    assert "b>" not in text.split('role="alert">')[1].partition("</p>")[0]
    assert not re.search(r"url\(|@import", text)
    (style,) = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    allowed = b64encode(sha256(style.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'sha256-{allowed}';" in text, "a policy that the page's own style passes"


def shared(*shares: int | None) -> InTouch:
    """Return InTouch with a share for each service, None: switched off."""
    services = [
        replace(service, is_enabled=share is not None, rollout_percentage=share or 0)
        for service, share in zip(ON.services, shares, strict=True)
    ]
    return replace(ON, services=tuple(services), operational=None not in shares)


@pytest.mark.parametrize(
    ("intouch", "said"),
    [
        (ON, "InTouch est activé production 100 % des utilisateurs dernier changement le 20/11/2026 à 14:02 7 jours"),
        (replace(ON, environment="sandbox", since=None), "InTouch est activé sandbox 100 % des utilisateurs 7 jours"),
        (shared(*[None] * 7), "InTouch est désactivé dernier changement le 20/11/2026 à 14:02 7 jours"),
        (shared(*[0] * 7), "InTouch est en pause production 0 % des utilisateurs"),
        (shared(10, 10, 50, 10, 10, 10, 10), "InTouch est activé production de 10 à 50 % des utilisateurs"),
        (shared(10, 10, 50, 10, 10, 10, 10), "MTN Money 50 %"),
        (shared(100, None, *[100] * 5), "InTouch est activé en partie production 6 services sur 7 100 %"),
        (shared(100, None, *[100] * 5), "Orange Money désactivé"),
    ],
)
def test_it_says_first_whether_intouch_is_on(intouch: InTouch, said: str) -> None:
    text = body(page(replace(plausible(), intouch=intouch)))
    assert said in text
    assert text.index("InTouch est") == 1


def red(text: str) -> list[str]:
    return [body(f"<body>{cell}").strip() for cell in re.findall(r'class="?[^">]*\bred"?>(.*?)</(?:td|div)>', text)]


def test_what_passes_a_threshold_is_red_and_nothing_else() -> None:
    calm = plausible()
    assert red(page(calm, alarms(calm, 60, 10**9), 60)) == []
    seen = red(page(calm, alarms(calm, 20, 10), 20))
    assert [text.split(" %")[0] for text in seen] == ["5 611 595 FCFA de coûts estimés, sans WhatsApp 30 jours", "41,9"]
    assert red(page(calm, alarms(calm, 20, None, 44), 20, 44)) == [], "43 payments by MTN are too few"


def test_messages_are_cut_and_costs_added_up() -> None:
    text = body(page(plausible()))
    assert "Délai dépassé" in text
    assert text.count("en attendant l'opérateur") < 8
    assert "Total 5 611 595" in text


def test_a_database_without_traffic_says_so_once() -> None:
    for days, span in ((7, "7 jours"), (1, "aujourd'hui")):
        text = page(empty(days))
        assert f"Rien, {span} : Paiements, SMS, WhatsApp." in body(text)
        assert "<table" not in text
        assert "<section" not in text


def test_a_part_of_a_month_or_week_says_so() -> None:
    year, quarter = (body(page(plausible(days))) for days in (366, 90))
    assert "11/2026 (22 j)" in year
    assert "11/2025 (9 j)" in year
    assert "Semaine du" in quarter
    assert quarter.count(" j)") == 3, "the first week, in each of three tables; the last one ends on a Sunday"


def test_the_threshold_is_told_where_it_is_drawn() -> None:
    assert body(page(plausible(), (), 20.5)).count("barre de 0 à 50 %, trait à 20,5 %") == 2, (
        "of payments, not of messages"
    )
    assert "trait" not in body(page(plausible()))


def test_one_day_is_one_table_of_services() -> None:
    text = body(page(plausible(1)))
    assert "Aujourd'hui Service Nombre" in text
    assert text.count("Total") == 1, "that of the costs: a day has no other total"


@pytest.mark.parametrize(("days", "header", "lines"), [(31, "Jour", 31), (90, "Semaine du", 13), (366, "Mois", 13)])
def test_a_long_period_has_few_lines(days: int, header: str, lines: int) -> None:
    some = plausible(days)
    sms = page(some).split("<h2>SMS</h2>")[1].partition("</section>")[0]
    assert f"<th>{header}</th>" in sms
    assert sms.count("<tr>") == lines + 2
    total = sum(day.total for day in some.services[1].days)
    assert f'<tfoot><tr><td>Total</td><td class="n">{total:,}'.replace(",", "\N{NARROW NO-BREAK SPACE}") in sms


def test_time_runs_one_way() -> None:
    """The newest first, in tables as in lists."""
    text = page(plausible(31)).partition("<main>")[2]
    days = re.findall(r"<td>(\d\d)/(\d\d)</td>", text)
    assert days[:31] == days[31:62] == days[62:]
    assert days[0] == ("22", "11")
    assert days[:22] == sorted(days[:22], reverse=True)
    for listed in re.findall(r"<ol.*?</ol>", text):
        times = re.findall(r"<time>\d\d/\d\d (\S+)</time>", listed)
        assert times == sorted(times, reverse=True)


PROBE = """
<meta charset=utf-8>
<script>
const look = (frame) => {
  const page = frame.contentDocument, style = (element) => frame.contentWindow.getComputedStyle(element);
  const all = (selector) => [...page.querySelectorAll(selector)];
  const edge = page.documentElement.clientWidth + 1;
  return {
    title: page.title, lang: page.documentElement.lang, tables: all("table").length,
    bars: all("tbody rect.failed").filter((bar) => bar.width.baseVal.value > 1).length,
    overflow: page.documentElement.scrollWidth - page.documentElement.clientWidth,
    cut: all(".scroll, .figures div, li").filter((box) => box.scrollWidth > box.clientWidth + 1).length,
    outside: all("td, b, strong").filter((box) => box.getBoundingClientRect().right > edge).length,
    columns: new Set(all("section").map((box) => box.getBoundingClientRect().left)).size,
    smallest: Math.min(...all("td").map((cell) => parseFloat(style(cell).fontSize))),
    paper: style(page.body).backgroundColor, ink: style(page.body).color,
  };
};
const show = ([text, width]) => new Promise((done) => {
  const frame = document.body.appendChild(document.createElement("iframe"));
  frame.style = `width: ${width}px; height: 900px; border: 0`;
  frame.onload = () => done(look(frame));
  frame.srcdoc = text;
});
addEventListener("load", async () => {
  document.body.dataset.seen = JSON.stringify(await Promise.all(PAGES.map(show)));
});
</script>
<body></body>
"""


def seen(pages: list[tuple[str, int]], directory: Path, scheme: str = "light") -> list[dict[str, Any]]:
    """Return what a browser makes of each page at a width."""
    probe = directory / "probe.html"
    probe.write_text(PROBE.replace("PAGES", json.dumps(pages).replace("</", "<\\/")), encoding="utf-8")
    dom = chromium(
        f"--user-data-dir={directory}/profile", "--window-size=1400,1000", "--virtual-time-budget=5000",
        f"--blink-settings=preferredColorScheme={0 if scheme == 'dark' else 1}", "--dump-dom", probe.as_uri(),
    ).stdout  # fmt: skip
    found: list[dict[str, Any]] = json.loads(re.search(r'data-seen="([^"]*)"', dom)[1].replace("&quot;", '"'))  # type: ignore[index]
    return found


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_in_a_browser(schema_only: Database, tmp_path: Path, scheme: str) -> None:
    for number in range(7):
        log(schema_only, "payment_logs", "success", f"{TODAY} - interval '{number} days'", number + 1, amount=1_000_000)
    log(schema_only, "payment_logs", "failed", status_message="Solde insuffisant du payeur")
    log(schema_only, "sms_logs", "sent")
    log(schema_only, "whatsapp_logs", "sent")
    result = run("montoit-db", "monitor", "--html", str(tmp_path / "page.html"), environment=on(schema_only))
    assert result.returncode == 0, result.stderr
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    for found, columns in zip(seen([(text, 390), (text, 1280)], tmp_path, scheme), (1, 2), strict=True):
        assert (found["title"], found["lang"], found["tables"]) == ("InTouch : surveillance", "fr", 5)
        assert found["bars"] == 2, "one failure: of its day, and of its operator"
        assert (found["overflow"], found["cut"], found["outside"]) == (0, 0, 0), "nothing to scroll sideways"
        assert found["columns"] == columns
        assert found["smallest"] >= 11
        paper, ink = (sum(map(int, re.findall(r"\d+", found[name])[:3])) for name in ("paper", "ink"))
        assert (paper > ink) == (scheme == "light")


def test_long_numbers_in_a_browser(tmp_path: Path) -> None:
    widths = (390, 768, 1280)
    made = {"busy": busy(30, "x" * 400), "week": plausible(), "year": plausible(366)}
    pages = [(page(monitoring, alarms(monitoring, 1, 1), 1), width) for monitoring in made.values() for width in widths]
    names = [(name, width) for name in made for width in widths]
    for name, found in zip(names, seen(pages, tmp_path), strict=True):
        assert (name, found["overflow"], found["cut"], found["outside"]) == (name, 0, 0, 0)


@pytest.mark.parametrize(("days", "most"), [(7, 2), (30, 3), (366, 2)])
def test_a_browser_prints_few_sheets(tmp_path: Path, days: int, most: int) -> None:
    (tmp_path / "page.html").write_text(page(plausible(days)), encoding="utf-8")
    chromium(
        f"--user-data-dir={tmp_path}/profile", f"--print-to-pdf={tmp_path}/page.pdf", "--no-pdf-header-footer",
        (tmp_path / "page.html").as_uri(),
    )  # fmt: skip
    assert len(re.findall(rb"/Type\s*/Page\b", (tmp_path / "page.pdf").read_bytes())) <= most


def test_readmes_picture_in_a_browser(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """`--write-picture` makes it anew: the top of the page, on the day that MTN fails."""
    picture = ROOT / "docs" / "monitor.png"
    if request.config.getoption("--write-picture"):
        monitoring = plausible()
        (tmp_path / "page.html").write_text(page(monitoring, alarms(monitoring, 20, None, 30), 20), encoding="utf-8")
        chromium(
            f"--user-data-dir={tmp_path}/profile", "--window-size=900,600", "--hide-scrollbars",
            f"--screenshot={picture}", "--blink-settings=preferredColorScheme=1", (tmp_path / "page.html").as_uri(),
        )  # fmt: skip
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size <= 80_000
    assert "docs/monitor.png" in (ROOT / "README.md").read_text(encoding="utf-8")
