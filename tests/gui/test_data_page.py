"""The Data page: opening, naming, sampling, skipping and reporting, through real clicks and keys."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import QDropEvent, QGuiApplication
from PySide6.QtWidgets import QAbstractItemView, QFileDialog, QLineEdit

from advclip_gui.engine.datasets.records import ImageRecord, ImagesFound
from advclip_gui.engine.events import Progress
from advclip_gui.gui.pages.data import DataPage
from advclip_gui.gui.thumbnails import CACHE_BYTES, ThumbnailLoader
from advclip_gui.settings import DEMO_FOLDER, RunSettings
from tests import bad_images
from tests.gui.page_room import Room, image_tree, page_room

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytestqt.qtbot import QtBot

    from advclip_gui.engine.control import Control
    from advclip_gui.gui.widgets.class_table import ClassTable


@pytest.fixture
def room(qapp: Any) -> Iterator[Room]:
    with page_room(qapp) as made:
        yield made


@pytest.fixture
def page(qtbot: QtBot, room: Room) -> DataPage:
    made = DataPage(room.workspace, room.backend, room.io)
    qtbot.addWidget(made)
    made.resize(1196, 770)
    made.show()
    return made


def open_and_draw(qtbot: QtBot, room: Room, page: DataPage, folder: Path | str) -> None:
    """Scan a folder and wait for the sample to be drawn."""
    with qtbot.waitSignal(room.workspace.scan_changed):
        page.open(str(folder))
    settle(qtbot, room, page)


def settle(qtbot: QtBot, room: Room, page: DataPage) -> None:
    qtbot.waitUntil(lambda: room.workspace.scanning is None and not page.sample.drawing)
    qtbot.waitUntil(lambda: not room.io.jobs)


def type_number(qtbot: QtBot, page: DataPage, field: str, text: str) -> None:
    line = page.sample.form.editor(field).lineEdit()
    line.selectAll()
    qtbot.keyClicks(line, text) if text else qtbot.keyClick(line, Qt.Key.Key_Delete)


def rename(qtbot: QtBot, table: ClassTable, folder: str, name: str) -> None:
    """Edit the name of a class as a user does: select, F2, type, Enter."""
    index = table.name_index(folder)
    table.scrollTo(index)
    place = table.visualRect(index).center()
    qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=place)
    table.setFocus()
    qtbot.keyClick(table, Qt.Key.Key_F2)
    (editor,) = (line for line in table.viewport().findChildren(QLineEdit) if line.isVisible())
    editor.selectAll()
    qtbot.keyClicks(editor, name)
    qtbot.keyClick(editor, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: table.state() != QAbstractItemView.State.EditingState)


def test_empty_page_offers_the_two_ways_to_begin(page: DataPage) -> None:
    assert page.stack.currentIndex() == 0
    assert not page.continue_button.isEnabled()
    assert page.reason.text() == "Open an image folder first."
    assert not page.folder_card.isVisible()


def test_open_folder_button_scans_and_shows_the_classes(
    qtbot: QtBot, room: Room, page: DataPage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = image_tree(tmp_path / "Meine Bilder ü", images=22)
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_args: str(folder))
    button = page.findChild(type(page.continue_button), "emptyOpenFolder")
    with qtbot.waitSignal(room.workspace.scan_changed):
        qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    settle(qtbot, room, page)
    assert page.stack.currentIndex() == 1
    assert page.folder_card.title.text() == "Meine Bilder ü"
    assert room.workspace.data.folder == str(folder)
    model = page.browser.classes.model()
    names = [model.index(row, 2).data() for row in range(model.rowCount())]
    assert names == ["cat", "dog", "red fox"]
    assert [model.index(row, 3).data() for row in range(3)] == ["22", "22", "22"]
    assert page.browser.grid.thumbnails.rowCount() == 66
    assert page.sample.outcome.text() == "48 training, 12 validation and 6 test images."
    assert page.continue_button.isEnabled()
    assert page.reason.text() == ""
    qtbot.mouseClick(page.continue_button, Qt.MouseButton.LeftButton)
    assert room.visited == ["recipe"]


def test_demo_button_opens_the_bundled_images(qtbot: QtBot, room: Room, page: DataPage) -> None:
    with qtbot.waitSignal(room.workspace.scan_changed, timeout=20_000):
        qtbot.mouseClick(
            page.findChild(type(page.folder_card.demo_button), "emptyOpenDemo"), Qt.MouseButton.LeftButton
        )
    settle(qtbot, room, page)
    assert room.workspace.data.folder == DEMO_FOLDER
    assert page.folder_card.title.text() == "Bundled demo"
    assert len(room.workspace.class_names()) == 10
    assert page.continue_button.isEnabled()


def test_folder_can_be_dropped(qtbot: QtBot, room: Room, page: DataPage, tmp_path: Path) -> None:
    folder = image_tree(tmp_path / "dropped")
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(folder))])
    event = QDropEvent(
        QPointF(50, 50),
        Qt.DropAction.CopyAction,
        mime,
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
    )
    with qtbot.waitSignal(room.workspace.scan_changed):
        page.dropEvent(event)
    settle(qtbot, room, page)
    assert page.folder_card.title.text() == "dropped"


def test_missing_folder_is_a_sentence_and_the_page_lives_on(
    qtbot: QtBot, room: Room, page: DataPage, tmp_path: Path
) -> None:
    page.open(str(tmp_path / "nowhere"))
    qtbot.waitUntil(page.banner.isVisible)
    settle(qtbot, room, page)
    assert f"The folder {tmp_path / 'nowhere'} does not exist." in page.banner.message
    assert page.banner.level == "error"
    assert room.notes == [], "told once, where it was asked for"
    assert page.stack.currentIndex() == 0
    assert not page.continue_button.isEnabled()
    open_and_draw(qtbot, room, page, image_tree(tmp_path / "there"))
    assert not page.banner.isVisible()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda root: root.mkdir(), "There are no images in"),
        (lambda root: image_tree(root, classes=("cat",)), "holds only one class, 'cat'"),
        (lambda root: bad_images.write(root, b"a file"), "is a file, not a folder"),
    ],
)
def test_unusable_folders_are_sentences(
    qtbot: QtBot, room: Room, page: DataPage, tmp_path: Path, make: Any, words: str
) -> None:
    make(tmp_path / "folder")
    page.open(str(tmp_path / "folder"))
    qtbot.waitUntil(page.banner.isVisible)
    settle(qtbot, room, page)
    assert words in page.banner.message
    assert page.isEnabled()


def test_failed_scan_keeps_what_was_open(qtbot: QtBot, room: Room, page: DataPage, tmp_path: Path) -> None:
    open_and_draw(qtbot, room, page, image_tree(tmp_path / "good"))
    page.open(str(tmp_path / "nowhere"))
    qtbot.waitUntil(page.banner.isVisible)
    settle(qtbot, room, page)
    assert page.folder_card.title.text() == "good"
    assert page.stack.currentIndex() == 1
    assert room.workspace.data.folder == str(tmp_path / "good")


def test_scan_can_be_cancelled(qtbot: QtBot, room: Room, page: DataPage, tmp_path: Path) -> None:
    page.open(str(image_tree(tmp_path / "many", images=40)))
    assert page.folder_card.isVisible()
    assert page.reason.text() == "The folder is being scanned."
    assert page.folder_card.progress.isVisible()
    qtbot.mouseClick(page.folder_card.progress.cancel_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: room.workspace.scanning is None)
    assert page.stack.currentIndex() == 0
    assert not page.folder_card.progress.isVisible()


def test_progress_of_the_scan_is_shown(page: DataPage) -> None:
    page.folder_card.set_scanning(True)
    page.folder_card.show_progress(Progress(task="Checking images", done=3, total=1200))
    assert page.folder_card.progress.bar.value() == 2  # of a thousand
    assert page.folder_card.progress.text.text() == "Checking images  3 of 1,200"


def test_class_name_reaches_the_workspace_and_the_preview(
    qtbot: QtBot, room: Room, page: DataPage, tmp_path: Path
) -> None:
    open_and_draw(qtbot, room, page, image_tree(tmp_path / "pets"))
    rename(qtbot, page.browser.classes, "red_fox", "  vulpes   vulpes ")
    assert room.workspace.data.class_names == {"red_fox": "vulpes vulpes"}
    assert room.workspace.class_names() == ("cat", "dog", "vulpes vulpes")
    assert page.prompts.preview.text() == "a photo of a vulpes vulpes."
    rename(qtbot, page.browser.classes, "red_fox", "red fox")  # the name made from the folder is no entry
    assert room.workspace.data.class_names == {}


def test_empty_class_name_goes_back_to_the_folder(
    qtbot: QtBot, room: Room, page: DataPage, tmp_path: Path
) -> None:
    open_and_draw(qtbot, room, page, image_tree(tmp_path / "pets"))
    rename(qtbot, page.browser.classes, "cat", "kitten")
    rename(qtbot, page.browser.classes, "cat", " ")
    assert room.workspace.data.class_names == {}


def test_selected_class_filters_the_images(qtbot: QtBot, room: Room, page: DataPage, tmp_path: Path) -> None:
    open_and_draw(qtbot, room, page, image_tree(tmp_path / "pets"))
    place = page.browser.classes.visualRect(page.browser.classes.model().index(1, 1)).center()
    qtbot.mouseClick(page.browser.classes.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert page.browser.grid.thumbnails.rowCount() == 6
    assert page.browser.shown.text() == "6 images in dog"
    assert page.prompts.preview.text() == "a photo of a dog."
    qtbot.mouseClick(page.browser.all_classes, Qt.MouseButton.LeftButton)
    assert page.browser.grid.thumbnails.rowCount() == 18
    qtbot.keyClicks(page.browser.search, "fox")
    assert page.browser.classes.model().rowCount() == 1


def test_drawn_parts_can_be_looked_at(qtbot: QtBot, room: Room, page: DataPage, tmp_path: Path) -> None:
    open_and_draw(qtbot, room, page, image_tree(tmp_path / "pets"))
    type_number(qtbot, page, "shots", "2")
    type_number(qtbot, page, "val_shots", "1")
    settle(qtbot, room, page)
    assert page.sample.outcome.text() == "6 training, 3 validation and 9 test images."
    counts = []
    for _ in range(3):
        qtbot.keyClick(page.browser.part, Qt.Key.Key_Down)
        counts.append(page.browser.grid.thumbnails.rowCount())
    assert counts == [6, 3, 9]


def test_too_few_images_say_which_class_and_block(
    qtbot: QtBot, room: Room, page: DataPage, tmp_path: Path
) -> None:
    folder = image_tree(tmp_path / "pets", images=20)
    for number in range(3, 20):
        (folder / "dog" / f"{number:02}.jpg").unlink()
    open_and_draw(qtbot, room, page, folder)
    assert "dog" in page.sample.outcome.text()
    assert page.sample.outcome.property("role") == "bad"
    assert page.reason.text().startswith("The few-shot sample cannot be drawn")
    assert not page.continue_button.isEnabled()
    type_number(qtbot, page, "shots", "3")
    settle(qtbot, room, page)
    assert page.continue_button.isEnabled()
    assert room.workspace.data.shots == 3


def test_wrong_shots_are_marked_and_block(qtbot: QtBot, room: Room, page: DataPage, tmp_path: Path) -> None:
    open_and_draw(qtbot, room, page, image_tree(tmp_path / "pets", images=20))
    type_number(qtbot, page, "shots", "0")
    assert page.reason.text() == "Shots must be at least 1; 0 is too small."
    assert not page.continue_button.isEnabled()
    assert room.workspace.data.shots == 16
    rename(qtbot, page.browser.classes, "cat", "kitten")  # another edit does not wipe what is being typed
    assert page.sample.form.editor("shots").lineEdit().text() == "0"
    type_number(qtbot, page, "shots", "4")
    settle(qtbot, room, page)
    assert page.continue_button.isEnabled()


def test_templates_are_edited_with_a_live_preview(
    qtbot: QtBot, room: Room, page: DataPage, tmp_path: Path
) -> None:
    open_and_draw(qtbot, room, page, image_tree(tmp_path / "pets", images=22))
    editor = page.prompts.editor
    qtbot.keyClick(editor, Qt.Key.Key_End, Qt.KeyboardModifier.ControlModifier)
    qtbot.keyClick(editor, Qt.Key.Key_Return)
    qtbot.keyClicks(editor, "a drawing of a ")
    assert "needs exactly one {}" in page.prompts.note.text()
    assert not page.continue_button.isEnabled()
    assert room.workspace.templates() == ("a photo of a {}.",)
    qtbot.keyClicks(editor, "{}.")
    assert room.workspace.templates() == ("a photo of a {}.", "a drawing of a {}.")
    assert page.prompts.preview.text() == "a photo of a cat.\na drawing of a cat."
    assert page.continue_button.isEnabled()


@pytest.fixture
def spoilt(tmp_path: Path) -> Path:
    """A tree with a cut JPEG, a text file that calls itself a picture, and a copy."""
    folder = image_tree(tmp_path / "spoilt", images=20)
    bad_images.truncated_jpeg(folder / "cat" / "cut.jpg")
    bad_images.write(folder / "cat" / "words.png", b"no picture")
    shutil.copy(folder / "dog" / "03.jpg", folder / "dog" / "again.jpg")
    return folder


def test_bad_files_are_reported_with_path_and_sentence(
    qtbot: QtBot, room: Room, page: DataPage, spoilt: Path
) -> None:
    open_and_draw(qtbot, room, page, spoilt)
    assert page.browser.tabs.tabText(1) == "Problems (3)"
    page.browser.tabs.setCurrentIndex(1)
    model = page.browser.problems.table.model()
    rows = {model.index(row, 1).data(): model.index(row, 2).data() for row in range(model.rowCount())}
    assert set(rows) >= {"cat/cut.jpg", "cat/words.png"}
    assert "cut short" in rows["cat/cut.jpg"]
    assert page.browser.problems.summary.text() == "2 errors · 1 warning"
    assert page.continue_button.isEnabled()


def test_warned_files_can_be_skipped_and_used_again(
    qtbot: QtBot, room: Room, page: DataPage, spoilt: Path
) -> None:
    open_and_draw(qtbot, room, page, spoilt)
    page.browser.tabs.setCurrentIndex(1)
    table = page.browser.problems.table
    qtbot.mouseClick(
        table.viewport(), Qt.MouseButton.LeftButton, pos=table.visualRect(table.model().index(0, 1)).center()
    )
    assert not page.browser.problems.skip_button.isEnabled()  # an error is left out already
    place = table.visualRect(table.model().index(2, 1)).center()
    qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=place)
    qtbot.mouseClick(page.browser.problems.skip_button, Qt.MouseButton.LeftButton)
    assert len(room.workspace.data.skip) == 1
    assert room.workspace.data.skip[0].startswith("dog/")
    assert page.browser.problems.summary.text().endswith("1 skipped")
    qtbot.mouseClick(page.browser.problems.use_button, Qt.MouseButton.LeftButton)
    assert room.workspace.data.skip == ()
    settle(qtbot, room, page)


def test_report_is_copied_and_saved(
    qtbot: QtBot, room: Room, page: DataPage, spoilt: Path, tmp_path: Path
) -> None:
    open_and_draw(qtbot, room, page, spoilt)
    page.browser.problems.copy_report()
    assert "cat/cut.jpg" in QGuiApplication.clipboard().text()
    page.browser.problems.save_report(tmp_path / "report.json")
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert "cat/cut.jpg" in json.dumps(report)
    page.browser.problems.save_report(tmp_path / "report.txt")
    assert "cat/cut.jpg" in (tmp_path / "report.txt").read_text(encoding="utf-8")
    (tmp_path / "plain").write_text("in the way")
    page.browser.problems.save_report(tmp_path / "plain" / "report.txt")
    assert [level for level, _ in room.notes] == ["success", "success", "success", "error"]


def test_images_are_left_out_from_the_grid(qtbot: QtBot, room: Room, page: DataPage, tmp_path: Path) -> None:
    open_and_draw(qtbot, room, page, image_tree(tmp_path / "pets", images=20))
    grid = page.browser.grid
    for row, modifier in ((0, Qt.KeyboardModifier.NoModifier), (1, Qt.KeyboardModifier.ControlModifier)):
        place = grid.visualRect(grid.model().index(row, 0)).center()
        qtbot.mouseClick(grid.viewport(), Qt.MouseButton.LeftButton, modifier, place)
    menu = grid.menu()
    grid.apply(menu.actions()[0])
    assert room.workspace.data.skip == ("cat/00.jpg", "cat/01.jpg")
    grid.apply(menu.actions()[3])
    assert QGuiApplication.clipboard().text() == "cat/00.jpg\ncat/01.jpg"
    grid.apply(menu.actions()[1])
    assert room.workspace.data.skip == ()
    menu.deleteLater()
    settle(qtbot, room, page)


def test_settings_changed_elsewhere_are_shown(
    qtbot: QtBot, room: Room, page: DataPage, tmp_path: Path
) -> None:
    open_and_draw(qtbot, room, page, image_tree(tmp_path / "pets", images=20))
    data = room.workspace.data.model_copy(
        update={"shots": 5, "templates": ("{} here",), "class_names": {"dog": "hound"}}
    )
    room.workspace.set_data(data)
    settle(qtbot, room, page)
    assert page.sample.form.editor("shots").value() == 5
    assert page.prompts.editor.toPlainText() == "{} here"
    assert page.browser.classes.name_index("dog").data() == "hound"


def test_thumbnails_are_read_in_the_background_and_bounded(qtbot: QtBot, room: Room, tmp_path: Path) -> None:
    folder = image_tree(tmp_path / "pets")
    bad_images.write(folder / "cat" / "words.png", b"no picture")
    loader = ThumbnailLoader(room.io, side=24, capacity=5)
    loader.set_root(folder)
    paths = [f"{name}/{number:02}.jpg" for name in ("cat", "dog") for number in range(4)]
    assert all(loader.picture(path) is None for path in (*paths, "cat/words.png"))
    qtbot.waitUntil(lambda: not loader.busy)
    assert loader.cached == 5
    kept = [path for path in paths if path in loader._cache]
    assert loader.picture(kept[0]).size().toTuple() == (24, 24)
    loader.set_root(tmp_path)
    assert loader.cached == 0
    assert loader.picture("gone.jpg") is None
    with qtbot.waitSignal(loader.loaded):
        pass
    assert loader.picture("gone.jpg").isNull()


def test_many_images_ask_only_for_what_is_seen(
    qtbot: QtBot, room: Room, page: DataPage, tmp_path: Path
) -> None:
    open_and_draw(qtbot, room, page, image_tree(tmp_path / "pets"))
    qtbot.waitUntil(lambda: not page.browser.loader.busy)
    record = room.workspace.scan.records[0]
    page.browser.grid.thumbnails.set_records((record,) * 100_000)
    assert page.browser.grid.thumbnails.rowCount() == 100_000
    page.browser.grid.scrollToBottom()
    assert page.browser.grid.indexAt(QPoint(20, page.browser.grid.viewport().height() - 60)).row() > 99_900


# --- layouts, lists, halves -------------------------------------------------------------------------


def drop(page: DataPage, path: Path) -> None:
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(path))])
    page.dropEvent(
        QDropEvent(
            QPointF(50, 50),
            Qt.DropAction.CopyAction,
            mime,
            Qt.MouseButton.LeftButton,
            Qt.KeyboardModifier.NoModifier,
        )
    )


def flowers(root: Path) -> Path:
    """A tree in CoOp's layout with two training images per class."""
    parts: dict[str, list[Any]] = {"train": [], "val": [], "test": []}
    for label, name in enumerate(("sword_lily", "daisy", "rose")):
        for number, part in enumerate(("train", "train", "val", "test")):
            path = f"image_{label}{number}.jpg"
            parts[part].append([path, label, name])
            bad_images.good_jpeg(root / "jpg" / path, seed=10 * label + number)
    (root / "split_zhou_OxfordFlowers.json").write_text(json.dumps(parts))
    return root


def test_known_dataset_is_recognised_overruled_and_its_prompt_offered(
    qtbot: QtBot, room: Room, page: DataPage, tmp_path: Path
) -> None:
    open_and_draw(qtbot, room, page, flowers(tmp_path / "Flower102"))
    box = page.folder_card.layout_box
    assert box.currentText() == "Auto: CoOp list"
    assert room.workspace.class_names() == ("sword lily", "daisy", "rose")
    assert page.prompts.offer.isVisible()
    assert page.prompts.offer.text() == "Usual for Oxford Flowers"
    qtbot.mouseClick(page.prompts.offer, Qt.MouseButton.LeftButton)
    assert room.workspace.templates() == ("a photo of a {}, a type of flower.",)
    assert page.prompts.preview.text() == "a photo of a sword lily, a type of flower."
    assert not page.prompts.offer.isVisible()
    page.folder_card.layout_chosen.emit("imagenet")
    qtbot.waitUntil(page.banner.isVisible)
    settle(qtbot, room, page)
    assert "no synset folders" in page.banner.message
    assert (room.workspace.data.layout, box.value()) == ("auto", "auto"), "what does not fit is not kept"
    assert page.browser.grid.thumbnails.rowCount() == 12


def test_layout_is_kept_for_the_next_time(qtbot: QtBot, room: Room, page: DataPage, tmp_path: Path) -> None:
    folder = image_tree(tmp_path / "pets")
    write = (folder / "split_zhou_Pets.json").write_text
    write(json.dumps({"train": [["cat/00.jpg", 0, "cat"], ["dog/00.jpg", 1, "dog"]], "val": [], "test": []}))
    open_and_draw(qtbot, room, page, folder)
    assert room.workspace.scan.layout == "coop"
    box = page.folder_card.layout_box
    with qtbot.waitSignal(room.workspace.scan_changed):
        qtbot.keyClick(box, Qt.Key.Key_Down)
    settle(qtbot, room, page)
    assert (room.workspace.scan.layout, room.workspace.data.layout) == ("folders", "folders")
    rename(qtbot, page.browser.classes, "red_fox", "vixen")
    settle(qtbot, room, page)
    open_and_draw(qtbot, room, page, image_tree(tmp_path / "others"))
    assert (room.workspace.data.layout, room.workspace.data.class_names) == ("auto", {})
    open_and_draw(qtbot, room, page, folder)
    assert room.workspace.data.layout == "folders"
    assert room.workspace.class_names() == ("cat", "dog", "vixen")
    write("")
    page.folder_card.layout_chosen.emit("coop")
    settle(qtbot, room, page)
    assert room.workspace.data.layout == "folders"


def test_zip_is_opened_and_its_thumbnails_are_read(
    qtbot: QtBot, room: Room, page: DataPage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = image_tree(tmp_path / "pets", images=20)
    path = Path(shutil.make_archive(str(tmp_path / "pets"), "zip", folder))
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_args: (str(path), ""))
    with qtbot.waitSignal(room.workspace.scan_changed):
        qtbot.mouseClick(
            page.findChild(type(page.folder_card.demo_button), "emptyOpenFile"), Qt.MouseButton.LeftButton
        )
    settle(qtbot, room, page)
    assert page.folder_card.title.text() == "pets.zip"
    qtbot.waitUntil(lambda: page.browser.loader.cached > 3)
    assert not page.browser.loader.picture("cat/00.jpg").isNull()
    assert page.continue_button.isEnabled()


def test_list_can_be_dropped(qtbot: QtBot, room: Room, page: DataPage, tmp_path: Path) -> None:
    image_tree(tmp_path / "pets")
    (tmp_path / "mine.csv").write_text("path,class\npets/cat/00.jpg,cat\npets/dog/00.jpg,dog\n")
    with qtbot.waitSignal(room.workspace.scan_changed):
        drop(page, tmp_path / "mine.csv")
    settle(qtbot, room, page)
    assert page.folder_card.layout_box.currentText() == "Auto: List of images"
    assert page.browser.grid.thumbnails.rowCount() == 2
    with qtbot.assertNotEmitted(room.workspace.scanning_changed):
        drop(page, tmp_path / "pets" / "cat" / "00.jpg")


def test_base_and_new_classes_change_what_is_shown_and_drawn(
    qtbot: QtBot, room: Room, page: DataPage, tmp_path: Path
) -> None:
    open_and_draw(qtbot, room, page, image_tree(tmp_path / "pets", images=20))
    box = page.sample.form.editor("classes")
    with qtbot.waitSignal(room.workspace.scan_changed):
        qtbot.keyClick(box, Qt.Key.Key_Down)
    settle(qtbot, room, page)
    assert room.workspace.data.classes == "base"
    assert room.workspace.class_names() == ("cat", "dog")
    assert page.browser.classes.model().rowCount() == 2
    assert page.sample.outcome.text().startswith("32 training, 8 validation and 0 test images.")
    with qtbot.waitSignal(room.workspace.scan_changed):
        qtbot.keyClick(box, Qt.Key.Key_Up)
    assert room.workspace.class_names() == ("cat", "dog", "red fox")
    settle(qtbot, room, page)


def test_sample_is_saved_as_a_list_and_taken_from_one(
    qtbot: QtBot, room: Room, page: DataPage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_and_draw(qtbot, room, page, image_tree(tmp_path / "pets", images=20))
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_args: (str(tmp_path / "mine.csv"), ""))
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_args: (str(tmp_path / "mine.csv"), ""))
    qtbot.mouseClick(page.sample.save_button, Qt.MouseButton.LeftButton)
    assert room.notes == [("success", f"The list of the sample was saved to {tmp_path / 'mine.csv'}.")]
    drawn = page.sample.split
    type_number(qtbot, page, "shots", "2")
    settle(qtbot, room, page)
    qtbot.mouseClick(page.sample.use_button, Qt.MouseButton.LeftButton)
    settle(qtbot, room, page)
    assert room.workspace.data.split_file == str(tmp_path / "mine.csv")
    assert page.sample.split.train == drawn.train
    assert page.sample.outcome.text().endswith("Read from the list mine.csv.")
    assert not page.sample.form.editor("shots").isEnabled()
    (tmp_path / "mine.csv").unlink()
    qtbot.mouseClick(page.sample.draw_button, Qt.MouseButton.LeftButton)
    settle(qtbot, room, page)
    assert len(page.sample.split.train) == 6


def test_first_images_are_shown_while_the_scan_goes_on(
    qtbot: QtBot, room: Room, page: DataPage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_and_draw(qtbot, room, page, image_tree(tmp_path / "before"))
    folder = image_tree(tmp_path / "pets")
    records = [
        ImageRecord(f"{name}/0{n}.jpg", name, "all", 0, 0, 9) for name in ("cat", "yak") for n in (1, 2)
    ]

    def endless(_folder: str, *, control: Control, **_options: Any) -> None:
        for part in (records[:3], records[3:]):
            control.report(ImagesFound(root=folder, records=tuple(part)))
        waiting = threading.Event()
        while not waiting.wait(0.001):
            control.check()

    monkeypatch.setattr("advclip_gui.engine.datasets.folder.scan", endless)
    page.open(str(folder))
    qtbot.waitUntil(lambda: page.browser.grid.thumbnails.rowCount() == 4)
    assert page.browser.grid.thumbnails.records == tuple(records)
    assert page.browser.shown.text() == "4 images"
    model = page.browser.classes.model()
    assert [(model.index(row, 2).data(), model.index(row, 3).data()) for row in range(2)] == [
        ("cat", "2"),
        ("yak", "2"),
    ]
    assert not page.continue_button.isEnabled()
    assert not page.side.isEnabled()
    qtbot.mouseClick(page.folder_card.progress.cancel_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: room.workspace.scanning is None)
    settle(qtbot, room, page)
    assert page.browser.grid.thumbnails.rowCount() == 18, "a cancelled scan leaves what was open"
    assert page.side.isEnabled()


def test_everything_with_a_warning_is_skipped_with_one_click_and_recorded(
    qtbot: QtBot, room: Room, page: DataPage, spoilt: Path, tmp_path: Path
) -> None:
    open_and_draw(qtbot, room, page, spoilt)
    page.browser.tabs.setCurrentIndex(1)
    qtbot.mouseClick(page.browser.problems.skip_button, Qt.MouseButton.LeftButton)
    settle(qtbot, room, page)
    (skipped,) = room.workspace.data.skip
    page.browser.problems.save_report(tmp_path / "report.csv")
    rows = (tmp_path / "report.csv").read_text(encoding="utf-8").splitlines()
    assert next(row for row in rows if row.endswith(",yes")).split(",")[2] == skipped
    # A run records its settings as they are.
    (tmp_path / "settings.toml").write_text(room.workspace.settings.to_toml(), encoding="utf-8")
    assert RunSettings.from_file(tmp_path / "settings.toml").data.skip == (skipped,)
    drawn = {sample.path for part in ("train", "val", "test") for sample in getattr(page.sample.split, part)}
    assert skipped not in drawn


def test_fine_screens_do_not_fill_the_memory(room: Room) -> None:
    for ratio in (1.0, 2.0, 3.0):
        loader = ThumbnailLoader(room.io, side=96, ratio=ratio, capacity=100_000)
        assert loader._capacity * 4 * (96 * ratio) ** 2 <= CACHE_BYTES
