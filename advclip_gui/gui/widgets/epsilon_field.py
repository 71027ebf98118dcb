"""A perturbation length in pixel units: in L-infinity the k of k/255, in L2 a plain length."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QWidget

from advclip_gui.gui import theme
from advclip_gui.gui.widgets.basics import Muted
from advclip_gui.gui.widgets.number_field import NumberField, format_number
from advclip_gui.settings import Norm, format_epsilon, parse_epsilon

FINE_STEP = 0.1
"""One step of the arrows, in 1/255; ten times that with Ctrl or the Page keys."""
_L2_STEP, _L2_MOST = 0.05, 64.0


class EpsilonField(QWidget):
    """``[ 4 ] / 255  = 0.0157``, or ``[ 0.5 ] length  = 127.5/255``. A pasted ``4/255`` is understood too."""

    edited = Signal()

    def __init__(self, *, maximum: float = 1.0, usual: float = 0.5, parent: QWidget | None = None) -> None:
        """Make the field, in L-infinity.

        Args:
            maximum: where stepping ends, in pixel units [0, 1].
            usual: the length to begin with when the user turns to L2.
            parent: the owner.
        """
        super().__init__(parent)
        self._maximum = maximum
        self._norm: Norm = "Linf"
        self._last: dict[Norm, float] = {"Linf": 1 / 255, "L2": usual}
        self._number = NumberField(step=FINE_STEP, minimum=0.0, maximum=maximum * 255, parent=self)
        self._number.setMinimumWidth(88)
        self._held: tuple[str, float] | None = None
        self._unit = QLabel("/ 255")
        self._decimal = Muted("")
        self._decimal.setWordWrap(False)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.current().s)
        layout.addWidget(self._number, 1)
        layout.addWidget(self._unit)
        layout.addWidget(self._decimal)
        self.setFocusProxy(self._number)
        self._number.edited.connect(self._on_edited)

    @property
    def number_field(self) -> NumberField:
        """The part one types into."""
        return self._number

    @property
    def norm(self) -> Norm:
        """How the length is measured."""
        return self._norm

    def set_norm(self, norm: Norm) -> None:
        """Count in 255ths or in plain lengths from now on; `set_value` must follow."""
        self._norm = norm
        plain = norm == "L2"
        self._number.set_stepping(*((_L2_STEP, _L2_MOST) if plain else (FINE_STEP, self._maximum * 255)))
        self._unit.setText("length" if plain else "/ 255")

    def change_norm(self, norm: Norm) -> None:
        """Take another norm, and the length last used in it: one of the former would mean nothing."""
        if norm == self._norm:
            return
        length = self.length()
        if length is not None:
            self._last[self._norm] = length
        self.set_norm(norm)
        self.set_value(self._last[norm])

    def value(self) -> object:
        """The length in pixel units, or text the model will complain about."""
        text = self._number.lineEdit().text().strip()
        if self._held is not None and self._held[0] == text:
            return self._held[1]
        if "/" in text or self._norm == "L2":
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
        plain = self._norm == "L2"
        text = format_number(value) if plain else format_epsilon(value).removesuffix("/255")
        self._held = (text, value)
        if self._number.lineEdit().text() != text:
            self._number.lineEdit().setText(text)
        self._show_decimal()

    def _on_edited(self) -> None:
        self._show_decimal()
        self.edited.emit()

    def _show_decimal(self) -> None:
        length = self.length()
        other = (
            "" if length is None else f"{length:.4f}" if self._norm == "Linf" else f"{length * 255:.4g}/255"
        )
        self._decimal.setText(f"= {other}" if other else "")
