"""A perturbation length in pixel units, edited as the k of k/255."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QWidget

from advclip_gui.gui import theme
from advclip_gui.gui.widgets.basics import Muted
from advclip_gui.gui.widgets.number_field import NumberField
from advclip_gui.settings import format_epsilon, parse_epsilon

FINE_STEP = 0.1
"""One step of the arrows, in 1/255; ten times that with Ctrl or the Page keys."""


class EpsilonField(QWidget):
    """``[ 4 ] / 255  = 0.0157``. A pasted ``4/255`` is understood too."""

    edited = Signal()

    def __init__(self, *, maximum: float = 1.0, parent: QWidget | None = None) -> None:
        """Make the field; `maximum` is where stepping ends, in pixel units [0, 1]."""
        super().__init__(parent)
        self._number = NumberField(step=FINE_STEP, minimum=0.0, maximum=maximum * 255, parent=self)
        self._number.setMinimumWidth(88)
        self._held: tuple[str, float] | None = None
        self._decimal = Muted("")
        self._decimal.setWordWrap(False)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.current().s)
        layout.addWidget(self._number, 1)
        layout.addWidget(QLabel("/ 255"))
        layout.addWidget(self._decimal)
        self.setFocusProxy(self._number)
        self._number.edited.connect(self._on_edited)

    @property
    def number_field(self) -> NumberField:
        """The part one types into."""
        return self._number

    def value(self) -> object:
        """The length in pixel units, or text the model will complain about."""
        text = self._number.lineEdit().text().strip()
        if self._held is not None and self._held[0] == text:
            return self._held[1]
        if "/" in text:
            return text
        return f"{text}/255" if text else ""

    def length(self) -> float | None:
        """The length in pixel units where the text is one, else None."""
        try:
            value = parse_epsilon(self.value())
        except ValueError:
            return None
        return float(value) if isinstance(value, float | int) else None

    def set_value(self, value: float) -> None:
        """Show a length given in pixel units."""
        text = format_epsilon(value).removesuffix("/255")
        self._held = (text, value)
        if self._number.lineEdit().text() != text:
            self._number.lineEdit().setText(text)
        self._show_decimal()

    def _on_edited(self) -> None:
        self._show_decimal()
        self.edited.emit()

    def _show_decimal(self) -> None:
        length = self.length()
        self._decimal.setText("" if length is None else f"= {length:.4f}")
