"""`advclip-gui train`: one run, from a settings file or the demo preset."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from advclip_gui.commands.models import have_weights
from advclip_gui.commands.options import DebugOption, DownloadOption, JsonOption, check_json_place
from advclip_gui.commands.output import percent_with_interval, table, write_json
from advclip_gui.commands.watcher import Watcher
from advclip_gui.engine.control import Cancelled
from advclip_gui.engine.errors import CheckpointError, SettingsError
from advclip_gui.engine.runs import RunFolder, new_run_dir
from advclip_gui.presets import PRESETS
from advclip_gui.settings import Protocol, RunSettings
from advclip_gui.wording import kept_text, memory_text, not_comparable, plain_radius

if TYPE_CHECKING:
    from collections.abc import Sequence


def train(
    config: Annotated[
        Path | None, typer.Argument(metavar="CONFIG.toml", help="Settings, as a run folder holds them.")
    ] = None,
    demo: Annotated[bool, typer.Option("--demo", help="The bundled photos and backbone.")] = False,
    preset: Annotated[
        str, typer.Option("--preset", metavar="NAME", help=f"Start from {', '.join(PRESETS)}.")
    ] = "",
    protocol: Annotated[
        Protocol | None,
        typer.Option(
            "--protocol",
            help="sound: pixel-space threat model. released: the arithmetic of the authors' published code.",
        ),
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Change one setting; may be repeated."),
    ] = None,
    run_dir: Annotated[
        Path | None, typer.Option("--run-dir", metavar="DIR", help="The run's folder; otherwise a new one.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the checkpoint in --run-dir, if there is one.")
    ] = False,
    download: DownloadOption = False,
    json_file: JsonOption = None,
    debug: DebugOption = False,
) -> None:
    """Train an adapter. Ctrl+C cancels and keeps the last checkpoint."""
    check_json_place(json_file)
    settings, resume = plan(
        config, demo, assignments or (), run_dir, resume, preset=preset, protocol=protocol
    )
    folder = RunFolder(run_dir or new_run_dir(settings))
    if resume and folder.state() == "finished":
        typer.echo(f"The run in {folder.path} is finished already.")
        summary = {"run_dir": str(folder.path), "state": "finished", "result": folder.result()}
    else:
        summary = _run(settings, folder, resume, download)
    show(summary, folder.settings())
    write_json(json_file, "train", summary)


def plan(
    config: Path | None,
    demo: bool,
    assignments: Sequence[str],
    run_dir: Path | None,
    resume: bool,
    *,
    preset: str = "",
    protocol: Protocol | None = None,
) -> tuple[RunSettings, bool]:
    """Return the settings of the run, and whether there is a checkpoint to go on from.

    A protocol sets what it fixes first; single settings that contradict it are then refused.

    Raises:
        typer.BadParameter, SettingsError, CheckpointError: the arguments do not fit together, a
            setting is wrong, or the run folder is taken.
    """
    if (config is not None) + demo + bool(preset) > 1:
        raise typer.BadParameter(
            "give one of a settings file, --demo and --preset, not both.", param_hint="'CONFIG.toml'"
        )
    if preset and preset not in PRESETS:
        raise typer.BadParameter(
            f"there is no preset '{preset}'; take one of {', '.join(PRESETS)}.", param_hint="'--preset'"
        )
    if resume and run_dir is None:
        raise typer.BadParameter("say which run to resume with --run-dir.", param_hint="'--resume'")
    given: RunSettings | None = None
    if config is not None:
        given = RunSettings.from_file(config)
    elif demo or preset:
        given = PRESETS[preset or "demo"].settings
    elif not resume:
        raise typer.BadParameter("give a settings file, or --demo, or --preset.", param_hint="'CONFIG.toml'")
    if given is None and (assignments or protocol):
        hint = "'--set'" if assignments else "'--protocol'"
        raise typer.BadParameter("a run goes on with the settings it was started with.", param_hint=hint)
    if given is not None and protocol is not None:
        given = given.under(protocol)
    if given is not None and assignments:
        given = with_assignments(given, assignments)
    return _fit_to_folder(given, run_dir, resume)


def _fit_to_folder(given: RunSettings | None, run_dir: Path | None, resume: bool) -> tuple[RunSettings, bool]:
    if run_dir is None:
        assert given is not None
        return given, False
    folder = RunFolder(run_dir)
    if (run_dir / "settings.toml").is_file() and folder.state() == "running":
        raise CheckpointError(f"The run in {run_dir} is being trained by another process.")
    if resume and folder.has_checkpoint:
        recorded = folder.settings()
        if given is not None and given != recorded:
            raise SettingsError(
                f"These are not the settings the run in {run_dir} was started with.",
                "Resume with --run-dir alone, or start a new run.",
            )
        return recorded, True
    if given is None:
        raise CheckpointError(f"There is no checkpoint in {run_dir}.", "Give the settings to start it anew.")
    if not resume and run_dir.exists() and (not run_dir.is_dir() or any(run_dir.iterdir())):
        raise CheckpointError(f"{run_dir} is not empty.", "Choose a new folder, or go on with --resume.")
    return given, False


def with_assignments(settings: RunSettings, assignments: Sequence[str]) -> RunSettings:
    """Apply ``section.key=value`` pairs.

    Raises:
        typer.BadParameter: one is no pair, names no setting, or has a wrong value.
    """
    values: dict[str, Any] = {}
    for assignment in assignments:
        key, separator, value = assignment.partition("=")
        if not separator:
            raise typer.BadParameter(
                f"'{assignment}' is not of the form section.key=value.", param_hint="'--set'"
            )
        values[key.strip()] = value
    try:
        return settings.with_values(values)
    except SettingsError as error:
        raise typer.BadParameter(error.message, param_hint="'--set'") from error


def _run(settings: RunSettings, folder: RunFolder, resume: bool, download: bool) -> dict[str, Any]:
    with Watcher(protocol=settings.protocol) as watcher:
        have_weights(settings.backbone, download=download, control=watcher.starting)
        from advclip_gui.engine.training import train as run_training

        try:
            done = run_training(settings, control=watcher.control, run_dir=folder.path, resume=resume)
        except Cancelled:
            if folder.has_checkpoint:
                typer.echo(
                    f"The checkpoint is kept. To go on: advclip-gui train --resume --run-dir '{folder.path}'",
                    err=True,
                )
            raise
    return {"run_dir": str(done.run_dir), "state": done.state, "steps": done.steps, "result": done.result}


def show(summary: dict[str, Any], settings: RunSettings) -> None:
    """Print the final figures of every model under their protocol, and where everything lies."""
    result = summary["result"] or {}
    method = str(result.get("method") or settings.method)
    titles = (("zero_shot", "zero-shot"), ("clip_lora", "CLIP-LoRA"), ("adapter", method))
    models = [(title, result[key]) for key, title in titles if result.get(key)]
    if models:
        _show_figures(models, settings)
    for sentence in (kept_text(result, settings), memory_text(result, settings)):
        if sentence:
            typer.echo(sentence)
    typer.echo(f"Run folder: {summary['run_dir']}")


def _show_figures(models: Sequence[tuple[str, dict[str, Any]]], settings: RunSettings) -> None:
    released = any("fgsm_accuracy" in figures for _, figures in models)
    parts = ("clean", "fgsm", "robust") if released else ("clean", "robust")
    names = {"clean": "clean accuracy", "fgsm": "FGSM", "robust": "PGD" if released else "robust accuracy"}
    rows = [("", *(names[part] for part in parts))]
    for title, figures in models:
        shares = [(figures.get(f"{part}_accuracy"), figures.get(f"{part}_interval")) for part in parts]
        rows.append((title, *(percent_with_interval(share, interval) for share, interval in shares)))
    table(rows)
    figures, monitor = models[-1][1], settings.monitor
    epsilon = plain_radius(figures["epsilon"], monitor.norm)
    note = f"{settings.protocol} protocol, {figures['n']:,} test images, epsilon {epsilon}"
    typer.echo(f"{note[:1].upper()}{note[1:]}; Wilson 95 % intervals.")
    typer.echo(not_comparable(settings.protocol) or "Robust accuracy is an upper bound (FGSM + PGD).")
