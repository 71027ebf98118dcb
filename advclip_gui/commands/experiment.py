"""`advclip-gui experiment`: a recipe over shots, seeds and methods, ending in one table and one plot."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from advclip_gui.commands.experiment_definition import read_definition
from advclip_gui.commands.models import have_weights
from advclip_gui.commands.options import DebugOption, DownloadOption, JsonOption, check_json_place
from advclip_gui.commands.output import table, write_json
from advclip_gui.commands.watcher import Watcher
from advclip_gui.engine.control import Cancelled
from advclip_gui.engine.errors import CheckpointError
from advclip_gui.engine.experiments.definition import METHODS, ExperimentSettings
from advclip_gui.engine.experiments.events import CellDone, ExperimentProgress
from advclip_gui.engine.experiments.figures import read_figures
from advclip_gui.engine.experiments.folder import ExperimentFolder, experiments_root, new_experiment_dir
from advclip_gui.engine.experiments.presets import PRESET_NAMES
from advclip_gui.engine.experiments.tables import HEAD, SUFFIXES, as_json, cells_of, save_all, save_figures
from advclip_gui.engine.transfer_meter import duration
from advclip_gui.presets import PRESETS

if TYPE_CHECKING:
    from advclip_gui.engine.control import Control
    from advclip_gui.engine.events import Event
    from advclip_gui.engine.experiments.figures import Figures
    from advclip_gui.engine.session import Session

experiment = typer.Typer(
    help="Run a recipe over shots, seeds and methods; ends in one table and one plot.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

FolderArgument = Annotated[
    Path,
    typer.Argument(metavar="DIR", help="The experiment's folder, or its name below the usual place."),
]
PresetOption = Annotated[
    str, typer.Option("--preset", metavar="NAME", help=f"Start from {', '.join(PRESET_NAMES)}.")
]
ConfigOption = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="A definition, as 'new' writes it.")
]
DataOption = Annotated[
    str,
    typer.Option(
        "--data",
        metavar="FOLDER",
        help="The images to train on; without --preset or --config, the paper's experiment on them.",
    ),
]
RecipeOption = Annotated[
    str,
    typer.Option(
        "--recipe",
        metavar="NAME|FILE",
        help=f"What every run does, but for its data: {', '.join(PRESETS)}, or a settings file.",
    ),
]
TargetOption = Annotated[
    list[str] | None,
    typer.Option("--target", metavar="FOLDER", help="Other images to test on; may be repeated."),
]
ShotsOption = Annotated[str, typer.Option("--shots", help="Separated by commas, such as 1,2,4,8,16.")]
SeedsOption = Annotated[str, typer.Option("--seeds", help="Separated by commas, such as 1,2,3.")]
MethodsOption = Annotated[
    str, typer.Option("--methods", help=f"Separated by commas, of {', '.join(METHODS)}.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change one setting, such as base.training.steps=500 or evaluation.images=200.",
    ),
]


@experiment.command("run")
def run_command(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="[DIR]", help="The experiment's folder; otherwise a new one."),
    ] = None,
    preset: PresetOption = "",
    config: ConfigOption = None,
    data: DataOption = "",
    recipe: RecipeOption = "",
    target: TargetOption = None,
    shots: ShotsOption = "",
    seeds: SeedsOption = "",
    methods: MethodsOption = "",
    assignments: SetOption = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only", metavar="CELL", help="Do this part alone, as 'status' names it; may be repeated."
        ),
    ] = None,
    download: DownloadOption = False,
    json_file: JsonOption = None,
    debug: DebugOption = False,
) -> None:
    """Do what is left of an experiment. Ctrl+C cancels; the same command later goes on from there.

    The paper's experiment on a folder: 1, 2, 4, 8, 16 shots; three seeds; zero-shot, CLIP-LoRA, AdvCLIP-LoRA:

        advclip-gui experiment run --data FOLDER

    Three numbers of shots, five seeds, and the authors' protocol instead of the sound one:

        advclip-gui experiment run --data FOLDER --recipe released --shots 1,4,16 --seeds 1,2,3,4,5

    Base to new classes; then trained on one folder and tested on two others:

        advclip-gui experiment run --preset base-to-new --data FOLDER

        advclip-gui experiment run --data FOLDER --target OTHER --target ANOTHER

    Go on with one that was cut off; run a part that failed again:

        advclip-gui experiment run DIR

        advclip-gui experiment run DIR --only clip-lora-4-shots-seed-2
    """
    check_json_place(json_file)
    given = read_definition(preset, config, data, recipe, target, shots, seeds, methods, assignments)
    place = _existing(folder) if folder is not None else None
    if given is None:
        if place is None:
            raise typer.BadParameter(
                "give --data for the paper's experiment, or --preset, or --config, or the folder of one that "
                "was begun.",
                param_hint="'DIR'",
            )
        given = place.settings()
    path = place.path if place is not None else folder or new_experiment_dir(given)
    with ExperimentWatcher() as watcher:
        have_weights(given.base.backbone, download=download, control=watcher.starting)
        from advclip_gui.engine.experiments.run import run_experiment
        from advclip_gui.engine.session import Session

        typer.echo(f"Experiment folder: {path}", err=True)
        session = Session(given.base.device)
        if place is None:
            typer.echo(f"{amount(given, session, watcher.starting)}.", err=True)
        try:
            result = run_experiment(
                given, session=session, control=watcher.control, path=path, only=only or ()
            )
        except Cancelled:
            typer.echo(f"What is done is kept. To go on: advclip-gui experiment run '{path}'", err=True)
            raise
    figures = read_figures(ExperimentFolder(path))
    show(figures)
    typer.echo(f"Table and plot: {path}")
    write_json(json_file, "experiment run", {"folder": path, "state": result.state, **as_json(figures)})
    if result.state == "failed":
        typer.echo(result.message, err=True)
        raise typer.Exit(1)


@experiment.command("new")
def new_command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder for the experiment.")],
    preset: PresetOption = "",
    config: ConfigOption = None,
    data: DataOption = "",
    recipe: RecipeOption = "",
    target: TargetOption = None,
    shots: ShotsOption = "",
    seeds: SeedsOption = "",
    methods: MethodsOption = "",
    assignments: SetOption = None,
    json_file: JsonOption = None,
    debug: DebugOption = False,
) -> None:
    """Write a definition to look at or change before it is run; nothing is trained."""
    check_json_place(json_file)
    given = read_definition(preset, config, data, recipe, target, shots, seeds, methods, assignments)
    if given is None:
        raise typer.BadParameter("give --data, --preset or --config.", param_hint="'--preset'")
    place = ExperimentFolder(folder)
    place.define(given)
    steps, runs = given.total_steps, len(given.cells)
    typer.echo(f"{runs:,} trainings, {steps:,} steps. Definition: {place.path / 'experiment.toml'}")
    typer.echo(f"To run it: advclip-gui experiment run '{folder}'")
    told = {"folder": folder, "trainings": runs, "steps": steps, "definition": given.model_dump(mode="json")}
    write_json(json_file, "experiment new", told)


@experiment.command("status")
def status_command(folder: FolderArgument, json_file: JsonOption = None, debug: DebugOption = False) -> None:
    """Say how far an experiment is, and what failed."""
    check_json_place(json_file)
    place = _found(folder)
    figures, state = read_figures(place), place.state()
    words = {"new": "not begun", "stopped": "stopped; it can go on", "cancelled": "cancelled; it can go on"}
    words["interrupted"] = "interrupted; it can go on"
    typer.echo(f"{figures.title}: {words.get(state, state)}, {figures.done} of {figures.total} done.")
    for title, sentence in figures.failed.items():
        typer.echo(f"{title} failed: {sentence}")
        key = figures.failed_keys[title]
        typer.echo(f"  To run it again alone: advclip-gui experiment run '{folder}' --only {key}")
    if not figures.failed and place.state_message():
        typer.echo(place.state_message())
    told = {"folder": place.path, "state": state, "message": place.state_message()}
    counts = {"done": figures.done, "total": figures.total, "failed": figures.failed}
    counts["failed_cells"] = figures.failed_keys
    write_json(json_file, "experiment status", {**told, **counts})


@experiment.command("table")
def table_command(
    folder: FolderArgument,
    save: Annotated[
        list[Path] | None,
        typer.Option(
            "--save",
            metavar="FILE",
            help=f"Write it; the ending says how: {', '.join(SUFFIXES)}. May be repeated.",
        ),
    ] = None,
    json_file: JsonOption = None,
    debug: DebugOption = False,
) -> None:
    """Show the table as far as it has come, and write it and the plot where asked."""
    check_json_place(json_file)
    for path in save or ():
        if path.suffix.lower() not in SUFFIXES:
            raise typer.BadParameter(
                f"'{path.name}' must end in {', '.join(SUFFIXES)}.", param_hint="'--save'"
            )
        check_json_place(path, "--save")
    place = _found(folder)
    figures = read_figures(place)
    show(figures)
    if save:
        for path in save:
            save_figures(figures, path)
            typer.echo(f"Saved {path}")
    else:
        save_all(figures, place.path)
    write_json(json_file, "experiment table", {"folder": place.path, **as_json(figures)})


def show(figures: Figures) -> None:
    """Print the table and what it must be read with."""
    table([HEAD, *(tuple(map(_plain, cells_of(row))) for row in figures.rows)], left=2)
    for note in figures.notes:
        typer.echo(_plain(note))
    for title, sentence in figures.failed.items():
        typer.echo(f"{title} failed: {sentence}")


def amount(settings: ExperimentSettings, session: Session, control: Control) -> str:
    """Say what is to be done: "30 trainings, 93,000 steps, about 3 to 8 h on this device"."""
    from advclip_gui.engine.experiments.earlier import earlier_runs
    from advclip_gui.engine.experiments.estimate import estimate

    counts = [f"{len(settings.cells):,} trainings", f"{settings.total_steps:,} steps"]
    found = estimate(
        settings,
        lambda recipe: session.describe(recipe, control),
        earlier=earlier_runs(settings.base, session.device_text),
    )
    return ", ".join([*counts, f"{found.text} on this device"] if found.text else counts)


def _plain(text: str) -> str:
    """In letters every terminal has."""
    return text.replace("L∞", "Linf").replace("±", "+-").replace("–", "-")


class ExperimentWatcher(Watcher):
    """Tells of whole cells and the time left, not of every step of every training."""

    def _show(self, event: Event) -> None:
        if isinstance(event, ExperimentProgress):
            left = "" if event.seconds_left is None else f"about {duration(event.seconds_left)} left"
            where = f"{event.phase} {event.step}/{event.total_steps}" if event.total_steps else event.phase
            detail = "  ".join(part for part in (event.title, where, left) if part)
            self._progress("Experiment", event.done + event.failed, event.total, detail)
        elif isinstance(event, CellDone):
            self._line(cell_line(event))
        else:
            super()._show(event)


def cell_line(event: CellDone) -> str:
    """What is said of a cell that came to its end: figures or the sentence why not, and the time left."""
    if event.state == "failed":
        return f"{event.title}: failed. {event.message}"
    figures = "; ".join(
        f"{title} clean {100 * clean:.1f} %, robust {100 * robust:.1f} % (n = {n:,})"
        for title, n, clean, robust in event.figures
    )
    left = f", about {duration(event.seconds_left)} left" if event.seconds_left else ""
    return f"{event.title}: {figures}  [{event.ended} of {event.total} done{left}]"


def _existing(folder: Path) -> ExperimentFolder | None:
    for path in (folder, experiments_root() / folder):
        if ExperimentFolder(path).exists:
            return ExperimentFolder(path)
    return None


def _found(folder: Path) -> ExperimentFolder:
    place = _existing(folder)
    if place is None:
        raise CheckpointError(f"There is no experiment in {folder}.", "Give the folder that 'run' has named.")
    return place
