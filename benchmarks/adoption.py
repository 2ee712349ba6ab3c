"""Adopt the platform's tables under load, one of them large, and measure how long clients wait for the upgrade.

    python -m benchmarks.adoption [--rows 5000000] [--clients 8] [--seconds 60] [--binaries DIRECTORY]

The database is the platform's of 2025 (made by the tests' generation B), with `--rows` rows in sms_logs and without its
indexes on the time and the user, so that the upgrade builds both. pgbench inserts, checks flags and reads keys without
a pause: without an upgrade; while `upgrade head` goes from nothing to the activation; and, on a second database, while
a reader holds whatsapp_logs open for some seconds, so that the upgrade has to wait. Printed are the failed
transactions, the longest transaction, and the longest wait of a client for a lock on a table (from the server's log,
which has waits of 10 ms and more).
"""

from __future__ import annotations

import argparse
import re
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.commands import ROOT, Databases, facts, seconds
from benchmarks.load import load
from montoit_db.database import embedded, make_engine
from tests.support.database import Database
from tests.support.generations import make_generation_b
from tests.support.platforms import create_roles

if TYPE_CHECKING:
    from sqlalchemy import URL

FILL = """
insert into sms_logs (phone_number, message, partner_transaction_id, status, status_code, status_message, created_at)
select '+225070102' || i % 10000, repeat('m', 120), 'old_' || i, (array['sent', 'delivered', 'failed'])[1 + i % 3],
       200, 'ok', now() - i * interval '6 seconds'
from generate_series(1, {rows}) as i
"""
SCRIPT = """insert into sms_logs
    (phone_number, message, type, partner_transaction_id, intouch_sms_id, status, status_code, raw_response)
values ('+2250701020304', 'Bonjour', 'otp', gen_random_uuid(), 'i', 'sent', 200, '{"status": "SUCCESSFUL"}');
select check_feature_flag('monartisan', gen_random_uuid());
select get_api_keys('brevo');
"""
OPTIONS = ("max_wal_size=8GB", "log_lock_waits=on", "deadlock_timeout=10ms")
# The waits of clients: the upgrade itself waits for AccessExclusiveLock or ShareUpdateExclusiveLock.
WAITED = re.compile(r"acquired (?:AccessShare|Row\w+)Lock on relation .* after ([\d.]+) ms")
HEAD_START = 5  # seconds of load before the upgrade begins
HELD = 3  # seconds for which the reader holds a log open once the upgrade has begun


def make_platform(database: Database, rows: int) -> None:
    """Make the platform's database of 2025, with `rows` more rows in sms_logs and without two of its indexes."""
    create_roles(database)
    make_generation_b(database)
    database.execute("drop index idx_sms_logs_created_at; drop index idx_sms_logs_user_id")
    database.execute(FILL.format(rows=rows))


def main() -> None:
    """Fill, then run the load alone, with the upgrade, and with the upgrade and a reader; print all three."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--binaries", type=Path, default=None)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="montoit-adoption-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        with embedded.server(directory / "server", OPTIONS, arguments.binaries) as server:
            databases = Databases(server)
            url = databases.clone("template1", "adoption")
            database = Database(url)
            make_platform(database, arguments.rows)
            with make_engine(url).execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
                connection.exec_driver_sql("vacuum analyze sms_logs")
                connection.exec_driver_sql("checkpoint")
            read = databases.clone("adoption", "adoption_read")
            print(facts(server), f"{arguments.rows:,} rows, {arguments.clients} clients, {arguments.seconds} s each\n")
            took: list[float] = []

            def upgrade(target: URL, held: float) -> None:
                time.sleep(HEAD_START)
                with make_engine(target).connect() as reader:
                    if held:
                        reader.exec_driver_sql("select count(*) from whatsapp_logs")
                    threading.Timer(held, reader.rollback).start()
                    took.append(seconds(("upgrade", "head"), ROOT, target))

            print(f"{'':<40} {'transactions':>12} {'failed':>7} {'longest, ms':>12} {'for a lock':>11}")
            for label, target, held in (
                ("without us", url, None),
                ("with upgrade head", url, 0),
                (f"with a reader for {HELD} s", read, HELD),
            ):
                logged = len((server.home / "log").read_text())
                thread = threading.Thread(target=upgrade, args=(target, held))
                if held is not None:
                    thread.start()
                done = load(server, str(target.database), arguments.clients, arguments.seconds, directory, SCRIPT)
                if thread.ident:
                    thread.join()
                    label += f" ({took[-1]:.1f} s)"  # noqa: PLW2901
                waits = [float(ms) for ms in WAITED.findall((server.home / "log").read_text()[logged:])]
                print(
                    f"{label:<40} {done[0]:>12} {done[1]:>7} {done[2]:>12.1f} {max(waits, default=0):>11.1f}",
                    flush=True,
                )
            invalid = database.value("select count(*) from pg_index where not indisvalid")
            unvalidated = database.value("select count(*) from pg_constraint where not convalidated")
            print(f"\nindexes left INVALID: {invalid}; constraints not validated: {unvalidated}")


if __name__ == "__main__":
    main()
