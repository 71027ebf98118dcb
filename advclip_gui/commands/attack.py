"""`advclip-gui attack`: perturb one image and see whether the prediction flips."""

from __future__ import annotations

from dataclasses import replace
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
    epsilon,
    names,
)
from advclip_gui.commands.output import percent, table, write_json
from advclip_gui.commands.repeat import refuse_fixed, repeat
from advclip_gui.commands.watcher import Watcher
from advclip_gui.engine.attacks.catalog import INFOS
from advclip_gui.settings import DataSettings

if TYPE_CHECKING:
    from advclip_gui.engine.probe import ProbeRequest, ProbeResult, SmallestEpsilon

_SHOWN = 5
_ATTACKS = ", ".join(info.name for info in INFOS)


def attack(
    context: typer.Context,
    image: Annotated[
        Path | None, typer.Argument(metavar="IMAGE", help="The picture to perturb; it is only read.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            metavar="MODEL",
            help="Run or adapter (its folder, name, or how the name begins), checkpoint file or backbone.",
        ),
    ] = None,
    saved_probe: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="PROBE.json",
            help="Repeat a saved probe: its image, model, attack and seed. IMAGE and --model may replace "
            "the file's; exit status 1 where the adversarial pixels are not the same.",
        ),
    ] = None,
    attack_name: Annotated[str, typer.Option("--attack", help=f"One of {_ATTACKS}.")] = "pgd",
    eps: Annotated[str, typer.Option("--eps", help="Largest perturbation.")] = "4/255",
    norm: Annotated[Literal["Linf", "L2"], typer.Option("--norm", help="What epsilon measures.")] = "Linf",
    steps: Annotated[int, typer.Option("--steps", min=1, max=100_000, help="Gradient steps.")] = 10,
    step_size: Annotated[
        str | None, typer.Option("--step-size", help="Length of one step; otherwise 2.5 epsilon / steps.")
    ] = None,
    restarts: Annotated[int, typer.Option("--restarts", min=1, max=1000, help="From random starts.")] = 1,
    random_start: Annotated[
        bool, typer.Option("--random-start/--no-random-start", help="Begin anywhere in the ball.")
    ] = True,
    label: Annotated[
        str | None, typer.Option("--label", metavar="CLASS", help="The true class; otherwise the prediction.")
    ] = None,
    target: Annotated[
        str | None, typer.Option("--target", metavar="CLASS", help="The class to reach; otherwise any other.")
    ] = None,
    classes: Annotated[
        str | None, typer.Option("--classes", metavar="A,B,...", help="Class names, for a bare backbone.")
    ] = None,
    smallest: Annotated[
        bool, typer.Option("--smallest", help="Also search for the smallest epsilon that flips it.")
    ] = False,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the random starts.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Save the adversarial image and the probe here."),
    ] = None,
    device: DeviceOption = "auto",
    checkpoint: CheckpointOption = "",
    architecture: ArchitectureOption = "",
    download: DownloadOption = False,
    json_file: JsonOption = None,
    debug: DebugOption = False,
) -> None:
    """Attack one image and print the probabilities before and after."""
    check_json_place(json_file)
    if saved_probe is not None:
        refuse_fixed(context)
        chosen = (
            None if model is None else choose_model(model, checkpoint=checkpoint, architecture=architecture)
        )
        _repeat(saved_probe, image, chosen, device, download, out, json_file)
        return
    if image is None:
        raise typer.BadParameter("Missing argument 'IMAGE' (or --from with a saved probe).")
    if model is None:
        raise typer.BadParameter("Missing option '--model' (or --from with a saved probe).")
    length = epsilon(eps, norm)
    step = None if step_size is None else epsilon(step_size, norm, "--step-size")
    with Watcher() as watcher:
        from advclip_gui.engine.images import open_image
        from advclip_gui.engine.model_input import model_pixels
        from advclip_gui.engine.probe import ProbeRequest, probe, save_probe, smallest_epsilon
        from advclip_gui.engine.probe_files import model_facts
        from advclip_gui.engine.session import Session

        picture = open_image(image)
        chosen = choose_model(model, checkpoint=checkpoint, architecture=architecture)
        class_names = _class_names(chosen, classes)
        request = ProbeRequest(
            attack=attack_name,
            norm=norm,
            epsilon=length,
            steps=steps,
            step_size=step,
            random_start=random_start,
            restarts=restarts,
            target=_class_index(target, class_names, "--target"),
            seed=seed,
        )
        request.options()
        true_label = _class_index(label, class_names, "--label")
        control = watcher.control
        have_weights(chosen.ref.backbone, download=download, control=watcher.starting)
        templates = chosen.templates or DataSettings().templates
        session = Session(device)
        classifier = session.classifier(chosen.ref, class_names, templates, control)
        pixels = model_pixels(picture, classifier)
        result = probe(classifier, pixels, request, label=true_label, control=control)
        result = replace(result, provenance={**result.provenance, **session.provenance(chosen.ref)})
        edge = (
            smallest_epsilon(classifier, pixels, request, label=true_label, control=control)
            if smallest
            else None
        )
        told = {"title": chosen.ref.title, "kind": chosen.ref.kind, "backbone": chosen.ref.backbone.name}
        facts = model_facts(chosen.ref, templates, true_label=true_label, image=image.name)
        saved = [] if out is None else save_probe(result, out, image.stem, model=facts)
    show(result, edge, saved)
    write_json(json_file, "attack", as_json(result, request, edge, saved, image.name, told))


def _repeat(
    path: Path,
    image: Path | None,
    chosen: ChosenModel | None,
    device: Any,
    download: bool,
    out: Path | None,
    json_file: Path | None,
) -> None:
    with Watcher() as watcher:
        from advclip_gui.engine.probe import save_probe
        from advclip_gui.engine.probe_files import model_facts

        found, ref, templates = repeat(path, image, chosen, device=device, download=download, watcher=watcher)
        result = found.result
        title = path.name if image is None else image.name
        facts = model_facts(ref, templates, image=title)
        saved = [] if out is None else save_probe(result, out, path.stem, model=facts)
    show(result, None, saved)
    typer.echo(found.sentence)
    told = {"title": ref.title, "kind": ref.kind, "backbone": ref.backbone.name}
    document = as_json(result, result.request, None, saved, title, told)
    document["repeated"] = {"same": found.same, "differences": found.differences}
    write_json(json_file, "attack", document)
    if not found.same:
        raise typer.Exit(1)


def _class_names(chosen: ChosenModel, classes: str | None) -> tuple[str, ...]:
    if classes is not None:
        return names(classes, "--classes")
    if not chosen.class_names:
        raise typer.BadParameter(
            "a bare backbone needs to be told the classes, such as --classes cat,dog.",
            param_hint="'--classes'",
        )
    return chosen.class_names


def _class_index(name: str | None, class_names: tuple[str, ...], option: str) -> int | None:
    if name is None:
        return None
    if name not in class_names:
        raise typer.BadParameter(
            f"'{name}' is not one of the classes {', '.join(class_names)}.", param_hint=f"'{option}'"
        )
    return class_names.index(name)


def show(result: ProbeResult, edge: SmallestEpsilon | None, saved: list[Path]) -> None:
    """Print what happened in a sentence, the likeliest classes, and what was saved."""
    typer.echo(result.sentence)
    order = sorted(
        range(len(result.class_names)), key=lambda k: max(result.before[k], result.after[k]), reverse=True
    )
    rows = [("class", "before", "after", "after 8-bit saving")]
    rows += [
        (
            result.class_names[k],
            percent(result.before[k]),
            percent(result.after[k]),
            percent(result.after_8bit[k]),
        )
        for k in order[:_SHOWN]
    ]
    table(rows)
    typer.echo(
        f"{result.request.title}; largest change {result.linf * 255:.4g}/255, L2 {result.l2:.4g}; "
        f"{result.milliseconds:.0f} ms."
    )
    if edge is not None:
        typer.echo(f"Smallest epsilon: {edge.sentence}")
    for path in saved:
        typer.echo(f"Saved {path}")


def as_json(
    result: ProbeResult,
    request: ProbeRequest,
    edge: SmallestEpsilon | None,
    saved: list[Path],
    image: str,
    model: dict[str, str],
) -> dict[str, Any]:
    """Return everything but the pixels; those are in the saved probe."""
    return {
        "image": image,
        "model": model,
        "sentence": result.sentence,
        "request": request.to_json(),
        "epsilon_text": f"{request.epsilon * 255:.10g}/255",
        "class_names": result.class_names,
        "before": result.before,
        "after": result.after,
        "after_8bit": result.after_8bit,
        "before_label": result.before_label,
        "after_label": result.after_label,
        "after_8bit_label": result.after_8bit_label,
        "attacked_label": result.attacked_label,
        "flipped": result.flipped,
        "flipped_after_8bit": result.flipped_after_8bit,
        "linf": result.linf,
        "l2": result.l2,
        "milliseconds": result.milliseconds,
        "steps": [{"step": s.step, "loss": s.loss, "probabilities": s.probabilities} for s in result.steps],
        "smallest_epsilon": None
        if edge is None
        else {
            "low": edge.low,
            "high": edge.high,
            "found": edge.found,
            "attacks": edge.attacks,
            "sentence": edge.sentence,
        },
        "saved": saved,
        "provenance": result.provenance,
    }
