"""The streamlined vision tower: same features, same gradients, same names, less work."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from advclip_gui.engine import adapters
from advclip_gui.engine.attention import split_attention
from advclip_gui.engine.streamline import ClassTokenBlock, PatchProduct, read_at, streamline
from advclip_gui.settings import LoraSettings


@pytest.fixture
def pair(new_backbone):
    """The same backbone twice, the second one streamlined."""
    plain, fast = (without_streamline(new_backbone) for _ in range(2))
    streamline(fast.model)
    return plain, fast


def without_streamline(new_backbone):
    backbone = new_backbone(split=False)
    split_attention(backbone.model)
    backbone.model.double()  # so that nothing but rounding at 1e-16 hides a difference
    return backbone


def pixels() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(3, 3, 16, 16, generator=generator, dtype=torch.float64).requires_grad_(True)


def test_same_features_and_pixel_gradients(pair) -> None:
    plain, fast = pair
    x, direction = pixels(), torch.randn(3, 16, dtype=torch.float64)
    expected, found = plain.model.visual(x), fast.model.visual(x)
    torch.testing.assert_close(found, expected)
    (before,) = torch.autograd.grad((expected * direction).sum(), x)
    (after,) = torch.autograd.grad((found * direction).sum(), x)
    torch.testing.assert_close(after, before)


def test_same_adapter_gradients(pair) -> None:
    gradients = []
    for backbone in pair:
        place = adapters.placement(backbone.model, LoraSettings(dropout=0.0, encoder="vision"))
        adapters.adapt(backbone, place, seed=0)
        backbone.model.double()
        matrices = adapters.trainable_parameters(backbone.model)
        with torch.no_grad():
            for number, matrix in enumerate(matrices):
                matrix.copy_(torch.randn(matrix.shape, generator=torch.Generator().manual_seed(number)))
        loss = backbone.model.visual(pixels()).square().sum()
        gradients.append(torch.autograd.grad(loss, matrices))
    for expected, found in zip(*gradients, strict=True):
        torch.testing.assert_close(found, expected)


def test_names_stay_and_work_shrinks(pair) -> None:
    plain, fast = pair
    assert list(plain.model.state_dict()) == list(fast.model.state_dict())
    assert type(fast.model.visual.conv1) is PatchProduct
    assert type(fast.model.visual.transformer.resblocks[-1]) is ClassTokenBlock
    work = []
    for backbone in (plain, fast):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            backbone.model.visual(pixels())
        work.append(counter.get_total_flops())
    assert work[1] < 0.85 * work[0]  # three blocks: most of a third of 5/6


@pytest.mark.parametrize("kind", ["causal", "open"])
def test_a_text_tower_is_read_at_one_token(pair, kind) -> None:
    model = pair[0].model
    mask = model.attn_mask[:9, :9].double() if kind == "causal" else None
    x, positions = torch.randn(4, 9, 32, dtype=torch.float64), torch.tensor([8, 3, 0, 5])
    expected = model.transformer(x, attn_mask=mask)[torch.arange(4), positions]
    torch.testing.assert_close(read_at(model.transformer, x, positions, mask), expected)
    with FlopCounterMode(display=False) as whole:
        model.transformer(x, attn_mask=mask)
    with FlopCounterMode(display=False) as read:
        read_at(model.transformer, x, positions, mask)
    assert read.get_total_flops() < 0.7 * whole.get_total_flops()  # two blocks


def test_twice_is_once(pair) -> None:
    _, fast = pair
    blocks = list(fast.model.visual.transformer.resblocks)
    streamline(fast.model)
    assert list(fast.model.visual.transformer.resblocks) == blocks


def test_other_ways_of_pooling_keep_every_token(new_backbone) -> None:
    backbone = without_streamline(new_backbone)
    backbone.model.visual.pool_type = "avg"
    x = pixels()
    expected = backbone.model.visual(x)
    streamline(backbone.model)
    assert type(backbone.model.visual.transformer.resblocks[-1]) is not ClassTokenBlock
    torch.testing.assert_close(backbone.model.visual(x), expected)


def test_overlapping_patches_stay_a_convolution(new_backbone) -> None:
    backbone = without_streamline(new_backbone)
    backbone.model.visual.conv1.stride = (4, 4)
    streamline(backbone.model)
    assert type(backbone.model.visual.conv1) is not PatchProduct
