"""Adapters of the library as lines of the list of runs: what their card says, else nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from advclip_gui.engine.run_list import RunSummary, backbone_title
from advclip_gui.settings import DEMO_FOLDER, BackboneSettings

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from advclip_gui.engine.adapter_library import LibraryAdapter


def adapter_lines(adapters: Iterable[LibraryAdapter], runs: Collection[Path] = ()) -> list[RunSummary]:
    """The lines of adapters, but for those that lie in one of these runs' folders, which have a line."""
    return [adapter_line(one) for one in adapters if one.folder not in runs]


def adapter_line(one: LibraryAdapter) -> RunSummary:
    """Say of an adapter what its card does; its state is "adapter", or "missing" where it is not usable."""
    info = one.info
    settings = None if info is None else info.settings
    found = _figures(one, "adapter")
    bare = _figures(one, "zero_shot")
    images, epsilon = found.get("n"), found.get("epsilon")
    if not isinstance(epsilon, int | float):
        epsilon = None if settings is None else settings.monitor.epsilon
    norm = "Linf" if settings is None else settings.monitor.norm
    protocol = "" if settings is None else settings.protocol
    return RunSummary(
        path=one.folder,
        name=one.name,
        data="" if settings is None else _data(settings.data.folder),
        backbone="" if info is None else backbone_title(info.backbone),
        method="" if settings is None else settings.method,
        protocol=_one_of(found.get("protocol"), ("sound", "released")) or protocol,
        shots=None if settings is None else settings.data.shots,
        epsilon=epsilon,
        norm=_one_of(found.get("norm"), ("Linf", "L2")) or norm,
        clean=_share(found, "clean_accuracy"),
        robust=_share(found, "robust_accuracy"),
        zero_shot_clean=_share(bare, "clean_accuracy"),
        zero_shot_robust=_share(bare, "robust_accuracy"),
        n=images if isinstance(images, int) else None,
        started=one.added,
        state="missing" if one.problem or info is None else "adapter",
        backbone_settings=BackboneSettings() if info is None else info.backbone,
        has_adapter=info is not None and not one.problem,
        has_checkpoint=False,
        note=one.note,
        key=one.key,
        problem=one.problem,
    )


def _figures(one: LibraryAdapter, model: str) -> dict[str, Any]:
    found = one.info.figures.get(model) if one.info is not None else None
    return found if isinstance(found, dict) else {}


def _data(folder: str) -> str:
    return "Demo photos" if folder == DEMO_FOLDER else Path(folder).name


def _one_of(value: object, known: tuple[str, ...]) -> str:
    return str(value) if value in known else ""


def _share(figures: dict[str, Any], key: str) -> float | None:
    value = figures.get(key)
    return float(value) if isinstance(value, int | float) and 0 <= value <= 1 else None
