"""What can be made of an adapter, told before anything is loaded or written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from advclip_gui.engine.adapters import HUGGING_FACE_BASE, read_adapter
from advclip_gui.engine.blueprint import draw, model_config
from advclip_gui.engine.catalog import availability, entry
from advclip_gui.engine.errors import BackboneError, CheckpointError, UserError
from advclip_gui.engine.exchange.clip_lora_file import check_placement
from advclip_gui.engine.exchange.formats import FORMATS, Format
from advclip_gui.engine.exchange.hugging_face_folder import clip_config
from advclip_gui.engine.exchange.info import adapter_info
from advclip_gui.engine.exchange.onnx_classifier import check_packages
from advclip_gui.engine.session import adapter_folder

if TYPE_CHECKING:
    from advclip_gui.settings import BackboneSettings

_BARE_FILES: Final = frozenset({".safetensors", ".pt", ".pth", ".bin", ".ckpt"})
"""Checkpoints whose architecture the settings name."""


def possible_formats(source: Path, *, checkpoint: str = "") -> dict[Format, str]:
    """Which formats can hold an adapter, before anything is loaded or written.

    Args:
        source: as for `export_adapter`.
        checkpoint: as for `export_adapter`.

    Returns:
        for every format "", or the reason why not.

    Raises:
        CheckpointError: there is no adapter, or it is damaged.
    """
    place, _ = read_adapter(adapter_folder(source))
    backbone = adapter_info(source).backbone
    if checkpoint:
        backbone = backbone.model_copy(update={"checkpoint": checkpoint})
    here = availability(backbone)
    found: dict[Format, str] = {}
    for one in FORMATS:
        try:
            if one.whole and not here.here:
                raise BackboneError(here.sentence)
            if one.name == "hugging-face":
                clip_config(config_of(backbone))
            elif one.name == "clip-lora":
                check_placement(draw(config_of(backbone)).model, place)
            elif one.name == "onnx":
                check_packages(load=False)
            found[one.name] = ""
        except UserError as error:
            found[one.name] = error.message
    return found


def backbone_size(source: Path) -> int:
    """Bytes of the backbone beside a peft export, 0 where it cannot be put there or nobody needs it.

    It is of use where transformers can hold the backbone and knows no repository of it.

    Raises:
        CheckpointError: there is no adapter, or it is damaged.
    """
    backbone = adapter_info(source).backbone
    try:
        if HUGGING_FACE_BASE.get(hub_id_of(backbone)) or not availability(backbone).here:
            return 0
        config = config_of(backbone)
        clip_config(config)
    except UserError:
        return 0
    return 4 * sum(value.numel() for value in draw(config).model.parameters())


def for_clip_model(source: Path) -> bool | None:
    """Whether transformers' CLIPModel can hold the backbone; None where that is not known here.

    Raises:
        CheckpointError: there is no adapter, or it is damaged.
    """
    try:
        clip_config(config_of(adapter_info(source).backbone))
    except CheckpointError:
        return False
    except UserError:
        return None
    return True


def config_of(backbone: BackboneSettings) -> dict[str, Any]:
    """The backbone's architecture. Raises `UserError` where it is not known here.

    What a folder holds is known from the folder alone: without it, the settings would name a usual one.
    """
    if backbone.name == "local" and Path(backbone.checkpoint).suffix not in _BARE_FILES:
        here = availability(backbone)
        if not here.here:
            raise BackboneError(here.sentence)
    return model_config(backbone)


def hub_id_of(backbone: BackboneSettings) -> str:
    """The repository of a backbone's weights, "" where there is none."""
    try:
        return entry(backbone).hub_id
    except BackboneError:
        return ""
