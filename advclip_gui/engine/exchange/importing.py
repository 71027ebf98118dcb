"""Adapters from elsewhere: a peft folder or a `.pt` of the CLIP-LoRA scripts, as this program opens them.

Nothing in a file is run. Matrices are checked against the backbone the user names before anything is written.
"""

from __future__ import annotations

import json
import math
import re
import reprlib
from typing import TYPE_CHECKING, Any, Final

from safetensors import SafetensorError
from safetensors.torch import load_file

from advclip_gui.engine.adapters import HUGGING_FACE_BASE, write_adapter
from advclip_gui.engine.blueprint import draw, model_config
from advclip_gui.engine.catalog import entry
from advclip_gui.engine.errors import CheckpointError
from advclip_gui.engine.exchange.clip_lora_file import place_on, read_clip_lora
from advclip_gui.engine.exchange.formats import CONFIG_FILE, INFO_FILE, WEIGHTS_FILE
from advclip_gui.engine.exchange.info import AdapterInfo, record_of
from advclip_gui.engine.exchange.privacy import last_part
from advclip_gui.engine.files import storage_error, write_json_atomic
from advclip_gui.engine.placement import Placement, possible_targets, saved_name, target_name
from advclip_gui.engine.state_dicts import read_state_dict

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor, nn

    from advclip_gui.engine.control import Control
    from advclip_gui.settings import BackboneSettings

_KEY: Final = re.compile(r"(?:base_model\.model\.)?(.+)\.lora_([AB])(?:\.default)?\.weight")
_PICKLED: Final = "adapter_model.bin"
_MOST_BYTES: Final = 2**30
_MOST_CONFIG_BYTES: Final = 2**22
_CHANGES_THE_BASE: Final = ("pissa", "olora", "loftq", "corda", "lora_ga")
"""Ways to start LoRA that also change the weights under it, which the adapter does not hold."""
_OTHER_PARTS: Final = ("rank_pattern", "alpha_pattern", "modules_to_save", "layer_replication",
                       "trainable_token_indices", "target_parameters", "use_dora", "fan_in_fan_out",
                       "lora_bias", "megatron_config", "alora_invocation_tokens", "use_qalora", "use_bdlora",
                       "monteclora_config", "arrow_config", "kasa_config")  # fmt: skip


def import_adapter(
    path: Path,
    out: Path,
    *,
    backbone: BackboneSettings,
    class_names: Sequence[str],
    templates: Sequence[str],
    name: str,
    control: Control,
) -> Path:
    """Write an adapter from elsewhere as a folder that this program opens.

    Args:
        path: a peft folder, or a `.pt` file of the CLIP-LoRA scripts.
        out: an existing, empty folder.
        backbone: what the adapter was trained on; its weights need not be here.
        class_names: C names, one for each logit.
        templates: of the prompts.
        name: what the user calls it.
        control: asked for cancellation.

    Raises:
        CheckpointError: it is no adapter, holds code, or does not fit the backbone; or the classes are
            fewer than two, or one stands twice, or a template has no place for the class.
        BackboneError: there is no such backbone, or it cannot be adapted.
        StorageError: the disk is full, or there is no permission.
        Cancelled: through `control`.
    """
    check_words(class_names, templates)
    control.progress("Importing", 0, 2, path.name)
    model, chosen = draw(model_config(backbone)).model, entry(backbone)
    title = f"the backbone {last_part(backbone.checkpoint) if chosen.name == 'local' else chosen.title}"
    if path.name in {CONFIG_FILE, WEIGHTS_FILE, _PICKLED}:
        path = path.parent
    if path.is_dir():
        place, state = read_peft(path, model, title)
        _check_base(path, backbone)
    else:
        place, state = place_on(read_clip_lora(path), model, title)
    control.progress("Importing", 1, 2, path.name)
    try:
        write_adapter(out, place, state, hub_id=entry(backbone).hub_id)
    except SafetensorError as error:
        raise storage_error(out, error) from error
    info = AdapterInfo(backbone, tuple(class_names), tuple(templates), "", None, name)
    lora = {"rank": place.rank, "alpha": place.alpha, "targets": len(place.targets)}
    write_json_atomic(out / INFO_FILE, record_of(info, "peft", paths=True, lora=lora, imported=path.name))
    control.check()
    return out


def check_words(class_names: Sequence[str], templates: Sequence[str]) -> None:
    """Make sure that a classifier can be made of names and templates.

    Raises:
        CheckpointError: it cannot; says why.
    """
    if len(class_names) < 2 or any(not name.strip() for name in class_names):
        raise CheckpointError(
            "A classifier needs two or more class names.", "Give them in the order of training."
        )
    twice = sorted({name for name in class_names if list(class_names).count(name) > 1})
    if twice:
        raise CheckpointError(f"The class name '{twice[0]}' stands twice.", "Give every class once.")
    wrong = [template for template in templates if template.count("{}") != 1]
    if wrong or not templates:
        raise CheckpointError(
            f"The prompt '{wrong[0] if wrong else ''}' has no single {{}} for the class name.",
            "Write it like: a photo of a {}.",
        )


def _check_base(folder: Path, backbone: BackboneSettings) -> None:
    """Two backbones may have the same shapes: compare what the folder says with what the user says."""
    chosen = HUGGING_FACE_BASE.get(entry(backbone).hub_id, "")
    told = _config(folder).get("base_model_name_or_path")
    if chosen and told in HUGGING_FACE_BASE.values() and told != chosen:
        raise CheckpointError(
            f"The adapter in {folder.name} was trained on {told}, and {entry(backbone).title} was chosen "
            f"({chosen}).",
            "Choose the backbone the adapter was trained on.",
        )


def read_peft(
    folder: Path, model: nn.Module, backbone: str = "this backbone"
) -> tuple[Placement, dict[str, Tensor]]:
    """Read a peft LoRA folder that any program made for transformers' CLIPModel.

    Its matrices tell where it sits, whatever pattern named them in training. peft's usual scaling alpha / r
    is expressed in this program's alpha' / sqrt(r), with alpha' = alpha / sqrt(r).

    Args:
        folder: with ``adapter_config.json`` and ``adapter_model.safetensors`` (or ``.bin``).
        model: the split backbone; it may be on the meta device.
        backbone: what it is called in an error.

    Raises:
        CheckpointError: it is none, is more than LoRA, or does not fit the model.
    """
    config = _config(folder)
    state: dict[str, Tensor] = {}
    for key, tensor in _tensors(folder).items():
        match = _KEY.fullmatch(key)
        if match is None:
            raise CheckpointError(f"The adapter in {folder.name} holds {key}, which is no LoRA matrix.")
        try:
            target = target_name(match[1])
        except ValueError as error:
            raise CheckpointError(
                f"The adapter in {folder.name} sits on {match[1]}, which is no projection in a tower of CLIP."
            ) from error
        state[f"{target}\0{match[2]}"] = tensor.float().contiguous()
    rank, alpha = config["r"], config["lora_alpha"]
    if not config.get("use_rslora"):
        alpha = alpha / math.sqrt(rank)
    found = {key.partition("\0")[0] for key in state}
    _check(folder, model, state, found, rank, backbone)
    order = [name for name in _all_in_order(model) if name in found]
    named = {
        f"base_model.model.{saved_name(target)}.lora_{part}.weight": state[f"{target}\0{part}"]
        for target in order
        for part in "AB"
    }
    return Placement(tuple(order), rank, alpha, float(config.get("lora_dropout") or 0.0)), named


def _config(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG_FILE
    try:
        if path.stat().st_size > _MOST_CONFIG_BYTES:
            raise ValueError("it is too large")
        config = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(config, dict) or config.get("peft_type") != "LORA":
            raise ValueError("it is not LoRA")
        rank, alpha = config["r"], config["lora_alpha"]
        if not isinstance(rank, int) or isinstance(rank, bool) or not 1 <= rank <= 1024:
            raise ValueError(f"r is {reprlib.repr(rank)}")
        if not isinstance(alpha, int | float) or isinstance(alpha, bool) or not 0 < alpha <= 65536:
            raise ValueError(f"lora_alpha is {reprlib.repr(alpha)}")
        dropout = config.get("lora_dropout") or 0.0
        if not isinstance(dropout, int | float) or not 0 <= dropout < 1:
            raise ValueError(f"lora_dropout is {reprlib.repr(dropout)}")
        more = [key for key in _OTHER_PARTS if config.get(key)]
        if config.get("bias", "none") != "none":
            more.append("bias")
        if str(config.get("init_lora_weights", "")).lower().startswith(_CHANGES_THE_BASE):
            more.append(f"init_lora_weights = {config['init_lora_weights']}")
        if more:
            raise ValueError(f"it uses {', '.join(more[:3])}, which plain LoRA does not have")
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{folder} is no adapter: {CONFIG_FILE} is missing.",
            "Choose the folder peft wrote, or a .pt file.",
        ) from error
    except (OSError, ValueError, KeyError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise CheckpointError(f"The adapter in {folder.name} cannot be taken: {what}.") from error
    return config


def _tensors(folder: Path) -> dict[str, Tensor]:
    path = folder / WEIGHTS_FILE
    if not path.is_file():
        path = folder / _PICKLED
    if not path.is_file():
        raise CheckpointError(f"{folder} is no adapter: {WEIGHTS_FILE} is missing.")
    if path.stat().st_size > _MOST_BYTES:
        raise CheckpointError(f"{path.name} is too large for low-rank matrices.")
    if path.name == _PICKLED:
        return read_state_dict(path)
    try:
        tensors: dict[str, Tensor] = load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path.name} is not a safetensors file, or it is cut off.") from error
    return tensors


def _check(
    folder: Path, model: nn.Module, state: dict[str, Tensor], found: set[str], rank: int, backbone: str
) -> None:
    modules: dict[str, Any] = dict(model.named_modules())
    possible = possible_targets(model)
    if not found:
        raise CheckpointError(f"The adapter in {folder.name} holds no matrices.")
    for target in sorted(found):
        if target not in possible:
            raise CheckpointError(
                f"The adapter sits on {saved_name(target)}, which {backbone} does not have.",
                "Choose the backbone the adapter was trained on.",
            )
        out, into = modules[target].weight.shape
        for part, shape in (("A", (rank, into)), ("B", (out, rank))):
            tensor = state.get(f"{target}\0{part}")
            if tensor is None or tuple(tensor.shape) != shape:
                told = "missing" if tensor is None else " x ".join(map(str, tensor.shape))
                raise CheckpointError(
                    f"The adapter does not fit {backbone} at {saved_name(target)}: lora_{part} is {told}, "
                    f"and {shape[0]} x {shape[1]} is needed.",
                    "Choose the backbone the adapter was trained on.",
                )
            if not tensor.isfinite().all():
                raise CheckpointError(f"The adapter holds NaN or infinity at {saved_name(target)}.")


def _all_in_order(model: nn.Module) -> list[str]:
    """Every possible target in the order in which the model names its layers."""
    possible = possible_targets(model)
    return [name for name, _ in model.named_modules() if name in possible]
