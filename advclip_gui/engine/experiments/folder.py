"""An experiment is one folder on disk: definition, state, and a run folder and a record for each cell."""

from __future__ import annotations

import os
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from advclip_gui.engine.errors import CheckpointError, SettingsError
from advclip_gui.engine.experiments.definition import ExperimentSettings, differences
from advclip_gui.engine.files import (
    free_folder,
    read_json_object,
    storage_error,
    write_json_atomic,
    write_text_atomic,
)
from advclip_gui.engine.process_mark import process_lives, process_mark
from advclip_gui.engine.runs import runs_root

if TYPE_CHECKING:
    from pathlib import Path

ExperimentState = Literal["new", "running", "finished", "stopped", "cancelled", "failed", "interrupted"]
"""A finished one has no cell left to do; "failed" ones have, and say which."""
DEFINITION = "experiment.toml"


def experiments_root(root: Path | None = None) -> Path:
    """Where experiments are kept unless the user says otherwise: beside the runs, below their root."""
    return (runs_root() if root is None else root) / "experiments"


def new_experiment_dir(settings: ExperimentSettings, root: Path | None = None) -> Path:
    """Choose a folder that does not exist yet; nothing is created."""
    place = experiments_root() if root is None else root
    stem = f"{datetime.now().astimezone():%Y%m%d-%H%M%S}-{settings.slug}"
    return free_folder(place, stem)


class ExperimentFolder:
    """Read and write an experiment's folder; every file is replaced whole."""

    def __init__(self, path: Path) -> None:
        """Name the folder; it need not exist yet."""
        self.path = path

    @property
    def exists(self) -> bool:
        """Whether an experiment was begun or defined here."""
        return (self.path / DEFINITION).is_file()

    def run_dir(self, key: str) -> Path:
        """The run folder of a cell."""
        return self.path / "cells" / key

    def journal(self, key: str, test_set: str) -> Path:
        """Where an evaluation keeps what it has found until it is done."""
        return self.path / "journals" / f"{key}-{test_set}.jsonl"

    def settings(self) -> ExperimentSettings:
        """The definition. Raises `CheckpointError` where this is no experiment."""
        try:
            return ExperimentSettings.from_file(self.path / DEFINITION)
        except SettingsError as error:
            raise CheckpointError(f"{self.path} is no experiment: {error.message}") from error

    def define(self, settings: ExperimentSettings) -> None:
        """Write the definition, or make sure that the one written is the same.

        Raises:
            SettingsError: another experiment was begun here; the difference is named.
            CheckpointError: there is something else in the folder.
            StorageError: it cannot be written.
        """
        if self.exists:
            found = differences(self.settings(), settings)
            if found:
                raise SettingsError(
                    f"The experiment in {self.path} was begun with another definition ({'; '.join(found)}).",
                    "Go on with the folder alone, or begin a new experiment in another folder.",
                )
            return
        try:
            taken = self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir()))
        except OSError as error:
            raise storage_error(self.path, error) from error
        if taken:
            raise CheckpointError(f"{self.path} is not empty.", "Choose a new folder for the experiment.")
        write_text_atomic(self.path / DEFINITION, settings.to_toml())

    # --- how it stands ------------------------------------------------------------------------

    def set_state(self, state: ExperimentState, message: str = "") -> None:
        """Record how the experiment stands. Raises `StorageError`."""
        write_json_atomic(
            self.path / "state.json",
            {
                "state": state,
                "message": message,
                **process_mark(),
                "updated": time.time(),
            },
        )

    def state(self) -> ExperimentState:
        """How it stands; "interrupted" where its process is gone without a last word."""
        place = self.path / "state.json"
        record = read_json_object(place)
        if record is None:
            return "interrupted" if place.exists() else "new"
        state = record.get("state")
        if state not in get_args(ExperimentState):
            return "interrupted"
        if state == "running" and not process_lives(record):
            return "interrupted"
        return cast("ExperimentState", state)

    def state_message(self) -> str:
        """The sentence recorded with the state."""
        return str((read_json_object(self.path / "state.json") or {}).get("message", ""))

    def check_free(self) -> None:
        """Raise `CheckpointError` where another process works on the experiment."""
        record = read_json_object(self.path / "state.json") or {}
        if record.get("state") == "running" and record.get("pid") != os.getpid() and process_lives(record):
            raise CheckpointError(
                f"The experiment in {self.path} is being run by another process.", "Wait for it, or stop it."
            )

    # --- records ------------------------------------------------------------------------------

    def write_record(self, key: str, record: dict[str, Any]) -> None:
        """Write what became of a cell, or of the zero-shot model. Raises `StorageError`."""
        write_json_atomic(self.path / "records" / f"{key}.json", record)

    def record(self, key: str) -> dict[str, Any]:
        """What became of a cell: "state", "message", "figures" by test set; {} where it is not known."""
        return read_json_object(self.path / "records" / f"{key}.json") or {}

    def is_done(self, key: str) -> bool:
        """Whether nothing is left to do for a cell."""
        return self.record(key).get("state") == "finished"

    def withdraw(self) -> None:
        """Remove a definition of which nothing has been run; anything else stays."""
        if self.state() == "new":
            (self.path / DEFINITION).unlink(missing_ok=True)
            if self.path.is_dir() and not any(self.path.iterdir()):
                self.path.rmdir()

    def write_test_sets(self, values: dict[str, Any]) -> None:
        """Write what is tested on. Raises `StorageError`."""
        write_json_atomic(self.path / "test-sets.json", values)

    def test_sets(self) -> dict[str, Any]:
        """What is tested on, by name: title, n and digest; {} before the first start."""
        return read_json_object(self.path / "test-sets.json") or {}
