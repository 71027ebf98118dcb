"""The model card: what an adapter was made of and for, what was measured, how to load it, its limits."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from advclip_gui.engine.exchange.card_figures import NORMS, UNITS, figures_section
from advclip_gui.engine.exchange.data_facts import LAYOUTS
from advclip_gui.engine.exchange.formats import CARD_FILE, INFO_FILE, PLACE, Format, format_entry
from advclip_gui.engine.exchange.info import without_paths
from advclip_gui.engine.exchange.markdown import plain
from advclip_gui.engine.exchange.snippets import snippet
from advclip_gui.engine.probe_types import length_text
from advclip_gui.settings import format_layers

if TYPE_CHECKING:
    from collections.abc import Iterable

    from advclip_gui.engine.exchange.info import AdapterInfo
    from advclip_gui.settings import RunSettings

_LIBRARIES: Final = {"peft": "peft", "open-clip": "open_clip", "hugging-face": "transformers", "onnx": "onnx"}
_PARTS: Final = {
    "base": ", the first half of the dataset's classes (base)",
    "new": ", the second half of the dataset's classes (new)",
}


def model_card(
    info: AdapterInfo, kind: Format, record: dict[str, Any], files: Iterable[str] | None = None
) -> str:
    """Markdown of the card; no path of this machine is in it, and no markup but its own.

    Args:
        info: of the adapter.
        kind: the format it lies beside.
        record: as in `INFO_FILE`, with what `snippet` wants.
        files: names of the format's files where they are others than usual.
    """
    info = without_paths(info)
    sections = [
        _what(info, record),
        _data(info),
        _settings(info, record),
        figures_section(info),
        _versions(info, record),
        _loading(kind, record, format_entry(kind).files if files is None else files),
        _limits(info, kind, record),
    ]
    return "\n".join([*_head(kind, record), *("\n".join([*lines, ""]) for lines in sections if lines)])


def _head(kind: Format, record: dict[str, Any]) -> list[str]:
    """What model hubs read. JSON is YAML too, so that no value can end the block or start another key."""
    told: dict[str, Any] = {}
    if kind in _LIBRARIES:
        told["library_name"] = _LIBRARIES[kind]
    if record.get("base"):
        told["base_model"] = record["base"]
    told["tags"] = ["clip", "lora", "adversarial-robustness", "image-classification"]
    return ["---", *(f"{key}: {json.dumps(value)}" for key, value in told.items()), "---", ""]


def _what(info: AdapterInfo, record: dict[str, Any]) -> list[str]:
    lines = ["# CLIP LoRA adapter" + (f": {plain(info.name)}" if info.name else ""), ""]
    settings = info.settings
    if settings is None:
        lines += ["Imported; what it was trained on, and how, is not recorded.", ""]
    else:
        against = "against an adversary" if settings.adversary.inner_steps else "without an adversary"
        lines += [
            f"Trained with {settings.method} {against}, protocol *{settings.protocol}*, "
            f"to tell {len(info.class_names):,} classes apart.",
            "",
        ]
    backbone = info.backbone
    named = backbone.weights or backbone.checkpoint
    lines.append(f"- Backbone: {plain(backbone.name)} {plain(named)}".rstrip())
    if record.get("architecture"):
        lines.append(f"- Architecture: `{record['architecture']}` in open_clip, activation included")
    elif "quick_gelu" in record:
        lines.append(f"- Activation: {'QuickGELU' if record['quick_gelu'] else 'GELU'}")
    lines.append(f"- SHA-256 of the backbone's weights: {plain(info.backbone_sha256) or 'not recorded'}")
    merged = record.get("merged_into_sha256")
    if merged and info.backbone_sha256 and merged != info.backbone_sha256:
        lines.append(f"- Folded into weights with another SHA-256 than it was trained on: {merged}")
    return [
        *lines,
        f"- Classes: {', '.join(plain(name) for name in info.class_names)}",
        f"- Prompts: {'; '.join(plain(template) for template in info.templates)}",
    ]


def _data(info: AdapterInfo) -> list[str]:
    facts = info.data
    if not facts:
        if info.settings is None:
            return []
        data = info.settings.data
        return ["## Data", "", f"- {data.shots} shots per class of {plain(data.folder)}, seed {data.seed}"]
    part = _PARTS.get(facts.get("part", ""), "")
    layout = facts.get("layout", "auto")
    laid = "layout recognised by the program" if layout == "auto" else LAYOUTS.get(layout, plain(layout))
    known = f", known as {plain(facts['dataset'])}" if facts.get("dataset") else ""
    shots, fewest = facts.get("shots", 0), facts.get("fewest_shots", 0)
    many = f"{shots}" if fewest in {0, shots} else f"{fewest} to {shots}"
    held = facts.get("val_shots", 0)
    if facts.get("split") == "loaded":
        drawn = f"loaded from the list {plain(facts.get('split_list') or 'of another run')}"
    else:
        drawn = f"drawn with seed {facts.get('seed', 0)}"
    lines = [
        "## Data",
        "",
        f"- Images: {plain(facts.get('name') or 'a folder without a name')}, {laid}{known}",
        f"- Classes: {facts.get('classes') or len(info.class_names):,}{part}",
        f"- Shots: {many} training and {f'at most {held}' if held else 'no'} validation images per class",
        f"- Split: {drawn}; {facts.get('train', 0):,} training, {facts.get('val', 0):,} validation, "
        f"{facts.get('test', 0):,} test images",
    ]
    if facts.get("skipped"):
        lines.append(f"- Left out at the user's wish: {facts['skipped']:,} files")
    if facts.get("digest"):
        lines.append(f"- SHA-256 of the split (classes, paths and labels): {plain(facts['digest'])}")
    return lines


def _settings(info: AdapterInfo, record: dict[str, Any]) -> list[str]:
    settings = info.settings
    lines = ["## Settings", "", _lora(settings, record.get("lora") or {})]
    return lines if settings is None else lines + _training(settings)


def _lora(settings: RunSettings | None, lora: dict[str, Any]) -> str:
    if settings is not None:
        given = settings.lora
        towers = "both encoders" if given.encoder == "both" else f"{given.encoder} encoder"
        where = f"{towers}, matrices {' '.join(given.matrices)}, layers {format_layers(given.layers)}"
        return (
            f"- LoRA: rank {given.rank}, alpha {given.alpha:g}, {where}, scaling alpha / sqrt(r), "
            f"dropout {given.dropout:g} in training"
        )
    if not lora:
        return "- LoRA: not described"
    where = f"{lora['targets']} matrices"
    return f"- LoRA: rank {lora['rank']}, alpha {lora['alpha']:g}, {where}, scaling alpha / sqrt(r)"


def _training(settings: RunSettings) -> list[str]:
    adversary, training = settings.adversary, settings.training
    units = UNITS[settings.protocol]
    lines = [
        f"- Adversary: {adversary.kind}, m = {adversary.inner_steps}, "
        f"epsilon {length_text(adversary.epsilon, adversary.norm)}, "
        f"step size {length_text(adversary.step_size, adversary.norm)} ({NORMS[adversary.norm]}, {units})"
        if adversary.inner_steps
        else "- Adversary: none (m = 0)",
        f"- Training: {settings.total_steps:,} steps, batch {training.batch_size}, learning rate "
        f"{training.learning_rate:g}, weight decay {training.weight_decay:g}, {settings.precision}",
    ]
    shares = [f"clean share {training.clean_share:g}"] if training.clean_share else []
    shares += [f"TRADES beta {training.trades_beta:g}"] if training.trades_beta else []
    return [
        *lines,
        *([f"- Loss: adversarial cross-entropy, {', '.join(shares)}"] if shares else []),
        f"- Seeds: split {settings.data.seed}, training {training.seed}",
        f"- Every setting: `settings` in `{INFO_FILE}`",
    ]


def _versions(info: AdapterInfo, record: dict[str, Any]) -> list[str]:
    known = info.environment
    packages = known.get("packages")
    told = packages if isinstance(packages, dict) else {}
    versions = [f"{plain(name)} {plain(version)}" for name, version in told.items() if version]
    lines = ["## Versions", ""]
    if versions:
        trained = [f"advclip_gui {plain(known.get('advclip_gui', '?'))}",
                   f"Python {plain(known.get('python', '?'))}", *versions]  # fmt: skip
        where = ", ".join(plain(known[key]) for key in ("platform", "device") if known.get(key))
        lines.append(f"Trained with {', '.join(trained)}" + (f" on {where}." if where else "."))
    lines.append(f"Exported by advclip_gui {record.get('advclip_gui', '')}.".replace(" .", "."))
    if record.get("largest_difference") is not None:
        lines.append(
            "Checked in ONNX Runtime: "
            f"logits differ from PyTorch's by {record['largest_difference']:.1g} at most."
        )
    return lines


def _loading(kind: Format, record: dict[str, Any], files: Iterable[str]) -> list[str]:
    names = ", ".join(f"`{name}`" for name in (*files, INFO_FILE, CARD_FILE))
    return ["## How to load it", "", "```python", snippet(kind, PLACE, record).rstrip(), "```", "",
            f"Files: {names}."]  # fmt: skip


def _limits(info: AdapterInfo, kind: Format, record: dict[str, Any]) -> list[str]:
    lines = ["## Limits", ""]
    if kind in {"peft", "clip-lora"}:
        lines.append("- The matrices fit only the backbone named above, with the same weights.")
    if kind == "peft" and record.get("for_clip_model") is False:
        lines.append("- transformers' CLIPModel cannot hold this backbone: advclip_gui loads the adapter.")
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
