"""What Typer says of a command that was typed wrongly, in French as far as its messages are known here."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from montoit_db.display import harmless

if TYPE_CHECKING:
    from typer.exceptions import TyperException

# Patterns of Typer's messages. What matches none is shown as it is.
_IN_FRENCH = (
    (r"No such command '(.+?)'\.(?: Did you mean '(.+)'\?)?", "commande inconnue : {}", " (vouliez-vous {} ?)"),
    (r"No such option: (\S+)(?: \(Possible options: (.+)\))?", "option inconnue : {}", " (options proches : {})"),
    (r"Missing argument '(.+)'\.", "il manque l'argument {}", ""),
    (r"Missing option '(.+)'\.", "il manque l'option {}", ""),
    (r"Got unexpected extra arguments?(?:\(s\))? \((.+)\)", "argument en trop : {}", ""),
    (r"Option '(.+)' requires an argument\.", "l'option {} attend une valeur", ""),
    (r"Option '(.+)' does not take a value\.", "l'option {} n'attend pas de valeur", ""),
)


def in_french(error: TyperException, command: str) -> str:
    """Return what to say of a usage error of `command`; empty for the error that stands for the help."""
    said = error.format_message()
    if not said:
        return ""
    for pattern, text, addition in _IN_FRENCH:
        found = re.fullmatch(pattern, said)
        if found:
            first, *more = found.groups()
            said = text.format(first) + "".join(addition.format(word) for word in more if word)
            break
    where = getattr(getattr(error, "ctx", None), "command_path", command)
    return harmless(f"{where} : {said}. Rien n'a été fait. Aide : {where} -h".replace("..", "."))
