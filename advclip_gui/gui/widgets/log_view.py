"""A log with a filter by level and by words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtGui import QColor, QTextCharFormat, QTextCursor
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QLineEdit, QPlainTextEdit, QWidget

from advclip_gui.gui import theme
from advclip_gui.gui.widgets.basics import Card

if TYPE_CHECKING:
    from collections.abc import Sequence

    from advclip_gui.gui.training_record import LogLine

_LEVELS = (("All", ("info", "warning", "error")), ("Warnings", ("warning", "error")), ("Errors", ("error",)))
_ROLES = {"warning": "warning", "error": "bad"}


class LogView(Card):
    """Shows the lines that pass the filter; stays at the end while the user has not scrolled up."""

    def __init__(self, parent: QWidget | None = None) -> None:
        """Start empty."""
        super().__init__("Log", parent)
        look = theme.current()
        self._lines: Sequence[LogLine] = ()
        self._shown = 0
        self._first: LogLine | None = None
        self.level = QComboBox()
        self.level.setObjectName("logLevel")
        self.level.setAccessibleName("Which lines of the log are shown")
        self.level.setToolTip("Which lines are shown")
        for title, _levels in _LEVELS:
            self.level.addItem(title)
        self.filter = QLineEdit()
        self.filter.setObjectName("logFilter")
        self.filter.setPlaceholderText("Filter")
        self.filter.setClearButtonEnabled(True)
        self.filter.setAccessibleName("Filter the log by words")
        self.filter.setToolTip("Only lines with these words")
        self.filter.setMaximumWidth(6 * look.xxl)
        head = QHBoxLayout()
        head.setSpacing(look.s)
        for widget in (self.filter, self.level):
            head.addWidget(widget)
        self.header.addLayout(head)
        self.text = QPlainTextEdit()
        self.text.setObjectName("logText")
        self.text.setAccessibleName("Log")
        self.text.setReadOnly(True)
        self.text.setUndoRedoEnabled(False)
        self.text.setProperty("frameless", True)
        self.text.setMinimumHeight(2 * look.xxl)
        self.body.addWidget(self.text, 1)
        self.level.currentIndexChanged.connect(self._refill)
        self.filter.textChanged.connect(self._refill)
        theme.signals().changed.connect(self._dress)
        self._dress()

    def show_lines(self, lines: Sequence[LogLine]) -> None:
        """Show a log that has grown (or another one)."""
        first = lines[0] if lines else None
        if first is not self._first or len(lines) < self._shown:
            self._lines, self._first = lines, first
            self._refill()
            return
        self._lines = lines
        self._append(lines[self._shown :])

    def _dress(self) -> None:
        self.text.setFont(theme.current().mono_font(theme.current().caption))
        self._refill()

    def _refill(self) -> None:
        self.text.clear()
        self._shown = 0
        self._append(self._lines)

    def _append(self, lines: Sequence[LogLine]) -> None:
        self._shown += len(lines)
        levels = _LEVELS[self.level.currentIndex()][1]
        words = self.filter.text().lower().split()
        bar = self.text.verticalScrollBar()
        at_end = bar.value() >= bar.maximum() - 2
        cursor = QTextCursor(self.text.document())
        cursor.movePosition(QTextCursor.MoveOperation.End)
        for line in lines:
            message = line.message.lower()
            if line.level in levels and all(word in message for word in words):
                if not self.text.document().isEmpty():
                    cursor.insertBlock()
                cursor.insertText(f"{line.clock}  ", self._format("text_muted"))
                cursor.insertText(line.message, self._format(_ROLES.get(line.level, "text")))
        if at_end:
            bar.setValue(bar.maximum())

    @staticmethod
    def _format(role: str) -> QTextCharFormat:
        style = QTextCharFormat()
        style.setForeground(QColor(theme.current().colour(role)))
        return style
