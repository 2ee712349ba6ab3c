"""The documents say what is true."""

from __future__ import annotations

import re
from collections import UserDict
from contextlib import suppress

from montoit_db.errors import SettingsError
from montoit_db.intouch.catalogue import CREDENTIALS, SERVICES
from montoit_db.settings import DatabaseSettings, DeploymentSettings, InTouchSettings, supabase_url
from tests.support.checkout import ROOT
from tests.support.failures import FAILURES

GUIDE = (ROOT / "docs" / "GUIDE.fr.md").read_text(encoding="utf-8")


def test_ci_runs_both_of_readmes_commands() -> None:
    commands = re.findall(r"```bash\n(.+?)\n```", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert len(commands) == 2
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert [line for line in script if line in commands] == commands


class Asked(UserDict[str, str]):
    """An environment without a variable, that remembers which ones were asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __contains__(self, name: object) -> bool:
        self.names.add(str(name))
        return False

    def __getitem__(self, name: str) -> str:
        self.names.add(name)
        raise KeyError(name)


def test_every_variable_is_in_the_example_and_in_the_guide() -> None:
    asked = Asked()
    for group in (DatabaseSettings, DeploymentSettings, InTouchSettings):
        with suppress(SettingsError):
            group.from_environment(asked)
    supabase_url(asked)
    variables = {name for name in asked.names if not name.endswith("_FILE")}
    assert variables >= {credential.variable for credential in CREDENTIALS}
    example = source(".env.example")
    for variable in variables:
        assert variable in example
        assert variable in GUIDE


def test_the_guide_names_every_service() -> None:
    for service in SERVICES:
        assert f"`{service.key}`" in GUIDE


def test_every_refusal_of_the_settings_is_explained_in_the_guide() -> None:
    """Each message as the code spells it, up to its first full stop or parenthesis.

    The code is read as text: calling it would show the messages that somebody thought of, and miss a new one.
    """
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
    assert {"rollout", "monitor", "history"} <= set(re.findall(r"^\$ montoit-db (\w+)", session, re.MULTILINE))
    assert max(map(len, session.splitlines())) <= 80


def test_the_recorded_rehearsal_has_each_failure_found_and_happening() -> None:
    parts = re.split(r"^\d+\. ", source("docs/rehearsal.txt"), flags=re.MULTILINE)[1:]
    assert [part.splitlines()[0] for part in parts] == [*FAILURES]
    for part, failure in zip(parts, FAILURES.values(), strict=True):
        assert part.count(failure.told) >= 2
        assert re.findall(r"\(code (\d)\)", part) == ["0", "1", "1"]


def source(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")
