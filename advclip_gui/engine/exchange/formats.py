"""The formats an adapter is exported in, and what each of them writes; free of torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

Format = Literal["peft", "open-clip", "hugging-face", "onnx", "clip-lora"]

INFO_FILE: Final = "advclip.json"
"""What the classifier around the adapter is: backbone, classes, prompts, protocol, figures."""
CARD_FILE: Final = "README.md"
CONFIG_FILE: Final = "adapter_config.json"
WEIGHTS_FILE: Final = "adapter_model.safetensors"
"""The last two are peft's."""
BACKBONE_FOLDER: Final = "backbone"
"""Within a peft export: the untouched backbone as transformers loads it, where it was asked for."""
PLACE: Final = "path/to/this/folder"
"""Stands for an exported folder in what is written into it."""


@dataclass(frozen=True, slots=True)
class FormatEntry:
    """One format.

    Attributes:
        name: as on the command line.
        title: for people.
        sentence: whom it is for.
        files: what is written beside `INFO_FILE` and `CARD_FILE`.
        at_times: what is written only where it is needed, or asked for.
        whole: whether the backbone's weights are in it, so that they are needed here and it is large.
    """

    name: Format
    title: str
    sentence: str
    files: tuple[str, ...]
    whole: bool
    at_times: tuple[str, ...] = ()


FORMATS: Final[tuple[FormatEntry, ...]] = (
    FormatEntry(
        "peft", "Adapter for peft",
        "The low-rank matrices alone, a few MB; loaded onto the backbone by peft, or by this program.",
        (CONFIG_FILE, WEIGHTS_FILE), False, (BACKBONE_FOLDER,),
    ),
    FormatEntry(
        "open-clip", "Whole model for open_clip",
        "Backbone with the adapter folded in; open_clip loads it like any checkpoint.",
        ("open_clip_model.safetensors", "open_clip_config.json"), True,
    ),
    FormatEntry(
        "hugging-face", "Whole model for transformers",
        "The same as a folder for CLIPModel, with processor and tokenizer; for plain CLIPs.",
        ("model.safetensors", "config.json", "preprocessor_config.json",
         "vocab.json", "merges.txt", "tokenizer_config.json"), True,
    ),
    FormatEntry(
        "onnx", "Classifier for ONNX Runtime",
        "Pixels to logits over the run's classes, with a script that needs no PyTorch.",
        ("classifier.onnx", "text_features.npy", "labels.json", "predict.py"), True,
        ("classifier.onnx.data",),
    ),
    FormatEntry(
        "clip-lora", "Matrices for the CLIP-LoRA scripts",
        "One .pt file of the low-rank matrices, for q, k, v and o in a named part of a plain CLIP.",
        ("lora_weights.pt",), False,
    ),
)  # fmt: skip

EXPORTED_FILES: Final = frozenset(
    {INFO_FILE, CARD_FILE}.union(*(one.files + one.at_times for one in FORMATS))
)
"""What an export in any format may write."""


def format_entry(name: str) -> FormatEntry:
    """Look a format up. Raises `ValueError` where there is none of that name."""
    for one in FORMATS:
        if one.name == name:
            return one
    raise ValueError(f"there is no export format '{name}'; take one of {', '.join(get_args(Format))}")
