"""The documents say what is true."""

from __future__ import annotations

import re

from montoit_db.intouch.catalogue import CREDENTIALS, SERVICES
from tests.conftest import ROOT

GUIDE = (ROOT / "docs" / "GUIDE.fr.md").read_text(encoding="utf-8")


def test_ci_runs_both_of_readmes_commands() -> None:
    commands = re.findall(r"```bash\n(.+?)\n```", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert len(commands) == 2
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert [line for line in script if line in commands] == commands


def test_every_variable_is_in_the_example_and_in_the_guide() -> None:
    read = set(re.findall(r'"((?:INTOUCH|MONTOIT|SUPABASE|DATABASE)_[A-Z_]+)"', source("montoit_db/settings.py")))
    read |= {credential.variable for credential in CREDENTIALS}
    example = source(".env.example")
    for variable in read:
        assert variable in example
        assert variable in GUIDE


def test_the_guide_names_every_service() -> None:
    for service in SERVICES:
        assert f"`{service.key}`" in GUIDE


def test_every_refusal_of_the_settings_is_explained_in_the_guide() -> None:
    """Each message as the code spells it, up to its first full stop or parenthesis."""
    messages = re.findall(r'return "([^"]+)"|refuse\(\s*\w+,\s*f?"([^"]+)"', source("montoit_db/settings.py"))
    phrases = {re.split(r"[.(,:{]", first or second)[0].strip() for first, second in messages}
    assert len(phrases) >= 12
    assert {phrase for phrase in phrases if phrase not in GUIDE} == set()


def test_links_between_documents_lead_somewhere() -> None:
    for document in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", document.read_text(encoding="utf-8")):
            assert (document.parent / target).exists(), (document.name, target)


def test_the_recorded_session_fits_80_columns() -> None:
    session = source("docs/session.txt")
    assert {"rollout", "monitor"} <= set(re.findall(r"^\$ montoit-db (\w+)", session, re.MULTILINE))
    assert max(map(len, session.splitlines())) <= 80


def source(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")
