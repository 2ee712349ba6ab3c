"""What leaves on a terminal or as JSON: nothing that a terminal obeys, no phone number, no address, and no half."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from montoit_db.cli import _replace
from montoit_db.display import show, show_json, without_personal_data
from montoit_db.errors import MontoitError
from montoit_db.intouch.summary import host_line
from tests.support.checkout import BIN
from tests.support.commands import on, run, run_check

if TYPE_CHECKING:
    from tests.support.database import Database

OBEYED = "a\x1b[31m\x9b\N{RIGHT-TO-LEFT OVERRIDE}\N{ZERO WIDTH SPACE}\N{LINE SEPARATOR}\N{TAG LATIN SMALL LETTER A}é"


def test_a_terminal_obeys_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """Neither text nor JSON; a program reads from the JSON what was there."""
    show(OBEYED)
    show_json({"text": OBEYED})
    out = capsys.readouterr().out
    assert not set(OBEYED[1:-1]) - set("[31m") & set(out)
    assert json.loads(out.split("\n", 1)[1]) == {"text": OBEYED}
    assert "é" in out


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("vers +33 6 12 34 56 78", "vers +336••••••78"),
        ("vers 0033612345678", "vers 00336••••••78"),
        ("vers (+1) 202-555-0172.", "vers (+120••••••72."),
        ("le 06 12 34 56 78", "le 06••••••78"),
        ("de awa.kone+x@exemple.ci !", "de a••••@exemple.ci !"),
        ("solde 1 000 000 FCFA au 2026-11-25 à 10:00", "solde 1 000 000 FCFA au 2026-11-25 à 10:00"),
        ("code 402, 25 essais", "code 402, 25 essais"),
    ],
)
def test_people_are_masked(text: str, shown: str) -> None:
    assert without_personal_data(text) == shown


def test_json_that_cannot_be_written_does_not_end_well(activated: Database) -> None:
    with Path("/dev/full").open("w") as full:
        result = run("montoit-db", "status", "--json", environment=on(activated), stdout=full.fileno())
    assert result.returncode == 2
    assert "n'a pas pu être écrite (No space left on device)" in result.stderr
    closed = subprocess.run(
        ["/bin/sh", "-c", f"{BIN}/montoit-db history --json >&-"],
        env=on(activated), stderr=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    assert closed.returncode == 2
    assert "Traceback" not in closed.stderr


def test_a_page_that_cannot_be_written_keeps_the_former_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "page.html"
    _replace(page, "former")

    def fail(path: Path, text: str, encoding: str) -> None:
        with path.open("w", encoding=encoding) as stream:
            stream.write(text[:3])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", fail)
    with pytest.raises(MontoitError, match="écriture impossible"):
        _replace(page, "the next one")
    assert page.read_text() == "former"
    assert list(tmp_path.iterdir()) == [page]


def test_the_reason_is_echoed_clean(activated: Database) -> None:
    result = run(
        "montoit-db", "rollout", "10", "--yes", "--json", "--reason", "a\x1b[2Jb\nc", environment=on(activated)
    )
    assert json.loads(result.stdout)["reason"] == "montoit-db rollout 10 : a [2Jb c"


def test_the_host_that_gets_the_credentials_is_named(activated: Database) -> None:
    assert host_line("apidist.gutouch.net") == "🌐 API : apidist.gutouch.net"
    assert host_line("gutouch.net.evil.example").startswith("⚠ API : gutouch.net.evil.example")
    assert "🌐 API : apidist.gutouch.net" in run("montoit-db", "status", environment=on(activated)).stdout
    code, found = run_check(activated, {**on(activated), "INTOUCH_BASE_URL": "https://gutouch.net.evil.example"})
    assert [finding["level"] for finding in found["API InTouch"]] == ["warning"]
    assert code == 1, "the address differs from the one that is stored"


def test_check_says_what_others_may_read_and_libpq_reads(activated: Database, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("INTOUCH_ENVIRONMENT=production\n")
    (tmp_path / ".env").chmod(0o604)
    code, found = run_check(activated, {**on(activated), "PGOPTIONS": "-c pgaudit.log=all"})
    assert code == 0
    assert [finding["message"].split(" :")[0] for finding in found["Réglages"]] == [".env", "PGOPTIONS"]


def test_check_warns_where_pgaudit_would_log_what_the_vault_is_given(supabase: tuple[Database, Database]) -> None:
    """The settings stand in for the extension: its name is all that is asked."""
    _, owner = supabase
    options = {"PGOPTIONS": "-c pgaudit.log=write -c pgaudit.log_parameter=on"}
    assert "Journal" not in run_check(owner)[1]
    (finding,) = run_check(owner, {**on(owner), **options})[1]["Journal"]
    assert (finding["level"], "pgaudit.log_parameter" in finding["message"]) == ("warning", True)
