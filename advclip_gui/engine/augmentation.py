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
_DRAWS = 10


def augment(
    pixels: Tensor,
    kind: Literal["paper", "light", "none"],
    generator: torch.Generator,
    *,
    side: int | None = None,
    ratios: Tensor | None = None,
) -> Tensor:
    """Return a random view of each image, in [0, 1].

    Args:
        pixels: (N, 3, K, K) in [0, 1].
        kind: "paper": `random_crops` enlarged or reduced bicubically, and a horizontal flip
            (arXiv 2505.15130). "light": a shift of up to 12.5 % of the side and a flip. "none".
        generator: a CPU generator; draws do not depend on the device.
        side: S of the views, with "paper" only; None is K.
        ratios: (N,) width / height of the originals where "paper" is given whole images squashed to
            squares; None where they were square.

    Returns:
        (N, 3, S, S).
    """
    if kind == "none":
        return pixels
    count = len(pixels)
    flip = torch.where(torch.rand(count, generator=generator) < 0.5, -1.0, 1.0)
    size = list(pixels.shape)
    if kind == "light":
        reach = max(1, round(_LIGHT_SHIFT * size[-1]))
        centre = torch.randint(-reach, reach + 1, (count, 2), generator=generator) * (2 / size[-1])
        scale = torch.ones(count, 2)
        mode = "nearest"  # whole-pixel shifts: nothing is resampled
    else:
        scale, centre = random_crops(torch.ones(count) if ratios is None else ratios, generator)
        size[-2:] = [side or size[-1]] * 2
        mode = "bicubic"
    theta = torch.zeros(count, 2, 3)
    theta[:, 0, 0], theta[:, 0, 2] = scale[:, 0] * flip, centre[:, 0]
    theta[:, 1, 1], theta[:, 1, 2] = scale[:, 1], centre[:, 1]
    grid = F.affine_grid(theta, size, align_corners=False).to(pixels.device)
    view = F.grid_sample(pixels, grid, mode=mode, padding_mode="reflection", align_corners=False)
    return view.clamp_(0, 1)


def random_crops(ratios: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Random resized crops as "Going deeper with convolutions" (arXiv 1409.4842) draws them.

    8-100 % of the area at an aspect ratio of 3/4-4/3 (uniform in its logarithm), anywhere it fits;
    where ten draws do not fit, the largest central crop of an allowed aspect ratio.

    Args:
        ratios: width / height of the images, (N,).
        generator: a CPU generator.

    Returns:
        Half-sizes and centres (N, 2), x first, in the coordinates of `affine_grid`: [-1, 1] is the
        whole image both ways, whatever its shape.
    """
    count = len(ratios)
    area = torch.empty(_DRAWS, count).uniform_(*_PAPER_AREA, generator=generator)
    low, high = _PAPER_RATIO
    aspect = torch.empty(_DRAWS, count).uniform_(math.log(low), math.log(high), generator=generator).exp()
    drawn = torch.stack([(area * aspect / ratios).sqrt(), (area / aspect * ratios).sqrt()], dim=-1)
    fits = (drawn <= 1).all(-1)
    first = fits.int().argmax(0)  # of equal ones, the first
    allowed = ratios.clamp(low, high)
    central = torch.stack([(allowed / ratios).clamp(max=1), (ratios / allowed).clamp(max=1)], dim=-1)
    found = fits.any(0)[:, None]
    size = torch.where(found, drawn[first, torch.arange(count)], central)
    place = 2 * torch.rand(count, 2, generator=generator) - 1
    return size, torch.where(found, place * (1 - size), 0.0)
