"""Checkpoints of one's own, of every kind, chosen in the window and then loaded as it says."""

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING, Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFileDialog

from advclip_gui.gui.widgets.backbone_card import BackboneCard
from advclip_gui.settings import BackboneSettings
from tests.gui.page_room import Room, page_room

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytestqt.qtbot import QtBot

LEFT = Qt.MouseButton.LeftButton
TINY: dict[str, Any] = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 16, "layers": 3, "width": 32, "head_width": 8, "patch_size": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 4, "layers": 3},
}
KINDS = ["state dict", "safetensors", "OpenAI archive", "open_clip folder", "Hugging Face folder", "its file"]


@pytest.fixture
def room(qapp: Any) -> Iterator[Room]:
    with page_room(qapp) as made:
        yield made


@pytest.fixture
def card(qtbot: QtBot, room: Room) -> BackboneCard:
    card = BackboneCard(room.io)
    qtbot.addWidget(card)
    card.show()
    card.take(BackboneSettings(name="local", checkpoint="x", architecture="tiny"))
    qtbot.waitUntil(lambda: not room.io.jobs)
    return card


def make(kind: str, folder: Path) -> Path:
    """Write a CLIP of random weights as `kind` says; returns what the user points to."""
    from advclip_gui.engine.torchvision_cure import ensure_torchvision

    ensure_torchvision()
    import torch
    from open_clip.model import CLIP
    from safetensors.torch import save_file

    model = CLIP(**TINY, quick_gelu=kind == "OpenAI archive").eval()
    folder.mkdir()
    if kind == "state dict":
        torch.save({"state_dict": model.state_dict(), "epoch": 3}, folder / "epoch_3.pt")
        return folder / "epoch_3.pt"
    if kind == "OpenAI archive":
        examples = {"encode_image": torch.rand(1, 3, 16, 16), "encode_text": torch.ones(1, 77).long()}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of tracing itself, which newer versions advise against
            traced = torch.jit.trace_module(model, examples, check_trace=False)
            torch.jit.save(traced, str(folder / "ViT-tiny.pt"))
        return folder / "ViT-tiny.pt"
    if kind in {"Hugging Face folder", "its file"}:
        from transformers import CLIPConfig, CLIPModel

        tower = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 64}
        vision = {**tower, "image_size": 16, "patch_size": 8}
        CLIPModel(CLIPConfig(text_config=tower, vision_config=vision, projection_dim=24)).save_pretrained(
            folder
        )
        return folder if kind == "Hugging Face folder" else folder / "model.safetensors"
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    if kind == "safetensors":
        return folder / "open_clip_model.safetensors"
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": TINY}))
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_chosen_in_the_window_and_loaded(
    qtbot: QtBot, room: Room, card: BackboneCard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    from advclip_gui.engine.torchvision_cure import ensure_torchvision

    ensure_torchvision()
    import open_clip
    import torch

    from advclip_gui.engine.backbones import load_backbone
    from advclip_gui.engine.control import Control

    monkeypatch.setattr(open_clip, "get_model_config", lambda _: json.loads(json.dumps(TINY)))
    path = make(kind, tmp_path / "mein größtes clip")
    if path.is_dir():
        monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(path))
        qtbot.mouseClick(card.local.browse_folder, LEFT)
    else:
        monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(path), ""))
        qtbot.mouseClick(card.local.browse, LEFT)
    qtbot.waitUntil(lambda: not room.io.jobs)
    assert card.problem() == ""
    tells_itself = kind in {"open_clip folder", "Hugging Face folder", "its file"}
    assert card.local.told.isVisible() == tells_itself
    assert card.local.architecture.isVisible() != tells_itself
    if tells_itself:
        assert card.local.told.text() == "ViT, 3 blocks, width 32, 8 px patches"
        assert not card.local.told.isEnabled()
    settings = card.settings()
    assert settings is not None
    assert settings.checkpoint == str(path)
    loaded = load_backbone(settings, device=torch.device("cpu"), control=Control())
    assert loaded.image_size == 16
    activation = type(loaded.model.visual.transformer.resblocks[0].mlp.gelu).__name__
    quick = kind in {"OpenAI archive", "Hugging Face folder", "its file"}
    assert activation == ("QuickGELU" if quick else "GELU")


def test_the_field_comes_back_for_a_file_that_does_not_tell(
    qtbot: QtBot, room: Room, card: BackboneCard, tmp_path: Path
) -> None:
    folder, bare = make("open_clip folder", tmp_path / "a"), make("safetensors", tmp_path / "b")
    for path, tells in ((folder, True), (bare, False), (folder / "open_clip_model.safetensors", True)):
        card.local.checkpoint.setText(str(path))
        qtbot.waitUntil(lambda: not room.io.jobs)
        assert card.local.told.isVisible() == tells
    assert "Its configuration tells the architecture" in card.local.note.text()
    assert card.settings().architecture == "tiny", "what the user chose is kept for the next file"


def test_a_file_of_another_shape_is_told_before_start(
    qtbot: QtBot, room: Room, card: BackboneCard, tmp_path: Path
) -> None:
    from advclip_gui.engine.torchvision_cure import ensure_torchvision

    ensure_torchvision()
    import open_clip
    from open_clip.model import CLIP
    from safetensors.torch import save_file

    save_file(CLIP(**open_clip.get_model_config("ViT-S-32-alt")).state_dict(), tmp_path / "mine.safetensors")
    card.local.checkpoint.setText(str(tmp_path / "mine.safetensors"))
    card.local.architecture.setCurrentText("ViT-B-32")
    qtbot.waitUntil(lambda: not room.io.jobs)
    assert "By its shapes it is no ViT-B-32, but one of: ViT-S-32-alt." in card.local.note.text()
    assert "Does not fit" in [badge.text() for badge in card._badges]
    assert "it is no ViT-B-32" in card.problem(), "Start would only fail"
    card.local.architecture.setCurrentText("ViT-S-32-alt")
    qtbot.waitUntil(lambda: not room.io.jobs)
    assert "By its shapes" not in card.local.note.text()
    assert "Ready" in [badge.text() for badge in card._badges]
    assert card.problem() == ""


def test_a_listed_shape_is_called_by_its_name(
    qtbot: QtBot, room: Room, card: BackboneCard, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "clip"}')
    (tmp_path / "model.safetensors").write_bytes(b"x")
    card.local.checkpoint.setText(str(tmp_path))
    qtbot.waitUntil(lambda: not room.io.jobs)
    assert card.local.told.text() == "ViT-B-32-quickgelu"
