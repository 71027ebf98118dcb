"""Several adapters at once, and the backbone beside one, from the command line."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest
import torch

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained adapter on the bundled backbone, written by no command."""
    from advclip_gui.engine import adapters
    from advclip_gui.engine.blueprint import draw, model_config
    from advclip_gui.engine.exchange.info import AdapterInfo, record_of
    from advclip_gui.engine.files import write_json_atomic
    from advclip_gui.settings import BackboneSettings, LoraSettings

    folder = tmp_path_factory.mktemp("made") / "first"
    model = draw(model_config(BackboneSettings())).model
    place = adapters.placement(model, LoraSettings(rank=1))
    modules = dict(model.named_modules())
    matrices = {}
    for target in place.targets:
        out, into = modules[target].weight.shape
        for part, shape in (("A", (1, into)), ("B", (out, 1))):
            matrices[f"base_model.model.{adapters.saved_name(target)}.lora_{part}.weight"] = torch.ones(shape)
    adapters.write_adapter(folder, place, matrices)
    info = AdapterInfo(BackboneSettings(), ("cat", "dog"), ("a photo of a {}.",), "", None)
    write_json_atomic(folder / "advclip.json", record_of(info, "peft"))
    return folder


def test_several_go_to_a_folder_each(program: Callable[..., Any], made: Path, tmp_path: Path) -> None:
    second = shutil.copytree(made, tmp_path / "second")
    out, told = tmp_path / "out", tmp_path / "told.json"
    done = program("export", made, second, "--out", out, "--format", "clip-lora", "--json", told)
    assert done.status == 0, done.err
    assert f"Exported second to {out / 'second'}." in done.out
    result = json.loads(told.read_text())
    assert [(entry["folder"], entry["error"]) for entry in result["exports"]] == [
        (str(out / "first"), None), (str(out / "second"), None),
    ]  # fmt: skip
    assert result["exports"][0]["files"] == ["README.md", "advclip.json", "lora_weights.pt"]
    (second / "adapter_model.safetensors").write_bytes(b"cut off")
    done = program("export", made, second, "--out", out, "--json", told)
    assert done.status == 1
    assert "1 of 2 could not be exported: second. The others are whole" in done.err
    assert (out / "first" / "adapter_config.json").is_file()  # the format was another before
    assert [entry["error"] is None for entry in json.loads(told.read_text())["exports"]] == [True, False]


def test_the_backbone_goes_along_with_peft_alone(
    program: Callable[..., Any], made: Path, tmp_path: Path
) -> None:
    done = program("export", made, "--out", tmp_path / "out", "--with-backbone")
    assert done.status == 0, done.err
    assert 'CLIPModel.from_pretrained(folder + "/backbone")' in done.out
    assert (tmp_path / "out" / "backbone" / "model.safetensors").is_file()
    done = program("export", made, "--out", tmp_path / "no", "--with-backbone", "--format", "onnx")
    assert done.status == 2
    assert "--with-backbone" in done.err
    assert not (tmp_path / "no").exists()
