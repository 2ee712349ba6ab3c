"""What is installed from elsewhere is pinned by hash, and nothing else is."""

from __future__ import annotations

import re
import subprocess
import tomllib
from importlib.metadata import PackageNotFoundError, requires
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from ruamel.yaml import YAML

from tests.support.checkout import BIN, ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCKS = {"deploy.txt": {"intouch", "prometheus"}, "test.txt": {"test"}}  # file → the extras that it is for


class Pin(NamedTuple):
    """A line of a lock: the version, and how many files' hashes are known."""

    version: str
    hashes: int


def pins(lock: str) -> dict[str, Pin]:
    text = (ROOT / "requirements" / lock).read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    found = {}
    for line in lines:
        pin = re.match(r"([\w.-]+)==([\w.]+)( ; [^-]+)?((?: +--hash=sha256:[0-9a-f]{64})+) *$", line)
        assert pin is not None, f"{lock}: {line[:80]}"  # an index's address, for example
        found[str(canonicalize_name(pin[1]))] = Pin(pin[2], pin[4].count("--hash"))
    return found


def wanted(lock: str) -> list[Requirement]:
    """Return what pyproject.toml asks for; an extra may name extras of our own."""
    build = (ROOT / "requirements" / "build.in").read_text(encoding="utf-8").splitlines()
    project, extras = PROJECT["project"], set(LOCKS[lock])
    texts = [*project["dependencies"], *(line for line in build if not line.startswith("#"))]
    while extras:
        for text in project["optional-dependencies"][extras.pop()]:
            requirement = Requirement(text)
            if requirement.name == project["name"]:
                extras |= requirement.extras
            else:
                texts.append(text)
    return [Requirement(text) for text in texts]


def closure(requirements: Iterable[Requirement]) -> dict[str, list[Requirement]]:
    """Return every package that the installed ones ask for, on any platform, with what is asked of it."""
    asked: dict[str, list[Requirement]] = {}
    todo = list(requirements)
    while todo:
        requirement = todo.pop()
        name = str(canonicalize_name(requirement.name))
        if requirement in asked.get(name, []):
            continue
        asked.setdefault(name, []).append(requirement)
        try:
            texts = requires(name) or []
        except PackageNotFoundError:  # for another platform
            continue
        for text in texts:
            dependency = Requirement(text)
            extras = requirement.extras or {""}
            if dependency.marker is None or any(_may_apply(dependency, extra) for extra in extras):
                todo.append(dependency)
    return asked


def _may_apply(dependency: Requirement, extra: str) -> bool:
    """Tell whether a dependency is wanted with this extra, here or on another platform."""
    marker = str(dependency.marker)
    return "extra ==" not in marker or (extra != "" and f'extra == "{extra}"' in marker)


@pytest.mark.parametrize("lock", LOCKS)
def test_no_pin_is_missing_or_stale(lock: str) -> None:
    pinned = pins(lock)
    asked = closure(wanted(lock))
    direct = {str(canonicalize_name(requirement.name)) for requirement in wanted(lock)}
    assert direct <= pinned.keys(), "missing"
    assert pinned.keys() <= asked.keys(), "nobody asks for these"
    for name, pin in pinned.items():
        for requirement in asked[name]:
            assert requirement.specifier.contains(pin.version, prereleases=True), f"{name}: {requirement}"


def test_what_operators_are_told_to_install_is_what_the_extras_ask_for() -> None:
    """By the library's name: this package lies on no index."""
    extras = PROJECT["project"]["optional-dependencies"]
    for extra, code in (("intouch", "intouch/evidence.py"), ("prometheus", "monitoring/metrics.py")):
        for document in (f"montoit_db/{code}", "docs/GUIDE.fr.md"):
            assert f"pip install '{extras[extra][0]}'" in (ROOT / document).read_text(encoding="utf-8"), document


def test_the_wheel_has_every_document_that_the_code_names() -> None:
    named: set[str] = set()
    for path in (ROOT / "montoit_db").rglob("*.py"):
        named |= {*re.findall(r"\bdocs/[\w./]*\w", path.read_text(encoding="utf-8"))}
    included = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert {source: f"montoit_db/{source}" for source in named} == {
        source: target for source, target in included.items() if source.startswith("docs/")
    }


def test_a_wrong_lock_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """One pin too few, one too many, one too old."""
    whole = pins("deploy.txt")
    for wrong in (
        {name: pin for name, pin in whole.items() if name != "alembic"},
        {**whole, "leftpad": whole["alembic"]},
        {**whole, "alembic": whole["alembic"]._replace(version="1.19.0")},
    ):
        monkeypatch.setattr(f"{__name__}.pins", lambda _, wrong=wrong: wrong)
        with pytest.raises(AssertionError):
            test_no_pin_is_missing_or_stale("deploy.txt")


WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"


def test_the_workflow_calls_what_contributors_call() -> None:
    """It is valid, may only read, runs actions by their commit, and has no weakness that zizmor knows."""
    subprocess.run(
        [f"{BIN}/check-jsonschema", "--builtin-schema", "vendor.github-workflows", str(WORKFLOW)], check=True
    )
    subprocess.run([f"{BIN}/zizmor", "--offline", "--quiet", "--persona=pedantic", str(WORKFLOW)], check=True)
    workflow = YAML(typ="safe").load(WORKFLOW)
    assert workflow["permissions"] == {}
    (job,) = workflow["jobs"].values()
    assert job["permissions"] == {"contents": "read"}
    assert job["steps"][-1]["run"] == ".ci/run"
    for step in job["steps"]:
        assert "uses" not in step or re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", step["uses"])


def test_zizmor_notices_a_weakness(tmp_path: Path) -> None:
    weak = tmp_path / "weak.yml"
    weak.write_text(re.sub(r"@[0-9a-f]{40}", "@main", WORKFLOW.read_text(encoding="utf-8")), encoding="utf-8")
    result = subprocess.run([f"{BIN}/zizmor", "--offline", "--quiet", str(weak)], check=False, capture_output=True)
    assert result.returncode != 0


def test_ci_installs_from_the_locks_alone() -> None:
    """Every package of `.ci/run` comes with a hash, or is ours; npm's have exact versions."""
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    installs = re.findall(r"pip\S* install (.*)", script)
    assert installs
    for arguments in installs:
        assert "--require-hashes" in arguments or "--no-deps" in arguments or arguments.startswith("-q -e '."), (
            arguments
        )
    (arguments,) = re.findall(r'npm install .*--prefix "\$work/npm" (.*)', script)
    assert all(re.fullmatch(r"\S+@\d+\.\d+\.\d+", package) for package in arguments.split())
