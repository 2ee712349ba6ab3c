"""What the lasting words mean in every release: `head`, `-1`, `schema@head`, `intouch@head`.

There are two branches (see `revisions`), so that Alembic knows two heads: it refuses the word `head`, and `-1` may be
either branch. Here each word gets one meaning, whatever schema has been released since:

upgrade      head           the whole schema, then InTouch on
             schema@head    the whole schema; InTouch stays as it is
             intouch@head   InTouch on, and the schema that it needs
downgrade    -1             InTouch off, and nothing else; also intouch@-1
             schema@-1      one revision of the schema back
stamp        head           every revision counts as applied
             schema@head    all but the activation

Every other destination is Alembic's own.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from alembic.runtime.migration import RevisionStep, StampStep

from montoit_db.deploy import drift
from montoit_db.deploy.revisions import ACTIVATION, HEAD, ROLLBACK, SCHEMA, Tree, listed
from montoit_db.errors import MontoitError, RefusedError
from montoit_db.settings import ordered_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from alembic.runtime.migration import MigrationContext
    from alembic.script import Script

    from montoit_db.intouch.state import InTouchState

    Step = RevisionStep | StampStep

RELATIVE = re.compile(r"[+-]\d+$")


class Words:
    """Stands in for the function by which an Alembic command chooses its steps.

    `read_state` returns what the database says of InTouch: the data decide whether it is on, not the version table.
    It is None if there is no database to ask (`--sql`).
    """

    def __init__(self, migration: MigrationContext, read_state: Callable[[], InTouchState] | None) -> None:
        """Take the place of the command's own function."""
        self._alembics_function = migration.opts["fn"]
        self.verb: str = self._alembics_function.__name__  # a word depends on it: `downgrade head` is no activation
        self._migration = migration
        self._read_state = read_state
        self.tree = Tree(migration.opts["script"])
        migration.opts["fn"] = self
        migration._migrations_fn = self  # type: ignore[assignment]  # noqa: SLF001 -- a test fails when the name is gone

    def __call__(self, heads: Sequence[str], _migration: MigrationContext | None = None) -> list[Step]:
        """Return the steps of the command, from a database whose version table holds `heads`.

        Raises:
            MontoitError: the word does not mean anything here; the message says what to type.

        """
        self.tree.script.get_revisions(tuple(heads))  # raises for a database that is newer
        steps = self._steps_of_lasting_word(tuple(heads))
        try:
            if steps is None:
                steps = list(self._alembics_function(tuple(heads), self._migration) or ())
        except AssertionError:
            raise MontoitError(
                f"« {self._destination} » n'a pas de sens depuis la révision {listed(heads) or 'aucune'} : rien n'a "
                "été modifié. Nommez une révision : alembic history"
            ) from None
        drift.record(steps, self.tree.activation.revision)
        return steps

    @property
    def _destination(self) -> str:
        destination = self._migration.opts.get("destination_rev")
        return destination if isinstance(destination, str) else ", ".join(destination or ())

    @property
    def is_relative(self) -> bool:
        """Whether the destination is counted from the current revision, which a first attempt may have changed."""
        return bool(RELATIVE.search(self._destination)) and self._destination not in ROLLBACK

    def _steps_of_lasting_word(self, heads: tuple[str, ...]) -> list[Step] | None:
        """Return the steps of a lasting word; None for any other destination."""
        match self.verb:
            case "upgrade":
                return self._upgrade(heads, self._destination)
            case "downgrade":
                return self._downgrade(heads, self._destination)
            case "do_stamp":
                return self._stamp(heads, self._destination)
            case "retrieve_migrations" if {s.revision for s in self.tree.schema()} <= self.tree.applied(heads):
                # The models are compared with the schema, which is complete even while InTouch is off.
                return list(self._alembics_function(tuple(self.tree.script.get_heads()), self._migration))
        return None

    def _upgrade(self, heads: tuple[str, ...], to: str) -> list[Step] | None:
        if to in HEAD:
            return [*self._schema_steps(heads, None), *self._switch_on(heads, completes=False)]
        if to in {f"{SCHEMA}@head", f"{SCHEMA}@heads"}:
            return self._schema_steps(heads, None)
        if to in ACTIVATION or to == self.tree.activation.revision:
            return [*self._schema_steps(heads, self.tree.fork), *self._switch_on(heads, completes=True)]
        return None

    def _downgrade(self, heads: tuple[str, ...], to: str) -> list[Step] | None:
        if to in ROLLBACK:
            return self._switch_off(heads)
        if to == f"{SCHEMA}@-1":
            return self._one_schema_step_back(heads)
        if RELATIVE.fullmatch(to) and len(heads) > 1:
            raise MontoitError(
                f"« {to} » depuis deux révisions ({listed(heads)}) est ambigu, rien n'a été modifié. Désactiver "
                "InTouch : alembic downgrade -1. Une étape du schéma : alembic downgrade schema@-1"
            )
        return None

    def _stamp(self, heads: tuple[str, ...], to: str) -> list[Step] | None:
        if to in HEAD:
            return self._stamps(heads, {self.tree.activation.revision, self.tree.schema_head} - self._below())
        if to in {f"{SCHEMA}@head", f"{SCHEMA}@heads"}:
            return self._stamps(heads, {self.tree.schema_head})
        return None

    def _below(self) -> set[str]:
        """Return the activation's parent unless the schema has forked: without a fork it is no head of its own."""
        return set() if self.tree.has_schema_branch else {self.tree.fork}

    def _schema_steps(self, heads: tuple[str, ...], to: str | None) -> list[Step]:
        applied = self.tree.applied(heads)
        return [self._step(script) for script in self.tree.schema(to) if script.revision not in applied]

    def _step(self, script: Script, *, is_upgrade: bool = True) -> Step:
        return RevisionStep(self.tree.script.revision_map, script, is_upgrade)

    def _switch_on(self, heads: tuple[str, ...], *, completes: bool) -> list[Step]:
        """Return the activation, unless InTouch is on already.

        Raises:
            RefusedError: InTouch is on in another environment, or in part and the word does not complete it.

        """
        activation = self.tree.activation
        if activation.revision not in heads:
            return [self._step(activation)]
        state = self._read_state() if self._read_state is not None else None
        if state is None:
            return []
        contradiction = state.contradiction(ordered_environment() or "production")
        if contradiction is not None:
            raise RefusedError(f"Rien n'a été modifié. {contradiction} Le schéma seul : alembic upgrade {SCHEMA}@head")
        if state.is_complete:
            return []
        services = state.services
        off = [service for service in services if not service.is_enabled]
        if all(service.state == "missing" for service in services):
            raise RefusedError(
                f"La table des versions dit {listed(heads)}, mais les services n'existent pas dans cette base (alembic "
                "stamp ?) : rien n'a été modifié. Corrigez-la : alembic stamp base, puis : alembic upgrade head"
            )
        if off and len(off) < len(services) and not completes:
            raise RefusedError(
                "InTouch est activé en partie, rien n'a été modifié. Désactivés dans la base :\n"
                + "".join(f"  - {service.label} ({service.key})\n" for service in off)
                + "Tout activer : alembic upgrade intouch@head. Le schéma seul : alembic upgrade schema@head"
            )
        if not off and not completes:
            active, expected, _ = state.credentials
            raise RefusedError(
                "InTouch est activé, mais pas opérationnel, et rien n'a été modifié : "
                f"{active}/{expected} credentials actifs. Voyez : montoit-db status\n"
                f"Pour le réparer : {state.next_command}. Le schéma seul : alembic upgrade schema@head"
            )
        return [self._correct(heads, is_on=False), self._step(activation)]

    def _switch_off(self, heads: tuple[str, ...]) -> list[Step]:
        """Return the rollback; nothing if both the data and the version table say that InTouch is off.

        Raises:
            RefusedError: services are on, and the schema that could switch them off is incomplete.

        """
        activation = self.tree.activation
        rollback = self._step(activation, is_upgrade=False)
        if activation.revision in heads:
            return [rollback]
        state = self._read_state() if self._read_state is not None else None
        if state is not None and state.has_foreign_flags:
            raise RefusedError(
                "La table feature_flags de cette base n'est pas encore reprise : rien n'a été modifié. Ce qui y est "
                "actif se désactive après : alembic upgrade schema@head"
            )
        if state is None or not state.is_on:
            return []
        if self.tree.fork not in self.tree.applied(heads):
            raise RefusedError(
                "Des services InTouch sont actifs, et le schéma qui les désactive n'est pas complet : rien n'a été "
                "modifié. Lancez : alembic upgrade schema@head, puis : alembic downgrade -1"
            )
        return [self._correct(heads, is_on=True), rollback]

    def _correct(self, heads: tuple[str, ...], *, is_on: bool) -> Step:
        """Return the step that makes the version table agree with the data, before these are changed."""
        activation, fork = self.tree.activation.revision, self.tree.fork
        one_row = not (set(heads) - {activation, fork})  # otherwise the branch `schema` has a row of its own
        revisions = self.tree.script.revision_map
        if is_on:
            return StampStep(fork if one_row else None, activation, True, not one_row, revisions)  # noqa: FBT003
        return StampStep(activation, fork if one_row else None, False, not one_row, revisions)  # noqa: FBT003

    def _one_schema_step_back(self, heads: tuple[str, ...]) -> list[Step]:
        """Return the downgrade of the newest revision of the schema that is applied.

        Raises:
            RefusedError: InTouch needs that revision and is on, or no revision is applied.

        """
        applied = self.tree.applied(heads)
        schema = [script for script in self.tree.schema() if script.revision in applied]
        if not schema:
            raise RefusedError("Aucune révision n'est appliquée : rien n'a été modifié.")
        if schema[-1].revision == self.tree.fork and self.tree.activation.revision in heads:
            raise RefusedError(
                f"InTouch est activé et a besoin de la révision {schema[-1].revision} : rien n'a été modifié. "
                "Désactivez-le d'abord : alembic downgrade -1"
            )
        return [self._step(schema[-1], is_upgrade=False)]

    def _stamps(self, heads: tuple[str, ...], wanted: set[str]) -> list[Step]:
        """Return the steps after which the version table holds exactly the rows `wanted`."""
        revisions = self.tree.script.revision_map
        return [
            *(StampStep(row, None, False, True, revisions) for row in sorted(set(heads) - wanted)),  # noqa: FBT003
            *(StampStep(None, row, True, True, revisions) for row in sorted(wanted - set(heads))),  # noqa: FBT003
        ]


def let_revisions_object(migration: MigrationContext) -> list[RevisionStep]:
    """Let every revision of the plan object before the first of them runs, and return the plan.

    A revision objects by an error of its function `before_upgrade` or `before_downgrade`, which looks for what would
    make the revision fail.
    """
    steps = planned_steps(migration)
    objections = [
        getattr(step.revision.module, "before_upgrade" if step.is_upgrade else "before_downgrade", None)
        for step in reversed(steps)  # the activation's first: at the top of a script stand the values to be filled in
    ]
    for objection in dict.fromkeys(objections):  # several revisions share a function: it runs once
        if objection is not None:
            objection()
    return steps


def planned_steps(migration: MigrationContext) -> list[RevisionStep]:
    """Return the revisions that an upgrade or a downgrade will go through; none for `stamp`."""
    heads = () if migration.purge else migration.get_current_heads()
    steps = migration.opts["fn"](heads, migration)
    return [step for step in steps if isinstance(step, RevisionStep)]
