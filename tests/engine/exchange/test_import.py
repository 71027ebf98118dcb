"""The CLIP-LoRA scripts' file both ways, foreign peft folders, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from advclip_gui.engine import adapters
from advclip_gui.engine.adapter_library import AdapterLibrary
from advclip_gui.engine.control import Control
from advclip_gui.engine.errors import CheckpointError, StorageError
from advclip_gui.engine.export import export_adapter, load_classifier
from advclip_gui.settings import BackboneSettings, LoraSettings
from tests.engine.exchange.conftest import NAMES, TEMPLATES, Adapted

if TYPE_CHECKING:
    from collections.abc import Callable


def take_in(path: Path, sample: Adapted, tmp_path: Path, **more: Any) -> Path:
    given = {"backbone": sample.backbone, "class_names": NAMES, "templates": TEMPLATES, **more}
    return AdapterLibrary(tmp_path / "library").import_file(path, **given).folder


def logits(folder: Path, sample: Adapted) -> torch.Tensor:
    return load_classifier(folder, control=Control(), device="cpu")(sample.pixels)


@pytest.mark.parametrize(
    "lora",
    [
        LoraSettings(rank=3, alpha=2),
        LoraSettings(rank=4, alpha=1.5, encoder="text", matrices=("q", "o")),
        LoraSettings(rank=1, encoder="vision", layers="up", matrices=("k", "v", "o")),
    ],
    ids=["both", "text", "vision, up"],
)
def test_a_pt_file_goes_out_and_comes_in_with_the_same_logits(
    on_tiny: Callable[..., Adapted], tmp_path: Path, lora: LoraSettings
) -> None:
    sample = on_tiny(lora)
    out = export_adapter(sample.folder, tmp_path / "out", format="clip-lora")
    content = torch.load(out / "lora_weights.pt", weights_only=True)
    assert content["metadata"] == {
        "r": lora.rank, "alpha": lora.alpha, "encoder": lora.encoder, "params": list(lora.matrices),
        "position": lora.layers,
    }  # fmt: skip
    folder = take_in(out / "lora_weights.pt", sample, tmp_path)
    torch.testing.assert_close(logits(folder, sample), sample.logits, atol=1e-5, rtol=0)


def test_layers_of_the_text_tower_come_first(sample: Adapted, tmp_path: Path) -> None:
    """Two blocks of text, then three of vision, each with A (r, in) and B (out, r)."""
    out = export_adapter(sample.folder, tmp_path / "out", format="clip-lora")
    weights = torch.load(out / "lora_weights.pt", weights_only=True)["weights"]
    assert list(weights) == [f"layer_{number}" for number in range(5)]
    assert list(weights["layer_0"]) == ["q_proj", "k_proj", "v_proj", "proj"]
    ours = load_file(sample.folder / adapters.WEIGHTS_FILE)
    expected = {"layer_1": "text_model.encoder.layers.1", "layer_2": "vision_model.encoder.layers.0"}
    for layer, base in expected.items():
        for theirs, projection in (("q_proj", "q_proj"), ("proj", "out_proj")):
            for part in "AB":
                key = f"base_model.model.{base}.self_attn.{projection}.lora_{part}.weight"
                assert torch.equal(weights[layer][theirs][f"w_lora_{part}"], ours[key])


def test_the_published_arithmetic_gives_the_same_logits(sample: Adapted, tmp_path: Path) -> None:
    """W + alpha / sqrt(r) * B A, computed from the file alone on the fused open_clip model."""
    from tests.engine.conftest import make_backbone

    out = export_adapter(sample.folder, tmp_path / "out", format="clip-lora")
    content = torch.load(out / "lora_weights.pt", weights_only=True)
    gamma = content["metadata"]["alpha"] / content["metadata"]["r"] ** 0.5
    model = make_backbone(split=False).model
    blocks = [*model.transformer.resblocks, *model.visual.transformer.resblocks]
    for block, layer in zip(blocks, content["weights"].values(), strict=True):
        rows = block.attn.in_proj_weight.data.chunk(3)
        for part, name in zip(rows, ("q_proj", "k_proj", "v_proj"), strict=True):
            part += gamma * layer[name]["w_lora_B"] @ layer[name]["w_lora_A"]
        block.attn.out_proj.weight.data += gamma * layer["proj"]["w_lora_B"] @ layer["proj"]["w_lora_A"]
    image, text = model.encode_image(sample.normalised), model.encode_text(sample.tokens)
    given = sample.compared(image, text, model.logit_scale)
    torch.testing.assert_close(given, sample.logits, atol=1e-5, rtol=1e-6)


@pytest.mark.parametrize(
    ("lora", "why"),
    [
        (LoraSettings(matrices=("q", "mlp")), "no place for matrices of the MLP"),
        (LoraSettings(layers=(0, 2)), "blocks are no such part"),
    ],
)
def test_what_the_pt_format_cannot_hold_is_said(
    on_tiny: Callable[..., Adapted], tmp_path: Path, lora: LoraSettings, why: str
) -> None:
    with pytest.raises(CheckpointError, match=f"{why}.*Export the adapter for peft"):
        export_adapter(on_tiny(lora).folder, tmp_path / "out", format="clip-lora")
    assert not (tmp_path / "out").exists()


def set_in(content: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for key in path[:-1]:
        content = content[key]
    if value is ...:
        del content[path[-1]]
    else:
        content[path[-1]] = value


@pytest.mark.parametrize(
    ("path", "value", "why"),
    [
        (("metadata", "r"), 0, "r is 0"),
        (("metadata", "r"), 2, "not of rank 2"),
        (("metadata", "r"), "3", "r is '3'"),
        (("metadata", "alpha"), float("nan"), "alpha is nan"),
        (("metadata", "encoder"), "audio", "encoder is 'audio'"),
        (("metadata", "encoder"), ["text"], "encoder is"),
        (("metadata", "position"), "middle", "position is 'middle'"),
        (("metadata", "position"), "top1", "5 layers, and 'top1'"),
        (("metadata", "params"), ["q", "x"], "params are"),
        (("metadata", "params"), ["q"], "which its params do not name"),
        (("metadata", "alpha"), ..., "'alpha' is missing"),
        (("weights", "layer_4"), ..., "4 layers, and 'all'"),
        (("weights", "layer_0"), ..., "not numbered from layer_0"),
        (("weights", "layer_1", "q_proj"), ..., "layer_1 lacks q"),
        (("weights", "layer_1", "q_proj", "w_lora_A"), ..., "lacks one of its two matrices"),
        (("weights", "layer_1", "q_proj", "w_lora_A"), torch.zeros(3, 31), "not fit the backbone tiny-clip"),
        (("weights", "layer_1", "q_proj", "w_lora_A"), torch.full((3, 32), torch.inf), "NaN or infinity"),
        (("weights", "layer_1", "q_proj", "w_lora_B"), torch.zeros(32), "lacks one of its two matrices"),
        (("weights",), [], "are no tables"),
    ],
)  # fmt: skip
def test_damaged_pt_files_are_named(sample: Adapted, tmp_path: Path, path, value, why: str) -> None:
    out = export_adapter(sample.folder, tmp_path / "out", format="clip-lora")
    content = torch.load(out / "lora_weights.pt", weights_only=True)
    set_in(content, path, value)
    torch.save(content, tmp_path / "damaged.pt")
    with pytest.raises(CheckpointError, match=why):
        take_in(tmp_path / "damaged.pt", sample, tmp_path)


def test_files_that_are_something_else_are_refused(sample: Adapted, tmp_path: Path) -> None:
    (tmp_path / "empty.pt").touch()
    (tmp_path / "text.pt").write_text("no tensors")
    torch.save([1, 2], tmp_path / "list.pt")
    torch.save({"state_dict": {"a": torch.zeros(1)}}, tmp_path / "other.pt")
    (tmp_path / "folder").mkdir()
    for name in ("empty.pt", "text.pt", "list.pt", "other.pt", "folder", "gone.pt"):
        with pytest.raises(CheckpointError):
            take_in(tmp_path / name, sample, tmp_path)
    for more in ({"class_names": ("cat",)}, {"class_names": ("cat", "cat", "dog")}, {"templates": ("none",)}):
        with pytest.raises(CheckpointError):
            take_in(sample.folder, sample, tmp_path, **more)
    assert AdapterLibrary(tmp_path / "library").adapters() == ()


# --- peft -------------------------------------------------------------------------------------


def foreign(sample: Adapted, folder: Path, **changes: Any) -> Path:
    """The adapter as another program's peft would have written it: no record, patterns for targets."""
    folder.mkdir()
    config = json.loads((sample.folder / "adapter_config.json").read_text())
    config |= {"target_modules": ["q_proj", "v_proj", "k_proj", "out_proj"], **changes}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    weights = (sample.folder / "adapter_model.safetensors").read_bytes()
    (folder / "adapter_model.safetensors").write_bytes(weights)
    return folder


def test_a_foreign_peft_folder_comes_in_with_the_same_logits(sample: Adapted, tmp_path: Path) -> None:
    path = foreign(sample, tmp_path / "theirs", base_model_name_or_path=str(tmp_path))
    folder = take_in(path / "adapter_model.safetensors", sample, tmp_path)
    torch.testing.assert_close(logits(folder, sample), sample.logits, atol=1e-5, rtol=0)
    assert str(tmp_path) not in (folder / "adapter_config.json").read_text()


def test_a_peft_folder_in_half_precision_comes_in(sample: Adapted, tmp_path: Path) -> None:
    path = foreign(sample, tmp_path / "theirs")
    whole = load_file(path / "adapter_model.safetensors")
    save_file({name: value.half() for name, value in whole.items()}, path / "adapter_model.safetensors")
    folder = take_in(path, sample, tmp_path)
    torch.testing.assert_close(logits(folder, sample), sample.logits, atol=2e-2, rtol=0)


def test_a_full_disk_is_said_and_leaves_nothing_in_the_library(
    sample: Adapted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    path = foreign(sample, tmp_path / "theirs")
    monkeypatch.setattr(adapters, "save_file", full)
    with pytest.raises(StorageError, match=r"The disk is full.*Free some space"):
        take_in(path, sample, tmp_path)
    assert list((tmp_path / "library").iterdir()) == []


def test_pefts_usual_scaling_is_translated(sample: Adapted, tmp_path: Path) -> None:
    """alpha / r = 2 / sqrt(3) with r = 3 needs alpha = 2 sqrt(3) there."""
    path = foreign(sample, tmp_path / "theirs", use_rslora=False, lora_alpha=2 * 3**0.5)
    torch.testing.assert_close(
        logits(take_in(path, sample, tmp_path), sample), sample.logits, atol=1e-5, rtol=0
    )
    wrong = foreign(sample, tmp_path / "other", use_rslora=False)
    assert (logits(take_in(wrong, sample, tmp_path), sample) - sample.logits).abs().max() > 1e-3


@pytest.mark.parametrize(
    "changes",
    [{"use_dora": True}, {"rank_pattern": {"q_proj": 8}}, {"bias": "all"}, {"init_lora_weights": "pissa"},
     {"r": 7}, {"r": -1}, {"lora_alpha": "2"}, {"peft_type": "LOHA"}, {"lora_dropout": 3}],
)  # fmt: skip
def test_what_is_more_than_plain_lora_is_refused(sample: Adapted, tmp_path: Path, changes) -> None:
    with pytest.raises(CheckpointError):
        take_in(foreign(sample, tmp_path / "theirs", **changes), sample, tmp_path)


def test_matrices_elsewhere_or_of_another_shape_are_refused(sample: Adapted, tmp_path: Path) -> None:
    path = foreign(sample, tmp_path / "theirs")
    whole = load_file(path / "adapter_model.safetensors")
    key = next(key for key in whole if "lora_A" in key)
    for wrong in (
        {**whole, "base_model.model.visual_projection.lora_A.weight": torch.zeros(3, 32)},
        {**whole, key.replace("layers.0", "layers.9"): whole[key].clone()},
        {**whole, key: torch.zeros(3, 7)},
        {**whole, key: torch.full_like(whole[key], torch.nan)},
        {name: value for name, value in whole.items() if name != key},
        {**whole, "something": torch.zeros(1)},
    ):
        save_file(wrong, path / "adapter_model.safetensors")
        with pytest.raises(CheckpointError):
            take_in(path, sample, tmp_path)


def test_an_import_is_exported_without_the_path_of_its_backbone(sample: Adapted, tmp_path: Path) -> None:
    folder = take_in(foreign(sample, tmp_path / "theirs"), sample, tmp_path)
    assert sample.backbone.checkpoint in (folder / "advclip.json").read_text()  # the user's own library
    out = export_adapter(folder, tmp_path / "out")
    for path in out.iterdir():
        assert str(tmp_path).encode() not in path.read_bytes()
        assert Path(sample.backbone.checkpoint).parent.name.encode() not in path.read_bytes()
    card = (out / "README.md").read_text()
    assert "is not recorded" in card
    assert "None were measured." in card


def test_the_top_blocks_alone_come_in(on_tiny: Callable[..., Adapted], tmp_path: Path) -> None:
    """A position that settings do not name: the last block of each tower."""
    sample = on_tiny(LoraSettings(rank=2, encoder="vision", layers=(2,)))
    ours = load_file(sample.folder / adapters.WEIGHTS_FILE)
    layer = {
        name: {
            f"w_lora_{part}": ours[
                f"base_model.model.vision_model.encoder.layers.2.self_attn.{name}.lora_{part}.weight"
            ].half()
            for part in "AB"
        }
        for name in ("q_proj", "k_proj", "v_proj")
    }
    metadata = {"r": 2, "alpha": 1, "encoder": "vision", "params": ["q", "k", "v"], "position": "top1"}
    torch.save({"weights": {"layer_0": layer}, "metadata": metadata}, tmp_path / "top.pt")
    folder = take_in(tmp_path / "top.pt", sample, tmp_path)
    torch.testing.assert_close(logits(folder, sample), sample.logits, atol=2e-2, rtol=0)  # half precision
    assert isinstance(sample.backbone, BackboneSettings)


@pytest.mark.parametrize(
    ("dtype", "encoder", "tolerance"),
    [(torch.float16, "text", 2e-2), (torch.bfloat16, "vision", 2e-1), (torch.float64, "text", 1e-5)],
)
def test_a_file_in_another_precision_comes_in_for_one_tower(
    on_tiny: Callable[..., Adapted], tmp_path: Path, dtype: torch.dtype, encoder: str, tolerance: float
) -> None:
    sample = on_tiny(LoraSettings(rank=2, encoder=encoder, matrices=("q", "o")))  # type: ignore[arg-type]
    out = export_adapter(sample.folder, tmp_path / "out", format="clip-lora")
    content = torch.load(out / "lora_weights.pt", weights_only=True)
    for layer in content["weights"].values():
        for parts in layer.values():
            parts.update({name: value.to(dtype) for name, value in parts.items()})
    torch.save(content, tmp_path / "other.pt")
    folder = take_in(tmp_path / "other.pt", sample, tmp_path)
    written = load_file(folder / adapters.WEIGHTS_FILE)
    assert {value.dtype for value in written.values()} == {torch.float32}
    assert (logits(folder, sample) - sample.logits).abs().max() < tolerance
    assert (sample.logits - sample.zero_shot).abs().max() > 2 * tolerance


def test_the_chosen_backbone_is_named_where_it_is_the_wrong_one(sample: Adapted, tmp_path: Path) -> None:
    """By its layers or widths, or where the folder itself says what it was trained on."""
    out = export_adapter(sample.folder, tmp_path / "out", format="clip-lora")
    wrong = BackboneSettings(name="ViT-B-16", weights="openai")
    for path in (out / "lora_weights.pt", foreign(sample, tmp_path / "theirs")):
        with pytest.raises(CheckpointError, match=r"the backbone ViT-B.16.*Choose the backbone"):
            take_in(path, sample, tmp_path, backbone=wrong)
    other = foreign(sample, tmp_path / "other", base_model_name_or_path="openai/clip-vit-base-patch32")
    from advclip_gui.engine.exchange.importing import _check_base

    with pytest.raises(CheckpointError, match=r"trained on openai/clip-vit-base-patch32, and ViT-B.16"):
        _check_base(other, wrong)
    _check_base(other, BackboneSettings(name="ViT-B-32", weights="openai"))
    _check_base(other, sample.backbone)  # a local file may be anything
