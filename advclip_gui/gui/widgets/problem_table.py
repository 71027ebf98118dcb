"""The problems of a scan as rows, and how a row shows a path and a sentence in a narrow column."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, QRect, Qt
from PySide6.QtGui import QFontMetrics, QPainter
from PySide6.QtWidgets import QStyle, QStyledItemDelegate, QWidget

from advclip_gui.gui import theme

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from PySide6.QtWidgets import QStyleOptionViewItem

    from advclip_gui.engine.datasets.records import Problem

Index = QModelIndex | QPersistentModelIndex

ICONS = {
    "error": ("alert-circle-outline", "bad"),
    "warning": ("alert-outline", "warning"),
    "note": ("information-outline", "info"),
}
RANK = {"error": 0, "warning": 1, "note": 2}
"""The worst first."""

ICON, FILE, SENTENCE = range(3)
"""Columns."""

_ROOT = "."


class ProblemModel(QAbstractTableModel):
    """One row per problem, the worst first."""

    def __init__(self, parent: QWidget | None = None) -> None:
        """Start empty."""
        super().__init__(parent)
        self._problems: Sequence[Problem] = ()
        self._skipped: Collection[str] = frozenset()

    def set_problems(self, problems: Sequence[Problem]) -> None:
        """Show other problems."""
        self.beginResetModel()
        self._problems = sorted(problems, key=lambda problem: (RANK[problem.severity], problem.path))
        self.endResetModel()

    def set_skipped(self, paths: Collection[str]) -> None:
        """Mark files that are left out of the data."""
        self._skipped = frozenset(paths)
        if self._problems:
            self.dataChanged.emit(self.index(0, 0), self.index(len(self._problems) - 1, 2))

    def problem(self, row: int) -> Problem:
        """The problem of a row."""
        return self._problems[row]

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 (Qt's signature)
        """Number of problems."""
        return 0 if parent.isValid() else len(self._problems)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 (Qt's signature)
        """Severity, path, sentence."""
        return 0 if parent.isValid() else 3

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> object:
        """Column titles."""
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole:
            return ("", "File, and what was found", "What was found")[section]
        return None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        """What a cell shows."""
        problem = self._problems[index.row()]
        left_out = problem.path in self._skipped
        if role == Qt.ItemDataRole.DisplayRole and index.column() > 0:
            path = "The folder itself" if problem.path == _ROOT else problem.path
            return path if index.column() == FILE else problem.message
        if role == Qt.ItemDataRole.DecorationRole and index.column() == 0:
            return (
                theme.icon("eye-off-outline", "text_muted")
                if left_out
                else theme.icon(*ICONS[problem.severity])
            )
        if role == Qt.ItemDataRole.ToolTipRole:
            return f"{problem.severity.capitalize()}: {problem.path}\n{problem.message}" + (
                "\nLeft out of the data." if left_out else ""
            )
        if role == Qt.ItemDataRole.ForegroundRole and left_out:
            return theme.current().qcolor("text_disabled")
        if role == Qt.ItemDataRole.AccessibleTextRole and index.column() == 0:
            return problem.severity
        return None


class ProblemDelegate(QStyledItemDelegate):
    """Paints the sentence beneath the path: side by side, a narrow panel would cut both off."""

    @staticmethod
    def height() -> int:
        """Of a row."""
        look = theme.current()
        lines = (look.font(), look.font(look.caption))
        return sum(QFontMetrics(font).height() for font in lines) + look.m

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        """Draw both lines."""
        look = theme.current()
        painter.save()
        if option.state & QStyle.StateFlag.State_Selected:
            painter.fillRect(option.rect, look.qcolor("accent_soft"))
        left_out = index.data(Qt.ItemDataRole.ForegroundRole)
        sentence = index.siblingAtColumn(SENTENCE).data()
        top = option.rect.top() + look.m // 2
        for text, size, role, mode in (
            (index.data(), None, "text", Qt.TextElideMode.ElideMiddle),
            (sentence, look.caption, "text_muted", Qt.TextElideMode.ElideRight),
        ):
            painter.setFont(look.font(size))
            painter.setPen(left_out or look.qcolor(role))
            metrics = painter.fontMetrics()
            line = QRect(option.rect.left() + look.xs, top, option.rect.width() - look.s, metrics.height())
            painter.drawText(
                line, int(Qt.AlignmentFlag.AlignVCenter), metrics.elidedText(text, mode, line.width())
            )
            top += metrics.height()
        painter.restore()
