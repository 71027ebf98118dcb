"""Hand an adapter on in one of several formats, with what it was trained for, and how to load it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import torch

from advclip_gui.engine.adapters import (
    HUGGING_FACE_BASE,
    load_adapter,
    merge_for_inference,
    read_adapter,
    write_adapter,
)
from advclip_gui.engine.backbones import load_backbone
from advclip_gui.engine.blueprint import architecture_of, draw, model_config
from advclip_gui.engine.catalog import entry
from advclip_gui.engine.classifier import ClipClassifier, build_classifier
from advclip_gui.engine.control import Control
from advclip_gui.engine.errors import BackboneError, CheckpointError, UserError
from advclip_gui.engine.exchange.card import model_card
from advclip_gui.engine.exchange.clip_lora_file import write_clip_lora
from advclip_gui.engine.exchange.folder import filled, found_there
from advclip_gui.engine.exchange.formats import CARD_FILE, INFO_FILE, WEIGHTS_FILE, Format, format_entry
from advclip_gui.engine.exchange.hugging_face_folder import clip_config, write_hugging_face
from advclip_gui.engine.exchange.info import AdapterInfo, adapter_info, record_of
from advclip_gui.engine.exchange.merged import Merged, merge
from advclip_gui.engine.exchange.onnx_classifier import check_packages, write_onnx
from advclip_gui.engine.exchange.open_clip_folder import write_open_clip
from advclip_gui.engine.exchange.snippets import loading_snippet
from advclip_gui.engine.files import atomic_file, write_json_atomic, write_text_atomic
from advclip_gui.engine.model_ref import ModelRef
from advclip_gui.engine.session import Session, adapter_folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import Tensor

    from advclip_gui.engine.placement import Placement
    from advclip_gui.settings import BackboneSettings

__all__ = ["INFO_FILE", "AdapterInfo", "adapter_info", "export_adapter", "load_classifier", "loading_snippet"]

_TASK = "Exporting"


@dataclass(frozen=True, slots=True)
class _Source:
    """The adapter that is exported."""

    folder: Path
    info: AdapterInfo
    place: Placement
    matrices: dict[str, Tensor]


def export_adapter(
    source: Path, out: Path, *, format: str = "peft", control: Control | None = None, checkpoint: str = ""
) -> Path:
    """Write the adapter of a run (or of an exported folder) to `out`: whole, or not at all.

    Beside the format's own files (see `exchange.formats`) stand ``advclip.json`` and a model card. None
    of them holds a path of this machine. The formats that hold the whole model need the backbone's weights.

    Args:
        source: a run folder, or a folder with an adapter.
        out: a new or empty folder, or one exported to before.
        format: name of one of `exchange.formats.FORMATS`.
        control: hears of the progress; a cancelled export leaves `out` as it was.
        checkpoint: path of the backbone's weights, where it is a local file that has moved.

    Raises:
        CheckpointError: there is no adapter, it is damaged, or the format cannot hold it.
        BackboneError: the backbone's weights are needed and not here.
        UserError: a package that the format needs is not installed.
        StorageError: `out` holds other files, or cannot be written.
        Cancelled: through `control`.
    """
    control = control or Control()
    try:
        chosen = format_entry(format)
    except ValueError as error:
        sentence = str(error)
        raise CheckpointError(f"{sentence[:1].upper()}{sentence[1:]}.") from error
    folder = adapter_folder(source)
    place, matrices = read_adapter(folder)
    info = adapter_info(source)
    found_there(out)
    if checkpoint:
        info = replace(info, backbone=info.backbone.model_copy(update={"checkpoint": checkpoint}))
    control.progress(_TASK, 0, 3, chosen.title)
    with filled(out) as scratch:
        more = _WRITERS[chosen.name](_Source(folder, info, place, matrices), scratch, control)
        control.progress(_TASK, 2, 3, "Model card")
        architecture = _architecture(info.backbone)
        lora = {"rank": place.rank, "alpha": place.alpha, "targets": len(place.targets)}
        record = record_of(info, chosen.name, **{"lora": lora, **architecture, **more})
        write_text_atomic(scratch / CARD_FILE, model_card(info, chosen.name, record))
        write_json_atomic(scratch / INFO_FILE, record)
        control.check()
    return out


def _architecture(backbone: BackboneSettings) -> dict[str, Any]:
    """Under which name open_clip builds the backbone, or else its activation, as far as that is known."""
    try:
        config = model_config(backbone)
    except UserError:
        return {}
    name = architecture_of(config)
    return {"architecture": name} if name else {"quick_gelu": bool(config.get("quick_gelu"))}


def _write_peft(source: _Source, out: Path, control: Control) -> dict[str, Any]:
    # The weights byte by byte: their hash stands in reports. The configuration anew: it may name a path.
    hub_id = _hub_id(source.info.backbone)
    write_adapter(out, source.place, source.matrices, hub_id=hub_id)
    with atomic_file(out / WEIGHTS_FILE) as temporary:
        shutil.copyfile(source.folder / WEIGHTS_FILE, temporary)
    return {"base": HUGGING_FACE_BASE.get(hub_id)}


def _hub_id(backbone: BackboneSettings) -> str:
    try:
        return entry(backbone).hub_id
    except BackboneError:
        return ""


def _write_open_clip(source: _Source, out: Path, control: Control) -> dict[str, Any]:
    merged = _merged(source, control)
    write_open_clip(merged, out)
    return {"merged_into_sha256": merged.backbone.sha256}


def _write_hugging_face(source: _Source, out: Path, control: Control) -> dict[str, Any]:
    clip_config(model_config(source.info.backbone))  # refuses before anything is loaded
    merged = _merged(source, control)
    write_hugging_face(merged, out)
    return {"merged_into_sha256": merged.backbone.sha256}


def _merged(source: _Source, control: Control) -> Merged:
    merged = merge(source.info.backbone, source.place, source.matrices, control)
    control.progress(_TASK, 1, 3, "Writing the model")
    return merged


def _write_onnx(source: _Source, out: Path, control: Control) -> dict[str, Any]:
    check_packages()
    info = source.info
    backbone = load_backbone(info.backbone, device=torch.device("cpu"), control=control)
    load_adapter(backbone, source.folder)
    merge_for_inference(backbone.model)
    classifier = build_classifier(backbone, info.class_names, info.templates)
    control.progress(_TASK, 1, 3, "Writing and checking the model")
    difference = write_onnx(classifier, out, info.templates, control)
    return {"merged_into_sha256": backbone.sha256, "largest_difference": difference}


def _write_clip_lora(source: _Source, out: Path, control: Control) -> dict[str, Any]:
    model = draw(model_config(source.info.backbone)).model
    write_clip_lora(out / format_entry("clip-lora").files[0], model, source.place, source.matrices)
    return {}


_WRITERS: dict[Format, Callable[[_Source, Path, Control], dict[str, Any]]] = {
    "peft": _write_peft,
    "open-clip": _write_open_clip,
    "hugging-face": _write_hugging_face,
    "onnx": _write_onnx,
    "clip-lora": _write_clip_lora,
}


def load_classifier(
    path: Path,
    *,
    control: Control,
    checkpoint: str = "",
    device: Literal["auto", "cuda", "mps", "cpu"] = "auto",
) -> ClipClassifier:
    """Load a run folder or an exported folder as a classifier over its own classes.

    Args:
        path: the folder, with an adapter in it.
        control: progress and cancel.
        checkpoint: path of the backbone's weights, where it is a local file that has moved.
        device: "auto", "cuda", "mps" or "cpu".

    Raises:
        UserError: what is missing or does not fit.
    """
    adapter_folder(path)
    info = adapter_info(path)
    backbone = info.backbone
    if checkpoint:
        backbone = backbone.model_copy(update={"checkpoint": checkpoint})
    ref = ModelRef(kind="adapter", backbone=backbone, adapter=str(path))
    return Session(device).classifier(ref, info.class_names, info.templates, control)
