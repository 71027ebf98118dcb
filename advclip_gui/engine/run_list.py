"""The list of runs, those of experiments too: a line for each, read anew only where its files changed."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from platformdirs import user_cache_path

from advclip_gui import __version__
from advclip_gui.engine import runs
from advclip_gui.engine.catalog import entry
from advclip_gui.engine.errors import CheckpointError, StorageError, UserError
from advclip_gui.engine.files import write_text_atomic
from advclip_gui.engine.run_cells import as_cell, cell_names, is_cell, more_files
from advclip_gui.settings import DEMO_FOLDER, BackboneSettings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


_FORMAT = f"2 {__version__}"
_TAIL_BYTES = 8192
_ABSENT = (0, 0, 0)
_LOOKED_AT = (
    "settings.toml",
    "state.json",
    "result.json",
    "note.txt",
    os.path.join("adapter", "adapter_model.safetensors"),
    os.path.join("checkpoint", "state.safetensors"),
)
"""Files that a line of the list follows from."""

LineState = Literal[
    "running", "finished", "stopped", "cancelled", "failed", "interrupted", "adapter", "missing"
]
"""That of a run, or of an adapter without one, which is here or "missing"."""
FileStamp = tuple[int, int, int]
Stamp = tuple[FileStamp, ...]
"""Time of change in nanoseconds, size and inode of each file looked at; `_ABSENT` where it is not there.

The inode tells two files of one size apart that replaced each other within a tick of the clock.
"""


@dataclasses.dataclass(frozen=True, slots=True)
class RunSummary:
    """One line of the list of runs; accuracies are shares in [0, 1], None where not measured.

    An adapter without a run is a line too; what is not known of it is None or "".

    Attributes:
        path: the run's folder, or the one with the adapter.
        step: last step reported by a run in training, else 0.
        total_steps: of the whole run.
        note: what the user wrote about it.
        part_of: the experiment it belongs to, "" for a run of its own.
        key: of an adapter in the library, "" for a run.
        problem: why an adapter cannot be used at the moment.
    """

    path: Path
    name: str
    data: str
    backbone: str
    method: str
    protocol: str
    shots: int | None
    epsilon: float | None
    norm: str
    clean: float | None
    robust: float | None
    zero_shot_clean: float | None
    zero_shot_robust: float | None
    n: int | None
    started: float
    state: LineState
    backbone_settings: BackboneSettings
    has_adapter: bool
    has_checkpoint: bool
    step: int = 0
    total_steps: int = 0
    note: str = ""
    part_of: str = ""
    key: str = ""
    problem: str = ""

    @property
    def is_adapter(self) -> bool:
        """Whether this is an adapter without a run."""
        return bool(self.key)

    @property
    def title(self) -> str:
        """The name; of a part of an experiment, with the experiment before it."""
        return f"{self.part_of} · {self.name}" if self.part_of else self.name


def summarise(path: Path) -> RunSummary:
    """Read a run's folder for its line. Raises `CheckpointError` where this is no run folder."""
    line = _summarise(path)
    return as_cell(line) if is_cell(path) else line


def _summarise(path: Path) -> RunSummary:
    folder = runs.RunFolder(path)
    settings = folder.settings()
    result = folder.result() or {}
    adapter, baseline = _entry(result, "adapter"), _entry(result, "zero_shot")
    state = folder.state()
    return RunSummary(
        path=path,
        name=settings.name or path.name,
        data="Demo photos" if settings.data.folder == DEMO_FOLDER else Path(settings.data.folder).name,
        backbone=backbone_title(settings.backbone),
        method=settings.method,
        protocol=settings.protocol,
        shots=settings.data.shots,
        epsilon=settings.monitor.epsilon,
        norm=settings.monitor.norm,
        clean=_share(adapter, "clean_accuracy"),
        robust=_share(adapter, "robust_accuracy"),
        zero_shot_clean=_share(baseline, "clean_accuracy"),
        zero_shot_robust=_share(baseline, "robust_accuracy"),
        n=images if isinstance(images := adapter.get("n"), int) else None,
        started=folder.started(),
        state=state,
        backbone_settings=settings.backbone,
        has_adapter=folder.has_adapter,
        has_checkpoint=folder.has_checkpoint,
        step=last_step(path / "metrics.jsonl") if state == "running" else 0,
        total_steps=settings.total_steps,
        note=folder.note(),
    )


class RunIndex:
    """The lines of the runs below one folder; remembers them here and, for the next start, on disk.

    Not for use by several threads at once.

    Attributes:
        root: the folder of runs.
        memory: where they are remembered on disk, below the platform's cache folder.
    """

    def __init__(self, root: Path) -> None:
        """Remember nothing yet; the folder need not exist."""
        self.root = root
        place = hashlib.sha256(str(root.absolute()).encode()).hexdigest()[:16]
        self.memory = user_cache_path("advclip-gui", appauthor=False) / "run-lists" / f"{place}.json"
        self._known: dict[str, tuple[Stamp, RunSummary]] | None = None

    def read(self) -> list[RunSummary]:
        """Every readable run, newest first; folders that are no runs are passed over."""
        if self._known is None:
            self._known = dict(self._stored())
        before, known = self._known, {}
        changed = 0
        for name, stamp in _stamped_folders(self.root):
            remembered = before.get(name)
            # A run in training moves on without a new stamp, or ends without a last word.
            if remembered is not None and remembered[0] == stamp and remembered[1].state != "running":
                known[name] = remembered
                continue
            try:
                known[name] = (stamp, summarise(self.root / name))
            except CheckpointError:
                continue
            changed += known[name][1].state != "running"
        self._known = known
        if changed or len(known) < len(before):
            self._store()
        lines = [line for _, line in known.values()]
        return sorted(lines, key=lambda line: (line.started, line.path.name), reverse=True)

    def _store(self) -> None:
        assert self._known is not None
        entries = {
            name: {"stamp": stamp, "line": _plain_line(line)}
            for name, (stamp, line) in self._known.items()
            if line.state != "running"
        }
        try:
            text = json.dumps({"format": _FORMAT, "runs": entries})
            write_text_atomic(self.memory, text)
        except StorageError:
            return  # without room for a cache, everything is read anew at the next start

    def _stored(self) -> Iterator[tuple[str, tuple[Stamp, RunSummary]]]:
        try:
            stored = json.loads(self.memory.read_text(encoding="utf-8"))
            entries = stored["runs"] if stored["format"] == _FORMAT else {}
            for name, one in entries.items():
                stamp = tuple((int(time), int(size), int(inode)) for time, size, inode in one["stamp"])
                yield name, (stamp, _line(self.root / name, one["line"]))
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return  # damaged or of another version: read anew


def list_runs(root: Path | None = None, *, parts: bool = False) -> list[RunSummary]:
    """Every readable run below `root`, newest first; folders that are no runs are passed over.

    Args:
        root: the folder of runs, None for the platform's.
        parts: whether to list the runs of experiments too.
    """
    every = RunIndex(runs.runs_root() if root is None else root).read()
    return [line for line in every if parts or not line.part_of]


def last_step(metrics: Path) -> int:
    """The latest step in a `metrics.jsonl`, from its last lines; 0 where there is none."""
    try:
        with metrics.open("rb") as stream:
            stream.seek(max(0, metrics.stat().st_size - _TAIL_BYTES))
            lines = stream.read(_TAIL_BYTES).split(b"\n")
    except OSError:
        return 0
    for line in reversed(lines):
        try:
            return int(json.loads(line)["step"])
        except (ValueError, KeyError, TypeError):
            continue  # a line half read or half written
    return 0


def _stamped_folders(root: Path) -> Iterator[tuple[str, Stamp]]:
    try:
        with os.scandir(root) as found:
            names = [one.name for one in found if not one.name.startswith(".")]
    except OSError:
        return
    for name in names:
        stamp = tuple(_stamp(os.path.join(root, name, file)) for file in _LOOKED_AT)
        if stamp[0] != _ABSENT:
            yield name, stamp
    for name in cell_names(root):
        files = (*_LOOKED_AT, *more_files(name))
        stamp = tuple(_stamp(os.path.join(root, name, file)) for file in files)
        if stamp[0] != _ABSENT:
            yield name, stamp


def _stamp(path: str) -> FileStamp:
    try:
        found = os.stat(path)
    except OSError:
        return _ABSENT
    return (found.st_mtime_ns, found.st_size, found.st_ino)


def _plain_line(line: RunSummary) -> dict[str, Any]:
    values = {field.name: getattr(line, field.name) for field in dataclasses.fields(line)}
    del values["path"]
    return {**values, "backbone_settings": line.backbone_settings.model_dump(mode="json")}


def _line(path: Path, values: Mapping[str, Any]) -> RunSummary:
    backbone = BackboneSettings.model_validate(values["backbone_settings"])
    return RunSummary(**{**values, "path": path, "backbone_settings": backbone})


def _entry(result: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = result.get(key)
    return value if isinstance(value, dict) else {}


def _share(entry: Mapping[str, Any], key: str) -> float | None:
    """A share in [0, 1]; None for anything else a foreign file may hold."""
    value = entry.get(key)
    return float(value) if isinstance(value, int | float) and 0 <= value <= 1 else None


def backbone_title(backbone: BackboneSettings) -> str:
    """What a backbone is called in the list."""
    if backbone.name == "local":
        return f"{backbone.architecture} ({Path(backbone.checkpoint).name})"
    try:
        return entry(backbone).title
    except UserError:  # of another version of this program
        return backbone.name
