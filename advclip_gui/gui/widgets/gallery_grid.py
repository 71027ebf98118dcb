"""Thumbnails sorted by the smallest epsilon that fools them; images may come in one by one."""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PySide6.QtCore import (
    QAbstractListModel,
    QModelIndex,
    QPersistentModelIndex,
    Qt,
    Signal,
)
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QAbstractItemView, QListView, QWidget

from advclip_gui.gui import theme
from advclip_gui.gui.widgets.thumbnail_grid import RECORD_ROLE, SKIPPED_ROLE, ThumbnailDelegate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from advclip_gui.gui.thumbnails import ThumbnailLoader

Index = QModelIndex | QPersistentModelIndex


@dataclass(frozen=True)
class Entry:
    """One image.

    Attributes:
        path: below the data folder.
        epsilon: what it is sorted by, in pixel units; infinity where nothing fooled it.
        caption: shown beneath it.
        told: the whole story, for tooltip and screen readers.
    """

    path: str
    epsilon: float
    caption: str
    told: str

    @property
    def key(self) -> tuple[float, str]:
        """Sorts weak images first, equals by path."""
        return (self.epsilon, self.path)


class GalleryModel(QAbstractListModel):
    """Entries, always sorted."""

    def __init__(self, parent: QWidget | None = None) -> None:
        """Start empty."""
        super().__init__(parent)
        self._entries: list[Entry] = []

    @property
    def entries(self) -> tuple[Entry, ...]:
        """From the weakest image to the strongest."""
        return tuple(self._entries)

    def clear(self) -> None:
        """Show nothing."""
        self.set_entries(())

    def set_entries(self, entries: Sequence[Entry]) -> None:
        """Show these, sorted."""
        self.beginResetModel()
        self._entries = sorted(entries, key=lambda entry: entry.key)
        self.endResetModel()

    def add(self, entry: Entry) -> None:
        """Put one more where it belongs."""
        row = bisect.bisect(self._entries, entry.key, key=lambda other: other.key)
        self.beginInsertRows(QModelIndex(), row, row)
        self._entries.insert(row, entry)
        self.endInsertRows()

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 (Qt's signature)
        """Number of images."""
        return 0 if parent.isValid() else len(self._entries)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        """Caption, story or entry."""
        if not index.isValid():
            return None
        entry = self._entries[index.row()]
        if role == Qt.ItemDataRole.DisplayRole:
            return entry.caption
        if role in (Qt.ItemDataRole.ToolTipRole, Qt.ItemDataRole.AccessibleTextRole):
            return entry.told
        if role == RECORD_ROLE:
            return entry
        return False if role == SKIPPED_ROLE else None


class GalleryGrid(QListView):
    """Only what is visible is read from disk; a click or Enter opens an image."""

    opened = Signal(str)
    """The path of an image, below the data folder."""

    def __init__(self, loader: ThumbnailLoader, *, name: str, parent: QWidget | None = None) -> None:
        """Make an empty grid."""
        super().__init__(parent)
        self.placeholder = ""
        self.setObjectName(name)
        self.setAccessibleName("Images by smallest epsilon")
        self.entries = GalleryModel(self)
        delegate = ThumbnailDelegate(loader, self)
        self.setModel(self.entries)
        self.setItemDelegate(delegate)
        self.setViewMode(QListView.ViewMode.ListMode)
        self.setFlow(QListView.Flow.LeftToRight)
        self.setWrapping(True)
        self.setResizeMode(QListView.ResizeMode.Adjust)
        self.setUniformItemSizes(True)
        self.setGridSize(delegate.cell())
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setMouseTracking(True)
        loader.loaded.connect(self._on_loaded)
        self.clicked.connect(self._on_opened)
        self.activated.connect(self._on_opened)

    def paintEvent(self, event: QPaintEvent) -> None:
        """The images, or what they will be."""
        super().paintEvent(event)
        if self.placeholder and not self.entries.rowCount():
            look = theme.current()
            painter = QPainter(self.viewport())
            painter.setFont(look.font())
            painter.setPen(look.qcolor("text_muted"))
            painter.drawText(self.viewport().rect(), int(Qt.AlignmentFlag.AlignCenter), self.placeholder)
            painter.end()

    def _on_opened(self, index: QModelIndex) -> None:
        entry: Entry = index.data(RECORD_ROLE)
        self.opened.emit(entry.path)

    def _on_loaded(self) -> None:
        self.viewport().update()


def never(epsilon: float | None) -> float:
    """Where an image that nothing fooled is sorted."""
    return math.inf if epsilon is None else epsilon
