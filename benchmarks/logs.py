"""The logs at millions of rows: views compared with the guide's queries, sizes, inserts, and all of `monitor`.

    python -m benchmarks.logs [--rows 10000000] [--runs 15] [--seconds 5] [--binaries /usr/lib/postgresql/15/bin]

Each log gets a year's rows, evenly spread ("ours"). "theirs" is a table in the platform's shape with the same rows: the
columns in the platform's order, the 8 indexes of its sms_logs, and at the end the column `provider`, which the platform
lacks and the guide's queries ask for. Both are loaded in the order of time, vacuumed, and asked in turns; printed are
the median of the pairs' ratios and the medians. `flat` compares a 7-day view over all rows with the same view over the
newest tenth of them. Inserts are pgbench's: four clients, one row a transaction, into one of the two tables at random.
`monitor` is the whole process; of an empty database it is little but Python's start. HOT updates write to no index.

Ten million rows take about 30 GB and a quarter of an hour.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.commands import ROOT, Databases, facts, latencies, seconds
from montoit_db.database import embedded, make_engine
from tests.support.database import Database

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection

SETTINGS = ("shared_buffers=1GB", "maintenance_work_mem=512MB", "max_wal_size=8GB")


class Log(NamedTuple):
    """A log: how to make a row of number `i`, its view, and the guide's query, for a table of any name."""

    table: str
    columns: str
    values: str
    view: str
    guide: str


KEY = "'MTT_' || {i} || '_' || substr(md5({i} || random()::text), 1, 6)"
PLATFORM_ORDER = (
    *("id", "user_id", "phone_number", "message", "amount", "payment_method", "type", "partner_transaction_id"),
)
PLATFORM_ORDER_END = (
    *("status", "status_code", "status_message", "raw_response", "raw_callback", "sent_at", "delivered_at", "read_at"),
    *("created_at", "updated_at", "provider"),
)
COMMON = "created_at, user_id, status_code, status_message, partner_transaction_id, raw_response"
COMMON_VALUES = (
    "{at}, md5((random() * 100000)::int::text)::uuid, 200, 'OK', " + KEY + ","
    " jsonb_build_object('status', 'OK', 'id', {i}, 'idFromClient', 'MTT_' || {i})"
)
PHONE = "'+22507' || lpad((random() * 99999999)::int::text, 8, '0')"
MESSAGE = "'Mon Toit : votre code est ' || {i} || '. Il est valable dix minutes. Ne le communiquez à personne.'"
STATUS = "(array['{most}', '{most}', '{some}', 'failed', 'pending'])[1 + (power(random(), 3) * 4.99)::int % 5]"

LOGS = (
    Log(
        "payment_logs",
        f"{COMMON}, amount, payment_method, phone_number, intouch_transaction_id, status",
        f"{COMMON_VALUES}, 100 + ({{i}} % 9000) * 100,"
        f" (array['orange_money', 'mtn_money', 'moov_money', 'wave'])[1 + {{i}} % 4], {PHONE}, 'IT' || {{i}}, "
        + STATUS.format(most="success", some="success"),
        "intouch_payments_daily",
        "select date(created_at) as date, count(*), sum(amount), count(*) filter (where status = 'success')",
    ),
    Log(
        "sms_logs",
        f"{COMMON}, phone_number, message, intouch_sms_id, status",
        f"{COMMON_VALUES}, {PHONE}, {MESSAGE}, 'IT' || {{i}}, " + STATUS.format(most="delivered", some="sent"),
        "intouch_sms_daily",
        "select date(created_at) as date, count(*), count(*) filter (where status = 'sent'),"
        " count(*) filter (where status = 'failed')",
    ),
    Log(
        "whatsapp_logs",
        f"{COMMON}, phone_number, message, intouch_message_id, status",
        f"{COMMON_VALUES}, {PHONE}, {MESSAGE}, 'IT' || {{i}}, " + STATUS.format(most="read", some="delivered"),
        "intouch_whatsapp_daily",
        "select date(created_at) as date, count(*), count(*) filter (where status = 'sent'),"
        " count(*) filter (where status = 'failed')",
    ),
)
GUIDE_WEEK = (
    " from platform where provider = 'intouch' and created_at >= now() - interval '7 days'"
    " group by date(created_at) order by date desc"
)


class Bench:
    """One database with the logs."""

    def __init__(self, server: embedded.Server, connection: Connection, arguments: argparse.Namespace) -> None:
        """Take the database of the logs, and how much to measure."""
        self._server = server
        self._connection = connection
        self._rows: int = arguments.rows
        self._runs: int = arguments.runs
        self._seconds: int = arguments.seconds

    def execute(self, sql: str) -> None:
        """Execute statements outside of a transaction."""
        self._connection.exec_driver_sql(sql, execution_options={"no_parameters": True})

    def value(self, sql: str) -> int:
        """Return the one number that `sql` asks for."""
        return int(self._connection.exec_driver_sql(sql, execution_options={"no_parameters": True}).scalar_one())

    def fill(self, log: Log) -> None:
        """Write a year of rows to a log that has no index yet but its keys, and build these anew."""
        step = f"interval '{365 * 86400 / self._rows} seconds'"
        values = log.values.format(i="i", at=f"now() - ({self._rows} - i) * {step}")
        keys = f"{log.table}_pkey", f"{log.table}_partner_transaction_id_key"
        self.execute(f"alter table {log.table} drop constraint {keys[0]}, drop constraint {keys[1]}")
        self.execute(f"insert into {log.table} ({log.columns}) select {values} from generate_series(1, {self._rows}) i")
        self.execute(
            f"alter table {log.table} add constraint {keys[0]} primary key (id),"
            f" add constraint {keys[1]} unique (partner_transaction_id)"
        )

    def make_platform(self, log: Log) -> None:
        """Make the platform's shape of a log, with the same rows."""
        reference = log.columns.split(", ")[-2]
        rows = self._connection.exec_driver_sql(
            "select attname, format('%%I %%s default %%s', attname, format_type(atttypid, atttypmod),"
            " coalesce(pg_get_expr(adbin, adrelid), 'null'))"
            " from pg_attribute left join pg_attrdef on adrelid = attrelid and adnum = attnum"
            " where attrelid = %(table)s::regclass and attnum > 0",
            {"table": log.table},
        )
        definitions = dict(tuple(row) for row in rows)
        order = [column for column in (*PLATFORM_ORDER, reference, *PLATFORM_ORDER_END) if column in definitions]
        assert set(order) == set(definitions)
        self.execute(f"create table platform ({', '.join(definitions[column] for column in order)})")
        self.execute(f"insert into platform select {', '.join(order)} from {log.table} order by created_at")
        self.execute("alter table platform add primary key (id), add unique (partner_transaction_id)")
        for column in ("user_id", "phone_number", "status", "created_at desc", "partner_transaction_id", reference):
            self.execute(f"create index on platform ({column})")
        if log.table != "sms_logs":
            self.execute(
                "create trigger touch before update on platform"
                " for each row execute function montoit.touch_updated_at()"
            )
        self.execute("vacuum analyze platform")

    def pairs(self, ours: str, theirs: str) -> str:
        """Time two statements in turns and return the columns of a line."""
        times: dict[str, list[float]] = {ours: [], theirs: []}
        for number in range(self._runs + 1):
            for sql in (ours, theirs):
                start = time.perf_counter()
                self.execute(sql)
                if number:  # the first pair warms the caches
                    times[sql].append(1000 * (time.perf_counter() - start))
        return _line(times[ours], times[theirs])

    def flat(self, log: Log) -> str:
        """Time the view at all the rows, and at the newest tenth of them under the log's name."""
        self.execute(f"create table small (like {log.table} including all)")
        self.execute(
            f"insert into small select * from {log.table} where created_at > now() - interval '36.5 days'"
            " order by created_at"
        )
        self.execute("vacuum analyze small")
        view = f"select * from {log.view}"
        times: dict[str, list[float]] = {"all": [], "tenth": []}
        for number in range(self._runs + 1):
            for which in ("all", "tenth"):
                if which == "tenth":
                    self.execute(f"alter table {log.table} rename to aside; alter table small rename to {log.table}")
                self.execute(view)
                start = time.perf_counter()
                self.execute(view)
                if number:
                    times[which].append(1000 * (time.perf_counter() - start))
                if which == "tenth":
                    self.execute(f"alter table {log.table} rename to small; alter table aside rename to {log.table}")
        self.execute("drop table small")
        return _line(times["all"], times["tenth"])

    def inserts(self, log: Log, directory: Path, database: str) -> str:
        """Insert with pgbench into one of both tables at random and return the columns of a line, in microseconds."""
        values = log.values.format(i=":i::integer", at="now()")
        scripts = []
        for table in (log.table, "platform"):
            scripts.append(directory / f"{table}.sql")
            scripts[-1].write_text(
                f"\\set i random(1, 2000000000)\ninsert into {table} ({log.columns}) values ({values});\n"
            )
        runs = [latencies(self._server, database, scripts, self._seconds) for _ in range(self._runs)]
        return _line([1000 * ours for ours, _ in runs], [1000 * theirs for _, theirs in runs])

    def lives(self, fillfactor: int) -> float:
        """Return how many updates of a payment's status stayed on their page (HOT), in percent.

        Each of 100,000 payments is inserted, and updated when 300 more have come, in transactions of their own.
        """
        self.execute("create table lives (like payment_logs including all)")
        self.execute(f"alter table lives set (fillfactor = {fillfactor}, autovacuum_enabled = false)")
        self.execute("set synchronous_commit = off")  # no disk has a say in this
        log = LOGS[0]
        values = log.values.format(i="i", at="clock_timestamp()").replace(KEY.format(i="i"), "'L' || i")
        self.execute(
            f"""do $$
            begin
                for i in 1..100000 loop
                    insert into lives ({log.columns}) values ({values});
                    commit;
                    update lives set status = 'success', status_code = 201
                    where partner_transaction_id = 'L' || (i - 300);
                    commit;
                end loop;
            end;
            $$"""
        )
        self.execute("select pg_stat_clear_snapshot()")
        percent = "select 100.0 * n_tup_hot_upd / n_tup_upd from pg_stat_user_tables where relname = 'lives'"
        share = float(self._connection.exec_driver_sql(percent).scalar_one())
        self.execute("drop table lives; reset synchronous_commit")
        return share

    def sizes(self, log: Log) -> str:
        """Compare the sizes with all indexes, in MB."""
        ours, theirs = (
            self.value(f"select pg_total_relation_size('{table}')") / 2**20 for table in (log.table, "platform")
        )
        return _line([ours], [theirs])


def _line(ours: list[float], theirs: list[float]) -> str:
    ratio = statistics.median(one / other for one, other in zip(ours, theirs, strict=True))
    return f"{ratio:6.2f} {statistics.median(ours):10.1f} {statistics.median(theirs):10.1f}"


def monitor(url: URL) -> float:
    """Return how long all of `montoit-db monitor` takes, in milliseconds."""
    address = Database(url).address
    start = time.perf_counter()
    subprocess.run(
        [str(Path(sys.executable).parent / "montoit-db"), "monitor"],
        env={**os.environ, "DATABASE_URL": address},
        capture_output=True,
        check=True,
    )
    return 1000 * (time.perf_counter() - start)


def main() -> None:
    """Fill the logs, one after the other, measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--binaries", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="montoit-logs-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        with embedded.server(directory / "server", SETTINGS, arguments.binaries) as server:
            url = Databases(server).clone("template1", "logs")
            seconds(("upgrade", "0005"), ROOT, url)  # the indexes come when the rows are there
            with make_engine(url).execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
                print(facts(server), f"{arguments.rows:,} rows a log, {arguments.runs} runs\n", flush=True)
                bench = Bench(server, connection, arguments)
                for fillfactor in (100, 90):
                    print(f"fillfactor {fillfactor}: {bench.lives(fillfactor):.0f} % of updates are HOT", flush=True)
                for log in LOGS:
                    bench.fill(log)
                filled = connection.exec_driver_sql("select now()").scalar_one()
                seconds(("upgrade", "schema@head"), ROOT, url)
                print(f"\n{'':<46} {'ratio':>6} {'ours':>10} {'theirs':>10}")
                for log in LOGS:
                    bench.execute(f"vacuum analyze {log.table}")
                    bench.make_platform(log)
                    for label, columns in (
                        ("7 days, ms", bench.pairs(f"select * from {log.view}", log.guide + GUIDE_WEEK)),
                        ("size with indexes, MB", bench.sizes(log)),
                        ("flat: all rows, the newest tenth, ms", bench.flat(log)),
                        ("one insert, µs", bench.inserts(log, directory, "logs")),
                    ):
                        print(f"{log.table:<14} {label:<36} {columns}", flush=True)
                    bench.execute("drop table platform")
                    bench.execute(f"delete from {log.table} where created_at > '{filled}'")
                    bench.execute(f"vacuum analyze {log.table}")
                empty = Databases(server).clone("template1", "empty")
                seconds(("upgrade", "schema@head"), ROOT, empty)
                times = [(monitor(url), monitor(empty)) for _ in range(arguments.runs)]
                full, start = (statistics.median(of_one) for of_one in zip(*times, strict=True))
                print(f"all of monitor, ms: {full:.0f}; of an empty database: {start:.0f}")


if __name__ == "__main__":
    main()
