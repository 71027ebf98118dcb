"""Loading: the right pixels in the right order, bad files skipped with a sentence."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from advclip_gui.engine.control import Cancelled, Control
from advclip_gui.engine.datasets import Sample, load_pixels, sample_split, scan
from advclip_gui.engine.errors import DataError
from advclip_gui.engine.events import Progress
from advclip_gui.engine.images import open_image, prepare
from tests import bad_images

if TYPE_CHECKING:
    from advclip_gui.engine.events import Event

CLOTHING = Path(__file__).resolve().parents[4] / "shared" / "data" / "clothing"


def png_samples(root: Path, count: int) -> list[Sample]:
    for index in range(count):
        bad_images.good_png(root / "x" / f"{index}.png", seed=index)
    return [Sample(f"x/{index}.png", index % 3) for index in range(count)]


def test_pixels_and_labels_keep_the_order_of_the_samples(tmp_path: Path) -> None:
    samples = png_samples(tmp_path, 40)[::-1]
    pixels, labels, problems = load_pixels(tmp_path, samples, size=32, control=Control())
    assert (pixels.shape, pixels.dtype, labels.dtype) == ((40, 32, 32, 3), np.uint8, np.int64)
    assert labels.tolist() == [sample.label for sample in samples]
    assert problems == []
    for row, seed in zip(pixels, range(39, -1, -1), strict=True):
        assert np.array_equal(row, bad_images.noise(seed=seed))


def test_pixels_are_those_of_prepare(tmp_path: Path) -> None:
    path = bad_images.good_png(tmp_path / "a.png", height=50, width=80)
    for options in ({}, {"interpolation": "bilinear"}, {"resize_mode": "squash"}):
        pixels, _, _ = load_pixels(tmp_path, [Sample("a.png", 0)], size=24, control=Control(), **options)
        assert np.array_equal(pixels[0], prepare(open_image(path), 24, **options))


def test_bad_files_are_skipped(tmp_path: Path) -> None:
    samples = png_samples(tmp_path, 6)
    bad_images.truncated_png(tmp_path / "x" / "1.png")
    (tmp_path / "x" / "4.png").unlink()
    pixels, labels, problems = load_pixels(tmp_path, samples, size=32, control=Control())
    assert [(problem.path, problem.kind) for problem in problems] == [
        ("x/1.png", "truncated"),
        ("x/4.png", "unreadable"),
    ]
    skipped = {problem.path for problem in problems}
    kept = [sample for sample in samples if sample.path not in skipped]
    assert labels.tolist() == [sample.label for sample in kept]
    assert len(pixels) == 4
    assert np.array_equal(pixels[1], bad_images.noise(seed=2))


def test_every_odd_file_loads(tmp_path: Path) -> None:
    makers = (
        bad_images.sixteen_bit_png,
        bad_images.palette_png,
        bad_images.cmyk_jpeg,
        bad_images.rgba_png,
        bad_images.grey_alpha_png,
        bad_images.exif_rotated_jpeg,
        bad_images.animated_gif,
        bad_images.tiny_png,
    )
    for index, make in enumerate(makers):
        make(tmp_path / str(index))
    samples = [Sample(str(index), index) for index in range(len(makers))]
    pixels, _, problems = load_pixels(tmp_path, samples, size=32, control=Control())
    assert problems == []
    assert len(pixels) == len(makers)


def test_nothing_readable(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="None of the 2 images under") as caught:
        load_pixels(tmp_path, [Sample("a.png", 0), Sample("b.png", 0)], size=32, control=Control())
    assert "a.png: Left out: it is not there." in caught.value.hint


def test_no_samples(tmp_path: Path) -> None:
    pixels, labels, problems = load_pixels(tmp_path, [], size=32, control=Control())
    assert (pixels.shape, labels.shape, problems) == ((0, 32, 32, 3), (0,), [])


def test_more_than_memory_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise MemoryError

    monkeypatch.setattr(np, "empty", refuse)
    with pytest.raises(DataError, match="The memory does not hold 1 images of 32 x 32"):
        load_pixels(tmp_path, [Sample("a.png", 0)], size=32, control=Control())


def test_progress_and_cancel(tmp_path: Path) -> None:
    samples = png_samples(tmp_path, 60)
    events: list[Event] = []
    load_pixels(tmp_path, samples, size=32, control=Control(events.append), task="Loading test images")
    progress = [event for event in events if isinstance(event, Progress)]
    assert {event.task for event in progress} == {"Loading test images"}
    assert [event.done for event in progress] == [0, 16, 32, 48, 60]

    def watch(event: Event) -> None:
        if isinstance(event, Progress) and event.done >= 16:
            control.cancel()

    control = Control(watch)
    with pytest.raises(Cancelled):
        load_pixels(tmp_path, samples, size=32, control=control)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("images")]


def test_programming_errors_are_not_swallowed(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="interpolation"):
        load_pixels(tmp_path, png_samples(tmp_path, 3), size=32, interpolation="cubist", control=Control())
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("images")]


def test_the_demo() -> None:
    found = scan("demo", control=Control(), decode="none")
    split = sample_split(found, shots=16, val_shots=4, seed=0)
    pixels, labels, problems = load_pixels(found.root, split.train, size=32, control=Control())
    assert problems == []
    assert np.bincount(labels).tolist() == [16] * 10
    with Image.open(found.root / split.train[0].path) as stored:
        assert np.array_equal(pixels[0], np.asarray(stored.convert("RGB")))


@pytest.mark.skipif(not CLOTHING.is_dir(), reason="the clothing images are not here")
def test_clothing_at_full_size() -> None:
    found = scan(CLOTHING, control=Control(), decode="header")
    split = sample_split(found, shots=2, val_shots=1, seed=0)
    pixels, labels, problems = load_pixels(found.root, split.train, size=224, control=Control())
    assert problems == []
    assert pixels.shape == (20, 224, 224, 3)
    assert np.bincount(labels).tolist() == [2] * 10
    assert pixels.std() > 20
