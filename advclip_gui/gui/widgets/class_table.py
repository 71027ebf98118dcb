"""The table of classes: folder, editable name, counts and a few pictures."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from PySide6.QtCore import (
    QAbstractTableModel,
    QModelIndex,
    QPersistentModelIndex,
    QRect,
    QSize,
    QSortFilterProxyModel,
    Qt,
    Signal,
)
from PySide6.QtGui import QPainter
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QStyle, QStyledItemDelegate, QTableView, QWidget

from advclip_gui.engine.datasets.records import PREVIEWS, SPLITS, ClassInfo
from advclip_gui.engine.prompts import clean_class_name
from advclip_gui.gui import theme
from advclip_gui.gui.widgets.thumbnail_grid import paint_thumbnail

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from PySide6.QtWidgets import QStyleOptionViewItem

    from advclip_gui.engine.datasets.records import DatasetScan, ImageRecord
    from advclip_gui.gui.thumbnails import ThumbnailLoader

Index = QModelIndex | QPersistentModelIndex

PREVIEW_SIDE = 24
SPLIT_TITLES = {"train": "Train", "val": "Val", "test": "Test", "all": "Images"}
SORT_ROLE = Qt.ItemDataRole.UserRole + 1
FOLDER_ROLE = Qt.ItemDataRole.UserRole + 2

_PICTURES, _FOLDER, _NAME = range(3)


class ClassModel(QAbstractTableModel):
    """One row per class."""

    renamed = Signal(str, str)
    """Folder and new name ("" asks for the name made from the folder)."""

    def __init__(self, parent: QWidget | None = None) -> None:
        """Start empty."""
        super().__init__(parent)
        self._classes: list[ClassInfo] = []
        self._rows: dict[str, int] = {}
        self._splits: tuple[str, ...] = ()
        self._names: Mapping[str, str] = {}
        self._pictures: dict[str, tuple[str, ...]] = {}

    @property
    def name_column(self) -> int:
        """Where the name can be edited."""
        return _NAME

    def set_scan(self, scan: DatasetScan | None) -> None:
        """Show the classes of a scan."""
        self.beginResetModel()
        self._classes = list(scan.classes) if scan is not None else []
        self._rows = {info.folder: row for row, info in enumerate(self._classes)}
        self._splits = tuple(scan.counts) if scan is not None else ()
        self._pictures = dict(scan.first_images) if scan is not None else {}
        self.endResetModel()

    def add_found(self, records: Sequence[ImageRecord]) -> None:
        """Count images of a scan under way, after `set_scan(None)`; new classes come at the end."""
        splits = {record.split for record in records} - set(self._splits)
        if splits:
            self.beginResetModel()
            self._splits = tuple(split for split in SPLITS if split in splits or split in self._splits)
        for record in records:
            few = self._pictures.get(record.class_name, ())
            if len(few) < PREVIEWS:
                self._pictures[record.class_name] = (*few, record.path)
        counts = Counter((record.class_name, record.split) for record in records)
        new = list(dict.fromkeys(folder for folder, _ in counts if folder not in self._rows))
        if new and not splits:
            self.beginInsertRows(QModelIndex(), len(self._classes), len(self._classes) + len(new) - 1)
        for folder in new:
            self._rows[folder] = len(self._classes)
            self._classes.append(ClassInfo(folder, clean_class_name(folder), {}))
        for (folder, split), count in counts.items():
            known = self._classes[self._rows[folder]].counts
            known[split] = known.get(split, 0) + count
        if splits:
            self.endResetModel()
            return
        if new:
            self.endInsertRows()
        # Names and folders are as they were: told of them, the table would sort itself again.
        last = self.index(len(self._classes) - 1, self.columnCount() - 1)
        self.dataChanged.emit(self.index(0, _NAME + 1), last)

    def set_names(self, names: Mapping[str, str]) -> None:
        """Set the names that differ from those made from the folders."""
        self._names = names
        if self._classes:
            last = self.index(len(self._classes) - 1, _NAME)
            self.dataChanged.emit(self.index(0, _NAME), last)

    def pictures(self, folder: str) -> Sequence[str]:
        """Paths of a few images of a class."""
        return self._pictures.get(folder, ())

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 (Qt's signature)
        """Number of classes."""
        return 0 if parent.isValid() else len(self._classes)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 (Qt's signature)
        """Pictures, folder, name and one column per split."""
        return 0 if parent.isValid() else 3 + len(self._splits)

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> object:
        """Column titles."""
        if orientation != Qt.Orientation.Horizontal:
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            titles = ("", "Folder", "Prompt name", *(SPLIT_TITLES[split] for split in self._splits))
            return titles[section] if section < len(titles) else None
        if role == Qt.ItemDataRole.TextAlignmentRole and section > _NAME:
            return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        if role == Qt.ItemDataRole.ToolTipRole and section == _NAME:
            return "What the class is called in the prompt; double-click or F2 to change it."
        return None

    def flags(self, index: Index) -> Qt.ItemFlag:
        """The name can be edited."""
        flags = super().flags(index)
        return flags | Qt.ItemFlag.ItemIsEditable if index.column() == _NAME else flags

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        """What a cell shows, sorts by and explains."""
        info = self._classes[index.row()]
        column = index.column()
        if role == SORT_ROLE:  # first: a sort asks many times
            return self._sort_key(info, column)
        name = self._names.get(info.folder, info.name)
        if role == FOLDER_ROLE:
            return info.folder
        if role == Qt.ItemDataRole.TextAlignmentRole and column > _NAME:
            return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        if role == Qt.ItemDataRole.ToolTipRole and column in {_FOLDER, _NAME}:
            return f"Folder: {info.folder}\nName in prompts: {name}\n{info.total:,} images"
        if role in {Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.EditRole}:
            if column == _FOLDER:
                return info.folder
            if column == _NAME:
                return name
            if column > _NAME:
                return f"{info.counts.get(self._splits[column - 3], 0):,}"
        return None

    def _sort_key(self, info: ClassInfo, column: int) -> str | int:
        if column > _NAME:
            return info.counts.get(self._splits[column - 3], 0)
        return self._names.get(info.folder, info.name) if column == _NAME else info.folder

    def setData(self, index: Index, value: object, role: int = Qt.ItemDataRole.EditRole) -> bool:
        """Take a new name."""
        if role != Qt.ItemDataRole.EditRole or index.column() != _NAME:
            return False
        name = " ".join(str(value).split())
        info = self._classes[index.row()]
        if name == self._names.get(info.folder, info.name):
            return False
        self.renamed.emit(info.folder, "" if name == info.name else name)
        return True


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
        for path in self._model.pictures(index.data(FOLDER_ROLE)):
            paint_thumbnail(painter, QRect(left, top, PREVIEW_SIDE, PREVIEW_SIDE), self._loader.pixmap(path))
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
        self._proxy = QSortFilterProxyModel(self)
        self._proxy.setSourceModel(self.classes)
        self._proxy.setSortRole(SORT_ROLE)
        self._proxy.setFilterKeyColumn(-1)
        self._proxy.setFilterCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        self._proxy.setSortCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        self.setModel(self._proxy)
        self.setItemDelegateForColumn(_PICTURES, _PicturesDelegate(loader, self.classes, self))
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
        self.sortByColumn(_FOLDER, Qt.SortOrder.AscendingOrder)
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
        """Show only classes that contain a text."""
        self._proxy.setFilterFixedString(text)

    def selected_folder(self) -> str:
        """Folder of the selected class, "" when none is."""
        rows = self.selectionModel().selectedRows(_FOLDER)
        return str(rows[0].data(FOLDER_ROLE)) if rows else ""

    def name_index(self, folder: str) -> QModelIndex:
        """The cell of a class's name, as shown; invalid where it is filtered out."""
        for row in range(self._proxy.rowCount()):
            index = self._proxy.index(row, _NAME)
            if index.data(FOLDER_ROLE) == folder:
                return index
        return QModelIndex()

    def _fit_columns(self) -> None:
        header = self.horizontalHeader()
        count = self.classes.columnCount()
        if count <= _NAME:
            return
        header.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        header.setSectionResizeMode(_FOLDER, QHeaderView.ResizeMode.Stretch)
        header.setSectionResizeMode(_NAME, QHeaderView.ResizeMode.Stretch)
        look = theme.current()
        header.resizeSection(_PICTURES, PREVIEWS * (PREVIEW_SIDE + look.xs) + look.s)
        for column in range(_NAME + 1, count):
            header.resizeSection(column, 50 if count > 4 else 76)

    def _on_selection(self) -> None:
        self.class_selected.emit(self.selected_folder())

    def _on_loaded(self) -> None:
        self.viewport().update()
