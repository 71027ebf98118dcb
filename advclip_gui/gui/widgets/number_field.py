"""A number one can type freely, step with arrows, and be told about when it is wrong."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QAbstractSpinBox, QWidget

from advclip_gui.gui import theme

if TYPE_CHECKING:
    from PySide6.QtGui import QWheelEvent


def format_number(value: float) -> str:
    """Write a number with as many digits as it needs: 16, 0.25, 0.0002, 1e-06."""
    return str(value) if isinstance(value, int) else f"{value:.10g}"


def decade_step(value: float) -> float:
    """A tenth of the value's leading decade: 1e-5 for 2e-4, 10 for 150, 0.1 for 1."""
    return 10.0 ** (math.floor(math.log10(abs(value))) - 1) if value else 0.0


class NumberField(QAbstractSpinBox):
    """Holds text, not a clamped number: what is out of range stays visible until it is mended.

    Arrow keys step by `step` (Ctrl or Page keys by ten times that) and stop at the range.
    """

    edited = Signal()

    def __init__(
        self,
        *,
        integer: bool = False,
        step: float = 0.0,
        minimum: float = -math.inf,
        maximum: float = math.inf,
        open_minimum: bool = False,
        open_maximum: bool = False,
        parent: QWidget | None = None,
    ) -> None:
        """Set the range of stepping.

        Args:
            integer: whole numbers only.
            step: length of one step; 0 follows the size of the value.
            minimum: where stepping down ends.
            maximum: where stepping up ends.
            open_minimum: the minimum itself is not allowed.
            open_maximum: the maximum itself is not allowed.
            parent: the owner.
        """
        super().__init__(parent)
        self._integer = integer
        self._step = step
        self._minimum, self._maximum = minimum, maximum
        self._open_minimum, self._open_maximum = open_minimum, open_maximum
        self._held: tuple[str, float] | None = None
        self.setAccelerated(True)
        look = theme.current()
        self.setFixedHeight(look.control_height - 2)
        self.lineEdit().setTextMargins(look.xs + 2, 0, 0, 0)
        self.lineEdit().textChanged.connect(self._on_text_changed)

    def number(self) -> float | None:
        """The number typed, None where the text is none."""
        text = self.lineEdit().text().strip()
        if self._held is not None and self._held[0] == text:
            return self._held[1]
        try:
            value = int(text) if self._integer else float(text)
        except ValueError:
            return None
        return value if math.isfinite(value) else None

    def value(self) -> object:
        """The number, or the text where it is none (for the model to complain about)."""
        number = self.number()
        return self.lineEdit().text().strip() if number is None else number

    def set_value(self, value: float) -> None:
        """Show a number; it is given back exactly as long as nobody edits it."""
        text = format_number(value)
        self._held = (text, value)
        if self.lineEdit().text() != text:
            self.lineEdit().setText(text)
            self.lineEdit().setCursorPosition(0)

    def set_stepping(self, step: float, maximum: float) -> None:
        """Change the length of one step and where stepping up ends."""
        self._step, self._maximum = step, maximum

    def stepBy(self, steps: int) -> None:
        """Go up or down, inside the range."""
        value = self.number()
        if value is None:
            value = self._minimum if math.isfinite(self._minimum) else 0
        if self._integer:
            size = self._step or max(1.0, decade_step(value))
            wanted: float = round(value + steps * size)
        else:
            size = self._step or decade_step(value if value else (1e-6 if steps > 0 else 0.0)) or 1e-6
            # Rounding to the grid keeps 0.1 + 0.2 from being shown as 0.30000000000000004.
            wanted = round(value / size + steps) * size
            wanted = float(f"{wanted:.10g}")
        wanted = min(max(wanted, self._minimum), self._maximum)
        at_open_end = self._open_minimum and wanted == self._minimum
        if at_open_end or (self._open_maximum and wanted == self._maximum):
            return
        self.lineEdit().setText(format_number(int(wanted) if self._integer else wanted))
        self.lineEdit().selectAll()

    def stepEnabled(self) -> QAbstractSpinBox.StepEnabledFlag:
        """Both directions, but not past the range."""
        value = self.number()
        flags = QAbstractSpinBox.StepEnabledFlag.StepNone
        if value is None or value < self._maximum:
            flags |= QAbstractSpinBox.StepEnabledFlag.StepUpEnabled
        if value is None or value > self._minimum:
            flags |= QAbstractSpinBox.StepEnabledFlag.StepDownEnabled
        return flags

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Scroll the page, not the number, unless the field has the focus."""
        if self.hasFocus():
            super().wheelEvent(event)
        else:
            event.ignore()

    def _on_text_changed(self) -> None:
        self.edited.emit()
