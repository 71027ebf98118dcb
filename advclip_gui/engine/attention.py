"""What the two towers of a model are made of, and how their fused attention is split for LoRA."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from torch import nn

from advclip_gui.engine.errors import BackboneError
from advclip_gui.engine.split_modules import (
    PROJECTIONS,
    TIMM_ATTENTIONS,
    SplitAttention,
    SplitTimmAttention,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from advclip_gui.settings import Matrix

__all__ = ["PROJECTIONS", "WAY_OUT", "Block", "SplitAttention", "SplitTimmAttention", "TextTower",
           "split_attention", "text_tower", "tower_blocks"]  # fmt: skip

WAY_OUT: Final = "Choose a transformer such as ViT-B-32, ViT-B-16-SigLIP, EVA02-B-16 or MobileCLIP-B."
_SPLIT: Final = (SplitAttention, SplitTimmAttention)
_KNOWN: Final = (nn.MultiheadAttention, *TIMM_ATTENTIONS, *_SPLIT)


@dataclass(frozen=True, slots=True)
class Block:
    """A residual block that carries attention.

    Attributes:
        path: of the block in the model.
        module: the block.
        attention_name: of its attention, as an attribute of the block.
    """

    path: str
    module: nn.Module
    attention_name: str

    @property
    def attention(self) -> nn.Module:
        """The attention as it is now, fused or split."""
        attention: nn.Module = getattr(self.module, self.attention_name)
        return attention

    def targets(self, matrix: Matrix) -> tuple[str, ...]:
        """Full names, in the split model, of the linear layers that a setting means.

        Raises:
            BackboneError: an MLP is meant, and it holds convolutions instead.
        """
        if matrix != "mlp":
            return (f"{self.path}.{self.attention_name}.{PROJECTIONS[matrix]}",)
        names = self.linear_mlp()
        if not names:
            raise BackboneError(
                f"The MLP of {self.path} has no linear layers; it is made of convolutions.",
                "Leave 'mlp' out of the matrices.",
            )
        return names

    def linear_mlp(self) -> tuple[str, ...]:
        """Full names of the MLP's linear layers, none where it is made of convolutions."""
        return tuple(_linear_layers(self.module.get_submodule("mlp"), f"{self.path}.mlp"))


def _linear_layers(module: nn.Module, path: str) -> Iterator[str]:
    for name, child in module.named_children():
        if isinstance(child, nn.Linear) or hasattr(child, "base_layer"):  # the latter: adapted already
            yield f"{path}.{name}"
        else:
            yield from _linear_layers(child, f"{path}.{name}")


def tower_blocks(model: nn.Module) -> dict[str, tuple[Block, ...]]:
    """Return the blocks of both towers that carry attention, bottom up: {"vision": ..., "text": ...}.

    Blocks without attention (a network of convolutions with a few attention stages at its end) are
    passed over and do not count.

    Raises:
        BackboneError: a tower has no such block, or one whose attention cannot be split.
    """
    roots = {"vision": "visual", "text": "text" if hasattr(model, "text") else "transformer"}
    found: dict[str, tuple[Block, ...]] = {}
    for tower, path in roots.items():
        root = getattr(model, path, None)
        blocks = tuple(_blocks(root, path)) if isinstance(root, nn.Module) else ()
        if not blocks:
            kind = "missing" if root is None else f"a {type(getattr(root, 'trunk', root)).__name__}"
            raise BackboneError(
                f"The {tower} tower of this model is {kind} without attention blocks; "
                "LoRA cannot be placed on it.",
                WAY_OUT,
            )
        for index, block in enumerate(blocks):
            if type(block.attention) not in _KNOWN:  # a subclass may compute something else
                raise BackboneError(
                    f"Block {index} of the {tower} tower has a {type(block.attention).__name__}, "
                    "which cannot be split into q, k and v projections.",
                    WAY_OUT,
                )
        found[tower] = blocks
    return found


def _blocks(module: nn.Module, path: str) -> Iterator[Block]:
    """Modules that hold an MLP and, beside it, an attention."""
    children = dict(module.named_children())
    if "mlp" in children:
        names = [name for name, child in children.items() if name == "attn" or type(child) in _KNOWN]
        if names:
            yield Block(path, module, names[0])
            return
    for name, child in children.items():
        yield from _blocks(child, f"{path}.{name}")


def split_attention(model: nn.Module) -> None:
    """Replace every fused attention of both towers, in place; a split model is left as it is.

    Raises:
        BackboneError: a tower has no attention, or one that cannot be split.
    """
    for blocks in tower_blocks(model).values():
        for block in blocks:
            attention = block.attention
            if isinstance(attention, nn.MultiheadAttention):
                setattr(block.module, block.attention_name, SplitAttention(attention))
            elif type(attention) in TIMM_ATTENTIONS:
                setattr(block.module, block.attention_name, SplitTimmAttention(attention))


@dataclass(frozen=True, slots=True)
class TextTower:
    """How a text tower reads its answer.

    Attributes:
        module: where embedding, transformer, final norm and projection are found.
        pool: "argmax" (largest token number), "eos" (first such token), "last" or "first".
        eos: number of the end-of-text token, for "eos".
        causal: no token sees a later one.
    """

    module: Any
    pool: str
    eos: int
    causal: bool

    @property
    def can_be_cut(self) -> bool:
        """Whether what stands behind the end-of-text token changes nothing."""
        return self.causal and self.pool in {"argmax", "eos"}


def text_tower(model: Any) -> TextTower:
    """Describe the text tower of an open_clip ``CLIP`` or ``CustomTextCLIP``.

    Raises:
        BackboneError: it reads its answer in a way that is not supported.
    """
    if hasattr(model, "text"):
        module = model.text
        pool, eos = getattr(module, "pool_type", ""), getattr(module, "eos_id", 0)
    else:
        module = model
        pool, eos = getattr(model, "text_pool_type", "argmax"), getattr(model, "text_eos_id", 0)
    unusual = getattr(module, "cls_emb", None) is not None or getattr(module, "use_pad_mask", False)
    if unusual or pool not in {"argmax", "eos", "last", "first"}:
        raise BackboneError(
            "The text tower of this model is not read at one of its prompt's tokens, which is needed here.",
            WAY_OUT,
        )
    return TextTower(module, pool, int(eos), module.attn_mask is not None)
