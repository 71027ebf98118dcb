"""The figures on a model card: clean and robust accuracy, with everything a trusted figure carries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from advclip_gui.engine.exchange.markdown import plain
from advclip_gui.engine.probe_types import length_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from advclip_gui.engine.exchange.info import AdapterInfo

NORMS: Final = {"Linf": "L-infinity", "L2": "L2"}
UNITS: Final = {"sound": "pixel units", "released": "normalised units"}
_TITLES: Final = {"zero_shot": "zero-shot", "clip_lora": "CLIP-LoRA", "adapter": "this adapter"}
_TIERS: Final = {
    "quick": "quick, so that every robust accuracy is an upper bound: a stronger attack may find more",
    "standard": "standard (APGD-CE and APGD-T)",
    "thorough": "thorough (APGD-CE, APGD-T, Square and restarts)",
}
_AUDIT: Final = {
    "norm_within": ("no perturbation is longer than epsilon", "a perturbation was longer than epsilon"),
    "inside_box": ("every pixel stays in [0, 1]", "pixels left [0, 1]"),
}
_HASHES: Final = {
    "split_digest": "split (classes, paths and labels)",
    "images_sha256": "test images (pixels)",
    "backbone_sha256": "backbone's weights",
    "adapter_sha256": "adapter's weights",
}


def figures_section(info: AdapterInfo) -> list[str]:
    """Lines of the section; a sentence where nothing was measured."""
    if "adapter" not in info.figures:
        return ["## Figures", "", "None were measured."]
    ours = info.figures["adapter"]
    settings = info.settings  # tell what exports of the first version left out
    protocol = str(ours.get("protocol") or (settings.protocol if settings else "sound"))
    norm = str(ours.get("norm") or (settings.monitor.norm if settings else "Linf"))
    sound = protocol == "sound"
    attack = str(ours.get("attack") or ("FGSM + PGD" if sound else "PGD"))
    tier = _word(ours, "tier")
    if sound and "upper bound" not in attack and tier in {"", "quick"}:
        attack += ", an upper bound"
    entries = [(title, info.figures[key]) for key, title in _TITLES.items() if info.figures.get(key)]
    lines = [
        "## Figures",
        "",
        f"Protocol *{plain(protocol)}*, {NORMS.get(norm, plain(norm))}, "
        f"epsilon in {UNITS.get(protocol, 'pixel units')}:",
        "",
        *_table(entries, norm, plain(attack)),
        "",
        "Wilson 95 % intervals in brackets.",
    ]
    if not sound:
        lines.append("The released protocol's figures do not compare with those in pixel units.")
    lines += _doubts(entries)
    facts = [*_provenance(ours, norm, tier), *_hashes(ours)]
    return [*lines, "", *facts] if facts else lines


def _table(entries: Sequence[tuple[str, dict[str, Any]]], norm: str, attack: str) -> list[str]:
    columns: list[tuple[str, str, str]] = [
        ("clean accuracy", "clean_accuracy", "clean_interval"),
        (f"robust accuracy ({attack})", "robust_accuracy", "robust_interval"),
        ("robust accuracy, saved as 8-bit PNG", "robust_after_8bit", "interval_after_8bit"),
        ("under FGSM alone", "fgsm_accuracy", "fgsm_interval"),
    ]
    columns = columns[:2] + [
        one for one in columns[2:] if any(isinstance(entry.get(one[1]), int | float) for _, entry in entries)
    ]
    lines = [
        f"| model | n | epsilon | {' | '.join(title for title, _, _ in columns)} |",
        "|---" * (3 + len(columns)) + "|",
    ]
    for title, entry in entries:
        shares = [_with_interval(entry.get(share), entry.get(interval)) for _, share, interval in columns]
        count = plain(entry.get("n", ""))
        lines.append(f"| {title} | {count} | {_length(entry, norm)} | {' | '.join(shares)} |")
    return lines


def _length(entry: dict[str, Any], norm: str) -> str:
    epsilon = entry.get("epsilon")
    if not isinstance(epsilon, int | float):
        return "-"
    return f"{epsilon:.4g}" if norm == "L2" else f"{length_text(float(epsilon), 'Linf')} ({epsilon:.6g})"


def _with_interval(share: Any, interval: Any) -> str:
    if not isinstance(share, int | float):
        return "-"
    if (
        not isinstance(interval, list | tuple)
        or len(interval) != 2
        or not all(isinstance(end, int | float) for end in interval)
    ):
        return f"{100 * share:.1f} %"
    return f"{100 * share:.1f} % ({100 * interval[0]:.1f} - {100 * interval[1]:.1f})"


def _doubts(entries: Iterable[tuple[str, dict[str, Any]]]) -> list[str]:
    """The warnings of every model's evaluation, and how an attack had to differ from its definition."""
    lines = []
    for title, entry in entries:
        lines += [f"- Doubt about {title}: {plain(sentence)}" for sentence in entry.get("warnings") or ()]
        lines += [f"- Note on {title}: {plain(sentence)}" for sentence in entry.get("notes") or ()]
    return ["", *lines] if lines else []


def _provenance(entry: dict[str, Any], norm: str, tier: str) -> list[str]:
    told = entry.get("provenance") or {}
    lines = [f"- Attack tier: {_TIERS.get(tier, plain(tier))}"] if tier else []
    facts = [f"{key} {plain(told[key])}" for key in ("steps", "restarts", "seed", "dtype") if key in told]
    device = ", ".join(plain(told[key]) for key in ("device", "device_name") if told.get(key))
    facts += [f"device {device}"] if device else []
    facts += [f"PyTorch {plain(told['torch'])}"] if told.get("torch") else []
    if facts:
        lines.append(f"- Attack: norm {plain(norm)}, {', '.join(facts)}")
    waterfall = entry.get("waterfall")
    if isinstance(waterfall, dict) and waterfall:
        left = [f"{plain(name)} {_with_interval(share, None)}" for name, share in waterfall.items()]
        lines.append(f"- Left right after each attack: {', '.join(left)}")
    audit = entry.get("audit") or {}
    checked = [texts[not audit[key]] for key, texts in _AUDIT.items() if key in audit]
    if checked:
        lines.append(f"- Audit: {', '.join(checked)}")
    return lines


def _hashes(entry: dict[str, Any]) -> list[str]:
    told = entry.get("provenance") or {}
    return [f"- SHA-256 of the {what}: {plain(told[key])}" for key, what in _HASHES.items() if told.get(key)]


def _word(entry: dict[str, Any], key: str) -> str:
    value = (entry.get("provenance") or {}).get(key, "")
    return value if isinstance(value, str) else ""
