"""Which CLIP backbones the program knows, and whether their weights are on this machine."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from advclip_gui.engine.checkpoint_shape import likely_architectures
from advclip_gui.engine.clip_source import (
    WEIGHT_FILES,
    ClipSource,
    cached_files,
    has_tokenizer,
    local_source,
    repository_source,
    told_architecture,
)
from advclip_gui.engine.errors import BackboneError, CheckpointError
from advclip_gui.engine.published import HUB_PREFIX, QUICK, ROBUST, BackboneEntry, of_open_clip
from advclip_gui.engine.resources import mini_backbone_folder

if TYPE_CHECKING:
    from advclip_gui.settings import BackboneSettings

__all__ = [
    "CATALOG",
    "HUB_FILES",
    "WAYS_OUT",
    "Availability",
    "BackboneEntry",
    "all_entries",
    "availability",
    "cached_weights",
    "entry",
    "is_here",
    "lacking_tokenizer",
    "source_of",
    "weight_names",
]

WAYS_OUT = (
    "Choose 'Local checkpoint file' and point to weights you already have, "
    "or take the bundled advclip-mini, which works offline."
)
HUB_FILES: Final = WEIGHT_FILES
_UNLISTED: Final = "A repository of the hub with an open_clip or CLIP configuration."
_HUB_ID: Final = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")


def _favourite(name: str, weights: str, title: str, description: str) -> BackboneEntry:
    """A published pair under a name and a sentence of its own."""
    found = next(one for one in of_open_clip() if (one.name, one.weights) == (name, weights))
    return replace(found, title=title, description=description)


def _bundled() -> BackboneEntry:
    return BackboneEntry(
        "advclip-mini", "", "advclip-mini (bundled)", "advclip-mini", 32, 8_098_465, 0, "",
        "Small CLIP for 32 px photos of ten everyday classes; made for the demo, works offline.",
        licence="Apache-2.0", licence_source="it is a part of this program",
    )  # fmt: skip


CATALOG: tuple[BackboneEntry, ...] = (
    _bundled(),
    _favourite("ViT-B-32", "openai", "ViT-B/32 - OpenAI", "The paper's backbone; 32 px patches, fast."),
    _favourite("ViT-B-16", "openai", "ViT-B/16 - OpenAI", "The paper's second backbone; 16 px patches."),
    _favourite(
        "ViT-B-32", "laion2b_s34b_b79k", "ViT-B/32 - LAION-2B", "Open weights trained on LAION-2B."
    ),
    _favourite(
        "ViT-B-16", "laion2b_s34b_b88k", "ViT-B/16 - LAION-2B", "Open weights trained on LAION-2B."
    ),
    _favourite("ViT-L-14", "openai", "ViT-L/14 - OpenAI", "Large; slow without a GPU."),
    _favourite(
        "ViT-B-16-SigLIP", "webli", "ViT-B/16 - SigLIP",
        "Trained with a sigmoid loss on WebLI; has a tokenizer of its own, fetched with it.",
    ),
    *(one for one in ROBUST if "4/255" in one.title),
    BackboneEntry(
        "local", "", "Local checkpoint file", "", 0, 0, 0, "",
        "Your own file or folder, of open_clip, OpenAI or Hugging Face; nothing is fetched.",
    ),
)  # fmt: skip
"""The favourites: what the short list offers, the bundled one first and the user's own files last."""


@lru_cache(maxsize=1)
def all_entries() -> tuple[BackboneEntry, ...]:
    """Everything that can be chosen by name, favourites first; what is refused comes last."""
    taken = {(one.name, one.weights) for one in CATALOG}
    others = [one for one in (*ROBUST, *of_open_clip()) if (one.name, one.weights) not in taken]
    favourites = [one for one in CATALOG if one.name != "local"]
    return (*favourites, *sorted(others, key=lambda one: bool(one.refused)))


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether the weights are here; `sentence` says what happens next.

    Attributes:
        architecture: of a local checkpoint that tells it itself, "" where the user has to.
        fits: whether nothing speaks against the architecture the user chose for it.
    """

    here: bool
    path: str | None
    sentence: str
    architecture: str = ""
    fits: bool = True


def entry(settings: BackboneSettings) -> BackboneEntry:
    """Return what is known about a choice; empty weights mean the first of that name.

    A name that ends in "-quickgelu" means the same weights as without: the activation follows them.

    Raises:
        BackboneError: there is no such backbone.
    """
    name, plain = settings.name, settings.name.removesuffix(QUICK)
    found = _known().get((name, settings.weights), _known().get((plain, settings.weights)))
    if found is not None:
        return found
    if name.startswith(HUB_PREFIX):
        return _repository(name)
    same = [one for one in all_entries() if one.name == plain]
    offered = ", ".join(f"{one.name} {one.weights}".strip() for one in same or CATALOG)
    raise BackboneError(
        f"There is no backbone '{name} {settings.weights}'.".replace(" '.", "'."),
        f"Known: {offered}." if same else f"Known: {offered}; 'advclip-gui models' lists the others.",
    )


@lru_cache(maxsize=1)
def _known() -> dict[tuple[str, str], BackboneEntry]:
    known: dict[tuple[str, str], BackboneEntry] = {}
    for one in (*CATALOG, *all_entries()):
        known.setdefault((one.name, one.weights), one)
        known.setdefault((one.name, ""), one)
    return known


def _repository(name: str) -> BackboneEntry:
    """A repository nobody has listed; its shape is read from its own configuration once that is here."""
    hub_id = name.removeprefix(HUB_PREFIX)
    if not _HUB_ID.fullmatch(hub_id):
        raise BackboneError(
            f"'{hub_id}' is no repository of the hub.", f"Write it as {HUB_PREFIX}owner/repository."
        )
    return BackboneEntry(name, "", hub_id, "", 0, 0, 0, hub_id, _UNLISTED)


def availability(settings: BackboneSettings) -> Availability:
    """Look for the weights on this machine, never on the network.

    Raises:
        BackboneError: there is no such backbone.
    """
    chosen = entry(settings)
    if chosen.name == "advclip-mini":
        return Availability(True, str(mini_backbone_folder()), "Bundled with the program.")
    if chosen.name == "local":
        return _local(settings.checkpoint, settings.architecture)
    if chosen.refused:
        return Availability(False, None, f"{chosen.title} cannot be adapted. {chosen.refused}")
    try:
        source = _repository_source(chosen)
    except CheckpointError as error:
        return Availability(False, None, str(error))
    if source is None:
        size = f"about {chosen.download_mb:,} MB to fetch" if chosen.download_mb else "it can be fetched"
        return Availability(False, None, f"{chosen.title} is not on this machine; {size}. {WAYS_OUT}")
    if lacking_tokenizer(chosen, source):
        return Availability(
            False,
            None,
            f"The weights of {chosen.title} are here, its tokenizer is not on this machine. {WAYS_OUT}",
        )
    return Availability(True, str(source.weights), "Already on this machine.")


def source_of(settings: BackboneSettings) -> ClipSource | None:
    """Describe what would be loaded; None while it is not on this machine.

    Raises:
        BackboneError: there is no such backbone.
        CheckpointError: it is here, and is no CLIP.
    """
    chosen = entry(settings)
    if chosen.name == "advclip-mini":
        return local_source(mini_backbone_folder())
    if chosen.name == "local":
        path = Path(settings.checkpoint).expanduser()
        return local_source(path) if settings.checkpoint and path.exists() else None
    return _repository_source(chosen)


def is_here(chosen: BackboneEntry) -> bool:
    """Whether a line of the registry could be loaded at once; quick enough to ask for all of them."""
    if not chosen.hub_id:
        return chosen.name == "advclip-mini"
    if chosen.refused or not cached_files(chosen.hub_id, weight_names(chosen)):
        return False
    try:
        source = _repository_source(chosen)
    except CheckpointError:
        return False
    return source is not None and not lacking_tokenizer(chosen, source)


def _local(checkpoint: str, architecture: str) -> Availability:
    path = Path(checkpoint).expanduser()
    if not checkpoint or not path.exists():
        return Availability(False, None, f"The checkpoint file '{checkpoint}' does not exist.")
    try:
        source = local_source(path)
    except CheckpointError as error:
        return Availability(False, None, str(error))
    size = source.weights.stat().st_size / 1e6
    what = f"{path.name}, a folder with {source.weights.name}" if path.is_dir() else path.name
    told = "" if source.config is None else told_architecture(source.config)
    if told:
        says = f" Its configuration tells the architecture: {told}."
        return Availability(True, str(path), f"{what}, {size:,.0f} MB.{says}", told)
    advice, fits = _advice(source, architecture)
    return Availability(True, str(path), f"{what}, {size:,.0f} MB.{advice}", fits=fits)


def _advice(source: ClipSource, architecture: str) -> tuple[str, bool]:
    """What to know about a file that does not say what it is, and whether the choice can be right."""
    if source.quick_gelu:
        return " One of OpenAI's archives, so with the quick GELU; choose its architecture.", True
    likely = likely_architectures(source.weights)
    if not likely or architecture.replace("/", "-") in likely:
        return "", True
    return f" By its shapes it is no {architecture}, but one of: {', '.join(likely)}.", False


def _repository_source(chosen: BackboneEntry) -> ClipSource | None:
    """Describe what was fetched of a repository; None while its weights or configuration are lacking."""
    if chosen.name.startswith(HUB_PREFIX):
        return repository_source(chosen.hub_id)
    weights = cached_weights(chosen.hub_id, weight_names(chosen))
    return None if weights is None else ClipSource(weights)


def lacking_tokenizer(chosen: BackboneEntry, source: ClipSource) -> str:
    """The repository of a tokenizer that is needed beside the weights and not here; "" where none is."""
    text = (source.config or {}).get("text_cfg") or {}
    hub_id = str(chosen.tokenizer or text.get("hf_tokenizer_name") or "")
    return "" if not hub_id or source.tokenizer is not None or has_tokenizer(hub_id) else hub_id


def weight_names(chosen: BackboneEntry) -> tuple[str, ...]:
    """Under which names the weights of a repository may lie, best first."""
    if not chosen.file:
        return HUB_FILES
    # A file of safetensors that was added later stands beside the pickled one.
    return (str(Path(chosen.file).with_suffix(".safetensors")), chosen.file)


def cached_weights(hub_id: str, names: tuple[str, ...] = HUB_FILES) -> Path | None:
    """Return the weights of a hub repository that were fetched before, or None."""
    found = cached_files(hub_id, names)
    return next((found[name] for name in names if name in found), None)
