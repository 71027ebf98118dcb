"""The report of a scan: what was wrong, where, and what to do about it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import (
    QAbstractItemView,
    QFileDialog,
    QHBoxLayout,
    QHeaderView,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from advclip_gui.engine.datasets.report import report_text, write_report
from advclip_gui.engine.errors import StorageError
from advclip_gui.gui import theme
from advclip_gui.gui.widgets.basics import Button, IconButton, Muted, TextLabel
from advclip_gui.gui.widgets.problem_table import FILE, ICON, RANK, SENTENCE, ProblemDelegate, ProblemModel

if TYPE_CHECKING:
    from collections.abc import Collection

    from advclip_gui.engine.datasets.records import DatasetScan, Problem


class ProblemPanel(QWidget):
    """Lists the problems; leaves files out, copies and exports the report."""

    skip_requested = Signal(list, bool)
    """Relative paths, and whether to leave them out (True) or use them again."""
    notify = Signal(str, str)
    """Level and sentence."""

    def __init__(self, parent: QWidget | None = None) -> None:
        """Make an empty panel."""
        super().__init__(parent)
        look = theme.current()
        self._scan: DatasetScan | None = None
        self._files: frozenset[str] = frozenset()
        self._skipped: frozenset[str] = frozenset()
        self._model = ProblemModel(self)
        self.table = QTableView()
        self.table.setObjectName("problemTable")
        self.table.setAccessibleName("Problems of the scan")
        self.table.setModel(self._model)
        self.table.setShowGrid(False)
        self.table.setWordWrap(False)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setTabKeyNavigation(False)
        self.table.verticalHeader().hide()
        self.table.verticalHeader().setDefaultSectionSize(ProblemDelegate.height())
        header = self.table.horizontalHeader()
        header.setHighlightSections(False)
        header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        header.setSectionResizeMode(ICON, QHeaderView.ResizeMode.Fixed)
        header.resizeSection(ICON, look.xxl + look.xs)
        header.setSectionResizeMode(FILE, QHeaderView.ResizeMode.Stretch)
        self.table.setColumnHidden(SENTENCE, True)
        self.table.setItemDelegateForColumn(FILE, ProblemDelegate(self.table))
        self.summary = TextLabel("", "caption")
        self.detail = Muted("")
        self.detail.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.skip_button = Button(
            "Skip these",
            "eye-off-outline",
            name="skipProblems",
            tip="Leave the selected files out of training and evaluation, or all with a warning where none "
            "is selected. Recorded with every run; nothing on disk is changed.",
        )
        self.use_button = Button(
            "Use again",
            "eye-outline",
            "flat",
            name="useProblems",
            tip="Take skipped files back into the data.",
        )
        copy = IconButton("content-copy", "Copy the whole report as text", name="copyReport")
        export = IconButton(
            "tray-arrow-down", "Save the report as a table (CSV), JSON or text", name="exportReport"
        )
        buttons = QHBoxLayout()
        buttons.setSpacing(look.s)
        for button in (self.skip_button, self.use_button):
            buttons.addWidget(button)
        buttons.addStretch(1)
        buttons.addWidget(copy)
        buttons.addWidget(export)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, look.s, 0, 0)
        column.setSpacing(look.s)
        column.addWidget(self.summary)
        column.addWidget(self.table, 1)
        column.addWidget(self.detail)
        column.addLayout(buttons)
        self.skip_button.clicked.connect(self._skip)
        self.use_button.clicked.connect(self._use)
        copy.clicked.connect(self.copy_report)
        export.clicked.connect(self._export)
        self.table.selectionModel().selectionChanged.connect(self._update)
        theme.signals().changed.connect(self.table.viewport().update)

    def set_scan(self, scan: DatasetScan | None) -> None:
        """Show the problems of a scan."""
        self._scan = scan
        doubtful = {problem.path for problem in scan.problems} if scan is not None else set()
        records = scan.records if scan is not None and doubtful else ()
        self._files = frozenset(record.path for record in records if record.path in doubtful)
        self._model.set_problems(scan.problems if scan is not None else ())
        self._update()

    def set_skipped(self, paths: Collection[str]) -> None:
        """Mark files that are left out of the data."""
        self._skipped = frozenset(paths)
        self._model.set_skipped(paths)
        self._update()

    def selected(self) -> list[Problem]:
        """The selected problems."""
        return [self._model.problem(index.row()) for index in self.table.selectionModel().selectedRows()]

    def copy_report(self) -> None:
        """Put the whole report on the clipboard."""
        if self._scan is not None:
            QGuiApplication.clipboard().setText(report_text(self._scan))
            self.notify.emit("success", "The report is on the clipboard.")

    def save_report(self, path: Path) -> None:
        """Write the report, as JSON or CSV where the name ends so, else as text."""
        if self._scan is None:
            return
        try:
            write_report(path, self._scan, self._skipped)
        except StorageError as error:
            self.notify.emit("error", str(error))
        else:
            self.notify.emit("success", f"The report was saved to {path}.")

    def _export(self) -> None:
        name, _ = QFileDialog.getSaveFileName(
            self, "Save the report", "report.csv", "Table (*.csv);;JSON (*.json);;Text (*.txt)"
        )
        if name:
            self.save_report(Path(name))

    def _skippable(self) -> list[str]:
        """The selected files that are still used; where nothing is selected, all with a warning."""
        chosen = {problem.path for problem in self.selected()}
        if not chosen and self._scan is not None:
            chosen = {problem.path for problem in self._scan.problems_of("warning")}
        return sorted(chosen & self._files - self._skipped)

    def _skip(self) -> None:
        self.skip_requested.emit(self._skippable(), True)

    def _use(self) -> None:
        chosen = {problem.path for problem in self.selected()} & self._skipped
        self.skip_requested.emit(sorted(chosen or self._skipped), False)

    def _update(self) -> None:
        problems = self._scan.problems if self._scan is not None else ()
        counts = {kind: sum(problem.severity == kind for problem in problems) for kind in RANK}
        parts = [f"{count} {kind}{'s' if count != 1 else ''}" for kind, count in counts.items() if count]
        if self._skipped:
            parts.append(f"{len(self._skipped)} skipped")
        self.summary.setText(" · ".join(parts) or "Nothing was wrong with this folder.")
        chosen = self.selected()
        self.skip_button.setEnabled(bool(self._skippable()))
        self.use_button.setVisible(bool(self._skipped))
        if len(chosen) == 1:
            self.detail.setText(f"{chosen[0].path}: {chosen[0].message}")
        elif any(problem.path not in self._files for problem in chosen):
            self.detail.setText("Files marked as errors are left out already.")
        else:
            self.detail.setText("Errors are left out already. Skip these leaves out all with a warning too.")
        self.detail.setVisible(bool(problems))
