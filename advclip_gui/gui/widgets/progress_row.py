"""How far something long has come, in one line, with Cancel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QProgressBar, QWidget

from advclip_gui.gui import theme
from advclip_gui.gui.widgets.basics import Button, TextLabel

if TYPE_CHECKING:
    from advclip_gui.engine.events import Progress

_PER_MILLE = 1000
"""Steps of the bar; the counts themselves may be bytes, more than its 32 bits can hold."""


class ProgressRow(QWidget):
    """A bar, what is being done, and a button to stop it; hidden until `begin`."""

    cancelled = Signal()

    def __init__(self, name: str, *, megabytes: bool = False, parent: QWidget | None = None) -> None:
        """Make the parts; `name` is the prefix of their object names, `megabytes`: bytes are counted."""
        super().__init__(parent)
        self._megabytes = megabytes
        look = theme.current()
        self.bar = QProgressBar()
        self.bar.setObjectName(f"{name}Progress")
        self.bar.setAccessibleName("Progress")
        self.bar.setTextVisible(False)
        self.text = TextLabel("", "caption")
        self.text.setObjectName(f"{name}ProgressText")
        self.text.setMinimumWidth(13 * look.l)
        self.cancel_button = Button("Cancel", None, "flat", name=f"{name}Cancel", tip="Stop this.")
        line = QHBoxLayout(self)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(look.m)
        line.addWidget(self.bar, 1)
        line.addWidget(self.text)
        line.addWidget(self.cancel_button)
        self.cancel_button.clicked.connect(self.cancelled)
        self.hide()

    def begin(self, task: str) -> None:
        """Show that something has begun whose length is not known yet."""
        self.bar.setRange(0, 0)
        self.text.setText(task)
        self.show()

    def show_progress(self, event: Progress) -> None:
        """Show how far it has come."""
        if event.total:
            self.bar.setRange(0, _PER_MILLE)
            self.bar.setValue(round(_PER_MILLE * event.done / event.total))
        else:
            self.bar.setRange(0, 0)
        unit, shown = (1e6, " MB") if self._megabytes else (1, "")
        done, total = f"{event.done / unit:,.0f}", f"{event.total / unit:,.0f}"
        count = f"{done} of {total}{shown}" if event.total else f"{done}{shown}" if event.done else ""
        parts = (event.task if not self._megabytes else "", count, event.detail)
        self.text.setText("  ".join(part for part in parts if part) or event.task)
