"""The classes of a dataset as rows: sorted and filtered here, at once, where a proxy asks for every cell."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt, Signal

from advclip_gui.engine.datasets.records import PREVIEWS, SPLITS, ClassInfo
from advclip_gui.engine.prompts import clean_class_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from PySide6.QtWidgets import QWidget

    from advclip_gui.engine.datasets.records import DatasetScan, ImageRecord

Index = QModelIndex | QPersistentModelIndex

SPLIT_TITLES = {"train": "Train", "val": "Val", "test": "Test", "all": "Images"}
FOLDER_ROLE = Qt.ItemDataRole.UserRole + 1

PICTURES, FOLDER, NAME = range(3)
"""Columns; those of the splits follow."""

_RIGHT = int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)


class ClassModel(QAbstractTableModel):
    """One row per class that the filter lets through."""

    renamed = Signal(str, str)
    """Folder and new name ("" asks for the name made from the folder)."""

    def __init__(self, parent: QWidget | None = None) -> None:
        """Start empty, sorted by folder."""
        super().__init__(parent)
        self._classes: dict[str, ClassInfo] = {}
        self._shown: list[ClassInfo] = []
        self._splits: tuple[str, ...] = ()
        self._names: Mapping[str, str] = {}
        self._pictures: dict[str, tuple[str, ...]] = {}
        self._pictured: set[str] = set()
        self._filter = ""
        self._column, self._order = FOLDER, Qt.SortOrder.AscendingOrder

    def set_scan(self, scan: DatasetScan | None) -> None:
        """Show the classes of a scan."""
        self.beginResetModel()
        self._classes = {info.folder: info for info in scan.classes} if scan is not None else {}
        self._splits = tuple(scan.counts) if scan is not None else ()
        self._pictures = dict(scan.first_images) if scan is not None else {}
        self._pictured = {path for few in self._pictures.values() for path in few}
        self._shown = self._sorted(self._passing(self._classes.values()))
        self.endResetModel()

    def add_found(self, records: Sequence[ImageRecord]) -> None:
        """Count images of a scan under way, after `set_scan(None)`; new classes come at the end."""
        for record in records:
            few = self._pictures.get(record.class_name, ())
            if len(few) < PREVIEWS:
                self._pictures[record.class_name] = (*few, record.path)
                self._pictured.add(record.path)
        counts = Counter((record.class_name, record.split) for record in records)
        new = list(dict.fromkeys(folder for folder, _ in counts if folder not in self._classes))
        added = [ClassInfo(folder, clean_class_name(folder), {}) for folder in new]
        self._classes.update((info.folder, info) for info in added)
        for (folder, split), count in counts.items():
            known = self._classes[folder].counts
            known[split] = known.get(split, 0) + count
        splits = {record.split for record in records} - set(self._splits)
        if splits:
            self.beginResetModel()
            self._splits = tuple(split for split in SPLITS if split in splits or split in self._splits)
            self._shown += self._passing(added)
            self.endResetModel()
            return
        added = self._passing(added)
        if added:
            self.beginInsertRows(QModelIndex(), len(self._shown), len(self._shown) + len(added) - 1)
            self._shown += added
            self.endInsertRows()
        if self._shown:
            last = self.index(len(self._shown) - 1, self.columnCount() - 1)
            self.dataChanged.emit(self.index(0, NAME + 1), last)

    def set_names(self, names: Mapping[str, str]) -> None:
        """Set the names that differ from those made from the folders."""
        self._names = names
        if self._shown:
            self.dataChanged.emit(self.index(0, NAME), self.index(len(self._shown) - 1, NAME))

    def set_filter(self, text: str) -> None:
        """Show only the classes whose folder or name contains a text, in whatever case."""
        if text.casefold() != self._filter:
            self.beginResetModel()
            self._filter = text.casefold()
            self._shown = self._sorted(self._passing(self._classes.values()))
            self.endResetModel()

    def pictures(self, row: int) -> Sequence[str]:
        """Paths of a few images of a class."""
        return self._pictures.get(self._shown[row].folder, ())

    def shows(self, paths: Iterable[str]) -> bool:
        """Whether one of these images stands for a class."""
        return not self._pictured.isdisjoint(paths)

    def row_of(self, folder: str) -> int:
        """The row of a class, -1 where it is not shown."""
        return next((row for row, info in enumerate(self._shown) if info.folder == folder), -1)

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort the rows; what is selected stays so."""
        self._column, self._order = column, order
        self.layoutAboutToBeChanged.emit()
        held = self.persistentIndexList()
        folders = [self._shown[index.row()].folder for index in held]
        self._shown = self._sorted(self._shown)
        rows = {info.folder: row for row, info in enumerate(self._shown)}
        moved = [
            self.index(rows[folder], index.column()) for index, folder in zip(held, folders, strict=True)
        ]
        self.changePersistentIndexList(held, moved)
        self.layoutChanged.emit()

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 (Qt's signature)
        """Number of classes that are shown."""
        return 0 if parent.isValid() else len(self._shown)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 (Qt's signature)
        """Pictures, folder, name and one column per split."""
        return 0 if parent.isValid() else NAME + 1 + len(self._splits)

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> object:
        """Column titles."""
        if orientation != Qt.Orientation.Horizontal:
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            titles = ("", "Folder", "Prompt name", *(SPLIT_TITLES[split] for split in self._splits))
            return titles[section] if section < len(titles) else None
        if role == Qt.ItemDataRole.TextAlignmentRole and section > NAME:
            return _RIGHT
        if role == Qt.ItemDataRole.ToolTipRole and section == NAME:
            return "What the class is called in the prompt; double-click or F2 to change it."
        return None

    def flags(self, index: Index) -> Qt.ItemFlag:
        """The name can be edited."""
        flags = super().flags(index)
        return flags | Qt.ItemFlag.ItemIsEditable if index.column() == NAME else flags

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        """What a cell shows and explains."""
        info = self._shown[index.row()]
        column = index.column()
        if role == FOLDER_ROLE:
            return info.folder
        if role == Qt.ItemDataRole.TextAlignmentRole and column > NAME:
            return _RIGHT
        if role == Qt.ItemDataRole.ToolTipRole and column in {FOLDER, NAME}:
            return f"Folder: {info.folder}\nName in prompts: {self._name(info)}\n{info.total:,} images"
        if role in {Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.EditRole}:
            if column == FOLDER:
                return info.folder
            if column == NAME:
                return self._name(info)
            if column > NAME:
                return f"{info.counts.get(self._splits[column - NAME - 1], 0):,}"
        return None

    def setData(self, index: Index, value: object, role: int = Qt.ItemDataRole.EditRole) -> bool:
        """Take a new name."""
        if role != Qt.ItemDataRole.EditRole or index.column() != NAME:
            return False
        name = " ".join(str(value).split())
        info = self._shown[index.row()]
        if name == self._name(info):
            return False
        self.renamed.emit(info.folder, "" if name == info.name else name)
        return True

    def _name(self, info: ClassInfo) -> str:
        return self._names.get(info.folder, info.name)

    def _passing(self, classes: Iterable[ClassInfo]) -> list[ClassInfo]:
        wanted = self._filter
        return [
            info
            for info in classes
            if not wanted or wanted in info.folder.casefold() or wanted in self._name(info).casefold()
        ]

    def _sorted(self, classes: list[ClassInfo]) -> list[ClassInfo]:
        split = self._splits[self._column - NAME - 1] if NAME < self._column < self.columnCount() else ""

        def key(info: ClassInfo) -> tuple[int, str]:
            if split:
                return info.counts.get(split, 0), ""
            return 0, (self._name(info) if self._column == NAME else info.folder).casefold()

        return sorted(classes, key=key, reverse=self._order == Qt.SortOrder.DescendingOrder)
