"""The table of runs: sortable, several can be selected, columns can be hidden, names edited in place."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import (
    QItemSelection,
    QItemSelectionModel,
    QPoint,
    QSize,
    Qt,
    Signal,
)
from PySide6.QtWidgets import (
    QAbstractItemDelegate,
    QAbstractItemView,
    QHeaderView,
    QMenu,
    QTableView,
    QWidget,
)

from advclip_gui.gui import theme
from advclip_gui.gui.widgets.run_columns import (
    COLUMNS,
    HEADS,
    HIDDEN_AT_FIRST,
    KEYS,
    NAME,
    NAME_LEAST,
    NAME_ROOM,
    ROOMY,
    WIDTHS,
)
from advclip_gui.gui.widgets.run_model import RUN_ROLE, RunsModel

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from PySide6.QtGui import QResizeEvent

    from advclip_gui.engine.run_list import RunSummary
    from advclip_gui.gui.widgets.run_model import Filter

__all__ = ["RUN_ROLE", "RunTable"]


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
        self._quiet = self._roomy = False
        self._kept: tuple[list[Path], Path | None, int] = ([], None, 0)
        self._first_selected = 0
        self._waiting: Sequence[RunSummary] | None = None
        self.runs = RunsModel(self)
        self.runs.modelAboutToBeReset.connect(self._keep)
        self.setModel(self.runs)
        self.runs.modelReset.connect(self._restore)
        self.setProperty("frameless", True)
        self.setShowGrid(False)
        self.setWordWrap(False)
        # Names differ at their ends: the number of a run, the seed of an experiment's part.
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
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
        self._make_header()
        sorting = self.runs.sorting
        self.setSortingEnabled(True)  # sorts by the first column at once
        self.sortByColumn(*sorting)
        self.selectionModel().selectionChanged.connect(self._on_selection)
        theme.signals().changed.connect(self.viewport().update)

    def _make_header(self) -> None:
        header = self.horizontalHeader()
        header.setHighlightSections(False)
        # Otherwise it asks, at every painting, whether each column is selected: a call for every cell.
        header.setSelectionModel(QItemSelectionModel(self.runs, self))
        header.setMinimumSectionSize(48)
        header.setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
        self._fit_columns()
        for column in HIDDEN_AT_FIRST:
            self.setColumnHidden(column, True)
        header.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        header.customContextMenuRequested.connect(self._ask_for_columns)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Give columns more room where there is some."""
        super().resizeEvent(event)
        needed = sum(
            WIDTHS[column] + ROOMY.get(column, 0) for column in WIDTHS if not self.isColumnHidden(column)
        )
        roomy = event.size().width() >= needed + NAME_ROOM
        if roomy != self._roomy:
            self._roomy = roomy
            self._fit_columns()
        self._fit_name()

    def _fit_columns(self) -> None:
        for column, width in WIDTHS.items():
            more = ROOMY.get(column, 0) if self._roomy else 0
            self.horizontalHeader().resizeSection(column, width + more)

    def _fit_name(self) -> None:
        """The name takes what is left, but never less than can be read."""
        header = self.horizontalHeader()
        others = sum(header.sectionSize(column) for column in WIDTHS if not self.isColumnHidden(column))
        narrow = self.viewport().width() - others < NAME_LEAST
        mode = QHeaderView.ResizeMode.Fixed if narrow else QHeaderView.ResizeMode.Stretch
        if header.sectionResizeMode(NAME) != mode:
            header.setSectionResizeMode(NAME, mode)
        if narrow:
            header.resizeSection(NAME, NAME_LEAST)

    # --- what is shown ------------------------------------------------------------------------

    def set_runs(self, runs: Sequence[RunSummary]) -> None:
        """Show other runs; those selected stay so, and where none is, the newest shown is."""
        if self.state() == QAbstractItemView.State.EditingState:
            self._waiting = runs  # a name being typed is not taken from under the hands
            return
        self._quiet = True
        self.runs.set_runs(runs)
        self._select_something()
        self._quiet = False
        self.selection_changed.emit()

    def set_filter(self, wanted: Filter) -> None:
        """Show only what passes."""
        before = [run.path for run in self.selected()]
        self._quiet = True
        self.runs.set_filter(wanted)
        self._select_something()
        self._quiet = False
        if [run.path for run in self.selected()] != before:
            self.selection_changed.emit()

    def closeEditor(self, editor: QWidget, hint: QAbstractItemDelegate.EndEditHint) -> None:
        """Show what came in while a name was typed."""
        super().closeEditor(editor, hint)
        if self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            self.set_runs(waiting)

    def edit_name(self) -> None:
        """Open the editor in the selected run's name."""
        rows = self._selected_rows()
        if len(rows) == 1:
            index = self.runs.index(rows[0], NAME)
            self.setCurrentIndex(index)
            self.edit(index)

    # --- what is selected ---------------------------------------------------------------------

    def selected(self) -> list[RunSummary]:
        """Selected runs, from top to bottom."""
        return [self.runs.rows[row] for row in self._selected_rows()]

    def _selected_rows(self) -> list[int]:
        # Not Qt's `selectedRows`: it asks the model for every cell of every row.
        ranges = self.selectionModel().selection()
        return sorted({row for one in ranges for row in range(one.top(), one.bottom() + 1)})

    def shown(self) -> list[RunSummary]:
        """Runs that pass the filter, from top to bottom."""
        return list(self.runs.rows)

    def select(self, paths: Sequence[Path]) -> None:
        """Select these runs only, and scroll to the first."""
        wanted, selection = set(paths), QItemSelection()
        rows = [row for row, run in enumerate(self.runs.rows) if run.path in wanted]
        for row in rows:
            index = self.runs.index(row, NAME)
            selection.select(index, index)
        flags = QItemSelectionModel.SelectionFlag.ClearAndSelect | QItemSelectionModel.SelectionFlag.Rows
        self.selectionModel().select(selection, flags)
        if rows:
            self.scrollTo(self.runs.index(rows[0], NAME))

    def _select_something(self) -> None:
        """Where all that was selected is gone, its neighbour takes its place."""
        if self.runs.rows and not self.selectionModel().hasSelection():
            self.selectRow(min(self._first_selected, len(self.runs.rows) - 1))
        self._first_selected = min(self._selected_rows(), default=0)

    def _on_selection(self) -> None:
        self._first_selected = min(self._selected_rows(), default=0)
        if not self._quiet:
            self.selection_changed.emit()

    def _keep(self) -> None:
        """Remember what other rows would make Qt forget."""
        current = self.currentIndex()
        path = self.runs.rows[current.row()].path if current.isValid() else None
        self._kept = ([run.path for run in self.selected()], path, self.verticalScrollBar().value())

    def _restore(self) -> None:
        paths, current, scrolled = self._kept
        quiet, self._quiet = self._quiet, True
        self.select(paths)
        for row, run in enumerate(self.runs.rows):
            if run.path == current:
                flag = QItemSelectionModel.SelectionFlag.NoUpdate
                self.selectionModel().setCurrentIndex(self.runs.index(row, NAME), flag)
        self.verticalScrollBar().setValue(scrolled)
        self._quiet = quiet

    # --- columns ------------------------------------------------------------------------------

    def columns_menu(self) -> QMenu:
        """Make the menu that shows and hides columns; the name stays."""
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        for column in COLUMNS:
            if column != NAME:
                action = menu.addAction("Epsilon" if HEADS[column][0] == "ε" else HEADS[column][0])
                action.setCheckable(True)
                action.setChecked(not self.isColumnHidden(column))
                action.toggled.connect(partial(self._show_column, column))
        return menu

    def _ask_for_columns(self, place: QPoint) -> None:
        self.columns_menu().popup(self.horizontalHeader().mapToGlobal(place))

    def _show_column(self, column: int, shown: bool) -> None:
        self.setColumnHidden(column, not shown)
        self._fit_name()

    def arrangement(self) -> str:
        """Sorting and hidden columns, to remember."""
        column, order = self.runs.sorting
        hidden = [KEYS[column] for column in COLUMNS if self.isColumnHidden(column)]
        falling = order == Qt.SortOrder.DescendingOrder
        return json.dumps({"sort": KEYS[column], "falling": falling, "hidden": hidden})

    def arrange(self, stored: str) -> None:
        """Take up a remembered arrangement; what is damaged is as if it were absent."""
        try:
            values = json.loads(stored)
            column = KEYS.index(values["sort"])
            hidden = {KEYS.index(key) for key in values["hidden"] if key in KEYS}
        except (ValueError, TypeError, KeyError):
            return
        for one in COLUMNS:
            self.setColumnHidden(one, one in hidden and one != NAME)
        self._fit_name()
        falling = bool(values.get("falling"))
        self.sortByColumn(column, Qt.SortOrder.DescendingOrder if falling else Qt.SortOrder.AscendingOrder)
