"""The images of a folder, side by side with its classes: browse, rename, leave out, read the report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QLineEdit, QSplitter, QTabWidget, QVBoxLayout, QWidget

from advclip_gui.gui import theme
from advclip_gui.gui.thumbnails import ThumbnailLoader
from advclip_gui.gui.widgets.basics import Button, Card
from advclip_gui.gui.widgets.class_table import ClassTable
from advclip_gui.gui.widgets.elided_label import ElidedLabel
from advclip_gui.gui.widgets.field_editors import ChoiceBox
from advclip_gui.gui.widgets.problem_panel import ProblemPanel
from advclip_gui.gui.widgets.thumbnail_grid import ThumbnailGrid
from advclip_gui.gui.widgets.untitled_card import UntitledCard

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from PySide6.QtGui import QShowEvent

    from advclip_gui.engine.datasets.records import DatasetScan, ImageRecord
    from advclip_gui.engine.datasets.sampling import Split
    from advclip_gui.gui.io_thread import IoPool
    from advclip_gui.settings import DataSettings

_PARTS = (
    ("All images", "all"),
    ("Training sample", "train"),
    ("Validation sample", "val"),
    ("Test images", "test"),
)
_WHILE_SCANNING = 2000
"""Images that the grid shows before a scan has ended."""
_CLASS_SHARE = 0.56
"""Of the width, for the table of classes, until the user moves the handle."""


class ImageBrowser(QSplitter):
    """A table of classes at the left; images and problems in tabs at the right."""

    class_selected = Signal(str)
    """Folder of the selected class, "" when none is."""
    renamed = Signal(str, str)
    """Folder and new name ("" asks for the name made from the folder)."""
    skip_requested = Signal(list, bool)
    """Relative paths, and whether to leave them out (True) or use them again."""
    notify = Signal(str, str)
    """Level and sentence."""

    def __init__(self, io: IoPool, parent: QWidget | None = None) -> None:
        """Show nothing yet."""
        super().__init__(Qt.Orientation.Horizontal, parent)
        self.setObjectName("dataSplitter")
        self.setChildrenCollapsible(False)
        self.setHandleWidth(theme.current().m)
        self._scan: DatasetScan | None = None
        self._split: Split | None = None
        self._found: list[ImageRecord] = []
        self._told = 0
        self._shared_out = False
        self.loader = ThumbnailLoader(io, ratio=self.devicePixelRatioF(), parent=self)
        self.addWidget(self._make_classes())
        self.addWidget(self._make_images())
        self.setStretchFactor(0, 1)
        self.setStretchFactor(1, 1)
        self.classes.class_selected.connect(self._on_class_selected)
        self.classes.renamed.connect(self.renamed)
        self.search.textChanged.connect(self.classes.set_filter)
        self.part.edited.connect(self._show_images)
        self.all_classes.clicked.connect(self.classes.clearSelection)
        self.grid.skip_requested.connect(self.skip_requested)
        self.problems.skip_requested.connect(self.skip_requested)
        self.problems.notify.connect(self.notify)

    def _make_classes(self) -> Card:
        self.classes = ClassTable(self.loader)
        self.classes.setProperty("frameless", True)
        self.search = QLineEdit()
        self.search.setObjectName("classSearch")
        self.search.setPlaceholderText("Find a class")
        self.search.setAccessibleName("Find a class")
        self.search.setToolTip("Show only the classes whose folder or name contains this.")
        self.search.setClearButtonEnabled(True)
        self.search.setMaximumWidth(11 * theme.current().l)
        card = Card("Classes")
        card.header.addWidget(self.search)
        card.body.addWidget(self.classes)
        return card

    def _make_images(self) -> Card:
        look = theme.current()
        self.grid = ThumbnailGrid(self.loader)
        self.grid.setProperty("frameless", True)
        self.part = ChoiceBox(_PARTS)
        self.part.setObjectName("imagePart")
        self.part.setAccessibleName("Which images are shown")
        self.part.setToolTip("Show all images, or those that were drawn for training, validation or testing.")
        # Whatever its text, the panel keeps its width beside the classes.
        self.shown = ElidedLabel("", "caption")
        self.shown.setObjectName("shownImages")
        self.all_classes = Button(
            "All classes", "close", "link", name="allClasses", tip="Show all classes again."
        )
        bar = QHBoxLayout()
        bar.setSpacing(look.s)
        bar.addWidget(self.part)
        bar.addWidget(self.shown, 1)
        bar.addWidget(self.all_classes)
        images = QWidget()
        inner = QVBoxLayout(images)
        inner.setContentsMargins(0, look.s, 0, 0)
        inner.setSpacing(look.s)
        inner.addLayout(bar)
        inner.addWidget(self.grid, 1)
        self.problems = ProblemPanel()
        self.tabs = QTabWidget()
        self.tabs.setObjectName("dataTabs")
        self.tabs.setDocumentMode(True)
        self.tabs.tabBar().setDrawBase(False)
        self.tabs.addTab(images, "Images")
        self.tabs.addTab(self.problems, "Problems")
        card = UntitledCard()
        card.body.addWidget(self.tabs)
        card.layout().setContentsMargins(look.l, look.xs, look.l, look.m)
        return card

    def begin(self, root: Path) -> None:
        """Show nothing of a folder yet; `add_found` adds what a scan under way comes upon."""
        self.set_scan(None)
        self.loader.set_root(root)
        self.part.set_value("all")

    def add_found(self, records: Sequence[ImageRecord]) -> None:
        """Show more images of a scan under way."""
        self._found += records
        self.classes.classes.add_found(records)
        folder = self.classes.selected_folder()
        mine = [record for record in records if not folder or record.class_name == folder]
        model = self.grid.thumbnails
        if self.part.value() == "all":
            # Each of many insertions would lay the whole grid out again.
            model.append(mine[: max(0, _WHILE_SCANNING - model.rowCount())])
            self._told += len(mine)
            self._tell_shown(self._told, folder)

    def set_scan(self, scan: DatasetScan | None) -> None:
        """Show another folder."""
        self._scan, self._split, self._found = scan, None, []
        if scan is not None:
            self.loader.set_root(scan.root)
        self.search.clear()
        self.classes.classes.set_scan(scan)
        self.problems.set_scan(scan)
        count = len(scan.problems) if scan is not None else 0
        self.tabs.setTabText(1, f"Problems ({count:,})" if count else "Problems")
        self._show_images()

    def set_data(self, data: DataSettings) -> None:
        """Show names and what is left out."""
        classes = self._scan.classes if self._scan is not None else ()
        self.classes.classes.set_names(data.class_names)
        self.grid.thumbnails.set_names(
            {info.folder: data.class_names.get(info.folder, info.name) for info in classes}
        )
        self.grid.thumbnails.set_skipped(data.skip)
        self.problems.set_skipped(data.skip)
        self.grid.viewport().update()

    def set_split(self, split: Split | None) -> None:
        """Know which images were drawn for what."""
        self._split = split
        if self.part.value() != "all":
            self._show_images()

    def selected_class(self) -> int | None:
        """Label of the selected class, None when none is."""
        folder = self.classes.selected_folder()
        folders = self._scan.class_folders if self._scan is not None else ()
        return folders.index(folder) if folder in folders else None

    def showEvent(self, event: QShowEvent) -> None:
        """Share out the width once it is known; later the user's own split is kept."""
        super().showEvent(event)
        if not self._shared_out:
            self._shared_out = True
            share = round(_CLASS_SHARE * self.width())
            self.setSizes([share, self.width() - share])

    def _on_class_selected(self, folder: str) -> None:
        self._show_images()
        self.class_selected.emit(folder)

    def _show_images(self) -> None:
        folder = self.classes.selected_folder()
        part, split = self.part.value(), self._split
        records: tuple[ImageRecord, ...] = (
            self._scan.records if self._scan is not None else tuple(self._found)
        )
        if part != "all":
            drawn = {sample.path for sample in getattr(split, str(part))} if split is not None else set()
            records = tuple(record for record in records if record.path in drawn)
        if folder:
            records = tuple(record for record in records if record.class_name == folder)
        self._told = len(records)
        if self._scan is None:
            records = records[:_WHILE_SCANNING]
        self.grid.thumbnails.set_records(records)
        self._tell_shown(self._told, folder)

    def _tell_shown(self, count: int, folder: str) -> None:
        where = f" in {folder}" if folder else ""
        self.shown.setText(f"{count:,} image{'' if count == 1 else 's'}{where}")
        self.all_classes.setVisible(bool(folder))
