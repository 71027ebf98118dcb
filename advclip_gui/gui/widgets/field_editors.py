"""One editor for each kind of setting; `editor_for` chooses by the field's type."""

from __future__ import annotations

import types
import typing
from typing import Any, Literal

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QHBoxLayout,
    QLineEdit,
    QPlainTextEdit,
    QPushButton,
    QWidget,
)

from advclip_gui.gui import theme
from advclip_gui.gui.widgets.epsilon_field import EpsilonField
from advclip_gui.gui.widgets.layers_box import LayersBox
from advclip_gui.gui.widgets.number_field import NumberField
from advclip_gui.wording import PROTOCOL_TITLES

if typing.TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic.fields import FieldInfo
    from PySide6.QtGui import QWheelEvent

STEPS: Mapping[str, float] = {
    "dropout": 0.05,
    "warmup": 0.05,
    "epsilon_warmup": 0.05,
    "gradient_clip": 0.5,
    "clean_share": 0.05,
    "alpha": 0.5,
    "trades_beta": 0.5,
}
"""Length of one arrow step where a tenth of the leading decade is not it."""

CHOICE_LABELS: Mapping[str, Mapping[str, str]] = {
    "kind": {"per_sample": "Per image (PGD)", "universal": "Universal (shared)"},
    "encoder": {"vision": "Vision tower", "text": "Text tower", "both": "Both towers"},
    "layers": {
        "all": "All blocks",
        "bottom": "Bottom third",
        "mid": "Middle third",
        "up": "Upper third",
        "half-bottom": "Lower half",
        "half-up": "Upper half",
        "top3": "Top 3 blocks",
    },
    "augmentation": {"paper": "As in the paper", "light": "Light", "none": "None"},
    "norm": {"Linf": "L∞ (every pixel)", "L2": "L2 (whole image)"},
    "protocol": PROTOCOL_TITLES,
    "device": {"auto": "Automatic", "cuda": "CUDA GPU", "mps": "Apple GPU (MPS)", "cpu": "CPU"},
    "compile": {"auto": "Automatic", "on": "On", "off": "Off"},
    "precision": {"float32": "float32", "bfloat16": "bfloat16", "float16": "float16"},
}
"""What a choice is called on screen."""

USUAL_L2: Mapping[str, float] = {"epsilon": 0.5, "step_size": 0.25}
"""Lengths to begin with where L2 is chosen: those of L-infinity would be next to nothing."""

CHIP_TIPS: Mapping[str, str] = {
    "q": "Query projection",
    "k": "Key projection",
    "v": "Value projection",
    "o": "Output projection",
    "mlp": "Both projections of the MLP (not in the paper)",
}


def choice_label(field: str, value: str) -> str:
    """What a value of a field is called on screen."""
    return CHOICE_LABELS.get(field, {}).get(value, value.replace("_", " ").capitalize())


class ChoiceBox(QComboBox):
    """A combo box that shrinks with its column and leaves the wheel to the page."""

    edited = Signal()

    def __init__(self, choices: Sequence[tuple[str, object]], parent: QWidget | None = None) -> None:
        """Offer (label, value) pairs."""
        super().__init__(parent)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(8)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self._values = [value for _, value in choices]
        for label, _ in choices:
            self.addItem(label)
        self.currentIndexChanged.connect(self._on_index_changed)

    def value(self) -> object:
        """The value of the chosen line."""
        return self._values[self.currentIndex()] if self.currentIndex() >= 0 else None

    def set_value(self, value: object) -> None:
        """Choose the line of a value; an unknown value chooses nothing."""
        self.setCurrentIndex(self._values.index(value) if value in self._values else -1)

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Scroll the page unless the box has the focus."""
        if self.hasFocus():
            super().wheelEvent(event)
        else:
            event.ignore()

    def _on_index_changed(self) -> None:
        self.edited.emit()


class Check(QCheckBox):
    """On or off."""

    edited = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        """Start unchecked."""
        super().__init__(parent)
        self.toggled.connect(self._on_toggled)
        self._on_toggled(False)

    def value(self) -> object:
        """Whether it is on."""
        return self.isChecked()

    def set_value(self, value: object) -> None:
        """Check or uncheck."""
        self.setChecked(bool(value))

    def _on_toggled(self, checked: bool) -> None:
        self.setText("On" if checked else "Off")
        self.edited.emit()


class Chips(QWidget):
    """A few values of which any number may be chosen."""

    edited = Signal()

    def __init__(self, choices: Sequence[tuple[str, str, str]], parent: QWidget | None = None) -> None:
        """Offer (label, value, tooltip) triples."""
        super().__init__(parent)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.current().xs)
        self._buttons: dict[str, QPushButton] = {}
        for label, value, tip in choices:
            button = QPushButton(label)
            button.setCheckable(True)
            button.setToolTip(tip)
            button.setAccessibleName(tip)
            button.toggled.connect(self._on_toggled)
            layout.addWidget(button)
            self._buttons[value] = button
        layout.addStretch(1)
        if self._buttons:
            self.setFocusProxy(next(iter(self._buttons.values())))

    def button(self, value: str) -> QPushButton:
        """The chip of a value."""
        return self._buttons[value]

    def value(self) -> object:
        """The chosen values, in the order shown."""
        return tuple(value for value, button in self._buttons.items() if button.isChecked())

    def set_value(self, value: Sequence[str]) -> None:
        """Choose these values and no other."""
        for name, button in self._buttons.items():
            button.setChecked(name in value)

    def setObjectName(self, name: str) -> None:
        """Name the chips after the field, so that tests and assistive tools find them."""
        super().setObjectName(name)
        for value, button in self._buttons.items():
            button.setObjectName(f"{name}.{value}")

    def _on_toggled(self) -> None:
        self.edited.emit()


class TextLine(QLineEdit):
    """One line of text."""

    edited = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        """Start empty."""
        super().__init__(parent)
        self.textChanged.connect(self._on_text_changed)

    def value(self) -> object:
        """The text."""
        return self.text()

    def set_value(self, value: str) -> None:
        """Show a text."""
        if self.text() != value:
            self.setText(value)

    def _on_text_changed(self) -> None:
        self.edited.emit()


class TextLines(QPlainTextEdit):
    """Several texts, one per line; empty lines do not count."""

    edited = Signal()

    def __init__(self, *, rows: int = 3, parent: QWidget | None = None) -> None:
        """Start empty, `rows` lines high."""
        super().__init__(parent)
        self.setTabChangesFocus(True)
        self.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self.setFixedHeight(self.fontMetrics().lineSpacing() * rows + 2 * theme.current().m)
        self.textChanged.connect(self._on_text_changed)

    def value(self) -> object:
        """The lines."""
        return tuple(line.strip() for line in self.toPlainText().splitlines() if line.strip())

    def set_value(self, value: Sequence[str]) -> None:
        """Show lines."""
        if self.value() != tuple(value):
            self.setPlainText("\n".join(value))

    def _on_text_changed(self) -> None:
        self.edited.emit()


class TextPairs(TextLines):
    """A mapping of text to text, one ``key = value`` per line."""

    def value(self) -> object:
        """The mapping; a line without ``=`` maps to nothing and is given to the model as it is."""
        pairs: dict[str, object] = {}
        for line in self.toPlainText().splitlines():
            key, equals, value = line.partition("=")
            if key.strip():
                pairs[key.strip()] = value.strip() if equals else None
        return pairs

    def set_value(self, value: Mapping[str, str]) -> None:  # type: ignore[override]
        """Show a mapping."""
        if self.value() != dict(value):
            self.setPlainText("\n".join(f"{key} = {text}" for key, text in value.items()))


FieldEditor = (
    NumberField | EpsilonField | ChoiceBox | LayersBox | Check | Chips | TextLine | TextLines | TextPairs
)


def bounds(info: FieldInfo) -> dict[str, Any]:
    """Return minimum, maximum, open_minimum and open_maximum of a number, where it has them."""
    found: dict[str, Any] = {}
    for constraint in info.metadata:
        for attribute, key, is_open in (
            ("ge", "minimum", False),
            ("gt", "minimum", True),
            ("le", "maximum", False),
            ("lt", "maximum", True),
        ):
            value = getattr(constraint, attribute, None)
            if value is not None:
                found[key] = value
                found[f"open_{key}"] = is_open
    return found


def is_length(info: FieldInfo) -> bool:
    """Whether a field is a perturbation length, edited as k/255."""
    extra = info.json_schema_extra
    return isinstance(extra, dict) and extra.get("unit") == "/255"


def editor_for(name: str, info: FieldInfo) -> FieldEditor:
    """Make the editor that fits a field's type.

    Raises:
        TypeError: there is no editor for the type; a setting of a new kind needs one here.
    """
    annotation = info.annotation
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if is_length(info):
        return EpsilonField(usual=USUAL_L2.get(name, 0.5))
    if annotation is bool:
        return Check()
    if annotation in {int, float}:
        return NumberField(integer=annotation is int, step=STEPS.get(name, 0.0), **bounds(info))
    if annotation is str:
        return TextLine()
    if origin is Literal:
        return ChoiceBox([(choice_label(name, value), value) for value in arguments])
    if origin in {types.UnionType, typing.Union} and set(arguments) == {bool, type(None)}:
        return ChoiceBox([("Automatic", None), ("On", True), ("Off", False)])
    named = [one for one in arguments if typing.get_origin(one) is Literal]
    if origin in {types.UnionType, typing.Union} and named:
        return LayersBox([(choice_label(name, value), value) for value in typing.get_args(named[0])])
    if origin is tuple:
        if typing.get_origin(arguments[0]) is Literal:
            values = typing.get_args(arguments[0])
            return Chips([(value, value, CHIP_TIPS.get(value, value)) for value in values])
        return TextLines()
    if origin is dict:
        return TextPairs()
    raise TypeError(f"no editor for {name}: {annotation}")
