"""Read a state dict from a file without running anything in it, and fill a model with it.

Read are open_clip's and plain PyTorch checkpoints, safetensors, OpenAI's TorchScript archives and
Hugging Face's CLIP; all end under open_clip's names.
"""

from __future__ import annotations

import pickle
import warnings
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor

from advclip_gui.engine.clip_source import is_openai_archive
from advclip_gui.engine.errors import CheckpointError
from advclip_gui.engine.hugging_face_names import is_hugging_face, to_open_clip
from advclip_gui.engine.torchscript_tensors import read_torchscript
from advclip_gui.engine.torchvision_cure import ensure_torchvision

ensure_torchvision()

from open_clip.convert import convert_state_dict  # noqa: E402 (needs the cure above)
from open_clip.model import convert_to_custom_text_state_dict  # noqa: E402

if TYPE_CHECKING:
    from pathlib import Path

_PICKLE_SUFFIXES: Final = {".pt", ".pth", ".bin", ".ckpt"}
_IGNORABLE: Final = {"attn_mask", "logit_bias", "input_resolution", "context_length", "vocab_size"}
_WRONG_CHOICE: Final = "Choose the architecture the checkpoint was made with."
_WRONG_CONFIGURATION: Final = (
    "The configuration beside it belongs to other weights; get both again from where they were made."
)


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
        if is_openai_archive(path):
            return read_torchscript(path)
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
        raise CheckpointError(
            f"{path.name} is not a readable checkpoint; it was refused.",
            "Choose a .safetensors file or a plain state dict.",
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


def load_weights(model: Any, tensors: dict[str, Tensor], path: Path, *, told: bool = False) -> None:
    """Fill a model of open_clip; names and shapes of its older and others' checkpoints are translated.

    Args:
        model: fused, as open_clip builds it.
        tensors: as `read_state_dict` returns them.
        path: where they come from, for the sentence.
        told: a configuration beside them says what kind of model this is, nobody chose it.

    Raises:
        CheckpointError: they do not fit (the first three keys are named), or hold NaN or infinity.
    """
    expected = model.state_dict()
    tensors = _translated(model, expected, tensors)
    missing = sorted(expected.keys() - tensors.keys() - _IGNORABLE)
    unknown = sorted(tensors.keys() - expected.keys() - _IGNORABLE)
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
                _WRONG_CONFIGURATION if told else _WRONG_CHOICE,
            )
    not_finite = sorted(
        key for key, value in tensors.items() if value.is_floating_point() and not value.isfinite().all()
    )
    if not_finite:
        raise CheckpointError(f"{path.name} holds NaN or infinity in {', '.join(not_finite[:3])}.")
    model.load_state_dict({key: tensors[key] for key in expected if key in tensors}, strict=False)


def _translated(model: Any, expected: dict[str, Tensor], tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Bring the names to those of the model, where it is known how."""
    if is_hugging_face(tensors):
        tensors = to_open_clip(tensors)
    tensors = convert_state_dict(model, dict(tensors))
    if "positional_embedding" in tensors and not hasattr(model, "positional_embedding"):
        tensors = convert_to_custom_text_state_dict(tensors)
    tensors.pop("text.transformer.embeddings.position_ids", None)
    for key in ("logit_scale", "logit_bias"):
        # A single number is stored as such, or as a list of one.
        if key in tensors and key in expected and tensors[key].numel() == expected[key].numel():
            tensors[key] = tensors[key].reshape(expected[key].shape)
    return tensors
