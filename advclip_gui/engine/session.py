"""What the thread that owns the device keeps between jobs: backbones, classifiers, the live adapter."""

from __future__ import annotations

from collections import OrderedDict
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from advclip_gui.engine import adapters
from advclip_gui.engine.backbones import Backbone, file_sha256, load_backbone
from advclip_gui.engine.classifier import ClipClassifier, build_classifier
from advclip_gui.engine.control import Control
from advclip_gui.engine.devices import choose_device, describe_device, keep_freed_memory
from advclip_gui.engine.errors import CheckpointError
from advclip_gui.engine.recipe_facts import RecipeFacts, describe_recipe, matmul_rate
from advclip_gui.engine.runs import RunFolder
from advclip_gui.engine.split_modules import join_projections

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from advclip_gui.engine.model_ref import ModelRef
    from advclip_gui.engine.trainer import LiveAdapter
    from advclip_gui.settings import BackboneSettings, RunSettings

_KEPT_BACKBONES = 3
"""Backbones held at once (untouched or with an adapter): a ViT-B takes 0.6 GB."""


def adapter_folder(path: Path) -> Path:
    """The folder with the adapter's files, given it or a run folder.

    Raises:
        CheckpointError: there is no adapter in either.
    """
    for candidate in (path, RunFolder(path).adapter_dir):
        if (candidate / adapters.WEIGHTS_FILE).is_file():
            return candidate
    raise CheckpointError(
        f"There is no adapter in {path}.",
        "Choose a run folder with an adapter, or a folder written by Export.",
    )


class Session:
    """Not thread-safe: it belongs to the one thread that owns the device."""

    def __init__(self, device: Literal["auto", "cuda", "mps", "cpu"] = "auto") -> None:
        """Choose the device. Raises `DeviceError` where it is not there."""
        keep_freed_memory()
        self.device = choose_device(device)
        self.device_text = describe_device(self.device)
        self._backbones: OrderedDict[tuple[object, ...], Backbone] = OrderedDict()
        self._classifiers: dict[tuple[object, ...], ClipClassifier] = {}
        self._live: LiveAdapter | None = None
        self._rate: float | None = None

    def set_live(self, live: LiveAdapter | None) -> None:
        """Make the adapter in training known, or forget it."""
        self._live = live

    @contextmanager
    def borrow(
        self, ref: ModelRef, class_names: Sequence[str], templates: Sequence[str], control: Control
    ) -> Iterator[ClipClassifier]:
        """Lend a classifier in evaluation mode.

        The live adapter answers with its own classes and prompts; within, training stands still.

        Raises:
            CheckpointError: there is no such adapter, nothing trains at the moment, or it does not fit.
            BackboneError: the backbone is not on this machine.
            Cancelled: through `control`.
        """
        if ref.kind == "live":
            if self._live is None:
                raise CheckpointError("Nothing is being trained at the moment.", "Choose another model.")
            with self._live.borrow() as live:
                yield live
        else:
            yield self.classifier(ref, class_names, templates, control)

    def classifier(
        self, ref: ModelRef, class_names: Sequence[str], templates: Sequence[str], control: Control
    ) -> ClipClassifier:
        """A classifier of the untouched backbone or of a saved adapter; see `borrow` for errors."""
        backbone, key = self._backbone(ref, control)
        key = (*key, tuple(class_names), tuple(templates))
        if key not in self._classifiers:
            self._classifiers[key] = build_classifier(backbone, class_names, templates)
        return self._classifiers[key]

    def provenance(self, ref: ModelRef) -> dict[str, str]:
        """Title and SHA-256 of the weights behind a classifier that has been lent, and of its adapter."""
        if ref.kind == "live":
            return {} if self._live is None else self._live.provenance()
        key, folder = self._key(ref)
        backbone = self._backbones[key]
        facts = {"backbone": backbone.title, "backbone_sha256": backbone.sha256}
        if folder is not None:
            facts["adapter_sha256"] = file_sha256(folder / adapters.WEIGHTS_FILE, Control())
        return facts

    def describe(self, settings: RunSettings, control: Control, *, classes: int = 10) -> RecipeFacts:
        """Parameters, steps, memory and time of a recipe; no weights are loaded."""
        control.check()
        if self._rate is None:
            self._rate = matmul_rate(self.device)
        return describe_recipe(settings, classes=classes, flops_per_second=self._rate)

    def backbone(self, settings: BackboneSettings, control: Control) -> Backbone:
        """The untouched backbone, loaded once."""
        from advclip_gui.engine.model_ref import ModelRef

        return self._backbone(ModelRef(kind="zero_shot", backbone=settings), control)[0]

    def _backbone(self, ref: ModelRef, control: Control) -> tuple[Backbone, tuple[object, ...]]:
        key, folder = self._key(ref)
        if key in self._backbones:
            self._backbones.move_to_end(key)
            return self._backbones[key], key
        while len(self._backbones) >= _KEPT_BACKBONES:
            oldest, _ = self._backbones.popitem(last=False)
            self._classifiers = {k: v for k, v in self._classifiers.items() if k[: len(oldest)] != oldest}
        backbone = load_backbone(ref.backbone, device=self.device, control=control)
        if folder is not None:
            adapters.load_adapter(backbone, folder)
            adapters.merge_for_inference(backbone.model)
        join_projections(backbone.model)
        self._backbones[key] = backbone
        return backbone, key

    @staticmethod
    def _key(ref: ModelRef) -> tuple[tuple[object, ...], Path | None]:
        """What a backbone is kept under (an adapter saved anew is another one), and its folder."""
        folder = adapter_folder(Path(ref.adapter)) if ref.kind == "adapter" else None
        stamp = None if folder is None else (folder / adapters.WEIGHTS_FILE).stat().st_mtime_ns
        return (ref.backbone.model_dump_json(), str(folder), stamp), folder
