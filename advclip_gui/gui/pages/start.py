"""The Start page: open a folder, try the demo, go back to a recent project."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from advclip_gui.gui import theme
from advclip_gui.gui.widgets.basics import Button, Card, Muted, SectionLabel, TextLabel
from advclip_gui.gui.widgets.elided_label import ElidedLabel

if TYPE_CHECKING:
    from advclip_gui.gui.bridge import Backend, ErrorInfo
    from advclip_gui.gui.io_thread import IoPool
    from advclip_gui.gui.workspace import Workspace

_STEPS = (
    ("chart-line", "Train", "One click: two curves move, with the zero-shot baseline as a dashed line."),
    ("crosshairs-gps", "Probe", "Attack an image while it trains and see whether the prediction flips."),
    ("export-variant", "Export", "Hand the adapter on in a format that peft and transformers load."),
)


class Tile(QPushButton):
    """A large button with an icon, a title and a sentence."""

    def __init__(self, icon: str, title: str, text: str, name: str, parent: QWidget | None = None) -> None:
        """Lay the three out; the button's own text is only its accessible name."""
        super().__init__(parent)
        look = theme.current()
        self.setProperty("kind", "tile")
        self.setObjectName(name)
        self.setAccessibleName(title)
        self.setAccessibleDescription(text)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        column = QVBoxLayout(self)
        column.setContentsMargins(look.l, look.l, look.l, look.l)
        column.setSpacing(look.xs)
        self._glyph = icon
        self._icon = QLabel()
        column.addWidget(self._icon)
        column.addStretch(1)
        column.addWidget(TextLabel(title, "title"))
        column.addWidget(Muted(text))
        for label in self.findChildren(QLabel):
            label.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self._paint_icon()
        theme.signals().changed.connect(self._paint_icon)

    def _paint_icon(self) -> None:
        side = theme.current().xxl
        self._icon.setPixmap(theme.icon(self._glyph, "accent").pixmap(QSize(side, side)))


class StartPage(QWidget):
    """What a user sees first; everything on it leads to another page."""

    open_requested = Signal()
    """The user wants to choose a folder."""

    def __init__(
        self, workspace: Workspace, backend: Backend, io: IoPool, parent: QWidget | None = None
    ) -> None:
        """Build the page."""
        super().__init__(parent)
        self.setObjectName("startPage")
        self._workspace = workspace
        look = theme.current()
        outer = QVBoxLayout(self)
        outer.setContentsMargins(look.xxl, look.xxl, look.xxl, look.xl)
        middle = QWidget()
        middle.setMaximumWidth(50 * look.l)
        row = QHBoxLayout()
        row.addStretch(1)
        row.addWidget(middle, 8)
        row.addStretch(1)
        outer.addStretch(1)
        outer.addLayout(row)
        outer.addStretch(2)
        column = QVBoxLayout(middle)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(look.l)

        column.addWidget(TextLabel("Does it break, and can it be mended?", "display"))
        column.addWidget(
            Muted(
                "Fine-tune CLIP with adversarial low-rank adapters on a few images per class, "
                "watch its robust accuracy while it trains, and see single predictions flip."
            )
        )
        tiles = QHBoxLayout()
        tiles.setSpacing(look.m)
        self.open_tile = Tile(
            "folder-open-outline",
            "Open image folder",
            "One sub-folder per class, with or without train / val / test. Or drop it anywhere.",
            "openFolderTile",
        )
        self.open_tile.clicked.connect(self.open_requested)
        self.demo_tile = Tile(
            "flask-outline",
            "Try the demo",
            "Ten classes of bundled photos and a small bundled CLIP. Works offline, no GPU needed.",
            "tryDemoTile",
        )
        self.demo_tile.clicked.connect(self._open_demo)
        tiles.addWidget(self.open_tile)
        tiles.addWidget(self.demo_tile)
        column.addLayout(tiles)

        lower = QHBoxLayout()
        lower.setSpacing(look.m)
        lower.addWidget(self._recent_card(), 1)
        lower.addWidget(self._steps_card(), 1)
        column.addLayout(lower)

        self.engine_line = TextLabel("", "caption")
        self.engine_line.setObjectName("startEngineLine")
        column.addWidget(self.engine_line)
        self._backend = backend
        backend.engine_ready.connect(self._engine_ready)
        backend.engine_failed.connect(self._engine_failed)
        if backend.ready:
            self._engine_ready(backend.device_text)
        else:
            self.engine_line.setText("The engine loads in the background; look around meanwhile.")
        workspace.recent_changed.connect(self._fill_recent)
        self._fill_recent()

    def _recent_card(self) -> Card:
        card = Card()
        card.body.addWidget(SectionLabel("Recent folders"))
        self._recent = QVBoxLayout()
        self._recent.setSpacing(0)
        card.body.addLayout(self._recent)
        card.body.addStretch(1)
        return card

    def _steps_card(self) -> Card:
        look = theme.current()
        card = Card()
        card.body.addWidget(SectionLabel("The first five minutes"))
        for icon, title, text in _STEPS:
            line = QHBoxLayout()
            line.setSpacing(look.s)
            glyph = QLabel()
            glyph.setPixmap(theme.icon(icon, "text_muted").pixmap(QSize(look.icon, look.icon)))
            glyph.setProperty("glyph", icon)
            line.addWidget(glyph, 0, Qt.AlignmentFlag.AlignTop)
            words = QVBoxLayout()
            words.setSpacing(0)
            words.addWidget(TextLabel(title))
            words.addWidget(Muted(text))
            line.addLayout(words, 1)
            card.body.addLayout(line)
        theme.signals().changed.connect(self._paint_glyphs)
        card.body.addStretch(1)
        return card

    def _paint_glyphs(self) -> None:
        side = theme.current().icon
        for label in self.findChildren(QLabel):
            glyph = label.property("glyph")
            if glyph:
                label.setPixmap(theme.icon(glyph, "text_muted").pixmap(QSize(side, side)))

    def _fill_recent(self) -> None:
        while (item := self._recent.takeAt(0)) is not None:
            widget = item.widget()
            if widget is not None:
                widget.hide()
                widget.deleteLater()
        folders = [folder for folder in self._workspace.recent if Path(folder).is_dir()]
        if not folders:
            self._recent.addWidget(Muted("Folders you open are listed here."))
        for index, folder in enumerate(folders[:5]):
            self._recent.addWidget(self._recent_row(index, Path(folder)))

    def _recent_row(self, index: int, folder: Path) -> QFrame:
        look = theme.current()
        row = QFrame()
        line = QHBoxLayout(row)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(look.s)
        button = Button(
            folder.name or str(folder), "folder-outline", "link", name=f"recent{index}", tip=str(folder)
        )
        button.clicked.connect(partial(self._workspace.open_folder, str(folder)))
        line.addWidget(button)
        where = ElidedLabel(str(folder.parent), "caption", mode=Qt.TextElideMode.ElideLeft)
        where.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        line.addWidget(where, 1)
        return row

    def _open_demo(self) -> None:
        self._workspace.open_demo()

    def _engine_ready(self, device: str) -> None:
        self.engine_line.setText(f"The engine is ready: {device}.")

    def _engine_failed(self, error: ErrorInfo) -> None:
        self.engine_line.set_role("bad")
        self.engine_line.setText(error.sentence)
