"""One run is one folder on disk: settings, environment, split, metrics, checkpoint, adapter, result."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import platform
import re
import time
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import psutil
from platformdirs import user_data_path

from advclip_gui import __version__
from advclip_gui.engine.catalog import entry
from advclip_gui.engine.errors import CheckpointError, SettingsError
from advclip_gui.engine.files import append_line, write_json_atomic, write_text_atomic
from advclip_gui.settings import DEMO_FOLDER, BackboneSettings, RunSettings

if TYPE_CHECKING:
    from advclip_gui.engine.events import Event

RunState = Literal["running", "finished", "stopped", "cancelled", "failed", "interrupted"]
EVENT_NAMES = {"StepDone": "step", "EvalDone": "eval"}
"""Which events `metrics.jsonl` keeps, and what it calls them."""
_PACKAGES = (
    "torch", "torchvision", "open_clip_torch", "peft", "transformers", "numpy", "pillow", "pydantic",
    "PySide6_Essentials",
)  # fmt: skip


def runs_root() -> Path:
    """Where runs are kept unless the user says otherwise: the platform's data folder."""
    return user_data_path("advclip-gui", appauthor=False) / "runs"


def new_run_dir(settings: RunSettings, root: Path | None = None) -> Path:
    """Choose a folder that does not exist yet: date, time and name; nothing is created."""
    root = runs_root() if root is None else root
    word = re.sub(r"[^A-Za-z0-9]+", "-", settings.name or settings.method).strip("-").lower() or "run"
    stem = f"{datetime.now().astimezone():%Y%m%d-%H%M%S}-{word[:40]}"
    candidate, number = root / stem, 2
    while candidate.exists():
        candidate, number = root / f"{stem}-{number}", number + 1
    return candidate


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


@dataclasses.dataclass(frozen=True, slots=True)
class RunSummary:
    """One line of the list of runs; accuracies are shares in [0, 1], None where not measured."""

    path: Path
    name: str
    data: str
    backbone: str
    method: str
    protocol: str
    shots: int
    epsilon: float
    norm: str
    clean: float | None
    robust: float | None
    zero_shot_clean: float | None
    zero_shot_robust: float | None
    n: int | None
    started: float
    state: RunState
    backbone_settings: BackboneSettings
    has_adapter: bool
    has_checkpoint: bool


class RunFolder:
    """Read and write a run's folder; every file is replaced whole, `metrics.jsonl` grows by lines."""

    def __init__(self, path: Path) -> None:
        """Name the folder; it need not exist yet."""
        self.path = path

    @property
    def adapter_dir(self) -> Path:
        """The adapter in peft's format."""
        return self.path / "adapter"

    @property
    def checkpoint_path(self) -> Path:
        """The training state for resuming."""
        return self.path / "checkpoint" / "state.safetensors"

    @property
    def plain_adapter_dir(self) -> Path:
        """The CLIP-LoRA adapter trained for comparison, in peft's format."""
        return self.path / "clip-lora"

    @property
    def plain_checkpoint_path(self) -> Path:
        """The training state of the adapter trained for comparison."""
        return self.path / "checkpoint" / "clip-lora.safetensors"

    @property
    def has_settings(self) -> bool:
        """Whether this is the folder of a run that was begun."""
        return (self.path / "settings.toml").is_file()

    @property
    def has_checkpoint(self) -> bool:
        """Whether the run can be resumed."""
        return self.checkpoint_path.is_file()

    @property
    def has_adapter(self) -> bool:
        """Whether an adapter was saved."""
        return (self.adapter_dir / "adapter_model.safetensors").is_file()

    def start(self, settings: RunSettings, *, device: str, split: dict[str, Any]) -> None:
        """Write what is known before the first step. Raises `StorageError`."""
        write_text_atomic(self.path / "settings.toml", settings.to_toml())
        write_json_atomic(self.path / "environment.json", environment(device))
        write_json_atomic(self.path / "split.json", split)

    def settings(self) -> RunSettings:
        """Read the settings. Raises `CheckpointError` where this is no run folder."""
        try:
            return RunSettings.from_file(self.path / "settings.toml")
        except SettingsError as error:
            raise CheckpointError(f"{self.path} is no run folder: {error.message}") from error

    def set_state(self, state: RunState, message: str = "") -> None:
        """Record how the run stands. Raises `StorageError`."""
        before = _read_json(self.path / "state.json") or {}
        write_json_atomic(
            self.path / "state.json",
            {
                "state": state,
                "message": message,
                "pid": os.getpid(),
                "process_started": psutil.Process().create_time(),
                "started": before.get("started", time.time()),
                "updated": time.time(),
            },
        )

    def state(self) -> RunState:
        """How the run stands; "interrupted" where its process is gone without a last word."""
        record = _read_json(self.path / "state.json")
        if record is None:
            return "interrupted"
        state: RunState = record.get("state", "interrupted")
        if state == "running" and not _alive(record.get("pid"), record.get("process_started")):
            return "interrupted"
        return state

    def state_message(self) -> str:
        """The sentence recorded with the state, e.g. why the run failed."""
        return str((_read_json(self.path / "state.json") or {}).get("message", ""))

    def append(self, event: Event) -> None:
        """Add an event to `metrics.jsonl` if it is one of `EVENT_NAMES`. Raises `StorageError`."""
        name = EVENT_NAMES.get(type(event).__name__)
        if name is not None:
            values = {key: _plain(value) for key, value in dataclasses.asdict(event).items()}
            append_line(self.path / "metrics.jsonl", json.dumps({"event": name, **values}))

    def metrics(self) -> list[dict[str, Any]]:
        """Every whole line of `metrics.jsonl`; a line cut off by a crash is left out."""
        try:
            text = (self.path / "metrics.jsonl").read_text(encoding="utf-8")
        except OSError:
            return []
        records = []
        for line in text.splitlines():
            try:
                records.append(json.loads(line))
            except json.JSONDecodeError:
                continue
        return records

    def keep_metrics_until(self, step: int) -> None:
        """Drop what was recorded after a checkpoint that training resumes from. Raises `StorageError`."""
        kept = [record for record in self.metrics() if record.get("step", 0) <= step]
        write_text_atomic(self.path / "metrics.jsonl", "".join(json.dumps(record) + "\n" for record in kept))

    def write_result(self, result: dict[str, Any]) -> None:
        """Write the final figures. Raises `StorageError`."""
        write_json_atomic(self.path / "result.json", result)

    def result(self) -> dict[str, Any] | None:
        """The final figures, None where the run has none."""
        return _read_json(self.path / "result.json")

    def split(self) -> dict[str, Any] | None:
        """The recorded split, None where there is none."""
        return _read_json(self.path / "split.json")

    def summary(self) -> RunSummary:
        """Gather one line of the list of runs. Raises `CheckpointError` where this is no run folder."""
        settings = self.settings()
        result = self.result() or {}
        adapter, baseline = result.get("adapter") or {}, result.get("zero_shot") or {}
        record = _read_json(self.path / "state.json") or {}
        return RunSummary(
            path=self.path,
            name=settings.name or self.path.name,
            data="Demo photos" if settings.data.folder == DEMO_FOLDER else Path(settings.data.folder).name,
            backbone=_backbone_title(settings),
            method=settings.method,
            protocol=settings.protocol,
            shots=settings.data.shots,
            epsilon=settings.monitor.epsilon,
            norm=settings.monitor.norm,
            clean=adapter.get("clean_accuracy"),
            robust=adapter.get("robust_accuracy"),
            zero_shot_clean=baseline.get("clean_accuracy"),
            zero_shot_robust=baseline.get("robust_accuracy"),
            n=adapter.get("n"),
            started=float(record.get("started", 0.0)),
            state=self.state(),
            backbone_settings=settings.backbone,
            has_adapter=self.has_adapter,
            has_checkpoint=self.has_checkpoint,
        )


def list_runs(root: Path | None = None) -> list[RunSummary]:
    """Every readable run below `root`, newest first; folders that are no runs are passed over."""
    root = runs_root() if root is None else root
    if not root.is_dir():
        return []
    summaries = []
    for path in root.iterdir():
        if (path / "settings.toml").is_file():
            try:
                summaries.append(RunFolder(path).summary())
            except CheckpointError:
                continue
    return sorted(summaries, key=lambda summary: summary.started, reverse=True)


def _backbone_title(settings: RunSettings) -> str:
    if settings.backbone.name == "local":
        return f"{settings.backbone.architecture} ({Path(settings.backbone.checkpoint).name})"
    return entry(settings.backbone).title


def _plain(value: object) -> object:
    """JSON has no NaN: write null."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def _alive(pid: object, process_started: object) -> bool:
    """Whether the process that trains still lives (and is not a later one with the same id)."""
    if not isinstance(pid, int) or not isinstance(process_started, int | float):
        return False
    try:
        return bool(abs(psutil.Process(pid).create_time() - process_started) < 1)
    except (psutil.Error, ValueError):
        return False
