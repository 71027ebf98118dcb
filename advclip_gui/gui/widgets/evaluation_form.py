"""What is evaluated: which models, on how many images, at which epsilons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QComboBox,
    QFormLayout,
    QHBoxLayout,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QVBoxLayout,
    QWidget,
)

from advclip_gui.engine.attacks.catalog import MAX_STEPS
from advclip_gui.gui import theme
from advclip_gui.gui.evaluation_text import parse_epsilons
from advclip_gui.gui.widgets.basics import Badge, Muted, SectionLabel, TextLabel, set_property
from advclip_gui.gui.widgets.fold import Fold
from advclip_gui.gui.widgets.model_chooser import ICONS
from advclip_gui.gui.widgets.number_field import NumberField

if TYPE_CHECKING:
    from collections.abc import Sequence

    from advclip_gui.engine.model_ref import ModelRef

_REF_ROLE = Qt.ItemDataRole.UserRole
_PARTS = (("test", "Test part"), ("val", "Validation part"), ("train", "Training shots"))


@dataclass(frozen=True)
class EvaluationChoice:
    """A checked form."""

    refs: tuple[ModelRef, ...]
    part: str
    limit: int
    epsilons: tuple[float, ...]
    steps: int
    seed: int


class EvaluationForm(QWidget):
    """Controls of an evaluation; `choice` is None while something is wrong, and the sentence says what."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        """Start with the quick tier and three epsilons."""
        super().__init__(parent)
        look = theme.current()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(look.s)
        column.addWidget(SectionLabel("Models"))
        self.models = QListWidget()
        self.models.setObjectName("evaluateModels")
        self.models.setAccessibleName("Models to evaluate")
        self.models.setToolTip("Every model checked is evaluated on the same images.")
        self.models.setMinimumHeight(108)
        self.models.itemChanged.connect(self._on_changed)
        column.addWidget(self.models, 1)
        self._add_images(column)
        self._add_epsilons(column)
        self._add_tier(column)
        self.problem = TextLabel("", "bad", wrap=True)
        self.problem.setObjectName("evaluateProblem")
        self.problem.hide()
        column.addWidget(self.problem)

    def _add_images(self, column: QVBoxLayout) -> None:
        look = theme.current()
        column.addWidget(SectionLabel("Images"))
        row = QHBoxLayout()
        row.setSpacing(look.s)
        self.limit = NumberField(integer=True, minimum=0, maximum=1_000_000)
        self.limit.setObjectName("evaluateImages")
        self.limit.setAccessibleName("Number of images")
        self.limit.setToolTip("At most so many, spread evenly over the classes; 0 takes all.")
        self.limit.set_value(1000)
        self.limit.setFixedWidth(92)
        self.part = QComboBox()
        self.part.setObjectName("evaluatePart")
        self.part.setAccessibleName("Part of the data")
        self.part.setToolTip(
            "Which images: the same few-shot split as in training leaves the others for testing."
        )
        for key, text in _PARTS:
            self.part.addItem(text, key)
        row.addWidget(self.limit)
        row.addWidget(self.part, 1)
        column.addLayout(row)
        self.limit.edited.connect(self._on_changed)
        self.part.currentIndexChanged.connect(self._on_changed)

    def _add_epsilons(self, column: QVBoxLayout) -> None:
        column.addWidget(SectionLabel("Epsilons"))
        self.epsilons = QLineEdit("1/255, 2/255, 4/255")
        self.epsilons.setObjectName("evaluateEpsilons")
        self.epsilons.setAccessibleName("Epsilons")
        self.epsilons.setToolTip(
            "Largest change of a pixel value, L-infinity; several are separated by commas."
        )
        self.epsilons.textChanged.connect(self._on_changed)
        column.addWidget(self.epsilons)

    def _add_tier(self, column: QVBoxLayout) -> None:
        look = theme.current()
        column.addWidget(SectionLabel("Attack"))
        row = QHBoxLayout()
        row.setSpacing(look.s)
        self.tier = TextLabel("Quick: FGSM + PGD-10")
        row.addWidget(self.tier, 1)
        bound = Badge("upper bound", "warning")
        bound.setToolTip("A stronger attack may fool more images: the true robust accuracy is at most this.")
        row.addWidget(bound)
        column.addLayout(row)
        details = QWidget()
        form = QFormLayout(details)
        form.setContentsMargins(0, 0, 0, 0)
        form.setHorizontalSpacing(look.m)
        form.setVerticalSpacing(look.s)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self.steps = NumberField(integer=True, step=1, minimum=1, maximum=MAX_STEPS)
        self.steps.setObjectName("evaluateSteps")
        self.steps.setAccessibleName("PGD steps")
        self.steps.setToolTip("Gradient steps of PGD.")
        self.steps.set_value(10)
        self.seed = NumberField(integer=True, step=1, minimum=0, maximum=2**31 - 1)
        self.seed.setObjectName("evaluateSeed")
        self.seed.setAccessibleName("Seed")
        self.seed.setToolTip("Of the random starts.")
        self.seed.set_value(0)
        form.addRow("PGD steps", self.steps)
        form.addRow("Seed", self.seed)
        column.addWidget(Fold("More settings", details, name="evaluateDetails"))
        for field in (self.steps, self.seed):
            field.edited.connect(self._on_changed)
        self.note = Muted("")
        self.note.hide()
        column.addWidget(self.note)

    # Models ----------------------------------------------------------------------------------------

    def set_refs(self, refs: Sequence[ModelRef]) -> None:
        """Offer the models that stay the same while they are evaluated; checked ones stay checked.

        Zero-shot is checked at first, and every adapter that is new, as far as there are at most three.
        """
        offered = [ref for ref in refs if ref.kind != "live"]
        known = {self._ref(row): self._checked(row) for row in range(self.models.count())}
        if list(known) == offered:
            return
        self.models.blockSignals(True)
        self.models.clear()
        count = sum(known.get(ref, False) for ref in offered)
        for ref in offered:
            wanted = known.get(ref, count < 3)
            count += ref not in known and wanted
            item = QListWidgetItem(theme.icon(ICONS[ref.kind], "text_muted"), ref.title)
            item.setFlags(
                Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsUserCheckable | Qt.ItemFlag.ItemIsSelectable
            )
            item.setCheckState(Qt.CheckState.Checked if wanted else Qt.CheckState.Unchecked)
            item.setData(_REF_ROLE, ref)
            item.setToolTip(ref.adapter or ref.title)
            self.models.addItem(item)
        self.models.blockSignals(False)
        self.changed.emit()

    def set_checked(self, ref: ModelRef, checked: bool) -> None:
        """Check or uncheck a model."""
        for row in range(self.models.count()):
            if self._ref(row) == ref:
                self.models.item(row).setCheckState(
                    Qt.CheckState.Checked if checked else Qt.CheckState.Unchecked
                )

    def checked_refs(self) -> tuple[ModelRef, ...]:
        """The models to evaluate."""
        return tuple(self._ref(row) for row in range(self.models.count()) if self._checked(row))

    def set_note(self, text: str) -> None:
        """Show a remark beneath the form."""
        self.note.setText(text)
        self.note.setVisible(bool(text))

    def _ref(self, row: int) -> ModelRef:
        ref: ModelRef = self.models.item(row).data(_REF_ROLE)
        return ref

    def _checked(self, row: int) -> bool:
        return self.models.item(row).checkState() == Qt.CheckState.Checked

    # Values ----------------------------------------------------------------------------------------

    def choice(self) -> EvaluationChoice | None:
        """What is asked for, None where something is wrong."""
        problem, choice = "", None
        wrong: QWidget | None = None
        limit, steps, seed = self.limit.number(), self.steps.number(), self.seed.number()
        try:
            epsilons = parse_epsilons(self.epsilons.text())
        except ValueError as error:
            problem, wrong, epsilons = str(error), self.epsilons, ()
        if limit is None or not 0 <= limit <= 1_000_000:
            problem, wrong = "The number of images must lie between 0 (all) and 1,000,000.", self.limit
        elif steps is None or not 1 <= steps <= MAX_STEPS:
            problem, wrong = f"PGD steps must lie between 1 and {MAX_STEPS:,}.", self.steps
        elif seed is None or not 0 <= seed < 2**31:
            problem, wrong = "The seed must lie between 0 and 2147483647.", self.seed
        elif not self.checked_refs():
            problem = problem or "Check at least one model."
        if not problem and limit is not None and steps is not None and seed is not None:
            choice = EvaluationChoice(
                self.checked_refs(), str(self.part.currentData()), int(limit), epsilons, int(steps), int(seed)
            )
        self.problem.setText(problem)
        self.problem.setVisible(bool(problem))
        for field in (self.epsilons, self.limit, self.steps, self.seed):
            if bool(field.property("invalid")) != (field is wrong):
                set_property(field, "invalid", field is wrong)
        return choice

    def _on_changed(self) -> None:
        steps = self.steps.number()
        self.tier.setText(f"Quick: FGSM + PGD-{steps}" if steps else "Quick: FGSM + PGD")
        self.changed.emit()
