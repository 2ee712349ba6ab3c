"""What a flag check costs, compared with the platform's own.

    python -m benchmarks.checks [--runs 15] [--seconds 4] [--clients 4] [--binaries /usr/lib/postgresql/15/bin]
                                [--against CHECKOUT]

pgbench asks with prepared statements; all 39 flags are on, at 50 %, and one is for a role. The yardstick is the
platform's plpgsql check, rebuilt from what is known of it: unsafe (security definer without a search path, a NULL user
passes) and wrong (the hash is signed, so that 50 % are 75 %). Both statements run in the same run: each transaction
draws one of them at random. Printed are the median of the runs' ratios of latencies, the range of the middle half of
the ratios, and the median latencies. Callers are the service (`service_role`), and a user signed in with a JWT, who
asks for himself. More clients than cores wait for each other, which brings a long and a short check nearer together.

With `--against` the yardstick is the same statement on a database of another checkout of this project: two pgbench
processes share the clients and run at the same time, so that other work of the machine slows both alike.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.commands import ROOT, Databases, facts, latencies, seconds
from montoit_db.database import embedded, make_engine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import URL

ALL_AT_50 = """
update public.feature_flags set is_enabled = true, credentials_status = 'sandbox', rollout_percentage = 50;
"""

PLATFORM = """
create table public.platform_flags (like public.feature_flags including all);
insert into public.platform_flags select * from public.feature_flags;
create table public.platform_overrides (like public.feature_flag_overrides including all);
create function public.platform_check(flag_key text, user_id uuid default null)
returns boolean
language plpgsql
security definer
as $$
declare
    v_flag record;
    v_override boolean;
    v_hash integer;
begin
    select * into v_flag from platform_flags where key = flag_key;
    if not found then
        return false;
    end if;
    if user_id is not null then
        select is_enabled into v_override from platform_overrides o
        where o.feature_flag_id = v_flag.id and o.user_id = platform_check.user_id
          and (o.expires_at is null or o.expires_at > now());
        if found then
            return v_override;
        end if;
    end if;
    if not v_flag.is_enabled then
        return false;
    end if;
    if user_id is not null and array_length(v_flag.allowed_roles, 1) > 0 then
        return false;
    end if;
    if v_flag.rollout_percentage < 100 and user_id is not null then
        v_hash := hashtext(user_id::text) % 100;
        if v_hash >= v_flag.rollout_percentage then
            return false;
        end if;
    end if;
    return true;
end;
$$;
grant execute on function public.platform_check to service_role, authenticated;
"""

USER = "'00000000-0000-4000-8000-000000000000'::uuid"
ONE = f"select check_feature_flag('orange_money', {USER});"
ALL = f"select check_feature_flags({USER});"
PLATFORM_CHECK = f"select platform_check('orange_money', {USER});"
SIGNED_IN = f'{{"sub": {USER[:38]}, "role": "authenticated"}}'.replace("'", '"')


LIMITED = f"select check_feature_flag('debug_mode', {USER});"
LIMIT = """
update public.feature_flags set allowed_roles = '{agence}' where key = 'debug_mode';
create table public.user_roles (user_id uuid primary key, role text);
insert into public.user_roles select gen_random_uuid(), 'agence' from generate_series(1, 1000);
"""


class Case(NamedTuple):
    """A statement, the yardstick that it is compared with, and who asks."""

    name: str
    role: str
    statement: str
    yardstick: str


CASES = (
    Case("one flag : the platform's, the service asks", "service_role", ONE, PLATFORM_CHECK),
    Case("one flag : the platform's, a user asks", "authenticated", ONE, PLATFORM_CHECK),
    Case("all flags : one flag, the service asks", "service_role", ALL, ONE),
    Case("all flags : one flag, a user asks", "authenticated", ALL, ONE),
)


BEFORE = tuple(
    Case(f"{name}, {asks}", role, statement, statement)
    for name, statement in (("one flag", ONE), ("all flags", ALL), ("a flag for a role", LIMITED))
    for asks, role in (("the service asks", "service_role"), ("a user asks", "authenticated"))
)


class Bench:
    """pgbench on one database."""

    def __init__(self, server: embedded.Server, database: str, directory: Path, duration: int) -> None:
        """Take the database, where to make a directory for its scripts, and the seconds of a run."""
        self._server = server
        self._database = database
        self._directory = directory / database
        self._directory.mkdir()
        self._duration = duration

    def latencies(self, case: Case, clients: int) -> list[float]:
        """Return the mean latencies of both statements, in microseconds; of one, if they are the same."""
        scripts: list[Path] = []
        for sql in dict.fromkeys((case.statement, case.yardstick)):
            scripts.append(self._directory / f"{len(scripts)}.sql")
            scripts[-1].write_text(sql)
        claims = SIGNED_IN if case.role == "authenticated" else ""
        options = f"-c role={case.role} -c request.jwt.claims={claims}".replace(' "', '\\ "').replace(": ", ":\\ ")
        settings = {"PGOPTIONS": options}
        milliseconds = latencies(self._server, self._database, scripts, self._duration, clients, settings)
        return [1000 * latency for latency in milliseconds]


def measure(case: Case, runs: int, clients: int, benches: Sequence[Bench]) -> str:
    """Run one case and return its line of the table; a second bench is the other checkout's database."""
    share = max(1, clients // len(benches))
    with ThreadPoolExecutor() as threads:
        pairs = [tuple(chain(*threads.map(lambda bench: bench.latencies(case, share), benches))) for _ in range(runs)]
    measured, yardstick = zip(*pairs, strict=True)
    ratios = sorted(one / other for one, other in zip(measured, yardstick, strict=True))
    low, high = ratios[runs // 4], ratios[-1 - runs // 4]
    return (
        f"{case.name:<44} {statistics.median(ratios):5.2f} {low:5.2f} - {high:4.2f}"
        f" {statistics.median(measured):6.0f} {statistics.median(yardstick):6.0f}"
    )


def main() -> None:
    """Measure every case and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--binaries", type=Path)
    parser.add_argument("--against", type=Path, metavar="CHECKOUT")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="montoit-checks-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        with embedded.server(directory / "server", binaries=arguments.binaries) as server:
            print(facts(server), f"{arguments.clients} clients, {arguments.runs} runs of {arguments.seconds} s\n")
            print(f"{'':<44} ratio  middle half     µs     µs")
            benches: list[Bench] = []
            for database, checkout in (("checks", ROOT), ("before", arguments.against)):
                if checkout is not None:
                    prepare(Databases(server).clone("template1", database), checkout.resolve())
                    benches.append(Bench(server, database, directory, arguments.seconds))
            for case in BEFORE if arguments.against else CASES:
                print(measure(case, arguments.runs, arguments.clients, benches), flush=True)


def prepare(url: URL, checkout: Path) -> None:
    """Give a database the schema of a checkout, and what the statements ask for."""
    seconds(("upgrade", "head"), checkout, url)
    with make_engine(url).begin() as connection:
        for sql in (ALL_AT_50, PLATFORM, LIMIT):
            connection.exec_driver_sql(sql, execution_options={"no_parameters": True})
    with make_engine(url).execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.exec_driver_sql("vacuum full")
        connection.exec_driver_sql("vacuum analyze")


if __name__ == "__main__":
    main()
