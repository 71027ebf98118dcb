"""The table of runs: sortable, filtered by words, several can be selected."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import (
    QAbstractTableModel,
    QItemSelectionModel,
    QModelIndex,
    QPersistentModelIndex,
    QSize,
    QSortFilterProxyModel,
    Qt,
    Signal,
)
from PySide6.QtGui import QColor, QFont
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QTableView, QWidget

from advclip_gui.gui import theme
from advclip_gui.gui.run_text import STATES, moment, when, with_change
from advclip_gui.run_words import matches
from advclip_gui.wording import PROTOCOL_SENTENCES, radius_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from advclip_gui.engine.run_list import RunSummary

Index = QModelIndex | QPersistentModelIndex

SORT_ROLE = Qt.ItemDataRole.UserRole + 1
RUN_ROLE = Qt.ItemDataRole.UserRole + 2

NAME, DATA, BACKBONE, METHOD, PROTOCOL, SHOTS, EPSILON, CLEAN, ROBUST, IMAGES, STARTED, STATE = range(12)
_HEADS = (
    ("Name", "The run's name; without one, its folder."),
    ("Data", "The image folder it was trained on."),
    ("Backbone", "The CLIP model under the adapter."),
    ("Method", "CLIP-LoRA has no adversary."),
    ("Protocol", "How its figures were made; those of two protocols cannot be compared."),
    ("Shots", "Training images per class."),
    ("ε", "Epsilon of the robust accuracy and its norm."),
    (
        "Clean",
        "Accuracy on unchanged test images; in brackets the change from zero-shot, in percentage points.",
    ),
    (
        "Robust",
        "Accuracy under the final attack, an upper bound; in brackets the change from zero-shot.",
    ),
    ("n", "Test images in the final evaluation."),
    ("Started", "When the run began."),
    ("State", "Whether it can be used, continued, or still runs."),
)
_WIDTHS = {
    DATA: 104,
    BACKBONE: 99,
    METHOD: 108,
    PROTOCOL: 82,
    SHOTS: 54,
    EPSILON: 82,
    CLEAN: 108,
    ROBUST: 116,
    IMAGES: 60,
    STARTED: 104,
    STATE: 98,
}
_FIGURES = frozenset({SHOTS, EPSILON, CLEAN, ROBUST, IMAGES})


class RunsModel(QAbstractTableModel):
    """One row per run; runs on the plot carry the colour of their line."""

    def __init__(self, parent: QWidget | None = None) -> None:
        """Start empty."""
        super().__init__(parent)
        self._runs: tuple[RunSummary, ...] = ()
        self._marks: dict[Path, str] = {}

    @property
    def runs(self) -> tuple[RunSummary, ...]:
        """The runs, as the workspace lists them."""
        return self._runs

    def set_runs(self, runs: Sequence[RunSummary]) -> bool:
        """Show other runs; True if rows came or went (and the selection with them)."""
        same = [run.path for run in runs] == [run.path for run in self._runs]
        if same:
            self._runs = tuple(runs)
            self._repaint()
        else:
            self.beginResetModel()
            self._runs = tuple(runs)
            self.endResetModel()
        return not same

    def set_marks(self, marks: Mapping[Path, str]) -> None:
        """Set the colour role of the runs on the plot."""
        if marks != self._marks:
            self._marks = dict(marks)
            self._repaint()

    def _repaint(self) -> None:
        if self._runs:
            self.dataChanged.emit(self.index(0, 0), self.index(len(self._runs) - 1, STATE))

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 (Qt's signature)
        """Number of runs."""
        return 0 if parent.isValid() else len(self._runs)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 (Qt's signature)
        """Number of columns."""
        return 0 if parent.isValid() else len(_HEADS)

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> object:
        """Column titles and what they mean."""
        if orientation != Qt.Orientation.Horizontal:
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return _HEADS[section][0]
        if role == Qt.ItemDataRole.ToolTipRole:
            return _HEADS[section][1]
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _alignment(section)
        return None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        """What a cell shows, sorts by and explains."""
        run, column = self._runs[index.row()], index.column()
        if role == RUN_ROLE:
            return run
        if role == Qt.ItemDataRole.DisplayRole:
            return _shown(run, column)
        if role == SORT_ROLE:
            return _sorted_by(run, column)
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _alignment(column)
        if role == Qt.ItemDataRole.ToolTipRole:
            return _explained(run, column)
        if role == Qt.ItemDataRole.DecorationRole:
            if column == STATE:
                return theme.icon(STATES[run.state][1], STATES[run.state][2])
            if column == NAME:
                mark = self._marks.get(run.path)
                return theme.icon("circle" if mark else "circle-outline", mark or "border_strong")
        if role == Qt.ItemDataRole.FontRole and column == NAME:
            return theme.current().font(weight=QFont.Weight.DemiBold)
        if role == Qt.ItemDataRole.ForegroundRole and column == STATE:
            return QColor(theme.current().colour(STATES[run.state][2]))
        return None


def _alignment(column: int) -> int:
    side = Qt.AlignmentFlag.AlignRight if column in _FIGURES else Qt.AlignmentFlag.AlignLeft
    return int(side | Qt.AlignmentFlag.AlignVCenter)


def _shown(run: RunSummary, column: int) -> str:
    texts = {
        NAME: run.name,
        DATA: run.data,
        BACKBONE: run.backbone.removesuffix(" (bundled)"),
        METHOD: run.method,
        PROTOCOL: run.protocol.capitalize(),
        SHOTS: str(run.shots),
        EPSILON: radius_text(run.epsilon, run.norm).replace(" in ", " "),
        CLEAN: with_change(run.clean, run.zero_shot_clean),
        ROBUST: with_change(run.robust, run.zero_shot_robust),
        IMAGES: "–" if run.n is None else f"{run.n:,}",
        STARTED: when(run.started),
        STATE: STATES[run.state][0],
    }
    return texts[column]


def _sorted_by(run: RunSummary, column: int) -> object:
    def known(value: float | None) -> float:
        return -1.0 if value is None else float(value)

    numbers = {
        SHOTS: float(run.shots),
        EPSILON: run.epsilon,
        CLEAN: known(run.clean),
        ROBUST: known(run.robust),
        IMAGES: known(run.n),
        STARTED: run.started,
    }
    return numbers[column] if column in numbers else _shown(run, column).casefold()


def _explained(run: RunSummary, column: int) -> str:
    if column == STATE:
        return STATES[run.state][3]
    if column == STARTED:
        return moment(run.started)
    if column in {CLEAN, ROBUST}:
        share, base = (
            (run.clean, run.zero_shot_clean) if column == CLEAN else (run.robust, run.zero_shot_robust)
        )
        if share is None:
            return "This run has no final evaluation."
        before = "" if base is None else f"Zero-shot: {100 * base:.1f} %. "
        told = f"{before}This adapter: {100 * share:.1f} % of {run.n or 0:,} test images."
        return f"{told} {PROTOCOL_SENTENCES[run.protocol]}"
    if column == PROTOCOL:
        return PROTOCOL_SENTENCES[run.protocol]
    if column == EPSILON:
        return radius_text(run.epsilon, run.norm)
    if column == NAME:
        return f"{run.name}\n{run.path}"
    if column == BACKBONE:
        return run.backbone
    return _shown(run, column)


class _Proxy(QSortFilterProxyModel):
    """Sorts by the figures behind the text and keeps the runs that contain every word."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setSortRole(SORT_ROLE)
        self.words = ""

    def set_words(self, words: str) -> None:
        self.words = words
        self.invalidate()

    def filterAcceptsRow(self, row: int, parent: Index) -> bool:
        run = self.sourceModel().index(row, NAME).data(RUN_ROLE)
        return matches(run, self.words)


class RunTable(QTableView):
    """Runs; newest first until the user sorts otherwise."""

    selection_changed = Signal()
    """Other runs are selected, or the same ones have changed."""

    def __init__(self, parent: QWidget | None = None) -> None:
        """Make an empty table."""
        super().__init__(parent)
        self.setObjectName("runTable")
        self.setAccessibleName("Runs")
        self.setToolTip("Select several runs (Ctrl or Shift) to compare them.")
        self.runs = RunsModel(self)
        self._proxy = _Proxy(self)
        self._proxy.setSourceModel(self.runs)
        self.setModel(self._proxy)
        self.setProperty("frameless", True)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setTabKeyNavigation(False)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        look = theme.current()
        self.setIconSize(QSize(look.l, look.l))
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(look.control_height + look.xs)
        header = self.horizontalHeader()
        header.setHighlightSections(False)
        header.setMinimumSectionSize(48)
        header.setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
        for column, width in _WIDTHS.items():
            header.resizeSection(column, width)
        self.setSortingEnabled(True)
        self.sortByColumn(STARTED, Qt.SortOrder.DescendingOrder)
        self._quiet = False
        self.selectionModel().selectionChanged.connect(self._on_selection)
        theme.signals().changed.connect(self.viewport().update)

    def set_runs(self, runs: Sequence[RunSummary]) -> None:
        """Show other runs; those selected stay so, and where none is, the newest shown is."""
        before = [run.path for run in self.selected()]
        self._quiet = True
        if self.runs.set_runs(runs):
            self._select(before)
        if not self.selected():
            self._select_first()
        self._quiet = False
        self.selection_changed.emit()

    def set_filter(self, words: str) -> None:
        """Show only the runs that contain every word."""
        before = [run.path for run in self.selected()]
        self._quiet = True  # Qt tells nobody of selected rows that the filter takes away
        self._proxy.set_words(words)
        if not self.selected():
            self._select_first()
        self._quiet = False
        if [run.path for run in self.selected()] != before:
            self.selection_changed.emit()

    def selected(self) -> list[RunSummary]:
        """Selected runs, from top to bottom."""
        rows = sorted(index.row() for index in self.selectionModel().selectedRows(NAME))
        return [self._proxy.index(row, NAME).data(RUN_ROLE) for row in rows]

    def shown(self) -> list[RunSummary]:
        """Runs that pass the filter, from top to bottom."""
        return [self._proxy.index(row, NAME).data(RUN_ROLE) for row in range(self._proxy.rowCount())]

    def select(self, paths: Sequence[Path]) -> None:
        """Select these runs only."""
        self.clearSelection()
        self._select(paths)

    def _select(self, paths: Sequence[Path]) -> None:
        flags = QItemSelectionModel.SelectionFlag.Select | QItemSelectionModel.SelectionFlag.Rows
        for row, run in enumerate(self.shown()):
            if run.path in paths:
                self.selectionModel().select(self._proxy.index(row, NAME), flags)

    def _select_first(self) -> None:
        if self._proxy.rowCount():
            self.selectRow(0)

    def _on_selection(self) -> None:
        if not self._quiet:
            self.selection_changed.emit()
