"""AdamW that passes over non-finite gradients, clips and scales, all without waiting for the device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from advclip_gui.settings import TrainingSettings

_FIRST_SCALE, _GROW_AFTER = 2.0**8, 1000
"""Loss scale of float16 at the start, and good steps in a row after which it is doubled."""


@dataclass(frozen=True, slots=True)
class GradientNorms:
    """L2 norms before clipping, scalars on the device: of all matrices, of all A, of all B."""

    total: Tensor
    a: Tensor
    b: Tensor


class GuardedAdamW:
    """AdamW (Loshchilov and Hutter, arXiv 1711.05101) over the LoRA matrices.

    A step whose loss or gradient is not finite changes nothing and is counted. The decision stays
    on the device: the fused kernel reads it there (`found_inf`), so no step waits for its own result.

    Attributes:
        skipped: steps passed over so far, int64 scalar on the device.
        worst_row: most of them in a row that no smaller loss scale can cure, int64 scalar on the device.
    """

    def __init__(
        self,
        matrices: Mapping[str, Tensor],
        training: TrainingSettings,
        device: torch.device,
        *,
        scaled: bool,
    ) -> None:
        """Prepare for the matrices.

        Args:
            matrices: by name; names with ``lora_A`` are A, the rest B.
            training: weight decay and gradient clip.
            device: where the matrices are.
            scaled: multiply losses by a dynamic scale, as float16 needs it.
        """
        self._parameters = list(matrices.values())
        self._a = [parameter for name, parameter in matrices.items() if "lora_A" in name]
        self._b = [parameter for name, parameter in matrices.items() if "lora_A" not in name]
        self._clip = training.gradient_clip
        self._scaled = scaled
        self._optimizer = torch.optim.AdamW(
            self._parameters, lr=training.learning_rate, weight_decay=training.weight_decay, fused=True
        )
        self.scale = torch.full((), _FIRST_SCALE if scaled else 1.0, device=device)
        self.skipped, self._row, self.worst_row, self._good = (
            torch.zeros((), dtype=torch.int64, device=device) for _ in range(4)
        )

    def clear(self) -> None:
        """Forget the gradients and their memory."""
        self._optimizer.zero_grad(set_to_none=True)

    def step(self, loss: Tensor, learning_rate: float) -> GradientNorms:
        """Do one update from the gradients of ``scale * loss``, unless something is not finite."""
        gradients = [parameter.grad for parameter in self._parameters if parameter.grad is not None]
        if self._scaled:
            torch._foreach_div_(gradients, self.scale)
        norms = self._norms()
        bad = ~(torch.isfinite(loss.detach()) & torch.isfinite(norms.total))
        if self._clip > 0:
            torch._foreach_mul_(gradients, (self._clip / (norms.total + 1e-6)).clamp(max=1.0))
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate
        # Where the fused kernel looks for it (and where torch's own gradient scaler puts it).
        setattr(self._optimizer, "found_inf", bad.to(torch.float32))  # noqa: B010 (no declared attribute)
        self._optimizer.step()
        self._count(bad)
        return norms

    def _norms(self) -> GradientNorms:
        def length(parameters: Sequence[Tensor]) -> Tensor:
            return torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])

        a, b = length(self._a), length(self._b)
        return GradientNorms(torch.hypot(a, b), a, b)

    def _count(self, bad: Tensor) -> None:
        self.skipped += bad
        # Too large a loss scale is no nonsense yet: it is halved until it fits.
        self._row = torch.where(bad & (self.scale <= 1), self._row + 1, 0)
        self.worst_row = torch.maximum(self.worst_row, self._row)
        if self._scaled:
            self._good = torch.where(bad, 0, self._good + 1)
            grown = torch.where(self._good % _GROW_AFTER == 0, self.scale * 2, self.scale)
            self.scale = torch.where(bad, self.scale / 2, grown)

    def tensors(self) -> dict[str, Tensor]:
        """The state as flat CPU tensors by "parameter index.name", and the counters."""
        flat = {
            f"{index}.{name}": torch.as_tensor(value).detach().cpu().clone()
            for index, values in self._optimizer.state_dict()["state"].items()
            for name, value in values.items()
        }
        counters = {"scale": self.scale, "skipped": self.skipped, "good": self._good, "row": self._row}
        return flat | {f"guard.{name}": value.detach().cpu().clone() for name, value in counters.items()}

    def restore(self, flat: Mapping[str, Tensor]) -> None:
        """Put the state of `tensors` back into a fresh optimiser over the same parameters."""
        state: dict[int, dict[str, Tensor]] = {}
        guard: dict[str, Tensor] = {}
        for key, value in flat.items():
            index, name = key.split(".", 1)
            if index == "guard":
                guard[name] = value.to(self.scale.device)
            else:
                state.setdefault(int(index), {})[name] = value
        self._optimizer.load_state_dict({**self._optimizer.state_dict(), "state": state})
        self.scale = guard.get("scale", self.scale)
        self.skipped = guard.get("skipped", self.skipped)
        self._good = guard.get("good", self._good)
        self._row = guard.get("row", self._row)
