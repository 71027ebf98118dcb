"""Which device computes, what it is called, and how its host's memory is kept."""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

import torch

from advclip_gui.engine.errors import DeviceError

if TYPE_CHECKING:
    from collections.abc import Iterator


def choose_device(wanted: Literal["auto", "cuda", "mps", "cpu"]) -> torch.device:
    """CUDA, else MPS, else CPU; or the one that is asked for.

    Raises:
        DeviceError: the device asked for is not there.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if wanted == "auto":
        return torch.device(next(name for name, found in there.items() if found))
    if not there[wanted]:
        raise DeviceError(f"This machine has no {wanted.upper()} device.", "Choose 'auto' or 'cpu'.")
    return torch.device(wanted)


def describe_device(device: torch.device) -> str:
    """E.g. "NVIDIA RTX 4090, 24 GB" or "CPU, 8 cores"."""
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        return f"{properties.name}, {properties.total_memory / 2**30:.0f} GB"
    return "Apple GPU (MPS)" if device.type == "mps" else f"CPU, {os.cpu_count() or 1} cores"


_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGEST_MMAP_THRESHOLD = 32 * 2**20
_KEPT_BYTES = 2**30


def keep_freed_memory() -> bool:
    """Let glibc keep freed blocks instead of handing every large tensor back to the system.

    Each step frees and takes the same activations; given back, all their pages fault in again and
    are zeroed. Rounding is not touched. Returns whether there was a glibc to tell.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        tune = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False  # another C library, e.g. musl
    return bool(tune(_M_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD)) and bool(
        tune(_M_TRIM_THRESHOLD, _KEPT_BYTES)
    )


@contextmanager
def computing_with(threads: int) -> Iterator[None]:
    """Within: so many threads on a CPU; after: as many as before. Another number rounds sums otherwise."""
    before = torch.get_num_threads()
    try:
        if threads != before:
            torch.set_num_threads(threads)
        yield
    finally:
        if threads != before:
            torch.set_num_threads(before)


def all_threads() -> int:
    """As many as there are cores, or as the user allows by OMP_NUM_THREADS."""
    allowed = os.environ.get("OMP_NUM_THREADS", "")
    return int(allowed) if allowed.isdecimal() and int(allowed) > 0 else os.cpu_count() or 1
