"""A few exclusive choices side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QAbstractButton, QButtonGroup, QHBoxLayout, QPushButton, QSizePolicy, QWidget

if TYPE_CHECKING:
    from collections.abc import Sequence


class Segmented(QWidget):
    """Buttons of which exactly one is down. Arrow keys move the choice."""

    chosen = Signal(str)
    """The key, when the user changes it."""

    def __init__(
        self,
        choices: Sequence[tuple[str, str, str]],
        *,
        name: str,
        label: str,
        compact: bool = False,
        parent: QWidget | None = None,
    ) -> None:
        """Offer choices; the first is down.

        Args:
            choices: key, text and tooltip of each.
            name: object name; each button is ``<name>.<key>``.
            label: accessible name of the whole.
            compact: as small as the text allows, for captions.
            parent: the owner.
        """
        super().__init__(parent)
        self.setObjectName(name)
        self.setAccessibleName(label)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(0)
        self._group = QButtonGroup(self)
        self._group.setExclusive(True)
        self._buttons: dict[str, QAbstractButton] = {}
        for index, (key, text, tip) in enumerate(choices):
            button = QPushButton(text)
            button.setCheckable(True)
            button.setChecked(index == 0)
            button.setObjectName(f"{name}.{key}")
            button.setAccessibleName(f"{label}: {text}")
            button.setToolTip(tip)
            button.setProperty("key", key)
            if compact:
                button.setStyleSheet("min-height: 16px; padding: 0 7px;")
                button.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
                button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            self._group.addButton(button)
            self._buttons[key] = button
            row.addWidget(button)
        self._group.buttonClicked.connect(self._on_clicked)

    def value(self) -> str:
        """The key of the button that is down."""
        return str(self._group.checkedButton().property("key"))

    def set_value(self, key: str) -> None:
        """Press a button down without telling anyone."""
        self._buttons[key].setChecked(True)

    def _on_clicked(self, button: QAbstractButton) -> None:
        self.chosen.emit(str(button.property("key")))
