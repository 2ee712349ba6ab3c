"""Numbers as the French write them, and others' text made fit to be shown."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from decimal import Decimal

DASH = "\N{EN DASH}"  # stands for a number that is not there


def number(value: Decimal | int | None) -> str:
    """Return a whole number with its thousands apart; a dash for None."""
    return DASH if value is None else f"{round(value):,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def percent(value: float | None, digits: int = 1) -> str:
    """Return a percentage; `inconnu` for None."""
    return "inconnu" if value is None else f"{value:.{digits}f}".replace(".", ",") + "\N{NO-BREAK SPACE}%"


def shown(text: str) -> str:
    """Return text from elsewhere on one line, without what a terminal would obey (escapes, direction marks)."""
    kept = (" " if unicodedata.category(character) in _UNSHOWN else character for character in text)
    return " ".join("".join(kept).split())


_UNSHOWN = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def shortened(text: str, most: int) -> str:
    """Return `text` in at most so many characters."""
    return text if len(text) <= most else f"{text[: most - 1]}…"
