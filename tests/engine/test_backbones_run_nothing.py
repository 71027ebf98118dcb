"""Nothing that lies beside weights runs, and no configuration makes a load ask the network."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import save_file

from advclip_gui.engine.backbones import load_backbone
from advclip_gui.engine.blueprint import build
from advclip_gui.engine.control import Control
from advclip_gui.engine.errors import BackboneError
from advclip_gui.settings import BackboneSettings

if TYPE_CHECKING:
    from pathlib import Path

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the network was touched")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def config(**text: Any) -> dict[str, Any]:
    vision = {"image_size": 16, "patch_size": 8, "width": 32, "layers": 1, "head_width": 16}
    words = {"context_length": 8, "vocab_size": 20, "width": 32, "heads": 2, "layers": 1, **text}
    return {"embed_dim": 16, "vision_cfg": vision, "text_cfg": words}


@pytest.mark.parametrize("wish", [{"trust_remote_code": True}, {}, {"subfolder": "..", "clean": "lower"}])
def test_code_of_a_tokenizer_does_not_run(tmp_path: Path, wish: dict[str, Any]) -> None:
    trap, folder = tmp_path / "ran", tmp_path / "clip"
    folder.mkdir()
    shape = config(hf_tokenizer_name="someone/words", tokenizer_kwargs=wish)
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": shape}))
    save_file(build(shape).state_dict(), folder / "open_clip_model.safetensors")
    (folder / "words.py").write_text(
        f"open({str(trap)!r}, 'w').close()\nfrom transformers import PreTrainedTokenizerFast\n"
        "class Words(PreTrainedTokenizerFast):\n    pass\n"
    )
    told = {"auto_map": {"AutoTokenizer": [None, "words.Words"]}, "tokenizer_class": "Words"}
    (folder / "tokenizer_config.json").write_text(json.dumps(told))
    (folder / "config.json").write_text(json.dumps({"model_type": "words", "auto_map": told["auto_map"]}))
    settings = BackboneSettings(name="local", checkpoint=str(folder))
    with pytest.raises(BackboneError, match="tokenizer of someone/words"):
        load_backbone(settings, device=CPU, control=Control())
    assert not trap.exists()


@pytest.mark.parametrize("name", ["hf-hub:someone/tower", "local-dir:/tmp/tower"])
def test_a_tower_from_elsewhere_is_refused(name: str) -> None:
    shape = config()
    shape["vision_cfg"] = {"timm_model_name": name, "timm_pool": "token", "image_size": 160}
    with pytest.raises(BackboneError, match=f"vision tower is '{name}'"):
        build(shape)


def test_weights_that_a_configuration_wishes_for_a_tower_are_not_fetched() -> None:
    shape = config()
    shape["vision_cfg"] = {
        "timm_model_name": "vit_tiny_patch16_224", "timm_model_pretrained": True, "timm_pool": "token",
        "timm_proj": "linear", "image_size": 224,
    }  # fmt: skip
    with torch.device("meta"):
        assert build(shape).visual.trunk.num_features == 192
    assert shape["vision_cfg"]["timm_model_pretrained"] is True, "what was given stays as it is"
