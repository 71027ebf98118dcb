"""How an image is attacked: attack, norm, epsilon and what is rarely changed, as a `ProbeRequest`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFormLayout,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QVBoxLayout,
    QWidget,
)

from advclip_gui.engine.attacks.catalog import INFOS, MAX_RESTARTS, MAX_STEPS, attack_info
from advclip_gui.engine.probe_types import ProbeRequest
from advclip_gui.gui import theme
from advclip_gui.gui.widgets.attack_chooser import AttackChooser, default_steps, steps_name
from advclip_gui.gui.widgets.attack_fields import WrongFieldError, count_field, number_in
from advclip_gui.gui.widgets.basics import SectionLabel, TextLabel, set_property
from advclip_gui.gui.widgets.epsilon_slider import L2, LINF, EpsilonSlider
from advclip_gui.gui.widgets.fold import Fold
from advclip_gui.gui.widgets.number_field import NumberField
from advclip_gui.gui.widgets.segmented import Segmented

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_DEFAULT = {"Linf": 2 / 255, "L2": 0.5}
_LARGEST_SEED = 2**31 - 1


class AttackForm(QWidget):
    """Controls of one probe. `request` is None while a value is wrong; a sentence then says why."""

    changed = Signal(bool)
    """Something was changed; True while it may go on changing (a drag, a spin)."""

    def __init__(self, parent: QWidget | None = None) -> None:
        """Start with PGD in L-infinity."""
        super().__init__(parent)
        look = theme.current()
        self._epsilons = dict(_DEFAULT)
        self._steps: dict[str, float] = {}
        self._attack = "pgd"
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(look.s)
        self._add_epsilon(column)
        self._add_attack(column)
        self.details = self._make_details()
        self.fold = Fold("More attack settings", self.details, name="attackDetails")
        self.fold.expand(animate=False)
        column.addWidget(self.fold)
        self._show_epsilon(self._epsilons["Linf"])
        self._on_attack()

    # Parts -----------------------------------------------------------------------------------------

    def _add_epsilon(self, column: QVBoxLayout) -> None:
        look = theme.current()
        row = QHBoxLayout()
        row.setSpacing(look.s)
        row.addWidget(SectionLabel("Epsilon"), 1)
        self.epsilon_field = NumberField(step=0.1, minimum=0.0, maximum=255.0)
        self.epsilon_field.setObjectName("probeEpsilonField")
        self.epsilon_field.setAccessibleName("Epsilon")
        self.epsilon_field.setFixedWidth(92)
        self.epsilon_field.setToolTip(
            "Largest change of a pixel value, counted in 255ths. Arrow keys step by 0.1."
        )
        self.epsilon_unit = QLabel("/ 255")
        row.addWidget(self.epsilon_field)
        row.addWidget(self.epsilon_unit)
        column.addLayout(row)
        self.slider = EpsilonSlider(name="probeEpsilonSlider")
        column.addWidget(self.slider)
        self.problem = TextLabel("", "bad", wrap=True)
        self.problem.setObjectName("probeEpsilonProblem")
        self.problem.hide()
        column.addWidget(self.problem)
        self.slider.moved.connect(self._on_slider)
        self.epsilon_field.edited.connect(self._on_field)

    def _add_attack(self, column: QVBoxLayout) -> None:
        look = theme.current()
        self.attack = AttackChooser(name="probeAttack")
        self.norm = Segmented(
            [
                ("Linf", "L∞", "Every pixel value may change by at most epsilon."),
                ("L2", "L2", "The Euclidean length of the whole change is at most epsilon."),
            ],
            name="probeNorm",
            label="Norm",
        )
        grid = QGridLayout()
        grid.setHorizontalSpacing(look.m)
        grid.setVerticalSpacing(look.xs)
        grid.addWidget(SectionLabel("Attack"), 0, 0)
        grid.addWidget(SectionLabel("Norm"), 0, 1)
        grid.addWidget(self.attack, 1, 0)
        grid.addWidget(self.norm, 1, 1)
        grid.setColumnStretch(0, 1)
        grid.setColumnStretch(1, 1)
        column.addLayout(grid)
        self.attack.chosen.connect(self._on_attack_chosen)
        self.norm.chosen.connect(self._on_norm_chosen)

    def _make_details(self) -> QWidget:
        look = theme.current()
        box = QWidget()
        form = QFormLayout(box)
        form.setContentsMargins(0, 0, 0, 0)
        form.setHorizontalSpacing(look.m)
        form.setVerticalSpacing(look.s)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self.steps = count_field("probeSteps", "Steps", 10, 1, MAX_STEPS, "Gradient steps of the attack.")
        self.restarts = count_field(
            "probeRestarts", "Restarts", 1, 1, MAX_RESTARTS, "Runs from different random starting points."
        )
        self.seed = count_field(
            "probeSeed", "Seed", 0, 0, 2**31 - 1, "Of the random starts: same seed, same attack."
        )
        self.step_size = NumberField(step=0.05, minimum=0.0, maximum=255.0)
        self.step_size.setObjectName("probeStepSize")
        self.step_size.setAccessibleName("Step size")
        self.step_size.setToolTip("Length of one step; empty is 2.5 epsilon / steps.")
        self.step_size.lineEdit().setPlaceholderText("auto")
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
        self.target.addItem("Any other", None)
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
            text.setBuddy(field)
            form.addRow(text, field)
        self.form = form
        for field in (self.steps, self.restarts, self.seed, self.step_size):
            field.edited.connect(self._on_typed)
        self.random_start.toggled.connect(self._on_now)
        self.target.activated.connect(self._on_now)
        return box

    # Values ----------------------------------------------------------------------------------------

    def request(self) -> ProbeRequest | None:
        """What is asked for, None where a value is wrong."""
        try:
            request = self._checked()
        except WrongFieldError as wrong:
            self._show_problem(wrong.field, str(wrong))
            return None
        self._show_problem(None, "")
        return request

    def epsilon(self) -> float | None:
        """Epsilon in pixel units, None where the text is no number."""
        number = self.epsilon_field.number()
        return None if number is None else number * self.slider.scale.unit

    def set_epsilon(self, epsilon: float, *, tell: bool = True) -> None:
        """Show another epsilon (pixel units)."""
        self._show_epsilon(epsilon)
        if tell:
            self.changed.emit(False)

    def values(self) -> dict[str, Any]:
        """What is shown, as plain values for `set_values`; the target is left out, as classes change."""
        numbers = {name: field.number() for name, field in self._numbers().items()}
        return {
            "attack": self.attack.value(),
            "norm": self.norm.value(),
            "epsilons": dict(self._epsilons),
            "random_start": self.random_start.isChecked(),
            **numbers,
        }

    def set_values(self, values: Mapping[str, Any]) -> None:
        """Show what `values` gave, without telling anyone.

        Raises:
            ValueError: it is something else.
        """
        epsilons = values.get("epsilons")
        right = (
            values.get("attack") in {info.name for info in INFOS}
            and values.get("norm") in _DEFAULT
            and isinstance(epsilons, dict)
            and all(isinstance(epsilons.get(norm), int | float) for norm in _DEFAULT)
        )
        if not right or not isinstance(epsilons, dict):
            raise ValueError("these are no values of an attack")
        self.attack.set_value(values["attack"])
        self.norm.set_value(values["norm"])
        self._show_scale(values["norm"])
        self._epsilons.update({norm: float(epsilons[norm]) for norm in _DEFAULT})
        for name, field in self._numbers().items():
            number = values.get(name)
            if isinstance(number, int | float):
                field.set_value(number)
            elif name == "step_size":
                field.lineEdit().clear()
        self.random_start.setChecked(bool(values.get("random_start", True)))
        self._show_epsilon(self._epsilons[values["norm"]])
        self._on_attack()

    def set_request(self, request: ProbeRequest) -> None:
        """Show the settings of a probe, without telling anyone; its classes must be offered already."""
        unit = 1 / 255 if request.norm == "Linf" else 1.0
        step_size = None if request.step_size is None else request.step_size / unit
        # A control that the attack does not listen to keeps what it shows.
        self.set_values(
            {
                "attack": request.attack,
                "norm": request.norm,
                "epsilons": {**self._epsilons, request.norm: request.epsilon},
                "random_start": request.random_start,
                "steps": request.steps,
                "restarts": request.restarts,
                "seed": request.seed,
                "step_size": step_size,
            }
        )
        index = self.target.findData(request.target) if request.target is not None else 0
        self.target.setCurrentIndex(max(index, 0))

    def _numbers(self) -> dict[str, NumberField]:
        return {
            "steps": self.steps,
            "restarts": self.restarts,
            "seed": self.seed,
            "step_size": self.step_size,
        }

    def set_interval(self, interval: tuple[float, float] | None) -> None:
        """Mark an interval of epsilons on the slider."""
        self.slider.set_interval(interval)

    def set_classes(self, names: Sequence[str]) -> None:
        """Offer these classes as targets; the chosen one stays if it is still there."""
        if tuple(names) == tuple(self.target.itemText(i) for i in range(1, self.target.count())):
            return
        chosen = self.target.currentText() if self.target.currentIndex() > 0 else ""
        self.target.clear()
        self.target.addItem("Any other", None)
        for index, name in enumerate(names):
            self.target.addItem(name, index)
        self.target.setCurrentIndex(max(self.target.findText(chosen), 0) if chosen else 0)

    def _checked(self) -> ProbeRequest:
        listens = attack_info(self.attack.value()).options
        unit = self.slider.scale.unit
        typed = bool(self.step_size.lineEdit().text().strip())
        steps = number_in(self.steps, "Steps", 1, MAX_STEPS) if "steps" in listens else 1
        restarts = number_in(self.restarts, "Restarts", 1, MAX_RESTARTS) if "restarts" in listens else 1
        # In L2 a ball wider than 1 is ordinary: the unit box has a diagonal of sqrt(3 H W).
        most = 255 if self.norm.value() == "Linf" else 1e4
        return ProbeRequest(
            attack=self.attack.value(),
            norm="Linf" if self.norm.value() == "Linf" else "L2",
            epsilon=number_in(self.epsilon_field, "Epsilon", 0, most) * unit,
            steps=int(steps),
            step_size=number_in(self.step_size, "The step size", 0, most) * unit
            if "step_size" in listens and typed
            else None,
            random_start=self.random_start.isChecked() and "random_start" in listens,
            restarts=int(restarts),
            target=self.target.currentData(),
            seed=int(number_in(self.seed, "The seed", 0, _LARGEST_SEED)),
        )

    def _show_problem(self, wrong: NumberField | None, problem: str) -> None:
        self.problem.setText(problem)
        self.problem.setVisible(bool(problem))
        for field in (self.epsilon_field, self.step_size, self.steps, self.restarts, self.seed):
            if bool(field.property("invalid")) != (field is wrong):
                set_property(field, "invalid", field is wrong)

    def _show_epsilon(self, epsilon: float) -> None:
        self.slider.set_value(epsilon)
        self.epsilon_field.blockSignals(True)
        self.epsilon_field.set_value(round(epsilon / self.slider.scale.unit, 6))
        self.epsilon_field.blockSignals(False)
        self._epsilons[self.norm.value()] = epsilon

    # Reactions -------------------------------------------------------------------------------------

    def _on_slider(self, epsilon: float) -> None:
        self._show_epsilon(epsilon)
        self.changed.emit(True)

    def _on_field(self) -> None:
        epsilon = self.epsilon()
        if epsilon is not None and epsilon >= 0:
            self.slider.set_value(epsilon)
            self._epsilons[self.norm.value()] = epsilon
        self.changed.emit(True)

    def _on_norm_chosen(self, norm: str) -> None:
        self._show_scale(norm)
        self.step_size.lineEdit().clear()
        self._show_epsilon(self._epsilons[norm])
        self.changed.emit(False)

    def _show_scale(self, norm: str) -> None:
        self.slider.set_scale(LINF if norm == "Linf" else L2)
        self.epsilon_unit.setText("/ 255" if norm == "Linf" else "length")
        self.epsilon_field.setToolTip(
            "Largest change of a pixel value, counted in 255ths. Arrow keys step by 0.1."
            if norm == "Linf"
            else "Largest Euclidean length of the whole change, in pixel units."
        )

    def _on_attack_chosen(self, attack: str) -> None:
        number = self.steps.number()
        if number is not None:
            self._steps[self._attack] = number
        self.steps.set_value(self._steps.get(attack, default_steps(attack)))
        self._on_attack()
        self.changed.emit(False)

    def _on_attack(self) -> None:
        info = attack_info(self.attack.value())
        self._attack = info.name
        listens = info.options
        label = self.form.labelForField(self.steps)
        if isinstance(label, QLabel):
            label.setText(steps_name(info.name).capitalize())
        for option, field in (
            ("steps", self.steps),
            ("step_size", self.step_size),
            ("restarts", self.restarts),
            ("random_start", self.random_start),
        ):
            self.form.setRowVisible(field, option in listens)

    def _on_typed(self) -> None:
        self.changed.emit(True)

    def _on_now(self) -> None:
        self.changed.emit(False)
