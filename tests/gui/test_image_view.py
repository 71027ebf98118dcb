"""Linked image views: zoom, pan, fit, clipboard, captions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QColor, QGuiApplication, QImage, QWheelEvent
from PySide6.QtTest import QTest

from advclip_gui.gui.widgets.image_canvas import MAX_ZOOM, ImageCanvas, ViewLink, to_array, to_qimage
from advclip_gui.gui.widgets.image_view import ImageView

if TYPE_CHECKING:
    from pytestqt.qtbot import QtBot


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def views(qtbot: QtBot) -> list[ImageView]:
    link = ViewLink()
    made = [ImageView(name, name=name, link=link) for name in ("one", "two", "three")]
    link.setParent(made[0])
    for view in made:
        qtbot.addWidget(view)
        view.resize(200, 220)
        view.set_image(noise(32, 32))
        view.show()
    return made


def wheel(canvas: ImageCanvas, place: QPointF, notches: int) -> None:
    event = QWheelEvent(
        place,
        canvas.mapToGlobal(place),
        QPoint(),
        QPoint(0, 120 * notches),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QGuiApplication.sendEvent(canvas, event)


@pytest.mark.parametrize(("height", "width"), [(3, 5), (32, 32), (7, 1)])
def test_pixels_survive_the_way_to_qt_and_back(height: int, width: int) -> None:
    pixels = noise(height, width)
    assert np.array_equal(to_array(to_qimage(pixels)), pixels)


def test_a_strided_array_is_copied_rightly() -> None:
    pixels = noise(8, 8)[::2, ::-1]
    assert np.array_equal(to_array(to_qimage(pixels)), pixels)


def test_transparent_parts_become_white() -> None:
    image = QImage(2, 1, QImage.Format.Format_ARGB32)
    image.setPixelColor(0, 0, QColor(0, 0, 0, 0))
    image.setPixelColor(1, 0, QColor(10, 20, 30, 255))
    assert to_array(image).tolist() == [[[255, 255, 255], [10, 20, 30]]]


def test_zoom_and_pan_move_all_linked_views_together(qtbot: QtBot, views: list[ImageView]) -> None:
    first, *others = (view.canvas for view in views)
    wheel(first, QPointF(50, 50), 4)
    assert first.link.zoom > 2
    assert all(canvas.image_rect() == first.image_rect() for canvas in others)
    before = first.image_rect()
    QTest.mousePress(first, Qt.MouseButton.LeftButton, pos=QPoint(100, 100))
    QTest.mouseMove(first, QPoint(70, 90))
    QTest.mouseRelease(first, Qt.MouseButton.LeftButton, pos=QPoint(70, 90))
    assert first.image_rect() != before
    assert all(canvas.image_rect() == first.image_rect() for canvas in others)


def test_the_point_under_the_pointer_stays_when_zooming(views: list[ImageView]) -> None:
    canvas = views[0].canvas
    place = QPointF(80, 120)
    before = canvas.image_rect()
    x = (place.x() - before.left()) / before.width()
    wheel(canvas, place, 2)
    after = canvas.image_rect()
    assert after.left() + x * after.width() == pytest.approx(place.x(), abs=0.5)


def test_double_click_fits_the_image_in(views: list[ImageView]) -> None:
    canvas = views[1].canvas
    canvas.zoom_by(5)
    QTest.mouseDClick(canvas, Qt.MouseButton.LeftButton, pos=QPoint(10, 10))
    assert canvas.link.zoom == 1
    assert canvas.image_rect().width() == pytest.approx(min(canvas.width(), canvas.height()))


def test_keys_zoom_pan_and_fit(views: list[ImageView]) -> None:
    canvas = views[0].canvas
    QTest.keyClick(canvas, Qt.Key.Key_Plus)
    QTest.keyClick(canvas, Qt.Key.Key_Plus)
    zoomed = canvas.image_rect()
    QTest.keyClick(canvas, Qt.Key.Key_Right)
    assert canvas.image_rect().left() < zoomed.left()
    QTest.keyClick(canvas, Qt.Key.Key_0)
    assert canvas.link.zoom == 1


def test_the_image_cannot_be_lost_out_of_sight(views: list[ImageView]) -> None:
    canvas = views[0].canvas
    canvas.zoom_by(1e9)
    assert canvas.link.zoom == MAX_ZOOM
    canvas.pan_by(1e6, -1e6)
    assert canvas.image_rect().contains(canvas.rect().toRectF().adjusted(1, 1, -1, -1))
    canvas.zoom_by(1e-9)
    assert canvas.link.zoom == 1


def test_small_images_are_shown_as_sharp_squares(views: list[ImageView]) -> None:
    view = views[0]
    pixels = np.zeros((2, 2, 3), np.uint8)
    pixels[:, 1] = 255
    view.set_image(pixels)
    shown = view.canvas.grab().toImage()
    y = view.canvas.height() // 4
    seen = {shown.pixelColor(x, y).lightness() for x in range(8, view.canvas.width() - 8)}
    assert {0, 255} >= seen - {view_ground(view)}


def view_ground(view: ImageView) -> int:
    return view.canvas.grab().toImage().pixelColor(view.canvas.width() // 2, 1).lightness()


def test_copying_puts_the_images_own_pixels_on_the_clipboard(qtbot: QtBot, views: list[ImageView]) -> None:
    pixels = noise(9, 9, seed=4)
    views[0].set_image(pixels)
    views[0].canvas.zoom_by(3)
    views[0].canvas.setFocus()
    with qtbot.waitSignal(views[0].copied):
        views[0].copy_action.trigger()
    assert np.array_equal(to_array(QGuiApplication.clipboard().image()), pixels)


def test_an_empty_view_takes_everything_calmly(qtbot: QtBot) -> None:
    view = ImageView("Nothing", name="nothing")
    qtbot.addWidget(view)
    view.resize(120, 120)
    view.set_placeholder("image-outline", "Pick an image")
    view.show()
    wheel(view.canvas, QPointF(5, 5), 1)
    QTest.mouseDClick(view.canvas, Qt.MouseButton.LeftButton)
    QTest.keyClick(view.canvas, Qt.Key.Key_Plus)
    view.copy()
    assert view.canvas.link.zoom == 1
    assert view.canvas.accessibleName() == "Nothing"
    assert not view.canvas.grab().isNull()
