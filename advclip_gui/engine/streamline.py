"""The same features with less work: what nothing reads is not computed.

Two changes to an open_clip vision transformer, in place, with the same weights under the same names:

- The class token is all that is read behind the last block, so that block computes its query,
  its output projection and its MLP for this token only (keys and values still see every token).
- Patches do not overlap, so cutting them out and one matrix product replace the convolution, whose
  backward pass to the pixels is slow on a CPU.

A text tower is read at one token of each prompt, another one in each: see `read_at`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from advclip_gui.engine.split_modules import SplitAttention
from advclip_gui.engine.torchvision_cure import ensure_torchvision

ensure_torchvision()

from open_clip.transformer import ResidualAttentionBlock, VisionTransformer  # noqa: E402 (needs the cure)


class ClassTokenBlock(nn.Module):
    """A residual attention block that answers for the first token alone."""

    def __init__(self, block: ResidualAttentionBlock) -> None:
        """Take over the parts of a block, under their names."""
        super().__init__()
        self.ln_1, self.attn, self.ls_1 = block.ln_1, block.attn, block.ls_1
        self.ln_2, self.mlp, self.ls_2 = block.ln_2, block.mlp, block.ls_2

    def forward(self, x: Tensor, *, attn_mask: Tensor | None = None) -> Tensor:
        """(N, L, W) -> (N, 1, W)."""
        if attn_mask is not None:
            raise ValueError("a vision tower has no attention mask")
        normed = self.ln_1(x)
        return _answer(self, x[:, :1], normed[:, :1], normed, None)


def _answer(block: Any, x: Tensor, queries: Tensor, normed: Tensor, mask: Tensor | None) -> Tensor:
    """What a block makes of x (N, 1, W), whose queries look at all of the normed tokens (N, L, W)."""
    mixed: Tensor = x + block.ls_1(block.attn(queries, normed, normed, attn_mask=mask)[0])
    answer: Tensor = mixed + block.ls_2(block.mlp(block.ln_2(mixed)))
    return answer


def read_at(transformer: Any, x: Tensor, positions: Tensor, mask: Tensor | None) -> Tensor:
    """Run a text transformer and return its output at one token of each prompt.

    Args:
        transformer: open_clip's, with split attention.
        x: embedded prompts, (N, L, W).
        positions: (N,) int64, which token of each prompt is read.
        mask: (L, L), added to the scores.

    Returns:
        (N, W); in the last block nothing else is computed, if it is a plain residual block.
    """
    rows = torch.arange(len(x), device=x.device)
    *blocks, last = transformer.resblocks
    if type(last) is not ResidualAttentionBlock or not isinstance(last.attn, SplitAttention):
        whole: Tensor = transformer(x, attn_mask=mask)
        return whole[rows, positions]
    for block in blocks:
        x = block(x, attn_mask=mask)
    normed = last.ln_1(x)
    seen = None if mask is None else mask[positions][:, None, None]
    read = (rows, positions)
    return _answer(last, x[read][:, None], normed[read][:, None], normed, seen)[:, 0]


class PatchProduct(nn.Conv2d):
    """A convolution whose stride is its kernel, as a matrix product over patches."""

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, D, H / P, W / P)."""
        count, channels, height, width = input.shape
        down, right = self.kernel_size
        rows, columns = height // down, width // right
        patches = input[:, :, : rows * down, : columns * right]
        patches = patches.reshape(count, channels, rows, down, columns, right).permute(0, 2, 4, 1, 3, 5)
        product = F.linear(patches.reshape(count, rows * columns, -1), self.weight.flatten(1), self.bias)
        return product.transpose(1, 2).reshape(count, -1, rows, columns)


def streamline(model: Any) -> None:
    """Change what can be changed in a model's vision tower; other towers are left as they are.

    Args:
        model: an open_clip CLIP whose attention is split.
    """
    visual = model.visual
    if not isinstance(visual, VisionTransformer):
        return
    if _is_patch_product(visual.conv1):
        visual.conv1 = _patch_product(visual.conv1)
    reads_class_token = visual.pool_type == "tok" and visual.attn_pool is None and not visual.output_tokens
    blocks = visual.transformer.resblocks
    if reads_class_token and type(blocks[-1]) is ResidualAttentionBlock:
        blocks[-1] = ClassTokenBlock(blocks[-1])


def _is_patch_product(convolution: nn.Conv2d) -> bool:
    return (
        type(convolution) is nn.Conv2d
        and convolution.kernel_size == convolution.stride
        and convolution.padding in {(0, 0), 0}
        and convolution.dilation == (1, 1)
        and convolution.groups == 1
    )


def _patch_product(convolution: nn.Conv2d) -> PatchProduct:
    down, right = convolution.kernel_size
    with torch.device("meta"):
        product = PatchProduct(
            convolution.in_channels,
            convolution.out_channels,
            (down, right),
            (down, right),
            bias=convolution.bias is not None,
        )
    product.weight, product.bias = convolution.weight, convolution.bias
    return product
