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
from advclip_gui.engine.attacks.catalog import INFOS, MAX_RESTARTS, MAX_STEPS
from advclip_gui.engine.attacks.tiers import TIERS, plan
from advclip_gui.settings import DataSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from advclip_gui.commands.selection import Selection
    from advclip_gui.engine.control import Control
    from advclip_gui.engine.evaluation_result import Evaluation
    from advclip_gui.engine.preparation import ImageSet

_TIERS = ", ".join(TIERS)
_ATTACKS = ", ".join(info.name for info in INFOS)


def evaluate(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...",
            help="Run or adapter (its folder, name, or how the name begins), checkpoint file or backbone. "
            "Several are evaluated on the same images, those of the first one.",
        ),
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
            max=MAX_STEPS,
            help="Of the gradient attacks; otherwise the tier's.",
        ),
    ] = None,
    restarts: Annotated[
        int | None,
        typer.Option("--restarts", min=1, max=MAX_RESTARTS, help="From random starts; otherwise the tier's."),
    ] = None,
    queries: Annotated[
        int | None,
        typer.Option(
            "--queries",
            min=1,
            max=MAX_STEPS,
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
        from advclip_gui.engine.evaluation_journal import EarlierTime

        plan(attack, steps=steps, restarts=restarts, queries=queries)
        chosen = [choose_model(model, checkpoint=checkpoint, architecture=architecture) for model in models]
        for one in chosen:
            have_weights(one.ref.backbone, download=download, control=watcher.starting)
        journals = [_journal(resume, number) for number in range(len(chosen))]
        earlier = [EarlierTime(journal) for journal in journals]
        from advclip_gui.commands.selection import select
        from advclip_gui.engine.seen_images import with_seen_images
        from advclip_gui.engine.session import Session

        selection = select(chosen[0], folder, part, images, watcher.control)
        session = Session(device)
        evaluations = []
        titles = _titles(models, chosen)
        for one, title, journal, before in zip(chosen, titles, journals, earlier, strict=True):
            classifier, loaded, provenance = _prepare(one, selection, session, watcher.control)
            evaluation = run_evaluation(
                classifier,
                loaded.images,
                loaded.labels,
                epsilons=levels,
                attack=attack,
                norm=norm,
                steps=steps,
                restarts=restarts,
                queries=queries,
                batch_size=batch_size,
                seed=seed,
                control=watcher.control,
                model_name=title,
                provenance=provenance,
                resume_from=journal,
            )
            read = set(loaded.paths)
            samples = [sample for sample in selection.samples if sample.path in read]
            evaluations.append(
                with_seen_images(
                    before.added_to(evaluation), one.ref, selection.root, samples, watcher.control
                )
            )
    for number, evaluation in enumerate(evaluations):
        if number:
            typer.echo()
        show(evaluation, selection)
    if report is not None:
        from advclip_gui.engine.report import save_report

        typer.echo(f"Saved {save_report(evaluations, report)}")
    if len(evaluations) == 1:
        write_json(json_file, "evaluate", evaluations[0].to_json())
    else:
        write_json(json_file, "evaluate", {"evaluations": [one.to_json() for one in evaluations]})


def _titles(words: Sequence[str], chosen: Sequence[ChosenModel]) -> list[str]:
    """What the models are called: their titles, or the words for them where two have the same."""
    titles = [one.ref.title for one in chosen]
    return titles if len(set(titles)) == len(titles) else list(words)


def _journal(path: Path | None, number: int) -> Path | None:
    """A file for each model: FILE, FILE-2 and so on."""
    if path is None or number == 0:
        return path
    return path.with_name(f"{path.stem}-{number + 1}{path.suffix}")


def _prepare(
    chosen: ChosenModel, selection: Selection, session: Any, control: Control
) -> tuple[Any, ImageSet, dict[str, Any]]:
    """Classifier, images as it takes them, and where both come from."""
    from advclip_gui.engine.evaluation_provenance import evaluation_provenance
    from advclip_gui.engine.model_input import input_form
    from advclip_gui.engine.preparation import load_set

    templates = chosen.templates or DataSettings().templates
    classifier = session.classifier(chosen.ref, selection.class_names, templates, control)
    loaded = load_set(selection.root, selection.samples, input_form(classifier), control)
    provenance = evaluation_provenance(
        session,
        chosen.ref,
        data=selection.root.name,
        split=selection.split,
        split_digest=selection.digest,
        templates=templates,
    )
    return classifier, loaded, provenance


def show(evaluation: Evaluation, selection: Selection) -> None:
    """Print the figures, and every reason to doubt them."""
    from advclip_gui.engine.probe_types import length_text
    from advclip_gui.engine.report_text import label_of

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
    typer.echo(
        f"\nRobust accuracy: {label_of(evaluation)}. Wilson 95 % intervals; {evaluation.seconds:.1f} s."
    )
    for sentence in evaluation.notes:
        typer.echo(f"Note: {sentence}")
    for sentence in evaluation.warnings:
        typer.echo(f"Warning: {sentence}")
