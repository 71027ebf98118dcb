"""The norm behind a listed run's robust accuracy, read once from its settings."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from advclip_gui.engine.errors import UserError
from advclip_gui.engine.runs import RunFolder

if TYPE_CHECKING:
    from pathlib import Path

    from advclip_gui.engine.runs import RunSummary


def norm_of(run: RunSummary) -> str:
    """Return "Linf" or "L2"; asked for in the background first, it costs nothing afterwards."""
    return str(getattr(run, "norm", None) or _recorded(run.path))


@lru_cache(maxsize=4096)
def _recorded(path: Path) -> str:
    """A run's settings never change."""
    try:
        return RunFolder(path).settings().monitor.norm
    except UserError:
        return "Linf"
