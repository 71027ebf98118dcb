"""What the Data page shows before a folder is open: how to begin, and where to drop one."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QFrame, QVBoxLayout, QWidget

from advclip_gui.gui import theme
from advclip_gui.gui.widgets.basics import Button, EmptyState, PrimaryButton, set_property

_TITLE = "No images are open yet"
_TEXT = (
    "Open a folder with one sub-folder of images for each class, with or without train, val and test; "
    "a public dataset as papers keep it; a zip; or a list of images. Or drop it here. Nothing is ever "
    "written into it."
)
_SCANNING_TITLE = "Looking through the folder"
_SCANNING_TEXT = "Every image is looked at once, so that a bad file is known before the training."


class DropArea(QFrame):
    """A dashed frame with the ways to begin."""

    open_clicked = Signal()
    file_clicked = Signal()
    demo_clicked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        """Invite."""
        super().__init__(parent)
        self.setProperty("role", "drop")
        self._buttons = (
            PrimaryButton(
                "Open image folder",
                "folder-open-outline",
                name="emptyOpenFolder",
                tip="Choose a folder of images.",
            ),
            Button(
                "Zip or list…",
                "folder-zip-outline",
                name="emptyOpenFile",
                tip="Choose a zip of images, or a list of them (.csv, .tsv, .jsonl).",
            ),
            Button(
                "Try the demo", "flask-outline", name="emptyOpenDemo", tip="Bundled photos; works offline."
            ),
        )
        self._buttons[0].clicked.connect(self.open_clicked)
        self._buttons[1].clicked.connect(self.file_clicked)
        self._buttons[2].clicked.connect(self.demo_clicked)
        self._state = EmptyState("folder-image", _TITLE, _TEXT, self._buttons)
        # A wrapped label in a centred column asks for too little height by itself.
        width = 26 * theme.current().l
        self._state.text.setFixedWidth(width)
        self._state.text.setMinimumHeight(self._state.text.heightForWidth(width))
        QVBoxLayout(self).addWidget(self._state)

    def set_active(self, active: bool) -> None:
        """Show that what is being dragged would be taken."""
        set_property(self, "active", active)

    def set_scanning(self, scanning: bool) -> None:
        """Say what is going on instead of inviting."""
        self._state.title.setText(_SCANNING_TITLE if scanning else _TITLE)
        self._state.text.setText(_SCANNING_TEXT if scanning else _TEXT)
        for button in self._buttons:
            button.setVisible(not scanning)
