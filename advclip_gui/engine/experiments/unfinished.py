"""Experiments that ended before they were done, without anybody asking for it: they can go on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from advclip_gui.engine.errors import CheckpointError
from advclip_gui.engine.experiments.figures import read_figures
from advclip_gui.engine.experiments.folder import ExperimentFolder, experiments_root

if TYPE_CHECKING:
    from pathlib import Path

    from advclip_gui.engine.experiments.folder import ExperimentState

_CUT_OFF: Final = ("interrupted", "cancelled")
"""The process was killed, the power went; or the program was closed or told to leave at once."""
_LOOKED_AT: Final = 50


@dataclass(frozen=True, slots=True)
class Unfinished:
    """An experiment that can go on.

    Attributes:
        path: its folder.
        name: its title.
        state: "interrupted" or "cancelled".
        done: parts that need nothing more.
        total: of all.
    """

    path: Path
    name: str
    state: ExperimentState
    done: int
    total: int


def unfinished(root: Path | None = None) -> tuple[Unfinished, ...]:
    """Look through the newest experiments; the one begun last comes first.

    Args:
        root: where runs are kept, None for the platform's place.
    """
    place = experiments_root(root)
    try:
        folders = sorted((path for path in place.iterdir() if path.is_dir()), reverse=True)
    except OSError:
        return ()
    found = []
    for path in folders[:_LOOKED_AT]:
        folder = ExperimentFolder(path)
        state = folder.state()
        if state not in _CUT_OFF:
            continue
        try:
            figures = read_figures(folder)
        except CheckpointError:
            continue
        if figures.done < figures.total:
            found.append(Unfinished(path, figures.title, state, figures.done, figures.total))
    return tuple(found)
