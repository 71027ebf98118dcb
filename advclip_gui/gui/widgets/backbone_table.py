"""The table of backbones: sorted by any column, filtered by words, family, resolution and what is here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import (
    QAbstractTableModel,
    QModelIndex,
    QPersistentModelIndex,
    QSize,
    QSortFilterProxyModel,
    Qt,
    Signal,
)
from PySide6.QtGui import QColor
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QTableView, QWidget

from advclip_gui.engine.catalog import CATALOG
from advclip_gui.engine.published import BackboneEntry, matches
from advclip_gui.gui import theme

if TYPE_CHECKING:
    from collections.abc import Sequence

Index = QModelIndex | QPersistentModelIndex
SORT_ROLE = Qt.ItemDataRole.UserRole + 1
ENTRY_ROLE = Qt.ItemDataRole.UserRole + 2
NAME, FAMILY, PIXELS, PARAMETERS, FETCH, LICENCE = range(6)
_HEADS = (
    ("Backbone", "Architecture and weights; a star marks those people ask for most."),
    ("Family", "Whom the weights are known by."),
    ("Input", "Side of the square image the model sees, in pixels."),
    ("Parameters", "Of both towers."),
    ("To fetch", "About how much is downloaded; the hub tells the exact size."),
    ("Licence", "Of the weights; a dash where no source for it was found."),
)
_WIDTHS = {FAMILY: 128, PIXELS: 72, PARAMETERS: 100, FETCH: 120, LICENCE: 96}
_FIGURES = frozenset({PIXELS, PARAMETERS, FETCH})
_UNKNOWN = "–"


class BackbonesModel(QAbstractTableModel):
    """One row per backbone; whether it is here is told later."""

    def __init__(self, entries: Sequence[BackboneEntry], parent: QWidget | None = None) -> None:
        """Show entries, none of them known to be here."""
        super().__init__(parent)
        self.entries = list(entries)
        self._here: set[tuple[str, str]] = set()
        self._favourites = {(one.name, one.weights) for one in CATALOG}

    def set_here(self, here: set[tuple[str, str]]) -> None:
        """Tell which can be loaded at once, by name and weights."""
        self._here = here
        self.dataChanged.emit(self.index(0, 0), self.index(len(self.entries) - 1, LICENCE))

    def is_here(self, one: BackboneEntry) -> bool:
        """Whether a backbone is known to be here."""
        return (one.name, one.weights) in self._here

    def add(self, one: BackboneEntry) -> int:
        """Append a backbone that is not listed yet; returns its row."""
        if one not in self.entries:
            self.beginInsertRows(QModelIndex(), len(self.entries), len(self.entries))
            self.entries.append(one)
            self.endInsertRows()
        return self.entries.index(one)

    def remove(self, one: BackboneEntry) -> None:
        """Take a backbone out of the list again."""
        row = self.entries.index(one)
        self.beginRemoveRows(QModelIndex(), row, row)
        del self.entries[row]
        self.endRemoveRows()

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 (Qt's signature)
        """Number of backbones."""
        return 0 if parent.isValid() else len(self.entries)

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
        return _alignment(section) if role == Qt.ItemDataRole.TextAlignmentRole else None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        """What a cell shows, sorts by and explains."""
        one, column = self.entries[index.row()], index.column()
        if role == ENTRY_ROLE:
            return one
        if role == Qt.ItemDataRole.DisplayRole:
            return self._shown(one, column)
        if role == SORT_ROLE:
            return self._sorted_by(one, column)
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _alignment(column)
        if role == Qt.ItemDataRole.ToolTipRole:
            if column == LICENCE and one.licence_source:
                return f"{one.licence}. Source: {one.licence_source}."
            return one.refused or (one.hub_id if column == NAME and one.hub_id else self._shown(one, column))
        if role == Qt.ItemDataRole.DecorationRole and column == NAME:
            favourite = (one.name, one.weights) in self._favourites
            return theme.icon(
                "star" if favourite else "circle-small", "accent" if favourite else "text_muted"
            )
        if role == Qt.ItemDataRole.ForegroundRole:
            if one.refused:
                return QColor(theme.current().text_disabled)
            if column == FETCH and self.is_here(one):
                return QColor(theme.current().good)
        return None

    def _shown(self, one: BackboneEntry, column: int) -> str:
        if column == FETCH:
            if one.refused:
                return "Not supported"
            size = f"about {one.download_mb:,} MB" if one.download_mb else _UNKNOWN
            return "Already here" if self.is_here(one) else size
        texts = {
            NAME: one.title,
            FAMILY: one.family or _UNKNOWN,
            PIXELS: f"{one.image_size} px" if one.image_size else _UNKNOWN,
            PARAMETERS: f"{one.parameters / 1e6:,.0f} M" if one.parameters else _UNKNOWN,
            LICENCE: one.licence or _UNKNOWN,
        }
        return texts[column]

    def _sorted_by(self, one: BackboneEntry, column: int) -> object:
        if column == FETCH:
            return (
                float("inf") if one.refused else 0.0 if self.is_here(one) else float(one.download_mb or 1e9)
            )
        figures = {PIXELS: one.image_size, PARAMETERS: one.parameters}
        return float(figures[column]) if column in figures else self._shown(one, column).casefold()


def _alignment(column: int) -> int:
    side = Qt.AlignmentFlag.AlignRight if column in _FIGURES else Qt.AlignmentFlag.AlignLeft
    return int(side | Qt.AlignmentFlag.AlignVCenter)


class _Proxy(QSortFilterProxyModel):
    """Keeps what passes all filters; unsorted, the favourites come first."""

    def __init__(self, model: BackbonesModel, parent: QWidget) -> None:
        super().__init__(parent)
        self.setSortRole(SORT_ROLE)
        self.words, self.family, self.size = "", "", 0
        self.only_here = self.with_refused = False
        self._model = model
        self.setSourceModel(model)

    def filterAcceptsRow(self, row: int, parent: Index) -> bool:
        one = self._model.entries[row]
        if (one.refused and not self.with_refused) or (self.only_here and not self._model.is_here(one)):
            return False
        return matches(one, self.words, family=self.family, size=self.size)


class BackboneTable(QTableView):
    """Backbones; one is selected, Enter or a double click takes it."""

    selected = Signal()
    """Another row is selected, or none."""
    taken = Signal()

    def __init__(self, entries: Sequence[BackboneEntry], parent: QWidget | None = None) -> None:
        """Show entries in their order."""
        super().__init__(parent)
        look = theme.current()
        self.setObjectName("backboneTable")
        self.setAccessibleName("Backbones")
        self.backbones = BackbonesModel(entries, self)
        self._proxy = _Proxy(self.backbones, self)
        self.setModel(self._proxy)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setTabKeyNavigation(False)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setIconSize(QSize(look.l, look.l))
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(look.control_height)
        header = self.horizontalHeader()
        header.setHighlightSections(False)
        header.setMinimumSectionSize(48)
        header.setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
        for column, width in _WIDTHS.items():
            header.resizeSection(column, width)
        self.sortByColumn(-1, Qt.SortOrder.AscendingOrder)
        self.setSortingEnabled(True)
        self.selectionModel().selectionChanged.connect(self._on_selection)
        self.activated.connect(self._on_activated)
        theme.signals().changed.connect(self.viewport().update)

    def entry(self) -> BackboneEntry | None:
        """The selected backbone, None where none is."""
        rows = self.selectionModel().selectedRows(NAME)
        found = rows[0].data(ENTRY_ROLE) if rows else None
        return found if isinstance(found, BackboneEntry) else None

    def shown(self) -> list[BackboneEntry]:
        """What passes the filters, from top to bottom."""
        rows = (
            self._proxy.mapToSource(self._proxy.index(row, NAME)) for row in range(self._proxy.rowCount())
        )
        return [self.backbones.entries[index.row()] for index in rows]

    def select(self, wanted: BackboneEntry | None) -> None:
        """Select a backbone and show it; the first one where it is filtered away."""
        shown = self.shown()
        if not shown:
            self.selected.emit()
            return
        row = shown.index(wanted) if wanted in shown else 0
        self.selectRow(row)
        self.scrollTo(self._proxy.index(row, NAME))

    def set_filter(
        self,
        words: str,
        *,
        family: str = "",
        size: int = 0,
        only_here: bool = False,
        with_refused: bool = False,
    ) -> None:
        """Show only what passes; what is selected stays so where it does."""
        before = self.entry()
        proxy = self._proxy
        proxy.words, proxy.family, proxy.size = words, family, size
        proxy.only_here, proxy.with_refused = only_here, with_refused
        proxy.invalidate()
        self.select(before)

    def set_here(self, here: set[tuple[str, str]]) -> None:
        """Tell which backbones can be loaded at once."""
        before = self.entry()
        self.backbones.set_here(here)
        self._proxy.invalidate()
        self.select(before)

    def _on_selection(self) -> None:
        self.selected.emit()

    def _on_activated(self) -> None:
        self.taken.emit()
