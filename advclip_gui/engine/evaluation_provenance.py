"""What an evaluation says of its model and images, the same from the window and the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from advclip_gui.engine.model_ref import ModelRef


def evaluation_provenance(
    session: Any, ref: ModelRef, *, data: str, split: str, split_digest: str, templates: Sequence[str]
) -> dict[str, Any]:
    """Where the weights and the images of an evaluation come from, in plain values.

    Args:
        session: that has lent the classifier.
        ref: the model.
        data: name of the image folder.
        split: which part of it.
        split_digest: SHA-256 over the classes, paths and labels of the split.
        templates: of the prompts.
    """
    return {
        "protocol": "sound",
        **session.provenance(ref),
        "data": data,
        "split": split,
        "split_digest": split_digest,
        "prompts": list(templates),
    }
