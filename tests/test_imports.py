"""Who may import whom: data flows from the environment to the commands, and no import runs back up."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple

import pytest

from benchmarks.commands import BARE_STATEMENTS
from tests.support.checkout import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Each module may import only those that stand above it. A package's own `__init__` stands below what it gathers.
ORDER = (
    "montoit_db",
    "montoit_db.errors",
    "montoit_db.display",
    "montoit_db.progress",
    "montoit_db.intouch",
    "montoit_db.intouch.catalogue",
    "montoit_db.settings",
    # a connection
    "montoit_db.database.url",
    "montoit_db.database.failures",
    "montoit_db.database.session",
    "montoit_db.database.libpq",
    "montoit_db.database.tls",
    "montoit_db.database.target",
    "montoit_db.database.embedded",
    "montoit_db.database.connection",
    "montoit_db.database",
    # the tables
    "montoit_db.models.base",
    "montoit_db.models.api_key",
    "montoit_db.models.feature_flag",
    "montoit_db.models.service_log",
    "montoit_db.models",
    # what a deployment is made of
    "montoit_db.deploy",
    "montoit_db.deploy.indexes",
    "montoit_db.deploy.statements",
    "montoit_db.deploy.findings",
    "montoit_db.deploy.queries",
    "montoit_db.deploy.trust",
    "montoit_db.deploy.locks",
    "montoit_db.deploy.revisions",
    "montoit_db.deploy.drift",
    "montoit_db.deploy.words",
    "montoit_db.deploy.adoption",
    "montoit_db.deploy.autogenerate",
    "montoit_db.deploy.command",
    "montoit_db.deploy.failures",
    # InTouch as the database has it
    "montoit_db.intouch.state",
    "montoit_db.intouch.summary",
    "montoit_db.intouch.test_commands",
    "montoit_db.intouch.credentials",
    "montoit_db.intouch.api",
    "montoit_db.intouch.evidence",
    # a deployment
    "montoit_db.deploy.offline",
    "montoit_db.deploy.deployment",
    "montoit_db.deploy.exposure",
    "montoit_db.deploy.rehearsal",
    "montoit_db.deploy.preflight",
    # what the database is used for
    "montoit_db.monitoring",
    "montoit_db.monitoring.rates",
    "montoit_db.flags",
    "montoit_db.flags.guard",
    "montoit_db.flags.rollout",
    "montoit_db.flags.history",
    "montoit_db.monitoring.read",
    "montoit_db.monitoring.purge",
    "montoit_db.monitoring.terminal",
    "montoit_db.monitoring.page",
    "montoit_db.monitoring.metrics",
    # the commands
    "montoit_db.usage",
    "montoit_db.cli",
    "montoit_db.__main__",
)

# Imports inside a function: each saves the other commands more than this.
WORTH = 20  # milliseconds
SAVED = {
    "montoit_db.deploy.deployment": {"montoit_db.models"},  # the ORM, which only `check` and `revision` need
    "montoit_db.cli": {  # Alembic, which monitor, rollout and test-commands do without
        "montoit_db.deploy.command",
        "montoit_db.deploy.revisions",
        "montoit_db.deploy.preflight",
        "montoit_db.deploy.rehearsal",
        "montoit_db.intouch.credentials",
    },
}
# These are there for another reason.
OPTIONAL = {
    "montoit_db.__main__": {"montoit_db.cli"},  # Ctrl-C is caught while it is imported
    "montoit_db.database.connection": {"montoit_db.database.embedded"},  # production does not even load it: test_report
    "montoit_db.progress": {"rich.console", "rich.progress"},  # which `alembic` does without, but for a long index
    "montoit_db.monitoring.metrics": {"prometheus_client"},  # an extra, which may be missing
    "montoit_db.intouch.evidence": {"montoit_db.intouch.api"},  # needs an extra, which may be missing
}

REVISIONS_MAY_IMPORT = {"montoit_db.deploy.statements", "montoit_db.settings"}


class Import(NamedTuple):
    """A module that is imported; `is_late` if a function does it."""

    module: str
    is_late: bool


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {name_of(path): path for path in (ROOT / "montoit_db").rglob("*.py") if "migrations" not in path.parts}


def imports_of(path: Path) -> set[Import]:
    return set(_imports(ast.parse(path.read_text(encoding="utf-8")), is_late=False))


def _imports(node: ast.AST, *, is_late: bool) -> Iterator[Import]:
    """Look for imports, less those that only the type checker sees."""
    if isinstance(node, ast.Import):
        yield from (Import(alias.name, is_late) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.module is not None, "relative imports are refused by ruff"
        for alias in node.names:
            submodule = f"{node.module}.{alias.name}"
            yield Import(submodule if submodule in MODULES else node.module, is_late)
    children = ast.iter_child_nodes(node)
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        children = iter(node.orelse)
    is_function = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
    for child in children:
        yield from _imports(child, is_late=is_late or is_function)


def test_every_module_has_its_place() -> None:
    assert sorted(ORDER) == sorted(MODULES)


@pytest.mark.parametrize("module", ORDER)
def test_imports_run_one_way(module: str) -> None:
    above = {*ORDER[: ORDER.index(module)]}
    imported = {found.module for found in imports_of(MODULES[module]) if found.module.split(".")[0] == "montoit_db"}
    assert imported - above == set()


def test_nothing_of_ours_imports_migrations_or_tests() -> None:
    for path in MODULES.values():
        assert not {found.module.split(".")[0] for found in imports_of(path)} & {"migrations", "tests", "benchmarks"}


def test_tests_and_benchmarks_share_what_is_in_support_and_nothing_else() -> None:
    for path in [*(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").glob("*.py")]:
        shared = {found.module for found in imports_of(path) if found.module.split(".")[0] == "tests"}
        assert {module for module in shared if not module.startswith("tests.support.")} == set(), path


@pytest.mark.parametrize("path", sorted((ROOT / "migrations" / "versions").glob("*.py")), ids=name_of)
def test_a_revision_imports_little_of_us(path: Path) -> None:
    ours = {found.module for found in imports_of(path) if found.module.split(".")[0] == "montoit_db"}
    assert ours <= REVISIONS_MAY_IMPORT


def test_the_benchmarks_bare_project_has_what_revisions_import() -> None:
    """Without it the benchmark that bounds the package's cost does not start."""
    bare = ast.parse(BARE_STATEMENTS)
    has = {node.name for node in bare.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    has |= {
        name.id
        for node in bare.body
        if isinstance(node, ast.Assign)
        for name in node.targets
        if isinstance(name, ast.Name)
    }
    for path in (ROOT / "migrations" / "versions").glob("*.py"):
        imports = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
        assert {
            name.name for node in imports if (node.module or "").startswith("montoit_db") for name in node.names
        } <= has


def test_imports_inside_functions_have_a_reason() -> None:
    late = {
        module: modules
        for module, path in MODULES.items()
        if (modules := {found.module for found in imports_of(path) if found.is_late})
    }
    assert late == SAVED | OPTIONAL
    environment = imports_of(ROOT / "migrations" / "env.py")
    assert {found.module for found in environment if found.is_late} == set()


@pytest.mark.parametrize(("module", "late"), [(module, late) for module in SAVED for late in sorted(SAVED[module])])
def test_imports_inside_functions_save_time(module: str, late: str) -> None:
    result = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", f"import {module}\nimport {late}"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    spent = re.search(rf"^import time: +\d+ \| +(\d+) \| *{re.escape(late)}$", result.stderr, re.MULTILINE)
    assert spent, f"{module} imports {late} already"
    assert int(spent[1]) / 1000 > WORTH
