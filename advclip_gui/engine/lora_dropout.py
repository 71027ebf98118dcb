"""What is random in a training pass: LoRA's own dropout, and nothing else of the frozen backbone.

A batch computed in parts must drop what the whole batch would have dropped. So a part draws the masks
of all rows, which uses the generator up just as far, and takes its own rows of them.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

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


class RowDropout(nn.Dropout):
    """`nn.Dropout` of contiguous tensors, draw for draw; acts on some rows of a larger batch if asked."""

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
        if self.part is None:
            return super().forward(x)
        total, rows = self.part
        whole = F.dropout(x.new_ones(total, *x.shape[1:]), self.p, training=True)
        return x * whole[rows]


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
