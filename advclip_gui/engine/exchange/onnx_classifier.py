"""A classifier for ONNX Runtime: pixels to logits, checked after writing, with a script that runs it.

A model of more than 2 GB, such as ViT-H, does not fit into one file: its weights then lie beside it.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from advclip_gui.engine.errors import CheckpointError, UserError
from advclip_gui.engine.exchange.folder import check_room
from advclip_gui.engine.files import write_json_atomic, write_text_atomic

if TYPE_CHECKING:
    from collections.abc import Sequence

    from advclip_gui.engine.classifier import ClipClassifier
    from advclip_gui.engine.control import Control

MODEL: Final = "classifier.onnx"
LARGEST_DIFFERENCE: Final = 1e-3
"""Between a logit here and in ONNX Runtime; a larger one ends the export."""
WEIGHTS: Final = f"{MODEL}.data"
"""Holds the weights where the model is too large for one file."""
_OPSET: Final = 17
_MOST_BYTES: Final = 2_000_000_000
"""A single ONNX file ends at 2 GiB."""
_SMALL: Final = 1024
"""Bytes of a tensor that stays with the model all the same: shapes, scales."""
_NEEDED: Final = ("onnx", "onnxruntime")
_RESIZE: Final = {
    "squash": "image = image.resize((size, size), Image.Resampling.{})",
    "shortest": "sides = [size if side == min(image.size) else int(size * side / min(image.size)) "
    "for side in image.size]\n"
    "    image = image.resize(sides, Image.Resampling.{})\n"
    "    left, top = (round((side - size) / 2) for side in sides)\n"
    "    image = image.crop((left, top, left + size, top + size))",
    "longest": "sides = [max(1, round(side * size / max(image.size))) for side in image.size]\n"
    "    image = image.resize(sides, Image.Resampling.{})\n"
    "    left, top = (round((side - size) / 2) for side in sides)\n"
    "    image = image.crop((left, top, left + size, top + size))",
}
_SCRIPT: Final = '''\
"""Classify images: python predict.py IMAGE ...  Needs onnxruntime, pillow and numpy."""
import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

here = Path(__file__).parent
about = json.loads((here / "labels.json").read_text(encoding="utf-8"))
size, labels = about["image_size"], about["labels"]
model = onnxruntime.InferenceSession(str(here / "classifier.onnx"), providers=["CPUExecutionProvider"])
for name in sys.argv[1:]:
    image = ImageOps.exif_transpose(Image.open(name))
    if image.mode[0] in "IF":  # more than 8 bits
        white = 65535 if image.mode[0] == "I" else 255 if np.max(image) > 1 else 1
        image = Image.fromarray((np.asarray(image) * (255 / white) + 0.5).clip(0, 255).astype(np.uint8))
    image = image.convert("RGBA")  # what is transparent is laid on white
    image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    RESIZE
    pixels = np.asarray(image, dtype=np.float32).transpose(2, 0, 1)[None] / 255
    logits = model.run(["logits"], {"pixels": pixels})[0][0]
    shares = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    print(name)
    for k in shares.argsort()[::-1][:5]:
        print(f"{100 * shares[k]:8.3f} %  {labels[k]}")
'''


class _Answering(nn.Module):
    """Pixels (N, 3, S, S) in [0, 1] -> logits (N, C) and L2-normalised image features (N, D)."""

    def __init__(self, classifier: ClipClassifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        features = self.classifier.encode(pixels)
        return self.classifier.logit_scale * features @ self.classifier.text_features.t(), features


def check_packages(*, load: bool = True) -> None:
    """Make sure that what the export needs is installed.

    Args:
        load: also import it; else it is only looked for, which is quick.

    Raises:
        UserError: it is not; says what to install.
    """
    for name in _NEEDED:
        try:
            if load:
                importlib.import_module(name)
            elif sys.modules.get(name) is None and importlib.util.find_spec(name) is None:
                raise ImportError(name)
        except (ImportError, ValueError) as error:
            raise UserError(
                f"The export for ONNX Runtime needs the package '{name}', which is not installed.",
                "Install both with: pip install onnx onnxruntime.",
            ) from error


def write_onnx(classifier: ClipClassifier, out: Path, templates: Sequence[str], control: Control) -> float:
    """Write the model, the text features (C, D), the labels and the script, and run the model once.

    Args:
        classifier: on the CPU, in evaluation mode, its adapter folded in.
        out: an existing folder.
        templates: of the prompts, for the record.
        control: asked for cancellation.

    Returns:
        The largest difference of a logit between ONNX Runtime and here.

    Raises:
        UserError: onnx or onnxruntime is not installed.
        CheckpointError: the model cannot be expressed, or answers differently.
        StorageError: the disk is full, or there is no permission.
        Cancelled: through `control`.
    """
    check_packages()
    weight = sum(value.numel() * value.element_size() for value in classifier.state_dict().values())
    check_room(out, 2 * weight if weight > _MOST_BYTES else weight)
    control.check()
    with tempfile.TemporaryDirectory(prefix=".", suffix=".trace", dir=out) as folder:
        traced = Path(folder) / MODEL
        _trace(classifier, traced)
        control.check()
        if weight > _MOST_BYTES:
            _split(traced, out / MODEL)
        else:
            traced.replace(out / MODEL)
    control.check()
    difference = largest_difference(classifier, out / MODEL)
    if not difference <= LARGEST_DIFFERENCE:
        raise CheckpointError(
            f"ONNX Runtime answers differently from this program: a logit differs by {difference:.2g}. "
            "Nothing was exported.",
            "Export it for open_clip.",
        )
    np.save(out / "text_features.npy", classifier.text_features.numpy())
    about = {
        "labels": list(classifier.class_names),
        "templates": list(templates),
        "image_size": classifier.image_size,
        "interpolation": classifier.interpolation,
        "resize_mode": classifier.resize_mode,
        "logit_scale": float(classifier.logit_scale),
    }
    write_json_atomic(out / "labels.json", about)
    resize = _RESIZE[classifier.resize_mode].format(classifier.interpolation.upper())
    write_text_atomic(out / "predict.py", _SCRIPT.replace("RESIZE", resize))
    return difference


def _trace(classifier: ClipClassifier, path: Path) -> None:
    size = classifier.image_size
    names = ["logits", "features"]
    with warnings.catch_warnings(), torch.no_grad():
        # The tracing exporter needs onnx alone and records no stack traces, which would name files here.
        # PyTorch calls it the older one, and warns of sizes that are the same in every batch.
        warnings.simplefilter("ignore")
        try:
            torch.onnx.export(
                _Answering(classifier).eval(),
                (torch.zeros(2, 3, size, size),),
                str(path),
                dynamo=False,
                opset_version=_OPSET,
                input_names=["pixels"],
                output_names=names,
                dynamic_axes={name: {0: "images"} for name in ("pixels", *names)},
            )
        except (torch.onnx.errors.OnnxExporterError, RuntimeError, TypeError) as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise CheckpointError(
                f"This image tower cannot be written as ONNX ({reason}).", "Export it for open_clip."
            ) from error


def _split(traced: Path, path: Path) -> None:
    """Write a traced model anew, its weights in one file beside it, where ONNX Runtime looks for them."""
    onnx: Any = importlib.import_module("onnx")
    model = onnx.load(traced)  # PyTorch has put what was too large into a file for each tensor
    onnx.save_model(
        model,
        path,
        save_as_external_data=True,
        all_tensors_to_one_file=True,
        location=path.name + ".data",
        size_threshold=_SMALL,
    )


def largest_difference(classifier: ClipClassifier, path: Path) -> float:
    """Run both on the same noise, one image and five at a time, and compare their logits.

    Raises:
        CheckpointError: ONNX Runtime cannot load or run the file.
    """
    runtime: Any = importlib.import_module("onnxruntime")
    generator = torch.Generator().manual_seed(0)
    size, differences = classifier.image_size, []
    try:
        session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        for count in (1, 5):
            pixels = torch.rand(count, 3, size, size, generator=generator)
            there = session.run(["logits"], {"pixels": pixels.numpy()})[0]
            with torch.no_grad():
                here = classifier(pixels).numpy()
            differences.append(float(np.abs(there - here).max()))
    except Exception as error:  # the runtime's own errors have no common base
        sentence = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CheckpointError(f"ONNX Runtime cannot run the exported model ({sentence}).") from error
    return float(np.max(differences))  # not a number, where one of them is none
