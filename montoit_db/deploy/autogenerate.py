"""How Alembic compares the models with a database, and where it puts a new revision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from montoit_db.deploy.adoption import constraints_left_out, legacy_objects
from montoit_db.deploy.revisions import SCHEMA, Tree, is_checkout
from montoit_db.errors import MontoitError
from montoit_db.intouch.catalogue import TABLES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alembic.operations import MigrationScript
    from alembic.runtime.migration import MigrationContext
    from sqlalchemy import Connection

MODELS_SCHEMA = "public"


class Filter:
    """Chooses what is compared with the models; `look_for_adopted_tables` has to be called first."""

    def __init__(self) -> None:
        """Start without adopted tables."""
        self._adopted: dict[str, frozenset[str]] = {}
        self._left_out: frozenset[str] = frozenset()

    def look_for_adopted_tables(self, connection: Connection) -> None:
        """Note what each adopted table had before the first upgrade."""
        self._adopted = legacy_objects(connection)
        self._left_out = constraints_left_out(connection)

    def __call__(
        self,
        obj: Any,  # noqa: ANN401 -- Alembic's hook
        name: str | None,
        kind: str,
        reflected: bool,  # noqa: FBT001
        other: Any,  # noqa: ANN401
    ) -> bool:
        """Tell autogenerate to look at the package's tables only: the platform has a hundred others.

        Of an adopted table it overlooks what was there before the first upgrade, the constraints that its rows
        violate, and which columns may be null.
        """
        table = name if kind == "table" else obj.table.name
        names_before = self._adopted.get(str(table))
        if names_before is not None and kind != "table":
            if kind == "column" and other is not None:
                other.nullable = obj.nullable
                other.comment = other.comment if obj.comment else None
            elif name in self._left_out or (name in names_before and (reflected or kind == "index")):
                return False
        return table in TABLES or not reflected or other is not None


def options(object_filter: Filter) -> dict[str, Any]:
    """Return the arguments of `context.configure` that concern comparing, and placing a new revision."""
    return {
        "include_schemas": True,
        "include_name": is_looked_at,
        "include_object": object_filter,
        "compare_server_default": True,
        "autogenerate_plugins": ["alembic.autogenerate.*", "alembic.ext.checkconstraint_byname"],
        "process_revision_directives": place,
    }


def is_looked_at(name: str | None, kind: str, _parents: Mapping[str, str | None]) -> bool:
    """Tell autogenerate to look at one schema only: the platform has many others."""
    return kind != "schema" or name == MODELS_SCHEMA


def place(migration: MigrationContext, _revision: object, directives: list[MigrationScript]) -> None:
    """Give a new revision the next number, and put it on the branch `schema`, beside the activation.

    Raises:
        MontoitError: there is no checkout to write it into, or `--head` asks for a place above the activation.

    """
    if not is_checkout():
        raise MontoitError("Une révision s'écrit dans un checkout du projet : rien n'a été créé.")
    tree = Tree(migration.opts["script"])
    arguments = migration.opts["revision_context"].command_args
    for directive in directives:
        if arguments["rev_id"] is None:
            newest = max(int(script.revision) for script in tree.script.walk_revisions() if script.revision.isdigit())
            directive.rev_id = f"{newest + 1:04d}"
        if arguments["head"] not in {None, "head", "heads"}:
            below = {script.revision for script in tree.script.iterate_revisions(arguments["head"], "base")}
            if tree.activation.revision in below:
                raise MontoitError(
                    "Une révision au-dessus de l'activation changerait le sens de « downgrade -1 » : rien n'a été "
                    "créé. Sans --head elle va sur la branche du schéma."
                )
        elif tree.has_schema_branch:
            directive.head = f"{SCHEMA}@head"
        else:
            directive.head, directive.splice = tree.fork, True
            directive.branch_label = SCHEMA
