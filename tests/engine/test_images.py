"""Every odd image file becomes the right 8-bit RGB pixels, or one clear sentence."""

from __future__ import annotations

import builtins
import errno
import os
import subprocess
import sys
import tracemalloc
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from advclip_gui.engine.errors import ImageError
from advclip_gui.engine.images import (
    BadImageError,
    inspect_image,
    look_at_image,
    open_image,
    open_thumbnail,
    prepare,
)
from advclip_gui.engine.torchvision_cure import ensure_torchvision
from tests import bad_images

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def pixels(path: Path) -> np.ndarray:
    image = open_image(path)
    assert image.mode == "RGB"
    return np.asarray(image)


def refuse_to_open(monkeypatch: pytest.MonkeyPatch, refused: Path, error: OSError) -> None:
    """Let opening one file fail: removing its permissions does not stop the superuser."""
    original = builtins.open

    def guarded(file: Any, *args: Any, **kwargs: Any) -> Any:
        if os.fspath(file) == os.fspath(refused):
            raise error
        return original(file, *args, **kwargs)

    monkeypatch.setattr(builtins, "open", guarded)


def test_plain_png_comes_through_unchanged(tmp_path: Path) -> None:
    path = bad_images.good_png(tmp_path / "a.png", seed=3)
    assert np.array_equal(pixels(path), bad_images.noise(seed=3))


def test_sixteen_bit_grey_is_scaled_over_the_full_range(tmp_path: Path) -> None:
    values = pixels(bad_images.sixteen_bit_png(tmp_path / "deep.png"))
    assert np.array_equal(values[0], np.repeat(np.arange(256)[:, None], 3, axis=1))


def test_sixteen_bit_values_are_rounded(tmp_path: Path) -> None:
    grey = np.array([[0, 128, 129, 385, 386, 65406, 65407, 65535]], dtype=np.uint16)
    path = bad_images.write(tmp_path / "a.png", bad_images.encoded(Image.fromarray(grey), "PNG"))
    expected = np.rint(grey[0] / 257.0).astype(np.uint8)
    assert pixels(path)[0, :, 0].tolist() == expected.tolist() == [0, 0, 1, 1, 2, 254, 255, 255]


def test_sixteen_bit_rgb(tmp_path: Path) -> None:
    path = bad_images.sixteen_bit_rgb_png(tmp_path / "deep.png")
    assert np.all(pixels(path) == (255, 128, 0))
    assert inspect_image(path, full=False).sixteen_bit


def test_sixteen_bit_tiff_and_float_tiff(tmp_path: Path) -> None:
    deep = np.array([[0, 257 * 100, 65535]], dtype=np.uint16)
    path = bad_images.write(tmp_path / "deep.tif", bad_images.encoded(Image.fromarray(deep), "TIFF"))
    assert pixels(path)[0, :, 0].tolist() == [0, 100, 255]
    unit = np.array([[0.0, 0.5, 1.0, np.nan]], dtype=np.float32)
    path = bad_images.write(tmp_path / "unit.tif", bad_images.encoded(Image.fromarray(unit), "TIFF"))
    assert pixels(path)[0, :, 0].tolist() == [0, 128, 255, 0]
    wide = np.array([[-10.0, 0.0, 10.0]], dtype=np.float32)
    path = bad_images.write(tmp_path / "wide.tif", bad_images.encoded(Image.fromarray(wide), "TIFF"))
    assert pixels(path)[0, :, 0].tolist() == [0, 128, 255]


def test_transparent_value_of_a_sixteen_bit_png_is_white(tmp_path: Path) -> None:
    grey = np.array([[5, 65535]], dtype=np.uint16)
    data = bad_images.encoded(Image.fromarray(grey), "PNG", transparency=5)
    assert pixels(bad_images.write(tmp_path / "a.png", data))[0, :, 0].tolist() == [255, 255]


def test_palette(tmp_path: Path) -> None:
    values = pixels(bad_images.palette_png(tmp_path / "p.png"))
    assert np.all(values[:, :16] == (255, 0, 0))
    assert np.all(values[:, 16:] == (0, 0, 255))


def test_transparent_palette_is_laid_on_white(tmp_path: Path) -> None:
    values = pixels(bad_images.transparent_palette_png(tmp_path / "p.png"))
    assert np.all(values[:, :16] == (255, 0, 0))
    assert np.all(values[:, 16:] == 255)


def test_cmyk(tmp_path: Path) -> None:
    assert np.abs(pixels(bad_images.cmyk_jpeg(tmp_path / "c.jpg")).astype(int) - (0, 255, 255)).max() <= 4


def test_rgba_is_laid_on_white(tmp_path: Path) -> None:
    values = pixels(bad_images.rgba_png(tmp_path / "a.png"))
    assert np.all(values[:, :16] == (255, 0, 0))
    assert np.all(values[:, 16:] == 255)


def test_grey_with_alpha_is_laid_on_white(tmp_path: Path) -> None:
    assert np.all(pixels(bad_images.grey_alpha_png(tmp_path / "la.png")) == 127)


def test_one_bit(tmp_path: Path) -> None:
    assert np.all(pixels(bad_images.one_bit_png(tmp_path / "b.png")) == 255)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path: Path, orientation: int) -> None:
    path = bad_images.exif_rotated_jpeg(tmp_path / "r.jpg", orientation=orientation)
    with Image.open(path) as stored:
        upright = np.asarray(ImageOps.exif_transpose(stored))
    assert np.array_equal(pixels(path), upright)
    facts = inspect_image(path, full=False)
    assert (facts.height, facts.width) == upright.shape[:2]
    thumbnail = open_thumbnail(path, 16)
    assert thumbnail.size == ((16, 11) if orientation < 5 else (11, 16))


def test_exif_orientation_six_puts_the_left_side_on_top(tmp_path: Path) -> None:
    values = pixels(bad_images.exif_rotated_jpeg(tmp_path / "r.jpg")).astype(int)
    assert values.shape == (48, 32, 3)
    assert np.abs(values[:16] - (255, 0, 0)).max() <= 4
    assert np.abs(values[32:] - (0, 0, 255)).max() <= 4


@pytest.mark.parametrize(("image_format", "suffix"), [("PNG", "png"), ("WEBP", "webp"), ("TIFF", "tif")])
def test_orientation_in_other_formats(tmp_path: Path, image_format: str, suffix: str) -> None:
    picture = Image.fromarray(bad_images.noise(32, 48))
    exif = Image.Exif()
    exif[0x0112] = 6
    options = {"lossless": True} if image_format == "WEBP" else {}
    data = bad_images.encoded(picture, image_format, exif=exif, **options)
    path = bad_images.write(tmp_path / f"r.{suffix}", data)
    upright = np.rot90(np.asarray(picture), k=-1)
    assert np.array_equal(pixels(path), upright)
    facts = inspect_image(path, full=True)
    assert (facts.height, facts.width) == upright.shape[:2]


def test_nonsense_exif_does_not_stop_reading(tmp_path: Path) -> None:
    path = bad_images.damaged_exif_jpeg(tmp_path / "e.jpg")
    assert pixels(path).shape == (32, 32, 3)
    assert inspect_image(path, full=True).width == 32


@pytest.mark.parametrize(
    ("make", "frames"),
    [(bad_images.animated_gif, "animation"), (bad_images.multi_page_tiff, "pages")],
)
def test_first_frame_is_taken(tmp_path: Path, make: Callable[[Path], Path], frames: str) -> None:
    path = make(tmp_path / "moving")
    assert np.all(pixels(path) == (255, 0, 0))
    assert inspect_image(path, full=False).frames == frames


@pytest.mark.parametrize("make", [bad_images.truncated_jpeg, bad_images.truncated_png])
@pytest.mark.parametrize("keep", [0.3, 0.6, 0.99])
@pytest.mark.parametrize("full", [False, True])
def test_truncated(tmp_path: Path, make: Callable[..., Path], keep: float, full: bool) -> None:
    path = make(tmp_path / "cut", keep=keep)
    for read in (open_image, lambda place: inspect_image(place, full=full)):
        with pytest.raises(BadImageError, match=r"cut short, its end is missing") as caught:
            read(path)
        assert caught.value.kind == "truncated"
        assert str(path) in caught.value.message


def test_end_marker_of_an_embedded_thumbnail_does_not_hide_a_cut(tmp_path: Path) -> None:
    path = bad_images.truncated_jpeg_with_thumbnail(tmp_path / "cut.jpg")
    with pytest.raises(BadImageError, match="cut short"):
        inspect_image(path, full=False)


@pytest.mark.parametrize("tail", [b"\0" * 200, b"camera notes" * 20])
def test_bytes_after_the_end_are_no_cut(tmp_path: Path, tail: bytes) -> None:
    path = bad_images.good_jpeg(tmp_path / "a.jpg")
    path.write_bytes(path.read_bytes() + tail)
    assert inspect_image(path, full=False).width == 32
    assert open_image(path).size == (32, 32)


@pytest.mark.parametrize("image_format", ["BMP", "WEBP", "GIF", "TIFF", "PPM"])
def test_truncated_in_other_formats(tmp_path: Path, image_format: str) -> None:
    data = bad_images.encoded(Image.fromarray(bad_images.noise(96, 96)), image_format)
    whole = bad_images.write(tmp_path / "whole", data)
    assert inspect_image(whole, full=False).width == open_image(whole).width == 96
    cut = bad_images.write(tmp_path / "cut", data[: len(data) // 2])
    with pytest.raises(ImageError):
        inspect_image(cut, full=False)
    with pytest.raises(ImageError):
        open_image(cut)


def test_damaged_inside(tmp_path: Path) -> None:
    path = bad_images.good_png(tmp_path / "a.png", height=96, width=96)
    data = bytearray(path.read_bytes())
    data[2000:2100] = b"\xff" * 100
    path.write_bytes(data)
    with pytest.raises(BadImageError, match="damaged") as caught:
        open_image(path)
    assert caught.value.kind == "unreadable"


def test_huge_header_is_refused_before_decoding(tmp_path: Path) -> None:
    path = bad_images.huge_header_png(tmp_path / "huge.png")
    open_image(bad_images.good_png(tmp_path / "warm.png"))
    tracemalloc.start()
    try:
        for read in (open_image, lambda place: inspect_image(place, full=True)):
            with pytest.raises(BadImageError, match=r"limit of 178 million.*decompression bomb") as caught:
                read(path)
            assert caught.value.kind == "too_large"
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("side", [14_000, 18_900])
def test_limit_is_one_line_not_a_warning_and_an_error(tmp_path: Path, side: int) -> None:
    # 14,000 squared is 196 million, 18,900 squared twice the limit; Pillow only warns of the first.
    with pytest.raises(BadImageError) as caught:
        inspect_image(bad_images.huge_header_png(tmp_path / "huge.png", side=side), full=False)
    assert caught.value.kind == "too_large"


def test_below_the_limit_pillow_does_not_warn(tmp_path: Path) -> None:
    path = bad_images.huge_header_png(tmp_path / "big.png", side=13_000)
    assert inspect_image(path, full=False).width == 13_000


@pytest.mark.parametrize("make", [bad_images.text_named_jpg, bad_images.zero_byte])
def test_not_an_image(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    path = make(tmp_path / "list.jpg")
    sentence = "the file is empty" if make is bad_images.zero_byte else "not an image in a format known here"
    with pytest.raises(BadImageError, match=sentence) as caught:
        open_image(path)
    assert caught.value.kind == "not_an_image"


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(BadImageError, match="it is not there"):
        open_image(tmp_path / "nowhere.jpg")
    (tmp_path / "folder.jpg").mkdir()
    with pytest.raises(BadImageError, match="not a regular file"):
        open_image(tmp_path / "folder.jpg")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_named_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(BadImageError, match="not a regular file"):
        open_image(tmp_path / "pipe.jpg")


def test_no_permission_and_failing_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = bad_images.good_jpeg(tmp_path / "a.jpg")
    with monkeypatch.context() as patch:
        refuse_to_open(patch, path, PermissionError(errno.EACCES, "Permission denied"))
        with pytest.raises(BadImageError, match="no permission to read it") as caught:
            open_image(path)
    assert caught.value.kind == "permission"
    with monkeypatch.context() as patch:
        refuse_to_open(patch, path, OSError(errno.EIO, "Input/output error"))
        with pytest.raises(BadImageError, match="Input/output error") as caught:
            open_image(path)
    assert caught.value.kind == "unreadable"


@pytest.mark.parametrize("name", ["größe und maß.JPG", "写真 1.PNG", "a'b\"c.Jpeg"])
def test_unusual_names(tmp_path: Path, name: str) -> None:
    path = bad_images.good_png(tmp_path / "ordner ü" / name)
    assert open_image(path).size == (32, 32)
    assert open_image(str(path)).size == (32, 32)


def test_the_file_is_not_kept_open(tmp_path: Path) -> None:
    path = bad_images.good_jpeg(tmp_path / "a.jpg")
    image = open_image(path)
    path.unlink()
    assert np.asarray(image).shape == (32, 32, 3)


@pytest.mark.parametrize(
    "shape", [(40, 61), (61, 40), (33, 32), (200, 199), (17, 300), (300, 17), (32, 32), (7, 5)]
)
@pytest.mark.parametrize("size", [32, 224])
def test_prepare_is_what_torchvision_does(shape: tuple[int, int], size: int) -> None:
    # Resize and CenterCrop are the preprocessing that every CLIP was trained and measured with.
    ensure_torchvision()
    from torchvision import transforms
    from torchvision.transforms import InterpolationMode

    image = Image.fromarray(bad_images.noise(*shape))
    for name, mode in (("bicubic", InterpolationMode.BICUBIC), ("bilinear", InterpolationMode.BILINEAR)):
        oracle = transforms.Compose([transforms.Resize(size, mode), transforms.CenterCrop(size)])
        assert np.array_equal(prepare(image, size, name), np.asarray(oracle(image)))


def test_prepare_squash_and_longest() -> None:
    image = Image.new("RGB", (64, 32), (10, 200, 30))
    assert np.all(prepare(image, 32, resize_mode="squash") == (10, 200, 30))
    padded = prepare(image, 32, resize_mode="longest")
    assert padded.shape == (32, 32, 3)
    assert np.all(padded[8:24] == (10, 200, 30))
    assert np.all(padded[:8] == 0)
    assert np.all(padded[24:] == 0)


def test_prepare_of_a_very_long_strip_needs_little_memory() -> None:
    strip = Image.fromarray(np.tile(bad_images.noise(4, 4), (1, 5000, 1)))
    prepared = prepare(strip, 224)
    short = strip.crop((strip.width // 2 - 32, 0, strip.width // 2 + 32, 4))
    assert np.array_equal(prepared, prepare(short, 224))


def test_prepare_returns_writable_pixels_and_refuses_unknown_names() -> None:
    image = Image.fromarray(bad_images.noise())
    prepared = prepare(image, 32)
    assert prepared.dtype == np.uint8
    assert prepared.flags.writeable
    with pytest.raises(ValueError, match="interpolation"):
        prepare(image, 32, "cubist")
    with pytest.raises(ValueError, match="resize mode"):
        prepare(image, 32, resize_mode="stretch")


def test_import_is_light() -> None:
    # The window imports these before it is shown.
    code = (
        "import sys; import advclip_gui.engine.images, advclip_gui.engine.datasets;"
        "heavy = {'torch', 'numpy', 'PIL.Image', 'pydantic', 'PySide6'} & set(sys.modules);"
        "sys.exit(', '.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _told(look: Callable[[], Any]) -> Any:
    try:
        return look()
    except BadImageError as error:
        return error.kind, error.reason


_EVERY_KIND = [
    make
    for name, make in vars(bad_images).items()
    if callable(make)
    and not name.startswith("_")
    and name.endswith(("jpeg", "png", "gif", "tiff", "jpg", "zero_byte", "thumbnail"))
]


@pytest.mark.parametrize("make", _EVERY_KIND, ids=lambda make: make.__name__)
def test_quick_look_says_what_pillow_says(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    path = make(tmp_path / "image.jpg")
    for full in (False, True):
        assert _told(lambda: look_at_image(path, full=full).facts) == _told(  # noqa: B023 (called at once)
            lambda: inspect_image(path, full=full)  # noqa: B023
        )


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("order", ["<", ">"])
def test_quick_look_turns_photos_upright(tmp_path: Path, orientation: int, order: str) -> None:
    exif = Image.Exif()
    exif.endian = order
    exif[0x010F], exif[0x0112] = "maker", orientation
    data = bad_images.encoded(
        Image.fromarray(bad_images.noise(40, 70)), "JPEG", exif=exif, icc_profile=b"x" * 9000
    )
    path = bad_images.write(tmp_path / "photo.jpg", data)
    facts = look_at_image(path, full=False).facts
    assert facts == inspect_image(path, full=False)
    assert (facts.width, facts.height) == ((40, 70) if orientation >= 5 else (70, 40))


def test_copies_have_one_fingerprint_and_others_do_not(tmp_path: Path) -> None:
    looks = [
        look_at_image(bad_images.good_jpeg(tmp_path / f"{number}.jpg", seed=number // 2), full=False)
        for number in range(4)
    ]
    assert looks[0].fingerprint == looks[1].fingerprint
    assert looks[2].fingerprint == looks[3].fingerprint != looks[0].fingerprint
