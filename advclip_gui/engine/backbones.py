"""Load a CLIP backbone: bundled, from a local file, or from what the hub's cache holds."""

from __future__ import annotations

import hashlib
import json
import pickle
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from advclip_gui.engine.attention import split_attention
from advclip_gui.engine.blueprint import build, draw, model_config
from advclip_gui.engine.catalog import availability, entry
from advclip_gui.engine.errors import BackboneError, CheckpointError
from advclip_gui.engine.streamline import streamline
from advclip_gui.engine.torchvision_cure import ensure_torchvision

ensure_torchvision()

import open_clip  # noqa: E402 (needs the cure above)

if TYPE_CHECKING:
    from advclip_gui.engine.adapters import Placement
    from advclip_gui.engine.control import Control
    from advclip_gui.settings import BackboneSettings

_HASH_BLOCK = 1 << 24
_PREPROCESS: dict[str, Any] = {
    "mean": open_clip.OPENAI_DATASET_MEAN,
    "std": open_clip.OPENAI_DATASET_STD,
    "interpolation": "bicubic",
    "resize_mode": "shortest",
}
"""What CLIP checkpoints expect where nothing else is published for them."""
_PICKLE_SUFFIXES = {".pt", ".pth", ".bin", ".ckpt"}


@dataclass(slots=True)
class Backbone:
    """A CLIP on its device, attention split, in evaluation mode, nothing trainable.

    Attributes:
        mean: of the normalisation, per channel, pixel units [0, 1].
        std: of the normalisation, per channel.
        interpolation: of the resize: "bicubic" or "bilinear".
        resize_mode: "shortest" (then centre crop) or "squash".
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
    if not state.here or state.path is None:
        raise BackboneError(state.sentence)
    control.progress("Loading the backbone", 0, 3, chosen.title)
    config = model_config(settings)
    if settings.quick_gelu is not None:
        config["quick_gelu"] = settings.quick_gelu
    weights, preprocess = Path(state.path), {**_PREPROCESS, "size": draw(config).image_size}
    if chosen.name == "advclip-mini":
        stored = json.loads((weights / "open_clip_config.json").read_text(encoding="utf-8"))
        preprocess = stored["preprocess_cfg"]
        weights /= "open_clip_model.safetensors"
    else:
        preprocess |= published_preprocessing(chosen.architecture or settings.architecture, chosen.weights)
    tokenizer = make_tokenizer(config)
    model = build(config)
    control.progress("Loading the backbone", 1, 3, weights.name)
    _load_weights(model, read_state_dict(weights), weights)
    digest = file_sha256(weights, control)
    control.progress("Loading the backbone", 2, 3, "moving to the device")
    split_attention(model)
    streamline(model)
    model.float().eval().requires_grad_(False)
    model.to(device)
    control.progress("Loading the backbone", 3, 3)
    return Backbone(
        model=model,
        tokenizer=tokenizer,
        image_size=int(preprocess["size"]),
        mean=tuple(preprocess["mean"]),
        std=tuple(preprocess["std"]),
        interpolation=preprocess["interpolation"],
        resize_mode=preprocess["resize_mode"],
        title=chosen.title if chosen.name != "local" else f"{settings.architecture} ({weights.name})",
        architecture=chosen.architecture or settings.architecture,
        source=weights.name,
        sha256=digest,
        hub_id=chosen.hub_id,
        device=device,
    )


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


def make_tokenizer(config: dict[str, Any]) -> Any:
    """The tokenizer of a configuration: open_clip's own, or one from the hub that was fetched before.

    Raises:
        BackboneError: it belongs to a hub repository and is not on this machine.
    """
    text = config["text_cfg"]
    length, name = int(text.get("context_length", 77)), text.get("hf_tokenizer_name", "")
    if not name:
        return open_clip.get_tokenizer("ViT-B-32", context_length=length)
    from huggingface_hub import constants
    from transformers import PretrainedConfig

    # Repositories of open_clip models hold a tokenizer and no transformers model: there, an empty
    # configuration stands in for the one that would be looked for.
    for more in ({}, {"config": PretrainedConfig()}):
        try:
            return open_clip.tokenizer.HFTokenizer(
                name,
                context_length=length,
                tokenizer_mode=text.get("tokenizer_mode"),
                cache_dir=constants.HF_HUB_CACHE,
                local_files_only=True,  # never the network
                **text.get("tokenizer_kwargs", {}),
                **more,
            )
        except (OSError, ValueError, ImportError) as error:
            reason = error
    raise BackboneError(
        f"This model's text is split by the tokenizer of {name}, which is not on this machine or broken.",
        f"Fetch it once while online, with: hf download {name} --include '*.json' '*.model'.",
    ) from reason


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Read tensors from a file without running anything in it.

    Raises:
        CheckpointError: unreadable, not a checkpoint, or it holds code.
    """
    try:
        if path.suffix == ".safetensors":
            return _read_safetensors(path)
        if path.suffix.lower() not in _PICKLE_SUFFIXES:
            raise CheckpointError(
                f"{path.name} is not a checkpoint file.",
                "Choose a .safetensors, .pt, .pth, .bin or .ckpt file.",
            )
        with warnings.catch_warnings():
            # A newer pickle protocol is read all the same, or refused below.
            warnings.filterwarnings("ignore", message="Detected pickle protocol", category=UserWarning)
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path.name} holds more than tensors and could run code when loaded, or is damaged; refused.",
            "Convert it to .safetensors on a machine you trust it on.",
        ) from error
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (RuntimeError, EOFError, ValueError, KeyError) as error:
        kind = (
            "a TorchScript archive, which holds code"
            if "TorchScript" in str(error)
            else "not a readable checkpoint"
        )
        raise CheckpointError(
            f"{path.name} is {kind}; it was refused.", "Choose a .safetensors file or a plain state dict."
        ) from error
    return _tensors_of(content, path)


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors: dict[str, Tensor] = load_file(path)
    except SafetensorError as error:
        raise CheckpointError(
            f"{path.name} is not a safetensors file, or it is cut off ({error})."
        ) from error
    return tensors


def _tensors_of(content: Any, path: Path) -> dict[str, Tensor]:
    """Find the state dict in what `torch.load` returned."""
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not content:
        raise CheckpointError(f"{path.name} holds no state dict.")
    tensors = {
        str(key).removeprefix("module."): value for key, value in content.items() if isinstance(value, Tensor)
    }
    if not tensors:
        raise CheckpointError(f"{path.name} holds no tensors.")
    return tensors


def _load_weights(model: Any, tensors: dict[str, Tensor], path: Path) -> None:
    """Fill the model; a mismatch names the first three keys."""
    expected = model.state_dict()
    ignorable = {"attn_mask", "logit_bias", "input_resolution", "context_length", "vocab_size"}
    missing = sorted(expected.keys() - tensors.keys() - ignorable)
    unknown = sorted(tensors.keys() - expected.keys() - ignorable)
    misshaped = sorted(
        key for key in expected.keys() & tensors.keys() if expected[key].shape != tensors[key].shape
    )
    for keys, what in (
        (missing, "lacks"),
        (unknown, "has, unknown to the model,"),
        (misshaped, "has in another shape"),
    ):
        if keys:
            more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
            raise CheckpointError(
                f"{path.name} does not fit this model: it {what} {', '.join(keys[:3])}{more}.",
                "Choose the architecture the checkpoint was made with.",
            )
    not_finite = sorted(
        key for key, value in tensors.items() if value.is_floating_point() and not value.isfinite().all()
    )
    if not_finite:
        raise CheckpointError(f"{path.name} holds NaN or infinity in {', '.join(not_finite[:3])}.")
    model.load_state_dict({key: tensors[key] for key in expected if key in tensors}, strict=False)


def file_sha256(path: Path, control: Control) -> str:
    """Hash a file in blocks; `control` may cancel between two of them."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_HASH_BLOCK):
            control.check()
            digest.update(block)
    return digest.hexdigest()
