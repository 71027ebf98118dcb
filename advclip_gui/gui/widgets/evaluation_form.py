"""What is evaluated: which models, on how many images, at which epsilons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFormLayout,
    QFrame,
    QHBoxLayout,
    QLineEdit,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from advclip_gui.engine.attacks.catalog import INFOS, MAX_STEPS
from advclip_gui.engine.attacks.tiers import TIERS, plan
from advclip_gui.engine.errors import SettingsError
from advclip_gui.engine.report_text import attacks_text
from advclip_gui.gui import theme
from advclip_gui.gui.evaluation_text import parse_epsilons
from advclip_gui.gui.widgets.basics import Badge, Muted, SectionLabel, TextLabel, set_property
from advclip_gui.gui.widgets.fold import Fold
from advclip_gui.gui.widgets.model_chooser import ICONS
from advclip_gui.gui.widgets.number_field import NumberField
from advclip_gui.wording import norm_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from advclip_gui.engine.model_ref import ModelRef

_CHECKED_AT_FIRST = 3
_MODELS_HEIGHT = 216
_EPSILONS = {"Linf": "1/255, 2/255, 4/255", "L2": "0.25, 0.5, 1"}
"""What is offered at first, for each norm."""
_PARTS = (("test", "Test part"), ("val", "Validation part"), ("train", "Training shots"))


@dataclass(frozen=True)
class EvaluationChoice:
    """A checked form."""

    refs: tuple[ModelRef, ...]
    part: str
    limit: int
    epsilons: tuple[float, ...]
    steps: int | None
    seed: int
    attack: str = "quick"
    norm: str = "Linf"


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
        column.addWidget(self._make_models())
        self._add_images(column)
        self._add_epsilons(column)
        self._add_tier(column)
        self.problem = TextLabel("", "bad", wrap=True)
        self.problem.setObjectName("evaluateProblem")
        self.problem.hide()
        column.addWidget(self.problem)
        column.addStretch(1)

    def _make_models(self) -> QScrollArea:
        look = theme.current()
        self._boxes: list[tuple[ModelRef, QCheckBox]] = []
        content = QWidget()
        content.setProperty("role", "page")
        self._column = QVBoxLayout(content)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(look.xs)
        self._scroll = QScrollArea()
        self._scroll.setObjectName("evaluateModels")
        self._scroll.setAccessibleName("Models to evaluate")
        self._scroll.setFrameShape(QFrame.Shape.NoFrame)
        self._scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._scroll.setWidgetResizable(True)
        self._scroll.setWidget(content)
        return self._scroll

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
        row = QHBoxLayout()
        row.setSpacing(theme.current().s)
        self.epsilons = QLineEdit(_EPSILONS["Linf"])
        self.epsilons.setObjectName("evaluateEpsilons")
        self.epsilons.setAccessibleName("Epsilons")
        self.epsilons.setToolTip(
            "Radius of the ball in pixel units: of every pixel value (L∞) or of the whole change (L2). "
            "Several are separated by commas."
        )
        self.epsilons.textChanged.connect(self._on_changed)
        self.norm = QComboBox()
        self.norm.setObjectName("evaluateNorm")
        self.norm.setAccessibleName("Norm")
        self.norm.setToolTip("What epsilon measures.")
        for norm in _EPSILONS:
            self.norm.addItem(norm_text(norm), norm)
        self._typed = dict(_EPSILONS)
        self._shown_norm = "Linf"
        self.norm.currentIndexChanged.connect(self._on_norm_changed)
        row.addWidget(self.epsilons, 1)
        row.addWidget(self.norm)
        column.addLayout(row)

    def _on_norm_changed(self) -> None:
        """Show the lengths that were typed for this norm: those of the other one mean nothing in it."""
        self._typed[self._shown_norm] = self.epsilons.text()
        self._shown_norm = str(self.norm.currentData())
        self.epsilons.setText(self._typed[self._shown_norm])
        self._on_changed()

    def _add_tier(self, column: QVBoxLayout) -> None:
        look = theme.current()
        column.addWidget(SectionLabel("Attack"))
        self.tier = QComboBox()
        self.tier.setObjectName("evaluateTier")
        self.tier.setAccessibleName("Attack")
        self.tier.setToolTip(
            "Attacks that are run one after the other on what still holds, or one attack alone. "
            "A stronger tier takes longer and bounds the robust accuracy tighter."
        )
        self.tier.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self._fill_tiers()
        self.tier.currentIndexChanged.connect(self._on_changed)
        column.addWidget(self.tier)
        row = QHBoxLayout()
        row.setSpacing(look.s)
        self.tier_text = Muted("")
        self.tier_text.setObjectName("evaluateTierText")
        row.addWidget(self.tier_text, 1)
        self.bound = Badge("upper bound", "warning")
        self.bound.setToolTip(
            "A stronger attack may fool more images: the true robust accuracy is at most this."
        )
        row.addWidget(self.bound)
        column.addLayout(row)
        details = QWidget()
        form = QFormLayout(details)
        form.setContentsMargins(0, 0, 0, 0)
        form.setHorizontalSpacing(look.m)
        form.setVerticalSpacing(look.s)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self.steps = NumberField(integer=True, step=1, minimum=1, maximum=MAX_STEPS)
        self.steps.setObjectName("evaluateSteps")
        self.steps.setAccessibleName("Steps")
        self.steps.setToolTip(
            "Gradient steps of the iterative attacks; empty takes what the tier is known with."
        )
        self.steps.lineEdit().setPlaceholderText("auto")
        self.seed = NumberField(integer=True, step=1, minimum=0, maximum=2**31 - 1)
        self.seed.setObjectName("evaluateSeed")
        self.seed.setAccessibleName("Seed")
        self.seed.setToolTip("Of the random starts.")
        self.seed.set_value(0)
        form.addRow("Steps", self.steps)
        form.addRow("Seed", self.seed)
        column.addWidget(Fold("More settings", details, name="evaluateDetails"))
        for field in (self.steps, self.seed):
            field.edited.connect(self._on_changed)
        self._say_tier()
        self.note = Muted("")
        self.note.hide()
        column.addWidget(self.note)

    # Models ----------------------------------------------------------------------------------------

    def set_refs(self, refs: Sequence[ModelRef]) -> None:
        """Offer the models that stay the same while they are evaluated; checked ones stay checked.

        Zero-shot is checked at first, and every adapter that is new, as far as there are at most three.
        """
        offered = [ref for ref in refs if ref.kind != "live"]
        known = {ref: box.isChecked() for ref, box in self._boxes}
        if list(known) == offered:
            return
        for _, box in self._boxes:
            self._column.removeWidget(box)
            box.deleteLater()
        self._boxes = []
        count = sum(known.get(ref, False) for ref in offered)
        for index, ref in enumerate(offered):
            wanted = known.get(ref, count < _CHECKED_AT_FIRST)
            count += ref not in known and wanted
            box = QCheckBox(ref.title)
            box.setObjectName(f"evaluateModel{index}")
            box.setIcon(theme.icon(ICONS[ref.kind], "text_muted"))
            box.setChecked(wanted)
            box.setToolTip(ref.adapter or "The backbone as it is, without any adapter.")
            box.toggled.connect(self._on_changed)
            self._column.addWidget(box)
            box.show()  # else the column has no height yet where the page is on screen already
            self._boxes.append((ref, box))
        self._scroll.setFixedHeight(min(self._column.sizeHint().height(), _MODELS_HEIGHT))
        self.changed.emit()

    def set_checked(self, ref: ModelRef, checked: bool) -> None:
        """Check or uncheck a model."""
        for known, box in self._boxes:
            if known == ref:
                box.setChecked(checked)

    def check_only(self, refs: Sequence[ModelRef]) -> None:
        """Check these models, and zero-shot to compare them with."""
        wanted = {(ref.backbone, ref.adapter) for ref in refs}
        for known, box in self._boxes:
            box.setChecked(known.kind == "zero_shot" or (known.backbone, known.adapter) in wanted)

    def checked_refs(self) -> tuple[ModelRef, ...]:
        """The models to evaluate."""
        return tuple(ref for ref, box in self._boxes if box.isChecked())

    def set_note(self, text: str) -> None:
        """Show a remark beneath the form."""
        self.note.setText(text)
        self.note.setVisible(bool(text))

    def _fill_tiers(self) -> None:
        for tier in TIERS.values():
            self.tier.addItem(tier.title, tier.name)
            self.tier.setItemData(self.tier.count() - 1, tier.description, Qt.ItemDataRole.ToolTipRole)
        self.tier.insertSeparator(self.tier.count())
        for info in INFOS:
            self.tier.addItem(f"{info.title} only", info.name)
            self.tier.setItemData(self.tier.count() - 1, info.description, Qt.ItemDataRole.ToolTipRole)

    def _say_tier(self) -> None:
        """Say what runs, with the steps asked for, and whether its figures are only an upper bound."""
        steps = self._steps()
        try:
            chosen = plan(str(self.tier.currentData()), steps=steps)
        except SettingsError:  # a wrong number of steps, which the form tells beneath
            return
        self.tier_text.setText(attacks_text((one.title, one.restarts) for one in chosen.attacks))
        self.bound.setVisible(chosen.upper_bound)

    def _unfit(self) -> str:
        """A sentence where an attack is not defined in the norm chosen; "" where all are."""
        for planned in plan(str(self.tier.currentData()), steps=self._steps()).attacks:
            if self._shown_norm not in planned.info.norms:
                return f"{planned.info.title} is not defined in {norm_text(self._shown_norm)}."
        return ""

    def _steps(self) -> int | None:
        number = self.steps.number()
        return None if number is None else int(number)

    # Values ----------------------------------------------------------------------------------------

    def choice(self) -> EvaluationChoice | None:
        """What is asked for, None where something is wrong."""
        problem, choice = "", None
        wrong: QWidget | None = None
        limit, steps, seed = self.limit.number(), self.steps.number(), self.seed.number()
        typed = bool(self.steps.lineEdit().text().strip())
        try:
            epsilons = parse_epsilons(self.epsilons.text(), self._shown_norm)
        except ValueError as error:
            problem, wrong, epsilons = str(error), self.epsilons, ()
        if limit is None or not 0 <= limit <= 1_000_000:
            problem, wrong = "The number of images must lie between 0 (all) and 1,000,000.", self.limit
        elif typed and (steps is None or not 1 <= steps <= MAX_STEPS):
            problem, wrong = f"Steps must lie between 1 and {MAX_STEPS:,}.", self.steps
        elif seed is None or not 0 <= seed < 2**31:
            problem, wrong = "The seed must lie between 0 and 2147483647.", self.seed
        elif unfit := self._unfit():
            problem, wrong = problem or unfit, wrong or self.epsilons
        elif not self.checked_refs():
            problem = problem or "Check at least one model."
        if not problem and limit is not None and seed is not None:
            choice = EvaluationChoice(
                refs=self.checked_refs(),
                part=str(self.part.currentData()),
                limit=int(limit),
                epsilons=epsilons,
                steps=self._steps(),
                seed=int(seed),
                attack=str(self.tier.currentData()),
                norm=self._shown_norm,
            )
        self.problem.setText(problem)
        self.problem.setVisible(bool(problem))
        for field in (self.epsilons, self.limit, self.steps, self.seed):
            if bool(field.property("invalid")) != (field is wrong):
                set_property(field, "invalid", field is wrong)
        return choice

    def _on_changed(self) -> None:
        self._say_tier()
        self.changed.emit()
