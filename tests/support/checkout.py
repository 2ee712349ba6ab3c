"""The checkout: where it lies, its commands, and its revisions as Python modules."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).parents[2]
BIN = str(Path(sys.executable).parent)


def revision_module(name: str, checkout: Path = ROOT) -> ModuleType:
    """Load a revision, by the name of its file without `.py`, as Alembic does."""
    path = checkout / "migrations" / "versions" / f"{name}.py"
    spec = spec_from_file_location(f"revision_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
