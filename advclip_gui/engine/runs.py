"""One run is one folder on disk: settings, environment, split, metrics, checkpoint, adapter, result, note."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from platformdirs import user_data_path

from advclip_gui.engine.errors import CheckpointError, SettingsError
from advclip_gui.engine.files import (
    append_line,
    free_folder,
    read_json_object,
    storage_error,
    write_json_atomic,
    write_text_atomic,
)
from advclip_gui.engine.process_mark import process_lives, process_mark
from advclip_gui.engine.run_environment import environment
from advclip_gui.settings import RunSettings

if TYPE_CHECKING:
    from pathlib import Path

    from advclip_gui.engine.events import Event

RunState = Literal["running", "finished", "stopped", "cancelled", "failed", "interrupted"]
EVENT_NAMES = {"StepDone": "step", "EvalDone": "eval"}
"""Which events `metrics.jsonl` keeps, and what it calls them."""
NOTE_LENGTH = 20_000
"""Characters of a note that are kept."""


def runs_root() -> Path:
    """Where runs are kept unless the user says otherwise: the platform's data folder."""
    return user_data_path("advclip-gui", appauthor=False) / "runs"


def new_run_dir(settings: RunSettings, root: Path | None = None) -> Path:
    """Choose a folder that does not exist yet: date, time and name; nothing is created."""
    root = runs_root() if root is None else root
    word = re.sub(r"[^A-Za-z0-9]+", "-", settings.name or settings.method).strip("-").lower() or "run"
    stem = f"{datetime.now().astimezone():%Y%m%d-%H%M%S}-{word[:40]}"
    return free_folder(root, stem)


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
        before = read_json_object(self.path / "state.json") or {}
        write_json_atomic(
            self.path / "state.json",
            {
                "state": state,
                "message": message,
                **process_mark(),
                "started": before.get("started", time.time()),
                "updated": time.time(),
            },
        )

    def state(self) -> RunState:
        """How the run stands; "interrupted" where its process is gone without a last word."""
        record = read_json_object(self.path / "state.json")
        if record is None:
            return "interrupted"
        state = record.get("state")
        if state not in get_args(RunState):
            return "interrupted"
        if state == "running" and not process_lives(record):
            return "interrupted"
        return cast("RunState", state)

    def state_message(self) -> str:
        """The sentence recorded with the state, e.g. why the run failed."""
        return str((read_json_object(self.path / "state.json") or {}).get("message", ""))

    def started(self) -> float:
        """When the run began, in seconds since the epoch; 0 where that is not recorded."""
        value = (read_json_object(self.path / "state.json") or {}).get("started")
        return float(value) if isinstance(value, int | float) and math.isfinite(value) else 0.0

    def rename(self, name: str) -> None:
        """Give the run another name; nothing else about it changes.

        Raises:
            CheckpointError: this is no run folder.
            SettingsError: the name is too long.
            StorageError: it could not be written; the old name then stays.
        """
        values = self.settings().model_dump(mode="json", exclude_none=True)
        renamed = RunSettings.checked({**values, "name": " ".join(name.split())})
        write_text_atomic(self.path / "settings.toml", renamed.to_toml())

    def note(self) -> str:
        """What the user wrote about the run; "" where there is nothing."""
        try:
            with (self.path / "note.txt").open(encoding="utf-8", errors="replace") as stream:
                return stream.read(NOTE_LENGTH).strip()
        except OSError:
            return ""

    def set_note(self, text: str) -> None:
        """Keep a note in the folder, or take it away where it is empty. Raises `StorageError`."""
        path, text = self.path / "note.txt", text.strip()[:NOTE_LENGTH]
        if text:
            write_text_atomic(path, text + "\n")
            return
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise storage_error(path, error) from error

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
        return read_json_object(self.path / "result.json")

    def split(self) -> dict[str, Any] | None:
        """The recorded split, None where there is none."""
        return read_json_object(self.path / "split.json")


def _plain(value: object) -> object:
    """JSON has no NaN: write null."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
