"""Above the table of runs: words, kind, state and method to filter by, and parts of experiments or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QCheckBox, QComboBox, QHBoxLayout, QLineEdit, QWidget

from advclip_gui.gui import theme
from advclip_gui.gui.widgets.run_model import Filter
from advclip_gui.run_words import STATE_TITLES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from advclip_gui.engine.run_list import RunSummary

_KINDS = (("Runs and adapters", ""), ("Runs", "run"), ("Adapters", "adapter"))


class RunFilter(QWidget):
    """A field, choices and a switch; what no row needs is not shown."""

    changed = Signal()
    """Something else is to be shown."""

    def __init__(self, parent: QWidget | None = None) -> None:
        """Let everything pass."""
        super().__init__(parent)
        look = theme.current()
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(look.s)
        self.words = QLineEdit()
        self.words.setObjectName("runFilter")
        self.words.setAccessibleName("Filter runs")
        self.words.setPlaceholderText("Filter runs …")
        self.words.setToolTip("Show only what contains all these words, in any column (Ctrl+F).")
        self.words.setClearButtonEnabled(True)
        self.words.setMinimumWidth(10 * look.l)
        self.kind = self._make_box("runKindFilter", "Runs, adapters or both")
        self.state = self._make_box("runStateFilter", "State of the runs shown")
        self.method = self._make_box("runMethodFilter", "Method of the runs shown")
        for title, key in _KINDS:
            self.kind.addItem(title, key)
        self.state.addItem("All states", "")
        for key, title in STATE_TITLES.items():
            self.state.addItem(title, key)
        self.method.addItem("All methods", "")
        self.parts = QCheckBox("Parts of experiments")
        self.parts.setObjectName("runPartsFilter")
        self.parts.setAccessibleName("Show parts of experiments")
        self.parts.setToolTip("Also show the runs that are parts of experiments.")
        self.parts.setChecked(True)
        self.kind.hide()
        self.parts.hide()
        for widget in (self.words, self.kind, self.state, self.method, self.parts):
            row.addWidget(widget)
        self.words.textChanged.connect(self._on_changed)
        for box in (self.kind, self.state, self.method):
            box.currentIndexChanged.connect(self._on_changed)
        self.parts.toggled.connect(self._on_changed)

    def _make_box(self, name: str, label: str) -> QComboBox:
        box = QComboBox()
        box.setObjectName(name)
        box.setAccessibleName(label)
        box.setToolTip(label)
        box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
        return box

    def offer(self, lines: Sequence[RunSummary]) -> None:
        """Offer what these differ in: methods, runs and adapters, parts of experiments; choices stay."""
        self.kind.setVisible(bool(self.kind.currentData()) or any(line.is_adapter for line in lines))
        self.parts.setVisible(any(line.part_of for line in lines))
        chosen = self.method.currentData()
        methods = sorted({line.method for line in lines if line.method} | ({chosen} if chosen else set()))
        if methods == [self.method.itemData(row) for row in range(1, self.method.count())]:
            return
        self.method.blockSignals(True)
        while self.method.count() > 1:
            self.method.removeItem(1)
        for method in methods:
            self.method.addItem(method, method)
        self.method.setCurrentIndex(max(0, self.method.findData(chosen)))
        self.method.blockSignals(False)

    def values(self) -> Filter:
        """What is to be shown."""
        return Filter(
            words=self.words.text(),
            state=self.state.currentData() or "",
            method=self.method.currentData() or "",
            kind=self.kind.currentData() or "",
            parts=self.parts.isChecked(),
        )

    def clear(self) -> None:
        """Let everything pass again."""
        self.words.clear()
        for box in (self.kind, self.state, self.method):
            box.setCurrentIndex(0)
        self.parts.setChecked(True)

    def remembered(self) -> dict[str, object]:
        """What outlives the window: words, state and method do not."""
        return {"kind": self.kind.currentData() or "", "parts": self.parts.isChecked()}

    def recall(self, values: dict[str, object]) -> None:
        """Take up what was remembered; what is damaged is as if it were absent."""
        self.kind.setCurrentIndex(max(0, self.kind.findData(values.get("kind", ""))))
        self.parts.setChecked(values.get("parts") is not False)

    def _on_changed(self) -> None:
        self.changed.emit()
