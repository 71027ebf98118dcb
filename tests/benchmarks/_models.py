"""What the training benchmarks share: models of a real size with random weights, and peak memory."""

from __future__ import annotations

import ctypes
import gc
import re
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from advclip_gui.engine.backbones import Backbone
    from advclip_gui.engine.preparation import Prepared
    from advclip_gui.settings import RunSettings

ARCHITECTURE = "ViT-B-32"
MIB = 2**20


def open_clip() -> Any:
    """The module, importable also where torchvision lacks its compiled operators."""
    from advclip_gui.engine.torchvision_cure import ensure_torchvision

    ensure_torchvision()
    import open_clip

    return open_clip


def class_names(count: int) -> tuple[str, ...]:
    """Distinct names of two English words, every tenth of three: prompts of 9 to 10 tokens."""
    vocabulary = open_clip().get_tokenizer(ARCHITECTURE).encoder
    words = [word[:-4] for word in vocabulary if re.fullmatch(r"[a-z]{4,8}</w>", word)]
    # The vocabulary begins with the most frequent words; the stride leaves no word out twice.
    chosen = [words[(7 * place) % len(words)] for place in range(3 * count)]
    return tuple(
        " ".join(chosen[3 * number : 3 * number + (3 if number % 10 == 9 else 2)]) for number in range(count)
    )


def random_model() -> Any:
    """An open_clip model with random weights, as open_clip makes it."""
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(0)
        return open_clip().model.CLIP(**open_clip().get_model_config(ARCHITECTURE))


def random_backbone(device: torch.device) -> Backbone:
    """The same model, loaded as the program loads a checkpoint."""
    from safetensors.torch import save_file

    from advclip_gui.engine.backbones import load_backbone
    from advclip_gui.engine.control import Control
    from advclip_gui.settings import BackboneSettings

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{ARCHITECTURE}.safetensors"
        save_file({key: value.contiguous() for key, value in random_model().state_dict().items()}, path)
        chosen = BackboneSettings(name="local", checkpoint=str(path), architecture=ARCHITECTURE)
        return load_backbone(chosen, device=device, control=Control())


def prepared(backbone: Backbone, classes: int, images: int) -> Prepared:
    """Random images of random classes, as if read from a folder."""
    import numpy as np

    from advclip_gui.engine.datasets.sampling import Split
    from advclip_gui.engine.preparation import ImageSet, Prepared

    numbers, size, names = np.random.default_rng(0), backbone.image_size, class_names(classes)
    pixels = numbers.integers(0, 256, (images, size, size, 3), dtype=np.uint8)
    image_set = ImageSet(pixels, numbers.integers(0, classes, images))
    return Prepared(
        scan=None,  # type: ignore[arg-type] (a step never looks at the folder)
        split=Split((), (), (), names),
        class_names=names,
        backbone=backbone,
        train=image_set,
        monitor=image_set,
        monitor_split="val",
    )


def training_settings(
    protocol: str, *, batch_size: int, precision: str = "float32", compile: str = "off"
) -> RunSettings:
    """The paper's recipe on both towers with a universal perturbation and two inner steps."""
    from advclip_gui.settings import AdversarySettings, LoraSettings, RunSettings, TrainingSettings

    settings = RunSettings(
        precision=precision,  # type: ignore[arg-type]
        compile=compile,  # type: ignore[arg-type]
        lora=LoraSettings(rank=2, dropout=0.25, encoder="both"),
        adversary=AdversarySettings(kind="universal", inner_steps=2),
        training=TrainingSettings(batch_size=batch_size),
    )
    return settings.under("released") if protocol == "released" else settings


def release_memory() -> None:
    """Give back what loading left behind, so that it is counted for nobody."""
    gc.collect()
    if sys.platform.startswith("linux"):
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's
        if trim is not None:
            trim(0)


class PeakMemory:
    """The most memory this process holds from `reset` on: of the GPU if it uses one, else resident.

    The resident peak is the kernel's own high-water mark (Linux); elsewhere it cannot be put back,
    and `above_start` is None.
    """

    def __init__(self, device: torch.device) -> None:
        """Reset."""
        self._device = device
        self.start = 0
        self.reset()

    def reset(self) -> None:
        """Forget earlier peaks; what is held now is the start."""
        release_memory()
        if self._device.type == "cuda":
            import torch

            torch.cuda.reset_peak_memory_stats(self._device)
            self.start = torch.cuda.memory_allocated(self._device)
        elif sys.platform.startswith("linux"):
            Path("/proc/self/clear_refs").write_text("5")
            self.start = _status("VmRSS")

    def whole(self) -> int | None:
        """Bytes at the peak."""
        if self._device.type == "cuda":
            import torch

            return torch.cuda.max_memory_allocated(self._device)
        return _status("VmHWM") if sys.platform.startswith("linux") else None

    def above_start(self) -> int | None:
        """Bytes at the peak beyond those at the start."""
        whole = self.whole()
        return None if whole is None else whole - self.start


def _status(key: str) -> int:
    """A size in /proc/self/status in bytes."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(key))
    return 1024 * int(line.split()[1])
