"""A purge of many rows while clients insert, and how long these wait for it.

    python -m benchmarks.purge [--rows 5000000] [--clients 4] [--seconds 20] [--binaries /usr/lib/postgresql/15/bin]

Rows of the year before last are deleted from `sms_logs` by `montoit-db purge`, a process of its own, under pgbench:
each client writes a line of `sms_logs` and one of `payment_logs`, and checks a flag. Printed are the transactions done,
those that failed, and the longest, without a purge and with one; then how long the purge took, and how long a rollback
(`alembic downgrade -1`) that comes in the middle of it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.commands import ROOT, Databases, facts, seconds
from benchmarks.load import load
from montoit_db.database import embedded, make_engine
from tests.support.database import Database

SCRIPT = """\\set n random(1, 1000000000)
insert into sms_logs (phone_number, message, partner_transaction_id) values ('+2250701020304', 'm', gen_random_uuid());
insert into payment_logs (amount, payment_method, partner_transaction_id) values (1000, 'wave', gen_random_uuid());
select check_feature_flag('orange_money', ('00000000-0000-4000-8000-' || lpad(:n::text, 12, '0'))::uuid);
"""
FILL = """
insert into sms_logs (created_at, status, phone_number, message, partner_transaction_id)
select now() - interval '2 years' + i * interval '365 days' / {rows}, 'delivered', '+2250701020304',
       'Mon Toit : votre code est ' || i || '. Il est valable dix minutes. Ne le communiquez à personne.', 'MTT_' || i
from generate_series(1, {rows}) as i
"""


def main() -> None:
    """Fill the log, run the load without a purge, then with one, and print both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--binaries", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="montoit-purge-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        with embedded.server(directory / "server", ("max_wal_size=4GB",), arguments.binaries) as server:
            url = Databases(server).clone("template1", "purge")
            seconds(("upgrade", "head"), ROOT, url)
            print(facts(server), f"{arguments.rows:,} rows, {arguments.clients} clients\n", flush=True)
            engine = make_engine(url).execution_options(isolation_level="AUTOCOMMIT")
            with engine.connect() as connection:
                connection.exec_driver_sql(FILL.format(rows=arguments.rows))
                connection.exec_driver_sql("vacuum analyze sms_logs")
                connection.exec_driver_sql("checkpoint")  # else the load waits for what the filling wrote
            quiet = load(server, "purge", arguments.clients, arguments.seconds, directory, SCRIPT)
            print(f"{'':<24} {'transactions':>12} {'failed':>7} {'longest, ms':>12}")
            print(f"{'without a purge':<24} {quiet[0]:>12} {quiet[1]:>7} {quiet[2]:>12.1f}", flush=True)

            address = Database(url).address
            begin = time.perf_counter()
            with subprocess.Popen(
                [str(Path(sys.executable).parent / "montoit-db"), "purge", "--keep-months", "9", "--yes"],
                env={**os.environ, "DATABASE_URL": address}, stdout=subprocess.PIPE, text=True,
            ) as purge:  # fmt: skip
                total, failed, longest, rollback = 0, 0, 0.0, None
                while purge.poll() is None:
                    busy = load(server, "purge", arguments.clients, arguments.seconds, directory, SCRIPT)
                    total, failed, longest = total + busy[0], failed + busy[1], max(longest, busy[2])
                    if rollback is None and purge.poll() is None:
                        rollback = seconds(("downgrade", "-1"), ROOT, url)
                took = time.perf_counter() - begin
            assert purge.returncode == 0
            with engine.connect() as connection:
                left = connection.exec_driver_sql(
                    "select count(*) from sms_logs where created_at < now() - interval '11 months'"
                ).scalar_one()
            assert left == 0
    print(f"{'with a purge':<24} {total:>12} {failed:>7} {longest:>12.1f}")
    print(f"\nthe purge: {took:.0f} s" + (f"; a rollback in the middle of it: {rollback:.1f} s" if rollback else ""))


if __name__ == "__main__":
    main()
