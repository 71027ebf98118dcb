"""Results of an evaluation: curve, exact figures, classes, confusions, warnings, provenance."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QPlainTextEdit,
    QSizePolicy,
    QSpacerItem,
    QStackedWidget,
    QTabBar,
    QVBoxLayout,
    QWidget,
)

from advclip_gui.engine.probe_types import length_text
from advclip_gui.engine.report_text import label_of
from advclip_gui.gui import theme
from advclip_gui.gui.evaluation_text import (
    attack_rows,
    class_rows,
    figure_rows,
    protocol_of,
    provenance_text,
)
from advclip_gui.gui.widgets.basics import Banner, Button, TextLabel
from advclip_gui.gui.widgets.confusion_view import ConfusionView
from advclip_gui.gui.widgets.elided_label import ElidedLabel
from advclip_gui.gui.widgets.figure_table import FigureTable
from advclip_gui.gui.widgets.fooled_images import FooledImages
from advclip_gui.gui.widgets.robustness_curve import RobustnessCurve
from advclip_gui.wording import figure_tag

if TYPE_CHECKING:
    from collections.abc import Sequence

    from advclip_gui.engine.datasets.sampling import Sample
    from advclip_gui.engine.evaluation_result import EpsilonResult, Evaluation
    from advclip_gui.gui.io_thread import IoPool


class EvaluationResults(QWidget):
    """Shows evaluations of the same images; nothing here is computed, only laid out."""

    def __init__(self, io: IoPool, parent: QWidget | None = None) -> None:
        """Start empty."""
        super().__init__(parent)
        self._samples: tuple[tuple[Path, tuple[Sample, ...]], ...] = ()
        self.images = FooledImages(io)
        look = theme.current()
        self.evaluations: tuple[Evaluation, ...] = ()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(look.s)
        column.addLayout(self._make_head())
        self.warnings = Banner(closable=False)
        self.warnings.setObjectName("evaluateWarnings")
        column.addWidget(self.warnings)
        self.tabs = QTabBar()
        self.tabs.setObjectName("evaluateTabs")
        self.tabs.setAccessibleName("Parts of the report")
        self.tabs.setDrawBase(False)
        self.tabs.setExpanding(False)
        self.stack = QStackedWidget()
        for title, page in (
            ("Curve and figures", self._make_curve()),
            ("Classes", self._make_classes()),
            ("Confusions", self._make_confusions()),
            ("Images", self.images),
            ("Attacks", self._make_attacks()),
            ("Provenance", self._make_provenance()),
        ):
            self.tabs.addTab(title)
            self.stack.addWidget(page)
        self.tabs.currentChanged.connect(self._on_tab)
        column.addLayout(self._make_tab_row())
        column.addWidget(self.stack, 1)

    def _make_head(self) -> QHBoxLayout:
        look = theme.current()
        row = QHBoxLayout()
        row.setSpacing(look.s)
        texts = QVBoxLayout()
        texts.setSpacing(0)
        self.title = ElidedLabel("", "heading")
        self.title.setObjectName("evaluateTitle")
        self.subtitle = TextLabel("", "muted", wrap=True)
        self.subtitle.setObjectName("evaluateSubtitle")
        texts.addWidget(self.title)
        texts.addWidget(self.subtitle)
        row.addLayout(texts, 1)
        self.html_button = Button(
            "Save report…",
            "file-document-outline",
            name="evaluateSaveHtml",
            tip="One HTML page with curve, tables, warnings and provenance; opens in any browser, offline.",
        )
        self.json_button = Button(
            "JSON…", "code-json", name="evaluateSaveJson", tip="Every figure, with its provenance."
        )
        self.csv_button = Button(
            "CSV…", "table-arrow-down", name="evaluateSaveCsv", tip="The exact figures as a table."
        )
        row.addWidget(self.html_button)
        row.addWidget(self.json_button)
        row.addWidget(self.csv_button)
        return row

    def _make_curve(self) -> QWidget:
        look = theme.current()
        box = QWidget()
        column = QVBoxLayout(box)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(look.s)
        self.curve = RobustnessCurve()
        self.curve.setObjectName("evaluateCurve")
        self.figures = FigureTable(name="evaluateFigures", label="Exact figures with 95 % intervals")
        column.addWidget(self.curve, 1)
        column.addWidget(self.figures)
        return box

    def _make_classes(self) -> QWidget:
        box = QWidget()
        column = QVBoxLayout(box)
        column.setContentsMargins(0, 0, 0, 0)
        self.classes = FigureTable(name="evaluateClasses", label="Accuracy of each class")
        column.addWidget(self.classes)
        return box

    def _make_attacks(self) -> QWidget:
        look = theme.current()
        box = QWidget()
        column = QVBoxLayout(box)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(look.s)
        hint = TextLabel(
            "Accuracy left after each attack, of all images. Images that are wrong without one are never "
            "attacked, and each attack takes only what the ones before it left.",
            "caption",
            wrap=True,
        )
        column.addWidget(hint)
        self.attacks = FigureTable(name="evaluateAttacks", label="Accuracy left after each attack")
        column.addWidget(self.attacks)
        self.attack_notes = TextLabel("", "caption", wrap=True)
        self.attack_notes.setObjectName("evaluateAttackNotes")
        column.addWidget(self.attack_notes)
        return box

    def _make_confusions(self) -> QWidget:
        look = theme.current()
        box = QWidget()
        column = QVBoxLayout(box)
        column.setContentsMargins(0, 0, 0, 0)
        hint = TextLabel("Rows are the true class, columns what the model says.", "caption")
        column.addWidget(hint)
        row = QHBoxLayout()
        row.setSpacing(look.l)
        self.clean_confusion = ConfusionView("Clean", name="evaluateConfusionClean")
        self.attacked_confusion = ConfusionView("Under attack", name="evaluateConfusionAttacked")
        row.addWidget(self.clean_confusion, 1)
        row.addWidget(self.attacked_confusion, 1)
        column.addLayout(row, 1)
        return box

    def _make_provenance(self) -> QWidget:
        look = theme.current()
        box = QWidget()
        column = QVBoxLayout(box)
        column.setContentsMargins(0, 0, 0, 0)
        self.provenance = QPlainTextEdit()
        self.provenance.setObjectName("evaluateProvenance")
        self.provenance.setAccessibleName("How the figures came about")
        self.provenance.setReadOnly(True)
        self.provenance.setFont(look.mono_font(look.caption))
        column.addWidget(self.provenance)
        return box

    def _make_tab_row(self) -> QHBoxLayout:
        look = theme.current()
        row = QHBoxLayout()
        row.setSpacing(look.s)
        row.addWidget(self.tabs)
        row.addStretch(1)
        # The row keeps its height when there is nothing to choose.
        row.addItem(QSpacerItem(0, look.control_height, QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed))
        self.model = QComboBox()
        self.model.setObjectName("evaluateShownModel")
        self.model.setAccessibleName("Model shown")
        self.model.setToolTip("Whose classes, confusions and provenance are shown.")
        self.epsilon = QComboBox()
        self.epsilon.setObjectName("evaluateShownEpsilon")
        self.epsilon.setAccessibleName("Epsilon of the confusions")
        self.epsilon.setToolTip("At which epsilon the confusions under attack are shown.")
        for chooser in (self.model, self.epsilon):
            chooser.setMinimumWidth(150)
            row.addWidget(chooser)
            chooser.currentIndexChanged.connect(self._show_one)
        return row

    # What is shown ---------------------------------------------------------------------------------

    def show_evaluations(
        self,
        evaluations: Sequence[Evaluation],
        subtitle: str,
        images: Sequence[tuple[Path, tuple[Sample, ...]]] = (),
    ) -> None:
        """Show results.

        Args:
            evaluations: at least one.
            subtitle: what they are about.
            images: folder and images of each evaluation, where they are known.
        """
        self.evaluations = tuple(evaluations)
        self._samples = tuple(images) or ((Path(), ()),) * len(self.evaluations)
        first = self.evaluations[0]
        tag = figure_tag(protocol_of(first), first.norm)
        # What the figures are must not be cut off, however narrow the window is.
        self.title.setText(f"Robust accuracy · {tag}")
        self.subtitle.setText(f"{label_of(first)} · {subtitle}")
        self._show_warnings()
        self.curve.set_evaluations(self.evaluations)
        self.figures.set_rows(*figure_rows(self.evaluations))
        self.figures.setFixedHeight(self.figures.height_for_rows(4))
        for chooser in (self.model, self.epsilon):
            chooser.blockSignals(True)
            chooser.clear()
        for evaluation in self.evaluations:
            self.model.addItem(evaluation.model)
        norm = "Linf" if first.norm == "Linf" else "L2"
        for result in first.epsilons:
            self.epsilon.addItem(f"at {length_text(result.epsilon, norm)}", result.epsilon)
        self.model.setCurrentIndex(len(self.evaluations) - 1)
        self.epsilon.setCurrentIndex(self.epsilon.count() - 1)
        for chooser in (self.model, self.epsilon):
            chooser.blockSignals(False)
        self._show_one()
        self._on_tab()

    def _show_warnings(self) -> None:
        found = [
            f"{evaluation.model}: {sentence}" if len(self.evaluations) > 1 else sentence
            for evaluation in self.evaluations
            for sentence in evaluation.warnings
        ]
        if not found:
            self.warnings.clear()
            return
        more = f" And {len(found) - 1} more." if len(found) > 1 else ""
        self.warnings.show_message("warning", found[0] + more, "\n\n".join(found) if more else "")

    def _show_one(self) -> None:
        evaluation = self._shown()
        if evaluation is None:
            return
        self.classes.set_rows(*class_rows(evaluation))
        self.attacks.set_rows(*attack_rows(evaluation))
        self.attack_notes.setText("\n".join(evaluation.notes))
        self.attack_notes.setVisible(bool(evaluation.notes))
        self.provenance.setPlainText(provenance_text(evaluation))
        self.images.show_images(evaluation, *self._samples[self.model.currentIndex()])
        result = self._level(evaluation)
        names = evaluation.class_names
        self.clean_confusion.set_matrix("Clean", names, evaluation.confusion_clean)
        norm = "Linf" if evaluation.norm == "Linf" else "L2"
        title = f"Under attack at {length_text(result.epsilon, norm)}"
        self.attacked_confusion.set_matrix(title, names, result.confusion)

    def _shown(self) -> Evaluation | None:
        index = self.model.currentIndex()
        return self.evaluations[index] if 0 <= index < len(self.evaluations) else None

    def _level(self, evaluation: Evaluation) -> EpsilonResult:
        chosen = self.epsilon.currentData()
        return evaluation.at(float(chosen)) if chosen is not None else evaluation.epsilons[-1]

    def _on_tab(self) -> None:
        tab = self.tabs.currentIndex()
        self.stack.setCurrentIndex(tab)
        self.model.setVisible(tab > 0 and len(self.evaluations) > 1)
        self.epsilon.setVisible(tab == 2 and self.epsilon.count() > 1)
