"""The whole state of a training run in one safetensors file, replaced at once."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from advclip_gui.engine.errors import CheckpointError
from advclip_gui.engine.files import atomic_file

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

_FORMAT = "1"


@dataclass(frozen=True, slots=True)
class BestAdapter:
    """The adapter of the best evaluation so far.

    Attributes:
        step: updates it has seen.
        accuracy: its robust accuracy on the validation images, in [0, 1].
        since: evaluations since, none of them better.
        evaluations: how many there were.
        seen: updates at the last of them.
        adapter: LoRA matrices under their saved names.
    """

    step: int
    accuracy: float
    since: int
    evaluations: int
    seen: int
    adapter: dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class TrainingState:
    """What training needs to go on as if it had not stopped.

    The random streams need no place here: they follow from the seed and the step.

    Attributes:
        step: updates done.
        adapter: LoRA matrices under their saved names.
        optimizer: AdamW's tensors by "parameter index.name", and its counters.
        universal: the shared perturbation (1, 3, S, S).
        settings: the run's settings as TOML; resuming under other ones is refused.
        best: the best adapter so far and when it was found, where the run selects one.
        ended: whether training ended here, early or not.
    """

    step: int
    adapter: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    universal: Tensor
    settings: str
    best: BestAdapter | None = None
    ended: bool = False


def save_state(path: Path, state: TrainingState) -> None:
    """Replace the checkpoint file. Raises `StorageError`; the old one then stays."""
    tensors = {f"adapter/{key}": value for key, value in state.adapter.items()}
    tensors |= {f"optimizer/{key}": value.contiguous() for key, value in state.optimizer.items()}
    tensors["universal"] = state.universal.detach().cpu().contiguous()
    meta = {
        "format": _FORMAT,
        "step": str(state.step),
        "settings": state.settings,
        "ended": str(int(state.ended)),
    }
    if (best := state.best) is not None:
        tensors |= {f"best/{key}": value for key, value in best.adapter.items()}
        meta["best"] = json.dumps([best.step, best.accuracy, best.since, best.evaluations, best.seen])
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
            best=_best(meta["best"], _part(tensors, "best/")) if "best" in meta else None,
            ended=meta.get("ended") == "1",
        )
    except FileNotFoundError as error:
        raise CheckpointError(f"There is no checkpoint to resume from in {path.parent.parent}.") from error
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"The checkpoint {path} cannot be read: {error}.") from error


def _best(written: str, adapter: dict[str, Tensor]) -> BestAdapter:
    step, accuracy, since, evaluations, seen = json.loads(written)
    return BestAdapter(int(step), float(accuracy), int(since), int(evaluations), int(seen), adapter)


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
