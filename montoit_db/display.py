"""Text for people: French numbers, text from elsewhere made harmless, frames, and ASCII for terminals that need it."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import sys
import textwrap
import unicodedata
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

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


def with_words(order: str, words: str) -> str:
    """Return an order with why it was given, in the operator's own words, if there are any."""
    return f"{order} : {words}" if words else order


def masked(number: str) -> str:
    """Return a phone number, in any spelling, with its middle hidden: +225 07 01 02 03 04 becomes +22507••••••04."""
    digits = re.sub(r"\D", "", number)
    shown_first = max(0, len(digits) - 8)
    hidden = "•" * max(0, len(digits) - shown_first - 2)
    return f"{'+' if number.lstrip().startswith('+') else ''}{digits[:shown_first]}{hidden}{digits[-2:]}"


def without_personal_data(text: str) -> str:
    """Return `text` with the middle of phone numbers and the name in e-mail addresses hidden.

    Numbers are Ivorian ones, those of other countries (+ or 00 in front, or in pairs from 0), and any eight digits in a
    row.
    """
    text = _PHONE_NUMBER.sub(lambda match: masked(match[0]), text)
    return _EMAIL.sub(lambda match: f"{match[1]}••••@{match[2]}", text)


# What may stand between two digits of a number: at most three characters, `) (` for example.
_APART = r"[^\w,;:]{0,3}"
_PHONE_NUMBER = re.compile(
    rf"(?:(?:\+|00)?2{_APART}2{_APART}5{_APART})?0{_APART}[157](?:{_APART}\d){{6,8}}(?!\d)"
    rf"|(?:\+|(?<!\d)00){_APART}[1-9](?:{_APART}\d){{7,14}}(?!\d)"
    r"|(?<!\d)0\d(?:[ .\N{NO-BREAK SPACE}-]\d\d){4}(?!\d)"
    r"|\+?\d{8,}"
)
_EMAIL = re.compile(r"([\w.!#$%&'*+/=?^`{|}~-])[\w.!#$%&'*+/=?^`{|}~-]*@([\w-]+(?:\.[\w-]+)+)")


def shortened(text: str, most: int) -> str:
    """Return `text` in at most so many characters."""
    return text if len(text) <= most else f"{text[: most - 1].rstrip(' .,')}…"


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
    return max(NARROWEST, min(WIDTH, terminal_width(WIDTH + 2) - 2))


def terminal_width(otherwise: int) -> int:
    """Return how many columns the terminal has; `otherwise` if what is printed goes elsewhere."""
    if sys.stdout is None or not sys.stdout.isatty():
        return otherwise
    return shutil.get_terminal_size().columns


def _wrapped(line: str, width: int) -> list[str]:
    if _columns(line) <= width:
        return [line]
    return textwrap.wrap(line, width - 1, subsequent_indent="   ")  # an emoji takes a column more than it counts


def _framed_line(line: str, width: int) -> str:
    return f"║ {line}{' ' * (width - 2 - _columns(line))} ║"


def _columns(text: str) -> int:
    """Return how many terminal columns `text` takes: an emoji takes two."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def show(text: str, *, error: bool = False, has_colours: bool = False) -> None:
    """Print `text`: in ASCII if the terminal cannot show it, and not at all if the terminal is gone.

    What a terminal would obey is not printed, unless the colours are ours. The command has done its work by then: a
    failure to print must not look like a failure of the work.
    """
    if not has_colours:
        text = harmless(text)
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


def show_json(document: object) -> None:
    """Print a document as JSON, whose control and format characters are escaped.

    Raises:
        OSError: it could not be written whole: the disk is full, or nobody reads it.

    """
    if sys.stdout is None:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    text = json.dumps(document, ensure_ascii=False, indent=2, default=_plain)
    text = "".join(
        json.dumps(character)[1:-1] if character != "\n" and unicodedata.category(character) in _UNSHOWN else character
        for character in text
    )
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(document, indent=2, default=_plain)
    try:
        print(text, flush=True)  # noqa: T201
    except OSError:
        # Python would fail once more when it flushes the stream at exit.
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
        raise


def _plain(value: object) -> object:
    """Return a value that JSON has no type for as a number or a text."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(type(value))


_ASCII = str.maketrans(
    {
        "✅": "[OK]", "⚠": "[!]", "❌": "[--]", "📊": "[i]", "🌐": "[i]", "🧪": "[TEST]", "🎉": "[OK]",
        "╔": "+", "╗": "+", "╚": "+", "╝": "+", "╠": "+", "╣": "+", "═": "-", "║": "|",
        "█": "#", "▓": "x", "▒": "/", "░": ".", "─": "-", "→": "->", "\N{EN DASH}": "-", "•": "*", "…": "...",
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
