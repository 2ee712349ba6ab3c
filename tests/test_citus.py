"""docs/scaling/citus.sql, on a real Citus: the coordinator that a variable names, else a container of a single node."""

from __future__ import annotations

import os
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from montoit_db.database import engine_url
from tests.support.checkout import ROOT
from tests.support.commands import Alembic, on, run, run_check
from tests.support.database import Database, program
from tests.support.servers import container, docker_answers

if TYPE_CHECKING:
    from collections.abc import Iterator

# A database for this test alone, on a coordinator that knows its workers (citus_add_node).
VARIABLE = "MONTOIT_TEST_CITUS_URL"
NAMED = os.environ.get(VARIABLE)  # while it is there: tests hide the developer's own variables
IMAGE = "citusdata/citus:13.2"

ROWS = """
insert into payment_logs (amount, payment_method, partner_transaction_id, status, created_at)
select 1000, 'wave', 'p' || i, case when i % 20 = 0 then 'failed' else 'success' end, now() - i * interval '10 minutes'
from generate_series(1, 2000) as i;
insert into sms_logs (phone_number, message, partner_transaction_id, status, created_at)
select '+2250701020304', 'm', 's' || i, case when i % 10 = 0 then 'failed' else 'sent' end,
    now() - i * interval '10 minutes'
from generate_series(1, 2000) as i;
"""
SCRIPT = ROOT / "docs" / "scaling" / "citus.sql"
VIEWS = ("intouch_payments_daily", "intouch_sms_daily", "intouch_whatsapp_daily", "intouch_costs")
LOGS = ("payment_logs", "sms_logs", "whatsapp_logs")


@pytest.fixture
def citus() -> Iterator[Database]:
    if NAMED:
        yield Database(engine_url(NAMED))
    elif docker_answers():
        with container(IMAGE) as url:
            yield Database(url)
    else:
        pytest.skip(f"no Citus: neither {VARIABLE} nor a Docker engine")


def test_the_function_for_citus_answers_as_ours(schema_only: Database) -> None:
    """Here without a Citus, so that it cannot be forgotten when ours changes."""
    schema_only.execute(f"{ROWS}; update payment_logs set status = 'cancelled' where partner_transaction_id like '%40'")
    question = " union all ".join(f"select * from montoit.intouch_daily('{log}', 9)" for log in LOGS)
    figures = schema_only.rows(question)
    (function,) = re.findall(
        r"^create or replace function montoit\.intouch_daily.*?^\$\$;", SCRIPT.read_text(), re.MULTILINE | re.DOTALL
    )
    schema_only.execute(function)
    assert schema_only.rows(question) == figures
    assert all(sum(row[column] for row in figures) for column in (1, 2, 3, 4)), "every figure is there"


def test_the_logs_are_distributed_and_the_views_answer_as_before(citus: Database) -> None:
    alembic = Alembic(citus)
    alembic.succeeds("upgrade", "head")
    citus.execute(ROWS)
    figures = [citus.rows(f"select * from {view}") for view in VIEWS]
    result = subprocess.run(
        [program("psql"), "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--single-transaction",
         "--dbname", citus.address, "--file", SCRIPT],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    try:
        assert {table for (table,) in citus.rows("select table_name::text from citus_tables")} == set(LOGS)
        assert [citus.rows(f"select * from {view}") for view in VIEWS] == figures
        as_service = "set local role service_role; "
        payment = "insert into payment_logs (amount, payment_method, partner_transaction_id) values (5, 'wave', 'new')"
        citus.execute(as_service + payment)
        citus.execute(f"{as_service} update payment_logs set status = 'success' where partner_transaction_id = 'new'")
        assert (
            citus.value("select updated_at > created_at from payment_logs where partner_transaction_id = 'new'") is True
        )
        with pytest.raises(Exception, match="payment_logs_partner_transaction_id_key"):
            citus.execute(as_service + payment)
        with pytest.raises(Exception, match="permission denied"):
            citus.execute("set local role authenticated; select * from payment_logs")
        code, findings = run_check(citus)
        assert (code, findings.get("Dérive")) == (0, None), findings
        assert run("montoit-db", "monitor", "--days", "3", environment=on(citus)).returncode == 0
        alembic.succeeds("downgrade", "-1")
        alembic.succeeds("upgrade", "head")
    finally:
        for log in LOGS:
            citus.execute(f"select undistribute_table('public.{log}')")
        alembic.succeeds("-x", "allow-data-loss=yes", "downgrade", "base")
