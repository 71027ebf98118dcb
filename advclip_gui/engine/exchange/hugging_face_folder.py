"""Write a merged CLIP as transformers' `CLIPModel` reads it, with its processor and tokenizer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from safetensors.torch import save_file

from advclip_gui.engine.errors import CheckpointError
from advclip_gui.engine.exchange.folder import check_room
from advclip_gui.engine.files import atomic_file, write_json_atomic, write_text_atomic
from advclip_gui.engine.hugging_face_names import from_open_clip
from advclip_gui.engine.torchvision_cure import ensure_torchvision

ensure_torchvision()

from open_clip import CLIPTextCfg, CLIPVisionCfg  # noqa: E402 (needs the cure above)

if TYPE_CHECKING:
    from pathlib import Path

    from advclip_gui.engine.exchange.merged import Merged

_START, _END = "<|startoftext|>", "<|endoftext|>"
_RESAMPLING = {"bilinear": 2, "bicubic": 3}
"""Pillow's numbers."""
_VISION = {
    "layers": 12,
    "width": 768,
    "head_width": 64,
    "mlp_ratio": 4.0,
    "patch_size": 16,
    "image_size": 224,
}
_TEXT = {"context_length": 77, "vocab_size": 49408, "width": 512, "heads": 8, "layers": 12, "mlp_ratio": 4.0}
"""What open_clip takes where a configuration does not tell, and `CLIPConfig` has a word for."""
_MODEL = {"custom_text": False, "init_logit_scale": ..., "init_logit_bias": None,
          "nonscalar_logit_scale": False, "cast_dtype": None, "output_dict": ...}  # fmt: skip
"""Further entries of a configuration, with the value that says nothing; `...` where none does."""
_EPSILON = 1e-5
_OTHERWISE = "Export it for open_clip, or as ONNX."


def write_hugging_face(merged: Merged, out: Path) -> None:
    """Write weights, configuration, image processor and tokenizer.

    Raises:
        CheckpointError: the architecture is none that `CLIPModel` can hold (SigLIP, EVA02, MobileCLIP ...).
        StorageError: the disk is full, or there is no permission.
    """
    config, processor = clip_config(merged.config), _processor(merged)
    state = {name: value.contiguous() for name, value in from_open_clip(merged.state).items()}
    check_room(out, sum(value.nbytes for value in state.values()))
    with atomic_file(out / "model.safetensors") as temporary:
        save_file(state, temporary, metadata={"format": "pt"})
    write_json_atomic(out / "config.json", config)
    write_json_atomic(out / "preprocessor_config.json", processor)
    _write_tokenizer(merged, out)


def clip_config(config: dict[str, Any]) -> dict[str, Any]:
    """`CLIPConfig` of an architecture given in open_clip's terms.

    Raises:
        CheckpointError: it has parts that `CLIPModel` lacks.
    """
    vision, text = _held(config["vision_cfg"], CLIPVisionCfg()), _held(config["text_cfg"], CLIPTextCfg())
    more = config.keys() - {"embed_dim", "vision_cfg", "text_cfg", "quick_gelu"}
    foreign = [
        *sorted(vision.keys() - _VISION.keys() - {"layer_norm_eps"}),
        *sorted(text.keys() - _TEXT.keys() - {"layer_norm_eps"}),
        *sorted(key for key in more if _MODEL.get(key) not in (config[key], ...)),
    ]
    if foreign or not isinstance(vision.get("layers", 12), int):
        named = f": nothing there corresponds to {', '.join(foreign[:3])}" if foreign else ""
        raise CheckpointError(f"transformers' CLIPModel cannot hold this architecture{named}.", _OTHERWISE)
    vision, text = _VISION | vision, _TEXT | text
    activation = "quick_gelu" if config.get("quick_gelu") else "gelu"
    shared = {"projection_dim": config["embed_dim"], "hidden_act": activation}
    return {
        "architectures": ["CLIPModel"],
        "model_type": "clip",
        "projection_dim": config["embed_dim"],
        "logit_scale_init_value": 2.6592,
        "text_config": {
            **shared,
            "model_type": "clip_text_model",
            "layer_norm_eps": text.get("layer_norm_eps", _EPSILON),
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
            "layer_norm_eps": vision.get("layer_norm_eps", _EPSILON),
            "hidden_size": vision["width"],
            "intermediate_size": int(vision["width"] * vision["mlp_ratio"]),
            "num_hidden_layers": vision["layers"],
            "num_attention_heads": vision["width"] // vision["head_width"],
            "image_size": _side(vision["image_size"]),
            "patch_size": _side(vision["patch_size"]),
        },
    }


def _held(tower: dict[str, Any], usual: Any) -> dict[str, Any]:
    """A tower without what says the usual, and with the epsilon of its layer norms by transformers' name."""
    kept = {
        key: value
        for key, value in tower.items()
        if key in _VISION or key in _TEXT or value != getattr(usual, key, None)
    }
    norms = kept.get("norm_kwargs")
    if isinstance(norms, dict) and norms.keys() <= {"eps"}:
        del kept["norm_kwargs"]
        kept["layer_norm_eps"] = float(norms.get("eps", _EPSILON))
    return kept


def _side(size: Any) -> int:
    """Of a square; open_clip also takes (height, width)."""
    height, width = size if isinstance(size, list | tuple) else (size, size)
    if height != width:
        raise CheckpointError(
            f"transformers' CLIPModel cannot hold an input or patch of {height} x {width} pixels.", _OTHERWISE
        )
    return int(height)


def _processor(merged: Merged) -> dict[str, Any]:
    backbone = merged.backbone
    size = backbone.image_size
    if backbone.resize_mode not in {"shortest", "squash"}:
        raise CheckpointError(
            "transformers' image processor cannot pad an image to a square, as this backbone wants it.",
            _OTHERWISE,
        )
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
