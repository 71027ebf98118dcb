"""The head of the Data page: which folder is open, what it holds, and the scan under way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QSignalBlocker, Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

from advclip_gui.engine.datasets.known import known_dataset
from advclip_gui.engine.datasets.layout import LAYOUT_TITLES
from advclip_gui.gui import theme
from advclip_gui.gui.widgets.basics import Badge, Button, IconButton, TextLabel
from advclip_gui.gui.widgets.elided_label import ElidedLabel
from advclip_gui.gui.widgets.field_editors import ChoiceBox
from advclip_gui.gui.widgets.progress_row import ProgressRow
from advclip_gui.gui.widgets.untitled_card import UntitledCard

if TYPE_CHECKING:
    from advclip_gui.engine.datasets.records import DatasetScan
    from advclip_gui.engine.events import Progress

SPLIT_WORDS = {"train": "train", "val": "val", "test": "test", "all": "without splits"}
_LAYOUT_WIDTH = 188


class FolderCard(UntitledCard):
    """Folder and buttons, counts and layout; the progress of a scan beneath."""

    open_clicked = Signal()
    file_clicked = Signal()
    layout_chosen = Signal(str)
    """The layout to read the data in, "auto" to recognise it."""
    demo_clicked = Signal()
    rescan_clicked = Signal()
    cancel_clicked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        """Show nothing open."""
        super().__init__(parent)
        look = theme.current()
        self.layout().setContentsMargins(look.l, look.m, look.m, look.m)
        self._glyph = QLabel()
        self.title = TextLabel("", "title")
        self.title.setObjectName("folderTitle")
        self.path = ElidedLabel("", "caption", mode=Qt.TextElideMode.ElideMiddle)
        self.path.setObjectName("folderPath")
        names = QVBoxLayout()
        names.setSpacing(2)
        names.addWidget(self.title)
        names.addWidget(self.path)
        self._badges = QHBoxLayout()
        self._badges.setSpacing(look.xs + 2)
        self.open_button = Button(
            "Open folder…",
            "folder-open-outline",
            name="openFolder",
            tip="Choose a folder with one sub-folder per class.",
        )
        self.demo_button = Button(
            "Demo", "flask-outline", name="openDemo", tip="Open the bundled photos of ten everyday classes."
        )
        self.file_button = IconButton(
            "folder-zip-outline",
            "Open a zip of images, or a list of them (.csv, .tsv, .jsonl)",
            name="openFile",
        )
        self.layout_box = ChoiceBox(
            [("Auto", "auto"), *((title, name) for name, title in LAYOUT_TITLES.items())]
        )
        self.layout_box.setObjectName("dataLayout")
        self.layout_box.setAccessibleName("Layout of the data")
        self.layout_box.setToolTip("How the images lie on disk: recognised by itself, or as you say.")
        self.layout_box.setFixedWidth(_LAYOUT_WIDTH)
        self.rescan_button = IconButton("refresh", "Look at the folder again", name="rescan")
        row = QHBoxLayout()
        row.setSpacing(look.m)
        row.addWidget(self._glyph)
        row.addLayout(names, 1)
        for button in (self.rescan_button, self.demo_button, self.file_button, self.open_button):
            row.addWidget(button)
        self.body.addLayout(row)
        # A line of its own: in a narrow window one line would not hold it all.
        facts = QHBoxLayout()
        facts.setSpacing(look.m)
        facts.addLayout(self._badges)
        facts.addStretch(1)
        facts.addWidget(self.layout_box)
        self.body.addLayout(facts)

        self.progress = ProgressRow("scan")
        self.body.addWidget(self.progress)
        self.open_button.clicked.connect(self.open_clicked)
        self.file_button.clicked.connect(self.file_clicked)
        self.layout_box.edited.connect(self._on_layout)
        self.demo_button.clicked.connect(self.demo_clicked)
        self.rescan_button.clicked.connect(self.rescan_clicked)
        self.progress.cancelled.connect(self.cancel_clicked)
        theme.signals().changed.connect(self._paint)
        self._paint()

    def show_scan(self, scan: DatasetScan, *, demo: bool, layout: str = "auto") -> None:
        """Show what a folder holds, and in which layout it is read."""
        self.show_layout(layout, LAYOUT_TITLES[scan.layout])
        known = known_dataset(scan.dataset)
        self.title.setText("Bundled demo" if demo else scan.root.name or str(scan.root))
        place = "Photos that come with the program" if demo else str(scan.root)
        self.path.setText(f"{known.title} · {place}" if known is not None else place)
        while (item := self._badges.takeAt(0)) is not None:
            widget = item.widget()
            if widget is not None:
                widget.hide()  # it goes only with the next turn of the event loop
                widget.deleteLater()
        texts = [(f"{len(scan.classes):,} classes", "accent"), (f"{len(scan.records):,} images", "accent")]
        if set(scan.counts) == {"all"}:
            texts.append(("no splits", ""))
        else:
            splits = (f"{SPLIT_WORDS[split]} {count:,}" for split, count in scan.counts.items())
            texts.append((" · ".join(splits), ""))
        for text, tone in texts:
            badge = Badge(text, tone)
            badge.setFixedHeight(theme.current().xl - theme.current().xs)
            self._badges.addWidget(badge)

    def show_layout(self, layout: str, recognised: str) -> None:
        """Show the layout that was chosen, and the one that was recognised; tells nobody."""
        with QSignalBlocker(self.layout_box):
            self.layout_box.setItemText(0, f"Auto: {recognised}" if recognised else "Auto")
            self.layout_box.set_value(layout)

    def _on_layout(self) -> None:
        self.layout_chosen.emit(str(self.layout_box.value()))

    def show_progress(self, event: Progress) -> None:
        """Show how far a scan has come."""
        self.progress.show_progress(event)

    def set_scanning(self, scanning: bool) -> None:
        """Show or hide the progress line."""
        if not scanning:
            self.progress.hide()
        elif self.progress.isHidden():
            self.progress.begin("Looking for images")
        self.rescan_button.setEnabled(not scanning)
        self.layout_box.setEnabled(not scanning)

    def _paint(self) -> None:
        size = theme.current().xl
        self._glyph.setPixmap(theme.icon("folder-image", "accent").pixmap(size, size))
