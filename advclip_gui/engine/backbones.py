"""Load a CLIP backbone: bundled, from a local file, or from what the hub's cache holds."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from advclip_gui.engine.attention import split_attention
from advclip_gui.engine.blueprint import architecture_of, build, draw, model_config
from advclip_gui.engine.catalog import availability, entry, source_of
from advclip_gui.engine.errors import BackboneError, CheckpointError
from advclip_gui.engine.state_dicts import load_weights, read_state_dict
from advclip_gui.engine.streamline import streamline
from advclip_gui.engine.torchvision_cure import ensure_torchvision

ensure_torchvision()

import open_clip  # noqa: E402 (needs the cure above)

if TYPE_CHECKING:
    import torch

    from advclip_gui.engine.adapters import Placement
    from advclip_gui.engine.clip_source import ClipSource
    from advclip_gui.engine.control import Control
    from advclip_gui.engine.published import BackboneEntry
    from advclip_gui.settings import BackboneSettings

_HASH_BLOCK = 1 << 24
_PREPROCESS: dict[str, Any] = {
    "mean": open_clip.OPENAI_DATASET_MEAN,
    "std": open_clip.OPENAI_DATASET_STD,
    "interpolation": "bicubic",
    "resize_mode": "shortest",
}
"""What CLIP checkpoints expect where nothing else is published for them."""

_TOKENIZER_WISHES: Final = ("clean", "strip_sep_token", "language")
"""What a configuration may ask of its tokenizer; all else would reach transformers' loader."""


@dataclass(slots=True)
class Backbone:
    """A CLIP on its device, attention split, in evaluation mode, nothing trainable.

    Attributes:
        mean: of the normalisation, per channel, pixel units [0, 1].
        std: of the normalisation, per channel.
        interpolation: of the resize: "bicubic" or "bilinear".
        resize_mode: "shortest" (then centre crop), "squash" or "longest".
        architecture: open_clip's name, "" where folder or repository hold a shape it does not list.
        source: file name of the weights.
        sha256: of that file.
        hub_id: the repository the weights belong to, "" where there is none.
        placement: of the LoRA it carries, None where it is untouched.
    """

    model: Any
    tokenizer: Any
    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str
    resize_mode: str
    title: str
    architecture: str
    source: str
    sha256: str
    hub_id: str
    device: torch.device
    placement: Placement | None = None


def load_backbone(settings: BackboneSettings, *, device: torch.device, control: Control) -> Backbone:
    """Load weights that are on this machine; the network is never touched.

    Raises:
        BackboneError: unknown, not here, or its towers cannot be adapted.
        CheckpointError: the file is no CLIP state dict, holds code, or does not fit the model.
        Cancelled: through `control`.
    """
    chosen = entry(settings)
    state = availability(settings)
    source = source_of(settings) if state.here else None
    if source is None:
        raise BackboneError(state.sentence)
    control.progress("Loading the backbone", 0, 3, chosen.title)
    config = model_config(settings)
    named = chosen.architecture or settings.architecture
    preprocess = _PREPROCESS | _told(source, named, chosen.weights)
    tokenizer = make_tokenizer(config, source.tokenizer)
    model = build(config)
    control.progress("Loading the backbone", 1, 3, source.weights.name)
    load_weights(model, read_state_dict(source.weights), source.weights, told=source.config is not None)
    digest = file_sha256(source.weights, control)
    control.progress("Loading the backbone", 2, 3, "moving to the device")
    split_attention(model)
    streamline(model)
    model.float().eval().requires_grad_(False)
    model.to(device)
    control.progress("Loading the backbone", 3, 3)
    name = Path(settings.checkpoint).name if chosen.name == "local" else ""
    return Backbone(
        model=model,
        tokenizer=tokenizer,
        image_size=draw(config).image_size,
        mean=tuple(preprocess["mean"]),
        std=tuple(preprocess["std"]),
        interpolation=preprocess["interpolation"],
        resize_mode=preprocess["resize_mode"],
        title=f"{named if source.config is None else 'CLIP'} ({name})" if name else chosen.title,
        architecture=_architecture(chosen, source, config, named),
        source=source.weights.name,
        sha256=digest,
        hub_id=chosen.hub_id,
        device=device,
    )


def _architecture(chosen: BackboneEntry, source: ClipSource, config: dict[str, Any], named: str) -> str:
    """Under which name open_clip builds what was loaded, activation included."""
    if chosen.name == "advclip-mini" or (source.config is None and chosen.architecture):
        return named
    return architecture_of(config) or ("" if source.config is not None else named)


def _told(source: ClipSource, architecture: str, weights: str) -> dict[str, Any]:
    """The preprocessing that belongs to the weights: what stands beside them, else what is published.

    Raises:
        CheckpointError: what stands beside them is not as it should be.
    """
    if source.config is None:
        return published_preprocessing(architecture, weights)
    told = {key: source.preprocess[key] for key in _PREPROCESS if source.preprocess.get(key) is not None}
    for key in ("mean", "std"):
        values = told.get(key, (1.0, 1.0, 1.0))
        if not isinstance(values, (list, tuple)) or len(values) != 3:
            raise CheckpointError(f"The {key} beside {source.weights.name} is not one number per channel.")
    known = {"interpolation": {"bicubic", "bilinear"}, "resize_mode": {"shortest", "squash", "longest"}}
    for key, possible in known.items():
        if told.get(key, next(iter(possible))) not in possible:
            raise CheckpointError(f"The {key} beside {source.weights.name}, '{told[key]}', is not supported.")
    return told


def published_preprocessing(architecture: str, weights: str = "") -> dict[str, Any]:
    """Mean, std, interpolation and resize mode that are published with weights, as far as they are.

    Args:
        architecture: open_clip's name.
        weights: open_clip's tag; "" where they are not known, as with a file of the user's own: then
            what is published for this architecture counts where all its weights agree on it.
    """
    tags = [weights] if weights else open_clip.list_pretrained_tags_by_model(architecture)
    published = [open_clip.get_pretrained_cfg(architecture, tag) for tag in tags]
    agreed = {}
    for key, usual in _PREPROCESS.items():
        values = [settings.get(key, usual) for settings in published]
        if values and all(value == values[0] for value in values):
            agreed[key] = values[0]
    return agreed


def make_tokenizer(config: dict[str, Any], folder: Path | None = None) -> Any:
    """The tokenizer of a configuration: open_clip's own, or one from the hub that was fetched before.

    Args:
        config: of the model.
        folder: where its files lie beside the weights, None where they do not.

    Raises:
        BackboneError: it belongs to a hub repository and is not on this machine.
    """
    text = config["text_cfg"]
    length, name = int(text.get("context_length", 77)), text.get("hf_tokenizer_name", "")
    if not name:
        return open_clip.get_tokenizer("ViT-B-32", context_length=length)
    from huggingface_hub import constants
    from transformers import PretrainedConfig

    told = text.get("tokenizer_kwargs") or {}
    wishes = {key: told[key] for key in _TOKENIZER_WISHES if key in told}

    # Repositories of open_clip models hold a tokenizer and no transformers model: there, an empty
    # configuration stands in for the one that would be looked for.
    for more in ({}, {"config": PretrainedConfig()}):
        try:
            return open_clip.tokenizer.HFTokenizer(
                name if folder is None else str(folder),
                context_length=length,
                tokenizer_mode=text.get("tokenizer_mode"),
                cache_dir=constants.HF_HUB_CACHE,
                local_files_only=True,  # never the network
                trust_remote_code=False,  # code beside a tokenizer never runs
                **wishes,
                **more,
            )
        except (OSError, ValueError, ImportError, TypeError, KeyError) as error:
            reason = error
    raise BackboneError(
        f"This model's text is split by the tokenizer of {name}, which is not on this machine or broken.",
        f"Fetch it once while online, with: hf download {name} --include '*.json' '*.model'.",
    ) from reason


def file_sha256(path: Path, control: Control) -> str:
    """Hash a file in blocks; `control` may cancel between two of them."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_HASH_BLOCK):
            control.check()
            digest.update(block)
    return digest.hexdigest()
