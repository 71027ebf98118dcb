"""Make ``torchvision`` importable beside a CPU-only torch.

The torchvision wheel on the package index is built against CUDA. Beside a CPU-only torch its
import stops with ``operator torchvision::nms does not exist``, and with it ``open_clip`` and
``timm``. Declaring the two missing operator schemas is enough: nothing here calls them.
"""

from __future__ import annotations

import importlib
import sys
from typing import Final

_MISSING_SCHEMAS: Final = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_kept_libraries: Final[list[object]] = []
"""A ``torch.library.Library`` takes its schemas with it when it is collected."""


def ensure_torchvision() -> None:
    """Import torchvision; where only its compiled operators are missing, declare them first.

    Raises:
        ImportError: torchvision is not installed at all.
        RuntimeError: the import fails for another reason than the missing operators.
    """
    if "torchvision" in sys.modules:
        return
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
    else:
        return

    import torch

    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]
    library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for schema in _MISSING_SCHEMAS:
        library.define(schema)  # type: ignore[no-untyped-call]
    _kept_libraries.append(library)
    importlib.import_module("torchvision")
