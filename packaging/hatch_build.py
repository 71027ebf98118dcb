"""Put the shipped files and the benchmarks into the wheel; an editable install reads the checkout's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SHIPPED = {"resources": "advclip_gui/_resources", "tests/benchmarks": "advclip_gui/_benchmarks"}
"""Folder in the checkout -> folder in the wheel."""


class ShippedFilesHook(BuildHookInterface):  # type: ignore[type-arg]
    """Adds `SHIPPED` to a standard wheel, but not to an editable one, where copies would go stale."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before it builds."""
        if version == "editable":
            return
        for source, target in SHIPPED.items():
            folder = Path(self.root, source)
            for path in sorted(folder.rglob("*")):
                inside = path.relative_to(folder)
                if path.is_file() and "__pycache__" not in inside.parts:
                    build_data["force_include"][str(path)] = f"{target}/{inside.as_posix()}"
