"""`montoit-db rollout`: change the share of users that flags are served to."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy.exc import DBAPIError

from montoit_db.database import path_of_others
from montoit_db.deploy.locks import LOCK_ERRORS, take_lock, who_blocks
from montoit_db.display import number, on_one_line, shortened, with_words
from montoit_db.errors import RefusedError
from montoit_db.intouch.catalogue import SERVICES
from montoit_db.intouch.summary import FUNCTIONS_MAY_GO_ON

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection, Row

    from montoit_db.flags.guard import Guard
    from montoit_db.settings import DeploymentSettings


class Change(NamedTuple):
    """A flag's share of users, in percent, before and after; `roles` are the roles that it is limited to.

    `users_before` and `users_after` are estimates; None if no table of users can be read, or if roles limit the flag.
    """

    key: str
    name: str
    before: int
    after: int
    roles: tuple[str, ...]
    users_before: int | None
    users_after: int | None

    @property
    def is_needed(self) -> bool:
        """Whether the share differs."""
        return self.before != self.after


def plan(connection: Connection, share: int, keys: Sequence[str]) -> list[Change]:
    """Return what giving the flags `keys` to `share` percent of users would change; nothing is written.

    Raises:
        RefusedError: naming each flag that is unknown, off, or without credentials.

    """
    if connection.exec_driver_sql("select to_regclass('montoit.feature_flag_seed')").scalar() is None:
        raise RefusedError("Cette base n'a pas encore nos tables, rien n'a été modifié. Lancez : alembic upgrade head")
    flags = _flags(connection, keys)
    users = _users(connection)
    return [_change(flags[key], share, users) for key in dict.fromkeys(keys)]


def _flags(connection: Connection, keys: Sequence[str]) -> dict[str, Row[Any]]:
    """Return the flags by key; refuse flags that are unknown, off, or without credentials."""
    flags = {row.key: row for row in connection.exec_driver_sql(_FLAGS, {"keys": list(keys)})}
    problems = [f"  - {key} : {problem}" for key in dict.fromkeys(keys) if (problem := _problem(flags.get(key)))]
    if problems:
        raise RefusedError("\n".join(["Déploiement progressif refusé, rien n'a été modifié :", *problems]))
    return flags


_FLAGS = """
select key, name, is_enabled, requires_credentials and credentials_status = 'not_configured' as lacks_credentials,
       coalesce(rollout_percentage, 0) as rollout_percentage,
       array_remove(coalesce(allowed_roles, '{}'), null) as allowed_roles
from public.feature_flags
where key = any(%(keys)s)
"""


def _problem(flag: Row[Any] | None) -> str | None:
    if flag is None:
        return "ce flag n'existe pas, ou ce rôle de connexion ne le voit pas"
    if not flag.is_enabled:
        return "désactivé. Les services InTouch : alembic upgrade head"
    if flag.lacks_credentials:
        return "credentials non configurés. InTouch : alembic upgrade head"
    return None


def _change(flag: Row[Any], share: int, users: int | None) -> Change:
    before, after = (
        None if users is None or flag.allowed_roles else round(users * percent / 100)
        for percent in (flag.rollout_percentage, share)
    )
    return Change(flag.key, flag.name, flag.rollout_percentage, share, tuple(flag.allowed_roles), before, after)


def _users(connection: Connection) -> int | None:
    """Estimate the number of users by the planner's statistics: that counts nothing and waits for nothing."""
    return connection.exec_driver_sql(_USERS).scalar()


# Not by to_regclass(): that is an error if the role may not use the schema.
_USERS = """
select c.reltuples::bigint
from pg_class as c
join pg_namespace as n on n.oid = c.relnamespace
where (n.nspname, c.relname) in (('auth', 'users'), ('public', 'profiles'))
  and c.relkind in ('r', 'p')
  and c.reltuples >= 0
  and has_schema_privilege(n.oid, 'usage')
  and has_table_privilege(c.oid, 'select')
order by n.nspname
limit 1
"""


_LABELS = {service.key: service.label for service in SERVICES}
_WIDEST = 26  # characters of a name
_NOBODY = ("Ces services ne serviront plus personne.", "Ce service ne servira plus personne.")


def described(changes: Sequence[Change]) -> str:
    """Return a plan in French, 80 columns wide; a service of InTouch's has its name of the catalogue."""
    names = {change.key: shortened(on_one_line(_LABELS.get(change.key, change.name)), _WIDEST) for change in changes}
    widest = max(map(len, names.values()))
    lines = [f"Part des utilisateurs : {changes[0].after} %", ""]
    for change in changes:
        step = f"{change.before} % → {change.after} %" if change.is_needed else "inchangé"
        lines.append(f"  {names[change.key]:<{widest}}  {step:<15}{_whom(change)}".rstrip())
    moved = [change for change in changes if change.is_needed]
    if not moved:
        return "\n".join([*lines, "", "Rien à changer."])
    lines.append("")
    if any(change.after > change.before for change in moved):
        lines.append("Part élargie : ceux qui sont servis le restent, d'autres s'y ajoutent.")
    if not changes[0].after:
        lines += [_NOBODY[len(changes) == 1], FUNCTIONS_MAY_GO_ON]
    elif any(change.after < change.before for change in moved):
        lines.append("Part réduite : une partie de ceux qui sont servis ne le seront plus.")
    return "\n".join(lines)


def _whom(change: Change) -> str:
    if change.roles:
        return f"parmi : {shortened(on_one_line(', '.join(change.roles)), _WIDEST)}"
    if change.users_before is None or not change.is_needed:
        return ""
    return f"environ {number(change.users_before)} → {number(change.users_after)} utilisateurs"


_LOCK_FLAGS = "select from public.feature_flags where key = any(%(keys)s) order by key for update"
_SET_SHARE = "update public.feature_flags set rollout_percentage = %(share)s where key = any(%(keys)s)"
_COUNT_CHANGED = (
    "select count(*) from public.feature_flags where key = any(%(keys)s) and rollout_percentage = %(share)s"
)
_RECORD = """
insert into montoit.trail (subject, before, after) values ('rollout', %(before)s, %(after)s)
returning coalesce(reason, '')
"""


def reason_for(order: str, words: str, figures: str = "") -> str:
    """Return the reason of an order; the operator's own words stand last, since a long reason is cut."""
    return on_one_line(with_words(f"{order} ({figures})" if figures else order, words))


def apply(  # noqa: PLR0913, PLR0917 -- a guard and words are what few callers have
    connection: Connection,
    changes: Sequence[Change],
    order: str,
    settings: DeploymentSettings,
    guard: Guard | None = None,
    words: str = "",
) -> str:
    """Carry out a plan in one transaction, and commit; return the reason that the history and the trail have stored.

    It has the order, the figures of a guard, which judges once more, and the operator's own words.

    Raises:
        RefusedError: a flag has changed since the plan, somebody holds a lock on it, or a trigger undid the change; or
            the guard objects.

    """
    before = {change.key: change.before for change in changes if change.is_needed}
    if not before:
        return ""
    after = dict.fromkeys(before, changes[0].after)
    values = {"keys": list(before), "share": changes[0].after}
    figures = ""
    try:
        take_lock(connection, settings.deploy_timeout)  # what the plan has read is old by now
        if guard is not None:
            figures = guard.decide(connection, [change.key for change in changes])
        connection.exec_driver_sql(
            "select set_config('lock_timeout', %(timeout)s, true), set_config('montoit.reason', %(reason)s, true)",
            {
                "timeout": f"{round(1000 * settings.lock_timeout)}ms",
                "reason": reason_for(order, words, figures),
            },
        )
        if len(connection.exec_driver_sql(_LOCK_FLAGS, values).all()) != len(before):
            raise RefusedError(
                "Ce rôle de connexion ne peut pas modifier ces flags, rien n'a été modifié. Connectez-vous avec "
                "leur propriétaire (sur Supabase : postgres)."
            )
        flags = _flags(connection, list(before))
        if {key: flag.rollout_percentage for key, flag in flags.items()} != before:
            raise RefusedError("Un des flags a changé entre-temps, rien n'a été modifié. Relancez la commande.")
        with path_of_others(connection):
            connection.exec_driver_sql(_SET_SHARE, values)
        if connection.exec_driver_sql(_COUNT_CHANGED, values).scalar_one() != len(before):
            raise RefusedError(
                "Rien n'a été modifié : après écriture la base ne montre pas la part demandée. Cherchez un "
                "déclencheur (trigger) ajouté à public.feature_flags."
            )
        recorded = {"before": json.dumps(before), "after": json.dumps(after)}
        stored: str = connection.exec_driver_sql(_RECORD, recorded).scalar_one()
        connection.commit()
    except DBAPIError as error:
        if not isinstance(error.orig, LOCK_ERRORS):
            raise
        connection.rollback()
        raise RefusedError(f"Verrou impossible à obtenir, rien n'a été modifié.\n{who_blocks(connection)}") from None
    else:
        return stored
    finally:
        connection.rollback()
