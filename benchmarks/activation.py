"""What an activation costs the database: statements, milliseconds, and how long rows are locked.

    python -m benchmarks.activation [--runs 15]

The figures come from the log of a server that logs every statement with its duration. A statement is one round trip,
COPY two. "activation" is the transaction of the activation, from its first statement to its commit; "whole command"
adds connecting, the lock, finding the revision, and the summary. Rows of api_keys are locked from the statement that
stores the credentials to the end of the commit, rows of feature_flags from the statement that switches the services on.
"""

from __future__ import annotations

import argparse
import re
import statistics
import tempfile
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from benchmarks.commands import ROOT, Databases, facts, seconds
from montoit_db.database import embedded

LOGGED = (
    "log_min_duration_statement=0",
    "log_line_prefix=%m [%p] %a %d ",
    "log_timezone=UTC",
)
LINE = re.compile(
    r"(?P<at>[\d-]+ [\d:.]+) UTC \[\d+\] montoit-db \S+ (?P<database>\S+) LOG:  duration: (?P<ms>[\d.]+) ms"
    r"  (?P<kind>statement|parse \S+|bind \S+|execute \S+): (?P<sql>.*)"
)


class Cost(NamedTuple):
    """One activation: round trips, milliseconds of the server's work, milliseconds that rows stay locked."""

    round_trips: int
    in_database: float
    all_round_trips: int
    all_in_database: float
    api_keys: float
    feature_flags: float


def cost(log: str, database: str) -> Cost:
    """Read one activation from the server's log."""
    lines = [
        match
        for match in map(LINE.match, log.replace("\n\t", " ").splitlines())
        if match and match["database"] == database
    ]
    end = max(number for number, match in enumerate(lines) if match["sql"] == "COMMIT")
    first = next(number for number, match in enumerate(lines) if "set_config('montoit.environment'" in match["sql"])
    stored = next(match for match in lines if "montoit.store_credentials" in match["sql"])
    switched = next(match for match in lines if "jsonb_to_recordset(ordered)" in match["sql"])
    commit = _at(lines[end])
    return Cost(
        *_trips_and_time(lines[first : end + 1]),
        *_trips_and_time(lines),
        commit - (_at(stored) - float(stored["ms"])),
        commit - (_at(switched) - float(switched["ms"])),
    )


def _trips_and_time(lines: list[re.Match[str]]) -> tuple[int, float]:
    """Count the round trips, and add up the milliseconds; parse and bind are sent together with their execute."""
    trips = sum(not match["kind"].startswith(("parse", "bind")) for match in lines)
    copies = sum(match["sql"].startswith("copy ") for match in lines)
    return trips + copies, sum(float(match["ms"]) for match in lines)


def _at(match: re.Match[str]) -> float:
    """Return when a statement ended, in milliseconds."""
    return 1000 * datetime.fromisoformat(match["at"] + "+00:00").timestamp()


def main() -> None:
    """Activate some fresh databases and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=15)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory(prefix="montoit-activation-") as name:
        Path(name).chmod(0o755)
        with embedded.server(Path(name) / "server", LOGGED) as server:
            databases = Databases(server)
            template = databases.clone("template1")
            seconds(("upgrade", "schema@head"), ROOT, template)
            print(facts(server), f"{runs} activations\n")
            costs = []
            for _ in range(runs):
                url = databases.clone(str(template.database))
                seconds(("upgrade", "head"), ROOT, url)
                costs.append(cost((server.home / "log").read_text(), str(url.database)))
    for label, values in zip(
        (
            "activation: round trips",
            "activation: in the database, ms",
            "whole command: round trips",
            "whole command: in the database, ms",
            "rows of api_keys locked, ms",
            "rows of feature_flags locked, ms",
        ),
        zip(*costs, strict=True),
        strict=True,
    ):
        print(f"{label:<36} median {statistics.median(values):6.1f}   longest {max(values):6.1f}")


if __name__ == "__main__":
    main()
