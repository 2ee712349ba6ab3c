"""Deployments under a steady load, and how long clients wait for them.

    python -m benchmarks.load [--clients 8] [--seconds 20]

pgbench checks flags and writes logs without a pause while a database goes `upgrade head` (from the schema alone) and
`downgrade -1`, again and again. Printed are the failed transactions and the longest one, with deployments and without
them (the same load before, as a yardstick of the machine).
"""

from __future__ import annotations

import argparse
import re
import subprocess
import tempfile
import threading
from pathlib import Path

from benchmarks.commands import ROOT, Databases, facts, seconds
from montoit_db.database import embedded

SCRIPT = """\\set n random(1, 1000000000)
select check_feature_flag('orange_money', ('00000000-0000-4000-8000-' || lpad(:n::text, 12, '0'))::uuid);
insert into sms_logs (phone_number, message, partner_transaction_id) values ('+2250701020304', 'm', gen_random_uuid());
select get_api_keys('intouch');
"""


def load(  # noqa: PLR0913, PLR0917
    server: embedded.Server, database: str, clients: int, duration: int, directory: Path, statements: str = SCRIPT
) -> tuple[int, int, float]:
    """Run the load; return the transactions done, those that failed, and the longest in milliseconds."""
    script = directory / "load.sql"
    script.write_text(statements)
    for log in directory.glob("pgbench_log.*"):
        log.unlink()
    result = subprocess.run(
        [
            *(str(server.binaries / "pgbench"), "-n", "-c", str(clients), "-j", "2", "-T", str(duration), "-l"),
            *("-f", str(script), "-h", str(server.socket_directory), "-p", "5432", "-U", "postgres", database),
        ],
        cwd=directory,
        capture_output=True,
        text=True,
        check=True,
    )
    done = re.search(r"actually processed: (\d+)", result.stdout)
    failed = re.search(r"failed transactions: (\d+)", result.stdout)
    assert done is not None
    assert failed is not None
    latencies = [int(line.split()[2]) for log in directory.glob("pgbench_log.*") for line in log.open()]
    return int(done[1]), int(failed[1]), max(latencies) / 1000


def main() -> None:
    """Run the load without deployments, then with them, and print both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=int, default=20)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="montoit-load-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        with embedded.server(directory / "server") as server:
            url = Databases(server).clone("template1", "load")
            seconds(("upgrade", "schema@head"), ROOT, url)
            print(facts(server), f"{arguments.clients} clients, {arguments.seconds} s each\n")
            quiet = load(server, "load", arguments.clients, arguments.seconds, directory)
            stop, deployments = threading.Event(), []

            def deploy() -> None:
                while not stop.is_set():
                    deployments.append(seconds(("upgrade", "head"), ROOT, url))
                    deployments.append(seconds(("downgrade", "-1"), ROOT, url))

            thread = threading.Thread(target=deploy)
            thread.start()
            busy = load(server, "load", arguments.clients, arguments.seconds, directory)
            stop.set()
            thread.join()
    print(f"{'':<28} {'transactions':>12} {'failed':>7} {'longest, ms':>12}")
    print(f"{'without deployments':<28} {quiet[0]:>12} {quiet[1]:>7} {quiet[2]:>12.1f}")
    print(f"{f'with {len(deployments)} deployments':<28} {busy[0]:>12} {busy[1]:>7} {busy[2]:>12.1f}")


if __name__ == "__main__":
    main()
