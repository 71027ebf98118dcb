"""Which CLIP backbones the program knows, and whether their weights are on this machine."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from advclip_gui.engine.errors import BackboneError
from advclip_gui.engine.resources import mini_backbone_folder

if TYPE_CHECKING:
    from advclip_gui.settings import BackboneSettings

WAYS_OUT = (
    "Choose 'Local checkpoint file' and point to weights you already have, "
    "or take the bundled advclip-mini, which works offline."
)


@dataclass(frozen=True, slots=True)
class BackboneEntry:
    """One line of the registry.

    Attributes:
        name: what `BackboneSettings.name` holds.
        weights: what `BackboneSettings.weights` holds; "" where there is no choice.
        image_size: input resolution in pixels.
        parameters: of both towers.
        download_mb: size of the download, 0 where nothing is fetched.
        hub_id: repository on the hub, "" where there is none.
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


CATALOG: tuple[BackboneEntry, ...] = (
    BackboneEntry(
        "advclip-mini", "", "advclip-mini (bundled)", "advclip-mini", 32, 8_098_465, 0, "",
        "Small CLIP for 32 px photos of ten everyday classes; made for the demo, works offline.",
    ),
    BackboneEntry(
        "ViT-B-32", "openai", "ViT-B/32 - OpenAI", "ViT-B-32-quickgelu", 224, 151_277_313, 605,
        "timm/vit_base_patch32_clip_224.openai", "The paper's backbone; 32 px patches, fast.",
    ),
    BackboneEntry(
        "ViT-B-16", "openai", "ViT-B/16 - OpenAI", "ViT-B-16-quickgelu", 224, 149_620_737, 599,
        "timm/vit_base_patch16_clip_224.openai", "The paper's second backbone; 16 px patches.",
    ),
    BackboneEntry(
        "ViT-B-32", "laion2b_s34b_b79k", "ViT-B/32 - LAION-2B", "ViT-B-32", 224, 151_277_313, 605,
        "laion/CLIP-ViT-B-32-laion2B-s34B-b79K", "Open weights trained on LAION-2B.",
    ),
    BackboneEntry(
        "ViT-B-16", "laion2b_s34b_b88k", "ViT-B/16 - LAION-2B", "ViT-B-16", 224, 149_620_737, 599,
        "laion/CLIP-ViT-B-16-laion2B-s34B-b88K", "Open weights trained on LAION-2B.",
    ),
    BackboneEntry(
        "local", "", "Local checkpoint file", "", 0, 0, 0, "",
        "Your own .safetensors, .pt or .bin file with a CLIP state dict; nothing is fetched.",
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether the weights are here; `sentence` says what happens next."""

    here: bool
    path: str | None
    sentence: str


def entry(settings: BackboneSettings) -> BackboneEntry:
    """Return the registry's line for a choice; empty weights mean the first of that name.

    Raises:
        BackboneError: there is no such backbone.
    """
    for candidate in CATALOG:
        if candidate.name == settings.name and settings.weights in {"", candidate.weights}:
            return candidate
    known = ", ".join(sorted({f"{c.name} {c.weights}".strip() for c in CATALOG}))
    raise BackboneError(
        f"There is no backbone '{settings.name} {settings.weights}'.".replace(" '.", "'."), f"Known: {known}."
    )


def availability(settings: BackboneSettings) -> Availability:
    """Look for the weights on this machine, never on the network.

    Raises:
        BackboneError: there is no such backbone.
    """
    chosen = entry(settings)
    if chosen.name == "advclip-mini":
        return Availability(True, str(mini_backbone_folder()), "Bundled with the program.")
    if chosen.name == "local":
        path = Path(settings.checkpoint).expanduser()
        if settings.checkpoint and path.is_file():
            return Availability(True, str(path), f"{path.name}, {path.stat().st_size / 1e6:.0f} MB.")
        return Availability(False, None, f"The checkpoint file '{settings.checkpoint}' does not exist.")
    cached = cached_weights(chosen.hub_id)
    if cached is not None:
        return Availability(True, str(cached), "Already on this machine.")
    return Availability(
        False,
        None,
        f"{chosen.title} is not on this machine; about {chosen.download_mb} MB to fetch. {WAYS_OUT}",
    )


HUB_FILES = ("open_clip_model.safetensors", "model.safetensors")
"""Safe weight files open_clip repositories carry, best first."""


def cached_weights(hub_id: str) -> Path | None:
    """Return a safetensors file of a hub repository that was fetched before, or None."""
    if importlib.util.find_spec("huggingface_hub") is None:
        return None
    from huggingface_hub import try_to_load_from_cache

    for name in HUB_FILES:
        found = try_to_load_from_cache(hub_id, name)
        if isinstance(found, str):
            return Path(found)
    return None
