"""Between 8-bit images and tensors of pixels in [0, 1]."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn


def from_pixels(pixels: Tensor) -> NDArray[np.uint8]:
    """(N, 3, H, W) in [0, 1] -> (N, H, W, 3) uint8, rounded to the nearest level, not truncated."""
    levels = pixels.detach().mul(255).round().clamp(0, 255).to(torch.uint8)
    images: NDArray[np.uint8] = levels.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return images


def quantise(pixels: Tensor) -> Tensor:
    """What pixels in [0, 1] become when saved with 8 bits and read again."""
    return pixels.detach().mul(255).round().clamp(0, 255).div(255)


def device_of(classifier: nn.Module) -> torch.device:
    """Where the first parameter or buffer lies; the CPU where there is none."""
    for tensor in (*classifier.parameters(), *classifier.buffers()):
        return tensor.device
    return torch.device("cpu")
