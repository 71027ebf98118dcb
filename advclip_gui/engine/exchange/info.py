"""What an adapter is: backbone, classes, prompts, settings and figures, from a run or an export; no torch."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from advclip_gui import __version__
from advclip_gui.engine.errors import CheckpointError, SettingsError
from advclip_gui.engine.exchange.data_facts import data_facts, kept_facts
from advclip_gui.engine.exchange.formats import INFO_FILE, Format
from advclip_gui.engine.exchange.privacy import known_places, last_part, without_places
from advclip_gui.engine.runs import RunFolder
from advclip_gui.settings import BackboneSettings, RunSettings

if TYPE_CHECKING:
    from pathlib import Path

MODELS = ("zero_shot", "clip_lora", "adapter")
_MOST_BYTES = 64 * 2**20
_PROVENANCE = ("attack", "tier", "steps", "restarts", "seed", "dtype", "device", "device_name", "torch",
               "python", "program", "images_sha256", "split_digest", "backbone_sha256",
               "adapter_sha256")  # fmt: skip
_FIGURES = ("n", "epsilon", "clean_accuracy", "clean_interval", "robust_accuracy", "robust_interval",
            "robust_after_8bit", "interval_after_8bit", "waterfall", "fgsm_accuracy", "fgsm_interval",
            "protocol", "norm", "attack", "warnings", "notes", "audit", "provenance")  # fmt: skip
_AUDIT = ("norm_within", "inside_box", "not_finite", "unconfirmed", "lost_in_8bit")
_NAME = re.compile(r"[\w.-]{1,80}")
_ENVIRONMENT = ("advclip_gui", "python", "platform", "cpu_count", "device", "packages")


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
        data: facts of the images, as from `data_facts`; may be empty.
        built: what an export says of the backbone's architecture, for when its files are elsewhere.
    """

    backbone: BackboneSettings
    class_names: tuple[str, ...]
    templates: tuple[str, ...]
    backbone_sha256: str
    settings: RunSettings | None
    name: str = ""
    figures: dict[str, Any] = field(default_factory=dict, hash=False)
    environment: dict[str, Any] = field(default_factory=dict, hash=False)
    data: dict[str, Any] = field(default_factory=dict, hash=False)
    built: dict[str, Any] = field(default_factory=dict, hash=False, compare=False)


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
    split = run.split() or {}
    names = split.get("class_names")
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
        _chosen(environment, _ENVIRONMENT),
        data_facts(settings.data, split),
    )


def _headline(result: dict[str, Any], entry: dict[str, Any]) -> dict[str, Any]:
    """The headline figures of an evaluation without its tables, and how they came about."""
    told = entry.get("evaluation")
    evaluation: dict[str, Any] = told if isinstance(told, dict) else {}
    released = result.get("protocol") == "released"
    at = evaluation.get("epsilons") or [{}]
    return _figures(
        {
            **_chosen(at[0], ("robust_after_8bit", "interval_after_8bit", "waterfall")),
            **entry,
            "protocol": result.get("protocol", "sound"),
            "norm": evaluation.get("norm", result.get("norm", "Linf")),
            "attack": evaluation.get("label", "PGD" if released else "FGSM + PGD"),
            "warnings": list(evaluation.get("warnings") or []),
            "notes": list(evaluation.get("notes") or []),
            "audit": _chosen(evaluation.get("audit"), _AUDIT),
            "provenance": evaluation.get("provenance"),
        }
    )


def _figures(entry: dict[str, Any]) -> dict[str, Any]:
    """What is known to be a figure, or to belong to one."""
    kept = _chosen(entry, _FIGURES)
    told = _chosen(kept.get("provenance"), _PROVENANCE)
    kept["provenance"] = {key: value for key, value in told.items() if isinstance(value, str | int | float)}
    return kept


def _chosen(table: Any, keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: table[key] for key in keys if key in table} if isinstance(table, dict) else {}


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
        {key: _figures(figures[key]) for key in MODELS if isinstance(figures.get(key), dict)},
        _chosen(environment, _ENVIRONMENT),
        kept_facts(record.get("data")),
        _built(record),
    )


def _built(record: dict[str, Any]) -> dict[str, Any]:
    told = {key: record[key] for key in ("quick_gelu", "for_clip_model") if isinstance(record.get(key), bool)}
    name = record.get("architecture")
    return {**told, "architecture": name} if isinstance(name, str) and _NAME.fullmatch(name) else told


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
        "data": known.data,
        **more,
    }


def without_paths(info: AdapterInfo) -> AdapterInfo:
    """Name files and folders without where they lie, also in the sentences of an evaluation.

    Names of classes and prompts stay as they are: the classifier is made of them.
    """
    backbone, settings = info.backbone, info.settings
    told = [backbone.checkpoint]
    if settings is not None:
        told += [settings.backbone.checkpoint, settings.data.folder, settings.data.split_file]
    places = known_places(*told)
    if settings is not None:
        named = {key: last_part(getattr(settings.data, key)) for key in ("folder", "split_file")}
        data = settings.data.model_copy(update={**named, "skip": ()})
        bare = {"data": data, "backbone": _bare(settings.backbone)}
        settings = settings.model_copy(update={**bare, "name": without_places(settings.name, places)})
    return replace(
        info,
        backbone=_bare(backbone),
        settings=settings,
        name=without_places(info.name, places),
        figures=without_places(info.figures, places),
        environment=without_places(info.environment, places),
        data=without_places(info.data, places),
    )


def _bare(backbone: BackboneSettings) -> BackboneSettings:
    return backbone.model_copy(update={"checkpoint": last_part(backbone.checkpoint)})
