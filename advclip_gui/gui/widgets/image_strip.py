"""A film strip of the data's images to pick one from, with disk and clipboard beside it."""

from __future__ import annotations

from itertools import chain, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QBuffer, QMimeData, QModelIndex, QSize, Qt, Signal
from PySide6.QtGui import QGuiApplication, QImage, QImageReader, QWheelEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QListView,
    QVBoxLayout,
    QWidget,
)

from advclip_gui.engine.images import IMAGE_SUFFIXES
from advclip_gui.gui import theme
from advclip_gui.gui.thumbnails import ThumbnailLoader
from advclip_gui.gui.widgets.basics import Button
from advclip_gui.gui.widgets.thumbnail_grid import ThumbnailDelegate, ThumbnailModel

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from advclip_gui.engine.datasets.records import DatasetScan, ImageRecord
    from advclip_gui.gui.io_thread import IoPool

THUMBNAIL = 60
PROBE_SUFFIX = ".json"
_ENCODED = ("image/png", "image/webp", "image/tiff", "image/jpeg")
"""Kinds of files a program may offer instead of a picture; those without loss first."""
_SPLIT_NAMES = {
    "test": "Test images",
    "val": "Validation images",
    "train": "Training images",
    "all": "All images",
}


def mixed(records: Sequence[ImageRecord]) -> list[ImageRecord]:
    """Take one image of each class in turn, so that the first screen shows all classes."""
    classes: dict[str, list[ImageRecord]] = {}
    for record in records:
        classes.setdefault(record.class_name, []).append(record)
    rounds = zip_longest(*classes.values())
    return [record for record in chain.from_iterable(rounds) if record is not None]


def image_in(mime: QMimeData) -> QImage | Path | None:
    """An image file or picture in dropped or copied data, None where there is none."""
    for url in mime.urls():
        path = Path(url.toLocalFile())
        if url.isLocalFile() and not path.is_dir():
            return path
    encoded = next((kind for kind in _ENCODED if mime.hasFormat(kind)), None)
    if encoded is not None:
        buffer = QBuffer()
        buffer.setData(mime.data(encoded))
        reader = QImageReader(buffer)
        reader.setAutoTransform(True)  # Qt's own decoding leaves a picture as the camera lay
        image = reader.read()
        if not image.isNull():
            return image
    image = mime.imageData() if mime.hasImage() else None
    return image if isinstance(image, QImage) and not image.isNull() else None


class _Strip(QListView):
    """One row; the wheel moves it sideways."""

    def wheelEvent(self, event: QWheelEvent) -> None:
        turn = event.angleDelta()
        bar = self.horizontalScrollBar()
        bar.setValue(bar.value() - (turn.y() or turn.x()))
        event.accept()


class ImageStrip(QWidget):
    """Class filter, thumbnails, *From disk* and *Paste*."""

    picked = Signal(object)
    """An `ImageRecord` of the data."""
    file_chosen = Signal(object)
    """A `Path`."""
    image_pasted = Signal(object)
    """A `QImage`."""
    nothing_to_paste = Signal()
    refilled = Signal()
    """Other images are shown."""

    def __init__(self, io: IoPool, parent: QWidget | None = None) -> None:
        """Start without data."""
        super().__init__(parent)
        look = theme.current()
        self._scan: DatasetScan | None = None
        self._loader = ThumbnailLoader(io, side=THUMBNAIL, ratio=self.devicePixelRatioF(), parent=self)
        self._model = ThumbnailModel(self)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(look.m)
        row.addLayout(self._make_filters())
        self.view = self._make_view()
        row.addWidget(self.view, 1)
        row.addLayout(self._make_buttons())
        self._loader.loaded.connect(self._on_loaded)

    def _make_filters(self) -> QVBoxLayout:
        column = QVBoxLayout()
        column.setSpacing(theme.current().s)
        self.class_filter = QComboBox()
        self.class_filter.setObjectName("probeClassFilter")
        self.class_filter.setAccessibleName("Class of the images shown")
        self.class_filter.setToolTip("Which class the strip shows.")
        self.split_filter = QComboBox()
        self.split_filter.setObjectName("probeSplitFilter")
        self.split_filter.setAccessibleName("Part of the data shown")
        self.split_filter.setToolTip("Which part of the data the strip shows.")
        for box in (self.class_filter, self.split_filter):
            box.setFixedWidth(148)
            box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
            box.currentIndexChanged.connect(self._refill)
            column.addWidget(box)
        column.addStretch(1)
        return column

    def _make_view(self) -> _Strip:
        view = _Strip(self)
        view.setObjectName("probeImages")
        view.setAccessibleName("Images of the data")
        view.setToolTip("Click an image to attack it; arrow keys go on to the next.")
        view.setModel(self._model)
        delegate = ThumbnailDelegate(self._loader, view)
        view.setItemDelegate(delegate)
        view.setFlow(QListView.Flow.LeftToRight)
        view.setWrapping(False)
        view.setUniformItemSizes(True)
        view.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        view.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        view.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        view.setFixedHeight(delegate.cell().height() + view.horizontalScrollBar().sizeHint().height() + 2)
        view.setMouseTracking(True)
        view.selectionModel().currentChanged.connect(self._on_current)
        view.clicked.connect(self._on_clicked)
        return view

    def _make_buttons(self) -> QVBoxLayout:
        column = QVBoxLayout()
        column.setSpacing(theme.current().s)
        self.disk_button = Button(
            "From disk…",
            "folder-open-outline",
            name="probeFromDisk",
            tip="Open any image file, or the JSON file of a saved probe to repeat it. "
            "Or drop one anywhere on this page.",
        )
        self.paste_button = Button(
            "Paste", "clipboard-outline", name="probePaste", tip="Take the image on the clipboard (Ctrl+V)."
        )
        self.disk_button.clicked.connect(self.choose_file)
        self.paste_button.clicked.connect(self.paste)
        column.addWidget(self.disk_button)
        column.addWidget(self.paste_button)
        column.addStretch(1)
        return column

    # Data ------------------------------------------------------------------------------------------

    def set_scan(self, scan: DatasetScan | None, names: Mapping[str, str]) -> None:
        """Show another data folder.

        Args:
            scan: what was found, None for no data.
            names: what each class folder is called.
        """
        self._scan = scan
        self._model.set_names(names)
        for box in (self.class_filter, self.split_filter):
            box.blockSignals(True)
            box.clear()
        self.class_filter.addItem("All classes", "")
        if scan is not None:
            self._loader.set_root(scan.root)
            for info in scan.classes:
                self.class_filter.addItem(names.get(info.folder, info.name), info.folder)
            for split, text in _SPLIT_NAMES.items():
                if split in scan.counts:
                    self.split_filter.addItem(text, split)
        self.split_filter.setVisible(self.split_filter.count() > 1)
        for box in (self.class_filter, self.split_filter):
            box.blockSignals(False)
        self._refill()

    def shown(self) -> int:
        """Number of images in the strip."""
        return self._model.rowCount()

    @property
    def scan(self) -> DatasetScan | None:
        """The data the images are of."""
        return self._scan

    def records(self) -> tuple[ImageRecord, ...]:
        """The images in the strip."""
        return self._model.records

    def stop(self) -> None:
        """Drop requests for thumbnails."""
        self._loader.stop()

    def _refill(self) -> None:
        folder, split = self.class_filter.currentData(), self.split_filter.currentData()
        records = self._scan.records if self._scan is not None else ()
        chosen = [r for r in records if split in (None, r.split) and folder in ("", None, r.class_name)]
        self._model.set_records(chosen if folder else mixed(chosen))
        self.refilled.emit()

    # Picking ---------------------------------------------------------------------------------------

    def choose_file(self) -> None:
        """Ask for an image file."""
        patterns = " ".join(f"*{suffix}" for suffix in sorted(IMAGE_SUFFIXES))
        kinds = f"Images and saved probes ({patterns} *{PROBE_SUFFIX});;All files (*)"
        name, _ = QFileDialog.getOpenFileName(self, "Open an image or a saved probe", "", kinds)
        if name:
            self.take_file(Path(name))

    def choose_probe(self) -> None:
        """Ask for a saved probe."""
        kinds = f"Saved probes (*{PROBE_SUFFIX})"
        name, _ = QFileDialog.getOpenFileName(self, "Open a saved probe", "", kinds)
        if name:
            self.take_file(Path(name))

    def paste(self) -> None:
        """Take what is on the clipboard."""
        self.take_mime(QGuiApplication.clipboard().mimeData())

    def take_mime(self, mime: QMimeData) -> None:
        """Take an image out of copied or dropped data."""
        found = image_in(mime)
        if found is None:
            self.nothing_to_paste.emit()
        elif isinstance(found, Path):
            self.take_file(found)
        else:
            self.view.clearSelection()
            self.image_pasted.emit(found)

    def take_file(self, path: Path) -> None:
        """Pick a file that need not be part of the data."""
        self.view.clearSelection()
        self.file_chosen.emit(path)

    def pick_first(self) -> None:
        """Pick the first image shown, if there is one."""
        if self._model.rowCount():
            self.view.setCurrentIndex(self._model.index(0))

    def _on_current(self, current: QModelIndex, _previous: QModelIndex) -> None:
        if current.isValid():
            self.picked.emit(self._model.record(current))

    def _on_clicked(self, index: QModelIndex) -> None:
        # Picks it again after an image from elsewhere: the current index does not change then.
        if not self.view.selectionModel().isSelected(index):
            self.view.selectionModel().select(index, self.view.selectionModel().SelectionFlag.ClearAndSelect)
        self.picked.emit(self._model.record(index))

    def _on_loaded(self) -> None:
        self.view.viewport().update()

    def sizeHint(self) -> QSize:
        """As high as the strip."""
        return QSize(600, self.view.height())
