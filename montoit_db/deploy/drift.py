"""What deployments have made, and what somebody has changed since.

The state before and after each revision of the schema is noted in the database, so that a revision records what it
made itself: an object that had drifted, and that the revision left alone, keeps its record. All of it is SQL, for
`--sql` scripts, too.
"""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any, NamedTuple

from alembic.runtime.migration import RevisionStep

from montoit_db.deploy.statements import run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sqlalchemy import Connection


def record(steps: Sequence[object], activation: str) -> None:
    """Let each revision among `steps` record what it makes, but for the activation, which makes nothing.

    The oldest revision makes what the notes need, and takes the first note itself.
    """
    revisions = [step for step in steps if isinstance(step, RevisionStep) and step.revision.revision != activation]
    for step in revisions:
        is_oldest = step.revision.down_revision is None
        if step.is_upgrade or not is_oldest:
            step.migration_fn = _recorded(
                step, takes_note=step is revisions[0] and not is_oldest, is_last=step is revisions[-1]
            )


def _recorded(step: RevisionStep, *, takes_note: bool, is_last: bool) -> Callable[..., None]:
    """Return the function of a step, with the notes around it."""
    run_step = step.migration_fn

    @wraps(run_step)
    def run_and_record(**options: Any) -> None:  # noqa: ANN401 -- Alembic's
        if takes_note:
            run("select montoit.record_objects('note');")
        run_step(**options)
        run(f"select montoit.record_objects('{'upgrade' if step.is_upgrade else 'downgrade'}');")
        if is_last:
            run(_FORGET_NOTES)

    return run_and_record


_FORGET_NOTES = """
delete from montoit.released_objects where fingerprint is null;
update montoit.released_objects set before = null where before is not null;
"""


class Difference(NamedTuple):
    """An object that is not what a deployment made, in the words that operators read.

    `is_problem`: it guards credentials, or is a function.
    """

    message: str
    remedy: str
    is_problem: bool


def differences(connection: Connection) -> list[Difference] | None:
    """Return what is different from what deployments made, object by object; None if there is no record.

    Whose the record is has been asked before, of trust: anybody else's view would run their code.

    Raises:
        sqlalchemy.exc.DBAPIError: the record cannot be read.

    """
    if not connection.exec_driver_sql(_IS_THERE).scalar():
        return None
    if not connection.exec_driver_sql(_IS_RECORDED).scalar():
        return None
    return [*_described(connection)]


_IS_THERE = """
select to_regclass('montoit.released_objects') is not null and to_regclass('montoit.objects') is not null
"""
_IS_RECORDED = "select exists (select from montoit.released_objects where fingerprint is not null)"

_DIFFERENT = """
select
    kind, relation, name, released.definition as released, present.definition as present,
    case kind
        when 'grant' then name in ('public', 'anon', 'authenticated', 'service_role')
        when 'policy' then (
            select roles && '{public, anon, authenticated, service_role}' from pg_policies
            where format('%I.%I', schemaname, tablename) = relation and policyname = name
        )
    end as is_open,
    case kind
        when 'grant' then replace(replace(present.definition, 'grant ', 'revoke '), ' to ' || name, ' from ' || name)
        when 'policy' then format('drop policy %I on %s', name, relation)
    end || ';' as undo
from (select * from montoit.released_objects where fingerprint is not null) as released
full join montoit.objects as present using (kind, relation, name)
where released.fingerprint is distinct from present.fingerprint
  and (released.fingerprint is not null or kind in ('policy', 'grant'))
order by relation, kind, name
"""

_NAMES = {
    "owner": "propriétaire de {relation}",
    "grant": "droits de {name} sur {relation}",
    "row level security": "row level security de {relation}",
    "policy": "règle « {name} » de {relation}",
    "column": "colonne {name} de {relation}",
    "constraint": "contrainte {name} de {relation}",
    "index": "index {name} de {relation}",
    "trigger": "déclencheur {name} de {relation}",
    "function": "fonction {relation}",
    "view": "vue {relation}",
}
_CREDENTIALS = {"public.api_keys", "montoit.given_credentials"}
_GUARDS = {"owner", "grant", "row level security", "policy", "trigger"}


def _described(connection: Connection) -> Iterator[Difference]:
    for row in connection.exec_driver_sql(_DIFFERENT, execution_options={"no_parameters": True}):
        what = _NAMES[row.kind].format(relation=row.relation, name=row.name)
        is_function = row.relation.endswith(")")
        guards = is_function or (row.relation in _CREDENTIALS and row.kind in _GUARDS)
        if row.released is not None:
            told = "n'existe plus" if row.present is None else "ne correspond plus à ce qui a été déployé"
            yield Difference(f"{what} : {told}", f"Définition déployée :\n{row.released.strip()}", guards)
            continue
        # An addition that opens nothing to the API's roles is the owner's own, unless it is about credentials.
        if row.is_open or guards:
            told = "ajout, qu'aucune révision n'a fait"
            yield Difference(f"{what} : {told}", f"Pour le retirer :\n{row.undo}", guards and row.is_open)
