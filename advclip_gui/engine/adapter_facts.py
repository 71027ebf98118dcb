"""What can be said of any saved adapter, with or without the settings of its training; free of torch."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from advclip_gui.engine.errors import UserError
from advclip_gui.engine.exchange.formats import CONFIG_FILE
from advclip_gui.engine.exchange.info import AdapterInfo, adapter_info
from advclip_gui.engine.run_list import backbone_title

if TYPE_CHECKING:
    from pathlib import Path

_MOST_BYTES = 2**22
_NAMED = 12
"""Classes that are named; of more, how many there are."""


def adapter_facts(folder: Path) -> dict[str, str]:
    """Title and value of what a folder says about its adapter; what it does not say is left out.

    Args:
        folder: of a run, or with an adapter in it.
    """
    facts: dict[str, str] = {}
    try:
        facts |= _of_card(adapter_info(folder))
    except UserError:
        pass  # the matrices may still be described
    for place in (folder, folder / "adapter"):
        if (place / CONFIG_FILE).is_file():
            facts |= _of_matrices(place / CONFIG_FILE)
            break
    return facts


def _of_card(info: AdapterInfo) -> dict[str, str]:
    names = info.class_names
    told = ", ".join(names[:_NAMED])
    facts = {
        "Backbone": backbone_title(info.backbone),
        "Classes": f"{len(names):,}: {told}{' …' if len(names) > _NAMED else ''}",
        "Prompts": " | ".join(info.templates),
    }
    if info.backbone_sha256:
        facts["Backbone's SHA-256"] = info.backbone_sha256[:12]
    return facts


def _of_matrices(path: Path) -> dict[str, str]:
    try:
        if path.stat().st_size > _MOST_BYTES:
            return {}
        config: Any = json.loads(path.read_text(encoding="utf-8"))
        rank, alpha = config["r"], config["lora_alpha"]
        facts = {"Rank r": str(int(rank))}
        if math.isfinite(alpha):
            facts["Alpha"] = f"{alpha:g}"
            facts["Scaling"] = f"{alpha / (math.sqrt(rank) if config.get('use_rslora') else rank):.4g}"
        targets = config.get("target_modules")
        if isinstance(targets, list):
            facts["Adapted matrices"] = f"{len(targets):,}" + _towers([str(name) for name in targets])
        return facts
    except (OSError, ValueError, KeyError, TypeError, ZeroDivisionError):
        return {}


def _towers(targets: list[str]) -> str:
    counts = {
        title: sum(name.startswith(start) for name in targets)
        for title, start in (("vision", "vision_model"), ("text", "text_model"))
    }
    told = ", ".join(f"{count} {title}" for title, count in counts.items() if count)
    return f" ({told})" if sum(counts.values()) == len(targets) else ""
