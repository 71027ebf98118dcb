"""Watch a long call from a terminal: progress on standard error, Ctrl+C cancels."""

from __future__ import annotations

import signal
import sys
import threading
from typing import TYPE_CHECKING, Any, Self

from advclip_gui.engine.control import Control
from advclip_gui.engine.events import EvalDone, Event, Log, Progress, StepDone, TrainingStarted
from advclip_gui.wording import COMPARISON_TASK, PROTOCOL_SENTENCES, images_text, plain_radius

if TYPE_CHECKING:
    from types import FrameType, TracebackType

    from rich.progress import Progress as Bars
    from rich.progress import TaskID

_MODELS = {"clip-lora": "CLIP-LoRA"}
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopNow(BaseException):
    """The user asked twice, or nothing that must be put in order has begun; no library may swallow it."""


class Watcher:
    """A context that shows events and turns signals into cancellation.

    On a terminal, progress moves in place; elsewhere only what is worth keeping in a log is
    written. The first Ctrl+C cancels at the next step; the second one, or one before the call has
    taken the control (while torch is being imported), stops at once.
    """

    def __init__(self, *, interactive: bool | None = None, protocol: str = "") -> None:
        """Prepare the control.

        Args:
            interactive: whether standard error is a terminal; None asks.
            protocol: of the training that is watched, said with each of its figures.
        """
        self._protocol = protocol
        self._begun: set[str] = set()
        self._control = Control(self._show)
        self._in_use = False
        self._interactive = sys.stderr.isatty() if interactive is None else interactive
        self._bars: Bars | None = None
        self._tasks: dict[str, TaskID] = {}
        self._accuracy = ""
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        """Take over the signals and start the progress bars."""
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                self._previous[number] = signal.signal(number, self._on_signal)
        if self._interactive:
            self._bars = _make_bars()
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Clear the bars and give the signals back."""
        if self._bars is not None:
            self._bars.stop()
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    @property
    def control(self) -> Control:
        """What the long call takes; asked for only when the call begins."""
        self._in_use = True
        return self._control

    @property
    def starting(self) -> Control:
        """The same control for what comes before, and may be broken off at any moment."""
        return self._control

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._control.cancelled or not self._in_use:
            raise StopNow
        self._control.cancel()
        self._line("Cancelling at the next step; press Ctrl+C again to stop at once.")

    def _show(self, event: Event) -> None:
        if isinstance(event, Log):
            prefix = "" if event.level == "info" else f"{event.level.capitalize()}: "
            self._line(prefix + event.message)
        elif isinstance(event, TrainingStarted):
            self._line(
                f"Training {event.trainable_parameters:,} parameters for {event.total_steps:,} steps "
                f"on {event.device}; run folder {event.run_dir}"
            )
            if event.protocol in PROTOCOL_SENTENCES:
                self._line(PROTOCOL_SENTENCES[event.protocol])
        elif isinstance(event, EvalDone):
            self._accuracy = f"clean {event.clean_accuracy:.1%}  robust {event.robust_accuracy:.1%}"
            protocol = f"{self._protocol} protocol, " if self._protocol else ""
            self._line(
                f"Step {event.step:,}  {_MODELS.get(event.model, event.model)}  "
                f"clean {100 * event.clean_accuracy:.1f} %  robust {100 * event.robust_accuracy:.1f} %  "
                f"({protocol}{event.attack}, {plain_radius(event.epsilon, event.norm)}, "
                f"n = {images_text(event.n, event.split)})"
            )
        elif isinstance(event, StepDone):
            detail = f"loss {event.adversarial_loss:.3f}  {self._accuracy}"
            self._progress("Training", event.step, event.total_steps, detail)
        elif isinstance(event, Progress):
            self._announce(event.task)
            self._progress(event.task, event.done, event.total, event.detail, event.within)

    def _announce(self, task: str) -> None:
        """Write that a part begins which takes as long as the training itself."""
        if task == COMPARISON_TASK and task not in self._begun:
            self._begun.add(task)
            self._line(f"{task} ...")

    def _line(self, text: str) -> None:
        if self._bars is not None:
            self._bars.console.print(text, highlight=False, markup=False, soft_wrap=True)
        else:
            sys.stderr.write(text + "\n")
            sys.stderr.flush()

    def _progress(self, task: str, done: int, total: int, detail: str, within: float = 0.0) -> None:
        if self._bars is None:
            return
        if task not in self._tasks:
            self._tasks[task] = self._bars.add_task(task, total=total or None, detail="", count="")
        bar = self._tasks[task]
        count = count_text(task, done, total)
        self._bars.update(bar, completed=done + within, total=total or None, detail=detail, count=count)
        if total and done >= total:
            self._bars.remove_task(self._tasks.pop(task))


def count_text(task: str, done: int, total: int) -> str:
    """Write how far a task is: downloads in megabytes, everything else as a count."""
    if "download" in task.casefold():
        return f"{done / 1e6:,.1f} of {total / 1e6:,.1f} MB" if total else f"{done / 1e6:,.1f} MB"
    return f"{done:,}/{total:,}" if total else f"{done:,}"


def _make_bars() -> Bars:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    return Bars(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=30),
        TextColumn("{task.fields[count]}", markup=False),
        TimeRemainingColumn(),
        TextColumn("{task.fields[detail]}", markup=False),
        console=Console(stderr=True),
        transient=True,
    )
