"""`--sql`: a script printed, filled in by hand, and run."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

from montoit_db.database import engine_url
from tests.support.commands import run_alembic
from tests.support.database import Database, pg_dump, program
from tests.support.settings import PRODUCTION

if TYPE_CHECKING:
    from collections.abc import Mapping

NOWHERE = engine_url("postgresql://nobody@127.0.0.1:1/nowhere")
PLACEHOLDERS = {
    "INTOUCH_USERNAME": "YOUR_INTOUCH_USERNAME",
    "INTOUCH_PASSWORD": "YOUR_INTOUCH_PASSWORD",
    "INTOUCH_PARTNER_ID": "YOUR_PARTNER_ID",
    "INTOUCH_LOGIN_API": "YOUR_LOGIN_API",
    "INTOUCH_PASSWORD_API": "YOUR_PASSWORD_API",
}


def script(*arguments: str, environment: Mapping[str, str] | None = None) -> str:
    """Return what `alembic … --sql` prints; it needs neither a database nor a setting."""
    result = run_alembic(Database(NOWHERE), [*arguments, "--sql"], environment or {})
    assert result.code == 0, result.err
    return result.out


def fill_in(text: str, environment: Mapping[str, str] = PRODUCTION) -> str:
    """Do by hand what the header asks for."""
    for variable, placeholder in PLACEHOLDERS.items():
        text = text.replace(f"'{placeholder}'", "'" + environment[variable].replace("'", "''") + "'", 1)
    return text.replace(
        "('montoit.environment', 'production'", f"('montoit.environment', '{environment['INTOUCH_ENVIRONMENT']}'"
    )


def with_psql(database: Database, text: str) -> subprocess.CompletedProcess[str]:
    """Run a script as an operator does, who stops at the first error."""
    url = database.url
    return subprocess.run(
        [
            program("psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", str(url.host or url.query["host"]),
            "-p", str(url.port or url.query.get("port", 5432)), "-U", str(url.username), "-d", database.name, "-f", "-",
        ],
        input=text, env={"PGPASSWORD": str(url.password or ""), "PGCLIENTENCODING": "UTF8"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def state(database: Database) -> str:
    """Return a dump without what differs by chance: ids, moments, and the order of rows."""
    dump = pg_dump(database, "--inserts")
    dump = re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "<id>", dump)
    dump = re.sub(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?(\+\d\d(:\d\d)?)?", "<moment>", dump)
    return "\n".join(sorted(dump.splitlines()))
