"""What the lasting words mean in every release: `head`, `-1`, `schema@head`, `intouch@head`.

There are two branches (see `revisions`), so Alembic knows two heads, for which it refuses `head` and takes any one for
`-1`. Here these words get one meaning, whatever schema has been released since:

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

from montoit_db.deploy.revisions import INTOUCH, SCHEMA, Tree, listed
from montoit_db.errors import MontoitError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from alembic.runtime.migration import MigrationContext
    from alembic.script import Script

    from montoit_db.intouch.state import InTouchState

    Step = RevisionStep | StampStep

RELATIVE = re.compile(r"[+-]\d+$")


class Words:
    """Stands in for the function by which an Alembic command chooses its steps.

    `read` returns what the database says of InTouch: on or off is decided by the data, not by the version table. With
    `--sql` there is no database to ask, and `read` is None.
    """

    def __init__(self, migration: MigrationContext, read: Callable[[], InTouchState] | None) -> None:
        """Take the place of the command's own function."""
        self._alembics = migration.opts["fn"]
        self.verb: str = self._alembics.__name__  # tied to its command: `downgrade head` is no activation
        self._migration = migration
        self._read = read
        self.tree = Tree(migration.opts["script"])
        migration.opts["fn"] = self
        migration._migrations_fn = self  # type: ignore[assignment]  # noqa: SLF001 -- a test fails when the name is gone

    def __call__(self, heads: Sequence[str], _migration: MigrationContext | None = None) -> list[Step]:
        """Return the steps of the command, from a database whose version table holds `heads`.

        Raises:
            MontoitError: the word does not mean anything here; the message says what to type.

        """
        self.tree.script.get_revisions(tuple(heads))  # Alembic's own message where the database is newer
        own = self._own_steps(tuple(heads))
        if own is not None:
            return own
        try:
            return list(self._alembics(tuple(heads), self._migration) or ())
        except AssertionError:
            raise MontoitError(
                f"« {self._destination} » n'a pas de sens depuis la révision {listed(heads) or 'aucune'} : rien n'a "
                "été modifié. Nommez une révision : alembic history"
            ) from None

    @property
    def _destination(self) -> str:
        given = self._migration.opts.get("destination_rev")
        return given if isinstance(given, str) else ", ".join(given or ())

    @property
    def is_relative(self) -> bool:
        """Whether the destination is counted from the current revision, which a first attempt has moved."""
        return bool(RELATIVE.search(self._destination)) and self._destination not in {"-1", f"{INTOUCH}@-1"}

    def _own_steps(self, heads: tuple[str, ...]) -> list[Step] | None:
        """Return the steps where the word is one of ours, else None."""
        match self.verb:
            case "upgrade":
                return self._upgrade(heads, self._destination)
            case "downgrade":
                return self._downgrade(heads, self._destination)
            case "do_stamp":
                return self._stamp(heads, self._destination)
            case "retrieve_migrations" if {s.revision for s in self.tree.schema()} <= self.tree.applied(heads):
                # The models are compared with the schema, which is whole while InTouch is off, too.
                return list(self._alembics(tuple(self.tree.script.get_heads()), self._migration))
        return None

    def _upgrade(self, heads: tuple[str, ...], to: str) -> list[Step] | None:
        if to in {"head", "heads"}:
            return [*self._schema_steps(heads, None), *self._switch_on(heads, completes=False)]
        if to in {f"{SCHEMA}@head", f"{SCHEMA}@heads"}:
            return self._schema_steps(heads, None)
        if to in {f"{INTOUCH}@head", f"{INTOUCH}@heads", INTOUCH, self.tree.activation.revision}:
            return [*self._schema_steps(heads, self.tree.fork), *self._switch_on(heads, completes=True)]
        return None

    def _downgrade(self, heads: tuple[str, ...], to: str) -> list[Step] | None:
        if to in {"-1", f"{INTOUCH}@-1"}:
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
        if to in {"head", "heads"}:
            return self._stamps(heads, {self.tree.activation.revision, self.tree.schema_head} - self._below())
        if to in {f"{SCHEMA}@head", f"{SCHEMA}@heads"}:
            return self._stamps(heads, {self.tree.schema_head})
        return None

    def _below(self) -> set[str]:
        """Return the activation's parent where the schema has not forked: it is no head of its own then."""
        return set() if self.tree.has_schema_branch else {self.tree.fork}

    def _schema_steps(self, heads: tuple[str, ...], to: str | None) -> list[Step]:
        applied = self.tree.applied(heads)
        return [self._step(script) for script in self.tree.schema(to) if script.revision not in applied]

    def _step(self, script: Script, *, is_upgrade: bool = True) -> Step:
        return RevisionStep(self.tree.script.revision_map, script, is_upgrade)

    def _switch_on(self, heads: tuple[str, ...], *, completes: bool) -> list[Step]:
        """Return the activation, unless InTouch is on already.

        Raises:
            RefusedError: some services are off, and the order is not one that completes them.

        """
        activation = self.tree.activation
        if activation.revision not in heads:
            return [self._step(activation)]
        services = self._read().services if self._read is not None else ()
        off = [service for service in services if not service.is_enabled]
        if not off:
            return []
        if all(service.state == "missing" for service in services):
            raise RefusedError(
                f"La table des versions dit {listed(heads)}, mais les services n'existent pas dans cette base (alembic "
                "stamp ?) : rien n'a été modifié. Corrigez-la : alembic stamp base, puis : alembic upgrade head"
            )
        if len(off) < len(services) and not completes:
            raise RefusedError(
                "InTouch est activé en partie, rien n'a été modifié. Désactivés dans la base :\n"
                + "".join(f"  - {service.label} ({service.key})\n" for service in off)
                + "Tout activer : alembic upgrade intouch@head. Le schéma seul : alembic upgrade schema@head"
            )
        return [self._correct(heads, is_on=False), self._step(activation)]

    def _switch_off(self, heads: tuple[str, ...]) -> list[Step]:
        """Return the rollback; nothing where the data say that InTouch is off, and the version table does not object.

        Raises:
            RefusedError: services are on, and the schema that could switch them off is not there.

        """
        activation = self.tree.activation
        rollback = self._step(activation, is_upgrade=False)
        if activation.revision in heads:
            return [rollback]
        state = self._read() if self._read is not None else None
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
        """Return the step that makes the version table say what the data say, before they are changed."""
        activation, fork = self.tree.activation.revision, self.tree.fork
        alone = not (set(heads) - {activation, fork})  # otherwise the schema has a row of its own
        revisions = self.tree.script.revision_map
        if is_on:
            return StampStep(fork if alone else None, activation, True, not alone, revisions)  # noqa: FBT003
        return StampStep(activation, fork if alone else None, False, not alone, revisions)  # noqa: FBT003

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
        """Return the steps that leave exactly the rows `wanted`."""
        revisions = self.tree.script.revision_map
        return [
            *(StampStep(row, None, False, True, revisions) for row in sorted(set(heads) - wanted)),  # noqa: FBT003
            *(StampStep(None, row, True, True, revisions) for row in sorted(wanted - set(heads))),  # noqa: FBT003
        ]


def let_revisions_object(migration: MigrationContext) -> list[RevisionStep]:
    """Let every revision of the plan object before the first one runs, and return the plan.

    A revision that can tell beforehand that it will not go through has a `before_upgrade` or
    `before_downgrade` function.
    """
    steps = planned(migration)
    objections = [
        getattr(step.revision.module, "before_upgrade" if step.is_upgrade else "before_downgrade", None)
        for step in reversed(steps)  # a script begins with the values that have to be filled in
    ]
    for objection in dict.fromkeys(objections):  # several revisions share one
        if objection is not None:
            objection()
    return steps


def planned(migration: MigrationContext) -> list[RevisionStep]:
    """Return the revisions that an upgrade or a downgrade will go through; none for `stamp`."""
    heads = () if migration.purge else migration.get_current_heads()
    steps = migration.opts["fn"](heads, migration)
    return [step for step in steps if isinstance(step, RevisionStep)]
