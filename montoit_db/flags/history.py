"""`montoit-db history`: who changed what, and why; the trail and the flags' history in one list."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC
from typing import TYPE_CHECKING, Any

from montoit_db.display import DASH, on_one_line, shortened
from montoit_db.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection

WIDTH = 80  # columns of a line in a pipe or a file
MOST_DAYS = 3660


@dataclass(frozen=True, slots=True)
class Change:
    """One line of the history; `at` is Abidjan's time, which is UTC.

    `subject` is flag, or a subject of the trail; `key` is what was changed, `user_id` whom it is about. `jwt_user` is
    the user who was signed in, `role` and `login_role` are the database's (flags have no login role). `before` and
    `after` hold what differs; None: it was not there.
    """

    at: datetime
    subject: str
    key: str | None
    user_id: str | None
    jwt_user: str | None
    role: str
    login_role: str | None
    reason: str | None
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None


def read(connection: Connection, days: int, flags: Sequence[str] = ()) -> list[Change]:
    """Return the changes of the last `days` days, today included, the newest first; of some flags, if any is named.

    Raises:
        RefusedError: the database has no trail yet.
        sqlalchemy.exc.ProgrammingError: the role may not see every row.

    """
    # With row_security off, a role that may not see every row gets an error instead of fewer rows.
    _, is_ready = connection.exec_driver_sql(_READY).one()
    if not is_ready:
        raise RefusedError("Cette base n'a pas encore d'historique. Lancez : alembic upgrade schema@head")
    rows = connection.exec_driver_sql(_CHANGES, {"days": days, "flags": [*flags], "all": not flags})
    return [_change(row) for row in rows]


_READY = """
select set_config('row_security', 'off', true),
       to_regclass('montoit.trail') is not null and to_regclass('montoit.feature_flag_seed') is not null
"""
_CHANGES = """
select at, subject, key, user_id::text, jwt_user::text, role, login_role, reason,
       before, after
from (
    select at, subject, key, user_id, jwt_user, role, login_role, reason, before, after
    from montoit.trail
    where %(all)s or key = any (%(flags)s::text[]) or before ?| %(flags)s::text[]
    union all
    select changed_at, 'flag', flag_key, null, changed_by, actor, null, reason, previous_value, new_value
    from public.feature_flag_history
    where %(all)s or flag_key = any (%(flags)s::text[])
) as changes
where at >= (date_trunc('day', now() at time zone 'Africa/Abidjan') - (%(days)s - 1) * interval '1 day')
    at time zone 'Africa/Abidjan'
order by at desc, subject, key
"""


def _change(row: Any) -> Change:  # noqa: ANN401 -- a row
    change = Change(row.at.astimezone(UTC), *row[1:])
    if change.before is None or change.after is None:
        return change
    names = [
        name
        for name in dict.fromkeys([*change.before, *change.after])
        if change.before.get(name) != change.after.get(name) and name not in {"updated_at", "updated_by"}
    ]
    return replace(
        change,
        before={name: change.before[name] for name in names if name in change.before},
        after={name: change.after[name] for name in names if name in change.after},
    )


_SUBJECTS = {
    "activation": "activation", "rollback": "retour arrière", "rotation": "credentials", "rollout": "parts",
    "purge": "purge", "override": "exception", "credential": "credential", "administrator": "administrateur",
}  # fmt: skip
# What a line shows of a row, in this order, and how it calls it.
_NAMES = {
    "is_enabled": "actif", "is_active": "actif", "is_administrator": "administrateur", "rollout_percentage": "part",
    "credentials_status": "credentials", "services": "services", "environment": "environnement", "changed": "changés",
    "value": "valeur", "store": "lieu", "expires_at": "fin", "allowed_roles": "rôles", "endpoint": "adresse",
    "rows": "lignes", "deleted": "supprimées",
}  # fmt: skip
_WORDS = {None: DASH, True: "oui", False: "non", "changed": "changée"}
_LONGEST_WHO = 13
# What is left of the change beside a long reason: less beside words that somebody has typed.
_LEAST_BESIDE_WORDS, _LEAST_BESIDE_COMMAND = 30, 46
_COMMAND_AND_WORDS = re.compile(r"((?:montoit-db|alembic) .+?)(?<!\(24 h) : (.+)")  # not a guard's figures


def described(changes: Sequence[Change], days: int, width: int = WIDTH) -> str:
    """Return a line for each change, at most `width` columns wide: when (Abidjan), who, what (from → to), why.

    Of a reason, the words that somebody has typed come before the command that they were given to.
    """
    if not changes:
        return f"Aucun changement en {days} jour{'s' if days > 1 else ''}."
    widest = max(len(_who(change)) for change in changes)
    return "\n".join(_line(change, widest, width) for change in changes)


def _who(change: Change) -> str:
    return shortened(on_one_line(change.jwt_user[:8] if change.jwt_user else change.role), _LONGEST_WHO)


def _line(change: Change, widest: int, width: int) -> str:
    start = f"{change.at:%d/%m/%y %H:%M}  {_who(change):<{widest}}  "
    what, reason = on_one_line(_what(change)), on_one_line(change.reason or "")
    if reason:
        least = _LEAST_BESIDE_WORDS
        if both := _COMMAND_AND_WORDS.fullmatch(reason):
            reason = f"{both[2]} ({both[1]})"
        elif reason.startswith(("montoit-db ", "alembic ")):
            least = _LEAST_BESIDE_COMMAND
        reason = f" : {reason}"
        room = width - len(start)
        what = shortened(what, max(least, room // 2, room - len(reason)))
    return shortened(f"{start}{what}{reason}", width)


def _what(change: Change) -> str:
    subject = _SUBJECTS.get(change.subject, "" if change.subject == "flag" else change.subject)
    about = " ".join(filter(None, [change.key, (change.user_id or "")[:8]]))
    if change.subject in {"activation", "rollback", "rotation", "rollout"}:
        about = ""  # the key is InTouch, or the keys stand below
    named = " ".join(filter(None, [subject, about]))
    if change.subject == "flag" and (change.before is None or change.after is None):
        return f"{named} {'créé' if change.before is None else 'supprimé'}"
    before, after = change.before or {}, change.after or {}
    names = dict.fromkeys([*before, *after])
    if change.subject == "rollout" and len(set(before.values())) == len(set(after.values())) == 1 < len(after):
        return f"parts de {len(after)} flags {_shown(*set(before.values()))} → {_shown(*set(after.values()))}"
    shown = [name for name in _NAMES if name in names] or [*names]
    return " ".join([named, ", ".join(_step(name, before.get(name), after.get(name)) for name in shown)]).strip()


def _step(name: str, before: object, after: object) -> str:
    if name in {"changed", "value"}:
        return f"{_NAMES[name]} {_shown(after)}"
    if name == "environment" and before is None:
        return str(after)
    return f"{_NAMES.get(name, name)} {_shown(before)} → {_shown(after)}"


def _shown(value: object) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value)) or "aucun"
    if value is None or isinstance(value, (bool, str)):
        return _WORDS.get(value, str(value))
    return str(value)
