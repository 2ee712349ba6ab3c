"""Released revisions, and every SQL file that they may load, stay as they were released: from 1.0 on."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from textwrap import indent
from typing import TYPE_CHECKING

from packaging.version import Version

from montoit_db import __version__
from tests.support.checkout import ROOT

if TYPE_CHECKING:
    from pathlib import Path

# Written by each release with the command below: lines are added, never changed.
FROZEN = ROOT / "tests" / "frozen.sha256"
FREEZE = """\
touch tests/frozen.sha256
sha256sum migrations/versions/*.py migrations/sql/*/*.sql | sort -u -o tests/frozen.sha256 - tests/frozen.sha256
"""


def changed(root: Path, frozen: str) -> list[str]:
    """Return the files that are not as they were released."""
    lines = [line.split("  ", 1) for line in frozen.splitlines()]
    return [
        path
        for digest, path in lines
        if not (root / path).exists() or hashlib.sha256((root / path).read_bytes()).hexdigest() != digest
    ]


def test_what_is_released_is_never_edited() -> None:
    if Version(__version__) < Version("1.0"):
        assert not FROZEN.exists(), "nothing is released yet"
    else:
        frozen = FROZEN.read_text(encoding="utf-8")
        assert "  migrations/versions/0001_" in frozen
        assert changed(ROOT, frozen) == []


def test_an_edit_and_a_lost_file_are_noticed(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "migrations", tmp_path / "migrations")
    (tmp_path / "tests").mkdir()

    def release() -> str:
        subprocess.run(["/bin/sh", "-c", FREEZE], cwd=tmp_path, check=True, capture_output=True)
        return (tmp_path / "tests" / FROZEN.name).read_text(encoding="utf-8")

    frozen = release()
    assert changed(tmp_path, frozen) == []
    edited = tmp_path / "migrations" / "sql" / "identity" / "is_admin_v01.sql"
    edited.write_text("select 1;", encoding="utf-8")
    lost = next((tmp_path / "migrations" / "versions").glob("0004_*.py"))
    lost.unlink()
    (tmp_path / "migrations" / "sql" / "identity" / "is_admin_v02.sql").write_text("select 2;", encoding="utf-8")
    names = {str(path.relative_to(tmp_path)) for path in (edited, lost)}
    assert set(changed(tmp_path, frozen)) == names
    assert set(changed(tmp_path, release())) == names, "a further release blesses no edit"


def test_contributors_know_the_command() -> None:
    assert indent(FREEZE, "   ") in (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
