"""Which device computes, and what it is called."""

from __future__ import annotations

import os
from typing import Literal

import torch

from advclip_gui.engine.errors import DeviceError


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
