"""Python lines that load an exported folder, ready to run; free of torch."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from advclip_gui.engine.errors import CheckpointError
from advclip_gui.engine.exchange.formats import BACKBONE_FOLDER, CONFIG_FILE, INFO_FILE

if TYPE_CHECKING:
    from pathlib import Path


def loading_snippet(folder: Path, checkpoint: str = "") -> str:
    """Python lines that load an exported folder.

    Args:
        folder: the folder.
        checkpoint: path of the backbone's weights where they are a local file: never written into a file
            that is handed on, but the lines shown here are to run here.

    Raises:
        CheckpointError: it is none.
    """
    try:
        record: dict[str, Any] = {}
        if (folder / INFO_FILE).is_file():
            record = json.loads((folder / INFO_FILE).read_text(encoding="utf-8"))
        kind = str(record.get("format", "peft"))
        if kind == "peft":
            config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
            record = {**record, "base": config.get("base_model_name_or_path")}
        return snippet(kind, str(folder), {**record, "checkpoint": checkpoint})
    except (OSError, ValueError, AttributeError, KeyError) as error:
        raise CheckpointError(f"{folder} is no exported adapter: {error}.") from error


def snippet(kind: str, place: str, record: dict[str, Any]) -> str:
    """The lines for a format.

    Args:
        kind: the format.
        place: of the folder, as it is to be written.
        record: as in `INFO_FILE`; of it count with peft "base" (the backbone's repository for transformers),
            "with_backbone" (whether it lies in the folder), "for_clip_model" (whether transformers can hold
            it) and "backbone", with open_clip "architecture".

    Raises:
        KeyError: there is no such format.
    """
    write = {
        "peft": _peft, "open-clip": _open_clip, "hugging-face": _hugging_face, "onnx": _onnx,
        "clip-lora": _clip_lora,
    }[kind]  # fmt: skip
    return write(_text(place), record)


def _text(value: object) -> str:
    """A literal: nothing in a name, not even a quote or a line end, becomes code."""
    return (
        json.dumps(str(value), ensure_ascii=False).replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    )


def _peft(place: str, record: dict[str, Any]) -> str:
    if record.get("with_backbone"):
        return (
            f"from peft import PeftModel\nfrom transformers import CLIPModel\n\nfolder = {place}\n"
            f'base = CLIPModel.from_pretrained(folder + "/{BACKBONE_FOLDER}")\n'
            "model = PeftModel.from_pretrained(base, folder)\n"
        )
    if record.get("base"):
        return (
            "from peft import PeftModel\nfrom transformers import CLIPModel\n\n"
            f"base = CLIPModel.from_pretrained({_text(record['base'])})\n"
            f"model = PeftModel.from_pretrained(base, {place})\n"
        )
    backbone = record.get("backbone")
    name = str(backbone.get("checkpoint") or "") if isinstance(backbone, dict) else ""
    checkpoint = record.get("checkpoint") or (f"path/to/{name}" if name else "")
    weights, more = (f"weights = {_text(checkpoint)}\n", ", checkpoint=weights") if checkpoint else ("", "")
    lines = (
        "from pathlib import Path\nfrom advclip_gui.engine.control import Control\n"
        f"from advclip_gui.engine.export import load_classifier\n\nfolder = {place}\n{weights}"
        f"classifier = load_classifier(Path(folder), control=Control(){more})\n"
    )
    if record.get("for_clip_model"):
        lines += (
            "# Or with peft, onto the same backbone as a folder of transformers':\n"
            '# base = transformers.CLIPModel.from_pretrained("path/to/the/backbone")\n'
            "# model = peft.PeftModel.from_pretrained(base, folder)\n"
        )
    return lines


def _open_clip(place: str, record: dict[str, Any]) -> str:
    name = record.get("architecture")
    by_name = (
        "# Or by the architecture's name, preprocessing then being open_clip's usual one:\n"
        f'# open_clip.create_model({_text(name)}, pretrained=folder + "/open_clip_model.safetensors")\n'
        if name
        else ""
    )
    return (
        f"import open_clip\n\nfolder = {place}\n"
        'model, _, preprocess = open_clip.create_model_and_transforms("local-dir:" + folder)\n'
        'tokenizer = open_clip.get_tokenizer("local-dir:" + folder)\nmodel.eval()\n' + by_name
    )


def _hugging_face(place: str, record: dict[str, Any]) -> str:
    return (
        "from transformers import CLIPModel, CLIPProcessor\n\n"
        f"model = CLIPModel.from_pretrained({place}).eval()\n"
        f"processor = CLIPProcessor.from_pretrained({place})\n"
    )


def _onnx(place: str, record: dict[str, Any]) -> str:
    return (
        "# The script beside the model needs onnxruntime, pillow and numpy alone:\n"
        "#     python predict.py photo.jpg\n"
        f"import onnxruntime\n\nfolder = {place}\n"
        'model = onnxruntime.InferenceSession(folder + "/classifier.onnx")\n'
        "# pixels: float32 (N, 3, S, S) in [0, 1]\n"
        '# logits, features = model.run(["logits", "features"], {"pixels": pixels})\n'
    )


def _clip_lora(place: str, record: dict[str, Any]) -> str:
    return (
        "# The CLIP-LoRA scripts load the file by their own function. What is in it:\n"
        f"import torch\n\nfolder = {place}\n"
        'content = torch.load(folder + "/lora_weights.pt", weights_only=True)\n'
        'print(content["metadata"], *content["weights"])\n'
    )
