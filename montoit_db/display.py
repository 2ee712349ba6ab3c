"""Text for people: French numbers, text from elsewhere made harmless, frames, and ASCII for terminals that need it."""

from __future__ import annotations

import os
import sys
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from decimal import Decimal

WIDTH = 60  # columns between a frame's sides, as in the guide
DASH = "\N{EN DASH}"  # stands for a number that is not there


def number(value: Decimal | int | None) -> str:
    """Return a whole number with its thousands apart; a dash for None."""
    return DASH if value is None else f"{round(value):,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def percent(value: float | None, digits: int = 1) -> str:
    """Return a percentage; `inconnu` for None."""
    return "inconnu" if value is None else f"{value:.{digits}f}".replace(".", ",") + "\N{NO-BREAK SPACE}%"


def on_one_line(text: str) -> str:
    """Return text from elsewhere on one line, without what a terminal would obey (escapes, direction marks)."""
    return " ".join(harmless(text).split())


def harmless(text: str) -> str:
    """Return text from elsewhere in its own lines, without what a terminal would obey."""
    return "".join(
        " " if character != "\n" and unicodedata.category(character) in _UNSHOWN else character for character in text
    )


_UNSHOWN = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def shortened(text: str, most: int) -> str:
    """Return `text` in at most so many characters."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def framed(title: str, lines: Sequence[str]) -> str:
    """Return lines in the guide's frame, under a title."""
    return "\n".join(
        [
            f"╔{'═' * WIDTH}╗",
            _framed_line(title.center(WIDTH - 2)),
            f"╠{'═' * WIDTH}╣",
            *map(_framed_line, lines),
            f"╚{'═' * WIDTH}╝",
        ]
    )


def _framed_line(line: str) -> str:
    return f"║ {line}{' ' * (WIDTH - 2 - _columns(line))} ║"


def _columns(text: str) -> int:
    """Return how many terminal columns `text` takes: an emoji takes two."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def show(text: str, *, error: bool = False) -> None:
    """Print `text`: in ASCII if the terminal cannot show it, and not at all if the terminal is gone.

    The command has done its work by then: a failure to print must not look like a failure of the work.
    """
    name = "stderr" if error else "stdout"
    stream = getattr(sys, name)
    if stream is None:  # closed by the program that started this one
        return
    try:
        encoding = stream.encoding or "utf-8"  # a string buffer has none
        try:
            text.encode(encoding)
        except UnicodeEncodeError:
            text = in_ascii(text)
        print(text, file=stream, flush=True)
    except (OSError, ValueError):
        # Python would fail once more when it flushes the stream at exit.
        setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115


_ASCII = str.maketrans(
    {
        "✅": "[OK]", "⚠": "[!]", "❌": "[--]", "📊": "[i]", "🧪": "[TEST]", "🎉": "[OK]",
        "╔": "+", "╗": "+", "╚": "+", "╝": "+", "╠": "+", "╣": "+", "═": "-", "║": "|",
        "█": "#", "▓": "x", "▒": "/", "░": ".", "─": "-", "→": "->", "\N{EN DASH}": "-", "•": "*", "…": "...",
    }
)  # fmt: skip


def in_ascii(text: str) -> str:
    """Return `text` in ASCII; a frame keeps its sides straight."""
    lines = []
    for line in text.splitlines():
        ascii_line = unicodedata.normalize("NFKD", line.translate(_ASCII)).encode("ascii", "ignore").decode("ascii")
        if ascii_line.startswith("| "):
            ascii_line = f"| {ascii_line[2:-1].rstrip():<{WIDTH - 2}} |"
        lines.append(ascii_line)
    return "\n".join(lines)
