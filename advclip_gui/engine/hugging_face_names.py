"""Give the tensors of transformers' `CLIPModel` the names and shapes they have in open_clip."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import torch

from advclip_gui.engine.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

_LAYER: Final = re.compile(r"(text|vision)_model\.encoder\.layers\.(\d+)\.(.+)")
_BLOCKS: Final = {"text": "transformer.resblocks", "vision": "visual.transformer.resblocks"}
_IN_BLOCK: Final = {
    "self_attn.out_proj": "attn.out_proj",
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}
_OUTSIDE: Final = {
    "logit_scale": "logit_scale",
    "text_model.embeddings.token_embedding.weight": "token_embedding.weight",
    "text_model.embeddings.position_embedding.weight": "positional_embedding",
    "text_model.final_layer_norm.weight": "ln_final.weight",
    "text_model.final_layer_norm.bias": "ln_final.bias",
    "vision_model.embeddings.class_embedding": "visual.class_embedding",
    "vision_model.embeddings.patch_embedding.weight": "visual.conv1.weight",
    "vision_model.embeddings.position_embedding.weight": "visual.positional_embedding",
    "vision_model.pre_layrnorm.weight": "visual.ln_pre.weight",
    "vision_model.pre_layrnorm.bias": "visual.ln_pre.bias",
    "vision_model.post_layernorm.weight": "visual.ln_post.weight",
    "vision_model.post_layernorm.bias": "visual.ln_post.bias",
}
_TRANSPOSED: Final = {
    "text_projection.weight": "text_projection",
    "visual_projection.weight": "visual.proj",
}
_FUSED: Final = ("q_proj", "k_proj", "v_proj")


def is_hugging_face(names: Mapping[str, object]) -> bool:
    """Whether a state dict carries the names of transformers' `CLIPModel`."""
    return "visual_projection.weight" in names and "text_projection.weight" in names


def to_open_clip(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename and fuse; what has no counterpart keeps its name, so that it is reported.

    Raises:
        CheckpointError: an attention lacks one of its three projections.
    """
    made: dict[str, Tensor] = {}
    fused: dict[tuple[str, str], dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.endswith(".position_ids"):
            continue  # numbers from 0 on, stored by older versions
        if name in _OUTSIDE:
            made[_OUTSIDE[name]] = tensor
        elif name in _TRANSPOSED:
            made[_TRANSPOSED[name]] = tensor.T.contiguous()
        elif match := _LAYER.fullmatch(name):
            inside, _, kind = match[3].rpartition(".")
            block = f"{_BLOCKS[match[1]]}.{match[2]}"
            projection = inside.removeprefix("self_attn.")
            if projection in _FUSED:
                fused.setdefault((block, kind), {})[projection] = tensor
            else:
                made[f"{block}.{_IN_BLOCK.get(inside, inside)}.{kind}"] = tensor
        else:
            made[name] = tensor
    for (block, kind), parts in fused.items():
        lacking = [name for name in _FUSED if name not in parts]
        if lacking:
            raise CheckpointError(f"The attention of {block} lacks the {kind} of {', '.join(lacking)}.")
        made[f"{block}.attn.in_proj_{kind}"] = torch.cat([parts[name] for name in _FUSED])
    return made


def from_open_clip(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The way back: name and split open_clip's tensors as `CLIPModel` has them.

    Raises:
        CheckpointError: a tensor has no place in `CLIPModel`; named.
    """
    outside = {ours: theirs for theirs, ours in _OUTSIDE.items()}
    transposed = {ours: theirs for theirs, ours in _TRANSPOSED.items()}
    in_block = {ours: theirs for theirs, ours in _IN_BLOCK.items()}
    made: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if name in outside:
            made[outside[name]] = tensor
        elif name in transposed:
            made[transposed[name]] = tensor.T.contiguous()
        elif match := _BLOCK.fullmatch(name):
            base = f"{'vision' if match[1] else 'text'}_model.encoder.layers.{match[2]}"
            inside, _, kind = match[3].rpartition(".")
            if match[3] in {"attn.in_proj_weight", "attn.in_proj_bias"}:
                kind = match[3].rpartition("_")[2]
                for projection, part in zip(_FUSED, tensor.chunk(3), strict=True):
                    made[f"{base}.self_attn.{projection}.{kind}"] = part.clone()
            elif inside in in_block:
                made[f"{base}.{in_block[inside]}.{kind}"] = tensor
            else:
                raise _no_place(name)
        elif name != "attn_mask":
            raise _no_place(name)
    return made


_BLOCK: Final = re.compile(r"(visual\.)?transformer\.resblocks\.(\d+)\.(.+)")


def _no_place(name: str) -> CheckpointError:
    return CheckpointError(
        f"This model has a tensor '{name}', which transformers' CLIPModel has no place for.",
        "Export it for open_clip, or as ONNX.",
    )
