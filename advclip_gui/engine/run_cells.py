"""Runs that are parts of experiments: where they lie, and what the experiment has measured of them."""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING, Any

from advclip_gui.engine.errors import CheckpointError
from advclip_gui.engine.experiments.folder import DEFINITION, ExperimentFolder, experiments_root

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from advclip_gui.engine.run_list import RunSummary

_CELLS = "cells"
_RECORDS = "records"
_ZERO_SHOT = "zero-shot"


def cell_names(root: Path) -> Iterator[str]:
    """Folders of cells below the folder of runs, as paths relative to it."""
    place = experiments_root(root)
    for experiment in _names(place):
        for key in _names(place / experiment / _CELLS):
            yield os.path.join(place.name, experiment, _CELLS, key)


def is_cell(path: Path) -> bool:
    """Whether a run folder lies where an experiment keeps its own."""
    return path.parent.name == _CELLS and ExperimentFolder(path.parent.parent).exists


def more_files(name: str) -> tuple[str, ...]:
    """What a cell's line follows from beside its run folder, relative to that."""
    records = (os.path.join(_RECORDS, f"{key}.json") for key in (os.path.basename(name), _ZERO_SHOT))
    return tuple(os.path.join(os.pardir, os.pardir, file) for file in (DEFINITION, *records))


def as_cell(line: RunSummary) -> RunSummary:
    """Complete the line of a run that is a cell: whose part it is, and its figures on the first test set."""
    folder = ExperimentFolder(line.path.parent.parent)
    try:
        settings = folder.settings()
    except CheckpointError:
        return dataclasses.replace(line, part_of=folder.path.name)
    found = _first(folder.record(line.path.name))
    bare = _first(folder.record(_ZERO_SHOT))
    images = found.get("n")
    return dataclasses.replace(
        line,
        part_of=settings.name or folder.path.name,
        epsilon=settings.evaluation.epsilon,
        norm=settings.evaluation.norm,
        clean=_share(found, "clean"),
        robust=_share(found, "robust"),
        zero_shot_clean=_share(bare, "clean"),
        zero_shot_robust=_share(bare, "robust"),
        n=images if isinstance(images, int) else None,
    )


def cell_folders(root: Path, most: int) -> list[Path]:
    """Folders in which the next cell of an experiment, or its figures, may appear; of the newest ones."""
    place = experiments_root(root)
    newest = sorted(_names(place), reverse=True)[:most]
    inside = [place / name / part for name in newest for part in (_CELLS, _RECORDS)]
    found = [place, *(folder if folder.is_dir() else folder.parent for folder in inside)]
    return list(dict.fromkeys(found)) if newest else []


def _names(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as found:
            return sorted(one.name for one in found if not one.name.startswith(".") and one.is_dir())
    except OSError:
        return []


def _first(record: dict[str, Any]) -> dict[str, Any]:
    figures = record.get("figures")
    first = next(iter(figures.values()), None) if isinstance(figures, dict) else None
    return first if isinstance(first, dict) else {}


def _share(figures: dict[str, Any], key: str) -> float | None:
    value = figures.get(key)
    return float(value) if isinstance(value, int | float) and 0 <= value <= 1 else None
