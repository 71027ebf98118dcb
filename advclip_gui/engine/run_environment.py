"""On what a run was computed: versions and machine, for whoever wants to repeat its figures."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from typing import Any

from advclip_gui import __version__

_PACKAGES = (
    "torch", "torchvision", "open_clip_torch", "peft", "transformers", "numpy", "pillow", "pydantic",
    "PySide6_Essentials",
)  # fmt: skip


def environment(device: str) -> dict[str, Any]:
    """Versions and machine, as far as a figure depends on them; no path and no user name."""
    versions: dict[str, str | None] = {}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = None
    return {
        "advclip_gui": __version__,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "cpu_count": os.cpu_count(),
        "device": device,
        "packages": versions,
    }
