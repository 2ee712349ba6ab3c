"""The share is the share: buckets in three languages, 100,000 users, and changing a share by hand."""

from __future__ import annotations

import itertools
import json
import os
import pty
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy.exc import ProgrammingError

from montoit_db.database import make_engine
from montoit_db.errors import RefusedError
from montoit_db.flags import bucket, flags_for, is_enabled
from montoit_db.flags.rollout import apply, described, plan
from montoit_db.intouch.catalogue import SERVICES
from montoit_db.intouch.summary import FUNCTIONS_MAY_GO_ON
from montoit_db.settings import DeploymentSettings
from tests.support.callers import OTHER, USER
from tests.support.checkout import BIN, ROOT
from tests.support.commands import on, run, target
from tests.support.deployments import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from sqlalchemy import Connection

    from tests.support.database import Database

VECTORS = ROOT / "tests" / "vectors" / "buckets.json"
WAITS = DeploymentSettings(lock_timeout=0.2, lock_retries=0, deploy_timeout=60)
PATIENT = DeploymentSettings(lock_timeout=30, lock_retries=0, deploy_timeout=60)
MANY, FEW = 100_000, 20_000
USERS = f"select i as number, md5(i::text)::uuid as id from generate_series(1, {MANY}) as i"


@pytest.fixture
def connection(activated: Database) -> Iterator[Connection]:
    with make_engine(activated.url).connect() as opened:
        yield opened


def vectors() -> list[tuple[str, UUID, int]]:
    return [(flag, UUID(user), place) for flag, user, place in json.loads(VECTORS.read_text(encoding="utf-8"))]


def test_the_vectors_are_those_of_the_design() -> None:
    assert {
        ("intouch_payment", UUID(int=0), 1257),
        ("intouch_payment", UUID("11111111-1111-4111-8111-111111111111"), 57),
        ("orange_money", UUID("11111111-1111-4111-8111-111111111111"), 2934),
        ("wave_payment", UUID("6f9619ff-8b86-d011-b42d-00c04fc964ff"), 5422),
        ("sms_notifications", UUID(int=2**128 - 1), 272),
    } <= set(vectors())


def test_buckets_in_python() -> None:
    assert [bucket(flag, user) for flag, user, _ in vectors()] == [place for _, _, place in vectors()]


def test_buckets_in_the_database(connection: Connection) -> None:
    flags, users, places = zip(*vectors(), strict=True)
    found = connection.exec_driver_sql(
        "select montoit.bucket(flag, id) from unnest(%(flags)s::text[], %(users)s::uuid[]) as pair (flag, id)",
        {"flags": list(flags), "users": list(users)},
    )
    assert [row[0] for row in found] == list(places)


def test_buckets_in_typescript(tmp_path: Path) -> None:
    """docs/bucket.ts, type-checked as strictly as can be, and run."""
    tsc, node = shutil.which("tsc"), shutil.which("node")
    if not (tsc and node):
        pytest.skip("needs Node and TypeScript: npm install -g typescript")
    (tmp_path / "package.json").write_text('{"type": "module"}')
    subprocess.run(
        [tsc, "--strict", "--target", "es2022", "--lib", "es2022,dom", "--module", "es2022",
         "--moduleResolution", "bundler", "--types", "", "--outDir", ".",
         "--rootDir", str(ROOT / "docs"), str(ROOT / "docs" / "bucket.ts")],
        cwd=tmp_path, check=True,
    )  # fmt: skip
    (tmp_path / "run.js").write_text(
        "import { readFileSync } from 'node:fs';\n"
        "import { bucket, isIn } from './bucket.js';\n"
        "for (const [flag, user, place] of JSON.parse(readFileSync(process.argv[2], 'utf8'))) {\n"
        "  const share = Math.floor(place / 100);\n"
        "  console.log(await bucket(flag, user.toUpperCase()), await isIn(flag, user, share),"
        " await isIn(flag, user, share + 1));\n"
        "}\n"
    )
    result = subprocess.run([node, "run.js", str(VECTORS)], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert result.stdout.splitlines() == [f"{place} false true" for _, _, place in vectors()]


def test_python_and_the_database_agree_on_any_pair(connection: Connection) -> None:
    """100,000 pairs, other ones in every run."""
    pairs = connection.exec_driver_sql(
        "select key, id, montoit.bucket(key, id) from (select key || case when i %% 7 = 0 then 'é' else '' end as key,"
        " gen_random_uuid() as id from generate_series(1, 2565) as i, feature_flags) as pairs limit 100000"
    ).all()
    assert len(pairs) == 100_000
    assert [(key, user) for key, user, place in pairs if bucket(key, user) != place] == []


def test_the_share_is_the_share(connection: Connection) -> None:
    """Over 100,000 users, and 20,000 of them at the shares that are asked for less; one by one, as callers ask."""
    served: dict[int, set[UUID]] = {}
    for share, users in {0: FEW, 1: FEW, 10: MANY, 50: MANY, 90: FEW, 99: FEW, 100: FEW}.items():
        connection.exec_driver_sql(f"update feature_flags set rollout_percentage = {share} where key = 'orange_money'")
        served[share] = asked(connection, f"number <= {users} and check_feature_flag('orange_money', id)")
        assert abs(100 * len(served[share]) / users - share) < 0.5, share
    assert (len(served[0]), len(served[100])) == (0, FEW)
    few = asked(connection, f"number <= {FEW}")
    for smaller, larger in itertools.pairwise(sorted(served)):
        assert served[smaller] & few <= served[larger], "who is in stays in"

    connection.exec_driver_sql("update feature_flags set rollout_percentage = 50 where key = 'wave_payment'")
    both = asked(connection, "check_feature_flag('wave_payment', id)") & served[50]
    assert abs(len(both) / len(served[50]) - 0.5) < 0.01, "each flag has its own half"


def asked(connection: Connection, question: str) -> set[UUID]:
    return {row[0] for row in connection.exec_driver_sql(f"select id from ({USERS}) as users where {question}")}


def test_all_flags_at_once_say_what_each_says(connection: Connection) -> None:
    """Also where the rule differs: off, unconfigured, for a role, overridden, expired, each share."""
    connection.exec_driver_sql(
        f"""
        update feature_flags set is_enabled = true, credentials_status = 'production',
            rollout_percentage = (row_number - 1) * 100 / 38
        from (select key, row_number() over (order by key) from feature_flags) as numbered (flag, row_number)
        where flag = key;
        update feature_flags set is_enabled = false where key like 'map%%';
        update feature_flags set credentials_status = 'not_configured' where key in ('wave_payment', 'ab_testing');
        update feature_flags set allowed_roles = '{{admin}}' where key like 'ai%%';
        insert into feature_flag_overrides (feature_flag_id, user_id, is_enabled, expires_at)
        select id, '{USER}', key < 'c', case when key like '%%t' then now() - interval '1 s' end
        from feature_flags where key like 'm%%' or key like 'a%%';
        """
    )
    keys = [row[0] for row in connection.exec_driver_sql("select key from feature_flags")]
    for user in (None, UUID(USER), UUID(OTHER), *(uuid4() for _ in range(20))):
        assert flags_for(connection, user) == {key: is_enabled(connection, key, user) for key in keys}
    assert is_enabled(connection, "no such flag", UUID(USER)) is False


def test_python_callers_ask_for_themselves_only(connection: Connection) -> None:
    connection.exec_driver_sql(
        f"select set_config('request.jwt.claims', '{{\"sub\": \"{USER}\"}}', true)",
        execution_options={"no_parameters": True},
    )
    connection.exec_driver_sql("set local role authenticated")
    assert is_enabled(connection, "wave_payment") is True
    assert flags_for(connection, UUID(USER))["wave_payment"] is True
    with pytest.raises(ProgrammingError, match="another user"):
        flags_for(connection, UUID(OTHER))


SHARES = "select key, rollout_percentage from feature_flags where metadata ? 'activated_at' order by key"


def rollout(database: Database, *arguments: str) -> subprocess.CompletedProcess[str]:
    result = run("montoit-db", "rollout", *arguments, environment=on(database))
    assert "Traceback" not in result.stderr
    return result


def test_all_seven_in_one_transaction_with_who_and_why(activated: Database) -> None:
    result = rollout(activated, "10", "--reason", "Semaine 1", "--yes")
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("100 % → 10 %") == 7
    assert "Part réduite" in result.stdout
    assert {share for _, share in activated.rows(SHARES)} == {10}
    history = activated.rows(
        "select count(*), count(distinct changed_at), min(actor), min(reason), max(reason), min(action)"
        " from feature_flag_history where changed_at = (select max(changed_at) from feature_flag_history)"
    )
    why = "montoit-db rollout 10 : Semaine 1"
    assert history == [(7, 1, activated.url.username, why, why, "updated")]


def test_some_flags(activated: Database) -> None:
    result = rollout(activated, "50", "--flag", "wave_payment", "--flag", "orange_money", "--yes", "--json")
    assert result.returncode == 0, result.stderr
    document = json.loads(result.stdout)
    assert document["applied"] is True
    assert [(flag["key"], flag["before"], flag["after"]) for flag in document["flags"]] == [
        ("wave_payment", 100, 50),
        ("orange_money", 100, 50),
    ]
    assert {key for key, share in activated.rows(SHARES) if share == 50} == {"wave_payment", "orange_money"}
    again = rollout(activated, "50", "--flag", "wave_payment")
    assert (again.returncode, again.stderr) == (0, target(activated)), "nothing to do needs no confirmation"
    assert "Rien à changer." in again.stdout


@pytest.mark.parametrize("arguments", [(), ("--json",)])
def test_nobody_there_to_confirm(activated: Database, arguments: Sequence[str]) -> None:
    before = activated.rows(SHARES)
    result = rollout(activated, "10", *arguments)
    assert result.returncode == 1
    assert ('"applied": false' in result.stdout) == bool(arguments)
    assert "ajoutez --yes" in result.stderr
    assert activated.rows(SHARES) == before


def answer_in_a_terminal(database: Database, answer: str, meanwhile: Callable[[], None]) -> tuple[int, str, str]:
    """Run a command that asks, do `meanwhile` while it waits, and answer; its exit status, stdout and stderr."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [f"{BIN}/montoit-db", "rollout", "10"],
        env={**os.environ, **on(database)}, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            assert process.stderr is not None
            asked = ""
            while "Appliquer ?" not in asked:
                asked += process.stderr.read(1) or pytest.fail(f"it ended without asking: {asked}")
            meanwhile()
            os.write(ours, answer.encode())
            out, err = process.communicate(timeout=30)
        finally:
            process.kill()
            os.close(ours)
            os.close(theirs)
    return process.returncode, out, asked + err


@pytest.mark.parametrize(
    ("answer", "code", "share"), [("oui\n", 0, 10), ("\n", 1, 100), ("n\n", 1, 100), ("\x04", 1, 100)]
)
def test_asked_in_a_terminal(activated: Database, answer: str, code: int, share: int) -> None:
    def nothing_is_held() -> None:
        held = f"datname = '{activated.name}' and pid <> pg_backend_pid() and state <> 'idle'"
        sessions = f"select count(*) from pg_stat_activity where backend_type = 'client backend' and {held}"
        assert activated.value(sessions) == 0

    returned, out, err = answer_in_a_terminal(activated, answer, nothing_is_held)
    assert (returned, "Abort" in err) == (code, False)
    assert ("Rien n'a été modifié." in out) == (code == 1)
    assert {row[1] for row in activated.rows(SHARES)} == {share}


def test_a_connection_that_dies_while_a_person_thinks(activated: Database) -> None:
    def end_it() -> None:
        others = f"datname = '{activated.name}' and pid <> pg_backend_pid() and backend_type = 'client backend'"
        ended = f"select count(pg_terminate_backend(pid, 5000)) from pg_stat_activity where {others}"
        assert activated.value(ended) == 1

    code, _, err = answer_in_a_terminal(activated, "oui\n", end_it)
    assert code == 3
    told = err.partition("Appliquer ?")[2].splitlines()
    assert [line.split(" : ")[0] for line in told] == [
        "La base de données a refusé (SQLSTATE 57P01)", "Un administrateur ou un redémarrage a coupé la connexion",
    ], err  # fmt: skip
    assert {row[1] for row in activated.rows(SHARES)} == {100}


@pytest.mark.parametrize("arguments", [("--reason", b"caf\xe9"), ("--flag", b"caf\xe9")])
def test_another_encoding_is_refused(activated: Database, arguments: tuple[str, bytes]) -> None:
    result = subprocess.run(
        [f"{BIN}/montoit-db", "rollout", "10", "--yes", *arguments],
        env={**os.environ, "PYTHONUTF8": "1", **on(activated)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 2
    assert result.stderr == f"{arguments[0]} : n'est pas de l'UTF-8. Rien n'a été modifié.\n"


def test_without_any_input(activated: Database) -> None:
    result = run("/bin/sh", "-c", f"{BIN}/montoit-db rollout 10 <&-", environment=on(activated))
    assert (result.returncode, "Traceback" in result.stderr) == (1, False)
    assert {row[1] for row in activated.rows(SHARES)} == {100}


@pytest.mark.parametrize("share", ["101", "-1", "10.5", "10%", "", "٣"])
def test_what_is_no_share(activated: Database, share: str) -> None:
    result = rollout(activated, "--yes", "--", share)
    assert result.returncode == 2
    assert "de 0 à 100" in result.stderr
    assert {row[1] for row in activated.rows(SHARES)} == {100}


def test_flags_that_would_serve_nobody_are_refused_with_the_reason(activated: Database) -> None:
    activated.execute("update feature_flags set credentials_status = 'not_configured' where key = 'moov_money'")
    flags = ("wave_payment", "debug_mode", "moov_money", "no_such_flag")
    result = rollout(activated, "10", "--yes", *(part for flag in flags for part in ("--flag", flag)))
    assert result.returncode == 1
    assert "debug_mode : désactivé" in result.stderr
    assert "moov_money : credentials non configurés" in result.stderr
    assert "no_such_flag : ce flag n'existe pas" in result.stderr
    assert "wave_payment" not in result.stderr
    assert {row[1] for row in activated.rows(SHARES)} == {100}


@pytest.mark.parametrize("revision", ["empty", "0007"])
def test_before_the_activation(database_at: Callable[[str], Database], revision: str) -> None:
    result = rollout(database_at(revision), "10", "--yes")
    assert result.returncode == 1
    assert "alembic upgrade head" in result.stderr


def test_a_plan_that_is_no_longer_true_is_refused(activated: Database, connection: Connection) -> None:
    changes = plan(connection, 10, ["wave_payment", "orange_money"])
    activated.execute("update feature_flags set rollout_percentage = 70 where key = 'wave_payment'")
    with pytest.raises(RefusedError, match="entre-temps"):
        apply(connection, changes, "why", WAITS)
    assert dict(activated.rows(SHARES))["orange_money"] == 100


def test_a_rollback_in_between_wins(activated: Database, connection: Connection) -> None:
    changes = plan(connection, 10, ["wave_payment"])
    activated.execute("update feature_flags set is_enabled = false where key = 'wave_payment'")
    with pytest.raises(RefusedError, match="désactivé"):
        apply(connection, changes, "why", WAITS)


def test_a_change_that_is_under_way_is_waited_for_and_seen(activated: Database, connection: Connection) -> None:
    changes = plan(connection, 10, ["wave_payment"])
    with make_engine(activated.url).connect() as other, ThreadPoolExecutor() as pool:
        other.exec_driver_sql("update feature_flags set rollout_percentage = 70 where key = 'wave_payment'")
        applied = pool.submit(apply, connection, changes, "why", PATIENT)
        wait_until(activated, "wait_event_type = 'Lock'", applied)
        other.commit()
        with pytest.raises(RefusedError, match="entre-temps"):
            applied.result()
    assert dict(activated.rows(SHARES))["wave_payment"] == 70


def test_a_lock_is_not_waited_for_for_ever(activated: Database, connection: Connection) -> None:
    changes = plan(connection, 10, ["wave_payment"])
    with make_engine(activated.url).begin() as holder:
        holder.exec_driver_sql("select from feature_flags for update")
        pid = holder.exec_driver_sql("select pg_backend_pid()").scalar_one()
        with pytest.raises(RefusedError, match=f"pid {pid}"):
            apply(connection, changes, "why", WAITS)
    assert {row[1] for row in activated.rows(SHARES)} == {100}


def test_a_deadlock_is_told_as_a_lock(activated: Database, connection: Connection) -> None:
    changes = plan(connection, 10, ["intouch_payment", "wave_payment"])
    with make_engine(activated.url).connect() as other, ThreadPoolExecutor() as pool:
        other.exec_driver_sql("set local deadlock_timeout = '1min'")  # the victim is the one who looks first
        other.exec_driver_sql("select from feature_flags where key = 'wave_payment' for update")
        applied = pool.submit(apply, connection, changes, "why", PATIENT)
        wait_until(activated, "wait_event_type = 'Lock'", applied)
        other.exec_driver_sql("select from feature_flags where key = 'intouch_payment' for update")
        with pytest.raises(RefusedError, match="Verrou impossible"):
            applied.result()
    assert {row[1] for row in activated.rows(SHARES)} == {100}


def test_the_reason_is_the_transactions_own(connection: Connection) -> None:
    """A pooler would hand a session's to the next client."""
    apply(connection, plan(connection, 10, ["wave_payment"]), "why", WAITS)
    assert not connection.exec_driver_sql("select current_setting('montoit.reason', true)").scalar()


def test_a_role_that_may_only_read_is_told_so(activated: Database, connection: Connection) -> None:
    connection.exec_driver_sql("set role authenticated")
    connection.commit()
    with pytest.raises(RefusedError, match="ne peut pas modifier"):
        apply(connection, plan(connection, 10, ["wave_payment"]), "why", WAITS)
    assert {row[1] for row in activated.rows(SHARES)} == {100}


def test_two_at_once_do_not_mix(activated: Database) -> None:
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda share: rollout(activated, share, "--yes"), ("10", "20")))
    assert len({row[1] for row in activated.rows(SHARES)}) == 1
    assert 0 in {result.returncode for result in results}


def test_a_trigger_with_other_plans_is_noticed(activated: Database, connection: Connection) -> None:
    activated.execute(
        "create function other() returns trigger language plpgsql as $$begin new.rollout_percentage := 33;"
        " return new; end$$; create trigger other before update on feature_flags for each row execute function other()"
    )
    with pytest.raises(RefusedError, match="trigger"):
        apply(connection, plan(connection, 10, ["wave_payment"]), "why", WAITS)
    assert {row[1] for row in activated.rows(SHARES)} == {100}


def test_users_are_estimated_where_they_can_be_read(activated: Database, connection: Connection) -> None:
    assert plan(connection, 10, ["wave_payment"])[0].users_after is None
    activated.execute(f"create schema auth; create table auth.users as {USERS} limit 12340")
    assert plan(connection, 10, ["wave_payment"])[0].users_after is None, "nobody has looked yet, and nobody counts"
    activated.execute("analyze auth.users")
    activated.execute("update feature_flags set allowed_roles = array['agence', null] where key = 'orange_money'")
    connection.rollback()
    wave, orange = plan(connection, 10, ["wave_payment", "orange_money"])
    assert (wave.users_before, wave.users_after) == (12340, 1234)
    assert orange.users_after is None, "nobody knows how many hold a role"
    told = described([wave, orange])
    assert "environ 12 340 → 1 234 utilisateurs" in told.replace("\N{NARROW NO-BREAK SPACE}", " ")
    assert "parmi : agence" in told
    assert max(map(len, told.splitlines())) <= 80


def test_names_are_shown_harmless_and_short(connection: Connection) -> None:
    name = "\x1b[2JTrès long\n" + "x" * 100
    connection.exec_driver_sql("update feature_flags set name = %(name)s where key = 'monartisan'", {"name": name})
    told = described(
        [change._replace(users_before=12_345_678, users_after=0) for change in plan(connection, 0, ["monartisan"])]
    )
    assert "\x1b" not in told
    assert max(map(len, told.splitlines())) <= 80
    assert len(told.splitlines()) == 7


def test_a_plan_fits_80_columns_and_says_what_is_lost(connection: Connection) -> None:
    changes: Any = [change._replace(users_before=12_345_678, users_after=0) for change in
                    plan(connection, 0, [service.key for service in SERVICES])]  # fmt: skip
    told = described(changes)
    assert max(map(len, told.splitlines())) <= 80
    assert told.endswith(f"\nCes services ne serviront plus personne.\n{FUNCTIONS_MAY_GO_ON}")
    assert "\nCe service ne servira plus personne.\n" in described(changes[:1])
