"""A read-only table of figures that copies as tab-separated text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtGui import QFont, QGuiApplication, QKeyEvent, QKeySequence
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem, QWidget

from advclip_gui.gui import theme

if TYPE_CHECKING:
    from collections.abc import Sequence


class FigureTable(QTableWidget):
    """The first column is text, the others figures at the right edge."""

    def __init__(self, *, name: str, label: str, parent: QWidget | None = None) -> None:
        """Start empty."""
        super().__init__(parent)
        self.setObjectName(name)
        self.setAccessibleName(label)
        self.setToolTip("Ctrl+C copies the selected cells.")
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setShowGrid(False)
        self.setAlternatingRowColors(True)
        self.verticalHeader().hide()
        self.horizontalHeader().setHighlightSections(False)
        self.setTabKeyNavigation(False)

    def set_rows(self, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Show other figures."""
        self.clear()
        self.setColumnCount(len(head))
        self.setRowCount(len(rows))
        left = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        for column, text in enumerate(head):
            item = QTableWidgetItem(text)
            item.setTextAlignment(right if column else left)
            self.setHorizontalHeaderItem(column, item)
        for row, cells in enumerate(rows):
            for column, text in enumerate(cells):
                item = QTableWidgetItem(text)
                if column:
                    item.setTextAlignment(right)
                else:
                    font = QFont(self.font())
                    font.setWeight(QFont.Weight.DemiBold)
                    item.setFont(font)
                self.setItem(row, column, item)
        header = self.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        if head:
            header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
            header.setMinimumSectionSize(56)
        lines = max((text.count("\n") + 1 for cells in rows for text in cells), default=1)
        rows_header = self.verticalHeader()
        rows_header.setDefaultSectionSize(lines * self.fontMetrics().height() + theme.current().m)

    def text_at(self, row: int, column: int) -> str:
        """What a cell says."""
        item = self.item(row, column)
        return item.text() if item is not None else ""

    def height_for_rows(self, most: int) -> int:
        """Height that shows head and at most so many rows."""
        rows = sum(self.rowHeight(row) for row in range(min(self.rowCount(), most)))
        return self.horizontalHeader().sizeHint().height() + rows + 2 * self.frameWidth() + 2

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Copy."""
        if event.matches(QKeySequence.StandardKey.Copy):
            QGuiApplication.clipboard().setText(self.selected_text())
        else:
            super().keyPressEvent(event)

    def selected_text(self) -> str:
        """The selected cells, tabs between columns and a line for each row."""
        rows: dict[int, list[tuple[int, str]]] = {}
        for index in self.selectedIndexes():
            rows.setdefault(index.row(), []).append((index.column(), str(index.data() or "")))
        return "\n".join("\t".join(text for _, text in sorted(cells)) for _, cells in sorted(rows.items()))
