"""Write resources/backbones/catalog.json: every pair of architecture and weights that open_clip publishes.

Licences are no part of it: facts.json beside it holds them with their sources.

Run it again after an update of open_clip; a test says when that is due. Each model is built on the meta
device, so nothing is downloaded and no weights are made. What the engine cannot adapt is kept, with the
reason, so that the program can say why instead of not knowing the name.

    python packaging/make_backbone_catalog.py
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from advclip_gui.engine.torchvision_cure import ensure_torchvision  # noqa: E402

ensure_torchvision()

import open_clip  # noqa: E402
import torch  # noqa: E402

from advclip_gui.engine.blueprint import build, draw  # noqa: E402
from advclip_gui.engine.errors import BackboneError  # noqa: E402

TARGET = ROOT / "resources" / "backbones" / "catalog.json"
QUICK = "-quickgelu"
FAMILIES = (
    ("MobileCLIP", "MobileCLIP"),
    ("SigLIP2", "SigLIP 2"),
    ("SigLIP", "SigLIP"),
    ("siglip", "NLLB"),
    ("nllb", "NLLB"),
    ("CLIPA", "CLIPA"),
    ("EVA", "EVA"),
    ("PE-Core", "Perception Encoder"),
    ("ViTamin", "ViTamin"),
)
"""By a part of the architecture's name; the first that fits."""
FAMILIES_BY_TAG = (
    ("openai", "OpenAI"),
    ("metaclip", "MetaCLIP"),
    ("dfn", "DFN"),
    ("datacomp", "DataComp"),
    ("commonpool", "DataComp"),
    ("laion", "LAION"),
    ("mscoco", "LAION"),
)


def family(architecture: str, tag: str) -> str:
    """What the weights are known under."""
    by_name = (name for part, name in FAMILIES if part in architecture)
    by_tag = (name for part, name in FAMILIES_BY_TAG if part in tag)
    return next(by_name, next(by_tag, "Other"))


def effective(name: str, quick_gelu: bool) -> str:
    """The configuration that fits the weights: OpenAI's and their kin need the quick GELU."""
    if quick_gelu and open_clip.get_model_config(name + QUICK) is not None:
        return name + QUICK
    return name


def facts(architecture: str) -> dict[str, Any]:
    """Resolution, parameters of both towers and tokenizer, or the reason why it is not supported."""
    config = open_clip.get_model_config(architecture)
    found: dict[str, Any] = {"image_size": 0, "parameters": 0, "tokenizer": "", "refused": ""}
    size = config["vision_cfg"].get("image_size", 224)
    found["image_size"] = size if isinstance(size, int) else max(size)
    try:
        with torch.device("meta"):
            model = build(config)
        found["parameters"] = sum(parameter.numel() for parameter in model.parameters())
        found["image_size"] = draw(config).image_size
    except BackboneError as error:
        found["refused"] = error.message
    found["tokenizer"] = config["text_cfg"].get("hf_tokenizer_name", "")
    return found


def rows() -> list[dict[str, Any]]:
    """One line for each pair; names that end in `-quickgelu` only repeat the weights of another."""
    known: dict[str, dict[str, Any]] = {}
    lines = []
    for name, tag in open_clip.list_pretrained():
        if name.endswith(QUICK):
            continue
        published = open_clip.get_pretrained_cfg(name, tag)
        quick = bool(published.get("quick_gelu"))
        architecture = effective(name, quick)
        if architecture not in known:
            known[architecture] = facts(architecture)
        hub_id, _, file = published.get("hf_hub", "").rpartition("/")
        lines.append(
            {
                "name": name,
                "weights": tag,
                "architecture": architecture,
                "family": family(name, tag),
                "hub_id": hub_id,
                "file": file,
                **known[architecture],
            }
        )
    return lines


def main() -> None:
    """Write the file, one line for each pair, so that a change can be read."""
    lines = rows()
    body = ",\n".join("  " + json.dumps(line, ensure_ascii=False) for line in lines)
    TARGET.write_text(
        f'{{"open_clip": "{open_clip.__version__}", "backbones": [\n{body}\n]}}\n', encoding="utf-8"
    )
    usable = sum(not line["refused"] for line in lines)
    print(f"{TARGET.relative_to(ROOT)}: {len(lines)} pairs, {usable} of them can be adapted")


if __name__ == "__main__":
    main()
