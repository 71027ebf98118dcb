"""Look at an adapter before it is opened or imported: what it is, and what it does not say of itself."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from advclip_gui.engine.adapter_facts import adapter_facts
from advclip_gui.engine.adapter_library import why_unusable
from advclip_gui.engine.catalog import all_entries
from advclip_gui.engine.errors import CheckpointError, UserError
from advclip_gui.engine.exchange.formats import CONFIG_FILE, FORMATS, INFO_FILE, WEIGHTS_FILE
from advclip_gui.engine.exchange.info import AdapterInfo, adapter_info
from advclip_gui.settings import BackboneSettings

if TYPE_CHECKING:
    from advclip_gui.engine.control import Control

_PICKLED: Final = "adapter_model.bin"
_PT: Final = (".pt", ".pth")
_MOST_BYTES: Final = 2**22
_MERGED: Final = {one.name: one for one in FORMATS if one.whole}
_OPENAI: Final = re.compile(r"openai/clip-vit-(base|large)-patch(\d+)")
"""Under these names OpenAI's models are known to transformers."""
_PARENTS: Final = 5
"""Folders above a file in which the name of a backbone may stand."""


@dataclass(frozen=True, slots=True)
class AdapterPlan:
    """What was found, and how it is taken in.

    Attributes:
        path: the folder or file.
        way: "open" where it lies, or "import" a copy, which needs a backbone, classes and prompts.
        name: what it is or could be called.
        told: what it is, in a sentence.
        backbone: under it, as it says or as its name lets one guess; None where nothing does.
        certain: whether it says so itself.
        class_names: in the order of its logits; () where it does not say.
        templates: of its prompts, likewise.
        missing_checkpoint: name of the backbone's own file, where that is not on this machine; else "".
    """

    path: Path
    way: Literal["open", "import"]
    name: str
    told: str
    backbone: BackboneSettings | None = None
    certain: bool = False
    class_names: tuple[str, ...] = ()
    templates: tuple[str, ...] = ()
    missing_checkpoint: str = ""


def needs_torch(path: Path) -> bool:
    """Whether `look_at_adapter` reads tensors at this place, or only what stands beside them."""
    return path.is_file() and path.name not in {CONFIG_FILE, WEIGHTS_FILE, _PICKLED}


def may_be_adapter(path: Path) -> bool:
    """Whether a place looks like an adapter to be opened, by names alone; a run folder does not."""
    if path.is_file():
        return path.suffix.lower() in _PT or path.name in {CONFIG_FILE, WEIGHTS_FILE, INFO_FILE}
    return any((path / name).is_file() for name in (CONFIG_FILE, INFO_FILE)) or len(_pt_files(path)) == 1


def look_at_adapter(path: Path, control: Control) -> AdapterPlan:
    """Find out what it takes to use an adapter; nothing is written, and nothing in a file is run.

    Args:
        path: a peft folder or one of its files, a folder that Export wrote, a run folder, or a `.pt` of the
            CLIP-LoRA scripts.
        control: asked for cancellation.

    Raises:
        CheckpointError: it is no adapter, holds code, or is damaged.
    """
    control.check()
    path = path.expanduser().absolute()
    if not path.exists():
        raise CheckpointError(f"There is no file or folder {path}.")
    if path.is_file() and path.name in {CONFIG_FILE, WEIGHTS_FILE, _PICKLED, INFO_FILE}:
        path = path.parent
    if path.is_file():
        return _look_at_pt(path)
    if not why_unusable(path):
        return _look_at_own(path)
    if (path / CONFIG_FILE).is_file():
        return _look_at_peft(path)
    files = _pt_files(path)
    if len(files) == 1:
        return _look_at_pt(files[0])
    raise _no_adapter(path)


def _look_at_own(path: Path) -> AdapterPlan:
    info = adapter_info(path)
    local = info.backbone.name == "local"
    gone = local and not _exists(info.backbone.checkpoint)
    return AdapterPlan(
        path=path,
        way="open",
        name=info.name or path.name,
        told=_told("An adapter of this program", adapter_facts(path), info),
        backbone=info.backbone,
        certain=True,
        class_names=info.class_names,
        templates=info.templates,
        missing_checkpoint=info.backbone.checkpoint if gone else "",
    )


def _look_at_peft(path: Path) -> AdapterPlan:
    if not any((path / name).is_file() for name in (WEIGHTS_FILE, _PICKLED)):
        raise CheckpointError(f"{path} is no adapter: {WEIGHTS_FILE} is missing.")
    config = _json(path / CONFIG_FILE)
    if config.get("peft_type", "LORA") != "LORA":
        raise CheckpointError(f"The adapter in {path.name} is {config['peft_type']}, which is no LoRA.")
    plan = AdapterPlan(path, "import", path.name, _told("An adapter that peft wrote", adapter_facts(path)))
    return _knowing(plan, path, _named_base(str(config.get("base_model_name_or_path") or "")))


def _look_at_pt(path: Path) -> AdapterPlan:
    from advclip_gui.engine.exchange.clip_lora_file import read_clip_lora

    found = read_clip_lora(path)
    towers = "both towers" if found.encoder == "both" else f"the {found.encoder} tower"
    told = (
        f"Matrices of the CLIP-LoRA scripts: rank {found.rank}, {', '.join(found.params)} in "
        f"{len(found.layers)} blocks of {towers}."
    )
    plan = AdapterPlan(path, "import", path.stem, told)
    return _knowing(plan, path.parent, _backbone_in_path(path))


def _knowing(plan: AdapterPlan, folder: Path, guess: BackboneSettings | None) -> AdapterPlan:
    """Add what a card beside the files says, or else a guess at the backbone."""
    try:
        info = adapter_info(folder) if (folder / INFO_FILE).is_file() else None
    except UserError:
        info = None
    if info is None:
        return replace(plan, backbone=guess)
    known = _exists(info.backbone.checkpoint) or info.backbone.name != "local"
    return replace(
        plan,
        name=info.name or plan.name,
        backbone=info.backbone,
        certain=known,
        class_names=info.class_names,
        templates=info.templates,
    )


def _named_base(name: str) -> BackboneSettings | None:
    """The backbone that transformers knows under a name."""
    match = _OPENAI.fullmatch(name)
    wanted = f"ViT-{match[1][0].upper()}-{match[2]}" if match else ""
    for one in all_entries():
        if (one.hub_id and one.hub_id == name) or (one.weights == "openai" and one.name == wanted):
            return BackboneSettings(name=one.name, weights=one.weights)
    return None


def _backbone_in_path(path: Path) -> BackboneSettings | None:
    """The scripts keep their files in a folder named after the backbone, such as "vitb16"."""
    short = {re.sub(r"[^a-z0-9]", "", one.name.lower()): one for one in reversed(all_entries())
             if one.weights == "openai"}  # fmt: skip
    for parent in list(path.parents)[:_PARENTS]:
        found = short.get(re.sub(r"[^a-z0-9]", "", parent.name.lower()))
        if found is not None:
            return BackboneSettings(name=found.name, weights=found.weights)
    return None


def _no_adapter(path: Path) -> CheckpointError:
    kind = _json(path / INFO_FILE).get("format") if (path / INFO_FILE).is_file() else None
    if kind in _MERGED:
        return CheckpointError(
            f"{path.name} is a whole model ({_MERGED[kind].title}), and no adapter.",
            "Choose it as backbone on the Recipe page, or export the adapter for peft.",
        )
    return CheckpointError(
        f"There is no adapter in {path}.",
        "Choose a folder that peft or Export wrote, or a .pt file of the CLIP-LoRA scripts.",
    )


def _told(what: str, facts: dict[str, str], info: AdapterInfo | None = None) -> str:
    parts = [f"rank {facts['Rank r']}"] if "Rank r" in facts else []
    parts += [_matrices(facts["Adapted matrices"])] if "Adapted matrices" in facts else []
    parts += [facts["Backbone"], f"{len(info.class_names):,} classes"] if info and "Backbone" in facts else []
    return f"{what}: {', '.join(parts)}." if parts else f"{what}."


def _matrices(counted: str) -> str:
    """Write "2 matrices (1 vision, 1 text)" for "2 (1 vision, 1 text)"."""
    count, _, towers = counted.partition(" ")
    return f"{count} {'matrix' if count == '1' else 'matrices'} {towers}".rstrip()


def _json(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError("it is too large")
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise TypeError("it is no table")
    except (OSError, ValueError, TypeError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}.") from error
    return found


def _pt_files(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.suffix.lower() in _PT and path.is_file())
    except OSError:
        return []


def _exists(checkpoint: str) -> bool:
    return bool(checkpoint) and Path(checkpoint).is_absolute() and Path(checkpoint).exists()
