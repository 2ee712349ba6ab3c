"""Monitoring: the views where the guide is wrong, what operators see of them, thresholds."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from datetime import datetime
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from montoit_db.database import make_engine
from montoit_db.display import masked, without_personal_data
from montoit_db.monitoring import terminal
from montoit_db.monitoring.page import page
from montoit_db.monitoring.read import (
    MOST_DAYS,
    Cost,
    Day,
    Failure,
    FailureRate,
    Monitoring,
    Service,
    alarms,
    read,
)
from tests.support.checkout import BIN
from tests.support.commands import on, run, target

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.database import Database

TODAY = "date_trunc('day', now() at time zone 'Africa/Abidjan') at time zone 'Africa/Abidjan'"


def log(database: Database, table: str, status: str, at: str = "now()", number: int = 1, **more: object) -> None:
    """Write `number` lines of one log."""
    columns = {"payment_logs": {"amount": 1000, "payment_method": "wave"}}.get(
        table, {"phone_number": "+2250701020304", "message": "Bonjour"}
    ) | more
    values = ", ".join("null" if value is None else f"'{value}'" for value in columns.values())
    database.execute(
        f"insert into {table} (partner_transaction_id, status, created_at, {', '.join(columns)})"
        f" select gen_random_uuid(), '{status}', {at}, {values} from generate_series(1, {number})"
    )


def monitor(database: Database, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    result = run("montoit-db", "monitor", *arguments, environment={**on(database), **environment})
    assert "Traceback" not in result.stderr
    return result


def test_days_are_abidjans(schema_only: Database) -> None:
    """The guide's DATE(created_at) is the session's day, and its seven days begin in the middle of one."""
    log(schema_only, "sms_logs", "sent", TODAY)
    log(schema_only, "sms_logs", "sent", f"{TODAY} - interval '1 second'", 2)
    log(schema_only, "sms_logs", "sent", f"{TODAY} - interval '6 days'", 3)
    log(schema_only, "sms_logs", "sent", f"{TODAY} - interval '6 days 1 second'", 4)
    for zone in ("UTC", "Asia/Tokyo", "America/Los_Angeles"):
        schema_only.execute(f"alter database {schema_only.name} set timezone = '{zone}'")
        days = schema_only.rows(
            "select total_sms, (now() at time zone 'Africa/Abidjan')::date - date from intouch_sms_daily"
        )
        assert days == [(1, 0), (2, 1), (0, 2), (0, 3), (0, 4), (0, 5), (3, 6)]


@pytest.mark.parametrize(
    ("table", "view", "succeeded"),
    [
        ("payment_logs", "intouch_payments_daily", {"success"}),
        ("sms_logs", "intouch_sms_daily", {"sent", "delivered"}),
        ("whatsapp_logs", "intouch_whatsapp_daily", {"sent", "delivered", "read"}),
    ],
)
def test_each_status_counts_once(schema_only: Database, table: str, view: str, succeeded: set[str]) -> None:
    """The guide counts as sent what has status sent, and forgets what arrived since."""
    check = schema_only.value(
        f"select pg_get_constraintdef(oid) from pg_constraint where conname = '{table}_status_check'"
    )
    statuses = re.findall(r"'(\w+)'", check)
    assert len(statuses) >= 4
    for status in statuses:
        log(schema_only, table, status)
    schema_only.execute(f"update {table} set provider = 'other' where status = 'pending'")
    columns = "total_payments, successful_payments, failed_payments" if table == "payment_logs" else "*"
    row = schema_only.rows(f"select {columns} from {view}")[0][-3:]
    assert row == (len(statuses) - 1, len(succeeded), 1)


def test_amounts_and_costs(schema_only: Database) -> None:
    log(schema_only, "payment_logs", "success", amount=150_050)
    log(schema_only, "payment_logs", "failed", amount=999)
    log(schema_only, "payment_logs", "success", "now() - interval '31 days'", amount=10_000)
    log(schema_only, "sms_logs", "delivered", number=3)
    log(schema_only, "sms_logs", "failed", number=5)
    assert schema_only.rows("select total_amount from intouch_payments_daily")[:2] == [(151_049,), (0,)]
    assert schema_only.rows("select service, transactions, cost_fcfa from intouch_costs order by 1") == [
        ("Paiements", 1, Decimal("1500.5")),
        ("SMS", 3, Decimal(75)),
    ]


def test_prices_stand_in_one_place(schema_only: Database) -> None:
    log(schema_only, "payment_logs", "success", amount=1000)
    log(schema_only, "sms_logs", "sent")
    schema_only.execute(
        "create or replace view intouch_prices with (security_invoker = true) as"
        " select * from (values ('payment', 2.0, null), ('sms', null, 30)) as price (service, percent, fcfa)"
    )
    assert schema_only.rows("select cost_fcfa from intouch_costs order by service") == [(Decimal(20),), (Decimal(30),)]


def test_no_traffic_is_unknown_not_zero(schema_only: Database) -> None:
    assert schema_only.rows("select * from intouch_failure_rate") == [(0, 0, None)]
    log(schema_only, "payment_logs", "failed", "now() - interval '25 hours'")
    assert schema_only.value("select failure_rate from intouch_failure_rate") is None
    log(schema_only, "payment_logs", "failed")
    log(schema_only, "payment_logs", "success", number=2)
    assert schema_only.value("select failure_rate from intouch_failure_rate") == Decimal("33.33")


def test_an_empty_database_is_shown_as_such(schema_only: Database) -> None:
    result = monitor(schema_only, "--max-failure-rate", "0", "--max-cost", "0")
    assert result.returncode == 0, result.stderr
    assert "Échec des paiements, 24 heures : inconnu (0 sur 0)" in result.stdout.replace("\n", " ")
    assert "Aucun échec sur la période." in result.stdout


def test_json_is_what_the_views_say(schema_only: Database) -> None:
    log(schema_only, "payment_logs", "failed", status_message="Solde du 0701020304", phone_number="+2250701020304")
    log(schema_only, "sms_logs", "sent", f"{TODAY} - interval '20 days'", 2)
    document = json.loads(monitor(schema_only, "--json", "--days", "30").stdout)
    payments, sms, _ = document["services"]
    assert [len(service["days"]) for service in document["services"]] == [30, 30, 30]
    assert payments["days"][0]["failed"] == 1
    assert [day["total"] for day in sms["days"] if day["total"]] == [2]
    assert [cost["fcfa"] for cost in document["costs"]] == [0, 50]
    assert document["failure_rate"] == {"total": 1, "failed": 1, "percent": 100}
    (failure,) = document["failures"]
    assert (failure["phone_number"], failure["message"]) == ("+22507••••••04", "Solde du 07••••••04")
    assert document["alarms"] == []


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (
            ("--max-failure-rate", "24.9"),
            1,
            "Seuil dépassé : 25,00 % des paiements échouent, plus que 24,90 % (1 sur 4 en 24 heures).",
        ),
        (("--max-failure-rate", "25"), 0, ""),
        (("--max-failure-rate", "24,99"), 1, "24,99"),
        (("--max-cost", "54"), 1, "Seuil dépassé : 55 FCFA sur 30 jours, plus que 54 FCFA."),
        (("--max-cost", "55"), 0, ""),
        (("--max-cost", "1", "--max-failure-rate", "1", "--json"), 1, "Seuil dépassé"),
    ],
)
def test_thresholds(schema_only: Database, arguments: tuple[str, ...], code: int, line: str) -> None:
    log(schema_only, "payment_logs", "success", number=3)
    log(schema_only, "payment_logs", "failed")
    log(schema_only, "sms_logs", "sent")
    result = monitor(schema_only, *arguments)
    assert result.returncode == code
    assert line in result.stderr.replace("\N{NO-BREAK SPACE}", " ")
    assert result.stderr.startswith(target(schema_only))
    assert bool(result.stderr.removeprefix(target(schema_only))) == bool(code)


@pytest.mark.parametrize(
    "argument",
    ["--days=0", "--days=-1", f"--days={MOST_DAYS + 1}", "--days=1.5", "--max-failure-rate=nan",
     "--max-failure-rate=-1", "--max-failure-rate=101", "--max-cost=-1", "--max-cost=10.5", "--max-cost="],
)  # fmt: skip
def test_numbers_out_of_range(schema_only: Database, argument: str) -> None:
    result = monitor(schema_only, argument)
    assert result.returncode == 2
    assert result.stderr.startswith(argument.partition("=")[0] + " : doit être un nombre ")


def test_before_the_views(database_at: Callable[[str], Database]) -> None:
    result = monitor(database_at("0006"))
    assert result.returncode == 1
    assert "alembic upgrade schema@head" in result.stderr


def test_a_role_that_may_not_see_every_row_gets_an_error_not_fewer_rows(schema_only: Database) -> None:
    log(schema_only, "sms_logs", "sent")
    with make_engine(schema_only.url).connect() as connection:
        connection.exec_driver_sql("set role authenticated")
        with pytest.raises(Exception, match="row-level security"):
            read(connection)


SEPARATORS = ["", " ", ".", "-", "/", "  ", "\N{NO-BREAK SPACE}", "\N{NARROW NO-BREAK SPACE}", ") ("]


@given(
    st.sampled_from(["", "+225", "225", "00225"]),
    st.sampled_from(["07", "05", "01"]),
    st.text("0123456789", min_size=8, max_size=8),
    st.sampled_from(SEPARATORS),
)
def test_no_phone_number_is_shown(country: str, operator: str, rest: str, separator: str) -> None:
    pairs = [country, operator, *re.findall("..", rest)]
    number = separator.join(pair for pair in pairs if pair)
    for shown in (masked(number), without_personal_data(f"Compte {number}, refusé")):
        assert "••••••" + rest[-2:] in shown
        assert rest[:6] not in re.sub(r"\W", "", shown)
        assert not re.search(r"\d\D{0,3}\d\D{0,3}\d\D{0,3}\d\D{0,3}\d\D{0,3}\d", shown.replace(country, ""))


@pytest.mark.parametrize("text", ["Erreur 4021", "Code 402, 1000000 FCFA", "", "MTT_PAY_12", "22/11/2026 19:30"])
def test_other_numbers_stay(text: str) -> None:
    assert without_personal_data(text) == text


def test_the_latest_failures_are_intouchs_of_the_days_shown(schema_only: Database) -> None:
    for hours in range(4):
        log(
            schema_only,
            "sms_logs",
            "failed",
            f"{TODAY} - interval '{hours} hours 1 second'",
            status_message=f"il y a {hours} h",
        )
        log(
            schema_only,
            "payment_logs",
            "failed",
            f"{TODAY} - interval '{hours} hours 2 seconds'",
            status_message="paiement",
        )
    log(schema_only, "sms_logs", "failed", "now()", status_message="autre", provider="other")
    log(schema_only, "sms_logs", "failed", f"{TODAY} - interval '25 hours'", status_message="avant")

    def messages(days: int) -> list[str]:
        return [
            failure["message"]
            for failure in json.loads(monitor(schema_only, "--json", f"--days={days}").stdout)["failures"]
        ]

    assert messages(1) == []
    assert messages(2) == ["il y a 0 h", "paiement", "il y a 1 h", "paiement", "il y a 2 h"]


def test_other_providers_cost_and_fail_elsewhere(schema_only: Database) -> None:
    log(schema_only, "payment_logs", "success", provider="other")
    log(schema_only, "payment_logs", "failed", provider="other")
    log(schema_only, "sms_logs", "sent", provider="other")
    assert schema_only.rows("select transactions, cost_fcfa from intouch_costs") == [(0, 0), (0, 0)]
    assert schema_only.rows("select * from intouch_failure_rate") == [(0, 0, None)]


NASTY = "\x1b[31mRED\x1b]0;title\x07\nline\u202e [bold]x[/bold] [/b] <script>alert(1)</script>"


def test_nothing_that_the_logs_say_is_obeyed(schema_only: Database, tmp_path: Path) -> None:
    with make_engine(schema_only.url).begin() as connection:
        connection.exec_driver_sql(
            "insert into sms_logs (partner_transaction_id, status, phone_number, message, status_message)"
            " values ('1', 'failed', %(nasty)s, 'm', %(nasty)s), ('2', 'failed', '[/b] <b>07', 'm', null)",
            {"nasty": NASTY},
        )
    result = monitor(schema_only, "--html", str(tmp_path / "page.html"), COLUMNS="200")
    assert result.returncode == 0, result.stderr
    assert "\x1b" not in result.stdout
    assert "\x07" not in result.stdout
    assert "[bold]x[/bold] [/b] <script>alert(1)</script>" in result.stdout
    links = Links()
    links.feed((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert not {"script", "b"} & set(links.tags[links.tags.index("main") :])


def monitoring(days: int = 7, message: str = "Solde insuffisant", million: int = 1_000_000) -> Monitoring:
    """A busy one, with names and numbers as long as they get."""
    some = tuple(
        Day(datetime(2026, 11, 28 - number % 28).date(), 4 * million, 3 * million, million // 20, 4000 * million)  # noqa: DTZ001
        for number in range(days)
    )
    return Monitoring(
        at=datetime(2026, 11, 22, 9, 30),  # noqa: DTZ001 -- Abidjan's
        services=(Service("Paiements", some), Service("SMS", some), Service("WhatsApp", ())),
        costs=(Cost("Paiements", 120 * million, Decimal(1200 * million), "Commission"),),
        failure_rate=FailureRate(0, 0, None),
        failures=(Failure(datetime(2026, 11, 22, 9, 0), "WhatsApp", "+22507••••••04", 500, message),),  # noqa: DTZ001
    )


@pytest.mark.parametrize("width", [40, 80, 200])
def test_it_fits_the_terminal(width: int) -> None:
    million = 1_000_000 if width >= 80 else 1000
    lines = terminal.rendered(monitoring(30, million=million), width).splitlines()
    assert max(map(len, lines)) <= width
    first = next(line for line in lines if line.startswith("28/11"))
    assert f"{4000 * million:,}".replace(",", "\N{NARROW NO-BREAK SPACE}") in first
    if width >= 80:
        assert first.count("█") >= width // 8, "there is room for a bar"
    assert "…" not in "".join(lines), "nothing is cut"


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_terminal_without_blocks_gets_plain_signs(schema_only: Database, encoding: str) -> None:
    log(schema_only, "sms_logs", "sent", number=3000)
    log(schema_only, "sms_logs", "failed")
    log(schema_only, "payment_logs", "failed", phone_number="0701020304")
    result = monitor(schema_only, "--max-cost", "1", PYTHONUTF8="0", PYTHONIOENCODING=encoding, COLUMNS="80")
    assert result.returncode == 1
    assert re.search(r"\d\d/\d\d +3 001 +3 000 +1 +0,0 % +#+x", result.stdout)
    assert "07******04" in result.stdout
    assert "?" not in result.stdout + result.stderr


def test_colours_are_for_terminals() -> None:
    assert "\x1b[" in terminal.rendered(monitoring(), 80, colours=True)
    assert "\x1b[" not in terminal.rendered(monitoring(), 80)


def test_a_reader_who_has_seen_enough_is_no_alarm(schema_only: Database) -> None:
    log(schema_only, "sms_logs", "sent", number=9)
    command = f"{BIN}/montoit-db monitor"
    for shell, code in (
        (f"{command} | true", 0),
        (f"{command} --max-cost 1 2>alarms | true", 1),
        (f"{command} > /dev/full", 0),
        (f"{command} >&-", 0),
    ):
        result = subprocess.run(
            ["/bin/bash", "-c", f"{shell}; exit ${{PIPESTATUS[0]}}"], env={**os.environ, **on(schema_only)},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        told = "" if "2>" in shell else target(schema_only)
        assert (result.returncode, result.stderr) == (code, told), shell
    assert "Seuil dépassé" in Path("alarms").read_text(encoding="utf-8")


class Links(HTMLParser):
    """Collects what a page would load, and its tags."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loaded += [str(value) for name, value in attrs if name in {"src", "href", "srcset", "data"}]


def test_the_page_stands_alone() -> None:
    text = page(monitoring(message="<script>alert(1)</script>"), ["Seuil dépassé : <b>"])
    links = Links()
    links.feed(text)
    assert links.loaded == []
    assert "script" not in links.tags
    assert "b>" not in text.split('role="alert">')[1].partition("</p>")[0]
    assert links.tags.count("svg") == 3
    assert not re.search(r"url\(|@import", text)


def chromium(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    return subprocess.run(
        [program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync", *arguments],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip


PROBE = """
<iframe id="frame" style="width: {width}px; height: 900px"></iframe>
<script>
const frame = document.getElementById("frame");
frame.onload = () => {{
  const page = frame.contentDocument, style = (element) => frame.contentWindow.getComputedStyle(element);
  document.body.dataset.seen = JSON.stringify({{
    title: page.title, lang: page.documentElement.lang, tables: page.querySelectorAll("table").length,
    bars: [...page.querySelectorAll("svg rect.rect")].filter((bar) => bar.getBoundingClientRect().height > 1).length,
    overflow: page.documentElement.scrollWidth - page.documentElement.clientWidth,
    cut: [...page.querySelectorAll(".scroll")].filter((box) => box.scrollWidth > box.clientWidth + 1).length,
    columns: new Set([...page.querySelectorAll("section")].map((box) => box.getBoundingClientRect().left)).size,
    smallest: Math.min(...[...page.querySelectorAll("td")].map((cell) => parseFloat(style(cell).fontSize))),
    paper: style(page.body).backgroundColor,
    ink: style(page.body).color,
  }});
}};
frame.srcdoc = {page};
</script>
"""


@pytest.mark.parametrize(("width", "columns"), [(375, 1), (1100, 2)])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_in_a_browser(schema_only: Database, tmp_path: Path, width: int, columns: int, scheme: str) -> None:
    for number in range(7):
        log(schema_only, "payment_logs", "success", f"{TODAY} - interval '{number} days'", number + 1, amount=1_000_000)
    log(schema_only, "payment_logs", "failed", status_message="Solde insuffisant du payeur")
    result = monitor(schema_only, "--html", str(tmp_path / "page.html"))
    assert result.returncode == 0, result.stderr
    text = json.dumps((tmp_path / "page.html").read_text(encoding="utf-8")).replace("</", "<\\/")
    (tmp_path / "probe.html").write_text(
        f"<meta charset=utf-8>{PROBE.format(width=width, page=text)}", encoding="utf-8"
    )
    dom = chromium(
        f"--user-data-dir={tmp_path}/profile", f"--window-size={width + 100},1000", "--virtual-time-budget=5000",
        f"--blink-settings=preferredColorScheme={0 if scheme == 'dark' else 1}", "--dump-dom",
        (tmp_path / "probe.html").as_uri(),
    ).stdout  # fmt: skip
    seen: dict[str, Any] = json.loads(re.search(r'data-seen="([^"]*)"', dom)[1].replace("&quot;", '"'))  # type: ignore[index]
    assert (seen["title"], seen["lang"], seen["tables"]) == ("InTouch : surveillance", "fr", 5)
    assert seen["bars"] == 8, "seven days of successes, one failure"
    assert (seen["overflow"], seen["cut"]) == (0, 0), "nothing to scroll sideways"
    assert seen["columns"] == columns
    assert seen["smallest"] >= 11
    light = sum(map(int, re.findall(r"\d+", seen["paper"])[:3])) > sum(map(int, re.findall(r"\d+", seen["ink"])[:3]))
    assert light == (scheme == "light")


def test_a_page_that_cannot_be_written(schema_only: Database, tmp_path: Path) -> None:
    result = monitor(schema_only, "--html", str(tmp_path / "nowhere" / "page.html"))
    assert result.returncode == 2
    assert "écriture impossible" in result.stderr
    assert os.listdir(tmp_path) == []  # noqa: PTH208


def test_alarms_name_the_number_and_the_threshold() -> None:
    assert alarms(monitoring(), 5, 10) == ["Seuil dépassé : 1 200 000 000 FCFA sur 30 jours, plus que 10 FCFA."
                                           .replace("1 200 000 000", "1\u202f200\u202f000\u202f000")]  # fmt: skip
