"""What is random in a training pass: LoRA's own dropout, and nothing else of the frozen backbone.

A batch computed in parts must drop what the whole batch would have dropped. So a part draws the masks
of all rows, which uses the generator up just as far, and takes its own rows of them.
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from advclip_gui.engine.torchvision_cure import ensure_torchvision

ensure_torchvision()

from open_clip.transformer import PatchDropout as ClipPatchDropout  # noqa: E402 (imports torchvision)
from timm.layers import (  # noqa: E402
    DropPath,
    PatchDropout,
    PatchDropoutWithIndices,
    freeze_batch_norm_2d,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_RANDOM = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, DropPath, PatchDropout,
           PatchDropoutWithIndices, ClipPatchDropout)  # fmt: skip


_SIXTEEN_BITS = 1 << 16


def _kept_on_cpu(shape: torch.Size, p: float) -> Tensor:
    """Draw which numbers stay: booleans, each True with probability 1 - p, to 16 bits.

    A CPU draws one number after the other, which took a tenth of ViT-B/32's step: four decisions are
    taken from each draw of 64 bits.
    """
    count = math.prod(shape)
    draws = torch.empty((count + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
    threshold = round(p * _SIXTEEN_BITS) - _SIXTEEN_BITS // 2
    return draws.view(torch.int16)[:count].view(shape) >= threshold


class _Drop(torch.autograd.Function):
    """x * kept * scale, which keeps only the booleans for the backward pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kept: Tensor, scale: float) -> Tensor:
        ctx.save_for_backward(kept)
        ctx.scale = scale
        return x.mul(scale).mul_(kept)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (kept,) = ctx.saved_tensors
        return gradients[0].mul(ctx.scale).mul_(kept), None, None


class RowDropout(nn.Dropout):
    """Dropout from the global generator that can also act as on some rows of a larger batch."""

    def __init__(self, p: float) -> None:
        """Drop with probability `p`; `dropout_rows` chooses rows."""
        super().__init__(p)
        self.part: tuple[int, Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Drop from (N, ...), or from the N chosen rows of a batch (total, ...)."""
        if not self.training:
            return x
        # Which number meets which element depends on the memory layout; parts must have the batch's.
        x = x.contiguous()
        shape = x.shape if self.part is None else torch.Size((self.part[0], *x.shape[1:]))
        if x.device.type == "cpu":
            kept = _kept_on_cpu(shape, self.p)
            if self.part is not None:
                kept = kept[self.part[1]]
            dropped: Tensor = _Drop.apply(x, kept, 1 / (1 - self.p))  # type: ignore[no-untyped-call]
            return dropped
        if self.part is None:
            return super().forward(x)
        return x * F.dropout(x.new_ones(shape), self.p, training=True)[self.part[1]]


@contextmanager
def dropout_rows(model: nn.Module, total: int, rows: Tensor) -> Iterator[None]:
    """Within: the image tower's LoRA dropout treats its input as `rows` of a batch of `total`.

    Every pass through the image tower draws the masks of all `total` rows: from the same state of the
    global generator, the parts of a batch get the masks that the whole batch gets in one pass. Text
    features, computed whole, are not concerned.

    Args:
        model: an adapted open_clip model.
        total: rows of the whole batch.
        rows: (N,) int64, which of them the input holds, in its order.
    """
    layers = [module for module in model.get_submodule("visual").modules() if isinstance(module, RowDropout)]
    device = next(model.parameters()).device
    part = (total, rows.to(device))
    for layer in layers:
        layer.part = part
    try:
        yield
    finally:
        for layer in layers:
            layer.part = None


def replace_dropout(layer: Any, adapter: str) -> None:
    """Give a peft LoRA layer a `RowDropout` in place of its `nn.Dropout`."""
    plain = layer.lora_dropout[adapter]
    if isinstance(plain, nn.Dropout):
        layer.lora_dropout[adapter] = RowDropout(plain.p)


def keep_still(model: nn.Module) -> None:
    """Let a frozen backbone compute in training mode as it does in evaluation, in place.

    Only LoRA is trained: random depth, dropped patches and dropout go, and batch norms keep to their
    running statistics, which would otherwise drift and are not saved with the adapter.
    """
    for module in model.modules():
        for rate in ("p", "drop_prob", "prob"):
            if isinstance(module, _RANDOM) and hasattr(module, rate):
                setattr(module, rate, 0.0)
    for name, child in list(model.named_children()):
        setattr(model, name, freeze_batch_norm_2d(child))
