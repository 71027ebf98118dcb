"""Which classifier a word on the command line means: a run, an adapter, a checkpoint file, a backbone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from advclip_gui.commands.options import Offline
from advclip_gui.engine.catalog import CATALOG, availability, entry
from advclip_gui.engine.clip_source import CONFIG_FILES, hub_switched_off
from advclip_gui.engine.errors import BackboneError, CheckpointError
from advclip_gui.engine.model_ref import ModelRef
from advclip_gui.engine.prompts import clean_class_name
from advclip_gui.engine.published import HUB_PREFIX
from advclip_gui.settings import BackboneSettings, DataSettings

if TYPE_CHECKING:
    from advclip_gui.engine.control import Control
    from advclip_gui.settings import RunSettings


@dataclass(frozen=True, slots=True)
class ChosenModel:
    """A model and what is known about its classes.

    Attributes:
        ref: for the session.
        class_names: it was trained for, or of the demo for the bundled backbone; else empty.
        templates: its prompts.
        settings: of its run, None for a backbone.
        folder: of the run or adapter, None for a backbone.
        backbone_sha256: recorded with the adapter, "" where that is not known.
    """

    ref: ModelRef
    class_names: tuple[str, ...]
    templates: tuple[str, ...]
    settings: RunSettings | None = None
    folder: Path | None = None
    backbone_sha256: str = ""


def choose_model(word: str, *, checkpoint: str = "", architecture: str = "") -> ChosenModel:
    """Find the model a word means; nothing is loaded.

    Args:
        word: a run folder, an adapter folder, a checkpoint file or folder, ``NAME[:WEIGHTS]`` of the
            registry, ``hf-hub:owner/repository``, or what a run or an adapter of the library is called.
        checkpoint: where the backbone's weights lie now.
        architecture: of a checkpoint file.

    Raises:
        CheckpointError: it is none of them, several, or damaged.
    """
    path = Path(word).expanduser()
    if path.is_dir() and not _is_clip_folder(path):
        return _adapter(path, checkpoint)
    if path.is_dir():
        folder = BackboneSettings(name="local", checkpoint=str(path.absolute()))
        return _zero_shot(folder, f"CLIP ({path.name})", ())
    if path.is_file():
        local = BackboneSettings(name="local", checkpoint=str(path.absolute()))
        if architecture:
            local = local.model_copy(update={"architecture": architecture})
        return _zero_shot(local, f"{local.architecture} ({path.name})", ())
    try:
        backbone = backbone_of(word)
    except CheckpointError as error:
        return _by_name(word, checkpoint, error)
    known = entry(backbone)
    return _zero_shot(backbone, known.title, _bundled_names() if known.name == "advclip-mini" else ())


def backbone_of(word: str) -> BackboneSettings:
    """Find the backbone that ``NAME[:WEIGHTS]`` or ``hf-hub:owner/repository`` means.

    Raises:
        CheckpointError: there is none of that name.
    """
    name, _, weights = (word, "", "") if word.startswith(HUB_PREFIX) else word.partition(":")
    settings = BackboneSettings(name=name, weights=weights) if name != "local" else BackboneSettings(name="-")
    try:
        return settings.model_copy(update={"weights": entry(settings).weights})
    except BackboneError as error:
        if name.startswith(HUB_PREFIX):
            raise
        reason = error
    names = sorted(
        f"{one.name}:{one.weights}".rstrip(":")
        for one in CATALOG
        if one.name != "local" and not one.name.startswith(HUB_PREFIX)
    )
    raise CheckpointError(
        f"There is no run, adapter, checkpoint file or backbone '{word}'.",
        f"Backbones: {', '.join(names)}; 'advclip-gui models' lists the others.",
    ) from reason


def saved_folder(word: str) -> Path:
    """The folder of a run or an adapter: as it is, or by its name or how that begins.

    Raises:
        CheckpointError: there is none, or several are called so.
    """
    from advclip_gui.engine.saved_models import find_saved

    path = Path(word).expanduser()
    return path if path.is_dir() else find_saved(word).path


def _by_name(word: str, checkpoint: str, otherwise: CheckpointError) -> ChosenModel:
    """The run or adapter of that name; where nothing begins so, the error of the other kinds."""
    from advclip_gui.engine.saved_models import NotFoundError, find_saved

    try:
        found = find_saved(word)
    except NotFoundError:
        raise otherwise from None
    return _adapter(found.path, checkpoint, found.name)


def _is_clip_folder(path: Path) -> bool:
    """Whether a folder holds a whole CLIP, and no run or adapter."""
    if (path / "adapter_config.json").exists() or (path / "settings.toml").exists():
        return False
    return any((path / name).is_file() for name in CONFIG_FILES)


def have_weights(backbone: BackboneSettings, *, download: bool | Offline, control: Control) -> None:
    """Make sure the backbone's weights are here, before anything heavy is imported.

    Args:
        backbone: whose weights.
        download: whether the network may be asked for them.
        control: progress and cancel.

    Raises:
        BackboneError: they are not here and may not be fetched, or cannot be.
        Cancelled: through `control`.
    """
    state = availability(backbone)
    if state.here:
        return
    chosen = entry(backbone)
    if not chosen.hub_id or chosen.refused:
        raise BackboneError(state.sentence)
    if not download:
        raise BackboneError(state.sentence, _way_to_fetch(download))
    from advclip_gui.engine.download import fetch_weights

    fetch_weights(backbone, control=control)


def _way_to_fetch(download: bool | Offline) -> str:
    """How the weights would come here after all."""
    if hub_switched_off():
        return "Or unset HF_HUB_OFFLINE and add --download to fetch it now."
    instead = " instead of --offline" if isinstance(download, Offline) else ""
    return f"Or say --download{instead} to fetch it now."


def _adapter(path: Path, checkpoint: str, title: str = "") -> ChosenModel:
    from advclip_gui.engine.export import adapter_info
    from advclip_gui.engine.session import adapter_folder

    adapter_folder(path)
    info = adapter_info(path)
    backbone = info.backbone
    if checkpoint:
        backbone = backbone.model_copy(update={"checkpoint": str(Path(checkpoint).expanduser().absolute())})
    return ChosenModel(
        ref=ModelRef(
            kind="adapter", backbone=backbone, adapter=str(path.absolute()), title=title or path.name
        ),
        class_names=info.class_names,
        templates=info.templates,
        settings=info.settings,
        folder=path,
        backbone_sha256=info.backbone_sha256,
    )


def _zero_shot(backbone: BackboneSettings, title: str, class_names: tuple[str, ...]) -> ChosenModel:
    return ChosenModel(
        ref=ModelRef(kind="zero_shot", backbone=backbone, title=f"{title}, zero-shot"),
        class_names=class_names,
        templates=DataSettings().templates,
    )


def _bundled_names() -> tuple[str, ...]:
    """The classes of the demo photos, which the bundled backbone was made for."""
    from advclip_gui.engine.resources import demo_folder

    folders = sorted(path.name for path in (demo_folder() / "test").iterdir() if path.is_dir())
    return tuple(clean_class_name(folder) for folder in folders)
