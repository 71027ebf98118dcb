"""How an image is attacked: attack, norm, epsilon and what is rarely changed, as a `ProbeRequest`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QAbstractButton, QGridLayout, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from advclip_gui.engine.attacks.catalog import INFOS, attack_info
from advclip_gui.engine.probe_types import ProbeRequest
from advclip_gui.gui import theme
from advclip_gui.gui.widgets.attack_chooser import AttackChooser
from advclip_gui.gui.widgets.attack_details import AttackDetails
from advclip_gui.gui.widgets.attack_fields import WrongFieldError, number_in
from advclip_gui.gui.widgets.basics import SectionLabel, TextLabel, set_property
from advclip_gui.gui.widgets.epsilon_slider import L2, LINF, EpsilonSlider
from advclip_gui.gui.widgets.fold import Fold
from advclip_gui.gui.widgets.number_field import NumberField
from advclip_gui.gui.widgets.segmented import Segmented

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_DEFAULT = {"Linf": 2 / 255, "L2": 0.5}
_LINF_TIP = "Largest change of a pixel value, counted in 255ths. Arrow keys step by 0.1."
_L2_TIP = "Largest Euclidean length of the whole change, in pixel units."


class AttackForm(QWidget):
    """Controls of one probe. `request` is None while a value is wrong; a sentence then says why."""

    changed = Signal(bool)
    """Something was changed; True while it may go on changing (a drag, a spin)."""

    def __init__(self, parent: QWidget | None = None) -> None:
        """Start with PGD in L-infinity."""
        super().__init__(parent)
        look = theme.current()
        self._epsilons = dict(_DEFAULT)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(look.s)
        self._add_epsilon(column)
        self._add_attack(column)
        self.details = AttackDetails()
        self.fold = Fold("More attack settings", self.details, name="attackDetails")
        self.fold.expand(animate=False)
        column.addWidget(self.fold)
        self._show_epsilon(self._epsilons["Linf"])
        self._show_attack()
        self.details.edited.connect(self.changed)

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
        self.epsilon_field.setToolTip(_LINF_TIP)
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
        return {
            "attack": self.attack.value(),
            "norm": self.norm.value(),
            "epsilons": dict(self._epsilons),
            **self.details.values(),
        }

    def set_values(self, values: Mapping[str, Any]) -> None:
        """Show what `values` gave, without telling anyone.

        Raises:
            ValueError: it is something else.
        """
        epsilons = values.get("epsilons")
        known = {info.name: info.norms for info in INFOS}
        right = (
            values.get("norm") in known.get(str(values.get("attack")), ())
            and isinstance(epsilons, dict)
            and all(isinstance(epsilons.get(norm), int | float) for norm in _DEFAULT)
        )
        if not right or not isinstance(epsilons, dict):
            raise ValueError("these are no values of an attack")
        self.attack.set_value(values["attack"])
        self._show_norm(values["norm"])
        self._epsilons.update({norm: float(epsilons[norm]) for norm in _DEFAULT})
        self.details.blockSignals(True)
        self.details.set_values(values)
        self.details.blockSignals(False)
        self._show_epsilon(self._epsilons[values["norm"]])
        self._show_attack()

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
        self.details.set_target(request.target)

    def set_interval(self, interval: tuple[float, float] | None) -> None:
        """Mark an interval of epsilons on the slider."""
        self.slider.set_interval(interval)

    def set_classes(self, names: Sequence[str]) -> None:
        """Offer these classes as targets; the chosen one stays if it is still there."""
        self.details.set_classes(names)

    def _checked(self) -> ProbeRequest:
        unit = self.slider.scale.unit
        # In L2 a ball wider than 1 is ordinary: the unit box has a diagonal of sqrt(3 H W).
        most = 255 if self.norm.value() == "Linf" else 1e4
        epsilon = number_in(self.epsilon_field, "Epsilon", 0, most) * unit
        details = self.details.checked(attack_info(self.attack.value()), unit=unit, longest=most)
        return ProbeRequest(
            attack=self.attack.value(),
            norm="Linf" if self.norm.value() == "Linf" else "L2",
            epsilon=epsilon,
            **asdict(details),
        )

    def _show_problem(self, wrong: NumberField | None, problem: str) -> None:
        self.problem.setText(problem)
        self.problem.setVisible(bool(problem))
        for field in (self.epsilon_field, *self.details.numbers().values()):
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
        self._take_norm(norm)
        self.changed.emit(False)

    def _take_norm(self, norm: str) -> None:
        """Turn to a norm, with the epsilon last used in it; a step size of the former would mean nothing."""
        self._show_norm(norm)
        self.details.step_size.lineEdit().clear()
        self._show_epsilon(self._epsilons[norm])

    def _show_norm(self, norm: str) -> None:
        self.norm.set_value(norm)
        self.slider.set_scale(LINF if norm == "Linf" else L2)
        self.epsilon_unit.setText("/ 255" if norm == "Linf" else "length")
        self.epsilon_field.setToolTip(_LINF_TIP if norm == "Linf" else _L2_TIP)
        self.details.set_unit(norm)

    def _on_attack_chosen(self, attack: str) -> None:
        self.details.recall_steps(attack)
        norms = attack_info(attack).norms
        if self.norm.value() not in norms:
            self._take_norm(norms[0])
        self._show_attack()
        self.changed.emit(False)

    def _show_attack(self) -> None:
        info = attack_info(self.attack.value())
        self.details.set_attack(info)
        for norm in _DEFAULT:
            button = self.norm.findChild(QAbstractButton, f"{self.norm.objectName()}.{norm}")
            if isinstance(button, QAbstractButton):
                button.setEnabled(norm in info.norms)
