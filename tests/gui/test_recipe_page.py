"""The Recipe page: presets, backbone, sections, files, facts and Start, through real clicks and keys."""

from __future__ import annotations

import os
import shlex
import threading
from typing import TYPE_CHECKING, Any

import pytest
from huggingface_hub import constants
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QFileDialog, QInputDialog, QLabel, QPushButton, QWidget

from advclip_gui.engine import catalog
from advclip_gui.engine.errors import BackboneError
from advclip_gui.gui import backbone_downloads
from advclip_gui.gui.command_text import as_toml_value, train_command
from advclip_gui.gui.pages.recipe import RecipePage
from advclip_gui.gui.preset_store import presets_folder, save_preset, saved_presets
from advclip_gui.gui.widgets.column_scroll import ColumnScroll
from advclip_gui.gui.widgets.facts_card import adversary_text, duration
from advclip_gui.gui.widgets.preset_row import same_recipe, with_preset
from advclip_gui.gui.widgets.protocol_card import FIXED, UNUSED
from advclip_gui.presets import PRESETS
from advclip_gui.settings import AdversarySettings, DataSettings, RunSettings
from advclip_gui.settings import run as run_settings
from advclip_gui.wording import PROTOCOL_SENTENCES
from tests.gui.page_room import Room, image_tree, page_room

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytestqt.qtbot import QtBot

    from advclip_gui.engine.control import Control
    from advclip_gui.gui.widgets.epsilon_field import EpsilonField
    from advclip_gui.settings import BackboneSettings

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def room(qapp: Any) -> Iterator[Room]:
    with page_room(qapp) as made:
        yield made


@pytest.fixture
def page(qtbot: QtBot, room: Room) -> RecipePage:
    made = RecipePage(room.workspace, room.backend, room.io)
    qtbot.addWidget(made)
    made.resize(1196, 770)
    made.show()
    return made


@pytest.fixture
def started(room: Room, monkeypatch: pytest.MonkeyPatch) -> list[RunSettings]:
    """The settings that training was started with; nothing is trained."""
    runs: list[RunSettings] = []

    def start(settings: RunSettings) -> object:
        runs.append(settings)
        return object()

    monkeypatch.setattr(room.workspace, "start_training", start)
    return runs


def open_images(qtbot: QtBot, room: Room, folder: Path) -> None:
    with qtbot.waitSignal(room.workspace.scan_changed):
        room.workspace.open_folder(folder, then="")
    settle(qtbot, room)


def settle(qtbot: QtBot, room: Room) -> None:
    qtbot.waitUntil(lambda: room.workspace.scanning is None and not room.io.jobs)


def wait_for_facts(qtbot: QtBot, room: Room, page: RecipePage) -> None:
    qtbot.waitUntil(lambda: not page.facts.waiting and not room.backend.jobs)


def retype_epsilon(qtbot: QtBot, page: RecipePage, text: str, field: str = "epsilon") -> EpsilonField:
    editor: EpsilonField = page.forms.forms["adversary"].editor(field)
    line = editor.number_field.lineEdit()
    line.setFocus()
    line.selectAll()
    qtbot.keyClicks(line, text)
    return editor


def choose_backbone(qtbot: QtBot, page: RecipePage, position: int) -> None:
    page.backbone.choice.setFocus()
    qtbot.keyClick(page.backbone.choice, Qt.Key.Key_Home)
    for _ in range(position):
        qtbot.keyClick(page.backbone.choice, Qt.Key.Key_Down)


# --- presets ------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", list(PRESETS))
def test_preset_fills_the_form_and_keeps_the_images(
    qtbot: QtBot, room: Room, page: RecipePage, key: str
) -> None:
    data = DataSettings(folder="/my/images", shots=3, class_names={"a": "b"})
    room.workspace.set_settings(
        room.workspace.settings.model_copy(update={"data": data, "training": page.forms.settings().training})
    )
    qtbot.mouseClick(page.presets.chip(key), LEFT)
    wanted = PRESETS[key].settings.model_copy(update={"data": data})
    assert page.settings() == wanted
    assert room.workspace.settings == wanted
    assert page.presets.chip(key).isChecked()
    assert page.presets.summary.text() == PRESETS[key].summary
    assert sum(page.presets.chip(other).isChecked() for other in page.presets.keys()) == 1
    settle(qtbot, room)


def test_an_edit_leaves_the_preset(qtbot: QtBot, room: Room, page: RecipePage) -> None:
    qtbot.mouseClick(page.presets.chip("demo"), LEFT)
    qtbot.keyClick(page.forms.forms["lora"].editor("rank"), Qt.Key.Key_Up)
    assert room.workspace.settings.lora.rank == PRESETS["demo"].settings.lora.rank + 1
    assert page.presets.active() == ""
    assert not page.presets.chip("demo").isChecked()
    qtbot.keyClick(page.forms.forms["lora"].editor("rank"), Qt.Key.Key_Down)
    assert page.presets.active() == "demo"


def test_own_preset_is_saved_used_and_deleted(
    qtbot: QtBot, room: Room, page: RecipePage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(QInputDialog, "getText", lambda *_args: ("Strong / long", True))
    qtbot.keyClick(page.forms.forms["lora"].editor("rank"), Qt.Key.Key_Up)
    rank = room.workspace.settings.lora.rank
    qtbot.mouseClick(page.presets.save_button, LEFT)
    assert [preset.title for preset in saved_presets()] == ["Strong   long"]
    assert presets_folder().is_relative_to(os.environ["XDG_CONFIG_HOME"])
    assert page.presets.active() == "own:Strong   long"
    qtbot.mouseClick(page.presets.chip("demo"), LEFT)
    qtbot.mouseClick(page.presets.chip("own:Strong   long"), LEFT)
    assert room.workspace.settings.lora.rank == rank
    qtbot.mouseClick(page.presets.delete_button, LEFT)
    assert saved_presets() == ()
    assert "own:Strong   long" not in page.presets.keys()
    settle(qtbot, room)


def test_preset_keeps_the_folder_to_itself(tmp_path: Path) -> None:
    settings = RunSettings(data=DataSettings(folder="/secret", skip=("x",), shots=7))
    saved = save_preset("mine", settings, tmp_path).settings()
    assert saved.data == DataSettings(shots=7)
    assert same_recipe(saved, settings)
    assert with_preset(settings, saved).data == settings.data


def test_broken_preset_file_is_told_and_left_out(qtbot: QtBot, room: Room, page: RecipePage) -> None:
    presets_folder().mkdir(parents=True)
    (presets_folder() / "broken.toml").write_text("lora = {rank = -1}\n")
    page.presets.reload()
    assert tuple(PRESETS) == page.presets.keys()
    assert room.notes[0][0] == "warning"
    assert "broken" in room.notes[0][1]


# --- sections and start -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("-1", "Epsilon must be at least 0/255; -1/255 is too small."),
        ("300", "Epsilon 300/255 is more than the whole range of a pixel."),
    ],
)
def test_wrong_epsilon_is_marked_and_blocks_start(
    qtbot: QtBot,
    room: Room,
    page: RecipePage,
    started: list[RunSettings],
    tmp_path: Path,
    text: str,
    sentence: str,
) -> None:
    open_images(qtbot, room, image_tree(tmp_path / "pets", images=17))
    assert page.start_button.isEnabled()
    editor = retype_epsilon(qtbot, page, text)
    assert page.findChild(QLabel, "adversary.epsilon.note").text() == sentence
    assert editor.number_field.property("invalid") is True
    assert not page.start_button.isEnabled()
    assert page.reason.text() == f"Adversary: {sentence}"
    assert room.workspace.settings.adversary.epsilon in {2 / 255, 30 / 255}  # the last valid one typed
    qtbot.mouseClick(page.start_button, LEFT)
    assert started == []
    assert not page.files.copy_button.isEnabled()
    room.workspace.set_data(room.workspace.data.model_copy(update={"seed": 4}))
    assert editor.number_field.lineEdit().text() == text  # another page's edit does not wipe it
    retype_epsilon(qtbot, page, "3")
    assert page.start_button.isEnabled()
    assert room.workspace.settings.adversary.epsilon == 3 / 255
    assert room.workspace.settings.data.seed == 4
    settle(qtbot, room)


def test_start_hands_the_settings_over_and_goes_to_train(
    qtbot: QtBot, room: Room, page: RecipePage, started: list[RunSettings], tmp_path: Path
) -> None:
    assert page.reason.text() == "Open an image folder, or the demo, first."
    assert not page.start_button.isEnabled()
    qtbot.mouseClick(page.data_button, LEFT)
    assert room.visited == ["data"]
    open_images(qtbot, room, image_tree(tmp_path / "pets", images=17))
    qtbot.keyClicks(page.forms.forms["run"].editor("name"), " first")
    qtbot.mouseClick(page.start_button, LEFT)
    assert [run.name for run in started] == ["Demo first"]
    assert started[0].data.folder == str(tmp_path / "pets")
    assert room.visited == ["data", "train"]


def test_start_says_which_class_has_too_few_images(
    qtbot: QtBot, room: Room, page: RecipePage, tmp_path: Path
) -> None:
    open_images(qtbot, room, image_tree(tmp_path / "pets", images=5))
    qtbot.waitUntil(lambda: "cannot give 16 shots" in page.reason.text())
    assert "'cat' (5 images) and 2 more classes" in page.reason.text()
    assert not page.start_button.isEnabled()
    room.workspace.set_data(room.workspace.data.model_copy(update={"shots": 2}))
    settle(qtbot, room)
    assert page.start_button.isEnabled()


def test_start_says_where_nothing_is_left_to_choose_the_best_step_by(
    qtbot: QtBot, room: Room, page: RecipePage, tmp_path: Path
) -> None:
    open_images(qtbot, room, image_tree(tmp_path / "pets", images=3))
    room.workspace.set_data(room.workspace.data.model_copy(update={"shots": 2, "val_shots": 0}))
    settle(qtbot, room)
    assert page.start_button.isEnabled()
    page.forms.forms["training"].editor("keep_best").click()
    assert "No validation images are left" in page.reason.text()
    assert not page.start_button.isEnabled()
    room.workspace.set_data(room.workspace.data.model_copy(update={"val_shots": 1}))
    settle(qtbot, room)
    assert page.start_button.isEnabled()


def test_nothing_is_cut_off_in_the_smallest_window(qtbot: QtBot, page: RecipePage) -> None:
    scroll = page.findChild(ColumnScroll)
    lora, adversary = page.forms.forms["lora"], page.forms.forms["adversary"]

    def place(form: QWidget) -> QPoint:
        return form.mapTo(page.forms, QPoint(0, 0))

    for width, side_by_side in ((1196, True), (876, False), (1500, True)):
        page.resize(width, 616)
        qtbot.waitUntil(lambda beside=side_by_side: (place(lora).y() == place(adversary).y()) == beside)
        assert (place(lora).x() != place(adversary).x()) == side_by_side
        assert scroll.widget().minimumSizeHint().width() <= scroll.viewport().width()


def test_start_waits_for_the_run_in_training(
    qtbot: QtBot, room: Room, page: RecipePage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_images(qtbot, room, image_tree(tmp_path / "pets", images=17))
    monkeypatch.setattr(type(room.workspace), "is_training", property(lambda _self: True))
    room.workspace.training_changed.emit()
    assert page.reason.text() == "A run is in training; this recipe can start when it has ended."
    assert not page.start_button.isEnabled()


def test_fields_without_effect_are_greyed_out(qtbot: QtBot, room: Room, page: RecipePage) -> None:
    form = page.forms.forms["adversary"]
    assert form.editor("epsilon").isEnabled()
    qtbot.mouseClick(page.presets.chip("plain"), LEFT)
    assert not form.editor("epsilon").isEnabled()
    assert "no adversary" in form.rows["kind"].note.text()
    qtbot.mouseClick(page.presets.chip("paper-b32"), LEFT)
    assert form.editor("epsilon").isEnabled()
    assert not form.editor("random_start").isEnabled()
    settle(qtbot, room)


def choose_protocol(qtbot: QtBot, page: RecipePage, protocol: str) -> None:
    button = page.forms.protocol.findChild(QPushButton, f"run.protocol.{protocol}")
    assert button.isVisible()
    qtbot.mouseClick(button, LEFT)


def test_every_value_the_released_protocol_fixes_is_fixed_on_the_page() -> None:
    assert {key: set(fields) for key, fields in FIXED.items()} == {
        key: set(fields) for key, fields in run_settings._RELEASED.items()
    }


def test_released_fixes_its_values_and_says_why_and_sound_gives_them_back(
    qtbot: QtBot, room: Room, page: RecipePage
) -> None:
    qtbot.mouseClick(page.presets.chip("trades"), LEFT)
    before = page.settings()
    assert before.training.trades_beta == 6.0
    choose_protocol(qtbot, page, "released")
    released = page.settings()
    assert released == before.under("released")
    assert room.workspace.settings == released
    assert RunSettings.checked(released.model_dump()) == released  # the model itself agrees
    for key, fields in (*FIXED.items(), *UNUSED.items()):
        for field, why in fields.items():
            row = page.forms.forms[key].rows[field]
            assert not row.editor.isEnabled(), field
            assert row.editor.toolTip() == why
    assert page.forms.forms["adversary"].editor("epsilon").isEnabled()
    assert "not comparable" in page.forms.protocol.sentence.text()
    for key in ("adversary", "monitor"):
        assert "normalised units" in page.forms.forms[key].rows["epsilon"].note.text()
    choose_protocol(qtbot, page, "sound")
    assert page.settings() == before
    assert "normalised" not in page.forms.forms["monitor"].rows["epsilon"].note.text()
    for field in ("kind", "norm", "step_size", "random_start", "epsilon_warmup"):
        row = page.forms.forms["adversary"].rows[field]
        assert row.editor.isEnabled(), field
        assert row.editor.toolTip() == row.help_text
    assert page.forms.forms["training"].editor("trades_beta").isEnabled()
    settle(qtbot, room)


def test_released_preset_shows_as_released_and_a_sound_one_unlocks(
    qtbot: QtBot, room: Room, page: RecipePage
) -> None:
    qtbot.mouseClick(page.presets.chip("released"), LEFT)
    assert page.forms.protocol.value() == "released"
    assert not page.forms.forms["adversary"].editor("kind").isEnabled()
    qtbot.mouseClick(page.presets.chip("demo"), LEFT)
    assert page.forms.protocol.value() == "sound"
    assert page.forms.forms["adversary"].editor("kind").isEnabled()
    assert page.settings().adversary == PRESETS["demo"].settings.adversary
    settle(qtbot, room)


def test_protocol_survives_a_field_that_is_wrong(qtbot: QtBot, room: Room, page: RecipePage) -> None:
    editor = retype_epsilon(qtbot, page, "300")
    choose_protocol(qtbot, page, "released")
    assert editor.number_field.lineEdit().text() == "300"
    assert page.settings() is None
    retype_epsilon(qtbot, page, "1")
    assert page.settings().protocol == "released"
    assert page.settings().adversary.kind == "universal"
    settle(qtbot, room)


def test_typed_layers_reach_the_recipe_and_are_not_rewritten(
    qtbot: QtBot, room: Room, page: RecipePage
) -> None:
    form = page.forms.forms["lora"]
    form.unfold()
    line = form.editor("layers").lineEdit()
    line.setFocus()
    line.selectAll()
    qtbot.keyClicks(line, "0,1,9-1")
    assert page.settings() is None
    assert line.text() == "0,1,9-1"
    assert page.reason.text().startswith("LoRA: ")
    qtbot.keyClicks(line, "1")
    assert room.workspace.settings.lora.layers == (0, 1, 9, 10, 11)
    assert line.text() == "0,1,9-11"
    settle(qtbot, room)


def test_fields_that_another_one_decides_are_greyed_out(qtbot: QtBot, room: Room, page: RecipePage) -> None:
    form = page.forms.forms["training"]
    form.unfold()
    assert form.editor("keep_best").isEnabled()
    form.editor("patience").set_value(3)
    assert not form.editor("keep_best").isEnabled()
    assert "kept anyway" in form.rows["keep_best"].note.text()
    form.editor("patience").set_value(0)
    assert form.editor("keep_best").isEnabled()
    assert form.editor("compare_plain").isEnabled()
    page.forms.forms["adversary"].editor("inner_steps").set_value(0)
    assert not form.editor("compare_plain").isEnabled()
    settle(qtbot, room)


def test_facts_say_protocol_adversary_and_norm(qtbot: QtBot, room: Room, page: RecipePage) -> None:
    assert page.facts.value("protocol") == "Sound"
    assert page.facts.value("adversary") == "per image, 2/255 in L∞"
    assert page.facts.value("measured") == "PGD-10, 2/255 in L∞"
    assert "pixel space" in page.facts.protocol_note.text()
    qtbot.mouseClick(page.presets.chip("released"), LEFT)
    assert page.facts.value("protocol") == "As released"
    assert page.facts.value("adversary") == "universal, 1/255 in L∞"
    assert page.facts.protocol_note.text() == PROTOCOL_SENTENCES["released"]
    l2 = RunSettings(adversary=AdversarySettings(norm="L2", epsilon=0.5))
    assert adversary_text(l2) == "per image, 0.5 in L2"
    settle(qtbot, room)


# --- backbone -----------------------------------------------------------------------------------


def test_hub_backbone_offline_is_one_sentence_with_two_ways_out(
    qtbot: QtBot, room: Room, page: RecipePage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    open_images(qtbot, room, image_tree(tmp_path / "pets", images=17))
    choose_backbone(qtbot, page, 1)
    settle(qtbot, room)
    assert room.workspace.settings.backbone.name == "ViT-B-32"
    assert page.backbone.banner.isVisible()
    assert "Local checkpoint file" in page.backbone.banner.message
    assert "advclip-mini" in page.backbone.banner.message
    assert "is not on this machine" in page.reason.text()
    assert not page.start_button.isEnabled()
    checkpoint = tmp_path / "mine.safetensors"
    checkpoint.write_bytes(b"weights")
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_args: (str(checkpoint), ""))
    qtbot.mouseClick(page.backbone.banner.findChild(QPushButton, "bannerAction1"), LEFT)
    settle(qtbot, room)
    assert room.workspace.settings.backbone.name == "local"
    assert room.workspace.settings.backbone.checkpoint == str(checkpoint)
    assert page.start_button.isEnabled()
    choose_backbone(qtbot, page, 2)
    settle(qtbot, room)
    buttons = page.backbone.banner.findChildren(QPushButton, "bannerAction2")
    qtbot.mouseClick(buttons[-1], LEFT)
    settle(qtbot, room)
    assert room.workspace.settings.backbone.name == "advclip-mini"
    assert page.start_button.isEnabled()


@pytest.mark.parametrize("outcome", ["finished", "failed", "cancelled"])
def test_download_shows_progress_and_its_outcome(
    qtbot: QtBot,
    room: Room,
    page: RecipePage,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    outcome: str,
) -> None:
    go_on = threading.Event()

    def fetch(settings: BackboneSettings, offline: bool, control: Control) -> Path:
        control.progress("Downloading", 302_500_000, 605_000_000, "12 MB/s")
        while not go_on.wait(0.01):
            control.check()
        if outcome == "failed":
            raise BackboneError("The hub did not answer.", "Try again later.")
        monkeypatch.setattr(catalog, "cached_weights", lambda *_: tmp_path / "weights.safetensors")
        return tmp_path / "weights.safetensors"

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(backbone_downloads, "fetch", fetch)
    open_images(qtbot, room, image_tree(tmp_path / "pets", images=17))
    choose_backbone(qtbot, page, 1)
    settle(qtbot, room)
    qtbot.mouseClick(page.backbone.banner.findChild(QPushButton, "bannerAction0"), LEFT)
    assert not page.backbone.banner.isVisible()
    qtbot.waitUntil(lambda: page.backbone.download.text.text() == "302 of 605 MB  12 MB/s")
    assert page.backbone.download.bar.value() == 500
    assert "is being downloaded" in page.missing()
    if outcome == "cancelled":
        qtbot.mouseClick(page.backbone.download.cancel_button, LEFT)
    else:
        go_on.set()
    settle(qtbot, room)
    assert not page.backbone.download.isVisible()
    assert page.start_button.isEnabled() == (outcome == "finished")
    assert page.backbone.banner.isVisible() == (outcome != "finished")
    if outcome == "failed":
        assert page.backbone.banner.message == "The hub did not answer. Try again later."
    if outcome == "cancelled":
        assert "was cancelled. 302 MB are kept" in page.backbone.banner.message


def test_local_checkpoint_needs_a_file_that_exists(
    qtbot: QtBot, room: Room, page: RecipePage, tmp_path: Path
) -> None:
    open_images(qtbot, room, image_tree(tmp_path / "pets", images=17))
    choose_backbone(qtbot, page, len(catalog.CATALOG) - 1)
    assert page.settings() is None
    assert page.reason.text() == "Choose the checkpoint file of the backbone."
    qtbot.keyClicks(page.backbone.local.checkpoint, str(tmp_path / "no.pt"))
    settle(qtbot, room)
    assert "does not exist" in page.backbone.local.note.text()
    assert "does not exist" in page.reason.text()
    (tmp_path / "no.pt").write_bytes(b"weights")
    qtbot.keyClick(page.backbone.local.checkpoint, Qt.Key.Key_Backspace)
    qtbot.keyClicks(page.backbone.local.checkpoint, "t")
    settle(qtbot, room)
    assert page.start_button.isEnabled()
    page.backbone.local.architecture.setFocus()
    page.backbone.local.architecture.lineEdit().selectAll()
    qtbot.keyClicks(page.backbone.local.architecture.lineEdit(), "ViT-B-16")
    assert room.workspace.settings.backbone.architecture == "ViT-B-16"
    settle(qtbot, room)


# --- files and command --------------------------------------------------------------------------


def test_toml_goes_out_and_comes_back(
    qtbot: QtBot, room: Room, page: RecipePage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_images(qtbot, room, image_tree(tmp_path / "pets ü", images=17))
    retype_epsilon(qtbot, page, "3.5")
    room.workspace.set_data(room.workspace.data.model_copy(update={"class_names": {"cat": "kitten"}}))
    saved = room.workspace.settings
    path = tmp_path / "mine.toml"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_args: (str(path), ""))
    qtbot.mouseClick(page.files.export_button, LEFT)
    assert RunSettings.from_file(path) == saved
    qtbot.mouseClick(page.presets.chip("plain"), LEFT)
    settle(qtbot, room)
    assert room.workspace.settings != saved
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_args: (str(path), ""))
    qtbot.mouseClick(page.files.import_button, LEFT)
    settle(qtbot, room)
    assert room.workspace.settings == saved
    assert page.settings() == saved
    assert page.forms.forms["adversary"].editor("epsilon").number_field.lineEdit().text() == "3.5"


def test_import_opens_the_images_of_the_recipe(
    qtbot: QtBot, room: Room, page: RecipePage, tmp_path: Path
) -> None:
    folder = image_tree(tmp_path / "other", images=17)
    path = tmp_path / "other.toml"
    path.write_text(
        RunSettings(data=DataSettings(folder=str(folder), class_names={"dog": "hound"})).to_toml()
    )
    with qtbot.waitSignal(room.workspace.scan_changed):
        assert page.files.import_toml(path)
    settle(qtbot, room)
    assert room.workspace.class_names() == ("cat", "hound", "red fox")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("rank = [", "not a TOML settings file"),
        ("[lora]\nrank = 0\n", "lora.rank"),
        ('[backbone]\nname = "ViT-Z"\n', "There is no backbone 'ViT-Z'"),
        ("[lora]\nrnak = 2\n", "There is no setting 'lora.rnak'"),
    ],
)
def test_bad_toml_is_a_sentence_and_changes_nothing(
    room: Room, page: RecipePage, tmp_path: Path, text: str, words: str
) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(text)
    before = room.workspace.settings
    assert not page.files.import_toml(path)
    assert words in page.banner.message
    assert page.banner.isVisible()
    assert room.workspace.settings == before


def test_export_that_cannot_be_written_is_a_sentence(page: RecipePage, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert not page.files.export_toml(tmp_path / "file" / "recipe.toml")
    assert "could not be written" in page.banner.message


def test_copied_command_makes_the_same_settings(
    qtbot: QtBot, room: Room, page: RecipePage, tmp_path: Path
) -> None:
    retype_epsilon(qtbot, page, "3.5")
    room.workspace.set_data(DataSettings(folder=str(tmp_path / "a b"), class_names={"x.y": "it's"}))
    qtbot.mouseClick(page.files.copy_button, LEFT)
    words = shlex.split(QGuiApplication.clipboard().text())
    assert words[:3] == ["advclip-gui", "train", "--demo"]
    assert set(words[3::2]) == {"--set"}
    assignments = dict(word.split("=", 1) for word in words[4::2])
    assert PRESETS["demo"].settings.with_values(assignments) == room.workspace.settings
    page.files.export_toml(tmp_path / "mine.toml")
    page.files.copy_command()
    assert shlex.split(QGuiApplication.clipboard().text()) == [
        "advclip-gui",
        "train",
        str(tmp_path / "mine.toml"),
    ]


@pytest.mark.parametrize(
    "value", ["plain", "4/255", "42", "true", "", " spaced ", "a\nb", 'say "x"', "1979-05-27"]
)
def test_values_of_the_command_are_read_back(value: str) -> None:
    read = RunSettings().with_values({"name": as_toml_value(value)})
    assert read.name == value


def test_command_of_the_demo_is_short() -> None:
    assert train_command(PRESETS["demo"].settings) == "advclip-gui train --demo"


# --- facts --------------------------------------------------------------------------------------


def test_facts_wait_for_the_engine_and_follow_the_form(qtbot: QtBot, room: Room, page: RecipePage) -> None:
    steps = PRESETS["demo"].settings.adversary.inner_steps
    assert page.facts.value("method") == f"AdvCLIP-LoRA, m = {steps}"
    assert page.facts.value("parameters") == "…"
    assert "engine is loading" in page.facts.note.text()
    room.backend.start()
    qtbot.waitUntil(lambda: page.facts.value("device") == "Test device")
    wait_for_facts(qtbot, room, page)
    rank = PRESETS["demo"].settings.lora.rank
    assert page.facts.value("parameters") == f"{92_160 * rank:,}"
    assert page.facts.value("time") == "≈ 2 min"
    assert not page.facts.note.isVisible()
    asked = len(room.session.described)
    for _ in range(5):
        qtbot.keyClick(page.forms.forms["lora"].editor("rank"), Qt.Key.Key_Up)
    wait_for_facts(qtbot, room, page)
    assert page.facts.value("parameters") == f"{92_160 * (rank + 5):,}"
    assert len(room.session.described) <= asked + 2  # asked once the typing has paused
    retype_epsilon(qtbot, page, "-1")
    assert page.facts.value("parameters") == "–"
    qtbot.mouseClick(page.presets.chip("plain"), LEFT)
    assert page.facts.value("method") == "CLIP-LoRA"
    assert page.facts.value("steps") == "8,000"
    settle(qtbot, room)
    wait_for_facts(qtbot, room, page)


def test_facts_that_fail_are_a_sentence(qtbot: QtBot, room: Room, page: RecipePage) -> None:
    def fail(*_args: Any, **_kwargs: Any) -> object:
        raise ValueError("no such model")

    room.session.describe = fail  # type: ignore[method-assign]
    room.backend.start()
    qtbot.waitUntil(lambda: "no such model" in page.facts.note.text())
    wait_for_facts(qtbot, room, page)
    assert page.facts.value("parameters") == "–"


def test_durations_are_rough() -> None:
    assert [duration(seconds) for seconds in (0.2, 42, 150, 9000, 300_000)] == [
        "1 s",
        "42 s",
        "2 min",
        "2.5 h",
        "3 days",
    ]
