"""Monitoring: the views where the guide is wrong, what operators see of them, thresholds."""

from __future__ import annotations

import json
import os
import re
import subprocess
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from montoit_db.database import make_engine
from montoit_db.display import masked, without_personal_data
from montoit_db.monitoring import terminal
from montoit_db.monitoring.metrics import write_metrics
from montoit_db.monitoring.page import page
from montoit_db.monitoring.rates import failure_rates
from montoit_db.monitoring.read import MOST_DAYS, alarms, read
from tests.support.checkout import BIN
from tests.support.commands import on, run, target
from tests.support.logs import TODAY, log
from tests.support.monitoring import busy, plausible
from tests.support.pages import Links

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.database import Database


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
    assert (failure["method"], failure["label"]) == ("wave", "Wave")
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
    for hours in range(6):
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
    latest = [message for hours in range(5) for message in (f"il y a {hours} h", "paiement")]
    assert messages(2) == latest, "five of each log, however many another log has"


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


@pytest.mark.parametrize("width", [40, 80, 200])
def test_it_fits_the_terminal(width: int) -> None:
    million = 1_000_000 if width >= 80 else 1000
    lines = terminal.rendered(busy(30, million=million), width).splitlines()
    assert max(map(len, lines)) <= width
    first = next(line for line in lines if line.startswith("22/11"))
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
    assert "\x1b[" in terminal.rendered(busy(), 80, colours=True)
    assert "\x1b[" not in terminal.rendered(busy(), 80)


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


def test_a_page_that_cannot_be_written(schema_only: Database, tmp_path: Path) -> None:
    result = monitor(schema_only, "--html", str(tmp_path / "nowhere" / "page.html"))
    assert result.returncode == 2
    assert "écriture impossible" in result.stderr
    assert os.listdir(tmp_path) == []  # noqa: PTH208


def test_alarms_name_the_number_and_the_threshold() -> None:
    (alarm,) = alarms(busy(), 5, 10)
    assert alarm.message == "Seuil dépassé : 1 200 000 000 FCFA sur 30 jours, plus que 10 FCFA.".replace(
        "1 200 000 000", "1\u202f200\u202f000\u202f000"
    )


def test_an_operator_that_fails_alone_is_an_alarm() -> None:
    """MTN fails; the three others hide it in the rate of all payments."""
    (alarm,) = alarms(plausible(), 20, None)
    assert (alarm.subject, alarm.method) == ("failure_rate", "mtn_money")
    assert "41,86\N{NO-BREAK SPACE}% des paiements MTN Money échouent" in alarm.message
    assert alarms(plausible(), 20, None, min_payments=43) == [alarm]
    assert alarms(plausible(), 20, None, min_payments=44) == []


def test_payments_by_operator_cancelled_and_under_way(schema_only: Database) -> None:
    log(schema_only, "payment_logs", "failed", number=3, payment_method="mtn_money")
    log(schema_only, "payment_logs", "cancelled", payment_method="mtn_money")
    log(schema_only, "payment_logs", "success", f"{TODAY} - interval '2 days'", 2, payment_method="orange_money")
    log(schema_only, "payment_logs", "pending", provider="other")
    result = monitor(schema_only, "--json")
    document = json.loads(result.stdout)
    operators = {operator["key"]: operator for operator in document["operators"]}
    assert list(operators) == ["orange_money", "mtn_money", "moov_money", "wave"]
    mtn = operators["mtn_money"]
    assert (mtn["total"], mtn["failed"], mtn["cancelled"], mtn["amount"]) == (4, 3, 1, 4000)
    assert mtn["failure_rate"] == {"total": 4, "failed": 3, "percent": 75}
    assert operators["orange_money"]["failure_rate"] == {"total": 0, "failed": 0, "percent": None}
    assert (operators["orange_money"]["succeeded"], operators["wave"]["total"]) == (2, 0)
    assert document["services"][0]["days"][0]["cancelled"] == 1
    shown = monitor(schema_only, COLUMNS="120").stdout
    assert re.search(r"^MTN Money +4 +3 +1 +75,0\s% +75,0\s% \(3/4\) +4\s000$", shown, re.MULTILINE)
    today = next(line for line in shown.splitlines() if re.match(r"\d\d/\d\d +4 ", line))
    assert today.count("▓") > 2 * today.count("▒") > 0
    assert "░" not in today, "cancelled is not under way"


def test_rows_of_the_future_count_nowhere_and_are_named(schema_only: Database) -> None:
    log(schema_only, "payment_logs", "failed", "now() + interval '2 hours'", 2)
    log(schema_only, "payment_logs", "success", "now() + interval '400 days'")
    log(schema_only, "sms_logs", "sent", "now() + interval '2 hours'")
    result = monitor(schema_only, "--json", "--max-failure-rate", "0", "--max-cost", "0")
    assert result.returncode == 0, result.stderr
    document = json.loads(result.stdout)
    assert {day["total"] for service in document["services"] for day in service["days"]} == {0}
    assert [service["future"] for service in document["services"]] == [3, 1, 0]
    assert (document["failures"], document["failure_rate"]["total"]) == ([], 0)
    assert {cost["fcfa"] for cost in document["costs"]} == {0}
    assert "payment_logs : 3 de ses lignes sont datées dans le futur" in " ".join(monitor(schema_only).stdout.split())


def test_json_has_time_zones_and_says_whether_intouch_is_on(activated: Database) -> None:
    activated.execute(f"alter database {activated.name} set timezone = 'Asia/Tokyo'")
    log(activated, "sms_logs", "failed", status_message="refusé")
    document = json.loads(monitor(activated, "--json").stdout)
    times = [document["at"], document["intouch"]["since"], document["failures"][0]["at"]]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+\+00:00", time) for time in times), times
    assert document["time_zone"] == "Africa/Abidjan"
    intouch = document["intouch"]
    assert (intouch["operational"], intouch["environment"], len(intouch["services"])) == (True, "production", 7)
    assert [service["key"] for service in document["services"]] == ["payment", "sms", "whatsapp"]
    assert [cost["key"] for cost in document["costs"]] == ["payment", "sms"]
    activated.execute("update feature_flags set description = 'x'")
    assert json.loads(monitor(activated, "--json").stdout)["intouch"]["since"] == intouch["since"]
    activated.execute("update feature_flags set rollout_percentage = 10 where key = 'wave_payment'")
    assert json.loads(monitor(activated, "--json").stdout)["intouch"]["since"] > intouch["since"]


def test_each_operators_rate_adds_up_to_the_views(schema_only: Database) -> None:
    log(schema_only, "payment_logs", "failed", number=2, payment_method="mtn_money")
    log(schema_only, "payment_logs", "success", "now() - interval '23 hours'", 5)
    log(schema_only, "payment_logs", "failed", "now() - interval '25 hours'", 5)
    with make_engine(schema_only.url).connect() as connection:
        rates = failure_rates(connection)
    assert (rates["mtn_money"].failed, rates["wave"].failed) == (2, 0)
    view = schema_only.rows("select total_payments, failed_payments, failure_rate from intouch_failure_rate")[0]
    assert (rates[None].total, rates[None].failed, round(Decimal(rates[None].percent or 0), 2)) == view


def test_a_role_that_may_read_the_logs_alone(schema_only: Database, tmp_path: Path) -> None:
    role = f"watcher_{schema_only.name}"
    schema_only.execute(
        f"create role {role} bypassrls;"
        f" grant select on payment_logs, sms_logs, whatsapp_logs, intouch_costs, intouch_prices to {role};"
        f" grant usage on schema montoit to {role}; grant execute on all functions in schema montoit to {role}"
    )
    log(schema_only, "payment_logs", "failed")
    try:
        with make_engine(schema_only.url).connect() as connection:
            connection.exec_driver_sql(f"set role {role}")
            figures = read(connection)
    finally:
        schema_only.execute(f"drop owned by {role}; drop role {role}")
    assert (figures.intouch, figures.failure_rate.failed) == (None, 1)
    assert "ne peut pas lire" in terminal.rendered(figures, 80)
    assert "ne peut pas lire" in page(figures)
    write_metrics(figures, tmp_path / "montoit.prom")
    assert "montoit_intouch_operational" not in (tmp_path / "montoit.prom").read_text()
