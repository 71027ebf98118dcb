"""How one thumbnail looks: picture, frame and caption, drawn many times in every frame of a scroll.

Text is laid out once: `QPainter.drawText` gives up the interpreter lock at each call, and while images are
being read it takes milliseconds to get it back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QPoint, QPointF, QRect, QRectF, QSize, Qt
from PySide6.QtGui import QFontMetrics, QPainter, QPen, QStaticText

from advclip_gui.gui import theme

if TYPE_CHECKING:
    from PySide6.QtGui import QImage

_CAPTIONS = 4096
"""Laid-out captions that are kept: classes, of which few folders have more."""


def cell_size(side: int) -> QSize:
    """Size of a cell for pictures of one side."""
    look = theme.current()
    return QSize(side + look.m, side + look.m + look.xl)


class CellPainter:
    """Paints cells of one size; made anew for another theme."""

    def __init__(self, side: int) -> None:
        """Prepare for pictures of `side` device-independent pixels."""
        self.look = look = theme.current()
        self.side = side
        self._font = look.font(look.caption)
        self._metrics = QFontMetrics(self._font)
        self._captions: dict[str, QStaticText] = {}
        self._plain, self._strong = look.qcolor("text_muted"), look.qcolor("text")
        self._frames = {
            "selected": QPen(look.qcolor("accent"), 2),
            "hovered": QPen(look.qcolor("border_strong"), 1),
            "focused": QPen(look.qcolor("text"), 1, Qt.PenStyle.DotLine),
        }
        self._left_out = theme.icon("eye-off-outline", "text")

    def begin(self, painter: QPainter) -> None:
        """Set what all cells share."""
        painter.setRenderHints(QPainter.RenderHint.Antialiasing | QPainter.RenderHint.SmoothPixmapTransform)
        painter.setFont(self._font)

    def paint(
        self,
        painter: QPainter,
        cell: QRect,
        picture: QImage | None,
        caption: str,
        *,
        left_out: bool = False,
        selected: bool = False,
        hovered: bool = False,
        focused: bool = False,
    ) -> None:
        """Draw a cell after `begin`; `picture` as `ThumbnailLoader.picture` gives it."""
        look, side = self.look, self.side
        area = QRect(cell.topLeft() + QPoint(look.xs + 2, look.xs), QSize(side, side))
        if left_out:
            painter.setOpacity(0.3)
        paint_thumbnail(painter, area, picture, look)
        if left_out:
            painter.setOpacity(1.0)
            third = side // 3
            self._left_out.paint(painter, area.adjusted(third, third, -third, -third))
        if selected or hovered:
            painter.setPen(self._frames["selected" if selected else "hovered"])
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(QRectF(area).adjusted(-1, -1, 1, 1), look.radius_small, look.radius_small)
        if focused:
            painter.setPen(self._frames["focused"])
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(
                QRectF(cell).adjusted(1.5, 0.5, -2.5, -1.5), look.radius_small, look.radius_small
            )
        text = self._captions.get(caption) or self._lay_out(caption)
        size = text.size()
        height = look.xl - look.xs
        painter.setPen(self._strong if selected else self._plain)
        painter.drawStaticText(
            QPointF(
                area.left() + (side - size.width()) / 2, area.bottom() + 2 + (height - size.height()) / 2
            ),
            text,
        )

    def _lay_out(self, caption: str) -> QStaticText:
        if len(self._captions) >= _CAPTIONS:
            self._captions.clear()
        text = QStaticText(self._metrics.elidedText(caption, Qt.TextElideMode.ElideRight, self.side))
        text.setTextFormat(Qt.TextFormat.PlainText)
        text.prepare(font=self._font)
        self._captions[caption] = text
        return text


def paint_thumbnail(
    painter: QPainter, area: QRect, picture: QImage | None, look: theme.Theme | None = None
) -> None:
    """Draw a thumbnail; a quiet square while it is read, a mark if it cannot be."""
    if picture is not None and not picture.isNull():
        painter.drawImage(area, picture)
        return
    look = look or theme.current()
    radius = look.radius_small * min(1.0, area.width() / 64)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(look.qcolor("sunken"))
    painter.drawRoundedRect(area, radius, radius)
    if picture is not None:
        inset = area.width() // 3
        theme.icon("image-broken-variant", "text_disabled").paint(
            painter, area.adjusted(inset, inset, -inset, -inset)
        )
