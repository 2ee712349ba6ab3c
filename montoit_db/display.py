"""Text for people: French numbers, text from elsewhere made harmless, frames, and ASCII for terminals that need it."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from decimal import Decimal

WIDTH = 60  # columns between a frame's sides, as in the guide
NARROWEST = 30
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


def framed(title: str, lines: Sequence[str], width: int | None = None) -> str:
    """Return lines in the guide's frame, under a title; a narrow terminal gets a narrow frame.

    `width` is in columns between the sides; None: what the terminal allows, the guide's width at most.
    """
    width = width or _room()
    titles = [part.center(width - 2) for part in textwrap.wrap(title, width - 2)]
    return "\n".join(
        [
            f"╔{'═' * width}╗",
            *(_framed_line(part, width) for part in titles),
            f"╠{'═' * width}╣",
            *(_framed_line(part, width) for line in lines for part in _wrapped(line, width - 2)),
            f"╚{'═' * width}╝",
        ]
    )


def _room() -> int:
    """Return how many columns a frame may have between its sides."""
    if sys.stdout is None or not sys.stdout.isatty():
        return WIDTH
    return max(NARROWEST, min(WIDTH, shutil.get_terminal_size().columns - 2))


def _wrapped(line: str, width: int) -> list[str]:
    if _columns(line) <= width:
        return [line]
    return textwrap.wrap(line, width - 1, subsequent_indent="   ")  # an emoji takes a column more than it counts


def _framed_line(line: str, width: int) -> str:
    return f"║ {line}{' ' * (width - 2 - _columns(line))} ║"


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
        "█": "#", "▓": "x", "░": ".", "─": "-", "→": "->", "\N{EN DASH}": "-", "•": "*", "…": "...",
    }
)  # fmt: skip


def in_ascii(text: str) -> str:
    """Return `text` in ASCII; a frame keeps its sides straight."""
    lines = []
    width = WIDTH
    for line in text.splitlines():
        if line.startswith(("╔", "╠")):
            width = len(line) - 2
        ascii_line = unicodedata.normalize("NFKD", line.translate(_ASCII)).encode("ascii", "ignore").decode("ascii")
        if ascii_line.startswith("| "):
            ascii_line = f"| {ascii_line[2:-1].rstrip():<{width - 2}} |"
        lines.append(ascii_line)
    return "\n".join(lines)
