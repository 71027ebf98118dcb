"""A captioned image view: title and detail above, zoomable image below, copy and save in its menu."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QPoint, Qt, Signal
from PySide6.QtGui import QAction, QImage, QKeySequence
from PySide6.QtWidgets import QHBoxLayout, QMenu, QVBoxLayout, QWidget

from advclip_gui.gui import theme
from advclip_gui.gui.widgets.basics import TextLabel
from advclip_gui.gui.widgets.elided_label import ElidedLabel
from advclip_gui.gui.widgets.image_canvas import ImageCanvas, ViewLink, to_array, to_qimage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["ImageView", "ViewLink", "to_array", "to_qimage"]


class ImageView(QWidget):
    """One picture with its caption. Give several the same `ViewLink` and they zoom and pan together."""

    copied = Signal()

    def __init__(
        self,
        title: str,
        *,
        name: str,
        link: ViewLink | None = None,
        tip: str = "",
        parent: QWidget | None = None,
    ) -> None:
        """Start empty.

        Args:
            title: what the picture is, always shown.
            name: object name; the canvas is ``<name>Canvas``.
            link: shared region.
            tip: what the picture means, for the tooltip.
            parent: the owner.
        """
        super().__init__(parent)
        self.setObjectName(name)
        look = theme.current()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(look.xs)
        self.header = QHBoxLayout()
        self.header.setSpacing(look.s)
        self.title = TextLabel(title, "section")
        self.detail = ElidedLabel("", "caption")
        self.detail.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.header.addWidget(self.title)
        self.header.addWidget(self.detail, 1)
        column.addLayout(self.header)
        self.canvas = ImageCanvas(link, self)
        self.canvas.setObjectName(f"{name}Canvas")
        self.canvas.setAccessibleName(title)
        self.canvas.setToolTip(f"{tip} Wheel or + and − zoom, drag to pan, double click or 0 to fit.".strip())
        column.addWidget(self.canvas, 1)
        self.footer = QHBoxLayout()
        column.addLayout(self.footer)
        self._make_menu(title)

    def _make_menu(self, title: str) -> None:
        self.copy_action = QAction(theme.icon("content-copy"), f"Copy {title.lower()} image", self)
        self.copy_action.setShortcut(QKeySequence.StandardKey.Copy)
        self.copy_action.setShortcutContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        self.copy_action.triggered.connect(self.copy)
        self.fit_action = QAction(theme.icon("fit-to-screen-outline"), "Fit into view", self)
        self.fit_action.triggered.connect(self.canvas.link.fit)
        self.addActions([self.copy_action, self.fit_action])
        self.canvas.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.canvas.customContextMenuRequested.connect(self._open_menu)

    @property
    def image(self) -> QImage | None:
        """What is shown."""
        return self.canvas.image

    def set_image(self, image: NDArray[np.uint8] | QImage | None, detail: str = "") -> None:
        """Show an (H, W, 3) RGB uint8 array or a `QImage`; None shows the placeholder."""
        shown = image if image is None or isinstance(image, QImage) else to_qimage(image)
        self.canvas.set_image(shown)
        self.set_detail(detail)

    def set_detail(self, detail: str) -> None:
        """Change the right half of the caption."""
        self.detail.setText(detail)
        self.canvas.setAccessibleDescription(detail or "empty")

    def set_placeholder(self, icon: str, text: str) -> None:
        """What is shown while there is no image."""
        self.canvas.set_placeholder(icon, text)

    def set_frame_role(self, role: str) -> None:
        """Frame the picture in a colour role; "" for a hairline."""
        self.canvas.set_frame_role(role)

    def set_dimmed(self, dimmed: bool) -> None:
        """Fade a picture that is about to be replaced."""
        self.canvas.set_dimmed(dimmed)

    def copy(self) -> None:
        """Put the picture on the clipboard."""
        if self.image is not None:
            self.canvas.copy_to_clipboard()
            self.copied.emit()

    def _open_menu(self, position: QPoint) -> None:
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.copy_action.setEnabled(self.image is not None)
        menu.addActions([self.copy_action, self.fit_action])
        menu.popup(self.canvas.mapToGlobal(position))
