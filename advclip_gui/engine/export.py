"""Hand an adapter on: peft's two files, what it was trained for, and how to load it."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from advclip_gui import __version__
from advclip_gui.engine.adapters import CONFIG_FILE, WEIGHTS_FILE, read_adapter
from advclip_gui.engine.errors import CheckpointError, SettingsError, StorageError
from advclip_gui.engine.files import atomic_file, write_json_atomic, write_text_atomic
from advclip_gui.engine.runs import RunFolder
from advclip_gui.engine.session import adapter_folder
from advclip_gui.settings import BackboneSettings, RunSettings, format_layers

INFO_FILE = "advclip.json"
"""What the classifier around the adapter is: backbone, classes, prompts, protocol, figures."""
_NORMS = {"Linf": "L-infinity", "L2": "L2"}
_UNITS = {"sound": "pixel units", "released": "normalised units"}


@dataclass(frozen=True, slots=True)
class AdapterInfo:
    """What is needed to use an adapter as the classifier it was trained to be.

    Attributes:
        backbone: as in the run; in an exported folder a local checkpoint is named without its path.
        backbone_sha256: of the weights file it was trained on, "" where unknown.
    """

    backbone: BackboneSettings
    class_names: tuple[str, ...]
    templates: tuple[str, ...]
    backbone_sha256: str
    settings: RunSettings | None


def adapter_info(path: Path) -> AdapterInfo:
    """Read what a run folder or an exported folder says about its adapter.

    Raises:
        CheckpointError: it is neither, or it is damaged.
    """
    if (path / "settings.toml").is_file():
        run = RunFolder(path)
        settings = run.settings()
        names = (run.split() or {}).get("class_names")
        if not isinstance(names, list):
            raise CheckpointError(f"The run folder {path} has no record of its classes.")
        sha256 = str((run.result() or {}).get("backbone_sha256", ""))
        return AdapterInfo(settings.backbone, tuple(names), settings.data.templates, sha256, settings)
    try:
        info = json.loads((adapter_folder(path) / INFO_FILE).read_text(encoding="utf-8"))
        settings = RunSettings.checked(info["settings"])
        return AdapterInfo(
            settings.backbone,
            tuple(info["class_names"]),
            tuple(info["templates"]),
            info["backbone_sha256"],
            settings,
        )
    except (OSError, ValueError, KeyError, TypeError, SettingsError) as error:
        raise CheckpointError(
            f"{path} does not say which backbone and classes its adapter belongs to.",
            f"Choose a run folder, or a folder with {INFO_FILE} written by Export.",
        ) from error


def export_adapter(source: Path, out: Path, *, format: Literal["peft"] = "peft") -> Path:
    """Write the adapter of a run (or of an exported folder) to `out`.

    Four files: peft's configuration and weights under Hugging Face CLIP's names, ``advclip.json``
    and a model card. None of them holds a path of this machine.

    Raises:
        CheckpointError: there is no adapter, or it is damaged.
        StorageError: `out` holds other files, or cannot be written.
    """
    if format != "peft":
        raise CheckpointError(f"There is no export format '{format}'.", "Choose peft.")
    folder = adapter_folder(source)
    read_adapter(folder)
    info = adapter_info(source)
    ours = {CONFIG_FILE, WEIGHTS_FILE, INFO_FILE, "README.md"}
    if out.exists() and not out.is_dir():
        raise StorageError(f"{out} is a file.", "Choose a folder.")
    if out.is_dir() and {path.name for path in out.iterdir()} - ours:
        raise StorageError(f"The folder {out} holds other files.", "Choose an empty folder or a new name.")
    result = RunFolder(source).result() or {}
    for name in (WEIGHTS_FILE, CONFIG_FILE):
        if (folder / name).resolve() != (out / name).resolve():
            with atomic_file(out / name) as temporary:
                shutil.copyfile(folder / name, temporary)
    settings = _without_paths(info.settings) if info.settings else None
    write_json_atomic(
        out / INFO_FILE,
        {
            "advclip_gui": __version__,
            "settings": settings.model_dump(mode="json", exclude_none=True) if settings else {},
            "class_names": list(info.class_names),
            "templates": list(info.templates),
            "backbone_sha256": info.backbone_sha256,
            "figures": {key: _figures(result.get(key)) for key in ("zero_shot", "clip_lora", "adapter")},
        },
    )
    write_text_atomic(out / "README.md", _model_card(settings, info, result, out))
    return out


def loading_snippet(folder: Path) -> str:
    """Python lines that load the exported folder with transformers and peft."""
    try:
        config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{folder} is no exported adapter: {error}.") from error
    base = config.get("base_model_name_or_path")
    if base:
        return (
            "from peft import PeftModel\nfrom transformers import CLIPModel\n\n"
            f'model = PeftModel.from_pretrained(CLIPModel.from_pretrained("{base}"), r"{folder}")\n'
        )
    return (
        "from pathlib import Path\nfrom advclip_gui.engine.control import Control\n"
        "from advclip_gui.engine.export import load_classifier\n\n"
        f'classifier = load_classifier(Path(r"{folder}"), control=Control())\n'
    )


def load_classifier(path: Path, *, control: Any, checkpoint: str = "", device: str = "auto") -> Any:
    """Load a run folder or an exported folder as a classifier over its own classes.

    Args:
        path: the folder.
        control: progress and cancel.
        checkpoint: path of the backbone's weights, where it is a local file that has moved.
        device: "auto", "cuda", "mps" or "cpu".

    Raises:
        UserError: what is missing or does not fit.
    """
    from advclip_gui.engine.model_ref import ModelRef
    from advclip_gui.engine.session import Session

    info = adapter_info(path)
    backbone = info.backbone
    if checkpoint:
        backbone = backbone.model_copy(update={"checkpoint": checkpoint})
    session = Session(device)  # type: ignore[arg-type]
    ref = ModelRef(kind="adapter", backbone=backbone, adapter=str(path))
    return session.classifier(ref, info.class_names, info.templates, control)


def _without_paths(settings: RunSettings) -> RunSettings:
    """Name files and folders without where they lie."""
    bare = {name: Path(getattr(settings.data, name)).name for name in ("folder", "split_file")}
    data = settings.data.model_copy(update={**bare, "skip": ()})
    backbone = settings.backbone.model_copy(update={"checkpoint": Path(settings.backbone.checkpoint).name})
    return settings.model_copy(update={"data": data, "backbone": backbone})


def _figures(entry: dict[str, Any] | None) -> dict[str, Any] | None:
    """The headline figures of an evaluation, without its tables."""
    return None if entry is None else {key: value for key, value in entry.items() if key != "evaluation"}


def _model_card(settings: RunSettings | None, info: AdapterInfo, result: dict[str, Any], folder: Path) -> str:
    lines = ["# CLIP LoRA adapter", ""]
    if settings is not None:
        lines += [
            f"Trained with {settings.method}, protocol *{settings.protocol}*,",
            f"on {settings.data.shots} shots per class of *{settings.data.folder}*, "
            f"{len(info.class_names)} classes.",
            "",
            f"- Backbone: {settings.backbone.name} {settings.backbone.weights}".rstrip(),
            f"- LoRA: rank {settings.lora.rank}, alpha {settings.lora.alpha:g}, "
            f"{settings.lora.encoder} encoder, matrices {' '.join(settings.lora.matrices)}, "
            f"layers {format_layers(settings.lora.layers)}, scaling alpha / sqrt(r)",
            f"- Adversary: {settings.adversary.kind}, m = {settings.adversary.inner_steps}, "
            f"epsilon {settings.adversary.epsilon * 255:g}/255 "
            f"({_NORMS[settings.adversary.norm]}, {_UNITS[settings.protocol]})",
            f"- Seeds: split {settings.data.seed}, training {settings.training.seed}",
        ]
    lines += [
        f"- Classes: {', '.join(info.class_names)}",
        f"- Prompts: {'; '.join(info.templates)}",
        f"- SHA-256 of the backbone's weights: {info.backbone_sha256 or 'not recorded'}",
        "",
    ]
    figures = {name: _figures(result.get(name)) for name in ("zero_shot", "clip_lora", "adapter")}
    if figures["adapter"]:
        protocol, norm = str(result.get("protocol", "sound")), str(result.get("norm", "Linf"))
        attack = "FGSM + PGD, an upper bound" if protocol == "sound" else "PGD"
        lines += [
            f"Protocol *{protocol}*, {_NORMS[norm]}, epsilon in {_UNITS[protocol]}:",
            "",
            f"| model | n | epsilon | clean accuracy | robust accuracy ({attack}) |",
            "|---|---|---|---|---|",
        ]
        titles = {"zero_shot": "zero-shot", "clip_lora": "CLIP-LoRA", "adapter": "this adapter"}
        for title, entry in ((title, figures[key]) for key, title in titles.items()):
            if entry:
                clean = _with_interval(entry["clean_accuracy"], entry["clean_interval"])
                robust = _with_interval(entry["robust_accuracy"], entry["robust_interval"])
                lines.append(
                    f"| {title} | {entry['n']} | {entry['epsilon'] * 255:g}/255 | {clean} | {robust} |"
                )
        lines += ["", "Wilson 95 % intervals in brackets.", ""]
    lines += [
        f"The files are in peft's format with the module names of {_names_of_modules(folder / CONFIG_FILE)}.",
        "The figures hold for these classes, prompts and images; robustness against other attacks",
        "or larger epsilons is not claimed.",
    ]
    return "\n".join(lines) + "\n"


def _names_of_modules(config: Path) -> str:
    """Whose module names the adapter's matrices carry."""
    targets = json.loads(config.read_text(encoding="utf-8"))["target_modules"]
    plain = all(str(target).startswith(("vision_model.", "text_model.")) for target in targets)
    return "the Hugging Face CLIP model" if plain else "the open_clip model"


def _with_interval(share: float, interval: list[float]) -> str:
    low, high = interval
    return f"{100 * share:.1f} % ({100 * low:.1f} - {100 * high:.1f})"
