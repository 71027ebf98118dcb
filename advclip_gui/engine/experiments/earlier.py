"""Runs on this machine from before: how long their steps really took, for the time of a new experiment."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Final

from advclip_gui.engine.errors import CheckpointError
from advclip_gui.engine.experiments.estimate import Timed
from advclip_gui.engine.experiments.folder import experiments_root
from advclip_gui.engine.files import read_json_object
from advclip_gui.engine.runs import RunFolder, runs_root

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from advclip_gui.settings import RunSettings

_LOOKED_AT: Final = 40
_ENOUGH: Final = 6


def earlier_runs(settings: RunSettings, device: str, root: Path | None = None) -> tuple[Timed, ...]:
    """Look through the newest runs, cells of experiments among them, for some of the same kind.

    Args:
        settings: of a run; backbone, protocol and adapted towers must be the same.
        device: as runs record it; those of another one say nothing.
        root: where runs are kept, None for the platform's place.
    """
    found: list[Timed] = []
    for number, folder in enumerate(_newest(runs_root() if root is None else root)):
        if number == _LOOKED_AT or len(found) == _ENOUGH:
            break
        timed = _timed(folder, settings, device)
        if timed is not None:
            found.append(timed)
    return tuple(found)


def _newest(root: Path) -> Iterator[Path]:
    cells = [path for one in _folders(experiments_root(root)) for path in _folders(one / "cells")]
    dated = [(_changed(path), path) for path in (*_folders(root), *cells)]
    for when, path in sorted(dated, reverse=True):
        if when:
            yield path


def _folders(place: Path) -> list[Path]:
    try:
        return [path for path in place.iterdir() if path.is_dir()]
    except OSError:
        return []


def _changed(folder: Path) -> float:
    try:
        return (folder / "metrics.jsonl").stat().st_mtime
    except OSError:
        return 0.0


def _timed(folder: Path, wanted: RunSettings, device: str) -> Timed | None:
    run = RunFolder(folder)
    if (read_json_object(folder / "environment.json") or {}).get("device") != device:
        return None
    try:
        settings = run.settings()
    except CheckpointError:
        return None
    if (settings.backbone, settings.protocol, settings.lora.encoder, settings.precision) != (
        wanted.backbone,
        wanted.protocol,
        wanted.lora.encoder,
        wanted.precision,
    ):
        return None
    rates = [
        float(record["steps_per_second"])
        for record in run.metrics()
        if record.get("event") == "step" and isinstance(record.get("steps_per_second"), int | float)
    ]
    classes = len((run.split() or {}).get("class_folders", ()))
    # The first report knows one step only, which is slow.
    rate = statistics.median(rates[1:]) if len(rates) > 1 else 0.0
    return Timed(settings, classes, 1 / rate) if classes and rate > 0 else None
