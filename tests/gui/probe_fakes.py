"""Stand-ins for the device: one whose jobs a test ends by hand, and a session with a tiny real classifier."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from PySide6.QtCore import QObject, Signal

from advclip_gui.engine.control import Control
from advclip_gui.engine.events import ProbeStep
from advclip_gui.engine.probe_types import ProbeRequest, ProbeResult
from advclip_gui.gui.job_handle import ErrorInfo, JobHandle

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch


class HandBackend(QObject):
    """A backend whose jobs end when the test says so."""

    engine_ready = Signal(str)
    engine_failed = Signal(object)
    jobs_changed = Signal()

    def __init__(self, *, ready: bool = True) -> None:
        super().__init__()
        self.ready = ready
        self.device_text = "CPU"
        self.engine_error: ErrorInfo | None = None
        self.submitted: list[tuple[Any, JobHandle]] = []

    def submit(self, job: Any) -> JobHandle:
        handle = JobHandle(len(self.submitted) + 1, job.title, Control(), lambda _key: False)
        self.submitted.append((job, handle))
        return handle

    @property
    def active(self) -> list[tuple[Any, JobHandle]]:
        return [
            (job, handle) for job, handle in self.submitted if handle.active and not handle.control.cancelled
        ]

    def last(self, kind: str = "ProbeJob") -> tuple[Any, JobHandle]:
        return [(job, handle) for job, handle in self.submitted if _is(job, kind)][-1]

    def count(self, kind: str = "ProbeJob") -> int:
        return sum(_is(job, kind) for job, _ in self.submitted)


def _is(job: Any, kind: str) -> bool:
    return kind in {base.__name__ for base in type(job).__mro__}


def end(handle: JobHandle, kind: str, payload: object = None) -> None:
    """Let a job end as the bridge would."""
    handle.deliver("started", None)
    handle.deliver(kind, payload)
    handle.ended.emit()


def fake_result(
    request: ProbeRequest,
    names: tuple[str, ...],
    *,
    before: int = 0,
    after: int = 1,
    steps: int = 4,
    survives: bool = True,
    side: int = 8,
) -> ProbeResult:
    """A made-up answer whose steps differ from each other in image, perturbation, bars and loss."""

    def shares(winner: int, share: float) -> tuple[float, ...]:
        rest = (1 - share) / (len(names) - 1)
        return tuple(share if k == winner else rest for k in range(len(names)))

    original = np.full((side, side, 3), 100, np.uint8)
    trace = []
    for step in range(steps + 1):
        part = step / steps
        delta = np.full((side, side, 3), request.epsilon * part, np.float32)
        delta[:, ::2] *= -1
        adversarial = np.rint(original + 255 * delta).astype(np.uint8)
        won = part > 0.5
        trace.append(
            ProbeStep(
                step=step,
                total_steps=steps,
                loss=0.1 + 2 * part,
                probabilities=shares(after if won else before, 0.9 - 0.3 * (1 - abs(2 * part - 1))),
                adversarial=adversarial,
                perturbation=delta,
            )
        )
    last = trace[-1]
    return ProbeResult(
        original=original,
        adversarial=last.adversarial,
        perturbation=last.perturbation,
        before=shares(before, 0.95),
        after=last.probabilities,
        after_8bit=last.probabilities if survives else shares(before, 0.5),
        before_label=before,
        after_label=after,
        after_8bit_label=after if survives else before,
        attacked_label=before,
        flipped=after != before,
        flipped_after_8bit=survives and after != before,
        epsilon=request.epsilon,
        linf=request.epsilon,
        l2=1.0,
        steps=tuple(trace),
        class_names=names,
        milliseconds=12.0,
        sentence="",
        request=request,
        provenance={},
    )


class TinySession:
    """What the GPU thread asks for, with a random convolutional classifier instead of CLIP."""

    device_text = "CPU (test)"

    def __init__(self, side: int = 32) -> None:
        self.side = side
        self.live: object = None
        self.borrowed: list[str] = []

    @contextmanager
    def borrow(
        self, ref: Any, class_names: tuple[str, ...], templates: Any, control: Control
    ) -> Iterator[Any]:
        self.borrowed.append(ref.kind)
        control.check()
        yield tiny_classifier(
            class_names, self.side, seed={"zero_shot": 0, "adapter": 1, "live": 2}[ref.kind]
        )

    def provenance(self, ref: Any) -> dict[str, str]:
        return {"backbone": "tiny"}

    def set_live(self, live: object) -> None:
        self.live = live

    def close(self) -> None:
        pass


def tiny_classifier(class_names: tuple[str, ...], side: int, seed: int = 0) -> torch.nn.Module:
    import torch
    from torch import nn

    state = torch.get_rng_state()
    torch.manual_seed(seed)
    body = nn.Sequential(
        nn.Conv2d(3, 8, 5, stride=4, padding=2),
        nn.GELU(),
        nn.AdaptiveAvgPool2d(4),
        nn.Flatten(),
        nn.Linear(128, len(class_names)),
    )
    with torch.no_grad():
        body[-1].weight.mul_(30.0)
    torch.set_rng_state(state)

    class Tiny(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = body
            self.class_names = class_names
            self.image_size = side

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.body((pixels - 0.5) * 4)
            return logits

    return Tiny().eval()
