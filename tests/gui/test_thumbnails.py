"""Thumbnails: what Qt and Pillow read looks the same, and a grid of many paints only what is visible."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QColor, QImage

from advclip_gui.engine.control import Control
from advclip_gui.engine.datasets.records import ClassInfo, DatasetScan, ImageRecord
from advclip_gui.gui import thumbnail_reading
from advclip_gui.gui.thumbnail_reading import read_thumbnails, rounded
from advclip_gui.gui.thumbnails import ThumbnailLoader
from advclip_gui.gui.widgets.class_table import ClassTable
from advclip_gui.gui.widgets.thumbnail_grid import ThumbnailGrid
from tests import bad_images
from tests.gui.page_room import Room, page_room

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytestqt.qtbot import QtBot

EDGE = 48


@pytest.fixture
def room(qapp: Any) -> Iterator[Room]:
    with page_room(qapp) as made:
        yield made


def halves(width: int, height: int) -> Image.Image:
    """Red at the left, blue at the right, a green stripe at the top."""
    picture = Image.new("RGB", (width, height), "red")
    picture.paste((0, 0, 255), (width // 2, 0, width, height))
    picture.paste((0, 255, 0), (0, 0, width, height // 4))
    return picture


def write(path: Path, picture: Image.Image, **options: Any) -> Path:
    picture.save(path, quality=95, **options) if path.suffix == ".jpg" else picture.save(path, **options)
    return path


def one(path: Path, edge: int = EDGE) -> QImage:
    return read_thumbnails(path.parent, [path.name], edge, 0.0, Control())[path.name]


def difference(first: QImage, second: QImage) -> float:
    """Mean difference of two pictures, of 255."""
    assert first.size() == second.size()
    total = 0
    for y in range(first.height()):
        for x in range(first.width()):
            a, b = first.pixelColor(x, y), second.pixelColor(x, y)
            total += abs(a.red() - b.red()) + abs(a.green() - b.green()) + abs(a.blue() - b.blue())
    return total / (3 * first.width() * first.height())


@pytest.mark.parametrize("size", [(400, 300), (120, 200), (20, 12), (48, 48)])
@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("ending", [".jpg", ".png"])
def test_qt_and_pillow_show_the_same(
    qapp: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    size: tuple[int, int],
    mode: str,
    ending: str,
) -> None:
    path = write(tmp_path / f"x{ending}", halves(*size).convert(mode))
    asked: list[Path] = []
    monkeypatch.setattr(thumbnail_reading, "open_thumbnail", lambda path, _size: asked.append(path))
    quick = one(path)
    assert asked == [], "a plain file needs no Pillow"
    monkeypatch.undo()
    monkeypatch.setattr(thumbnail_reading, "_plain_square", lambda _path, _edge: None)
    assert difference(quick, one(path)) < 8


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photos_stand_upright(
    qapp: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, orientation: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = write(tmp_path / "x.jpg", halves(300, 200), exif=exif)
    quick = one(path)
    monkeypatch.setattr(thumbnail_reading, "_plain_square", lambda _path, _edge: None)
    assert difference(quick, one(path)) < 8


@pytest.mark.parametrize(
    "make",
    [
        bad_images.cmyk_jpeg,
        bad_images.rgba_png,
        bad_images.sixteen_bit_png,
        bad_images.palette_png,
        bad_images.transparent_palette_png,
        bad_images.damaged_exif_jpeg,
    ],
)
def test_odd_files_are_left_to_pillow(
    qapp: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Any
) -> None:
    path = make(tmp_path / ("x.jpg" if "jpeg" in make.__name__ else "x.png"))
    asked: list[Path] = []
    real = thumbnail_reading.open_thumbnail

    def counted(path: Path, size: int) -> Image.Image:
        asked.append(path)
        return real(path, size)

    monkeypatch.setattr(thumbnail_reading, "open_thumbnail", counted)
    assert one(path).size().toTuple() == (EDGE, EDGE)
    assert asked == [path]


def test_what_cannot_be_read_is_left_out(qapp: Any, tmp_path: Path) -> None:
    bad_images.truncated_jpeg(tmp_path / "cut.jpg")
    bad_images.text_named_jpg(tmp_path / "words.jpg")
    bad_images.good_jpeg(tmp_path / "good.jpg")
    names = ["cut.jpg", "words.jpg", "gone.jpg", "good.jpg"]
    assert list(read_thumbnails(tmp_path, names, EDGE, 4.0, Control())) == ["good.jpg"]


def test_corners_are_cut(qapp: Any) -> None:
    picture = QImage(EDGE, EDGE, QImage.Format.Format_RGB888)
    picture.fill(QColor("red"))
    result = rounded(picture, 8.0)
    assert result.format() == QImage.Format.Format_ARGB32_Premultiplied
    assert result.pixelColor(0, 0).alpha() == 0
    assert result.pixelColor(EDGE - 1, EDGE - 1).alpha() == 0
    assert result.pixelColor(EDGE // 2, 0) == QColor("red")


class _Loader(ThumbnailLoader):
    """Notes what is asked for, and has everything."""

    def __init__(self, room: Room) -> None:
        super().__init__(room.io)
        self.asked: list[str] = []

    def picture(self, path: str) -> QImage | None:
        self.asked.append(path)
        picture = QImage(96, 96, QImage.Format.Format_RGB32)
        picture.fill(QColor("red"))
        return picture


def test_only_visible_cells_are_painted_wherever_the_grid_is_scrolled(qtbot: QtBot, room: Room) -> None:
    loader = _Loader(room)
    grid = ThumbnailGrid(loader)
    qtbot.addWidget(grid)
    grid.resize(3 * 110 + 30, 420)
    grid.show()
    records = [ImageRecord(f"c/{number}.jpg", "c", "all", 1, 1, 1) for number in range(100_000)]
    grid.thumbnails.set_records(records)
    grid.doItemsLayout()
    bar = grid.verticalScrollBar()
    for value in (0, bar.maximum() // 3, bar.maximum()):
        bar.setValue(value)
        loader.asked.clear()
        grid.grab()
        # What the view itself says is visible, cell by cell.
        first = grid.indexAt(QPoint(20, 1)).row()
        assert loader.asked[0] == f"c/{first - first % 3}.jpg"
        assert 9 <= len(set(loader.asked)) <= 15
        assert len(loader.asked) < 50
    assert "c/99999.jpg" in loader.asked


def test_selected_and_current_cells_are_framed(qtbot: QtBot, room: Room) -> None:
    grid = ThumbnailGrid(_Loader(room))
    qtbot.addWidget(grid)
    grid.resize(400, 300)
    grid.thumbnails.set_records([ImageRecord(f"c/{n}.jpg", "c", "all", 1, 1, 1) for n in range(3)])
    plain = grid.grab().toImage()
    grid.setCurrentIndex(grid.model().index(1))
    framed = grid.grab().toImage()
    cell = grid.visualRect(grid.model().index(1))
    changed = [
        QPoint(x, y)
        for x in range(0, 400, 1)
        for y in range(0, 300, 4)
        if plain.pixel(x, y) != framed.pixel(x, y)
    ]
    assert changed
    assert all(cell.adjusted(-2, -2, 2, 2).contains(point) for point in changed)


def classes(*counts: tuple[str, int]) -> DatasetScan:
    records = tuple(
        ImageRecord(f"{folder}/{number}.jpg", folder, "all", 1, 1, 1)
        for folder, count in counts
        for number in range(count)
    )
    infos = tuple(ClassInfo(folder, folder.replace("_", " "), {"all": count}) for folder, count in counts)
    return DatasetScan(Path(), records, infos, ())


def shown(table: ClassTable) -> list[str]:
    return [table.model().index(row, 1).data() for row in range(table.model().rowCount())]


def test_classes_are_sorted_and_filtered_and_the_selection_stays(qtbot: QtBot, room: Room) -> None:
    table = ClassTable(_Loader(room))
    qtbot.addWidget(table)
    table.classes.set_scan(classes(("b_2", 3), ("A", 10), ("c", 5)))
    assert shown(table) == ["A", "b_2", "c"]
    table.selectRow(1)
    selected: list[str] = []
    table.class_selected.connect(selected.append)
    table.sortByColumn(3, Qt.SortOrder.DescendingOrder)
    assert shown(table) == ["A", "c", "b_2"]
    assert table.selected_folder() == "b_2"
    table.classes.set_names({"c": "Bird"})
    table.sortByColumn(2, Qt.SortOrder.AscendingOrder)
    assert shown(table) == ["A", "b_2", "c"], "by the names in prompts: A, b 2, Bird"
    table.set_filter("B")
    assert shown(table) == ["b_2", "c"], "a filter looks at folders and names, in whatever case"
    assert table.selected_folder() == "b_2"
    assert "" not in selected
    table.set_filter("bird")
    assert shown(table) == ["c"]
    assert selected[-1] == ""
    table.set_filter("")
    assert shown(table) == ["A", "b_2", "c"]
    assert table.name_index("c").data() == "Bird"
    assert not table.name_index("nowhere").isValid()


def test_table_is_not_repainted_for_pictures_of_others(qtbot: QtBot, room: Room) -> None:
    table = ClassTable(_Loader(room))
    qtbot.addWidget(table)
    table.classes.set_scan(classes(("a", 9), ("b", 9)))
    assert table.classes.shows(["b/0.jpg", "x/1.jpg"])
    assert not table.classes.shows(["b/8.jpg", "x/1.jpg"]), "three of a class stand for it"
