"""LoRA by hand against peft's layers, merging without drift, and files that come back the same."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from advclip_gui.engine import adapters
from advclip_gui.engine.classifier import build_classifier
from advclip_gui.engine.errors import BackboneError, CheckpointError
from advclip_gui.settings import LoraSettings

if TYPE_CHECKING:
    from advclip_gui.engine.attention import SplitAttention

CLASSES, TEMPLATES = ("cat", "ship"), ("a photo of a {}.",)


def adapted(backbone, **settings):
    place = adapters.placement(backbone.model, LoraSettings(**settings))
    adapters.adapt(backbone, place, seed=1)
    torch.manual_seed(2)
    for layer in adapters.lora_layers(backbone.model).values():
        torch.nn.init.normal_(layer.lora_B[adapters.ADAPTER].weight, std=0.3)
    return backbone


def lora_by_hand(x, weight, bias, a, b, alpha, rank):
    return F.linear(x, weight + alpha / rank**0.5 * (b @ a), bias)


def test_forward_equals_lora_written_by_hand(new_backbone) -> None:
    plain = new_backbone()
    backbone = adapted(new_backbone(), rank=3, alpha=2.0, dropout=0.0, matrices=("q", "v", "o"))
    attention = backbone.model.visual.transformer.resblocks[1].attn
    reference: SplitAttention = plain.model.visual.transformer.resblocks[1].attn
    x = torch.randn(2, 5, 32)
    for name in ("q_proj", "v_proj", "out_proj"):
        layer, base = getattr(attention, name), getattr(reference, name)
        a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
        expected = lora_by_hand(x, base.weight, base.bias, a, b, alpha=2.0, rank=3)
        torch.testing.assert_close(layer(x), expected)
    assert isinstance(attention.k_proj, torch.nn.Linear)


def test_published_start_is_zero_shot(backbone) -> None:
    classifier = build_classifier(backbone, CLASSES, TEMPLATES)
    pixels = torch.rand(3, 3, 16, 16)
    before = classifier(pixels)
    adapters.adapt(backbone, adapters.placement(backbone.model, LoraSettings()), seed=0)
    layers = adapters.lora_layers(backbone.model).values()
    assert all(not layer.lora_B["default"].weight.any() for layer in layers)
    bound = (6 / (1 + 5) / 32) ** 0.5  # Kaiming-uniform with a = sqrt(5) on 32 inputs
    assert all(layer.lora_A["default"].weight.abs().max() <= bound for layer in layers)
    assert all(layer.lora_A["default"].weight.std() > 0.4 * bound for layer in layers)
    torch.testing.assert_close(classifier(pixels), before)


@pytest.mark.parametrize(
    ("layers", "depth", "expected"),
    [
        ("all", 12, range(12)),
        ("bottom", 12, range(4)),
        ("mid", 12, range(4, 8)),
        ("up", 12, range(8, 12)),
        ("half-bottom", 12, range(6)),
        ("half-up", 12, range(6, 12)),
        ("top3", 12, range(9, 12)),
        ("mid", 6, range(2, 4)),
        ("top3", 2, range(2)),
        ("bottom", 1, range(1)),
        ("mid", 1, range(1)),
        ("mid", 2, range(1, 2)),
        ("up", 1, range(1)),
    ],
)
def test_layers_of_a_placement(layers, depth, expected) -> None:
    assert adapters.chosen_layers(layers, depth) == expected


def test_encoder_and_matrices_choose_the_targets(backbone) -> None:
    def names(**settings):
        return adapters.placement(backbone.model, LoraSettings(**settings)).targets

    assert all(name.startswith("visual.") for name in names(encoder="vision"))
    assert len(names(encoder="vision", matrices=("q", "k", "v", "o"))) == 3 * 4
    assert len(names(encoder="both")) == (3 + 2) * 3
    assert names(encoder="text", layers="top3", matrices=("v",)) == (
        "transformer.resblocks.0.attn.v_proj",
        "transformer.resblocks.1.attn.v_proj",
    )


def test_count_is_what_gets_trained(backbone) -> None:
    place = adapters.placement(backbone.model, LoraSettings(rank=3))
    promised = adapters.count_trainable(backbone.model, place)
    adapters.adapt(backbone, place, seed=0)
    assert sum(p.numel() for p in adapters.trainable_parameters(backbone.model)) == promised == 3 * 64 * 15


def test_merging_changes_nothing_but_the_way(new_backbone) -> None:
    backbone = adapted(new_backbone(), dropout=0.5)
    classifier = build_classifier(backbone, CLASSES, TEMPLATES)
    pixels = torch.rand(3, 3, 16, 16)
    unmerged = classifier(pixels)
    backbone.model.train()
    state = {name: value.clone() for name, value in backbone.model.state_dict().items()}
    flags = [p.requires_grad for p in backbone.model.parameters()]
    with adapters.merged(backbone.model):
        assert not any(module.training for module in backbone.model.modules())
        assert not any(p.requires_grad for p in backbone.model.parameters())
        torch.testing.assert_close(classifier(pixels), unmerged)
    after = backbone.model.state_dict()
    assert all(torch.equal(after[name], value) for name, value in state.items())
    assert [p.requires_grad for p in backbone.model.parameters()] == flags
    assert backbone.model.training


def test_merging_is_undone_when_the_work_inside_fails(new_backbone) -> None:
    backbone = adapted(new_backbone())
    before = backbone.model.visual.transformer.resblocks[0].attn.q_proj.base_layer.weight.clone()
    with pytest.raises(ZeroDivisionError), adapters.merged(backbone.model):
        raise ZeroDivisionError
    assert torch.equal(backbone.model.visual.transformer.resblocks[0].attn.q_proj.base_layer.weight, before)
    assert adapters.trainable_parameters(backbone.model)


def test_saved_and_loaded_adapters_predict_the_same(new_backbone, tmp_path) -> None:
    backbone = adapted(new_backbone(), rank=3, matrices=("q", "o"))
    pixels = torch.rand(4, 3, 16, 16)
    expected = build_classifier(backbone, CLASSES, TEMPLATES)(pixels)
    adapters.save_adapter(backbone, tmp_path / "adapter")
    fresh = new_backbone()
    assert not torch.allclose(build_classifier(fresh, CLASSES, TEMPLATES)(pixels), expected, atol=1e-3)
    adapters.load_adapter(fresh, tmp_path / "adapter")
    torch.testing.assert_close(build_classifier(fresh, CLASSES, TEMPLATES)(pixels), expected)
    assert fresh.placement == backbone.placement


def test_a_second_adapter_is_refused(new_backbone) -> None:
    backbone = adapted(new_backbone())
    with pytest.raises(BackboneError, match="already carries"):
        adapters.adapt(backbone, backbone.placement, seed=0)


class TestBadAdapters:
    @pytest.fixture
    def folder(self, new_backbone, tmp_path):
        adapters.save_adapter(adapted(new_backbone()), tmp_path / "adapter")
        return tmp_path / "adapter"

    def test_missing(self, backbone, tmp_path) -> None:
        with pytest.raises(CheckpointError, match="is no adapter"):
            adapters.load_adapter(backbone, tmp_path)

    def test_cut_off(self, backbone, folder) -> None:
        path = folder / adapters.WEIGHTS_FILE
        path.write_bytes(path.read_bytes()[:100])
        with pytest.raises(CheckpointError, match="cannot be read"):
            adapters.load_adapter(backbone, folder)

    def test_another_kind(self, backbone, folder) -> None:
        (folder / adapters.CONFIG_FILE).write_text('{"peft_type": "IA3"}')
        with pytest.raises(CheckpointError, match="not a LoRA adapter"):
            adapters.load_adapter(backbone, folder)

    def test_for_a_deeper_model(self, backbone, folder) -> None:
        config = json.loads((folder / adapters.CONFIG_FILE).read_text())
        config["target_modules"] = ["vision_model.encoder.layers.30.self_attn.q_proj"]
        (folder / adapters.CONFIG_FILE).write_text(json.dumps(config))
        with pytest.raises(BackboneError, match=r"layers\.30"):
            adapters.load_adapter(backbone, folder)

    def test_with_numbers_that_are_none(self, backbone, folder) -> None:
        state = load_file(folder / adapters.WEIGHTS_FILE)
        next(iter(state.values()))[0, 0] = torch.nan
        save_file(state, folder / adapters.WEIGHTS_FILE)
        with pytest.raises(CheckpointError, match="NaN"):
            adapters.load_adapter(backbone, folder)
