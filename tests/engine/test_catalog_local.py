"""What the catalogue says of a checkpoint of one's own before it is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from safetensors.torch import save_file

from advclip_gui.engine.backbones import open_clip
from advclip_gui.engine.catalog import availability
from advclip_gui.engine.checkpoint_shape import likely_architectures
from advclip_gui.engine.clip_source import listed_architectures
from advclip_gui.engine.hugging_face_names import from_open_clip
from advclip_gui.settings import BackboneSettings

if TYPE_CHECKING:
    from pathlib import Path


def small(path: Path, *, hugging_face: bool = False) -> Path:
    """ViT-S-32-alt, the smallest plain ViT that open_clip lists, with random weights."""
    from open_clip.model import CLIP

    state = CLIP(**open_clip.get_model_config("ViT-S-32-alt")).state_dict()
    tensors = from_open_clip(state) if hugging_face else state
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    return path


@pytest.mark.parametrize("hugging_face", [False, True], ids=["open_clip", "Hugging Face"])
def test_a_file_is_told_by_its_shapes(tmp_path: Path, hugging_face: bool) -> None:
    path = small(tmp_path / "mine.safetensors", hugging_face=hugging_face)
    assert likely_architectures(path) == ("ViT-S-32-alt",)
    right = BackboneSettings(name="local", checkpoint=str(path), architecture="ViT-S-32-alt")
    assert availability(right).sentence == f"mine.safetensors, {path.stat().st_size / 1e6:.0f} MB."
    wrong = right.model_copy(update={"architecture": "ViT-B-32"})
    assert availability(wrong).sentence.endswith("By its shapes it is no ViT-B-32, but one of: ViT-S-32-alt.")
    assert (availability(wrong).here, availability(wrong).fits) == (True, False)
    assert availability(right).fits


def test_every_plain_vit_is_among_what_its_own_shapes_say() -> None:
    from advclip_gui.engine.checkpoint_shape import _of_config

    names = {name: _of_config(content) for content, name in listed_architectures().items()}
    assert names["ViT-B-32"] == names["ViT-B-32-quickgelu"] != names["ViT-B-16"]
    assert names["RN50"] is names["coca_ViT-B-32"] is names["ViT-B-16-SigLIP"] is None
    assert len({shape for shape in names.values() if shape}) > 20


@pytest.mark.parametrize(
    "content", [b"", b"x" * 40, b"\xff" * 40, b"\x02\0\0\0\0\0\0\0[]", b"\x02\0\0\0\0\0\0\0{}"]
)
def test_a_file_that_tells_nothing_is_no_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.safetensors").write_bytes(content)
    assert likely_architectures(tmp_path / "a.safetensors") == ()
    state = availability(BackboneSettings(name="local", checkpoint=str(tmp_path / "a.safetensors")))
    assert (state.here, state.sentence) == (True, "a.safetensors, 0 MB.")
