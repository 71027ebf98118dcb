"""Split fused attention into q, k, v and output projections that peft can adapt.

``nn.MultiheadAttention`` and timm's attentions keep q, k and v in one weight, so a LoRA layer cannot be
put on one of them. peft's own wrapper shares one ``A`` over all three, which is not the published method.
Here every projection becomes an ordinary ``nn.Linear`` with the same weights and the same result.
"""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from advclip_gui.engine.errors import BackboneError
from advclip_gui.engine.torchvision_cure import ensure_torchvision

ensure_torchvision()

from timm.layers import apply_rot_embed_cat  # noqa: E402 (timm imports torchvision)
from timm.models import eva, fastvit, vision_transformer  # noqa: E402

PROJECTIONS = {"q": "q_proj", "k": "k_proj", "v": "v_proj", "o": "out_proj"}
"""Setting to module name, which is also Hugging Face's."""

TIMM_ATTENTIONS: Final[tuple[type[nn.Module], ...]] = tuple(
    kind
    for kind in (
        vision_transformer.Attention,
        eva.EvaAttention,
        getattr(eva, "AttentionRope", None),  # of newer timm only
        fastvit.Attention,
    )
    if kind is not None
)
"""Plain softmax attentions of timm: no relative position bias, no windows."""

_PLAIN_ATTENTION_LENGTH = 300
"""Up to this many tokens two plain products beat the fused CPU kernel, whose backward is slow."""


class SplitAttention(nn.Module):
    """`nn.MultiheadAttention` over one sequence with separate projections; same result."""

    def __init__(self, fused: nn.MultiheadAttention) -> None:
        """Take over the weights of `fused`, without copying them twice.

        Raises:
            BackboneError: the module has features CLIP does not use.
        """
        super().__init__()
        parameters = dict(fused.named_parameters(recurse=False))
        in_proj_weight = parameters.get("in_proj_weight")  # absent where q, k, v differ in width
        in_proj_bias = parameters.get("in_proj_bias")
        if in_proj_weight is None or fused.bias_k is not None or fused.add_zero_attn or not fused.batch_first:
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
        self.out_proj = _linear_like(fused.out_proj)
        self._joined: tuple[Tensor, Tensor | None] | None = None

    def join(self) -> None:
        """Compute q, k and v in one product from now on; for weights that never change again.

        The numbers are the same. The three layers stay, as views of the joined weights. LoRA must have
        been folded in: what is beside a layer's weights is passed by.
        """
        layers = [_base(layer) for layer in (self.q_proj, self.k_proj, self.v_proj)]
        weight = torch.cat([layer.weight.detach() for layer in layers])
        bias = None
        if all(layer.bias is not None for layer in layers):
            bias = torch.cat([layer.bias.detach() for layer in layers])
        elif any(layer.bias is not None for layer in layers):
            return
        for layer, part in zip(layers, weight.chunk(3), strict=True):
            layer.weight.data = part
        self._joined = weight, bias

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, *, attn_mask: Tensor | None = None, **_: Any
    ) -> tuple[Tensor, None]:
        """(N, L, W) x 3 -> (N, L, W); `attn_mask` (L, L) is added to the scores."""
        batch, length, width = query.shape

        def heads(x: Tensor) -> Tensor:
            return x.view(batch, -1, self.num_heads, self.head_width).transpose(1, 2)

        if self._joined is not None and query is key is value:
            q, k, v = (heads(x) for x in F.linear(query, *self._joined).chunk(3, dim=-1))
        else:
            q, k, v = heads(self.q_proj(query)), heads(self.k_proj(key)), heads(self.v_proj(value))
        mixed = _mix(q, k, v, attn_mask)
        return self.out_proj(mixed.transpose(1, 2).reshape(batch, length, width)), None


def _base(layer: Any) -> Any:
    """The linear layer itself, where an adapter is put around it."""
    return layer.get_base_layer() if hasattr(layer, "get_base_layer") else layer


def join_projections(model: nn.Module) -> None:
    """`SplitAttention.join` wherever there is one: a model that is only asked from now on."""
    for module in model.modules():
        if isinstance(module, SplitAttention):
            module.join()


class SplitTimmAttention(nn.Module):
    """One of `TIMM_ATTENTIONS` with separate projections; same result as the fused module.

    Rotary positions, norms of q and k, the norm and gate before the output projection, biases on some
    of the projections only, and fewer heads for k and v are all kept. Dropout on scores and output is
    left out: a frozen backbone computes as in evaluation.
    """

    def __init__(self, fused: Any) -> None:
        """Take over the weights of `fused`, without copying them twice.

        Args:
            fused: one of `TIMM_ATTENTIONS`.
        """
        super().__init__()
        self.head_width: int = fused.head_dim
        self.spatial = isinstance(fused, fastvit.Attention)
        self.prefix_tokens: int = getattr(fused, "num_prefix_tokens", 0)
        self.rotate_half: bool = getattr(fused, "rotate_half", False)
        self.q_norm: nn.Module = getattr(fused, "q_norm", nn.Identity())
        self.k_norm: nn.Module = getattr(fused, "k_norm", nn.Identity())
        self.norm: nn.Module = getattr(fused, "norm", nn.Identity())
        self.gate: nn.Module | None = getattr(fused, "gate", None)
        if fused.qkv is None:
            self.q_proj, self.k_proj, self.v_proj = (
                _linear_like(layer) for layer in (fused.q_proj, fused.k_proj, fused.v_proj)
            )
        else:
            biases: tuple[Tensor | None, ...] = (None,) * 3
            if fused.qkv.bias is not None:
                biases = fused.qkv.bias.detach().chunk(3)
            elif getattr(fused, "q_bias", None) is not None:  # EVA: none on k
                biases = fused.q_bias.detach(), None, fused.v_bias.detach()
            weights = fused.qkv.weight.detach().chunk(3)
            self.q_proj, self.k_proj, self.v_proj = (
                _linear(weight, bias) for weight, bias in zip(weights, biases, strict=True)
            )
        self.out_proj = _linear_like(fused.proj)

    def forward(
        self,
        x: Tensor,
        rope: Tensor | None = None,
        attn_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        """(N, L, W) -> (N, L, W), or (N, W, H, W') both ways in a convolutional network.

        Args:
            x: tokens, or a feature map.
            rope: (L - prefix, 2 * head width) rotary embedding of q and k.
            attn_mask: (..., L, L), added to the scores; of booleans, True lets a key through.
            is_causal: no token sees a later one; `attn_mask` must then be None.
        """
        shape = x.shape
        if self.spatial:
            x = x.flatten(2).transpose(1, 2).contiguous()
        batch, length, _ = x.shape

        def heads(y: Tensor) -> Tensor:
            return y.view(batch, length, -1, self.head_width).transpose(1, 2)

        q, k, v = heads(self.q_proj(x)), heads(self.k_proj(x)), heads(self.v_proj(x))
        q, k = self.q_norm(q), self.k_norm(k)
        if rope is not None:
            q, k = self._rotated(q, rope).type_as(v), self._rotated(k, rope).type_as(v)
        groups = q.shape[1] // k.shape[1]
        if groups > 1:
            k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
        if is_causal:
            attn_mask = torch.ones(length, length, dtype=torch.bool, device=x.device).tril()
        mixed = self.norm(_mix(q, k, v, attn_mask).transpose(1, 2).flatten(2))
        if self.gate is not None:
            mixed = mixed * self.gate(x).sigmoid()
        out: Tensor = self.out_proj(mixed)
        return out.transpose(1, 2).reshape(shape) if self.spatial else out

    def _rotated(self, x: Tensor, rope: Tensor) -> Tensor:
        """Rotate all but the prefix (class) tokens."""
        still, moving = x[:, :, : self.prefix_tokens], x[:, :, self.prefix_tokens :]
        more = {"half": True} if self.rotate_half else {}
        moved: Tensor = apply_rot_embed_cat(moving, rope, **more)
        return torch.cat([still, moved], dim=2)


def _mix(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """softmax(q k^T / sqrt(head width) + mask) v, all (N, heads, L, head width)."""
    if q.device.type == "cpu" and q.shape[-2] <= _PLAIN_ATTENTION_LENGTH:
        scale: float = q.shape[-1] ** -0.5
        scores = (q * scale) @ k.transpose(-2, -1)
        if mask is not None:
            allowed = mask.dtype == torch.bool
            scores = scores.masked_fill(~mask, float("-inf")) if allowed else scores + mask
        return scores.softmax(-1).to(v.dtype) @ v
    if mask is not None and mask.dtype != torch.bool:
        mask = mask.to(q.dtype)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    with torch.device("meta"):
        layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    layer.weight = nn.Parameter(weight.clone())
    if bias is not None:
        layer.bias = nn.Parameter(bias.clone())
    return layer


def _linear_like(layer: nn.Module) -> nn.Linear:
    parameters = dict(layer.named_parameters())
    return _linear(
        parameters["weight"].detach(), parameters["bias"].detach() if "bias" in parameters else None
    )
