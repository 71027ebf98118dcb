"""Write a merged CLIP as transformers' `CLIPModel` reads it, with its processor and tokenizer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from safetensors.torch import save_file

from advclip_gui.engine.errors import CheckpointError
from advclip_gui.engine.files import atomic_file, write_json_atomic, write_text_atomic
from advclip_gui.engine.hugging_face_names import from_open_clip

if TYPE_CHECKING:
    from pathlib import Path

    from advclip_gui.engine.exchange.merged import Merged

_START, _END = "<|startoftext|>", "<|endoftext|>"
_RESAMPLING = {"bilinear": 2, "bicubic": 3}
"""Pillow's numbers."""
_VISION = {"layers": 12, "width": 768, "head_width": 64, "mlp_ratio": 4.0, "patch_size": 16}
_TEXT = {"context_length": 77, "vocab_size": 49408, "width": 512, "heads": 8, "layers": 12, "mlp_ratio": 4.0}
"""What open_clip takes where a configuration does not tell."""


def write_hugging_face(merged: Merged, out: Path) -> None:
    """Write weights, configuration, image processor and tokenizer.

    Raises:
        CheckpointError: the architecture is none that `CLIPModel` can hold (SigLIP, EVA02, MobileCLIP ...).
        StorageError: the disk is full, or there is no permission.
    """
    config = clip_config(merged.config)
    state = {name: value.contiguous() for name, value in from_open_clip(merged.state).items()}
    with atomic_file(out / "model.safetensors") as temporary:
        save_file(state, temporary, metadata={"format": "pt"})
    write_json_atomic(out / "config.json", config)
    write_json_atomic(out / "preprocessor_config.json", _processor(merged))
    _write_tokenizer(merged, out)


def clip_config(config: dict[str, Any]) -> dict[str, Any]:
    """`CLIPConfig` of an architecture given in open_clip's terms.

    Raises:
        CheckpointError: it has parts that `CLIPModel` lacks.
    """
    vision, text = config["vision_cfg"], config["text_cfg"]
    foreign = sorted((vision.keys() - _VISION.keys() - {"image_size"}) | (text.keys() - _TEXT.keys()))
    if foreign or config.get("custom_text") or not isinstance(vision.get("layers", 12), int):
        named = f"; it has no {', '.join(foreign[:3])}" if foreign else ""
        raise CheckpointError(
            f"transformers' CLIPModel cannot hold this architecture{named}.",
            "Export it for open_clip, or as ONNX.",
        )
    vision, text = {"image_size": 224} | _VISION | vision, _TEXT | text
    activation = "quick_gelu" if config.get("quick_gelu") else "gelu"
    shared = {"projection_dim": config["embed_dim"], "hidden_act": activation, "layer_norm_eps": 1e-5}
    return {
        "architectures": ["CLIPModel"],
        "model_type": "clip",
        "projection_dim": config["embed_dim"],
        "logit_scale_init_value": 2.6592,
        "text_config": {
            **shared,
            "model_type": "clip_text_model",
            "hidden_size": text["width"],
            "intermediate_size": int(text["width"] * text["mlp_ratio"]),
            "num_hidden_layers": text["layers"],
            "num_attention_heads": text["heads"],
            "max_position_embeddings": text["context_length"],
            "vocab_size": text["vocab_size"],
            # The tokenizer's last two numbers; features are read at the end of the text.
            "bos_token_id": text["vocab_size"] - 2,
            "eos_token_id": text["vocab_size"] - 1,
            "pad_token_id": text["vocab_size"] - 1,
        },
        "vision_config": {
            **shared,
            "model_type": "clip_vision_model",
            "hidden_size": vision["width"],
            "intermediate_size": int(vision["width"] * vision["mlp_ratio"]),
            "num_hidden_layers": vision["layers"],
            "num_attention_heads": vision["width"] // vision["head_width"],
            "image_size": vision["image_size"],
            "patch_size": vision["patch_size"],
        },
    }


def _processor(merged: Merged) -> dict[str, Any]:
    backbone = merged.backbone
    size = backbone.image_size
    shortest = backbone.resize_mode == "shortest"
    return {
        "image_processor_type": "CLIPImageProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"shortest_edge": size} if shortest else {"height": size, "width": size},
        "resample": _RESAMPLING[backbone.interpolation],
        "do_center_crop": shortest,
        "crop_size": {"height": size, "width": size},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(backbone.mean),
        "image_std": list(backbone.std),
    }


def _write_tokenizer(merged: Merged, out: Path) -> None:
    """CLIP's byte-pair vocabulary as transformers names its files."""
    tokenizer = merged.backbone.tokenizer
    words = {"<start_of_text>": _START, "<end_of_text>": _END}
    vocabulary = {words.get(word, word): number for word, number in tokenizer.encoder.items()}
    write_json_atomic(out / "vocab.json", vocabulary)
    merges = "".join(f"{left} {right}\n" for left, right in tokenizer.bpe_ranks)
    write_text_atomic(out / "merges.txt", "#version: 0.2\n" + merges)
    write_json_atomic(
        out / "tokenizer_config.json",
        {
            "tokenizer_class": "CLIPTokenizer",
            "bos_token": _START,
            "eos_token": _END,
            "unk_token": _END,
            "pad_token": _END,
            "do_lower_case": True,
            "model_max_length": merged.config["text_cfg"].get("context_length", 77),
        },
    )
