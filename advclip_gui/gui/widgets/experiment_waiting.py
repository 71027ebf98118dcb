"""Which experiments the device has and which wait, each to be shown or taken out; cells that failed."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QScrollArea, QVBoxLayout, QWidget

from advclip_gui.gui import theme
from advclip_gui.gui.experiment_text import short_text
from advclip_gui.gui.widgets.basics import Button, SectionLabel
from advclip_gui.gui.widgets.elided_label import ElidedLabel

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from advclip_gui.gui.experiment_queue import QueuedExperiment

_ICONS = {"queued": "progress-clock", "paused": "pause"}
_MOST_SHOWN = 4
"""Rows before they are scrolled."""


class _Row(QWidget):
    """An icon, a title, a remark and buttons."""

    def __init__(self, icon: str, role: str, title: str, remark: str, buttons: Sequence[Button]) -> None:
        super().__init__()
        look = theme.current()
        line = QHBoxLayout(self)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(look.s)
        glyph = QLabel()
        glyph.setPixmap(theme.icon(icon, role).pixmap(look.icon, look.icon))
        line.addWidget(glyph)
        name = ElidedLabel(title)
        name.setToolTip(title)
        line.addWidget(name, 1)
        self.remark = ElidedLabel(remark, "muted")
        self.remark.setToolTip(remark)
        line.addWidget(self.remark, 1)
        for button in buttons:
            button.setAutoDefault(False)
            line.addWidget(button)


class QueueView(QWidget):
    """A row for each experiment that has not ended; hidden where only the one shown is at work."""

    show_requested = Signal(object)
    """Folder of an experiment."""
    stop_requested = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        """Show none."""
        super().__init__(parent)
        self.setObjectName("experimentQueue")
        self.setAccessibleName("Experiments on the device")
        self._rows: dict[Path, _Row] = {}
        self._shown: tuple[object, ...] = ()
        self._button_width = 2 * theme.current().xxl + theme.current().l
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(theme.current().xs)
        self._column.addWidget(SectionLabel("On the device"))
        self.hide()

    def show_entries(self, entries: Sequence[QueuedExperiment], current: Path | None) -> None:
        """Follow the queue; `current` is the folder of the experiment on screen."""
        what = tuple((entry.path, entry.handle.state, entry.path == current) for entry in entries)
        if what != self._shown:
            self._shown = what
            self._build(entries, current)
        for entry in entries:
            self._rows[entry.path].remark.setText(short_text(entry.progress, entry.handle.state))
        self.setVisible(len(entries) > 1 or any(entry.path != current for entry in entries))

    def _build(self, entries: Sequence[QueuedExperiment], current: Path | None) -> None:
        for row in self._rows.values():
            self._column.removeWidget(row)
            row.hide()
            row.deleteLater()
        self._rows = {}
        titles = _told_apart(entries)
        for number, (entry, title) in enumerate(zip(entries, titles, strict=True)):
            show = Button("Show", None, "flat", name=f"experimentShow.{number}", tip=f"Show {title}.")
            show.setEnabled(entry.path != current)
            show.clicked.connect(partial(self.show_requested.emit, entry.path))
            text = "Take out" if entry.waits else "Stop"
            stop = Button(text, None, "flat", name=f"experimentEnd.{number}", tip=f"{text}: {title}.")
            stop.setEnabled(entry.handle.state in ("queued", "running", "paused"))
            stop.clicked.connect(partial(self.stop_requested.emit, entry.path))
            for button, word in ((show, "Show"), (stop, text)):
                button.setAccessibleName(f"{word} {title}")
                button.setFixedWidth(self._button_width)
            state = entry.handle.state
            role = "text_muted" if state == "queued" else "accent"
            row = _Row(_ICONS.get(state, "play"), role, title, "", (show, stop))
            self._rows[entry.path] = row
            self._column.addWidget(row)


def _told_apart(entries: Sequence[QueuedExperiment]) -> list[str]:
    """Titles; where two are the same, with seeds or shots if those are not."""
    titles = [entry.title for entry in entries]
    for words, of in (("seeds", lambda one: one.settings.seeds), ("shots", lambda one: one.settings.shots)):
        if len({of(entry) for entry in entries}) > 1 and len(set(titles)) < len(titles):
            titles = [
                f"{title}, {words} {', '.join(map(str, of(entry)))}"
                for title, entry in zip(titles, entries, strict=True)
            ]
    return titles


class FailedCells(QScrollArea):
    """A row for each part that failed, with its sentence and a way to do it again alone."""

    again_requested = Signal(str)
    """Key of a cell."""

    def __init__(self, parent: QWidget | None = None) -> None:
        """Show none."""
        super().__init__(parent)
        self.setObjectName("experimentFailed")
        self.setAccessibleName("Failed parts")
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._shown: object = None
        self.hide()

    def show_failed(self, failed: Mapping[str, str], keys: Mapping[str, str], *, free: bool) -> None:
        """Follow the figures.

        Args:
            failed: sentence by title.
            keys: key by title.
            free: whether they can be done again now.
        """
        what = (tuple(failed.items()), free)
        if what == self._shown:
            return
        self._shown = what
        look = theme.current()
        inside = QWidget()
        column = QVBoxLayout(inside)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(look.xs)
        rows = []
        for title, sentence in failed.items():
            key = keys[title]
            again = Button(
                "Run again", "restart", "flat", name=f"experimentAgain.{key}", tip=f"Do {title} again, alone."
            )
            again.setAccessibleName(f"Run {title} again")
            again.setEnabled(free)
            again.clicked.connect(partial(self.again_requested.emit, key))
            rows.append(_Row("alert-circle-outline", "bad", title, sentence, (again,)))
            column.addWidget(rows[-1])
        column.addStretch(1)
        self.setWidget(inside)
        self.setVisible(bool(rows))
        if rows:
            each = rows[0].sizeHint().height() + look.xs
            self.setFixedHeight(each * min(len(rows), _MOST_SHOWN))
