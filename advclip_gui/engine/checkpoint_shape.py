"""Which architecture a bare safetensors file looks like, from the shapes in its header; no tensor is read."""

from __future__ import annotations

import json
import re
from math import isqrt
from typing import TYPE_CHECKING, Any, Final

from advclip_gui.engine.clip_source import listed_architectures

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_LARGEST_HEADER: Final = 100_000_000
_PATCHES: Final = ("visual.conv1.weight", "vision_model.embeddings.patch_embedding.weight")
_PLACES: Final = ("visual.positional_embedding", "vision_model.embeddings.position_embedding.weight")
_WORDS: Final = (
    "token_embedding.weight",
    "text.token_embedding.weight",
    "text_model.embeddings.token_embedding.weight",
)
_VISION_BLOCK: Final = re.compile(
    r"(?:visual\.transformer\.resblocks|vision_model\.encoder\.layers)\.(\d+)\."
)
_TEXT_BLOCK: Final = re.compile(r"(?:(?:text\.)?transformer\.resblocks|text_model\.encoder\.layers)\.(\d+)\.")


def likely_architectures(path: Path) -> tuple[str, ...]:
    """Names of open_clip whose plain ViT and text tower have the sizes in a file, shortest name first.

    Empty where the file is none of safetensors, no plain ViT, or of a shape that is not listed.
    """
    shapes = _shapes(path) if path.suffix == ".safetensors" else {}
    found = _of_tensors(shapes)
    if found is None:
        return ()
    names = [name for content, name in listed_architectures().items() if _of_config(content) == found]
    return tuple(sorted(names, key=lambda name: (len(name), name)))


def _shapes(path: Path) -> dict[str, list[int]]:
    """Shapes by name, as the header tells them; empty where it tells nothing of the kind."""
    try:
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if length > _LARGEST_HEADER:
                return {}
            header = json.loads(stream.read(length))
        return {name: told["shape"] for name, told in header.items() if name != "__metadata__"}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}


def _of_tensors(shapes: Mapping[str, list[int]]) -> tuple[int, ...] | None:
    """Width, blocks, patch and input of the vision tower; width, blocks and words of the text tower."""
    patches, places, words = (
        next((shapes[name] for name in names if name in shapes), []) for names in (_PATCHES, _PLACES, _WORDS)
    )
    vision = {match[1] for name in shapes if (match := _VISION_BLOCK.match(name))}
    text = {match[1] for name in shapes if (match := _TEXT_BLOCK.match(name))}
    if len(patches) != 4 or len(places) != 2 or len(words) != 2:
        return None
    side = isqrt(places[0] - 1) * patches[-1]
    return (patches[0], len(vision), patches[-1], side, words[1], len(text), words[0])


def _of_config(content: str) -> tuple[int, ...] | None:
    config: dict[str, Any] = json.loads(content)
    vision, text = config["vision_cfg"], config["text_cfg"]
    if "multimodal_cfg" in config or "timm_model_name" in vision or not isinstance(vision.get("layers"), int):
        return None  # towers of another kind
    try:
        return (
            vision["width"], vision["layers"], vision["patch_size"], vision["image_size"],
            text["width"], text["layers"], text["vocab_size"],
        )  # fmt: skip
    except KeyError:
        return None
