"""The form in which a model takes images, and one picture brought into it; free of torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from advclip_gui.engine.images import open_image, prepare

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image


class InputForm(NamedTuple):
    """Side of the square input in pixels, and how an image becomes it.

    Attributes:
        image_size: the side.
        interpolation: of the resize, "bicubic" or "bilinear".
        resize_mode: "shortest" (then centre crop) or "squash".
    """

    image_size: int
    interpolation: str = "bicubic"
    resize_mode: str = "shortest"


def input_form(model: Any) -> InputForm:
    """Read the form off a classifier or backbone; what it does not say is as CLIP has it."""
    usual = InputForm(int(model.image_size))
    return InputForm(
        usual.image_size,
        str(getattr(model, "interpolation", usual.interpolation)),
        str(getattr(model, "resize_mode", usual.resize_mode)),
    )


def model_pixels(image: NDArray[np.uint8] | Image.Image | Path, model: Any) -> NDArray[np.uint8]:
    """Return uint8 (size, size, 3): exactly what a model sees of an image.

    Args:
        image: a file, a picture, or pixels (H, W, 3), which are taken as they are where they have the
            model's size already.
        model: a classifier or backbone.

    Raises:
        ImageError: the file cannot be read.
    """
    form = input_form(model)
    if isinstance(image, Path):
        picture = open_image(image)
    elif isinstance(image, np.ndarray):
        if image.shape == (form.image_size, form.image_size, 3):
            return image
        from PIL import Image

        picture = Image.fromarray(image)
    else:
        picture = image
    return prepare(picture, form.image_size, interpolation=form.interpolation, resize_mode=form.resize_mode)
