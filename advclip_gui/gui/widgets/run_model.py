"""The runs as rows: sorted and filtered here, so that a thousand of them need no call from Qt for each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt, Signal
from PySide6.QtGui import QColor, QFont, QIcon

from advclip_gui.gui import theme
from advclip_gui.gui.run_text import ADAPTER_ICON, STATES
from advclip_gui.gui.widgets.run_columns import (
    COLUMNS,
    HEADS,
    NAME,
    STARTED,
    STATE,
    alignment,
    explained,
    shown,
    sorted_by,
)
from advclip_gui.run_words import searched

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from PySide6.QtCore import QObject

    from advclip_gui.engine.run_list import RunSummary

Index = QModelIndex | QPersistentModelIndex

RUN_ROLE = Qt.ItemDataRole.UserRole + 2

_FLAGS = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable | Qt.ItemFlag.ItemNeverHasChildren
_NAME_FLAGS = _FLAGS | Qt.ItemFlag.ItemIsEditable


@dataclass(frozen=True, slots=True)
class Filter:
    """What is shown; "" is any.

    Attributes:
        words: all of them occur somewhere in what the list says.
        kind: "run" or "adapter".
        parts: whether runs that are parts of experiments pass.
    """

    words: str = ""
    state: str = ""
    method: str = ""
    kind: str = ""
    parts: bool = True

    def passes(self, run: RunSummary) -> bool:
        """Whether a line passes, but for the words."""
        if run.part_of and not self.parts:
            return False
        if self.kind and run.is_adapter != (self.kind == "adapter"):
            return False
        return self.state in ("", run.state) and self.method in ("", run.method)


def _sign(run: RunSummary, mark: str | None) -> QIcon:
    """Before the name: an adapter without a run looks other than a run; in colour where it is compared."""
    if run.is_adapter:
        return theme.icon(ADAPTER_ICON, mark or "text_muted")
    return theme.icon("circle" if mark else "circle-outline", mark or "border_strong")


class RunsModel(QAbstractTableModel):
    """One row per run that passes the filter; runs on the plot carry the colour of their line."""

    renamed = Signal(object, str)
    """A run and the name typed into its cell."""

    def __init__(self, parent: QObject | None = None) -> None:
        """Start empty, newest first."""
        super().__init__(parent)
        self._every: tuple[RunSummary, ...] = ()
        self._rows: list[RunSummary] = []
        self._searched: dict[Path, tuple[RunSummary, str]] = {}
        self._marks: dict[Path, str] = {}
        self._filter = Filter()
        self.sorting = (STARTED, Qt.SortOrder.DescendingOrder)

    @property
    def rows(self) -> Sequence[RunSummary]:
        """Runs that pass the filter, in the order shown."""
        return self._rows

    @property
    def every(self) -> Sequence[RunSummary]:
        """All runs, filtered out or not."""
        return self._every

    def set_runs(self, runs: Sequence[RunSummary]) -> None:
        """Show other runs."""
        self._every = tuple(runs)
        self._arrange()

    def set_filter(self, wanted: Filter) -> None:
        """Show only what passes."""
        if wanted != self._filter:
            self._filter = wanted
            self._arrange()

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by the figures behind the text; what is equal stays newest first."""
        self.sorting = (column, order)
        self._arrange()

    def _arrange(self) -> None:
        column, order = self.sorting
        rows = [run for run in self._every if self._passes(run)]
        rows.sort(key=lambda run: run.started, reverse=True)
        rows.sort(key=lambda run: sorted_by(run, column), reverse=order == Qt.SortOrder.DescendingOrder)
        if [run.path for run in rows] == [run.path for run in self._rows]:
            self._rows = rows
            self._repaint()
            return
        self.beginResetModel()
        self._rows = rows
        self.endResetModel()

    def _passes(self, run: RunSummary) -> bool:
        wanted = self._filter
        if not wanted.passes(run):
            return False
        if not wanted.words.strip():
            return True
        known = self._searched.get(run.path)
        if known is None or known[0] is not run:
            known = self._searched[run.path] = (run, searched(run))
        return all(word in known[1] for word in wanted.words.casefold().split())

    def set_marks(self, marks: Mapping[Path, str]) -> None:
        """Set the colour role of the runs on the plot."""
        if marks != self._marks:
            self._marks = dict(marks)
            self._repaint()

    def _repaint(self) -> None:
        if self._rows:
            self.dataChanged.emit(self.index(0, 0), self.index(len(self._rows) - 1, COLUMNS[-1]))

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 (Qt's signature)
        """Number of runs shown."""
        return 0 if parent.isValid() else len(self._rows)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 (Qt's signature)
        """Number of columns."""
        return 0 if parent.isValid() else len(HEADS)

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> object:
        """Column titles and what they mean."""
        if orientation != Qt.Orientation.Horizontal:
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return HEADS[section][0]
        if role == Qt.ItemDataRole.ToolTipRole:
            return HEADS[section][1]
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return alignment(section)
        return None

    def flags(self, index: Index) -> Qt.ItemFlag:
        """Names can be edited in place."""
        return _NAME_FLAGS if index.column() == NAME else _FLAGS

    def setData(self, index: Index, value: object, role: int = Qt.ItemDataRole.EditRole) -> bool:
        """Ask for another name; it is shown when it has been written."""
        name = " ".join(str(value).split())
        if role != Qt.ItemDataRole.EditRole or index.column() != NAME or not name:
            return False
        run = self._rows[index.row()]
        if name != run.name:
            self.renamed.emit(run, name)
        return True

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        """What a cell shows and explains."""
        run, column = self._rows[index.row()], index.column()
        if role == Qt.ItemDataRole.DisplayRole:
            return shown(run, column)
        if role == Qt.ItemDataRole.EditRole and column == NAME:
            return run.name
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return alignment(column)
        if role == RUN_ROLE:
            return run
        if role == Qt.ItemDataRole.ToolTipRole:
            return explained(run, column)
        if role == Qt.ItemDataRole.DecorationRole:
            if column == STATE:
                return theme.icon(STATES[run.state][1], STATES[run.state][2])
            if column == NAME:
                return _sign(run, self._marks.get(run.path))
        if role == Qt.ItemDataRole.FontRole and column == NAME:
            return theme.current().font(weight=QFont.Weight.DemiBold)
        if role == Qt.ItemDataRole.ForegroundRole and column == STATE:
            return QColor(theme.current().colour(STATES[run.state][2]))
        return None
