"""A grid of thumbnails that stays smooth however many images there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import (
    QModelIndex,
    QPersistentModelIndex,
    QPoint,
    QRect,
    QRectF,
    QSize,
    QStringListModel,
    Qt,
    Signal,
)
from PySide6.QtGui import QAction, QGuiApplication, QPainter, QPainterPath, QPen, QPixmap
from PySide6.QtWidgets import QAbstractItemView, QListView, QMenu, QStyle, QStyledItemDelegate, QWidget

from advclip_gui.gui import theme

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

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
        self._records = list(records)
        self.setStringList([""] * len(self._records))

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

    def cell(self) -> QSize:
        """Size of one cell."""
        look = theme.current()
        return QSize(self._loader.side + look.m, self._loader.side + look.m + look.xl)

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        """The same for all."""
        return self.cell()

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        """Draw picture, frame and caption."""
        look = theme.current()
        record: ImageRecord = index.data(RECORD_ROLE)
        side = self._loader.side
        area = QRect(option.rect.topLeft() + QPoint(look.xs + 2, look.xs), QSize(side, side))
        painter.save()
        painter.setRenderHints(QPainter.RenderHint.Antialiasing | QPainter.RenderHint.SmoothPixmapTransform)
        if index.data(SKIPPED_ROLE):
            painter.setOpacity(0.3)
        paint_thumbnail(painter, area, self._loader.pixmap(record.path))
        painter.setOpacity(1.0)
        selected = bool(option.state & QStyle.StateFlag.State_Selected)
        hovered = bool(option.state & QStyle.StateFlag.State_MouseOver)
        if selected or hovered:
            painter.setPen(QPen(look.qcolor("accent" if selected else "border_strong"), 2 if selected else 1))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(QRectF(area).adjusted(-1, -1, 1, 1), look.radius_small, look.radius_small)
        if index.data(SKIPPED_ROLE):
            theme.icon("eye-off-outline", "text").paint(painter, area.adjusted(30, 30, -30, -30))
        painter.setFont(look.font(look.caption))
        painter.setPen(look.qcolor("text" if selected else "text_muted"))
        line = QRect(area.left(), area.bottom() + 2, side, look.xl - look.xs)
        text = painter.fontMetrics().elidedText(str(index.data()), Qt.TextElideMode.ElideRight, side)
        painter.drawText(line, Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignVCenter, text)
        painter.restore()


def paint_thumbnail(painter: QPainter, area: QRect, pixmap: QPixmap | None) -> None:
    """Draw a thumbnail with round corners; a quiet square while it is read, a mark if it cannot be."""
    look = theme.current()
    radius = look.radius_small * min(1.0, area.width() / 64)
    painter.setPen(Qt.PenStyle.NoPen)
    if pixmap is None or pixmap.isNull():
        painter.setBrush(look.qcolor("sunken"))
        painter.drawRoundedRect(area, radius, radius)
        if pixmap is not None:
            inset = area.width() // 3
            theme.icon("image-broken-variant", "text_disabled").paint(
                painter, area.adjusted(inset, inset, -inset, -inset)
            )
        return
    outline = QPainterPath()
    outline.addRoundedRect(QRectF(area), radius, radius)
    painter.save()
    painter.setClipPath(outline)
    painter.drawPixmap(area, pixmap)
    painter.restore()


class ThumbnailGrid(QListView):
    """Shows only what is visible: pictures are asked for when they are painted."""

    skip_requested = Signal(list, bool)
    """Relative paths, and whether to leave them out (True) or use them again."""

    def __init__(self, loader: ThumbnailLoader, parent: QWidget | None = None) -> None:
        """Make an empty grid."""
        super().__init__(parent)
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
        self.verticalScrollBar().setSingleStep(self._delegate.cell().height() // 3)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.customContextMenuRequested.connect(self._open_menu)
        loader.loaded.connect(self._on_loaded)

    @property
    def thumbnails(self) -> ThumbnailModel:
        """The model."""
        return self._model

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
