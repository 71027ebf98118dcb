"""Opening an adapter from the window: what a file does not say is asked for, what is wrong is refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QWidget

from advclip_gui.engine.adapter_library import AdapterLibrary
from advclip_gui.engine.adapters import adapt, placement, save_adapter
from advclip_gui.engine.backbones import load_backbone
from advclip_gui.engine.control import Control
from advclip_gui.engine.exchange.info import AdapterInfo, record_of
from advclip_gui.engine.export import export_adapter
from advclip_gui.engine.files import write_json_atomic
from advclip_gui.gui.dialogs.adapter_open import AdapterDialog
from advclip_gui.settings import BackboneSettings, LoraSettings
from tests.gui.page_room import Room, image_tree, page_room

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytestqt.qtbot import QtBot

LEFT = Qt.MouseButton.LeftButton
MINI = ("advclip-mini", "")


@pytest.fixture
def room(qapp: Any) -> Iterator[Room]:
    with page_room(qapp) as made:
        made.backend.start()
        yield made


@pytest.fixture(scope="module")
def pt_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A `.pt` of an untrained adapter on the bundled backbone."""
    folder = tmp_path_factory.mktemp("made")
    backbone = load_backbone(BackboneSettings(), device=torch.device("cpu"), control=Control())
    adapt(backbone, placement(backbone.model, LoraSettings(rank=1)), seed=0)
    save_adapter(backbone, folder / "adapter")
    info = AdapterInfo(BackboneSettings(), ("cat", "dog"), ("a {}.",), "", None)
    write_json_atomic(folder / "adapter" / "advclip.json", record_of(info, "peft"))
    export_adapter(folder / "adapter", folder / "out", format="clip-lora")
    return folder / "out" / "lora_weights.pt"


@pytest.fixture
def alone(pt_file: Path, tmp_path: Path) -> Path:
    """The file without the card beside it."""
    (tmp_path / "scripts").mkdir()
    return Path(shutil.copy(pt_file, tmp_path / "scripts"))


@pytest.fixture
def window(qtbot: QtBot) -> QWidget:
    made = QWidget()
    qtbot.addWidget(made)
    return made


def open_dialog(qtbot: QtBot, room: Room, window: QWidget, path: Path) -> AdapterDialog:
    dialog = AdapterDialog(room.workspace, room.backend, room.io, window)
    dialog.open()
    dialog.source.setText(str(path))
    qtbot.waitUntil(lambda: dialog._looking is None, timeout=30_000)
    return dialog


def choose_backbone(dialog: AdapterDialog, key: tuple[str, str]) -> None:
    box = dialog.words.backbones
    box.setCurrentIndex([box.itemData(row) for row in range(box.count())].index(key))


def test_a_pt_file_is_asked_for_classes_and_backbone_and_imported(
    qtbot: QtBot, room: Room, window: QWidget, alone: Path, tmp_path: Path
) -> None:
    room.workspace.open_folder(image_tree(tmp_path / "photos", images=1))
    qtbot.waitUntil(lambda: room.workspace.scan is not None)
    dialog = open_dialog(qtbot, room, window, alone)
    assert dialog.found.text().startswith("Matrices of the CLIP-LoRA scripts: rank 1, q, k, v in ")
    assert dialog.open_button.text() == "Import"
    assert not dialog.open_button.isEnabled()
    assert dialog.missing.text() == "Name two or more classes, in the order of training."
    dialog.words.classes.setPlainText("cat\ncat")
    assert dialog.missing.text() == "The class 'cat' stands twice."
    qtbot.mouseClick(dialog.words.take_button, LEFT)
    assert dialog.words.class_names() == ("cat", "dog", "red fox")
    dialog.words.prompts.setPlainText("a photo")
    assert dialog.missing.text() == "Every prompt needs one {} for the class."
    dialog.words.prompts.setPlainText("a {}.")
    dialog.words.name.setText("  ")
    assert dialog.missing.text() == "Give it a name."
    dialog.words.name.setText("From the scripts")
    choose_backbone(dialog, MINI)
    with qtbot.waitSignal(dialog.opened, timeout=30_000) as told:
        qtbot.mouseClick(dialog.open_button, LEFT)
    (kept,) = AdapterLibrary().adapters()
    assert told.args == [kept]
    assert kept.info is not None
    assert (kept.name, kept.info.class_names) == ("From the scripts", ("cat", "dog", "red fox"))
    assert (kept.info.backbone, kept.info.templates) == (BackboneSettings(), ("a {}.",))
    assert alone.is_file()


def test_a_wrong_backbone_is_refused_and_the_right_one_then_taken(
    qtbot: QtBot, room: Room, window: QWidget, alone: Path
) -> None:
    dialog = open_dialog(qtbot, room, window, alone)
    dialog.words.classes.setPlainText("cat\ndog")
    choose_backbone(dialog, ("ViT-B-32", "openai"))
    qtbot.mouseClick(dialog.open_button, LEFT)
    qtbot.waitUntil(lambda: bool(dialog.banner.message), timeout=30_000)
    assert "backbone" in dialog.banner.message
    assert AdapterLibrary().adapters() == ()
    assert dialog.words.isEnabled()
    choose_backbone(dialog, MINI)
    with qtbot.waitSignal(dialog.opened, timeout=30_000):
        qtbot.mouseClick(dialog.open_button, LEFT)
    assert [one.name for one in AdapterLibrary().adapters()] == ["lora_weights"]


def test_the_card_beside_a_file_answers_everything(
    qtbot: QtBot, room: Room, window: QWidget, pt_file: Path
) -> None:
    dialog = open_dialog(qtbot, room, window, pt_file.parent)
    assert dialog.words.backbone_box.isHidden()
    assert dialog.words.class_box.isHidden()
    assert dialog.open_button.isEnabled()
    with qtbot.waitSignal(dialog.opened, timeout=30_000) as told:
        qtbot.mouseClick(dialog.open_button, LEFT)
    assert told.args[0].info.class_names == ("cat", "dog")


class Hostile:
    def __reduce__(self) -> tuple[Any, ...]:
        return (exec, ("raise SystemExit('run')",))


def test_a_hostile_file_is_refused_before_anything_is_asked(
    qtbot: QtBot, room: Room, window: QWidget, tmp_path: Path
) -> None:
    torch.save({"weights": Hostile()}, tmp_path / "hostile.pt")
    dialog = open_dialog(qtbot, room, window, tmp_path / "hostile.pt")
    assert "could run code when loaded" in dialog.found.text()
    assert dialog.words.isHidden()
    assert not dialog.open_button.isEnabled()
    dialog.source.setText(str(tmp_path))
    qtbot.waitUntil(lambda: "hostile" in dialog.found.text() and dialog._looking is None)
    dialog.source.setText("")
    assert dialog.found.text() == ""


def test_a_backbone_file_that_is_not_here_is_asked_for(
    qtbot: QtBot, room: Room, window: QWidget, pt_file: Path, tmp_path: Path
) -> None:
    shutil.copytree(pt_file.parents[1] / "adapter", tmp_path / "own")
    settings = BackboneSettings(name="local", checkpoint="weights.pt", architecture="ViT-B-16")
    info = AdapterInfo(settings, ("cat", "dog"), ("a {}.",), "", None, "Own")
    write_json_atomic(tmp_path / "own" / "advclip.json", record_of(info, "peft"))
    dialog = open_dialog(qtbot, room, window, tmp_path / "own")
    assert dialog.words.backbone_note.text().startswith("It sits on weights.pt:")
    assert dialog.words.backbones.isHidden()
    assert not dialog.open_button.isEnabled()
    dialog.words.local.checkpoint.setText(str(tmp_path / "nowhere.pt"))
    assert dialog.missing.text() == "There is no checkpoint at this place."
    (tmp_path / "here.pt").touch()
    dialog.words.local.checkpoint.setText(str(tmp_path / "here.pt"))
    with qtbot.waitSignal(dialog.opened, timeout=30_000) as told:
        qtbot.mouseClick(dialog.open_button, LEFT)
    assert told.args[0].ref.backbone.checkpoint == str(tmp_path / "here.pt")


def test_closing_meanwhile_leaves_nothing(qtbot: QtBot, room: Room, window: QWidget, alone: Path) -> None:
    dialog = open_dialog(qtbot, room, window, alone)
    dialog.words.classes.setPlainText("cat\ndog")
    choose_backbone(dialog, MINI)
    dialog.take()
    taking = dialog._taking
    assert taking is not None
    with qtbot.waitSignal(taking.ended, timeout=30_000):
        dialog.reject()
    assert taking.state == "cancelled"
    assert AdapterLibrary().adapters() == ()
