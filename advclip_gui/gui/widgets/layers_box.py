"""Which blocks are adapted: a named part from a list, or typed numbers such as 0, 2, 9-11."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QComboBox, QWidget

from advclip_gui.settings import format_layers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PySide6.QtGui import QWheelEvent


class LayersBox(QComboBox):
    """Keeps whatever is typed, right or wrong, until it is mended; leaves the wheel to the page."""

    edited = Signal()

    def __init__(self, choices: Sequence[tuple[str, str]], parent: QWidget | None = None) -> None:
        """Offer (label, value) pairs."""
        super().__init__(parent)
        self.setEditable(True)
        self.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        self.setCompleter(None)  # it would finish "0" or "m" by itself
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(8)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self._labels = {value: label for label, value in choices}
        for label, _ in choices:
            self.addItem(label)
        self.lineEdit().setPlaceholderText("e.g. 0, 2, 9-11")
        self.editTextChanged.connect(self._on_text)

    def value(self) -> object:
        """The value of a named part, else the text as it stands."""
        text = self.currentText().strip()
        named = {label.casefold(): value for value, label in self._labels.items()}
        return named.get(text.casefold(), text)

    def set_value(self, value: str | tuple[int, ...]) -> None:
        """Show a named part or block numbers."""
        label = self._labels.get(value) if isinstance(value, str) else None
        text = label if label is not None else format_layers(value)  # type: ignore[arg-type]
        if label is not None:
            self.setCurrentIndex(self.findText(label))
        if self.currentText() != text:
            self.setEditText(text)

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Scroll the page unless the box has the focus."""
        if self.hasFocus():
            super().wheelEvent(event)
        else:
            event.ignore()

    def _on_text(self) -> None:
        self.edited.emit()
