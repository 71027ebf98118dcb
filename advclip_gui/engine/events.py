"""What the engine reports: frozen dataclasses of plain numbers, safe to hand to another thread."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import nan
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


PLAIN_TASK = "Training CLIP-LoRA for comparison"
"""The progress of the training without an adversary, after the run's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Base of everything the engine reports."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress(Event):
    """A named task is `done` of `total` (0: unknown); `within` is the share of the next one, in [0, 1)."""

    task: str
    done: int
    total: int
    detail: str = ""
    within: float = 0.0

    @property
    def share(self) -> float:
        """How much is done, in [0, 1]; 0 where that is unknown."""
        return min((self.done + self.within) / self.total, 1.0) if self.total else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Log(Event):
    """A line for the log; `level` is "info", "warning" or "error"."""

    message: str
    level: str = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingStarted(Event):
    """The loop is about to begin; everything is loaded."""

    run_dir: str
    total_steps: int
    first_step: int
    trainable_parameters: int
    device: str
    protocol: str
    class_names: tuple[str, ...]
    epsilon: float
    """The evaluation epsilon of the live robust accuracy, in pixel units [0, 1]."""
    norm: str = "Linf"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepDone(Event):
    """One LoRA update. Losses are means over the steps since the last report.

    Losses in nats; `delta_norm` is the mean norm of the perturbation in pixel units [0, 1], in the
    released protocol in normalised units; `inner_gain` is L(x + delta) - L(x) (NaN where no clean
    loss is computed); `flipped_share` is the share of training samples whose prediction the
    adversary changed away from the label.
    """

    step: int
    total_steps: int
    adversarial_loss: float
    clean_loss: float
    inner_gain: float
    delta_norm: float
    gradient_norm: float
    """L2 norm of the gradient of all LoRA matrices, before clipping."""
    learning_rate: float
    flipped_share: float
    steps_per_second: float
    seconds_left: float
    gradient_norm_a: float = nan
    """Of all A."""
    gradient_norm_b: float = nan
    """Of all B."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalDone(Event):
    """Clean and robust accuracy at a training step; shares in [0, 1] with Wilson 95 % intervals."""

    step: int
    model: str
    """"zero-shot" (once, the baseline), "adapter", or "clip-lora" (the plain adapter beside it)."""
    n: int
    epsilon: float
    attack: str
    split: str
    clean_accuracy: float
    clean_interval: tuple[float, float]
    robust_accuracy: float
    robust_interval: tuple[float, float]
    norm: str = "Linf"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointSaved(Event):
    """The state of the run is safe on disk up to this step."""

    step: int
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeStep(Event):
    """One step of an attack on one image: what Replay shows. Step 0 is the starting point."""

    step: int
    total_steps: int
    loss: float
    probabilities: tuple[float, ...]
    adversarial: NDArray[np.uint8] = field(repr=False, compare=False)
    """(H, W, 3) RGB, rounded to 8 bits."""
    perturbation: NDArray[np.float32] = field(repr=False, compare=False)
    """(H, W, 3) signed, pixel units."""
