"""Hand an adapter on in one of several formats, with what it was trained for, and how to load it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import torch
from safetensors import safe_open

from advclip_gui.engine.adapters import (
    HUGGING_FACE_BASE,
    load_adapter,
    merge_for_inference,
    read_adapter,
    write_adapter,
)
from advclip_gui.engine.backbones import load_backbone
from advclip_gui.engine.blueprint import architecture_of, draw
from advclip_gui.engine.catalog import availability
from advclip_gui.engine.classifier import ClipClassifier, build_classifier
from advclip_gui.engine.control import Control
from advclip_gui.engine.errors import CheckpointError, StorageError, UserError
from advclip_gui.engine.exchange.card import model_card
from advclip_gui.engine.exchange.clip_lora_file import write_clip_lora
from advclip_gui.engine.exchange.folder import filled, found_there
from advclip_gui.engine.exchange.formats import (
    BACKBONE_FOLDER,
    CARD_FILE,
    INFO_FILE,
    WEIGHTS_FILE,
    Format,
    format_entry,
)
from advclip_gui.engine.exchange.hugging_face_folder import clip_config, write_hugging_face
from advclip_gui.engine.exchange.info import AdapterInfo, adapter_info, record_of
from advclip_gui.engine.exchange.merged import Merged, merge, untouched
from advclip_gui.engine.exchange.offer import config_of, hub_id_of
from advclip_gui.engine.exchange.onnx_classifier import check_packages, write_onnx
from advclip_gui.engine.exchange.open_clip_folder import write_open_clip
from advclip_gui.engine.exchange.snippets import loading_snippet
from advclip_gui.engine.files import atomic_file, write_json_atomic, write_text_atomic
from advclip_gui.engine.model_ref import ModelRef
from advclip_gui.engine.session import Session, adapter_folder
from advclip_gui.settings import BackboneSettings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import Tensor

    from advclip_gui.engine.placement import Placement

__all__ = ["INFO_FILE", "AdapterInfo", "adapter_info", "export_adapter", "load_classifier", "loading_snippet"]

_TASK = "Exporting"


@dataclass(frozen=True, slots=True)
class _Source:
    """The adapter that is exported."""

    folder: Path
    info: AdapterInfo
    place: Placement
    matrices: dict[str, Tensor]
    with_backbone: bool


def export_adapter(
    source: Path,
    out: Path,
    *,
    format: str = "peft",
    control: Control | None = None,
    checkpoint: str = "",
    with_backbone: bool = False,
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
        with_backbone: with peft, put the untouched backbone beside the matrices as transformers loads it,
            for backbones that have no repository of their own there.

    Raises:
        CheckpointError: there is no adapter, it is damaged, or the format cannot hold it.
        BackboneError: the backbone's weights are needed and not here.
        UserError: a package that the format needs is not installed.
        StorageError: `out` holds other files or the adapter itself, or cannot be written.
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
    if out.exists() and any(out.samefile(place) for place in (source, folder)):
        raise StorageError(f"{out} is where the adapter is read from.", "Choose another folder.")
    if checkpoint:
        info = replace(info, backbone=info.backbone.model_copy(update={"checkpoint": checkpoint}))
    control.progress(_TASK, 0, 3, chosen.title)
    with filled(out) as scratch:
        given = _Source(folder, info, place, matrices, with_backbone)
        more = _WRITERS[chosen.name](given, scratch, control)
        control.progress(_TASK, 2, 3, "Model card")
        written = {path.name for path in scratch.iterdir()}
        files = [name for name in (*chosen.files, *chosen.at_times) if name in written]
        architecture = _architecture(info)
        lora = {"rank": place.rank, "alpha": place.alpha, "targets": len(place.targets)}
        record = record_of(info, chosen.name, **{"lora": lora, **architecture, **more})
        write_text_atomic(scratch / CARD_FILE, model_card(info, chosen.name, record, files))
        write_json_atomic(scratch / INFO_FILE, record)
        control.check()
    return out


def _architecture(info: AdapterInfo) -> dict[str, Any]:
    """Under which name open_clip builds the backbone, or else its activation; whether it is a plain CLIP."""
    try:
        config = config_of(info.backbone)
    except UserError:
        return info.built
    name = architecture_of(config)
    try:
        clip_config(config)
        plain = True
    except CheckpointError:
        plain = False
    told = {"architecture": name} if name else {"quick_gelu": bool(config.get("quick_gelu"))}
    return {**told, "for_clip_model": plain}


def _write_peft(source: _Source, out: Path, control: Control) -> dict[str, Any]:
    # The weights byte by byte: their hash stands in reports. The configuration anew: it may name a path.
    if source.with_backbone:
        clip_config(config_of(source.info.backbone))  # refuses before anything is loaded
    hub_id = hub_id_of(source.info.backbone)
    write_adapter(out, source.place, source.matrices, hub_id=hub_id)
    with safe_open(source.folder / WEIGHTS_FILE, "pt") as tensors:
        says_more = (tensors.metadata() or {}).keys() - {"format"}
    if not says_more:
        with atomic_file(out / WEIGHTS_FILE) as temporary:
            shutil.copyfile(source.folder / WEIGHTS_FILE, temporary)
    if source.with_backbone:
        backbone = untouched(source.info.backbone, control)
        control.progress(_TASK, 1, 3, "Writing the backbone")
        (out / BACKBONE_FOLDER).mkdir()
        write_hugging_face(backbone, out / BACKBONE_FOLDER)
    return {"base": HUGGING_FACE_BASE.get(hub_id), "with_backbone": source.with_backbone}


def _write_open_clip(source: _Source, out: Path, control: Control) -> dict[str, Any]:
    merged = _merged(source, control)
    write_open_clip(merged, out)
    return {"merged_into_sha256": merged.backbone.sha256}


def _write_hugging_face(source: _Source, out: Path, control: Control) -> dict[str, Any]:
    clip_config(config_of(source.info.backbone))  # refuses before anything is loaded
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
    model = draw(config_of(source.info.backbone)).model
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
        path: the folder, with an adapter in it, and perhaps the backbone it was exported with.
        control: progress and cancel.
        checkpoint: path of the backbone's weights, where it is a local file that has moved.
        device: "auto", "cuda", "mps" or "cpu".

    Raises:
        UserError: what is missing or does not fit.
    """
    adapter_folder(path)
    info = adapter_info(path)
    backbone = info.backbone
    inside = path / BACKBONE_FOLDER
    if checkpoint:
        backbone = backbone.model_copy(update={"checkpoint": checkpoint})
    elif inside.is_dir() and not availability(backbone).here:
        backbone = BackboneSettings(name="local", checkpoint=str(inside))
    ref = ModelRef(kind="adapter", backbone=backbone, adapter=str(path))
    return Session(device).classifier(ref, info.class_names, info.templates, control)
