"""Two or three models and one image, side by side: who flips, who holds?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QTimer, Signal
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QVBoxLayout, QWidget

from advclip_gui.gui import theme
from advclip_gui.gui.probe_text import percent, request_text, told_apart
from advclip_gui.gui.widgets.basics import Badge, TextLabel
from advclip_gui.gui.widgets.elided_label import ElidedLabel
from advclip_gui.gui.widgets.image_view import ImageView, ViewLink
from advclip_gui.gui.widgets.model_chooser import ICONS
from advclip_gui.gui.widgets.probability_bars import ProbabilityBars
from advclip_gui.gui.widgets.probe_stage import DIM_AFTER_MS
from advclip_gui.gui.widgets.segmented import Segmented

if TYPE_CHECKING:
    from collections.abc import Sequence

    from advclip_gui.engine.model_ref import ModelRef
    from advclip_gui.engine.probe_compare import Compared
    from advclip_gui.gui.probe_controller import Comparison

EACH, TRANSFER = "each", "transfer"


class ComparePanel(QWidget):
    """The first model is the one of the controls; the others are chosen here."""

    changed = Signal()
    """Other models or another mode."""

    def __init__(self, parent: QWidget | None = None) -> None:
        """Start without models."""
        super().__init__(parent)
        look = theme.current()
        self.shown: Comparison | None = None
        self._refs: tuple[ModelRef, ...] = ()
        self._first: ModelRef | None = None
        self._left_out = False
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(look.s)
        column.addLayout(self._make_head())
        self.facts = ElidedLabel("", "caption")
        self.facts.setObjectName("compareFacts")
        line = QHBoxLayout()
        self.updating = TextLabel("", "caption")
        self.updating.setObjectName("compareUpdating")
        line.addWidget(self.facts, 1)
        line.addWidget(self.updating)
        column.addLayout(line)
        self._dim = QTimer(self)
        self._dim.setSingleShot(True)
        self._dim.setInterval(DIM_AFTER_MS)
        self._dim.timeout.connect(self._on_dim)
        row = QHBoxLayout()
        row.setSpacing(look.l)
        link = ViewLink(self)
        self.columns = tuple(_Answer(number, link) for number in range(1, 4))
        for answer in self.columns:
            row.addWidget(answer, 1)
        column.addLayout(row, 1)
        self._show_columns()

    def _make_head(self) -> QHBoxLayout:
        look = theme.current()
        row = QHBoxLayout()
        row.setSpacing(look.s)
        self.mode = Segmented(
            [
                (EACH, "Attack each", "Every model is attacked with its own gradient."),
                (
                    TRANSFER,
                    "Transfer",
                    "The first model's adversarial image is shown to the others, in 8 bits.",
                ),
            ],
            name="compareMode",
            label="Comparison",
        )
        row.addWidget(self.mode)
        row.addStretch(1)
        row.addWidget(TextLabel("with", "muted"))
        self.others = (QComboBox(), QComboBox())
        for number, box in enumerate(self.others, start=2):
            box.setObjectName(f"compareModel{number}")
            box.setAccessibleName(f"Model {number}")
            box.setToolTip("Another model to show beside the one of the controls.")
            box.setMinimumWidth(236)
            box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
            box.activated.connect(self._on_changed)
            row.addWidget(box)
        self.mode.chosen.connect(self._on_changed)
        return row

    # Models ----------------------------------------------------------------------------------------

    def set_refs(self, refs: Sequence[ModelRef], first: ModelRef | None) -> None:
        """Offer models to compare with; choices stay where they can.

        Args:
            refs: all there are.
            first: the model of the controls.
        """
        if (tuple(refs), first) == (self._refs, self._first):
            return
        self._refs, self._first = tuple(refs), first
        rest = [ref for ref in self._refs if ref != first]
        for place, box in enumerate(self.others):
            before: ModelRef | None = box.currentData()
            box.clear()
            box.addItem("No other model" if place == 0 else "No third model", None)
            for ref in rest:
                box.addItem(theme.icon(ICONS[ref.kind], "text_muted"), told_apart(ref, self._refs), ref)
            if before in rest:
                box.setCurrentIndex(1 + rest.index(before))
            elif place == 0 and rest and not (self._left_out and before is None):
                box.setCurrentIndex(1)
        self.others[1].setVisible(len(rest) > 1)
        if self.shown is not None and self.shown.refs != self.refs():
            self.clear()
            self.changed.emit()
        self._show_columns()

    def refs(self) -> tuple[ModelRef, ...]:
        """The models to compare, that of the controls first; each once."""
        chosen = [self._first, *(box.currentData() for box in self.others)]
        return tuple(dict.fromkeys(ref for ref in chosen if ref is not None))

    # What is shown ---------------------------------------------------------------------------------

    def clear(self) -> None:
        """Show models without answers."""
        self.shown = None
        self.facts.setText("" if len(self.refs()) > 1 else "Choose a second model to compare with.")
        for answer in self.columns:
            answer.clear()
        self._show_columns()

    def show_answers(self, question: Comparison, answers: Sequence[Compared]) -> None:
        """Show what the models say; figures, pictures and names all belong to this question."""
        before, self.shown = self.shown, question
        same = before is not None and (before.image, before.refs) == (question.image, question.refs)
        self._show_columns(question.refs)
        first = told_apart(question.refs[0], self._refs)
        how = (
            "each attacked with its own gradient"
            if question.mode == EACH
            else f"all shown the adversarial image made for {first}, in 8 bits"
        )
        self.facts.setText(f"{request_text(question.request)} · {question.image.title} · {how}")
        for answer, ref, compared in zip(self.columns, question.refs, answers, strict=False):
            label = question.image.label if compared.class_names == question.class_names else None
            answer.show_answer(
                told_apart(ref, self._refs), compared, label, question.request.target, keep_rows=same
            )

    def set_updating(self, busy: bool, *, dim: bool) -> None:
        """Say that newer answers are on their way.

        Args:
            busy: whether they are.
            dim: what is shown does not fit the controls any more: fade it if this takes a while.
        """
        self.updating.setText("Comparing …" if busy else "")
        if busy and dim:
            if not self._dim.isActive():
                self._dim.start()
        else:
            self._dim.stop()
            self._set_dimmed(False)

    def _on_dim(self) -> None:
        self._set_dimmed(True)

    def _set_dimmed(self, dimmed: bool) -> None:
        for answer in self.columns:
            answer.view.set_dimmed(dimmed)
            answer.bars.set_dimmed(dimmed)

    def _show_columns(self, refs: Sequence[ModelRef] | None = None) -> None:
        refs = self.refs() if refs is None else refs
        for place, answer in enumerate(self.columns):
            answer.setVisible(place < max(len(refs), 2))
            if place < len(refs):
                answer.title.setText(told_apart(refs[place], self._refs))
            elif place == 1:
                answer.title.setText("")

    def _on_changed(self) -> None:
        self._left_out = self.others[0].currentData() is None
        self.changed.emit()


class _Answer(QWidget):
    """One model's column: name, verdict, picture, bars."""

    def __init__(self, number: int, link: ViewLink) -> None:
        super().__init__()
        look = theme.current()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(look.xs)
        row = QHBoxLayout()
        self.title = ElidedLabel("", "title")
        self.title.setObjectName(f"compareTitle{number}")
        self.sign = Badge("")
        self.sign.setObjectName(f"compareSign{number}")
        row.addWidget(self.title, 1)
        row.addWidget(self.sign)
        column.addLayout(row)
        self.sentence = ElidedLabel("", "muted")
        self.sentence.setObjectName(f"compareSentence{number}")
        column.addWidget(self.sentence)
        self.view = ImageView(
            "Adversarial", name=f"compareView{number}", link=link, tip="What this model is shown."
        )
        column.addWidget(self.view, 3)
        self.bars = ProbabilityBars(5)
        self.bars.setObjectName(f"compareBars{number}")
        self.bars.set_headings("Before", "After")
        column.addWidget(self.bars, 2)
        self.clear()

    def clear(self) -> None:
        self.sentence.setText("")
        self.sign.hide()
        self.view.set_image(None)
        self.view.set_placeholder("image-outline", "Not attacked yet")
        self.view.set_frame_role("")
        self.bars.clear()

    def show_answer(
        self, title: str, answer: Compared, label: int | None, target: int | None, *, keep_rows: bool
    ) -> None:
        names = answer.class_names
        before, after = answer.before_label, answer.after_label
        wrong = label is not None and label != before
        shares = f"{percent(answer.before[before])} → {percent(answer.after[after])}"
        if answer.flipped:
            self.sign.setText("Flipped")
            self.sign.set_tone("bad")
            also = ", wrong before" if wrong else ""
            self.sentence.setText(f"{names[before]} → {names[after]}, {shares}{also}")
        else:
            self.sign.setText("Wrong already" if wrong else "Holds")
            self.sign.set_tone("warning" if wrong else "good")
            self.sentence.setText(f"Still {names[before]}, {shares}")
        self.sign.show()
        self.setAccessibleName(f"{title}: {self.sign.text()}. {self.sentence.text()}")
        self.view.set_image(answer.adversarial, "its own attack" if answer.own else "transferred")
        self.view.set_frame_role("adversarial" if answer.flipped else ("warning" if wrong else "robust"))
        self.bars.set_subject(
            names, answer.before, answer.after, label=label, target=target, keep_rows=keep_rows
        )
