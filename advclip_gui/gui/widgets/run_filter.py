"""Above the table of runs: words, a state and a method to filter by."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QLineEdit, QWidget

from advclip_gui.gui import theme
from advclip_gui.run_words import STATE_TITLES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from advclip_gui.engine.run_list import RunSummary


class RunFilter(QWidget):
    """A field and two choices; methods are those that runs have."""

    changed = Signal()
    """Other words, another state or another method."""

    def __init__(self, parent: QWidget | None = None) -> None:
        """Let every run pass."""
        super().__init__(parent)
        look = theme.current()
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(look.s)
        self.words = QLineEdit()
        self.words.setObjectName("runFilter")
        self.words.setAccessibleName("Filter runs")
        self.words.setPlaceholderText("Filter runs …")
        self.words.setToolTip("Show only the runs that contain all these words, in any column (Ctrl+F).")
        self.words.setClearButtonEnabled(True)
        self.words.setMinimumWidth(10 * look.l)
        self.state = self._make_box("runStateFilter", "State of the runs shown")
        self.method = self._make_box("runMethodFilter", "Method of the runs shown")
        self.state.addItem("All states", "")
        for key, title in STATE_TITLES.items():
            self.state.addItem(title, key)
        self.method.addItem("All methods", "")
        for widget in (self.words, self.state, self.method):
            row.addWidget(widget)
        self.words.textChanged.connect(self._on_changed)
        for box in (self.state, self.method):
            box.currentIndexChanged.connect(self._on_changed)

    def _make_box(self, name: str, label: str) -> QComboBox:
        box = QComboBox()
        box.setObjectName(name)
        box.setAccessibleName(label)
        box.setToolTip(label)
        box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
        return box

    def offer(self, runs: Sequence[RunSummary]) -> None:
        """Offer the methods of these runs; the one chosen stays."""
        chosen = self.method.currentData()
        methods = sorted({run.method for run in runs} | ({chosen} if chosen else set()))
        if methods == [self.method.itemData(row) for row in range(1, self.method.count())]:
            return
        self.method.blockSignals(True)
        while self.method.count() > 1:
            self.method.removeItem(1)
        for method in methods:
            self.method.addItem(method, method)
        self.method.setCurrentIndex(max(0, self.method.findData(chosen)))
        self.method.blockSignals(False)

    def values(self) -> tuple[str, str, str]:
        """Words, state and method; "" for any."""
        return self.words.text(), self.state.currentData() or "", self.method.currentData() or ""

    def clear(self) -> None:
        """Let every run pass again."""
        self.words.clear()
        for box in (self.state, self.method):
            box.setCurrentIndex(0)

    def _on_changed(self) -> None:
        self.changed.emit()
