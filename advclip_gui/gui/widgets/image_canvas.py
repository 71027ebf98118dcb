"""An image one can zoom and pan, alone or together with others that show the same region."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QGuiApplication,
    QImage,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QWheelEvent,
)
from PySide6.QtWidgets import QSizePolicy, QWidget

from advclip_gui.gui import theme

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_ZOOM = 40.0
NEAREST_FROM = 2.0
"""From this magnification on, pixels are shown as squares instead of being blurred into each other."""
_WHEEL_STEP = 1.25
_PAN_STEP = 0.1


def to_qimage(array: NDArray[np.uint8]) -> QImage:
    """Copy an (H, W, 3) RGB uint8 array into a `QImage`."""
    import numpy as np  # here, because the window is shown before numpy is needed

    pixels = np.ascontiguousarray(array, dtype=np.uint8)
    height, width, _ = pixels.shape
    return QImage(pixels.data, width, height, 3 * width, QImage.Format.Format_RGB888).copy()


def to_array(image: QImage) -> NDArray[np.uint8]:
    """Copy a `QImage` into an (H, W, 3) RGB uint8 array; transparent parts become white."""
    import numpy as np

    if image.hasAlphaChannel():
        opaque = QImage(image.size(), QImage.Format.Format_RGB888)
        opaque.fill(Qt.GlobalColor.white)
        painter = QPainter(opaque)
        painter.drawImage(0, 0, image)
        painter.end()
        image = opaque
    image = image.convertToFormat(QImage.Format.Format_RGB888)
    rows = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.bytesPerLine())
    return rows[:, : 3 * image.width()].reshape(image.height(), image.width(), 3).copy()


class ViewLink(QObject):
    """The region several canvases show: a zoom (1 = all of it) and a centre in [0, 1] x [0, 1]."""

    changed = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.zoom = 1.0
        self.centre = QPointF(0.5, 0.5)

    def show_region(self, zoom: float, centre: QPointF) -> None:
        """Move all linked canvases."""
        if (zoom, centre) != (self.zoom, self.centre):
            self.zoom, self.centre = zoom, centre
            self.changed.emit()

    def fit(self) -> None:
        """Show whole images."""
        self.show_region(1.0, QPointF(0.5, 0.5))


class ImageCanvas(QWidget):
    """Paints one image; wheel, + and - zoom, dragging and arrows pan, a double click or 0 fits it in."""

    def __init__(self, link: ViewLink | None = None, parent: QWidget | None = None) -> None:
        """Show nothing yet; canvases given the same `link` move together."""
        super().__init__(parent)
        self.link = link or ViewLink(self)
        self._image: QImage | None = None
        self._placeholder = ("image-outline", "")
        self._frame_role = ""
        self._dimmed = False
        self._grip: tuple[QPointF, QPointF] | None = None
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumSize(96, 96)
        self.link.changed.connect(self._on_region_changed)
        theme.signals().changed.connect(self.update)

    def sizeHint(self) -> QSize:
        """A square."""
        return QSize(256, 256)

    @property
    def image(self) -> QImage | None:
        """What is shown."""
        return self._image

    def set_image(self, image: QImage | None) -> None:
        """Show an image, or the placeholder."""
        self._image = image
        self._update_cursor()
        self.update()

    def set_placeholder(self, icon: str, text: str) -> None:
        """What is shown while there is no image."""
        self._placeholder = (icon, text)
        self.update()

    def set_frame_role(self, role: str) -> None:
        """Draw a strong frame in a colour role of the theme; "" for a hairline."""
        self._frame_role = role
        self.update()

    def set_dimmed(self, dimmed: bool) -> None:
        """Fade what is about to be replaced."""
        if dimmed != self._dimmed:
            self._dimmed = dimmed
            self.update()

    @property
    def dimmed(self) -> bool:
        """Whether the image is faded."""
        return self._dimmed

    def copy_to_clipboard(self) -> None:
        """Put the image, in its own pixels, on the clipboard."""
        if self._image is not None:
            QGuiApplication.clipboard().setImage(self._image)

    def scale(self) -> float:
        """Screen pixels (device-independent) per image pixel."""
        if self._image is None or self._image.isNull():
            return 1.0
        fit = min(self.width() / self._image.width(), self.height() / self._image.height())
        return fit * self.link.zoom

    def image_rect(self) -> QRectF:
        """Where the whole image lies, in widget coordinates."""
        if self._image is None:
            return QRectF()
        scale = self.scale()
        width, height = self._image.width() * scale, self._image.height() * scale
        left = self.width() / 2 - self.link.centre.x() * width
        top = self.height() / 2 - self.link.centre.y() * height
        return QRectF(left, top, width, height)

    def zoom_by(self, factor: float, anchor: QPointF | None = None) -> None:
        """Zoom in or out, keeping the image point under `anchor` (default: the middle) where it is."""
        if self._image is None:
            return
        before = self.image_rect()
        anchor = anchor or QPointF(self.width() / 2, self.height() / 2)
        zoom = min(max(self.link.zoom * factor, 1.0), MAX_ZOOM)
        grown = zoom / self.link.zoom
        width, height = before.width() * grown, before.height() * grown
        x = (anchor.x() - before.left()) / before.width()
        y = (anchor.y() - before.top()) / before.height()
        centre = QPointF(
            x + (self.width() / 2 - anchor.x()) / width, y + (self.height() / 2 - anchor.y()) / height
        )
        self.link.show_region(zoom, self._inside(centre, width, height))

    def pan_by(self, dx: float, dy: float) -> None:
        """Move the image by screen pixels."""
        rect = self.image_rect()
        if rect.isEmpty():
            return
        centre = QPointF(self.link.centre.x() - dx / rect.width(), self.link.centre.y() - dy / rect.height())
        self.link.show_region(self.link.zoom, self._inside(centre, rect.width(), rect.height()))

    def _inside(self, centre: QPointF, width: float, height: float) -> QPointF:
        """Keep the canvas filled; an image smaller than the canvas stays in the middle."""

        def clamp(value: float, room: float) -> float:
            return 0.5 if room >= 1 else min(max(value, room / 2), 1 - room / 2)

        return QPointF(clamp(centre.x(), self.width() / width), clamp(centre.y(), self.height() / height))

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Zoom at the pointer."""
        if self._image is None:
            event.ignore()
            return
        self.zoom_by(_WHEEL_STEP ** (event.angleDelta().y() / 120), event.position())
        event.accept()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Take hold of the image."""
        if event.button() == Qt.MouseButton.LeftButton and self._image is not None:
            self._grip = (event.position(), QPointF(self.link.centre))
            self._update_cursor()
        super().mousePressEvent(event)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Drag it."""
        if self._grip is not None:
            start, centre = self._grip
            rect, moved = self.image_rect(), event.position() - start
            wanted = QPointF(centre.x() - moved.x() / rect.width(), centre.y() - moved.y() / rect.height())
            self.link.show_region(self.link.zoom, self._inside(wanted, rect.width(), rect.height()))

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Let go."""
        self._grip = None
        self._update_cursor()
        super().mouseReleaseEvent(event)

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """Show the whole image."""
        self.link.fit()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Zoom and pan without a mouse."""
        key = event.key()
        step = _PAN_STEP * self.width()
        pans = {
            Qt.Key.Key_Left: (step, 0.0),
            Qt.Key.Key_Right: (-step, 0.0),
            Qt.Key.Key_Up: (0.0, step),
            Qt.Key.Key_Down: (0.0, -step),
        }
        if key in (Qt.Key.Key_Plus, Qt.Key.Key_Equal):
            self.zoom_by(_WHEEL_STEP)
        elif key == Qt.Key.Key_Minus:
            self.zoom_by(1 / _WHEEL_STEP)
        elif key == Qt.Key.Key_0:
            self.link.fit()
        elif key in pans and self.link.zoom > 1:
            self.pan_by(*pans[Qt.Key(key)])
        else:
            super().keyPressEvent(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Image or placeholder, on the sunken ground, with its frame."""
        look = theme.current()
        painter = QPainter(self)
        painter.fillRect(self.rect(), QColor(look.sunken))
        if self._image is None:
            self._paint_placeholder(painter, look)
            self._paint_frame(painter, look, QRectF(self.rect()))
        else:
            rect = self.image_rect()
            painter.setOpacity(0.45 if self._dimmed else 1.0)
            device_scale = self.scale() * self.devicePixelRatioF()
            painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, device_scale < NEAREST_FROM)
            painter.drawImage(rect, self._image)
            painter.setOpacity(1.0)
            self._paint_frame(painter, look, rect.intersected(QRectF(self.rect())))
        if self.hasFocus():
            painter.setPen(QPen(QColor(look.accent), 1, Qt.PenStyle.DotLine))
            painter.drawRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5))
        painter.end()

    def _paint_frame(self, painter: QPainter, look: theme.Theme, rect: QRectF) -> None:
        width = 3.0 if self._frame_role and self._image is not None else 1.0
        role = self._frame_role if width > 1 else "border"
        pen = QPen(look.qcolor(role), width)
        pen.setJoinStyle(Qt.PenJoinStyle.MiterJoin)
        painter.setPen(pen)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawRect(rect.adjusted(width / 2, width / 2, -width / 2, -width / 2))

    def _paint_placeholder(self, painter: QPainter, look: theme.Theme) -> None:
        icon, text = self._placeholder
        size = look.xxl
        middle = QRectF(self.rect()).center()
        glyph = QRectF(middle.x() - size / 2, middle.y() - size - look.xs, size, size)
        theme.icon(icon, "text_disabled").paint(painter, glyph.toRect())
        if text:
            painter.setFont(look.font())
            painter.setPen(QColor(look.text_muted))
            box = QRectF(look.m, middle.y() + look.xs, self.width() - 2 * look.m, self.height() / 2 - look.s)
            flags = Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignTop | Qt.TextFlag.TextWordWrap
            painter.drawText(box, int(flags), text)

    def _on_region_changed(self) -> None:
        self._update_cursor()
        self.update()

    def _update_cursor(self) -> None:
        if self._image is None or self.link.zoom <= 1:
            self.unsetCursor()
        else:
            held = self._grip is not None
            self.setCursor(Qt.CursorShape.ClosedHandCursor if held else Qt.CursorShape.OpenHandCursor)
