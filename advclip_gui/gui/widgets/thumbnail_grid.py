"""A grid of thumbnails that stays smooth however many images there are."""

from __future__ import annotations

import bisect
from typing import TYPE_CHECKING

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QPoint, QSize, QStringListModel, Qt, Signal
from PySide6.QtGui import QAction, QCursor, QGuiApplication, QPainter
from PySide6.QtWidgets import QAbstractItemView, QListView, QMenu, QStyle, QStyledItemDelegate, QWidget

from advclip_gui.gui import theme
from advclip_gui.gui.widgets.thumbnail_painting import CellPainter, cell_size

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from PySide6.QtGui import QPaintEvent
    from PySide6.QtWidgets import QStyleOptionViewItem

    from advclip_gui.engine.datasets.records import ImageRecord
    from advclip_gui.gui.thumbnails import ThumbnailLoader

RECORD_ROLE = Qt.ItemDataRole.UserRole + 1
SKIPPED_ROLE = Qt.ItemDataRole.UserRole + 2

Index = QModelIndex | QPersistentModelIndex


class ThumbnailModel(QStringListModel):
    """Image records in one flat list; the pixels stay in the loader.

    The strings are empty: the list of them only gives a row count that Qt need not ask Python for, which
    a layout does for every item.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        """Start empty."""
        super().__init__(parent)
        self._records: list[ImageRecord] = []
        self._skipped: Collection[str] = frozenset()
        self._names: Mapping[str, str] = {}

    def set_records(self, records: Sequence[ImageRecord]) -> None:
        """Show other images."""
        self.setStringList([])
        self._records = list(records)
        if self._records:
            self.insertRows(0, len(self._records))

    def append(self, records: Sequence[ImageRecord]) -> None:
        """Show more images behind the others."""
        if records:
            first = len(self._records)
            self._records += records
            self.insertRows(first, len(records))

    @property
    def records(self) -> tuple[ImageRecord, ...]:
        """What is shown."""
        return tuple(self._records)

    def set_skipped(self, paths: Collection[str]) -> None:
        """Mark files that are left out of the data."""
        self._skipped = frozenset(paths)

    def set_names(self, names: Mapping[str, str]) -> None:
        """Set what class folders are called."""
        self._names = names

    def record(self, index: Index) -> ImageRecord:
        """The image of a row."""
        return self._records[index.row()]

    def shown(self, row: int) -> tuple[str, str, bool]:
        """Path, caption and whether it is left out, of a row."""
        record = self._records[row]
        path, class_name = record.path, record.class_name
        return path, self._names.get(class_name, class_name), path in self._skipped

    def flags(self, index: Index) -> Qt.ItemFlag:
        """An image can be selected, not edited."""
        return Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable | Qt.ItemFlag.ItemNeverHasChildren

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        """Caption, tooltip, record or whether it is left out."""
        if not index.isValid():
            return None
        record = self._records[index.row()]
        if role == Qt.ItemDataRole.DisplayRole:
            return self._names.get(record.class_name, record.class_name)
        if role == Qt.ItemDataRole.ToolTipRole:
            size = f"{record.width} × {record.height}, " if record.width else ""
            left_out = "\nLeft out of the data" if record.path in self._skipped else ""
            return f"{record.path}\n{size}{record.size_bytes / 1024:,.0f} kB{left_out}"
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return f"{record.class_name}, {record.path}"
        if role == RECORD_ROLE:
            return record
        if role == SKIPPED_ROLE:
            return record.path in self._skipped
        return None


class ThumbnailDelegate(QStyledItemDelegate):
    """Paints one rounded picture with its class beneath."""

    def __init__(self, loader: ThumbnailLoader, parent: QWidget | None = None) -> None:
        """Take pictures from `loader`."""
        super().__init__(parent)
        self._loader = loader
        self._cells: CellPainter | None = None

    def cell(self) -> QSize:
        """Size of one cell."""
        return cell_size(self._loader.side)

    def cells(self) -> CellPainter:
        """What paints them, in the colours of now."""
        look = theme.current()
        if self._cells is None or self._cells.look is not look:
            self._cells = CellPainter(self._loader.side)
        return self._cells

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        """The same for all."""
        return self.cell()

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        """Draw picture, frame and caption."""
        cells = self.cells()
        state = option.state
        painter.save()
        cells.begin(painter)
        cells.paint(
            painter,
            option.rect,
            self._loader.picture(index.data(RECORD_ROLE).path),
            str(index.data()),
            left_out=bool(index.data(SKIPPED_ROLE)),
            selected=bool(state & QStyle.StateFlag.State_Selected),
            hovered=bool(state & QStyle.StateFlag.State_MouseOver),
        )
        painter.restore()


class ThumbnailGrid(QListView):
    """Shows only what is visible: pictures are asked for when they are painted."""

    skip_requested = Signal(list, bool)
    """Relative paths, and whether to leave them out (True) or use them again."""

    def __init__(self, loader: ThumbnailLoader, parent: QWidget | None = None) -> None:
        """Make an empty grid."""
        super().__init__(parent)
        self._loader = loader
        self._model = ThumbnailModel(self)
        self._delegate = ThumbnailDelegate(loader, self)
        self.setObjectName("thumbnailGrid")
        self.setAccessibleName("Images")
        self.setModel(self._model)
        self.setItemDelegate(self._delegate)
        # Wrapped list mode places equal cells by arithmetic; icon mode would lay out every item.
        self.setViewMode(QListView.ViewMode.ListMode)
        self.setFlow(QListView.Flow.LeftToRight)
        self.setWrapping(True)
        self.setResizeMode(QListView.ResizeMode.Adjust)
        self.setUniformItemSizes(True)
        self.setGridSize(self._delegate.cell())
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setMouseTracking(True)
        self.viewport().setAttribute(Qt.WidgetAttribute.WA_Hover)
        self.verticalScrollBar().setSingleStep(self._delegate.cell().height() // 3)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.customContextMenuRequested.connect(self._open_menu)
        loader.loaded.connect(self._on_loaded)

    @property
    def thumbnails(self) -> ThumbnailModel:
        """The model."""
        return self._model

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint the visible cells.

        All in one turn: were Qt to call the delegate for each, each call would wait for the interpreter lock
        while images are being read.
        """
        shown = event.rect()
        model, loader, cells = self._model, self._loader, self._delegate.cells()
        chosen = self.selectionModel()
        chosen = chosen if chosen.hasSelection() else None
        current = self.currentIndex().row() if self.hasFocus() else -1
        hovered = self._hovered_row()
        painter = QPainter(self.viewport())
        cells.begin(painter)
        for row in range(self._first_row(shown.top()), model.rowCount()):
            index = model.index(row)
            cell = self.visualRect(index)
            if cell.top() > shown.bottom():
                break
            if not cell.intersects(shown):
                continue
            path, caption, left_out = model.shown(row)
            cells.paint(
                painter,
                cell,
                loader.picture(path),
                caption,
                left_out=left_out,
                selected=chosen is not None and chosen.isSelected(index),
                hovered=row == hovered,
                focused=row == current,
            )
        painter.end()

    def _first_row(self, top: int) -> int:
        """The first row that reaches below `top`, in pixels of the viewport."""
        model = self._model
        return bisect.bisect_left(
            range(model.rowCount()), top, key=lambda row: self.visualRect(model.index(row)).bottom()
        )

    def _hovered_row(self) -> int:
        if not self.viewport().underMouse():
            return -1
        return self.indexAt(self.viewport().mapFromGlobal(QCursor.pos())).row()

    def selected_paths(self) -> list[str]:
        """Relative paths of the selected images."""
        return [self._model.record(index).path for index in self.selectedIndexes()]

    def menu(self) -> QMenu:
        """Make the context menu for the selection."""
        paths = self.selected_paths()
        menu = QMenu(self)
        for text, left_out in (("Leave out of the data", True), ("Use again", False)):
            action = QAction(text, menu)
            action.setEnabled(bool(paths))
            action.setData(left_out)
            menu.addAction(action)
        menu.addSeparator()
        copy = QAction("Copy path", menu)
        copy.setEnabled(bool(paths))
        menu.addAction(copy)
        return menu

    def apply(self, action: QAction) -> None:
        """Do what a line of the context menu says."""
        paths = self.selected_paths()
        if action.data() is None:
            QGuiApplication.clipboard().setText("\n".join(paths))
        else:
            self.skip_requested.emit(paths, action.data())

    def _open_menu(self, position: QPoint) -> None:
        menu = self.menu()
        chosen = menu.exec(self.viewport().mapToGlobal(position))
        if chosen is not None:
            self.apply(chosen)
        menu.deleteLater()

    def _on_loaded(self) -> None:
        self.viewport().update()
