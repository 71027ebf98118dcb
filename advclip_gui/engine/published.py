"""The backbones others have published: those open_clip knows, and adversarially trained ones on the hub.

What open_clip knows is read from a file that ships with the program, so that listing it needs neither
open_clip nor PyTorch; `packaging/make_backbone_catalog.py` writes it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from advclip_gui.engine.resources import resource_path

if TYPE_CHECKING:
    from collections.abc import Mapping

HUB_PREFIX: Final = "hf-hub:"
"""What a name begins with that means a repository on the hub."""
BYTES_PER_PARAMETER: Final = 4
"""Of most published weights; the hub tells the exact size before the first byte is fetched."""
QUICK: Final = "-quickgelu"

_FAMILIES: Final = {
    "OpenAI": "OpenAI's original weights, trained on 400 M pairs of image and text.",
    "LAION": "Open weights trained on LAION's public collections of image and text.",
    "DataComp": "Open weights trained on one of DataComp's filtered collections.",
    "MetaCLIP": "Weights of Meta, trained on pairs balanced over a list of words.",
    "DFN": "Weights of Apple, trained on pairs that a filtering network let through.",
    "SigLIP": "Trained with a sigmoid loss on WebLI; has a tokenizer of its own, fetched with it.",
    "SigLIP 2": "SigLIP's successor for many languages; has a tokenizer of its own, fetched with it.",
    "EVA": "Vision tower begun from masked image modelling, with rotary positions in EVA02.",
    "CLIPA": "Trained first on few tokens, then on whole images; has BERT's tokenizer, fetched with it.",
    "MobileCLIP": "Small and fast models of Apple, taught by larger ones.",
    "Perception Encoder": "Weights of Meta, made as a general encoder of images.",
    "ViTamin": "Vision tower of convolutions below and attention above; LoRA goes into the attention.",
    "Robust": "Trained against l-infinity attacks on ImageNet, so robust before any adapter is trained.",
}


@dataclass(frozen=True, slots=True)
class BackboneEntry:
    """One backbone that can be chosen.

    Attributes:
        name: what `BackboneSettings.name` holds: of open_clip's registry, or "hf-hub:owner/repository".
        weights: what `BackboneSettings.weights` holds; "" where there is no choice.
        architecture: the open_clip configuration that fits the weights, "" where the repository tells.
        image_size: input resolution in pixels, 0 where it is not known before the download.
        parameters: of both towers, 0 where they are not known before the download.
        download_mb: about what is fetched, 0 where nothing is, or the size is not known.
        hub_id: repository on the hub, "" where there is none.
        description: one sentence.
        family: whom the weights are known by; "" for what is bundled or the user's own.
        licence: of the weights, "" where no source was found.
        licence_source: what says so, "" where there is no licence.
        tokenizer: repository of the tokenizer, "" where it is open_clip's own.
        refused: why LoRA cannot be placed on it, "" where it can.
        file: of the weights in the repository, "" where one of the usual names is tried.
    """

    name: str
    weights: str
    title: str
    architecture: str
    image_size: int
    parameters: int
    download_mb: int
    hub_id: str
    description: str
    family: str = ""
    licence: str = ""
    licence_source: str = ""
    tokenizer: str = ""
    refused: str = ""
    file: str = ""

    @property
    def fetched(self) -> bool:
        """Whether it comes from a hub."""
        return bool(self.hub_id)


@dataclass(frozen=True, slots=True)
class _Facts:
    """What was read about repositories: licence and its source of each, and which hold half precision."""

    licences: Mapping[str, tuple[str, str]]
    halved: frozenset[str]


@lru_cache(maxsize=1)
def _facts() -> _Facts:
    content = json.loads(resource_path("backbones", "facts.json").read_text(encoding="utf-8"))
    licences = {
        hub_id: (group["licence"], group["source"])
        for group in content["licences"]
        for hub_id in group["repositories"]
    }
    return _Facts(licences, frozenset(content["half_precision"]["repositories"]))


def _licence(hub_id: str) -> tuple[str, str]:
    return _facts().licences.get(hub_id, ("", ""))


def _download_mb(hub_id: str, parameters: int) -> int:
    """About how many MB so many published parameters take."""
    width = BYTES_PER_PARAMETER // 2 if hub_id in _facts().halved else BYTES_PER_PARAMETER
    return round(parameters * width / 1e6)


def _robust(hub_id: str, title: str, architecture: str, parameters: int, what: str) -> BackboneEntry:
    licence, source = _licence(hub_id)
    return BackboneEntry(
        name=HUB_PREFIX + hub_id,
        weights="",
        title=title,
        architecture=architecture,
        image_size=224,
        parameters=parameters,
        download_mb=_download_mb(hub_id, parameters),
        hub_id=hub_id,
        description=what,
        family="Robust",
        licence=licence,
        licence_source=source,
    )


_FARE = "FARE (Schlarmann et al., 2024): features kept where they were under attack, {} on ImageNet."
_TECOA = "TeCoA (Mao et al., 2023): trained on attacked images and class names, {} on ImageNet."
_SIZES: Final = {"ViT-B-32": 151_277_313, "ViT-B-16": 149_620_737, "ViT-L-14": 427_616_513}

ROBUST: Final[tuple[BackboneEntry, ...]] = tuple(
    _robust(hub_id, title, architecture, _SIZES[architecture], text.format(f"epsilon {epsilon}/255"))
    for hub_id, title, architecture, text, epsilon in (
        ("chs20/FARE4-ViT-B-32-laion2B-s34B-b79K", "ViT-B/32 - FARE 4/255", "ViT-B-32", _FARE, 4),
        ("chs20/TeCoA4-ViT-B-32-laion2B-s34B-b79K", "ViT-B/32 - TeCoA 4/255", "ViT-B-32", _TECOA, 4),
        ("chs20/FARE4-ViT-B-16-laion2B-s34B-b88K", "ViT-B/16 - FARE 4/255", "ViT-B-16", _FARE, 4),
        ("chs20/TeCoA4-ViT-B-16-laion2B-s34B-b88K", "ViT-B/16 - TeCoA 4/255", "ViT-B-16", _TECOA, 4),
        ("chs20/fare2-clip", "ViT-L/14 - FARE 2/255", "ViT-L-14", _FARE, 2),
        ("chs20/fare4-clip", "ViT-L/14 - FARE 4/255", "ViT-L-14", _FARE, 4),
        ("chs20/tecoa2-clip", "ViT-L/14 - TeCoA 2/255", "ViT-L-14", _TECOA, 2),
        ("chs20/tecoa4-clip", "ViT-L/14 - TeCoA 4/255", "ViT-L-14", _TECOA, 4),
    )
)
"""Adversarially trained CLIPs; activation and preprocessing follow each repository's configuration."""


@lru_cache(maxsize=1)
def of_open_clip() -> tuple[BackboneEntry, ...]:
    """Every pair of architecture and weights of open_clip, in its order; refused ones included."""
    content = json.loads(resource_path("backbones", "catalog.json").read_text(encoding="utf-8"))
    return tuple(_from_line(line) for line in content["backbones"])


def _from_line(line: dict[str, Any]) -> BackboneEntry:
    family = line["family"]
    licence, source = _licence(line["hub_id"])
    return BackboneEntry(
        name=line["name"],
        weights=line["weights"],
        title=f"{line['name']} - {line['weights']}",
        architecture=line["architecture"],
        image_size=line["image_size"],
        parameters=line["parameters"],
        download_mb=_download_mb(line["hub_id"], line["parameters"]),
        hub_id=line["hub_id"],
        description=_FAMILIES.get(family, "Published with open_clip."),
        family=family,
        licence=licence,
        licence_source=source,
        tokenizer=line["tokenizer"],
        refused=line["refused"],
        file=line["file"],
    )


def matches(one: BackboneEntry, query: str, *, family: str = "", size: int = 0) -> bool:
    """Whether a backbone holds all words of a query, in any of its names, and is of a family and resolution.

    Args:
        one: the backbone.
        query: words, in any case; none let all through.
        family: as in `BackboneEntry.family`, in any case; "" lets all through.
        size: of the input in pixels, 0 lets all through.
    """
    if size and one.image_size != size:
        return False
    if family and one.family.casefold() != family.casefold():
        return False
    text = _searched(one)
    return all(word in text for word in query.casefold().split())


@lru_cache(maxsize=1024)
def _searched(one: BackboneEntry) -> str:
    parts = (one.title, one.name, one.weights, one.family, one.hub_id, one.architecture, one.licence)
    return " ".join(parts).casefold()
