"""`advclip-gui attack --from PROBE.json`: a saved probe once more, and whether it came out the same."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from advclip_gui.commands.models import ChosenModel, choose_model, have_weights
from advclip_gui.settings import DataSettings

if TYPE_CHECKING:
    from advclip_gui.commands.watcher import Watcher
    from advclip_gui.engine.model_ref import ModelRef
    from advclip_gui.engine.probe_files import SavedProbe
    from advclip_gui.engine.probe_repeat import Repetition

FIXED = (
    "attack_name",
    "eps",
    "norm",
    "steps",
    "step_size",
    "restarts",
    "random_start",
    "label",
    "target",
    "classes",
    "smallest",
    "seed",
)
"""Parameters of `attack` that a saved probe fixes."""


def refuse_fixed(context: typer.Context) -> None:
    """Make sure that nothing is asked for which the file says already.

    Raises:
        typer.BadParameter: something is.
    """
    for name in FIXED:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            option = "--" + name.removesuffix("_name").replace("_", "-")
            raise typer.BadParameter(f"the saved probe says that already; leave out {option}.")


def repeat(
    path: Path,
    image: Path | None,
    model: ChosenModel | None,
    *,
    device: Any,
    download: bool,
    watcher: Watcher,
) -> tuple[Repetition, ModelRef, tuple[str, ...]]:
    """Run a saved probe again.

    Args:
        path: the JSON file.
        image: another picture than the one inside it, None for that one.
        model: another model than the one it names, None for that one.
        device: where to compute.
        download: whether weights may be fetched.
        watcher: progress and cancel.

    Returns:
        What came out, the model, and its prompts.

    Raises:
        UserError: the file, the model or the picture cannot be used.
        Cancelled: through the watcher.
    """
    from advclip_gui.engine.images import open_image
    from advclip_gui.engine.model_input import model_pixels
    from advclip_gui.engine.probe_files import load_probe
    from advclip_gui.engine.probe_repeat import model_of, repeat_probe

    saved = load_probe(path)
    ref = model.ref if model is not None else model_of(saved)
    if model is None and ref.kind == "adapter":
        choose_model(ref.adapter)  # a sentence where the folder has gone
    picture = None if image is None else open_image(image)
    have_weights(ref.backbone, download=download, control=watcher.starting)
    from advclip_gui.engine.session import Session

    templates = _templates(saved, model)
    session = Session(device)
    classifier = session.classifier(ref, saved.class_names, templates, watcher.control)
    found = repeat_probe(
        saved,
        classifier,
        image=None if picture is None else model_pixels(picture, classifier),
        provenance=session.provenance(ref),
        templates=templates,
        control=watcher.control,
    )
    return found, ref, templates


def _templates(saved: SavedProbe, model: ChosenModel | None) -> tuple[str, ...]:
    recorded = saved.model.get("templates")
    if recorded:
        return tuple(str(template) for template in recorded)
    return (model.templates if model is not None else ()) or DataSettings().templates
