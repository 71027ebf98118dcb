"""The `.pt` file of the CLIP-LoRA and AdvCLIP-LoRA scripts: written, and read without running anything.

It holds ``{"weights": {"layer_0": {"q_proj": {"w_lora_A", "w_lora_B"}, ...}, ...}, "metadata": {"r",
"alpha", "encoder", "params", "position"}}``: w_lora_A is (r, in), w_lora_B (out, r), and a layer computes
W + alpha / sqrt(r) * B A, as here, so that the numbers pass unchanged. Layers are counted over the adapted
blocks, those of the text tower first, bottom up, then those of the vision tower; where one tower alone is
adapted, over that one. The output projection is written as "proj", and read under "out_proj" as well.
"""

from __future__ import annotations

import io
import pickle
import reprlib
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast, get_args

import torch
from torch import Tensor, nn

from advclip_gui.engine.attention import PROJECTIONS, tower_blocks
from advclip_gui.engine.clip_source import is_openai_archive
from advclip_gui.engine.errors import CheckpointError
from advclip_gui.engine.files import write_bytes_atomic
from advclip_gui.engine.placement import Placement, chosen_layers, placement, saved_name
from advclip_gui.settings import LoraSettings
from advclip_gui.settings.lora import NamedLayers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from advclip_gui.settings import Layers

_PROJECTIONS: Final = {"q": ("q_proj",), "k": ("k_proj",), "v": ("v_proj",), "o": ("proj", "out_proj")}
"""A letter of "params" to the names it has in a layer, the one that is written first."""
_PARTS: Final = {"w_lora_A": "lora_A", "w_lora_B": "lora_B"}
_TOWERS: Final = {"text": ("text",), "vision": ("vision",), "both": ("text", "vision")}
_TOP: Final = {"top1": 1, "top2": 2}
"""Positions that files may have and settings do not name: so many of the last blocks."""
_MOST_BYTES: Final = 2**30
_OTHERWISE: Final = "Export the adapter for peft instead."


@dataclass(frozen=True, slots=True)
class ClipLoraFile:
    """What such a file holds, checked in itself.

    Attributes:
        params: of "q", "k", "v", "o".
        layers: for each layer, letter to (A, B), float32.
    """

    rank: int
    alpha: float
    encoder: str
    params: tuple[str, ...]
    position: str
    layers: tuple[dict[str, tuple[Tensor, Tensor]], ...]


def write_clip_lora(path: Path, model: nn.Module, place: Placement, matrices: Mapping[str, Tensor]) -> None:
    """Write an adapter of a plain CLIP.

    Args:
        path: of the file.
        model: split, for the depth of its towers; no numbers are read, it may be on the meta device.
        place: of the adapter.
        matrices: as from `adapters.read_adapter`.

    Raises:
        CheckpointError: the format cannot hold this placement; says what of it.
        StorageError: the disk is full, or there is no permission.
    """
    metadata, order = _described(model, place)
    weights: dict[str, Any] = {}
    for number, layer in enumerate(order):
        weights[f"layer_{number}"] = {
            _PROJECTIONS[letter][0]: {
                theirs: matrices[f"base_model.model.{saved_name(target)}.{ours}.weight"].float().clone()
                for theirs, ours in _PARTS.items()
            }
            for letter, target in layer.items()
        }
    stream = io.BytesIO()  # a file's own name would go into the archive
    torch.save({"weights": weights, "metadata": metadata}, stream)
    write_bytes_atomic(path, stream.getvalue())


def check_placement(model: nn.Module, place: Placement) -> None:
    """Make sure that the format can hold a placement; arguments and errors as of `write_clip_lora`."""
    _described(model, place)


def _described(model: nn.Module, place: Placement) -> tuple[dict[str, Any], list[dict[str, str]]]:
    """The metadata of a placement, and the targets of every layer by letter."""
    if any(not saved_name(target).startswith(("text_model.", "vision_model.")) for target in place.targets):
        raise CheckpointError("The .pt format is for plain CLIPs, and this backbone is none.", _OTHERWISE)
    letters = {name: letter for letter, name in PROJECTIONS.items()}
    ends = [target.rpartition(".")[2] for target in place.targets]
    if not set(ends) <= letters.keys():
        raise CheckpointError("The .pt format has no place for matrices of the MLP.", _OTHERWISE)
    params = [letter for name, letter in letters.items() if name in ends]
    for encoder in _TOWERS:
        for position in get_args(NamedLayers):
            order = list(_order(model, encoder, position, params))
            if {target for layer in order for target in layer.values()} == set(place.targets):
                # Whole numbers stay whole: the scripts compare what they were told with what is here.
                alpha = int(place.alpha) if place.alpha == int(place.alpha) else place.alpha
                told = {"r": place.rank, "alpha": alpha, "encoder": encoder, "params": params}
                return told | {"position": position}, order
    raise CheckpointError(
        "The .pt format names layers by parts such as 'all', 'up' or 'top3', the same matrices in each; "
        "this adapter's blocks are no such part.",
        _OTHERWISE,
    )


def _order(model: nn.Module, encoder: str, position: str, params: Sequence[str]) -> Iterator[dict[str, str]]:
    """The layers of a file in its order: letter to the target's name in the split model."""
    towers = tower_blocks(model)
    for tower in _TOWERS[encoder]:
        blocks = towers[tower]
        depth = len(blocks)
        if position in _TOP:
            indices: Sequence[int] = range(max(0, depth - _TOP[position]), depth)
        else:
            indices = chosen_layers(cast("Layers", position), depth)
        for index in indices:
            yield {letter: blocks[index].targets(letter)[0] for letter in params}  # type: ignore[arg-type]


def read_clip_lora(path: Path) -> ClipLoraFile:
    """Read a file; nothing in it is run.

    Raises:
        CheckpointError: it is no such file, holds code, or its parts do not fit each other.
    """
    content = _load(path)
    try:
        weights, metadata = content["weights"], content["metadata"]
        if not isinstance(weights, dict) or not isinstance(metadata, dict):
            raise TypeError("'weights' and 'metadata' are no tables")
        rank, alpha = metadata["r"], metadata["alpha"]
        if not isinstance(rank, int) or isinstance(rank, bool) or not 1 <= rank <= 1024:
            raise ValueError(f"r is {reprlib.repr(rank)}")
        if not isinstance(alpha, int | float) or isinstance(alpha, bool) or not 0 < alpha <= 65536:
            raise ValueError(f"alpha is {reprlib.repr(alpha)}")
        encoder, position = metadata["encoder"], metadata["position"]
        if not isinstance(encoder, str) or encoder not in _TOWERS:
            raise ValueError(f"encoder is {reprlib.repr(encoder)}")
        if not isinstance(position, str) or position not in (*get_args(NamedLayers), *_TOP):
            raise ValueError(f"position is {reprlib.repr(position)}")
        params = tuple(metadata["params"])
        if not params or not set(params) <= _PROJECTIONS.keys() or len(set(params)) < len(params):
            raise ValueError(f"params are {reprlib.repr(params)}")
        names = [f"layer_{number}" for number in range(len(weights))]
        if not weights or set(names) != weights.keys():
            raise ValueError(f"its layers are not numbered from layer_0 to layer_{len(weights) - 1}")
        layers = tuple(_layer(name, weights[name], params, rank) for name in names)
    except (KeyError, TypeError, ValueError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise CheckpointError(
            f"{path.name} is not an adapter as the CLIP-LoRA scripts save it: {what}."
        ) from error
    return ClipLoraFile(rank, float(alpha), encoder, params, position, layers)


def _load(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise CheckpointError(f"{path.name} is too large for a file of low-rank matrices.")
        if is_openai_archive(path):
            raise CheckpointError(f"{path.name} holds a program (TorchScript), not matrices alone; refused.")
        with warnings.catch_warnings():
            # A newer pickle protocol is read all the same, or refused below.
            warnings.filterwarnings("ignore", message="Detected pickle protocol", category=UserWarning)
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path.name} holds more than tensors and could run code when loaded, or is damaged; refused."
        ) from error
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (RuntimeError, EOFError, ValueError, KeyError, AttributeError, IndexError) as error:
        raise CheckpointError(f"{path.name} is not a readable .pt file; it was refused.") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path.name} is not an adapter as the CLIP-LoRA scripts save it.")
    return content


def _layer(name: str, layer: Any, params: tuple[str, ...], rank: int) -> dict[str, tuple[Tensor, Tensor]]:
    if not isinstance(layer, dict):
        raise TypeError(f"{name} is no table")
    known = {spelling: letter for letter in params for spelling in _PROJECTIONS[letter]}
    found: dict[str, tuple[Tensor, Tensor]] = {}
    for projection, parts in layer.items():
        letter = known.get(projection, "")
        if not letter or letter in found:
            raise ValueError(f"{name} holds {reprlib.repr(projection)}, which its params do not name")
        pair = tuple(parts.get(part) if isinstance(parts, dict) else None for part in _PARTS)
        if not all(isinstance(one, Tensor) and _is_matrix(one) for one in pair):
            raise ValueError(f"{name}.{projection} lacks one of its two matrices")
        a, b = cast("tuple[Tensor, Tensor]", pair)
        if a.shape[0] != rank or b.shape[1] != rank:
            raise ValueError(f"{name}.{projection} is not of rank {rank}")
        a, b = (one.detach().float().contiguous() for one in (a, b))
        if not (a.isfinite().all() and b.isfinite().all()):
            raise ValueError(f"{name}.{projection} holds NaN or infinity")
        found[letter] = (a, b)
    if found.keys() != set(params):
        raise ValueError(f"{name} lacks {', '.join(sorted(set(params) - found.keys()))}")
    return found


def _is_matrix(tensor: Tensor) -> bool:
    """Whether every number of it is in the file: one can stand for so many that no memory holds them."""
    if tensor.layout is not torch.strided or tensor.device.type != "cpu" or not tensor.is_floating_point():
        return False
    return tensor.ndim == 2 and tensor.nbytes <= tensor.untyped_storage().nbytes()


def place_on(
    content: ClipLoraFile, model: nn.Module, backbone: str = "this backbone"
) -> tuple[Placement, dict[str, Tensor]]:
    """Give the matrices their places in a model, as `adapters.read_adapter` returns them.

    Args:
        content: of the file.
        model: the split backbone; it may be on the meta device.
        backbone: what it is called in an error.

    Raises:
        CheckpointError: the model has another number of layers, or other widths.
    """
    order = list(_order(model, content.encoder, content.position, content.params))
    if len(order) != len(content.layers):
        raise CheckpointError(
            f"The file has {len(content.layers)} layers, and '{content.position}' of {backbone} "
            f"({content.encoder}) is {len(order)}.",
            "Choose the backbone the adapter was trained on.",
        )
    modules: dict[str, Any] = dict(model.named_modules())
    state: dict[str, Tensor] = {}
    for number, (targets, layer) in enumerate(zip(order, content.layers, strict=True)):
        for letter, target in targets.items():
            a, b = layer[letter]
            out, into = modules[target].weight.shape
            if a.shape[1] != into or b.shape[0] != out:
                raise CheckpointError(
                    f"layer_{number} of the file does not fit {backbone} at {saved_name(target)}: it is "
                    f"for {a.shape[1]} to {b.shape[0]} numbers there, and the backbone has {into} to {out}.",
                    "Choose the backbone the adapter was trained on.",
                )
            base = f"base_model.model.{saved_name(target)}"
            state |= {f"{base}.lora_A.weight": a, f"{base}.lora_B.weight": b}
    wanted = {target for layer in order for target in layer.values()}
    # Vision first and in the order of the settings, as everywhere else.
    whole = placement(model, LoraSettings(matrices=("q", "k", "v", "o")))
    chosen = tuple(target for target in whole.targets if target in wanted)
    return Placement(chosen, content.rank, content.alpha, 0.0), state
