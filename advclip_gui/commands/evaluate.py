"""`advclip-gui evaluate`: clean and robust accuracy of a model on a set of images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from advclip_gui.commands.models import ChosenModel, choose_model, have_weights
from advclip_gui.commands.options import (
    ArchitectureOption,
    CheckpointOption,
    DebugOption,
    DeviceOption,
    DownloadOption,
    JsonOption,
    check_json_place,
    check_report_place,
    epsilons,
)
from advclip_gui.commands.output import percent, percent_with_interval, table, write_json
from advclip_gui.commands.watcher import Watcher
from advclip_gui.engine.attacks.catalog import INFOS
from advclip_gui.engine.attacks.tiers import TIERS, plan
from advclip_gui.settings import DataSettings

if TYPE_CHECKING:
    from advclip_gui.commands.selection import Selection
    from advclip_gui.engine.control import Control
    from advclip_gui.engine.evaluation_result import Evaluation

_TIERS = ", ".join(TIERS)
_ATTACKS = ", ".join(info.name for info in INFOS)


def evaluate(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="Run folder, adapter folder, checkpoint file or backbone.")
    ],
    folder: Annotated[
        str | None, typer.Option("--data", metavar="FOLDER", help="Other images than the run's; or 'demo'.")
    ] = None,
    attack: Annotated[
        str, typer.Option("--attack", help=f"A tier ({_TIERS}), or one of {_ATTACKS}.")
    ] = "quick",
    eps: Annotated[str, typer.Option("--eps", help="Lengths, separated by commas.")] = "1/255,2/255,4/255",
    norm: Annotated[Literal["Linf", "L2"], typer.Option("--norm", help="What epsilon measures.")] = "Linf",
    steps: Annotated[
        int | None,
        typer.Option(
            "--steps",
            min=1,
            max=10_000,
            help="Of the gradient attacks; otherwise the tier's.",
        ),
    ] = None,
    restarts: Annotated[
        int | None,
        typer.Option("--restarts", min=1, max=1000, help="From random starts; otherwise the tier's."),
    ] = None,
    queries: Annotated[
        int | None,
        typer.Option(
            "--queries",
            min=1,
            max=100_000,
            help="Of attacks without gradient; otherwise the tier's.",
        ),
    ] = None,
    part: Annotated[
        Literal["test", "val", "train", "all"], typer.Option("--split", help="Which part of the images.")
    ] = "test",
    images: Annotated[int, typer.Option("--images", min=0, help="At most so many; 0 takes all.")] = 1000,
    batch_size: Annotated[int | None, typer.Option("--batch-size", min=1, help="Images at a time.")] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the random starts.")] = 0,
    device: DeviceOption = "auto",
    checkpoint: CheckpointOption = "",
    architecture: ArchitectureOption = "",
    download: DownloadOption = False,
    report: Annotated[
        Path | None,
        typer.Option(
            "--report", metavar="FILE", help="Write a report; the ending .html, .json or .csv says which."
        ),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            "--resume", metavar="FILE", help="Keep what is found in FILE; if cut off, go on from it."
        ),
    ] = None,
    json_file: JsonOption = None,
    debug: DebugOption = False,
) -> None:
    """Measure clean accuracy and, under attack, robust accuracy with 95 % intervals."""
    check_json_place(json_file)
    check_report_place(report)
    levels = epsilons(eps, norm)
    with Watcher() as watcher:
        from advclip_gui.engine.evaluation import evaluate as run_evaluation

        plan(attack, steps=steps, restarts=restarts, queries=queries)
        chosen = choose_model(model, checkpoint=checkpoint, architecture=architecture)
        have_weights(chosen.ref.backbone, download=download, control=watcher.starting)
        classifier, selection, pixels, labels, provenance = _prepare(
            chosen, folder, part, images, device, watcher.control
        )
        evaluation = run_evaluation(
            classifier,
            pixels,
            labels,
            epsilons=levels,
            attack=attack,
            norm=norm,
            steps=steps,
            restarts=restarts,
            queries=queries,
            batch_size=batch_size,
            seed=seed,
            control=watcher.control,
            model_name=chosen.ref.title,
            provenance=provenance,
            resume_from=resume,
        )
    show(evaluation, selection)
    if report is not None:
        from advclip_gui.engine.report import save_report

        typer.echo(f"Saved {save_report([evaluation], report)}")
    write_json(json_file, "evaluate", evaluation.to_json())


def _prepare(
    chosen: ChosenModel, folder: str | None, part: Any, limit: int, device: Any, control: Control
) -> tuple[Any, Selection, Any, Any, dict[str, Any]]:
    from advclip_gui.commands.selection import select
    from advclip_gui.engine.preparation import load_set
    from advclip_gui.engine.session import Session

    selection = select(chosen, folder, part, limit, control)
    session = Session(device)
    templates = chosen.templates or DataSettings().templates
    classifier = session.classifier(chosen.ref, selection.class_names, templates, control)
    loaded = load_set(selection.root, selection.samples, image_form(classifier), control)
    provenance = {
        "data": selection.root.name,
        "split": selection.split,
        "templates": list(templates),
        **hashes(chosen, session, control),
    }
    return classifier, selection, loaded.images, loaded.labels, provenance


class _ImageForm:
    """How a classifier wants its images; what `load_set` reads of a backbone."""

    def __init__(self, classifier: Any) -> None:
        self.image_size: int = classifier.image_size
        self.interpolation: str = getattr(classifier, "interpolation", "bicubic")
        self.resize_mode: str = getattr(classifier, "resize_mode", "shortest")


def image_form(classifier: Any) -> Any:
    """Return size, interpolation and resize mode of a classifier's input."""
    return _ImageForm(classifier)


def hashes(chosen: ChosenModel, session: Any, control: Control) -> dict[str, str]:
    """Return SHA-256 of the weights a figure is about."""
    from advclip_gui.engine.adapters import WEIGHTS_FILE
    from advclip_gui.engine.backbones import file_sha256
    from advclip_gui.engine.session import adapter_folder

    if chosen.ref.kind == "adapter":
        weights = adapter_folder(Path(chosen.ref.adapter)) / WEIGHTS_FILE
        return {
            "backbone_sha256": chosen.backbone_sha256,
            "adapter_sha256": file_sha256(weights, control),
        }
    return {"backbone_sha256": session.backbone(chosen.ref.backbone, control).sha256}


def show(evaluation: Evaluation, selection: Selection) -> None:
    """Print the figures, and every reason to doubt them."""
    from advclip_gui.engine.probe_types import length_text

    typer.echo(f"{evaluation.model} on {evaluation.n} images of {selection.root.name}, {selection.split}")
    typer.echo(
        f"Clean accuracy  {percent_with_interval(evaluation.clean_accuracy, evaluation.clean_interval)}\n"
    )
    rows = [("epsilon", "robust accuracy", "after 8-bit saving", "accuracy left after each attack")]
    for result in evaluation.epsilons:
        rows.append(
            (
                length_text(result.epsilon, evaluation.norm),
                percent_with_interval(result.robust_accuracy, result.interval),
                percent(result.robust_after_8bit),
                ", ".join(f"{title} {percent(left)}" for title, left in result.waterfall.items()),
            )
        )
    table(rows)
    typer.echo(f"\nRobust accuracy: {evaluation.label}. Wilson 95 % intervals; {evaluation.seconds:.1f} s.")
    for sentence in evaluation.warnings:
        typer.echo(f"Warning: {sentence}")
