"""The model card: what an adapter was made of and for, what was measured, how to load it, its limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from advclip_gui.engine.exchange.formats import CARD_FILE, INFO_FILE, PLACE, Format, format_entry
from advclip_gui.engine.exchange.info import without_paths
from advclip_gui.engine.exchange.snippets import snippet
from advclip_gui.settings import format_layers

if TYPE_CHECKING:
    from advclip_gui.engine.exchange.info import AdapterInfo
    from advclip_gui.settings import RunSettings

NORMS = {"Linf": "L-infinity", "L2": "L2"}
_UNITS = {"sound": "pixel units", "released": "normalised units"}
_TITLES = {"zero_shot": "zero-shot", "clip_lora": "CLIP-LoRA", "adapter": "this adapter"}
_LIBRARIES = {"peft": "peft", "open-clip": "open_clip", "hugging-face": "transformers", "onnx": "onnx"}
_HASHES = {
    "split_digest": "test images (classes, paths and labels)",
    "images_sha256": "test images (pixels)",
    "backbone_sha256": "backbone's weights",
    "adapter_sha256": "adapter's weights",
}


def model_card(info: AdapterInfo, kind: Format, record: dict[str, Any]) -> str:
    """Markdown of the card; no path of this machine is in it.

    Args:
        info: of the adapter.
        kind: the format it lies beside.
        record: as in `INFO_FILE`, with what `snippet` wants.
    """
    info = without_paths(info)
    library = _LIBRARIES.get(kind)
    head = ["---", *([f"library_name: {library}"] if library else []),
            "tags: [clip, lora, image-classification]", "---", ""]  # fmt: skip
    sections = [
        _what(info, record),
        _figures(info),
        _versions(info, record),
        _loading(kind, record),
        _limits(info, kind),
    ]
    return "\n".join([*head, *("\n".join([*lines, ""]) for lines in sections if lines)])


def _what(info: AdapterInfo, record: dict[str, Any]) -> list[str]:
    settings = info.settings
    lines = ["# CLIP LoRA adapter" + (f": {info.name}" if info.name else ""), ""]
    if settings is not None:
        lines += [
            f"Trained with {settings.method}, protocol *{settings.protocol}*,",
            f"on {settings.data.shots} shots per class of *{settings.data.folder}*, "
            f"{len(info.class_names)} classes.",
            "",
        ]
    else:
        lines += ["Imported; what it was trained on, and how, is not recorded.", ""]
    backbone = info.backbone
    lines.append(f"- Backbone: {backbone.name} {backbone.weights or backbone.checkpoint}".rstrip())
    if record.get("architecture"):
        lines.append(f"- Architecture: `{record['architecture']}` in open_clip, activation included")
    elif "quick_gelu" in record:
        lines.append(f"- Activation: {'QuickGELU' if record['quick_gelu'] else 'GELU'}")
    lines.append(_lora(settings, record.get("lora") or {}))
    if settings is not None:
        lines += _training(settings)
    lines += [
        f"- Classes: {', '.join(info.class_names)}",
        f"- Prompts: {'; '.join(info.templates)}",
        f"- SHA-256 of the backbone's weights: {info.backbone_sha256 or 'not recorded'}",
    ]
    merged = record.get("merged_into_sha256")
    if merged and info.backbone_sha256 and merged != info.backbone_sha256:
        lines.append(f"- Folded into weights with another SHA-256 than it was trained on: {merged}")
    return lines


def _lora(settings: RunSettings | None, lora: dict[str, Any]) -> str:
    if settings is not None:
        given = settings.lora
        where = f"{given.encoder} encoder, matrices {' '.join(given.matrices)}, " + (
            f"layers {format_layers(given.layers)}"
        )
        return f"- LoRA: rank {given.rank}, alpha {given.alpha:g}, {where}, scaling alpha / sqrt(r)"
    if not lora:
        return "- LoRA: not described"
    where = f"{lora['targets']} matrices"
    return f"- LoRA: rank {lora['rank']}, alpha {lora['alpha']:g}, {where}, scaling alpha / sqrt(r)"


def _training(settings: RunSettings) -> list[str]:
    adversary, training = settings.adversary, settings.training
    return [
        f"- Adversary: {adversary.kind}, m = {adversary.inner_steps}, "
        f"epsilon {adversary.epsilon * 255:g}/255 ({NORMS[adversary.norm]}, {_UNITS[settings.protocol]})",
        f"- Training: {settings.total_steps:,} steps, batch {training.batch_size}, "
        f"learning rate {training.learning_rate:g}, {settings.precision}",
        f"- Seeds: split {settings.data.seed}, training {training.seed}",
        f"- Every setting: `settings` in `{INFO_FILE}`",
    ]


def _figures(info: AdapterInfo) -> list[str]:
    if "adapter" not in info.figures:
        return ["## Figures", "", "None were measured."]
    of_adapter = info.figures["adapter"]
    settings = info.settings  # tell what exports of the first version left out
    protocol = str(of_adapter.get("protocol") or (settings.protocol if settings else "sound"))
    short = str(of_adapter.get("norm") or (settings.monitor.norm if settings else "Linf"))
    norm = NORMS.get(short, short)
    sound = protocol == "sound"
    attack = str(of_adapter.get("attack") or ("FGSM + PGD" if sound else "PGD"))
    if sound and "upper bound" not in attack:
        attack += ", an upper bound"
    lines = [
        "## Figures",
        "",
        f"Protocol *{protocol}*, {norm}, epsilon in {_UNITS.get(protocol, 'pixel units')}:",
        "",
        f"| model | n | epsilon | clean accuracy | robust accuracy ({attack}) |",
        "|---|---|---|---|---|",
    ]
    for key, title in _TITLES.items():
        entry = info.figures.get(key)
        if entry:
            clean = _with_interval(entry.get("clean_accuracy"), entry.get("clean_interval"))
            robust = _with_interval(entry.get("robust_accuracy"), entry.get("robust_interval"))
            epsilon = f"{float(entry.get('epsilon') or 0) * 255:g}/255"
            lines.append(f"| {title} | {entry.get('n', '')} | {epsilon} | {clean} | {robust} |")
    lines += ["", "Wilson 95 % intervals in brackets."]
    if not sound:
        lines.append("The released protocol's figures do not compare with those in pixel units.")
    lines += [f"Doubt: {sentence}" for sentence in of_adapter.get("warnings") or ()]
    told = of_adapter.get("provenance") or {}
    hashes = [f"- SHA-256 of the {what}: {told[key]}" for key, what in _HASHES.items() if told.get(key)]
    facts = [f"{key} {told[key]}" for key in ("steps", "restarts", "seed", "dtype", "device") if key in told]
    if facts:
        hashes.insert(0, f"- Attack: {', '.join(facts)}")
    return [*lines, "", *hashes] if hashes else lines


def _with_interval(share: Any, interval: Any) -> str:
    if not isinstance(share, int | float):
        return "-"
    if not isinstance(interval, list | tuple) or len(interval) != 2:
        return f"{100 * share:.1f} %"
    return f"{100 * share:.1f} % ({100 * interval[0]:.1f} - {100 * interval[1]:.1f})"


def _versions(info: AdapterInfo, record: dict[str, Any]) -> list[str]:
    packages = info.environment.get("packages")
    versions = [f"{name} {version}" for name, version in (packages or {}).items() if version]
    lines = ["## Versions", ""]
    if versions:
        trained = [f"advclip_gui {info.environment.get('advclip_gui', '?')}",
                   f"Python {info.environment.get('python', '?')}", *versions]  # fmt: skip
        places = [info.environment.get(key) for key in ("platform", "device")]
        where = ", ".join(str(place) for place in places if place)
        lines.append(f"Trained with {', '.join(trained)}" + (f" on {where}." if where else "."))
    lines.append(f"Exported by advclip_gui {record.get('advclip_gui', '')}.".replace(" .", "."))
    if record.get("largest_difference") is not None:
        lines.append(
            "Checked in ONNX Runtime: "
            f"logits differ from PyTorch's by {record['largest_difference']:.1g} at most."
        )
    return lines


def _loading(kind: Format, record: dict[str, Any]) -> list[str]:
    names = ", ".join(f"`{name}`" for name in (*format_entry(kind).files, INFO_FILE, CARD_FILE))
    return ["## How to load it", "", "```python", snippet(kind, PLACE, record).rstrip(), "```", "",
            f"Files: {names}."]  # fmt: skip


def _limits(info: AdapterInfo, kind: Format) -> list[str]:
    lines = ["## Limits", ""]
    if kind in {"peft", "clip-lora"}:
        lines.append("- The matrices fit only the backbone named above, with the same weights.")
    if kind == "clip-lora":
        lines.append("- Layers count the adapted blocks: text tower first, then vision, bottom up.")
    if kind == "onnx":
        lines.append("- The classes are fixed; `features` and `logit_scale` serve for other prompts.")
    measured = "The figures hold" if "adapter" in info.figures else "It was made"
    return [
        *lines,
        f"- {measured} for these classes, prompts and images.",
        "- Robustness against other attacks or larger epsilons is not claimed.",
        "- Licence and limits of the backbone's weights apply to what is made from them.",
    ]
