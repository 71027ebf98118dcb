"""Whether training steps run through torch.compile: where that pays for itself inside the run."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import torch

from advclip_gui.engine.events import Log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import nn

    from advclip_gui.engine.control import Control

_WARM_UP, _MEASURED = 5, 20
"""Steps before a measurement (of the compiled ones: those that compile), and measured steps."""
_HOPED_GAIN = 0.2
"""Share of a step that compiling is hoped to save; the trial that follows measures it."""
_COST_S = 120.0
"""What compiling both passes of a vision tower takes; five minutes were measured on a busy CPU core."""


class Compilation:
    """Runs a vision tower compiled or not, within a training step only.

    "auto" watches the first steps on CUDA. Where the rest of the run is long enough for compiling to
    pay for itself, it tries; what turns out slower, or cannot be compiled, is undone. On a CPU "auto"
    is off: there it saved 7 % of ViT-B/32's step and took minutes.

    Attributes:
        compiled: whether steps run compiled at the moment.
    """

    def __init__(
        self,
        visual: nn.Module,
        mode: Literal["auto", "on", "off"],
        device: torch.device,
        *,
        compiler: Callable[..., Any] = torch.compile,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Decide nothing yet; "on" compiles from the first step.

        Args:
            visual: the vision tower; its ``forward`` is exchanged within a step.
            mode: the user's choice.
            device: where it computes.
            compiler: `torch.compile`, or what a test puts in its place.
            clock: in seconds.
        """
        self._visual = visual
        self._compiler = compiler
        self._clock = clock
        self._forward: Callable[..., Any] | None = None
        self._settled = mode != "auto" or device.type != "cuda"
        self._marks: list[float] = []
        self._eager_seconds = 0.0
        self.compiled = False
        if mode == "on":
            self._start()

    def _start(self) -> None:
        self._forward = self._compiler(self._visual.forward)
        self.compiled = True

    @contextmanager
    def step(self, control: Control) -> Iterator[None]:
        """Within: the tower runs as has been decided.

        Yields once; what cannot be compiled is computed as it was written, and a line in the log says so.
        """
        if not self.compiled:
            yield
            return
        original, compiled = self._visual.forward, self._forward

        def forward(*given: Any) -> Any:
            if not self.compiled or compiled is None:
                return original(*given)
            try:
                return compiled(*given)
            except (torch._dynamo.exc.TorchDynamoException, torch._inductor.exc.InductorError) as error:
                self._give_up(
                    control, f"Training goes on without torch.compile: {str(error).splitlines()[0]}"
                )
                return original(*given)

        self._visual.forward = forward
        try:
            yield
        finally:
            del self._visual.forward  # the class's own is seen again

    def _give_up(self, control: Control, message: str) -> None:
        self.compiled, self._settled = False, True
        control.report(Log(message=message))

    def step_done(self, steps_left: int, control: Control) -> None:
        """Count a step towards the decision."""
        if self._settled:
            return
        self._marks.append(self._clock())
        if len(self._marks) <= _WARM_UP + _MEASURED:
            return
        seconds = (self._marks[-1] - self._marks[_WARM_UP]) / _MEASURED
        self._marks.clear()
        if not self.compiled:
            self._eager_seconds = seconds
            if steps_left * seconds * _HOPED_GAIN > _COST_S:
                self._start()
            else:
                self._settled = True
        elif seconds >= self._eager_seconds:
            self._give_up(
                control, "torch.compile did not make the steps faster; training goes on without it."
            )
        else:
            self._settled = True
            gain = self._eager_seconds / seconds
            control.report(Log(message=f"torch.compile makes the steps {gain:.2f} times as fast."))
