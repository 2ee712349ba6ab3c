"""Puts the list of parts (SBOM) into the wheel, if it was made beforehand, as `.ci/run` does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SBOM = "sbom.cdx.json"


class SbomHook(BuildHookInterface[Any]):
    """A hook of hatchling's."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 -- hatchling's
        """Name the SBOM to the builder, which puts it where PEP 770 says."""
        if (Path(self.root) / SBOM).exists():
            build_data["sbom_files"].append(SBOM)
