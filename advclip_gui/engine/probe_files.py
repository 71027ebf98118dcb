"""A probe on disk: the adversarial image, its perturbation, and everything needed to repeat it."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from PIL import Image

from advclip_gui.engine.errors import SettingsError, StorageError
from advclip_gui.engine.files import write_bytes_atomic, write_json_atomic
from advclip_gui.engine.perturbation_view import perturbation_image
from advclip_gui.engine.probe_types import ProbeRequest, ProbeResult, length_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from advclip_gui.engine.model_ref import ModelRef

FORMAT: Final = "advclip-gui probe"
VERSION: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SavedProbe:
    """What a probe's JSON file holds.

    Attributes:
        request: how the image was attacked.
        image: (H, W, 3) the image as the model saw it.
        label: the class the attack pushed away from.
        class_names: all of them.
        model: which model, as given when it was saved.
        result: labels, probabilities, norms and steps of then.
        adversarial_sha256: of the adversarial pixels, rounded to 8 bits.
        provenance: versions, device, dtype and hashes of then.
    """

    request: ProbeRequest
    image: NDArray[np.uint8] = field(repr=False)
    label: int
    class_names: tuple[str, ...]
    model: dict[str, Any]
    result: dict[str, Any] = field(repr=False)
    adversarial_sha256: str = ""
    provenance: dict[str, str] = field(repr=False, default_factory=dict)


def save_probe(
    result: ProbeResult, folder: Path, stem: str, *, model: Mapping[str, Any] | None = None
) -> list[Path]:
    """Write ``STEM-adversarial.png``, ``STEM-perturbation.png`` and ``STEM.json``.

    The adversarial PNG is read again: the verdict `flipped_after_8bit` is about exactly the pixels
    on disk.

    Args:
        result: the probe.
        folder: made if it is not there.
        stem: first part of the names.
        model: which model was attacked, plain values; goes into the JSON.

    Returns:
        The three files.

    Raises:
        StorageError: one cannot be written, or does not read back as written.
    """
    folder, stem = Path(folder), Path(stem).name
    image_path = folder / f"{stem}-adversarial.png"
    view_path = folder / f"{stem}-perturbation.png"
    json_path = folder / f"{stem}.json"
    view, factor = perturbation_image(result.perturbation)
    write_bytes_atomic(image_path, png_bytes(result.adversarial))
    _check_png(image_path, result.adversarial)
    write_bytes_atomic(view_path, png_bytes(view))
    write_json_atomic(json_path, probe_json(result, factor, image_path.name, model or {}))
    return [image_path, view_path, json_path]


def probe_json(
    result: ProbeResult, factor: float, adversarial_name: str, model: Mapping[str, Any]
) -> dict[str, Any]:
    """The JSON document of a probe, the original image inside it."""
    request = result.request
    return {
        "format": FORMAT,
        "version": VERSION,
        "sentence": result.sentence,
        "request": request.to_json(),
        "epsilon": length_text(request.epsilon, request.norm),
        "model": dict(model),
        "class_names": list(result.class_names),
        "label": result.attacked_label,
        "image": {
            "sha256": pixels_sha256(result.original),
            "height": result.original.shape[0],
            "width": result.original.shape[1],
            "png": base64.b64encode(png_bytes(result.original)).decode("ascii"),
        },
        "adversarial": {"file": adversarial_name, "sha256": pixels_sha256(result.adversarial)},
        "perturbation": {"amplified": factor, "linf": result.linf, "l2": result.l2},
        "result": {
            "before_label": result.before_label,
            "after_label": result.after_label,
            "after_8bit_label": result.after_8bit_label,
            "before": list(result.before),
            "after": list(result.after),
            "after_8bit": list(result.after_8bit),
            "flipped": result.flipped,
            "flipped_after_8bit": result.flipped_after_8bit,
            "milliseconds": result.milliseconds,
            "steps": [
                {"step": step.step, "loss": step.loss, "probabilities": list(step.probabilities)}
                for step in result.steps
            ],
        },
        "provenance": result.provenance,
    }


def model_facts(ref: ModelRef, templates: Sequence[str], **more: object) -> dict[str, Any]:
    """Which model a probe is about, as plain values from which it can be found again.

    Args:
        ref: the model.
        templates: prompts its classifier was built with.
        more: anything else worth keeping, e.g. the true label.
    """
    return {
        "kind": ref.kind,
        "title": ref.title,
        "adapter": ref.adapter,
        "backbone": ref.backbone.model_dump(mode="json"),
        "templates": list(templates),
        **more,
    }


def load_probe(path: Path) -> SavedProbe:
    """Read a probe's JSON file, to repeat it.

    Raises:
        SettingsError: it cannot be read, is no probe, or its image does not match its hash.
    """
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(f"The probe {path} cannot be read: {error}.") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise SettingsError(f"{path} is not a saved probe.", "Choose the JSON file that Save wrote.")
    if document.get("version") != VERSION:
        raise SettingsError(
            f"{path} was written by another version of this program.", f"This one reads version {VERSION}."
        )
    try:
        with Image.open(io.BytesIO(base64.b64decode(document["image"]["png"], validate=True))) as picture:
            image = np.array(picture.convert("RGB"))
        expected = document["image"]["sha256"]
        saved = SavedProbe(
            request=ProbeRequest.from_json(document["request"]),
            image=image,
            label=int(document["label"]),
            class_names=tuple(str(name) for name in document["class_names"]),
            model=dict(document["model"]),
            result=dict(document["result"]),
            adversarial_sha256=str(document["adversarial"]["sha256"]),
            provenance=dict(document.get("provenance") or {}),
        )
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise SettingsError(f"The probe {path} is damaged: {error!r}.") from error
    classes = len(saved.class_names)
    if not all(0 <= k < classes for k in (saved.label, saved.request.target or 0)):
        raise SettingsError(f"The probe {path} is damaged: it names a class it does not list.")
    if pixels_sha256(image) != expected:
        raise SettingsError(f"The image inside the probe {path} is not the one that was attacked.")
    return saved


def png_bytes(image: NDArray[np.uint8]) -> bytes:
    """Encode (H, W, 3) as PNG, without loss."""
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, format="PNG")
    return stream.getvalue()


def _check_png(path: Path, expected: NDArray[np.uint8]) -> None:
    with Image.open(path) as picture:
        same = picture.mode == "RGB" and np.array_equal(np.array(picture), expected)
    if not same:
        raise StorageError(f"{path} does not read back as it was written.", "Save it to another disk.")


def pixels_sha256(image: NDArray[np.uint8]) -> str:
    """SHA-256 of (H, W, 3) pixels, whatever file they come from."""
    return hashlib.sha256(np.ascontiguousarray(image).tobytes()).hexdigest()
