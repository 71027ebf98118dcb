"""Whether a model is evaluated on images it was trained with; told by the hashes of the files."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from advclip_gui.engine.datasets.sampling import image_sha256
from advclip_gui.engine.errors import CheckpointError
from advclip_gui.engine.evaluation_result import Finding
from advclip_gui.engine.exchange.info import adapter_info

if TYPE_CHECKING:
    from collections.abc import Sequence

    from advclip_gui.engine.control import Control
    from advclip_gui.engine.datasets.sampling import Sample
    from advclip_gui.engine.evaluation_result import Evaluation
    from advclip_gui.engine.model_ref import ModelRef


@dataclass(frozen=True, slots=True)
class SeenImages:
    """SHA-256 of the files that shaped an adapter.

    Attributes:
        trained: it learnt from them.
        chose: they decided which step's adapter was kept.
    """

    trained: frozenset[str]
    chose: frozenset[str]


def images_behind(ref: ModelRef) -> SeenImages | None:
    """Return what is recorded of the images behind an adapter; None where nothing is."""
    if ref.kind != "adapter" or not ref.adapter:
        return None
    place = Path(ref.adapter)
    # A run's adapters lie inside its folder.
    run = next((folder for folder in (place, place.parent) if (folder / "settings.toml").is_file()), place)
    try:
        images = adapter_info(run).data.get("images", {})
    except CheckpointError:
        return None
    return SeenImages(frozenset(images.get("train", ())), frozenset(images.get("val", ())))


def with_seen_images(
    evaluation: Evaluation, ref: ModelRef, root: Path, samples: Sequence[Sample], control: Control
) -> Evaluation:
    """Add a finding to an evaluation where some of its images had a part in the training.

    Args:
        evaluation: of `ref` on `samples`.
        ref: the model.
        root: folder of the images.
        samples: what was evaluated.
        control: progress and cancel.

    Raises:
        Cancelled: through `control`.
    """
    behind = images_behind(ref)
    if behind is None or not (behind.trained or behind.chose):
        return evaluation
    trained = chose = 0
    for done, sample in enumerate(samples):
        if done % 64 == 0:
            control.check()
        digest, _ = image_sha256(root / sample.path)
        trained += digest in behind.trained
        chose += digest in behind.chose and digest not in behind.trained
    finding = _finding(len(samples), trained, chose)
    return evaluation if finding is None else replace(evaluation, findings=(*evaluation.findings, finding))


def _finding(n: int, trained: int, chose: int) -> Finding | None:
    parts = []
    if trained:
        parts.append(f"{trained} of the {n} images {_were(trained)} among those the adapter was trained on")
    if chose:
        of = "" if trained else f" of the {n} images"
        parts.append(
            f"{chose}{of} {_were(chose)} among its validation images, by which a step may have been chosen"
        )
    if not parts:
        return None
    told = ", and ".join(parts)
    return Finding(
        kind="seen_images", sentence=f"{told}: the figures say too much about images it has not seen."
    )


def _were(count: int) -> str:
    return "was" if count == 1 else "were"
