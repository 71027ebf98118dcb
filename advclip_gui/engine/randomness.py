"""Random streams that depend on seed and step alone, so that resuming and probing change nothing."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, get_args

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

Stream = Literal["batches", "augmentation", "adversary", "dropout", "image dropout", "attack dropout"]
_STREAMS: tuple[Stream, ...] = get_args(Stream)
_MULTIPLIER = 6_364_136_223_846_793_005
_MASK = 2**63 - 1


def derive_seed(seed: int, stream: Stream, position: int) -> int:
    """Mix a run's seed, a stream and a step (or epoch) into one 63-bit seed."""
    mixed = seed
    for part in (_STREAMS.index(stream) + 1, position + 1):
        mixed = (mixed * _MULTIPLIER + part * 1_442_695_040_888_963_407) & _MASK
        mixed ^= mixed >> 29
    return mixed


def generator_at(
    seed: int, stream: Stream, position: int, device: torch.device | None = None
) -> torch.Generator:
    """A generator for one step of one stream, on the CPU: the same on every device.

    With a CUDA `device` the draws are made there, where large ones are needed; they are then others
    than a CPU's.
    """
    there = device if device is not None and device.type == "cuda" else "cpu"
    return torch.Generator(device=there).manual_seed(derive_seed(seed, stream, position))


@contextmanager
def seeded_globally(seed: int, stream: Stream, position: int, device: torch.device) -> Iterator[None]:
    """Within: torch's global streams (dropout uses them) start from a derived seed; restored after."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(derive_seed(seed, stream, position))
        yield
