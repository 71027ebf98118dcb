"""The table of classes: folder, editable name, counts and a few pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QRect, QSize, Qt, Signal
from PySide6.QtGui import QPainter
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QStyle, QStyledItemDelegate, QTableView, QWidget

from advclip_gui.engine.datasets.records import PREVIEWS
from advclip_gui.gui import theme
from advclip_gui.gui.widgets.class_model import FOLDER, FOLDER_ROLE, NAME, PICTURES, ClassModel
from advclip_gui.gui.widgets.thumbnail_painting import paint_thumbnail

if TYPE_CHECKING:
    from PySide6.QtWidgets import QStyleOptionViewItem

    from advclip_gui.gui.thumbnails import ThumbnailLoader

Index = QModelIndex | QPersistentModelIndex

PREVIEW_SIDE = 24


class _PicturesDelegate(QStyledItemDelegate):
    """Paints the few pictures of a class."""

    def __init__(self, loader: ThumbnailLoader, model: ClassModel, parent: QWidget) -> None:
        super().__init__(parent)
        self._loader = loader
        self._model = model

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        look = theme.current()
        return QSize(PREVIEWS * (PREVIEW_SIDE + look.xs) + look.s, PREVIEW_SIDE + look.s)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        look = theme.current()
        if option.state & QStyle.StateFlag.State_Selected:
            painter.fillRect(option.rect, look.qcolor("accent_soft"))
        painter.save()
        painter.setRenderHints(QPainter.RenderHint.Antialiasing | QPainter.RenderHint.SmoothPixmapTransform)
        top = option.rect.center().y() - PREVIEW_SIDE // 2 + 1
        left = option.rect.left() + look.s
        for path in self._model.pictures(index.row()):
            paint_thumbnail(painter, QRect(left, top, PREVIEW_SIDE, PREVIEW_SIDE), self._loader.picture(path))
            left += PREVIEW_SIDE + look.xs
        painter.restore()


class ClassTable(QTableView):
    """Classes with pictures, editable names and counts; selecting one filters the images."""

    class_selected = Signal(str)
    """Folder of the selected class, "" when none is."""
    renamed = Signal(str, str)

    def __init__(self, loader: ThumbnailLoader, parent: QWidget | None = None) -> None:
        """Make an empty table."""
        super().__init__(parent)
        self.setObjectName("classTable")
        self.setAccessibleName("Classes")
        self.classes = ClassModel(self)
        self.setModel(self.classes)
        self.setItemDelegateForColumn(PICTURES, _PicturesDelegate(loader, self.classes, self))
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(
            QAbstractItemView.EditTrigger.DoubleClicked
            | QAbstractItemView.EditTrigger.EditKeyPressed
            | QAbstractItemView.EditTrigger.AnyKeyPressed
        )
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setSortingEnabled(True)
        self.sortByColumn(FOLDER, Qt.SortOrder.AscendingOrder)
        self.setTabKeyNavigation(False)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(PREVIEW_SIDE + theme.current().m)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.horizontalHeader().setHighlightSections(False)
        self.horizontalHeader().setDefaultAlignment(
            Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        )
        self.horizontalHeader().setMinimumSectionSize(44)
        self.classes.modelReset.connect(self._fit_columns)
        self.classes.renamed.connect(self.renamed)
        self.selectionModel().selectionChanged.connect(self._on_selection)
        loader.loaded.connect(self._on_loaded)

    def set_filter(self, text: str) -> None:
        """Show only classes that contain a text; the selected one stays selected if it does."""
        folder = self.selected_folder()
        self.classes.set_filter(text)
        row = self.classes.row_of(folder) if folder else -1
        if row >= 0:
            self.selectRow(row)
        elif folder:
            self.class_selected.emit("")

    def selected_folder(self) -> str:
        """Folder of the selected class, "" when none is."""
        rows = self.selectionModel().selectedRows(FOLDER)
        return str(rows[0].data(FOLDER_ROLE)) if rows else ""

    def name_index(self, folder: str) -> QModelIndex:
        """The cell of a class's name, as shown; invalid where it is filtered out."""
        return self.classes.index(self.classes.row_of(folder), NAME)

    def _fit_columns(self) -> None:
        header = self.horizontalHeader()
        count = self.classes.columnCount()
        if count <= NAME:
            return
        header.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        header.setSectionResizeMode(FOLDER, QHeaderView.ResizeMode.Stretch)
        header.setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
        look = theme.current()
        header.resizeSection(PICTURES, PREVIEWS * (PREVIEW_SIDE + look.xs) + look.s)
        for column in range(NAME + 1, count):
            header.resizeSection(column, 50 if count > 4 else 76)

    def _on_selection(self) -> None:
        self.class_selected.emit(self.selected_folder())

    def _on_loaded(self, paths: list[str]) -> None:
        # While the images beside it are scrolled, pictures come in that are none of the table's.
        if not self.classes.shows(paths):
            return
        # Only their column: Qt would ask Python for the text of every cell in between.
        left, width = self.columnViewportPosition(PICTURES), self.columnWidth(PICTURES)
        self.viewport().update(left, 0, width, self.viewport().height())
