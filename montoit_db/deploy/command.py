"""Alembic's own command line on the revisions of this package, from any directory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic.config import CommandLine, Config

from montoit_db.deploy.revisions import home, is_checkout
from montoit_db.errors import MontoitError

if TYPE_CHECKING:
    from collections.abc import Sequence

WRITES_FILES = frozenset({"revision", "merge", "edit", "init"})


def run(arguments: Sequence[str]) -> None:
    """Run one `alembic` command; if it fails, it ends the process with its own status.

    No alembic.ini, ALEMBIC_CONFIG or pyproject.toml of the current directory is read.

    Raises:
        MontoitError: `-c` names another configuration, or the command needs a checkout and there is none.

    """
    command = CommandLine(prog="montoit-db alembic")
    options = command.parser.parse_args([*arguments])
    if not hasattr(options, "cmd"):
        command.parser.error("too few arguments")
    if options.config:
        raise MontoitError("-c : montoit-db alembic lit la configuration de son paquet, et aucune autre.")
    name = options.cmd[0].__name__
    if name in WRITES_FILES and not is_checkout():
        raise MontoitError(
            f"« {name} » écrit dans un checkout du projet, et ce paquet est installé : rien n'a été créé."
        )
    command.run_cmd(Config(home() / "alembic.ini", ini_section=options.name, cmd_opts=options), options)
