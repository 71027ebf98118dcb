"""Random views of training images, made on the device from pixels in [0, 1]."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

_LIGHT_SHIFT = 0.125
_PAPER_AREA = (0.08, 1.0)
_PAPER_RATIO = (3 / 4, 4 / 3)


def augment(pixels: Tensor, kind: Literal["paper", "light", "none"], generator: torch.Generator) -> Tensor:
    """Return a random view of each image, same shape, in [0, 1].

    Args:
        pixels: (N, 3, S, S) in [0, 1].
        kind: "paper": a crop of 8-100 % of the area at an aspect ratio of 3/4-4/3, enlarged
            bicubically, and a horizontal flip (arXiv 2505.15130). The crop is taken from the model's
            own square view. "light": a shift of up to 12.5 % of the side and a flip. "none".
        generator: a CPU generator; draws do not depend on the device.
    """
    if kind == "none":
        return pixels
    count = len(pixels)
    flip = torch.where(torch.rand(count, generator=generator) < 0.5, -1.0, 1.0)
    if kind == "light":
        side = pixels.shape[-1]
        reach = max(1, round(_LIGHT_SHIFT * side))
        centre = torch.randint(-reach, reach + 1, (count, 2), generator=generator) * (2 / side)
        scale = torch.ones(count, 2)
        mode = "nearest"  # whole-pixel shifts: nothing is resampled
    else:
        scale, centre = _random_crops(count, generator)
        mode = "bicubic"
    theta = torch.zeros(count, 2, 3)
    theta[:, 0, 0], theta[:, 0, 2] = scale[:, 0] * flip, centre[:, 0]
    theta[:, 1, 1], theta[:, 1, 2] = scale[:, 1], centre[:, 1]
    grid = F.affine_grid(theta, list(pixels.shape), align_corners=False).to(pixels.device)
    view = F.grid_sample(pixels, grid, mode=mode, padding_mode="reflection", align_corners=False)
    return view.clamp_(0, 1)


def _random_crops(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Half-sizes and centres (N, 2) of crops in the coordinates of `affine_grid`, [-1, 1]."""
    area = torch.empty(count).uniform_(*_PAPER_AREA, generator=generator)
    low, high = (math.log(ratio) for ratio in _PAPER_RATIO)
    ratio = torch.empty(count).uniform_(low, high, generator=generator).exp()
    size = torch.stack([(area * ratio).sqrt(), (area / ratio).sqrt()], dim=1).clamp_(max=1)
    centre = (2 * torch.rand(count, 2, generator=generator) - 1) * (1 - size)
    return size, centre
