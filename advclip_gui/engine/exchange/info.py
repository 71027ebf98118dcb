"""What an adapter is: backbone, classes, prompts, settings and figures, from a run or an export; no torch."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from advclip_gui import __version__
from advclip_gui.engine.errors import CheckpointError, SettingsError
from advclip_gui.engine.exchange.formats import INFO_FILE, Format
from advclip_gui.engine.runs import RunFolder
from advclip_gui.settings import BackboneSettings, RunSettings

MODELS = ("zero_shot", "clip_lora", "adapter")
_MOST_BYTES = 64 * 2**20
_PROVENANCE = ("attack", "steps", "restarts", "seed", "dtype", "device", "torch", "python", "program",
               "images_sha256", "split_digest", "backbone_sha256", "adapter_sha256")  # fmt: skip


@dataclass(frozen=True, slots=True)
class AdapterInfo:
    """What is needed to use an adapter as the classifier it was trained to be, and what is known of it.

    Attributes:
        backbone: as in the run; in an exported folder a local checkpoint is named without its path.
        backbone_sha256: of the weights file it was trained on, "" where unknown.
        settings: of its training, None where they are not known.
        name: what the user calls it, "" where it has no name.
        figures: of "zero_shot", "clip_lora" and "adapter", as far as they were measured.
        environment: versions it was trained with; may be empty.
    """

    backbone: BackboneSettings
    class_names: tuple[str, ...]
    templates: tuple[str, ...]
    backbone_sha256: str
    settings: RunSettings | None
    name: str = ""
    figures: dict[str, Any] = field(default_factory=dict, hash=False)
    environment: dict[str, Any] = field(default_factory=dict, hash=False)


def adapter_info(path: Path) -> AdapterInfo:
    """Read what a run folder or an exported folder says about its adapter.

    Raises:
        CheckpointError: it is neither, or it is damaged.
    """
    if (path / "settings.toml").is_file():
        return _of_run(RunFolder(path))
    inside = path / "adapter"
    try:
        place = path if (path / INFO_FILE).is_file() or not inside.is_dir() else inside
        if (place / INFO_FILE).stat().st_size > _MOST_BYTES:
            raise ValueError("it is too large")
        return _of_record(json.loads((place / INFO_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, SettingsError) as error:
        raise CheckpointError(
            f"{path} does not say which backbone and classes its adapter belongs to.",
            f"Choose a run folder, or a folder with {INFO_FILE} written by Export.",
        ) from error


def _of_run(run: RunFolder) -> AdapterInfo:
    settings = run.settings()
    names = (run.split() or {}).get("class_names")
    if not isinstance(names, list):
        raise CheckpointError(f"The run folder {run.path} has no record of its classes.")
    result = run.result() or {}
    try:
        environment = json.loads((run.path / "environment.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        environment = {}
    return AdapterInfo(
        settings.backbone,
        tuple(str(name) for name in names),
        settings.data.templates,
        str(result.get("backbone_sha256", "")),
        settings,
        settings.name,
        {key: _headline(result, result[key]) for key in MODELS if isinstance(result.get(key), dict)},
        environment if isinstance(environment, dict) else {},
    )


def _headline(result: dict[str, Any], entry: dict[str, Any]) -> dict[str, Any]:
    """The headline figures of an evaluation without its tables, and how they came about."""
    figures = {key: value for key, value in entry.items() if key != "evaluation"}
    told = entry.get("evaluation")
    evaluation: dict[str, Any] = told if isinstance(told, dict) else {}
    provenance = evaluation.get("provenance")
    return {
        **figures,
        "protocol": result.get("protocol", "sound"),
        "norm": evaluation.get("norm", result.get("norm", "Linf")),
        "attack": evaluation.get("label", "PGD" if result.get("protocol") == "released" else "FGSM + PGD"),
        "warnings": list(evaluation.get("warnings", [])),
        "provenance": {
            key: value
            for key, value in (provenance if isinstance(provenance, dict) else {}).items()
            if key in _PROVENANCE and isinstance(value, str | int | float) and "/" not in str(value)
        },
    }


def _of_record(record: dict[str, Any]) -> AdapterInfo:
    settings = RunSettings.checked(record["settings"]) if record.get("settings") else None
    try:
        told = record.get("backbone")
        backbone = BackboneSettings.model_validate(told) if told else None
    except ValidationError as error:
        raise ValueError("its backbone is none") from error
    if backbone is None:
        if settings is None:
            raise KeyError("backbone")
        backbone = settings.backbone
    names, templates = tuple(record["class_names"]), tuple(record["templates"])
    if not names or not templates or not all(isinstance(text, str) for text in (*names, *templates)):
        raise ValueError("classes and prompts are lists of text")
    figures, environment = record.get("figures") or {}, record.get("environment") or {}
    return AdapterInfo(
        backbone,
        names,
        templates,
        str(record.get("backbone_sha256", "")),
        settings,
        str(record.get("name", "")),
        {key: figures[key] for key in MODELS if isinstance(figures.get(key), dict)},
        environment if isinstance(environment, dict) else {},
    )


def record_of(info: AdapterInfo, kind: Format, *, paths: bool = False, **more: Any) -> dict[str, Any]:
    """What `INFO_FILE` holds.

    Args:
        info: of the adapter.
        kind: the format it lies beside.
        paths: whether a local checkpoint is named with its path: never where the folder is handed on.
        more: further entries in plain values.
    """
    known = info if paths else without_paths(info)
    settings = known.settings
    return {
        "advclip_gui": __version__,
        "format": kind,
        "name": known.name,
        "backbone": known.backbone.model_dump(mode="json", exclude_none=True),
        "settings": None if settings is None else settings.model_dump(mode="json", exclude_none=True),
        "class_names": list(known.class_names),
        "templates": list(known.templates),
        "backbone_sha256": known.backbone_sha256,
        "figures": {key: known.figures.get(key) for key in MODELS},
        "environment": known.environment,
        **more,
    }


def without_paths(info: AdapterInfo) -> AdapterInfo:
    """Name files and folders without where they lie."""
    backbone = _bare(info.backbone)
    settings = info.settings
    if settings is not None:
        named = {key: Path(getattr(settings.data, key)).name for key in ("folder", "split_file")}
        data = settings.data.model_copy(update={**named, "skip": ()})
        settings = settings.model_copy(update={"data": data, "backbone": _bare(settings.backbone)})
    return replace(info, backbone=backbone, settings=settings)


def _bare(backbone: BackboneSettings) -> BackboneSettings:
    return backbone.model_copy(update={"checkpoint": Path(backbone.checkpoint).name})
