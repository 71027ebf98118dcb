"""Random views of training images."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from PIL import Image

from advclip_gui.engine.augmentation import augment, random_crops
from advclip_gui.engine.control import Control
from advclip_gui.engine.datasets import loading
from advclip_gui.engine.datasets.sampling import Sample


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("ratio", [1.0, 0.5, 1.8])
def test_crops_are_those_of_the_recipe(ratio) -> None:
    ratios = torch.full((4000,), ratio)
    size, centre = random_crops(ratios, generator())
    area, aspect = size.prod(1), size[:, 0] / size[:, 1] * ratio
    assert area.min() >= 0.08 - 1e-6
    assert (centre.abs() + size <= 1 + 1e-6).all()
    assert (aspect.log().abs() <= math.log(4 / 3) + 1e-5).all()
    # Uniform in area where every draw fits, which small crops do.
    small = area < 0.3
    assert abs(float(area[small].mean()) - 0.19) < 0.01
    assert abs(float(aspect[small].log().mean())) < 0.03
    assert float(centre.mean()) == pytest.approx(0, abs=0.02)


def test_an_image_no_crop_fits_into_gets_its_largest_central_one() -> None:
    size, centre = random_crops(torch.full((200,), 40.0), generator())
    torch.testing.assert_close(size[:, 0] * 40.0, torch.full((200,), 4 / 3))
    assert (size[:, 1] == 1).all()
    assert (centre == 0).all()


def test_a_crop_reaches_what_the_model_does_not_see(tmp_path) -> None:
    """The ends of a wide picture are cut off for the model, not for training."""
    picture = np.zeros((60, 180, 3), dtype=np.uint8)
    picture[:, :20], picture[:, -20:] = (255, 0, 0), (0, 0, 255)
    Image.fromarray(picture).save(tmp_path / "wide.png")
    samples = [Sample("wide.png", 0)]
    seen, _, _ = loading.load_pixels(tmp_path, samples, size=32, control=Control())
    assert seen.max() < 40
    whole, _, ratios, _ = loading.load_whole(tmp_path, samples, side=48, control=Control())
    assert whole.shape == (1, 48, 48, 3)
    assert ratios.tolist() == [3.0]
    pixels = torch.from_numpy(whole).permute(0, 3, 1, 2).float().div(255).expand(300, -1, -1, -1)
    views = augment(pixels, "paper", generator(), side=32, ratios=torch.full((300,), 3.0))
    assert views.shape == (300, 3, 32, 32)
    assert ((views[:, 0] > 0.9).any(-1).any(-1)).sum() > 20
    assert ((views[:, 2] > 0.9).any(-1).any(-1)).sum() > 20
    assert views.min() >= 0
    assert views.max() <= 1


def test_shapes_in_the_original_keep_their_proportions() -> None:
    """A circle in a wide picture is squashed with it, and round again (within 4/3) in the view."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, 96), torch.linspace(-2, 2, 96), indexing="ij")
    circle = ((x**2 + y**2) < 0.15).float().expand(1, 3, 96, 96)
    for seed in range(40):
        view = augment(circle, "paper", generator(seed), side=96, ratios=torch.tensor([2.0]))[0, 0] > 0.5
        columns, rows = view.any(0).nonzero(), view.any(1).nonzero()
        whole = len(columns) and 0 < columns.min() and columns.max() < 95 and 0 < rows.min() < rows.max() < 95
        if whole:
            width, height = (float(axis.max() - axis.min()) + 1 for axis in (columns, rows))
            assert 0.7 < width / height < 1.43


def test_light_and_none_keep_the_pixels() -> None:
    pixels = torch.rand(8, 3, 16, 16, generator=generator())
    assert augment(pixels, "none", generator()) is pixels
    light = augment(pixels, "light", generator())
    assert light.shape == pixels.shape
    assert set(light.flatten().tolist()) <= set(pixels.flatten().tolist())


def test_images_that_memory_is_short_of_go_to_a_scratch_file(tmp_path, monkeypatch) -> None:
    Image.fromarray(np.full((20, 20, 3), 77, dtype=np.uint8)).save(tmp_path / "a.png")
    samples = [Sample("a.png", 1)] * 3
    inside, _, _ = loading.load_pixels(tmp_path, samples, size=16, control=Control())
    monkeypatch.setattr(loading, "_LARGEST_SHARE", 0.0)
    outside, labels, problems = loading.load_pixels(tmp_path, samples, size=16, control=Control())
    assert isinstance(outside, np.memmap)
    assert np.array_equal(inside, outside)
    assert (labels.tolist(), problems) == ([1, 1, 1], [])
