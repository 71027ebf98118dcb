"""What a folder, a file or a fetched repository says about the CLIP in it: weights, shape, preprocessing.

Reads configuration files only; no tensor is loaded and PyTorch is not imported.
"""

from __future__ import annotations

import importlib.util
import json
import zipfile
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from advclip_gui.engine.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Mapping

WEIGHT_FILES: Final = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
    "model.safetensors",
    "pytorch_model.bin",
)
"""Names that repositories give their weights, best first: those that are open_clip's for certain."""
OPEN_CLIP_CONFIG: Final = "open_clip_config.json"
HUGGING_FACE_CONFIG: Final = "config.json"
PREPROCESSOR: Final = "preprocessor_config.json"
PROCESSOR: Final = "processor_config.json"
"""Where transformers 5 keeps the preprocessing of images when it saves a whole processor."""
CONFIG_FILES: Final = (OPEN_CLIP_CONFIG, HUGGING_FACE_CONFIG)
TOKENIZER_FILES: Final = (
    "tokenizer_config.json",
    "tokenizer.json",
    "special_tokens_map.json",
    "vocab.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
)
"""What a tokenizer may consist of; a repository has some of them."""

_RESAMPLING: Final = {0: "nearest", 2: "bilinear", 3: "bicubic"}
_VOCABULARY: Final = 49_408
_DEFAULTS: Final = {"head_width": 64, "mlp_ratio": 4.0}
_HINT: Final = "Take a CLIP folder as Hugging Face or open_clip save it."


@dataclass(frozen=True, slots=True)
class ClipSource:
    """Weights and what stands beside them.

    Attributes:
        weights: file of the tensors.
        config: of the model in open_clip's terms; None where nothing tells, as with a bare file.
        preprocess: what is said about size, mean, std, interpolation and resize mode; may be empty.
        tokenizer: folder with a tokenizer of its own, None where there is none.
        quick_gelu: what the kind of file implies; None where it implies nothing.
    """

    weights: Path
    config: dict[str, Any] | None = None
    preprocess: dict[str, Any] = field(default_factory=dict)
    tokenizer: Path | None = None
    quick_gelu: bool | None = None


def local_source(path: Path) -> ClipSource:
    """Describe a checkpoint file, or a folder as open_clip or Hugging Face save it.

    The weights of such a folder mean the same when they are pointed to themselves.

    Raises:
        CheckpointError: the folder lacks weights or configuration, or holds another model.
    """
    if path.is_dir():
        return _describe(_beside(path), path.name)
    if path.name in WEIGHT_FILES and path.is_file():
        found = _beside(path.parent)
        whole = {name: file for name, file in found.items() if name not in WEIGHT_FILES or file == path}
        try:
            return _describe(whole, path.parent.name)
        except CheckpointError:
            pass  # nothing of a CLIP lies beside it: a file like any other
    return ClipSource(path, quick_gelu=True if is_openai_archive(path) else None)


def _beside(folder: Path) -> dict[str, Path]:
    """The files of a folder that have a meaning here, by name."""
    names = (*WEIGHT_FILES, *CONFIG_FILES, PREPROCESSOR, PROCESSOR, *TOKENIZER_FILES)
    return {name: folder / name for name in names if (folder / name).is_file()}


def repository_source(hub_id: str) -> ClipSource | None:
    """Describe a repository in the hub's cache; None while configuration or weights are not here.

    Raises:
        CheckpointError: it is here, and holds another model.
    """
    found = cached_files(hub_id, (*WEIGHT_FILES, *CONFIG_FILES, PREPROCESSOR, PROCESSOR, *TOKENIZER_FILES))
    if not found.keys() & set(WEIGHT_FILES) or not found.keys() & set(CONFIG_FILES):
        return None
    return _describe(found, hub_id)


def cached_files(hub_id: str, names: tuple[str, ...]) -> dict[str, Path]:
    """Which of a repository's files were fetched before, by name; the network is not asked."""
    if importlib.util.find_spec("huggingface_hub") is None:
        return {}
    from huggingface_hub import constants, try_to_load_from_cache

    # A look into one folder: most repositories were never fetched.
    if not Path(constants.HF_HUB_CACHE, f"models--{hub_id.replace('/', '--')}").is_dir():
        return {}
    found = {name: try_to_load_from_cache(hub_id, name) for name in names}
    return {name: Path(path) for name, path in found.items() if isinstance(path, str)}


def hub_switched_off() -> bool:
    """Whether HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE forbid this process to ask a hub."""
    if importlib.util.find_spec("huggingface_hub") is None:
        return False
    from huggingface_hub import is_offline_mode

    return bool(is_offline_mode())


def has_tokenizer(hub_id: str) -> bool:
    """Whether a tokenizer's repository was fetched before."""
    return bool(cached_files(hub_id, TOKENIZER_FILES[:2]))


def is_openai_archive(path: Path) -> bool:
    """Whether a file is a TorchScript archive, which is how OpenAI published its weights."""
    try:
        with zipfile.ZipFile(path) as archive:
            inside = {name.partition("/")[2] for name in archive.namelist()}
    except (OSError, zipfile.BadZipFile, ValueError):
        return False
    return "constants.pkl" in inside and any(name.startswith("code/") for name in inside)


def _describe(found: dict[str, Path], name: str) -> ClipSource:
    weights = next((found[file] for file in WEIGHT_FILES if file in found), None)
    if weights is None:
        raise CheckpointError(
            f"{name} holds no weights; looked for {', '.join(WEIGHT_FILES)}.",
            _HINT,
        )
    tokenizer = found.get(TOKENIZER_FILES[0], found.get(TOKENIZER_FILES[1]))
    config, preprocess = _configuration(found, name)
    # A Hugging Face folder's tokenizer is CLIP's own, which open_clip brings along.
    if tokenizer is None or OPEN_CLIP_CONFIG not in found:
        return ClipSource(weights, config, preprocess)
    return ClipSource(weights, config, preprocess, tokenizer.parent)


def check_configuration(hub_id: str) -> None:
    """Look at a repository's configuration before its weights are fetched.

    Raises:
        CheckpointError: it describes another kind of model.
    """
    _configuration(cached_files(hub_id, (*CONFIG_FILES, PREPROCESSOR, PROCESSOR)), hub_id)


def _configuration(found: dict[str, Path], name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The model in open_clip's terms, and its preprocessing as far as it is told."""
    if OPEN_CLIP_CONFIG in found:
        content = read_config(found[OPEN_CLIP_CONFIG])
        config = content.get("model_cfg", content)
        if not isinstance(config, dict) or not {"embed_dim", "vision_cfg", "text_cfg"} <= config.keys():
            raise CheckpointError(f"{OPEN_CLIP_CONFIG} of {name} describes no model of open_clip.", _HINT)
        told = content.get("preprocess_cfg")
        return config, dict(told) if isinstance(told, dict) else {}
    if HUGGING_FACE_CONFIG in found:
        config = from_hugging_face(read_config(found[HUGGING_FACE_CONFIG]), name)
        return config, _preprocessing(found)
    raise CheckpointError(f"{name} holds weights, but no {OPEN_CLIP_CONFIG} or config.json.", _HINT)


def told_architecture(config: Mapping[str, Any]) -> str:
    """What to call the shape that a configuration tells: open_clip's name, or its vision tower's figures."""
    name = listed_architectures().get(json.dumps(config, sort_keys=True), "")
    vision = config.get("vision_cfg")
    if name or not isinstance(vision, dict):
        return name or "a shape of its own"
    parts = [str(vision.get("timm_model_name", "ViT"))]
    for key, word in (("layers", "{} blocks"), ("width", "width {}"), ("patch_size", "{} px patches")):
        if isinstance(vision.get(key), int):
            parts.append(word.format(vision[key]))
    return ", ".join(parts)


@lru_cache(maxsize=1)
def listed_architectures() -> dict[str, str]:
    """Open_clip's names by their configurations as sorted JSON; its files are read without importing it."""
    spec = importlib.util.find_spec("open_clip")
    folders = [] if spec is None else spec.submodule_search_locations or []
    names: dict[str, str] = {}
    for folder in folders:
        for path in sorted(Path(folder, "model_configs").glob("*.json")):
            content = json.loads(path.read_text(encoding="utf-8"))
            names.setdefault(json.dumps(content, sort_keys=True), path.stem)
    return names


def read_config(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        CheckpointError: it cannot be read, or is something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}.") from error
    except ValueError as error:
        raise CheckpointError(f"{path.name} is not a JSON file, or it is cut off.", _HINT) from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path.name} is not a configuration.", _HINT)
    return content


def from_hugging_face(config: dict[str, Any], name: str) -> dict[str, Any]:
    """Turn the configuration of transformers' `CLIPModel` into open_clip's.

    Values that transformers leaves out are its defaults, those of OpenAI's ViT-B/32.

    Raises:
        CheckpointError: it is another kind of model, or a CLIP that open_clip cannot build.
    """
    if config.get("model_type") != "clip":
        kind = config.get("model_type") or "no model that is named"
        raise CheckpointError(f"{name} is not a CLIP of Hugging Face (its config.json says: {kind}).", _HINT)
    vision, text = config.get("vision_config") or {}, config.get("text_config") or {}
    acts = {tower.get("hidden_act", "quick_gelu") for tower in (vision, text)}
    if len(acts) > 1 or not acts <= {"gelu", "quick_gelu"}:
        raise CheckpointError(f"{name} has an activation open_clip lacks ({', '.join(sorted(acts))}).", _HINT)
    words = text.get("vocab_size", _VOCABULARY)
    if words != _VOCABULARY:
        raise CheckpointError(f"{name} has {words} words instead of CLIP's {_VOCABULARY}.", _HINT)
    try:
        return _converted(config, vision, text, quick_gelu=acts == {"quick_gelu"})
    except (TypeError, ValueError, ZeroDivisionError) as error:
        raise CheckpointError(f"config.json of {name} is not as it should be ({error}).", _HINT) from error


def _converted(
    config: dict[str, Any], vision: dict[str, Any], text: dict[str, Any], *, quick_gelu: bool
) -> dict[str, Any]:
    width, text_width = int(vision.get("hidden_size", 768)), int(text.get("hidden_size", 512))
    vision_cfg: dict[str, Any] = {
        "image_size": vision.get("image_size", 224),
        "layers": int(vision.get("num_hidden_layers", 12)),
        "width": width,
        "head_width": width // int(vision.get("num_attention_heads", 12)),
        "mlp_ratio": int(vision.get("intermediate_size", 3072)) / width,
        "patch_size": int(vision.get("patch_size", 32)),
    }
    text_cfg: dict[str, Any] = {
        "context_length": int(text.get("max_position_embeddings", 77)),
        "vocab_size": _VOCABULARY,
        "width": text_width,
        "heads": int(text.get("num_attention_heads", 8)),
        "layers": int(text.get("num_hidden_layers", 12)),
        "mlp_ratio": int(text.get("intermediate_size", 2048)) / text_width,
    }
    for tower, made in ((vision, vision_cfg), (text, text_cfg)):
        epsilon = float(tower.get("layer_norm_eps", 1e-5))
        if epsilon != 1e-5:
            made["norm_kwargs"] = {"eps": epsilon}
        for key, usual in _DEFAULTS.items():
            # Left out as open_clip's own files do, so that a known architecture is recognised.
            if made.get(key) == usual:
                del made[key]
    made_config = {
        "embed_dim": int(config.get("projection_dim", 512)),
        "vision_cfg": vision_cfg,
        "text_cfg": text_cfg,
    }
    return {**made_config, "quick_gelu": True} if quick_gelu else made_config


def _preprocessing(found: dict[str, Path]) -> dict[str, Any]:
    """What stands beside the weights about images, in a file of its own or within the whole processor's."""
    if PREPROCESSOR in found:
        return preprocessing_of(read_config(found[PREPROCESSOR]))
    inner = read_config(found[PROCESSOR]).get("image_processor") if PROCESSOR in found else None
    return preprocessing_of(inner) if isinstance(inner, dict) else {}


def preprocessing_of(content: dict[str, Any]) -> dict[str, Any]:
    """Read an image processor's file: size, mean, std, interpolation and resize mode, as far as told."""
    told: dict[str, Any] = {}
    for key, name in (("image_mean", "mean"), ("image_std", "std")):
        value = content.get(key)
        if isinstance(value, list) and len(value) == 3:
            told[name] = value
    if content.get("do_normalize") is False:
        told |= {"mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0]}
    size, crop = content.get("size"), content.get("crop_size")
    if content.get("resample") in _RESAMPLING:
        told["interpolation"] = _RESAMPLING[content["resample"]]
    if isinstance(size, dict) and "height" in size and not content.get("do_center_crop", True):
        told["resize_mode"] = "squash"
    elif size is not None:
        told["resize_mode"] = "shortest"
    final = crop if crop is not None else size
    if isinstance(final, dict):
        final = final.get("height", final.get("shortest_edge"))
    if isinstance(final, int):
        told["size"] = final
    return told
