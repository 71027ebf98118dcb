"""A class or a whole part of the data, sorted by smallest epsilon and filled as results come."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QProgressBar, QVBoxLayout, QWidget

from advclip_gui.engine.gallery_item import GalleryItem
from advclip_gui.engine.probe_types import length_text
from advclip_gui.gui import theme
from advclip_gui.gui.evaluation_progress import duration
from advclip_gui.gui.probe_jobs import GalleryJob
from advclip_gui.gui.probe_text import request_text
from advclip_gui.gui.thumbnails import ThumbnailLoader
from advclip_gui.gui.widgets.basics import Button, PrimaryButton, TextLabel
from advclip_gui.gui.widgets.elided_label import ElidedLabel
from advclip_gui.gui.widgets.gallery_grid import Entry, GalleryGrid, never

if TYPE_CHECKING:
    from pathlib import Path

    from advclip_gui.engine.model_ref import ModelRef
    from advclip_gui.engine.probe_types import ProbeRequest
    from advclip_gui.gui.bridge import Backend, ErrorInfo, JobHandle
    from advclip_gui.gui.io_thread import IoPool

THUMBNAIL = 84


@dataclass(frozen=True)
class GalleryQuestion:
    """Which images are searched, and how."""

    ref: ModelRef
    class_names: tuple[str, ...]
    templates: tuple[str, ...]
    root: Path
    paths: tuple[str, ...]
    labels: tuple[int, ...]
    request: ProbeRequest


class GalleryPanel(QWidget):
    """Start, progress and Cancel above, the grid beneath; what has been found stays after Cancel."""

    opened = Signal(str)
    failed = Signal(object)

    def __init__(self, backend: Backend, io: IoPool, parent: QWidget | None = None) -> None:
        """Start empty."""
        super().__init__(parent)
        look = theme.current()
        self._backend = backend
        self._handle: JobHandle | None = None
        self._question: GalleryQuestion | None = None
        self._shown: GalleryQuestion | None = None
        self._began = 0.0
        self._done = 0
        self._loader = ThumbnailLoader(io, side=THUMBNAIL, ratio=self.devicePixelRatioF(), parent=self)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(look.s)
        row = QHBoxLayout()
        row.setSpacing(look.m)
        texts = QVBoxLayout()
        texts.setSpacing(0)
        self.title = ElidedLabel("", "title")
        self.title.setObjectName("galleryTitle")
        self.facts = ElidedLabel("", "caption")
        self.facts.setObjectName("galleryFacts")
        texts.addWidget(self.title)
        texts.addWidget(self.facts)
        row.addLayout(texts, 1)
        self.start_button = PrimaryButton(
            "Find all",
            "target",
            name="galleryStart",
            tip="Bisect for the smallest epsilon of each image that the strip shows, with this model and "
            "attack. Wrong without an attack counts as 0.",
        )
        self.cancel_button = Button("Cancel", "close", name="galleryCancel", tip="Stop; what is found stays.")
        row.addWidget(self.start_button)
        row.addWidget(self.cancel_button)
        column.addLayout(row)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setAccessibleName("Images searched")
        column.addWidget(self.bar)
        self.grid = GalleryGrid(self._loader, name="galleryGrid")
        self.grid.placeholder = "Images come in here as they are found, the weakest first"
        column.addWidget(self.grid, 1)
        self.note = TextLabel("", "muted", wrap=True)
        self.note.setObjectName("galleryNote")
        column.addWidget(self.note)
        self.start_button.clicked.connect(self.start)
        self.cancel_button.clicked.connect(self.cancel)
        self.grid.opened.connect(self.opened)
        self._show_running(False)

    @property
    def searching(self) -> bool:
        """Whether the search runs."""
        return self._handle is not None

    def set_question(self, question: GalleryQuestion | None) -> None:
        """Say what Start would search; what is shown keeps saying what it belongs to."""
        self._question = question
        count = 0 if question is None else len(question.paths)
        self.start_button.setText(f"Find for {count:,} images" if count != 1 else "Find for 1 image")
        self.start_button.setEnabled(count > 0)
        self._say()

    def clear(self) -> None:
        """Forget everything, for other data."""
        self.cancel()
        self._shown = None
        self.grid.entries.clear()
        self._say()

    def start(self) -> None:
        """Search the images anew."""
        question = self._question
        if question is None or self._handle is not None or not question.paths:
            return
        self._shown, self._done, self._began = question, 0, time.monotonic()
        self._loader.set_root(question.root)
        self.grid.entries.clear()
        handle = self._backend.submit(
            GalleryJob(
                ref=question.ref,
                class_names=question.class_names,
                templates=question.templates,
                root=question.root,
                paths=question.paths,
                labels=question.labels,
                request=question.request,
            )
        )
        self._handle = handle
        handle.event.connect(self._on_event)
        handle.failed.connect(self._on_failed)
        handle.drained.connect(self._say)
        handle.ended.connect(self._on_ended)
        self.bar.setRange(0, len(question.paths))
        self.bar.setValue(0)
        self._show_running(True)
        self._say()

    def cancel(self) -> None:
        """Stop at once; what has been found stays."""
        handle, self._handle = self._handle, None
        if handle is not None:
            handle.cancel()
            self._show_running(False)
            self._say()

    def stop(self) -> None:
        """Cancel what is under way; called when the window closes."""
        self.cancel()
        self._loader.stop()

    def _on_event(self, event: object) -> None:
        if self.sender() is not self._handle or not isinstance(event, GalleryItem) or self._shown is None:
            return
        self._done += 1
        self.bar.setValue(self._done)
        if not event.problem:
            self.grid.entries.add(entry_of(self._shown, event))

    def _on_failed(self, error: ErrorInfo) -> None:
        if self.sender() is self._handle:
            self.failed.emit(error)

    def _on_ended(self) -> None:
        if self.sender() is self._handle:
            self._handle = None
            self._show_running(False)
            self._say()

    def _show_running(self, running: bool) -> None:
        self.start_button.setVisible(not running)
        self.cancel_button.setVisible(running)
        self.bar.setVisible(running)

    def _say(self) -> None:
        shown = self._shown
        if shown is None:
            self.title.setText("Which images give way first?")
            self.facts.setText("Choose a class or a part of the data in the strip, then find them all.")
            self.note.setText("")
            self.note.hide()
            return
        request = shown.request
        found = self.grid.entries.entries
        total = len(shown.paths)
        held = sum(entry.epsilon == never(None) for entry in found)
        done = f"{self._done:,} of {total:,} images"
        if self.searching:
            spent = time.monotonic() - self._began
            left = spent / self._done * (total - self._done) if self._done else None
            done += f" · about {duration(left)} left" if left is not None else " · beginning …"
        elif self._done < total:
            done += ", then stopped"
        self.title.setText(f"{done}" + (f" · {held:,} not fooled at any epsilon" if held else ""))
        attack = request_text(request).rsplit(" · ", 1)[0]
        unit = "in 255ths" if request.norm == "Linf" else "as L2 length"
        self.facts.setText(f"Smallest epsilon {unit} · {shown.ref.title} · {attack} · weakest first")
        now = self._question
        other = now is not None and (
            now.ref != shown.ref
            or _attack(now.request) != _attack(request)
            or (now.class_names, now.paths) != (shown.class_names, shown.paths)
        )
        self.note.setText("The controls say something else by now; these results are of what stands above.")
        self.note.setVisible(other)


def entry_of(question: GalleryQuestion, item: GalleryItem) -> Entry:
    """What the grid shows of one answer."""
    path, norm = question.paths[item.index], question.request.norm
    true = question.class_names[question.labels[item.index]]
    if not item.found:
        return Entry(path, never(None), "holds", f"{path}\n{true}: not fooled at any epsilon")
    if item.high == 0:
        return Entry(
            path, 0.0, f"0 · {item.after}", f"{path}\n{true}: taken for {item.after} without an attack"
        )
    length = length_text(item.high, norm)
    # No more digits than the search was after.
    caption = f"{round(item.high * (255 if norm == 'Linf' else 1), 2):g} · {item.after}"
    told = f"{path}\n{true} → {item.after} at {length} (holds at {length_text(item.low, norm)})"
    return Entry(path, item.high, caption, told)


def _attack(request: ProbeRequest) -> tuple[object, ...]:
    """What a search depends on; epsilon is only where it begins, and a target is left aside."""
    return (
        (request.attack, request.norm, request.steps, request.step_size),
        (request.random_start, request.restarts, request.seed),
    )
