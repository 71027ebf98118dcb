"""The split attention computes what open_clip's fused one does."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from advclip_gui.engine.attention import SplitAttention, split_attention, tower_blocks
from advclip_gui.engine.errors import BackboneError


@pytest.mark.parametrize("length", [5, 400])
@pytest.mark.parametrize("masked", [False, True])
def test_split_equals_fused(length: int, masked: bool) -> None:
    torch.manual_seed(0)
    fused = nn.MultiheadAttention(24, 3, batch_first=True).eval()
    nn.init.normal_(fused.in_proj_bias)
    nn.init.normal_(fused.out_proj.bias)
    mask = torch.full((length, length), float("-inf")).triu(1) if masked else None
    x = torch.randn(2, length, 24)
    expected = fused(x, x, x, need_weights=False, attn_mask=mask)[0]
    torch.testing.assert_close(SplitAttention(fused)(x, x, x, attn_mask=mask)[0], expected)


def test_features_of_both_towers_stay(new_backbone) -> None:
    fused, split = new_backbone(split=False), new_backbone()
    pixels = torch.rand(2, 3, 16, 16)
    tokens = fused.tokenizer(["a photo of a cat.", "a ship"])
    torch.testing.assert_close(split.model.encode_image(pixels), fused.model.encode_image(pixels))
    torch.testing.assert_close(split.model.encode_text(tokens), fused.model.encode_text(tokens))


def test_splitting_twice_changes_nothing(backbone) -> None:
    before = dict(backbone.model.named_modules())
    split_attention(backbone.model)
    assert dict(backbone.model.named_modules()) == before


def test_a_block_with_another_attention_is_named(new_backbone) -> None:
    backbone = new_backbone(split=False)
    tower_blocks(backbone.model)["vision"][1].module.attn = nn.Identity()
    with pytest.raises(BackboneError, match="Block 1 of the vision tower has a Identity"):
        split_attention(backbone.model)


def test_a_model_without_transformer_towers_is_refused() -> None:
    with pytest.raises(BackboneError, match="vision tower"):
        split_attention(nn.Linear(2, 2))


@pytest.mark.parametrize("adapted", [False, True])
def test_joined_projections_give_the_same_features_and_gradients(new_backbone, adapted) -> None:
    """What is only asked from now on computes q, k and v in one product."""
    from advclip_gui.engine import adapters
    from advclip_gui.engine.split_modules import join_projections
    from advclip_gui.settings import LoraSettings

    backbone = new_backbone()
    if adapted:
        adapters.adapt(backbone, adapters.placement(backbone.model, LoraSettings(rank=3)), seed=0)
        for layer in adapters.lora_layers(backbone.model).values():
            torch.nn.init.normal_(layer.lora_B["default"].weight, std=0.3)
        adapters.merge_for_inference(backbone.model)
    pixels = torch.rand((2, 3, 16, 16), generator=torch.Generator().manual_seed(1))
    tokens = backbone.tokenizer(["a cat", "a dog on a boat"])

    def answers() -> list[torch.Tensor]:
        asked = pixels.clone().requires_grad_(True)
        image = backbone.model.encode_image(asked)
        (gradient,) = torch.autograd.grad(image.square().sum(), asked)
        return [image.detach(), gradient, backbone.model.encode_text(tokens)]

    before = answers()
    names = {name: value.clone() for name, value in backbone.model.state_dict().items()}
    join_projections(backbone.model)
    for here, there in zip(answers(), before, strict=True):
        torch.testing.assert_close(here, there, atol=1e-6, rtol=1e-5)
    after = backbone.model.state_dict()
    assert after.keys() == names.keys()
    assert all(torch.equal(after[name], value) for name, value in names.items())
    joined = [module for module in backbone.model.modules() if getattr(module, "_joined", None) is not None]
    assert len(joined) == 5
    assert (
        joined[0]._joined[0].data_ptr()
        == joined[0]
        .q_proj.state_dict()
        .get("weight", joined[0].q_proj.state_dict().get("base_layer.weight"))
        .data_ptr()
    )  # no second copy
