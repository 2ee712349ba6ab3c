"""The help of each command ends with examples that it understands, and a shell completes its words."""

from __future__ import annotations

import re
import shlex

import pytest
import typer.main

from montoit_db.cli import app
from tests.support.commands import run

COMMANDS = {name: command for name, command in typer.main.get_command(app).commands.items() if name != "alembic"}  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", COMMANDS)
def test_examples_are_of_the_command_and_its_options(name: str) -> None:
    command = COMMANDS[name]
    head, *examples = (command.epilog or "").split("\n\n")
    assert head == "Exemples :"
    assert examples
    for example in examples:
        words = [word for word in shlex.split(example) if not re.match(r"\w+=", word)]
        assert words[:2] == ["montoit-db", name]
        command.make_context(name, words[2:]).close()  # an unknown option would be an error


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("montoit-db p", ["purge"]),
        ("montoit-db rollout 50 --flag m", ["mtn_money", "moov_money"]),
        ("montoit-db purge --log s", ["sms_logs"]),
    ],
)
def test_a_shell_completes_words(words: str, completed: list[str]) -> None:
    environment = {
        "_MONTOIT_DB_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
    }
    result = run("montoit-db", environment=environment)
    assert sorted(result.stdout.split()) == sorted(completed)
