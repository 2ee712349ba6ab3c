"""The session of docs/session.txt: a rollout, its history, the monitoring, and a drift."""

from __future__ import annotations

import re
import shlex
import textwrap
from typing import TYPE_CHECKING

from tests.support.commands import on, run

if TYPE_CHECKING:
    from tests.support.database import Database

COMMANDS = (
    'montoit-db rollout 10 --reason "Semaine 1" --yes',
    "montoit-db rollout 50 --flag wave_payment --flag orange_money --yes",
    "montoit-db rollout 50 --flag debug_mode --yes",
    "montoit-db history --days 2 --flag wave_payment",
    "montoit-db monitor --max-failure-rate 1",
)

# What somebody does by hand, and what `check` says of it; its other lines name the server.
BY_HAND = "psql -c 'grant select on api_keys to anon; drop index idx_sms_logs_user_id'"
CHECK = "montoit-db check --schema"

# A week of traffic, the same whatever the time: from the midnights of Abidjan on, a row a second.
TRAFFIC = """
create schema auth; create table auth.users (id int); insert into auth.users select generate_series(1, 12000);
analyze auth.users;
create temporary table traffic as
select log, day, number, number <= failed as is_failed,
       (date_trunc('day', now() at time zone 'Africa/Abidjan') - day * interval '1 day'
        + case when day = 0 then 0 else number end * interval '1 second') at time zone 'Africa/Abidjan' as at,
       log || '-' || day || '-' || number as id
from (values ('payment', 150, 3), ('sms', 600, 2), ('whatsapp', 60, 1)) as logs (log, total, most),
     generate_series(0, 6) as day,
     lateral (select case when day = 0 then 1 else day %% (most + 1) end as failed) as failures,
     generate_series(1, total + day * 37 %% 60) as number;
insert into payment_logs (amount, payment_method, phone_number, partner_transaction_id, status, status_code,
                          status_message, provider, created_at)
select 5000 + number * 100, 'wave', '+2250701020304', id, case when is_failed then 'failed' else 'success' end,
       case when is_failed then 402 end, case when is_failed then 'Compte 0701020304 inactif' end, 'intouch', at
from traffic where log = 'payment';
insert into sms_logs (phone_number, message, partner_transaction_id, status, status_code, status_message, provider,
                      created_at)
select '+2250501020304', 'm', id, case when is_failed then 'failed' else 'delivered' end,
       case when is_failed then 200 end, case when is_failed then 'Numéro injoignable' end, 'intouch', at
from traffic where log = 'sms';
insert into whatsapp_logs (phone_number, message, partner_transaction_id, status, provider, created_at)
select '+2250101020304', 'm', id, case when is_failed then 'failed' else 'read' end, 'intouch', at
from traffic where log = 'whatsapp';
""".replace("%%", "%")


def recorded(database: Database) -> str:
    """Return the session: each command, what it prints, and its status if that is not 0."""
    database.execute(TRAFFIC)
    blocks = []
    for command in COMMANDS:
        result = run(*shlex.split(command), environment={**on(database), "COLUMNS": "80"})
        errors = result.stderr.partition("\n")[2]  # without the target, which every run names otherwise
        status = f"(code {result.returncode})\n" if result.returncode else ""
        blocks.append(f"$ {command}\n{result.stdout}{errors}{status}")
    blocks.append(drifted(database))
    return "\n".join(line.rstrip() for line in "\n".join(blocks).splitlines()) + "\n"


def drifted(database: Database) -> str:
    """Return the session of a drift: the change by hand, and what `check` finds of it."""
    database.execute(shlex.split(BY_HAND)[2])
    result = run(*shlex.split(CHECK), environment={**on(database), "COLUMNS": "80"})
    assert result.returncode == 1
    found = re.findall(r"^\S+ Dérive : .*\n(?:(?![✅⚠❌]).*\n)*", result.stdout, re.MULTILINE)
    lines = [line for text in found for long in text.splitlines() for line in textwrap.wrap(long, 80)]
    folded = "\n".join(lines)  # a terminal folds long lines, too
    return f"$ {BY_HAND}\n\n$ {CHECK}\n…\n{folded}\n…\n(code 1)\n"
