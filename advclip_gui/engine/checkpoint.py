"""The whole state of a training run in one safetensors file, replaced at once."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from advclip_gui.engine.errors import CheckpointError
from advclip_gui.engine.files import atomic_file

if TYPE_CHECKING:
    from pathlib import Path

_FORMAT = "1"


@dataclass(frozen=True, slots=True)
class TrainingState:
    """What training needs to go on as if it had not stopped.

    The random streams need no place here: they follow from the seed and the step.

    Attributes:
        step: updates done.
        adapter: LoRA matrices under their saved names.
        optimizer: AdamW's tensors by "parameter index.name".
        universal: the shared perturbation (1, 3, S, S).
        settings: the run's settings as TOML; resuming under other ones is refused.
    """

    step: int
    adapter: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    universal: Tensor
    settings: str


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """AdamW's state as flat CPU tensors."""
    flat = {}
    for index, values in optimizer.state_dict()["state"].items():
        for name, value in values.items():
            flat[f"{index}.{name}"] = torch.as_tensor(value).detach().cpu().clone()
    return flat


def restore_optimizer(optimizer: torch.optim.Optimizer, flat: dict[str, Tensor]) -> None:
    """Put the state of `optimizer_tensors` back into a fresh optimiser over the same parameters."""
    state: dict[int, dict[str, Any]] = {}
    for key, value in flat.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = value
    whole = optimizer.state_dict()
    optimizer.load_state_dict({**whole, "state": state})


def save_state(path: Path, state: TrainingState) -> None:
    """Replace the checkpoint file. Raises `StorageError`; the old one then stays."""
    tensors = {f"adapter/{key}": value for key, value in state.adapter.items()}
    tensors |= {f"optimizer/{key}": value.contiguous() for key, value in state.optimizer.items()}
    tensors["universal"] = state.universal.detach().cpu().contiguous()
    meta = {"format": _FORMAT, "step": str(state.step), "settings": state.settings}
    with atomic_file(path) as temporary:
        save_file(tensors, temporary, metadata=meta)


def load_state(path: Path) -> TrainingState:
    """Read a checkpoint written by `save_state`.

    Raises:
        CheckpointError: there is none, or it is not one of ours.
    """
    try:
        with safe_open(path, framework="pt") as stored:
            meta = stored.metadata() or {}
            tensors = {key: stored.get_tensor(key) for key in stored.keys()}
        if meta.get("format") != _FORMAT:
            raise CheckpointError(f"{path} was written by another version of this program.")
        return TrainingState(
            step=int(meta["step"]),
            adapter=_part(tensors, "adapter/"),
            optimizer=_part(tensors, "optimizer/"),
            universal=tensors["universal"],
            settings=meta["settings"],
        )
    except FileNotFoundError as error:
        raise CheckpointError(f"There is no checkpoint to resume from in {path.parent.parent}.") from error
    except (OSError, SafetensorError, KeyError, ValueError, json.JSONDecodeError) as error:
        raise CheckpointError(f"The checkpoint {path} cannot be read: {error}.") from error


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
