"""Split open_clip's fused attention into q, k, v and output projections that peft can adapt.

``nn.MultiheadAttention`` keeps q, k and v in one weight and calls it through a function, so a LoRA
layer cannot be put on one of them. peft's own wrapper shares one ``A`` over all three, which is not
the published method. Here every projection becomes an ordinary ``nn.Linear`` with the same weights.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from advclip_gui.engine.errors import BackboneError

PROJECTIONS = {"q": "q_proj", "k": "k_proj", "v": "v_proj", "o": "out_proj"}
"""Setting to module name, which is also Hugging Face's."""

_PLAIN_ATTENTION_LENGTH = 300
"""Up to this many tokens two plain products beat the fused CPU kernel, whose backward is slow."""


class SplitAttention(nn.Module):
    """Multi-head self-attention with separate projections; same result as the fused module."""

    def __init__(self, fused: nn.MultiheadAttention) -> None:
        """Take over the weights of `fused`, without copying them twice.

        Raises:
            BackboneError: the module has features CLIP does not use.
        """
        super().__init__()
        parameters = dict(fused.named_parameters(recurse=False))
        in_proj_weight = parameters.get("in_proj_weight")  # absent where q, k, v differ in width
        in_proj_bias = parameters.get("in_proj_bias")
        if (
            in_proj_weight is None
            or fused.bias_k is not None
            or fused.add_zero_attn
            or not fused.batch_first
        ):
            raise BackboneError(
                "This model's attention is not the plain self-attention that LoRA is put on here."
            )
        width = fused.embed_dim
        self.num_heads = fused.num_heads
        self.head_width = width // fused.num_heads
        weights = in_proj_weight.detach().chunk(3)
        biases = (None,) * 3 if in_proj_bias is None else in_proj_bias.detach().chunk(3)
        self.q_proj, self.k_proj, self.v_proj = (
            _linear(weight, bias) for weight, bias in zip(weights, biases, strict=True)
        )
        out = dict(fused.out_proj.named_parameters())
        self.out_proj = _linear(out["weight"].detach(), out["bias"].detach() if "bias" in out else None)

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, *, attn_mask: Tensor | None = None, **_: Any
    ) -> tuple[Tensor, None]:
        """(N, L, W) x 3 -> (N, L, W); `attn_mask` (L, L) is added to the scores."""
        batch, length, width = query.shape

        def heads(x: Tensor) -> Tensor:
            return x.view(batch, -1, self.num_heads, self.head_width).transpose(1, 2)

        q, k, v = heads(self.q_proj(query)), heads(self.k_proj(key)), heads(self.v_proj(value))
        if query.device.type == "cpu" and length <= _PLAIN_ATTENTION_LENGTH:
            scores = (q * self.head_width**-0.5) @ k.transpose(-2, -1)
            if attn_mask is not None:
                scores = scores + attn_mask
            mixed = scores.softmax(-1).to(v.dtype) @ v
        else:
            mask = None if attn_mask is None else attn_mask.to(q.dtype)
            mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.out_proj(mixed.transpose(1, 2).reshape(batch, length, width)), None


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    with torch.device("meta"):
        layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    layer.weight = nn.Parameter(weight.clone())
    if bias is not None:
        layer.bias = nn.Parameter(bias.clone())
    return layer


def tower_blocks(model: nn.Module) -> dict[str, nn.ModuleList]:
    """Return the residual blocks of both towers, {"vision": ..., "text": ...}.

    Raises:
        BackboneError: the model has no transformer towers of the known shape.
    """
    towers = {"vision": "visual.transformer.resblocks", "text": "transformer.resblocks"}
    found: dict[str, nn.ModuleList] = {}
    for tower, path in towers.items():
        module: Any = model
        for part in path.split("."):
            module = getattr(module, part, None)
        if not isinstance(module, nn.ModuleList):
            raise BackboneError(
                f"The {tower} tower of this model is no open_clip transformer; LoRA cannot be placed on it.",
                "Choose a ViT model such as ViT-B-32 or ViT-B-16.",
            )
        found[tower] = module
    return found


def split_attention(model: nn.Module) -> None:
    """Replace every fused attention of both towers, in place; a split model is left as it is.

    Raises:
        BackboneError: a block has an attention of another kind.
    """
    for tower, blocks in tower_blocks(model).items():
        for index, block in enumerate(blocks):
            attention = block.attn
            if isinstance(attention, SplitAttention):
                continue
            if type(attention) is not nn.MultiheadAttention:
                raise BackboneError(
                    f"Block {index} of the {tower} tower has a {type(attention).__name__}, "
                    "which cannot be split into q, k and v projections."
                )
            block.attn = SplitAttention(attention)
