"""What is rarely changed of an attack: steps, step size, restarts, random start, target and seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Signal
from PySide6.QtGui import QFontMetricsF
from PySide6.QtWidgets import QCheckBox, QComboBox, QFormLayout, QLabel, QWidget

from advclip_gui.engine.attacks.catalog import MAX_RESTARTS, MAX_STEPS, AttackInfo
from advclip_gui.gui import theme
from advclip_gui.gui.widgets.attack_chooser import default_steps, steps_name
from advclip_gui.gui.widgets.attack_fields import count_field, number_in
from advclip_gui.gui.widgets.number_field import NumberField

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_LARGEST_SEED = 2**31 - 1
_ANY_OTHER = "Any other"


@dataclass(frozen=True)
class Details:
    """What the fields ask for; the neutral value where the attack does not listen.

    Attributes:
        steps: gradient steps, or queries.
        step_size: in pixel units, None for the attack's own.
        random_start: begin at a random point of the ball.
        restarts: runs from different random points.
        target: index of the class to reach, None for any other.
        seed: of the random starts.
    """

    steps: int
    step_size: float | None
    random_start: bool
    restarts: int
    target: int | None
    seed: int


class AttackDetails(QWidget):
    """Fields that an attack does not listen to are hidden and keep what they hold."""

    edited = Signal(bool)
    """A value was changed; True while it may go on changing."""

    def __init__(self, parent: QWidget | None = None) -> None:
        """Show PGD's usual values."""
        super().__init__(parent)
        look = theme.current()
        self._steps: dict[str, float] = {}
        self._attack = "pgd"
        self._make_fields(look)
        self.form = QFormLayout(self)
        self.form.setContentsMargins(0, 0, 0, 0)
        self.form.setHorizontalSpacing(look.m)
        self.form.setVerticalSpacing(look.s)
        self.form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        width = round(QFontMetricsF(look.font()).horizontalAdvance("Step size"))
        for label, field in (
            ("Steps", self.steps),
            ("Step size", self.step_size),
            ("Restarts", self.restarts),
            ("", self.random_start),
            ("Target", self.target),
            ("Seed", self.seed),
        ):
            text = QLabel(label)
            text.setMinimumHeight(look.control_height)
            # As wide as the widest, hidden ones too: the fields stand still when the attack changes.
            text.setMinimumWidth(width)
            text.setBuddy(field)
            self.form.addRow(text, field)
        for number in self.numbers().values():
            number.edited.connect(self._on_typed)
        self.random_start.toggled.connect(self._on_now)
        self.target.activated.connect(self._on_now)

    def _make_fields(self, look: theme.Theme) -> None:
        self.steps = count_field("probeSteps", "Steps", 10, 1, MAX_STEPS, "Gradient steps of the attack.")
        self.restarts = count_field(
            "probeRestarts", "Restarts", 1, 1, MAX_RESTARTS, "Runs from different random starting points."
        )
        self.seed = count_field(
            "probeSeed", "Seed", 0, 0, _LARGEST_SEED, "Of the random starts: same seed, same attack."
        )
        self.step_size = NumberField(step=0.05, minimum=0.0, maximum=255.0)
        self.step_size.setObjectName("probeStepSize")
        self.step_size.setAccessibleName("Step size")
        self.step_size.lineEdit().setPlaceholderText("auto")
        self.set_unit("Linf")
        self.random_start = QCheckBox("Random start")
        self.random_start.setObjectName("probeRandomStart")
        self.random_start.setChecked(True)
        self.random_start.setMinimumHeight(look.control_height)
        self.random_start.setToolTip("Begin at a random point of the epsilon ball instead of at the image.")
        self.target = QComboBox()
        self.target.setObjectName("probeTarget")
        self.target.setAccessibleName("Target class")
        self.target.setToolTip("Push towards this class, instead of away from the present one.")
        self.target.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.target.addItem(_ANY_OTHER, None)

    def numbers(self) -> dict[str, NumberField]:
        """The fields one types a number into, by the name of the value."""
        return {
            "steps": self.steps,
            "restarts": self.restarts,
            "seed": self.seed,
            "step_size": self.step_size,
        }

    # The attack ------------------------------------------------------------------------------------

    def set_attack(self, info: AttackInfo) -> None:
        """Show the fields an attack listens to, whatever attack it is."""
        self._attack = info.name
        label = self.form.labelForField(self.steps)
        if isinstance(label, QLabel):
            label.setText(steps_name(info.name).capitalize())
        self.steps.setAccessibleName(steps_name(info.name).capitalize())
        for option, field in (
            ("steps", self.steps),
            ("step_size", self.step_size),
            ("restarts", self.restarts),
            ("random_start", self.random_start),
        ):
            self.form.setRowVisible(field, option in info.options)

    def recall_steps(self, attack: str) -> None:
        """Show the steps last used with an attack the user turns to, or those it is known with."""
        number = self.steps.number()
        if number is not None:
            self._steps[self._attack] = number
        self.steps.set_value(self._steps.get(attack, default_steps(attack)))

    def set_unit(self, norm: str) -> None:
        """Say what the step size is counted in."""
        unit = "in 255ths" if norm == "Linf" else "as a Euclidean length"
        self.step_size.setToolTip(f"Length of one step, {unit}; empty is 2.5 epsilon / steps.")

    # Values ----------------------------------------------------------------------------------------

    def checked(self, info: AttackInfo, *, unit: float, longest: float) -> Details:
        """Return what is asked for.

        Args:
            info: the attack.
            unit: what the step size is counted in, in pixel units.
            longest: most of these units.

        Raises:
            WrongFieldError: a value cannot be used.
        """
        listens = info.options
        typed = bool(self.step_size.lineEdit().text().strip())
        name = steps_name(info.name).capitalize()
        steps = number_in(self.steps, name, 1, MAX_STEPS) if "steps" in listens else 1
        restarts = number_in(self.restarts, "Restarts", 1, MAX_RESTARTS) if "restarts" in listens else 1
        return Details(
            steps=int(steps),
            step_size=number_in(self.step_size, "The step size", 0, longest) * unit
            if "step_size" in listens and typed
            else None,
            random_start=self.random_start.isChecked() and "random_start" in listens,
            restarts=int(restarts),
            target=self.target.currentData(),
            seed=int(number_in(self.seed, "The seed", 0, _LARGEST_SEED)),
        )

    def values(self) -> dict[str, Any]:
        """What is shown, as plain values; the target is left out, as classes change."""
        numbers = {name: field.number() for name, field in self.numbers().items()}
        return {"random_start": self.random_start.isChecked(), **numbers}

    def set_values(self, values: Mapping[str, Any]) -> None:
        """Show what `values` gave; what is missing keeps what it shows."""
        for name, field in self.numbers().items():
            number = values.get(name)
            if isinstance(number, int | float):
                field.set_value(number)
            elif name == "step_size":
                field.lineEdit().clear()
        self.random_start.setChecked(bool(values.get("random_start", True)))

    def set_target(self, target: int | None) -> None:
        """Show a target class, by its index."""
        index = self.target.findData(target) if target is not None else 0
        self.target.setCurrentIndex(max(index, 0))

    def set_classes(self, names: Sequence[str]) -> None:
        """Offer these classes as targets; the chosen one stays if it is still there."""
        if tuple(names) == tuple(self.target.itemText(i) for i in range(1, self.target.count())):
            return
        chosen = self.target.currentText() if self.target.currentIndex() > 0 else ""
        self.target.clear()
        self.target.addItem(_ANY_OTHER, None)
        for index, name in enumerate(names):
            self.target.addItem(name, index)
        self.target.setCurrentIndex(max(self.target.findText(chosen), 0) if chosen else 0)

    def _on_typed(self) -> None:
        self.edited.emit(True)

    def _on_now(self) -> None:
        self.edited.emit(False)
