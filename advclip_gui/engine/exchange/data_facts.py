"""What an adapter was trained on, in facts that may be handed on: no path, no file; free of torch."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from advclip_gui.engine.exchange.privacy import last_part
from advclip_gui.settings.data import DEMO_FOLDER

if TYPE_CHECKING:
    from advclip_gui.settings import DataSettings

LAYOUTS: Final = {
    "folders": "a folder for each class",
    "coop": "a split list as CoOp publishes them",
    "fgvc": "FGVC Aircraft's lists",
    "imagenet": "ImageNet's synset folders",
    "list": "a list of images",
}
_TEXTS: Final = ("name", "layout", "dataset", "part", "split", "split_list", "digest")
_IMAGES: Final = ("train", "val")
_HASH: Final = re.compile(r"[0-9a-f]{64}")
_NUMBERS: Final = ("classes", "shots", "fewest_shots", "val_shots", "train", "val", "test", "seed", "skipped")


def data_facts(data: DataSettings, split: dict[str, Any]) -> dict[str, Any]:
    """Facts of a run's images.

    Args:
        data: what the run was told.
        split: what it drew, as the run folder holds it; may lack anything.

    Returns:
        "name" of the folder, "layout" ("auto" where nobody chose one), "part" of the classes ("all", "base"
        or "new"), "split" ("drawn" or "loaded", then with "split_list"), "classes", "shots" (the most that
        a class has) and "fewest_shots", "val_shots", images in "train", "val" and "test", "seed", "skipped"
        files and the split's "digest"; "layout" and "dataset" as they were found where the split tells;
        "images" with the SHA-256 of the training and validation files, sorted, so that an evaluation can
        tell which images the adapter has seen.
    """
    shots = Counter(_labels(split.get("train"))).values()
    held_out = Counter(_labels(split.get("val"))).values()
    names = split.get("class_names")
    facts: dict[str, Any] = {
        "name": "bundled demo images" if data.folder == DEMO_FOLDER else last_part(data.folder),
        "layout": data.layout,
        "part": data.classes,
        "split": "loaded" if data.split_file else "drawn",
        "split_list": last_part(data.split_file),
        "classes": len(names) if isinstance(names, list) else 0,
        "shots": max(shots, default=data.shots),
        "fewest_shots": min(shots, default=data.shots),
        "val_shots": max(held_out, default=0),
        **{part: len(_labels(split.get(part))) for part in ("train", "val", "test")},
        "seed": data.seed,
        "skipped": len(data.skip),
    }
    told = {key: split[key] for key in ("layout", "dataset", "digest") if split.get(key)}
    images = {part: _hashes(split.get(part)) for part in _IMAGES}
    return kept_facts({**facts, **told, "images": images})


def _labels(samples: Any) -> list[int]:
    found = samples if isinstance(samples, list) else []
    return [one["label"] for one in found if isinstance(one, dict) and isinstance(one.get("label"), int)]


def _hashes(samples: Any) -> list[str]:
    found = samples if isinstance(samples, list) else []
    return [one["sha256"] for one in found if isinstance(one, dict) and one.get("sha256")]


def kept_facts(facts: Any) -> dict[str, Any]:
    """Of what claims to be facts, those of the right kind; none where it is nothing of the sort."""
    if not isinstance(facts, dict):
        return {}
    texts = {key: facts[key] for key in _TEXTS if isinstance(facts.get(key), str) and facts[key]}
    numbers = {key: facts[key] for key in _NUMBERS if isinstance(facts.get(key), int)}
    told = facts.get("images")
    images = {part: _kept_hashes(told.get(part)) for part in _IMAGES} if isinstance(told, dict) else {}
    return {**texts, **numbers, **({"images": images} if any(images.values()) else {})}


def _kept_hashes(hashes: Any) -> list[str]:
    found = hashes if isinstance(hashes, list) else []
    return sorted({one for one in found if isinstance(one, str) and _HASH.fullmatch(one)})
