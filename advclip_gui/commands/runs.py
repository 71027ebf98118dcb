"""`advclip-gui runs`: list, show, compare, rename, annotate, import and delete runs."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from advclip_gui.commands.options import DebugOption, JsonOption, check_json_place
from advclip_gui.commands.output import percent, percent_with_interval, plain, table, write_json

if TYPE_CHECKING:
    from advclip_gui.engine.run_list import RunSummary
    from advclip_gui.settings import RunSettings

runs = typer.Typer(
    help="List, show, compare, rename, annotate, import and delete runs.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

RunArgument = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="A run folder, its name below the folder of runs, the run's own name, or how one begins.",
    ),
]
RootOption = Annotated[
    Path | None, typer.Option("--root", metavar="DIR", help="Another folder of runs than the usual one.")
]


@runs.command("list")
def list_command(
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[WORD]...", help="Only runs that contain every word.")
    ] = None,
    state: Annotated[
        str, typer.Option("--state", help="Only runs in this state, such as finished or running.")
    ] = "",
    experiments: Annotated[
        bool, typer.Option("--experiments/--no-experiments", help="Also those that are parts of experiments.")
    ] = False,
    limit: Annotated[int, typer.Option("--limit", min=0, help="At most so many; 0 is all.")] = 0,
    root: RootOption = None,
    json_file: JsonOption = None,
    debug: DebugOption = False,
) -> None:
    """List the runs, newest first."""
    check_json_place(json_file)
    from advclip_gui.engine.run_list import list_runs
    from advclip_gui.run_words import STATE_TITLES, matches

    if state and state not in STATE_TITLES:
        raise typer.BadParameter(f"'{state}' is none of {', '.join(STATE_TITLES)}.", param_hint="'--state'")
    every = list_runs(root, parts=experiments)
    found = [run for run in every if matches(run, " ".join(words or ())) and state in ("", run.state)]
    shown = found[: limit or None]
    if shown:
        head = ("folder", "name", "method", "protocol", "state", "started", "shots", "clean", "robust", "n")
        table([head, *(_cells(run) for run in shown)], left=6)
    else:
        typer.echo("No run fits." if every else "There are no runs yet.")
    if 0 < len(shown) < len(found):
        typer.echo(f"{len(found) - len(shown):,} more are not shown.")
    write_json(json_file, "runs list", {"runs": [_as_json(run) for run in shown]})


@runs.command("show")
def show_command(
    run: RunArgument, root: RootOption = None, json_file: JsonOption = None, debug: DebugOption = False
) -> None:
    """Show a run: how it stands, its figures, its note and every setting."""
    check_json_place(json_file)
    from advclip_gui.engine.run_list import summarise
    from advclip_gui.engine.runs import RunFolder
    from advclip_gui.engine.saved_models import find_run
    from advclip_gui.run_words import STATE_TITLES
    from advclip_gui.settings_text import titled_values
    from advclip_gui.wording import figure_tag, not_comparable, plain_radius

    path = find_run(run, root)
    folder, line = RunFolder(path), summarise(path)
    settings, result, message = folder.settings(), folder.result(), folder.state_message()
    typer.echo(f"{line.name}\n{path}\n")
    typer.echo(": ".join(part for part in (STATE_TITLES[line.state], message) if part))
    if line.state != "finished" and (step := line.step or _last_step(folder)):
        typer.echo(f"Step {step:,} of {line.total_steps:,}.")
    for key, title in (("adapter", line.method), ("clip_lora", "CLIP-LoRA"), ("zero_shot", "Zero-shot")):
        figures = (result or {}).get(key)
        if isinstance(figures, dict) and isinstance(figures.get("clean_accuracy"), float):
            clean = percent_with_interval(figures["clean_accuracy"], figures.get("clean_interval"))
            robust = percent_with_interval(figures.get("robust_accuracy"), figures.get("robust_interval"))
            tag = figure_tag(line.protocol, line.norm).replace("L∞", "Linf")
            typer.echo(f"{title}: clean {clean}, robust {robust} ({tag})")
    if line.clean is not None:
        typer.echo(f"Measured at {plain_radius(line.epsilon or 0, line.norm)} on {line.n or 0:,} images.")
    if sentence := not_comparable(line.protocol):
        typer.echo(sentence)
    if line.note:
        typer.echo(f"\nNote: {line.note}")
    typer.echo("")
    table(list(titled_values(settings).items()), left=2)
    more = {"message": message, "settings": settings.model_dump(mode="json"), "result": result}
    write_json(json_file, "runs show", {**_as_json(line), **more})


@runs.command("diff")
def diff_command(
    several: Annotated[
        list[str],
        typer.Argument(metavar="RUN RUN...", help="Two or more runs, or adapters of the library."),
    ],
    root: RootOption = None,
    json_file: JsonOption = None,
    debug: DebugOption = False,
) -> None:
    """Show the settings in which runs or adapters differ, and their figures."""
    check_json_place(json_file)
    if len(several) < 2:
        raise typer.BadParameter("give two or more runs.", param_hint="'RUN RUN...'")
    from advclip_gui.engine.saved_models import find_line
    from advclip_gui.run_words import why_figures_differ, why_not_comparable

    lines = [find_line(run, root) for run in several]
    rows, settings = _differences(lines)
    figures = [
        ("Clean", [percent(line.clean) for line in lines]),
        ("Robust", [percent(line.robust) for line in lines]),
    ]
    table([("", *(line.name for line in lines)), *((title, *values) for title, values in [*figures, *rows])])
    if not rows:
        typer.echo("Their settings are the same.")
    elif len(settings) < len(lines):
        typer.echo("Not all of them tell the settings of their training.")
    mixed = any(line.is_adapter for line in lines)
    if sentence := why_figures_differ(lines) if mixed else why_not_comparable(settings):
        typer.echo(sentence)
    told = [{"title": title, "values": values} for title, values in rows]
    write_json(
        json_file,
        "runs diff",
        {"runs": [_as_json(line) for line in lines], "differences": told, "warning": sentence},
    )


@runs.command("rename")
def rename_command(
    run: RunArgument,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The new name.")],
    root: RootOption = None,
    json_file: JsonOption = None,
    debug: DebugOption = False,
) -> None:
    """Give a run another name; its folder stays where it is."""
    check_json_place(json_file)
    from advclip_gui.engine.run_list import summarise
    from advclip_gui.engine.runs import RunFolder
    from advclip_gui.engine.saved_models import find_run

    path = find_run(run, root)
    before = summarise(path).name
    RunFolder(path).rename(name)
    line = summarise(path)
    typer.echo(f"'{before}' is now '{line.name}'.")
    write_json(json_file, "runs rename", _as_json(line))


@runs.command("note")
def note_command(
    run: RunArgument,
    text: Annotated[
        str | None,
        typer.Argument(metavar="[TEXT]", help="The note; '' takes it away. Left out, the note is shown."),
    ] = None,
    root: RootOption = None,
    json_file: JsonOption = None,
    debug: DebugOption = False,
) -> None:
    """Show or replace what is noted about a run."""
    check_json_place(json_file)
    from advclip_gui.engine.runs import RunFolder
    from advclip_gui.engine.saved_models import find_run

    folder = RunFolder(find_run(run, root))
    if text is not None:
        folder.set_note(text)
    typer.echo(folder.note() or "There is no note.")
    write_json(json_file, "runs note", {"folder": folder.path.name, "note": folder.note()})


@runs.command("import")
def import_command(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A run folder from another machine.")],
    data: Annotated[
        str, typer.Option("--data", metavar="DIR", help="Where its images are on this machine.")
    ] = "",
    name: Annotated[str, typer.Option("--name", help="Another name for it.")] = "",
    root: RootOption = None,
    json_file: JsonOption = None,
    debug: DebugOption = False,
) -> None:
    """Copy a run folder from another machine into the runs of this one; the original is not changed."""
    check_json_place(json_file)
    from advclip_gui.commands.watcher import Watcher
    from advclip_gui.engine.errors import DataError
    from advclip_gui.engine.run_import import look_at, take_in
    from advclip_gui.engine.run_list import summarise
    from advclip_gui.engine.runs import RunFolder

    if data and not Path(data).expanduser().exists():
        raise DataError(f"There is nothing at {data}.", "Give the folder with the run's images.")
    with Watcher() as watcher:
        plan = look_at(folder, watcher.control)
        path = take_in(plan, watcher.control, root=root, data_folder=data)
    if name:
        RunFolder(path).rename(name)
    line = summarise(path)
    typer.echo(f"'{line.name}' is in {path} ({len(plan.files):,} files, {plan.size / 2**20:.1f} MB).")
    if plan.missing_data and not data:
        typer.echo(
            f"Its images are not on this machine ({plan.missing_data}). "
            "Import it with --data to say where they are."
        )
    if plan.missing_checkpoint:
        typer.echo(f"Its backbone's checkpoint is not on this machine ({plan.missing_checkpoint}).")
    missing = {"data": "" if data else plan.missing_data, "checkpoint": plan.missing_checkpoint}
    write_json(json_file, "runs import", {**_as_json(line), "missing": missing})


@runs.command("delete")
def delete_command(
    several: Annotated[list[str], typer.Argument(metavar="RUN...", help="One or more runs.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    root: RootOption = None,
    json_file: JsonOption = None,
    debug: DebugOption = False,
) -> None:
    """Delete runs for good. The window moves them to the system's bin instead."""
    check_json_place(json_file)
    from advclip_gui.engine.run_removal import check_removable, delete_run
    from advclip_gui.engine.saved_models import find_run

    paths = list(dict.fromkeys(find_run(run, root) for run in several))
    for path in paths:
        check_removable(path)
    if not yes:
        named = ", ".join(path.name for path in paths)
        typer.confirm(f"Delete {named} for good?", abort=True)
    for path in paths:
        delete_run(path)
        typer.echo(f"{path} is deleted.")
    write_json(json_file, "runs delete", {"deleted": [str(path) for path in paths]})


def _differences(lines: list[RunSummary]) -> tuple[list[tuple[str, list[str]]], list[RunSettings]]:
    """In what they differ: their settings, and what an adapter's files say; and the settings known."""
    from advclip_gui.engine.adapter_facts import adapter_facts
    from advclip_gui.engine.exchange.info import adapter_info
    from advclip_gui.engine.runs import RunFolder
    from advclip_gui.settings_text import differences

    told = [
        adapter_info(line.path).settings if line.is_adapter else RunFolder(line.path).settings()
        for line in lines
    ]
    known = [settings for settings in told if settings is not None]
    rows: list[tuple[str, list[str]]] = []
    if any(line.is_adapter for line in lines):
        facts = [adapter_facts(line.path) for line in lines]
        titles = dict.fromkeys(title for one in facts for title in one)
        rows = [(title, [one.get(title, "-") for one in facts]) for title in titles]
        rows = [(title, values) for title, values in rows if len(set(values)) > 1]
    return rows + (differences(known) if len(known) == len(lines) else []), known


def _cells(run: RunSummary) -> tuple[str, ...]:
    started = f"{datetime.fromtimestamp(run.started).astimezone():%Y-%m-%d %H:%M}" if run.started else "-"
    state = f"{run.state} {run.step}/{run.total_steps}" if run.state == "running" else run.state
    figures = (percent(run.clean), percent(run.robust), "-" if run.n is None else f"{run.n:,}")
    return (
        _folder(run), run.name, run.method, run.protocol, state, started, str(run.shots), *figures
    )  # fmt: skip


def _folder(run: RunSummary) -> str:
    """The folder's name; of a part of an experiment, where it is below the folder of runs."""
    return "/".join(run.path.parts[-4:]) if run.part_of else run.path.name


def _as_json(run: RunSummary) -> dict[str, Any]:
    values: dict[str, Any] = plain({key: getattr(run, key) for key in run.__slots__})
    values["backbone_settings"] = run.backbone_settings.model_dump(mode="json")
    return {"folder": _folder(run), **values}


def _last_step(folder: Any) -> int:
    from advclip_gui.engine.run_list import last_step

    return last_step(folder.path / "metrics.jsonl")
