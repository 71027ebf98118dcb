"""File work of the Probe page, done off the main thread: read an image, save a result."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from PySide6.QtGui import QImage

    from advclip_gui.engine.control import Control
    from advclip_gui.engine.probe_types import ProbeResult
    from advclip_gui.gui.probe_controller import Question


def read_picture(path: Path, size: int, control: Control) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Read an image file.

    Args:
        path: the file.
        size: input size of the model in pixels, 0 if unknown.
        control: asked for cancellation.

    Returns:
        The whole picture (H, W, 3) and what to show until a model has seen it.

    Raises:
        ImageError: the file is no image, or damaged.
    """
    import numpy as np

    from advclip_gui.engine.images import open_image

    control.check()
    picture = open_image(path)
    control.check()
    pixels = np.array(picture, dtype=np.uint8)
    return pixels, _preview(pixels, size)


def take_picture(image: QImage, size: int, control: Control) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Take a picture that was pasted or dropped; it may be as large as any file.

    Args:
        image: any format.
        size: input size of the model in pixels, 0 if unknown.
        control: asked for cancellation.

    Returns:
        As `read_picture`.
    """
    from advclip_gui.gui.widgets.image_canvas import to_array

    control.check()
    pixels = to_array(image)
    control.check()
    return pixels, _preview(pixels, size)


def _preview(pixels: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    from PIL import Image

    from advclip_gui.engine.images import prepare

    return prepare(Image.fromarray(pixels), size) if size else central_square(pixels)


def central_square(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Cut the middle square out of (H, W, 3)."""
    height, width = pixels.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return pixels[top : top + side, left : left + side]


def save_result(result: ProbeResult, question: Question, path: Path, control: Control) -> list[Path]:
    """Write PATH.json and the images beside it; returns the files.

    Raises:
        StorageError: one of them cannot be written.
    """
    from advclip_gui.engine.probe_files import model_facts, save_probe

    control.check()
    model = model_facts(
        question.ref, question.templates, true_label=question.image.label, image=question.image.title
    )
    stem = path.name.removesuffix(".json")
    return save_probe(result, path.parent, stem, model=model)
