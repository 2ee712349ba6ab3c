"""The revisions: where they lie, their two branches, and which of them are applied.

InTouch is a branch of one revision, the activation (label `intouch`). The schema goes on beside it: later releases fork
from the activation's parent (label `schema`), so that nothing ever stands above the activation.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from montoit_db.errors import MontoitError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alembic.script import Script

INTOUCH, SCHEMA = "intouch", "schema"  # the two branch labels
# The words for the whole schema and the activation, for the activation, and for its end.
HEAD = frozenset({"head", "heads"})
ACTIVATION = frozenset({INTOUCH, f"{INTOUCH}@head", f"{INTOUCH}@heads"})
ROLLBACK = frozenset({"-1", f"{INTOUCH}@-1"})
VERSION_SCHEMA = "montoit"  # of alembic_version: not served by the API, and not another Alembic project's

_PACKAGE = Path(__file__).parent.parent


def is_rollback(command: str | None, destination: object) -> bool:
    """Tell whether this command of Alembic's switches InTouch off and does nothing else."""
    return command == "downgrade" and destination in ROLLBACK


def is_checkout() -> bool:
    """Tell whether this package is imported from a checkout, whose revisions lie beside it."""
    return (_PACKAGE.parent / "pyproject.toml").is_file()


def home() -> Path:
    """Return the directory of the package's alembic.ini: the checkout's root, else the installed package.

    A checkout's own files win over a copy that a build has left inside the package.
    """
    return _PACKAGE.parent if is_checkout() else _PACKAGE


def script_directory() -> ScriptDirectory:
    """Return the revisions that belong to this package, whatever lies in the current directory."""
    return ScriptDirectory.from_config(Config(home() / "alembic.ini"))


class Tree:
    """The two branches of a script directory."""

    def __init__(self, script: ScriptDirectory) -> None:
        """Look at the revisions of `script`, which holds one with the label `intouch`."""
        self.script = script
        self.activation: Script = script.get_revision(INTOUCH)

    @property
    def schema_head(self) -> str:
        """The newest revision of the schema.

        Raises:
            MontoitError: a revision stands above the activation, or the schema has more than one head.

        """
        heads = set(self.script.get_heads())
        if self.activation.revision not in heads:
            above = ", ".join(sorted(self.activation.nextrev))
            raise MontoitError(
                f"Révision {above} : posée au-dessus de l'activation ({self.activation.revision}), elle changerait le "
                f"sens de « downgrade -1 ». Rien n'a été modifié. Son down_revision doit être {self.fork}."
            )
        others = sorted(heads - {self.activation.revision})
        if len(others) > 1:
            raise MontoitError(
                f"Le schéma a plusieurs têtes ({', '.join(others)}), rien n'a été modifié. Il en faut une : enchaînez "
                "ces révisions par leur down_revision."
            )
        return others[0] if others else self.fork

    @property
    def fork(self) -> str:
        """The activation's parent, from which the schema of later releases forks."""
        return str(self.activation.down_revision)

    @property
    def has_schema_branch(self) -> bool:
        """Whether a later release has put a revision on the branch `schema`."""
        return self.schema_head != self.fork

    def applied(self, heads: Sequence[str]) -> frozenset[str]:
        """Return every revision that is applied to a database whose version table holds `heads`.

        Raises:
            alembic.util.CommandError: a head is not known here; the message is Alembic's own.

        """
        self.script.get_revisions(tuple(heads))  # raises for a database that is newer
        return frozenset(script.revision for script in self.script.iterate_revisions(tuple(heads), "base"))

    def schema(self, to: str | None = None) -> list[Script]:
        """Return the schema's revisions up to `to` (None: all), the oldest first."""
        return [*self.script.iterate_revisions(to or self.schema_head, "base")][::-1]

    def pending(self, heads: Sequence[str]) -> list[str]:
        """Return the revisions that are not applied, in the order in which `upgrade head` would apply them."""
        applied = self.applied(heads)
        revisions = [*(script.revision for script in self.schema()), self.activation.revision]
        return [revision for revision in revisions if revision not in applied]


class RevisionState(NamedTuple):
    """The database's revisions (None: it has none), the package's newest, and those that are still to be applied."""

    current: str | None
    head: str | None
    pending: tuple[str, ...]

    def __str__(self) -> str:
        """Describe the state in French, in one line."""
        return f"Révision {self.without_its_subject}"

    @property
    def without_its_subject(self) -> str:
        """What follows the word « Révision »."""
        if not self.pending:
            return f"{self.current}, à jour."
        return f"{self.current or 'aucune'}, en attente : {', '.join(self.pending)}."


def revision_state(current: Sequence[str]) -> RevisionState:
    """Compare a database's revisions with those of this package.

    Raises:
        MontoitError: the database has a revision that is not known here.

    """
    tree = Tree(script_directory())
    try:
        pending = tree.pending(current)
    except CommandError:
        raise MontoitError(
            f"La base est à la révision {listed(current)}, que ce projet ne connaît pas. Mettez-le à jour."
        ) from None
    return RevisionState(listed(current), listed(tree.script.get_heads()), tuple(pending))


def listed(revisions: Sequence[str]) -> str | None:
    """Return revisions as one text, sorted; None for none."""
    return ", ".join(sorted(revisions)) or None


def declares(revision: Any, name: str) -> bool:  # noqa: ANN401 -- a Script, whose module Alembic's types hide at times
    """Tell whether a revision's file says something of itself, `adopts_tables = True` for example."""
    return bool(getattr(revision.module, name, False))
