"""Changes to run folders that the Runs page asks for: off the main thread, then listed anew."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from advclip_gui.engine.adapter_library import AdapterLibrary
from advclip_gui.engine.runs import RunFolder
from advclip_gui.gui.run_bin import BinOutcome, delete_for_good, move_to_bin, put_back

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from advclip_gui.engine.control import Control
    from advclip_gui.engine.run_list import RunSummary
    from advclip_gui.gui.io_thread import IoPool
    from advclip_gui.gui.job_handle import ErrorInfo, JobHandle
    from advclip_gui.gui.run_bin import Binned
    from advclip_gui.gui.workspace import Workspace


class RunKeeper(QObject):
    """Renames, annotates, bins and deletes; what fails becomes a sentence above the page."""

    changed = Signal()
    """Something in the folders is other than it was."""
    binned = Signal(object)
    """A BinOutcome."""

    def __init__(self, workspace: Workspace, io: IoPool, parent: QObject) -> None:
        """Keep whom to ask and whom to tell."""
        super().__init__(parent)
        self._workspace, self._io = workspace, io

    def rename(self, run: RunSummary, name: str) -> None:
        """Give a run or an adapter another name."""
        if run.is_adapter:
            self._do(lambda _control: AdapterLibrary().rename(run.key, name), "Renaming an adapter")
        else:
            self._do(lambda _control: RunFolder(run.path).rename(name), "Renaming a run")

    def set_note(self, run: RunSummary, text: str) -> None:
        """Keep a note about a run or an adapter."""
        if run.is_adapter:
            self._do(lambda _control: AdapterLibrary().set_note(run.key, text), "Writing a note")
        else:
            self._do(lambda _control: RunFolder(run.path).set_note(text), "Writing a note")

    def move_to_bin(self, runs: Sequence[RunSummary]) -> None:
        """Move runs to the system's bin and adapters to the library's; `binned` tells what became of them."""
        held = self._held()
        waiting = [run for run in runs if run.path == held]
        lines = [run for run in runs if run.path != held]
        if waiting:
            name = waiting[0].name
            self._workspace.notify.emit("warning", f"'{name}' is in training and stays. Stop it first.", "")
        if lines:
            handle = self._do(partial(move_to_bin, lines), "Moving to the bin")
            handle.finished.connect(self._on_binned)

    def put_back(self, binned: Sequence[Binned]) -> None:
        """Take runs and adapters out of the bin again."""
        self._do(partial(put_back, binned), "Putting back")

    def delete(self, paths: Sequence[Path]) -> None:
        """Delete runs for good; the question has been asked."""
        self._do(partial(delete_for_good, paths), "Deleting runs")

    def _held(self) -> Path | None:
        """The run this window trains or is about to train: its folder may not know yet."""
        return self._workspace.run_dir if self._workspace.is_training else None

    def _do(self, work: Callable[[Control], object], title: str) -> JobHandle:
        handle = self._io.submit(work, title)
        handle.finished.connect(self._on_done)
        handle.failed.connect(self._on_failed)
        return handle

    def _on_done(self, _result: object) -> None:
        self._workspace.refresh_runs()
        self.changed.emit()

    def _on_failed(self, error: ErrorInfo) -> None:
        self._workspace.notify.emit("error", error.sentence, error.details)
        self._workspace.refresh_runs()

    def _on_binned(self, outcome: BinOutcome) -> None:
        self.binned.emit(outcome)


def binned_sentence(outcome: BinOutcome, names: dict[Path, str]) -> str:
    """Say what is in the bin now: "'First' is in the bin."; "" where nothing is."""
    adapters = sum(bool(one.key) for one in outcome.binned)
    runs = len(outcome.binned) - adapters
    if runs + adapters == 1:
        path = outcome.binned[0].path
        return f"'{names.get(path, path.name)}' is in the bin."
    counted = ((runs, "run", "runs"), (adapters, "adapter", "adapters"))
    told = [f"{count} {one if count == 1 else many}" for count, one, many in counted if count]
    return f"{' and '.join(told)} are in the bin." if told else ""
