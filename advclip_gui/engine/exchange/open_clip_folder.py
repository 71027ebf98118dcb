"""Write a merged CLIP as open_clip reads it: one safetensors file and the architecture beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from safetensors.torch import save_file

from advclip_gui.engine.exchange.folder import check_room
from advclip_gui.engine.files import atomic_file, write_json_atomic

if TYPE_CHECKING:
    from pathlib import Path

    from advclip_gui.engine.exchange.merged import Merged

WEIGHTS = "open_clip_model.safetensors"
CONFIG = "open_clip_config.json"


def write_open_clip(merged: Merged, out: Path) -> None:
    """Write weights and configuration.

    `open_clip.create_model(name, pretrained=file)` loads the weights where open_clip lists the
    architecture, and `open_clip.create_model("local-dir:folder")` always.

    Raises:
        StorageError: the disk is full, or there is no permission.
    """
    state = {name: value.contiguous() for name, value in merged.state.items()}
    check_room(out, sum(value.nbytes for value in state.values()))
    with atomic_file(out / WEIGHTS) as temporary:
        save_file(state, temporary, metadata={"format": "pt"})
    backbone = merged.backbone
    preprocess = {
        "mean": list(backbone.mean),
        "std": list(backbone.std),
        "interpolation": backbone.interpolation,
        "resize_mode": backbone.resize_mode,
    }
    write_json_atomic(out / CONFIG, {"model_cfg": plain_config(merged.config), "preprocess_cfg": preprocess})


def plain_config(config: dict[str, Any]) -> dict[str, Any]:
    """The architecture without a wish to fetch weights of a tower from elsewhere."""
    vision = dict(config["vision_cfg"])
    vision.pop("timm_model_pretrained", None)
    return {**config, "vision_cfg": vision}
