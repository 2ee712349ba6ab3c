"""How Alembic compares the models with a database, and where a new revision goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from montoit_db.deploy.revisions import SCHEMA, Tree, is_checkout
from montoit_db.errors import MontoitError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alembic.operations import MigrationScript
    from alembic.runtime.migration import MigrationContext

    from montoit_db.deployment import Deployment

MODELS_SCHEMA = "public"


def options(deployment: Deployment) -> dict[str, Any]:
    """Return what `context.configure` takes for comparing, and for placing a new revision."""
    return {
        "include_schemas": True,
        "include_name": is_looked_at,
        "include_object": deployment.is_ours,
        "compare_server_default": True,
        "autogenerate_plugins": ["alembic.autogenerate.*", "alembic.ext.checkconstraint_byname"],
        "process_revision_directives": place,
    }


def is_looked_at(name: str | None, kind: str, _parents: Mapping[str, str | None]) -> bool:
    """Tell autogenerate to look at one schema only: the platform has many others."""
    return kind != "schema" or name == MODELS_SCHEMA


def place(migration: MigrationContext, _revision: object, directives: list[MigrationScript]) -> None:
    """Give a new revision the next number, and put it on the schema's branch, below the activation.

    Raises:
        MontoitError: there is no checkout to write it into, or it was to stand above the activation.

    """
    if not is_checkout():
        raise MontoitError("Une révision s'écrit dans un checkout du projet : rien n'a été créé.")
    tree = Tree(migration.opts["script"])
    given = migration.opts["revision_context"].command_args
    for directive in directives:
        if given["rev_id"] is None:
            newest = max(int(script.revision) for script in tree.script.walk_revisions() if script.revision.isdigit())
            directive.rev_id = f"{newest + 1:04d}"
        if given["head"] not in {None, "head", "heads"}:
            below = {script.revision for script in tree.script.iterate_revisions(given["head"], "base")}
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
