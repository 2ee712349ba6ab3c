"""docs/session.txt is what the commands print: `python -m tests.record session` writes it anew."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.support.checkout import ROOT
from tests.support.session import recorded

if TYPE_CHECKING:
    from tests.support.database import Database


def without_dates(session: str) -> str:
    return re.sub(r"\d\d/\d\d(/(\d\d){1,2})?( (à )?\d\d:\d\d)?", "JJ/MM", session)


def test_the_session_file_is_fresh(activated: Database) -> None:
    session = recorded(activated)
    assert without_dates((ROOT / "docs" / "session.txt").read_text(encoding="utf-8")) == without_dates(session)
    assert max(map(len, session.splitlines())) <= 80
