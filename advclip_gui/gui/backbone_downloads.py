"""The one download of a backbone that may run in the window; whoever shows it watches the same one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from advclip_gui.engine.catalog import entry
from advclip_gui.engine.clip_source import hub_switched_off
from advclip_gui.engine.events import Progress
from advclip_gui.gui.preferences import Preferences

if TYPE_CHECKING:
    from advclip_gui.engine.catalog import BackboneEntry
    from advclip_gui.engine.control import Control
    from advclip_gui.gui.io_thread import IoPool
    from advclip_gui.gui.job_handle import JobHandle
    from advclip_gui.settings import BackboneSettings


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the last download of a backbone ended.

    Attributes:
        level: of the banner that says so: success, error, or info where it was cancelled.
        sentence: what happened and what to do.
        details: to be folded out and copied, "" where there are none.
    """

    one: BackboneEntry
    level: str
    sentence: str
    details: str = ""


class BackboneDownloads(QObject):
    """Runs one download at a time: a second one would only halve the line, and take a thread from the lists.

    Attributes:
        latest: the last report of what is running, None before the first.
    """

    began = Signal()
    progressed = Signal(object)
    """`Progress`, bytes done of bytes in all."""
    ended = Signal(object)
    """`Outcome`; nothing runs any more."""

    def __init__(self, io: IoPool, parent: QObject | None = None) -> None:
        """Start with nothing."""
        super().__init__(parent)
        self._io = io
        self._one: BackboneEntry | None = None
        self._job: JobHandle | None = None
        self._outcomes: dict[BackboneEntry, Outcome] = {}
        self.latest: Progress | None = None

    @property
    def one(self) -> BackboneEntry | None:
        """What is being downloaded, None where nothing is."""
        return self._one

    def outcome(self, one: BackboneEntry) -> Outcome | None:
        """How the last download of a backbone ended, None where none was tried since it began anew."""
        return self._outcomes.get(one)

    def start(self, settings: BackboneSettings) -> bool:
        """Begin, unless something is being downloaded already; only ever called by a click."""
        if self._one is not None:
            return False
        self._one = entry(settings)
        self._outcomes.pop(self._one, None)
        self.latest = None
        self._job = self._io.submit(
            partial(fetch, settings, Preferences().offline()), f"Downloading {self._one.title}", lasting=True
        )
        self._job.event.connect(self._on_event)
        self._job.ended.connect(self._on_ended)
        self.began.emit()
        return True

    def cancel(self) -> None:
        """End what is running; what came is kept for the next time."""
        if self._job is not None:
            self._job.cancel()

    def _on_event(self, event: object) -> None:
        if isinstance(event, Progress):
            self.latest = event
            self.progressed.emit(event)

    def _on_ended(self) -> None:
        job, one = self._job, self._one
        if job is None or one is None:
            return
        self._job = self._one = None
        outcome = _outcome(one, job, self.latest)
        self._outcomes[one] = outcome
        self.ended.emit(outcome)


def _outcome(one: BackboneEntry, job: JobHandle, latest: Progress | None) -> Outcome:
    if job.state == "finished":
        return Outcome(one, "success", f"{one.title} is on this machine now.")
    if job.error is not None:
        return Outcome(one, "error", job.error.sentence, job.error.details)
    came = latest.done / 1e6 if latest is not None else 0.0
    kept = f" {came:,.0f} MB are kept: the next download goes on from there." if came >= 1 else ""
    return Outcome(one, "info", f"The download of {one.title} was cancelled.{kept}")


def why_offline() -> str:
    """Why nothing may be downloaded, as a whole sentence; "" where it may."""
    if hub_switched_off():
        return "HF_HUB_OFFLINE is set, so fetching is switched off: unset it and start the program again."
    return "'Work offline' is on, so fetching is switched off." if Preferences().offline() else ""


def fetch(settings: BackboneSettings, offline: bool, control: Control) -> object:
    """Fetch a backbone; PyTorch is not imported."""
    from advclip_gui.engine.download import fetch_weights

    return fetch_weights(settings, control=control, offline="Work offline" if offline else "")
