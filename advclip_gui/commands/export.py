"""`advclip-gui export`: adapters in a format that other programs load."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from advclip_gui.commands.options import CheckpointOption, DebugOption, JsonOption, check_json_place
from advclip_gui.commands.output import file_list, write_json
from advclip_gui.engine.errors import CheckpointError
from advclip_gui.engine.exchange.formats import FORMATS, Format

if TYPE_CHECKING:
    from advclip_gui.engine.exchange.several import Outcome


def export(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN",
            help="A run or adapter: its folder, its name, or how the name begins. Of several, each goes to a "
            "folder of its own below --out.",
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="A new or empty folder, or one exported to before.")
    ],
    export_format: Annotated[
        Format,
        typer.Option("--format", help="; ".join(f"{one.name}: {one.title.lower()}" for one in FORMATS) + "."),
    ] = "peft",
    with_backbone: Annotated[
        bool,
        typer.Option(
            "--with-backbone",
            help="With peft: put the untouched backbone beside it, as transformers loads it.",
        ),
    ] = False,
    checkpoint: CheckpointOption = "",
    json_file: JsonOption = None,
    debug: DebugOption = False,
) -> None:
    """Write the adapters of runs, and show how to load them."""
    check_json_place(json_file)
    if with_backbone and export_format != "peft":
        raise typer.BadParameter(
            "the other formats hold it anyway, or not at all.", param_hint="'--with-backbone'"
        )
    from advclip_gui.commands.models import saved_folder
    from advclip_gui.commands.watcher import Watcher
    from advclip_gui.engine.exchange.several import export_several
    from advclip_gui.engine.export import export_adapter

    folders = [saved_folder(source) for source in sources]
    with Watcher() as watcher:
        how: dict[str, Any] = {"format": export_format, "control": watcher.control, "checkpoint": checkpoint,
                               "with_backbone": with_backbone}  # fmt: skip
        if len(folders) > 1:
            outcomes = export_several(folders, out, **how)
        else:
            folder = export_adapter(folders[0], out, **how)
    if len(folders) > 1:
        _tell_several(outcomes, export_format, json_file)
        return
    told = _told(folders[0], folder, checkpoint)
    typer.echo(f"Exported to {folder}. To load it:\n")
    typer.echo(told["snippet"].rstrip("\n"))
    write_json(json_file, "export", {"format": export_format, **told})


def _told(source: Path, folder: Path, checkpoint: str) -> dict[str, Any]:
    """What was written, and lines that load it here: with the path of the weights, which no file names."""
    from advclip_gui.engine.export import adapter_info, loading_snippet

    weights = checkpoint or adapter_info(source).backbone.checkpoint
    snippet = loading_snippet(folder, str(Path(weights).expanduser().absolute()) if weights else "")
    return {"folder": folder, "files": file_list(folder), "snippet": snippet}


def _tell_several(outcomes: tuple[Outcome, ...], export_format: Format, json_file: Path | None) -> None:
    """Raises `CheckpointError` where one of them could not be exported, after all is told and written."""
    entries = []
    for one in outcomes:
        error = None if one.error is None else str(one.error)
        typer.echo(
            f"Exported {one.source.name} to {one.folder}." if error is None else f"{one.source.name}: {error}"
        )
        files = file_list(one.folder) if error is None else []
        entries.append({"source": one.source, "folder": one.folder, "files": files, "error": error})
    write_json(json_file, "export", {"format": export_format, "exports": entries})
    failed = [one.source.name for one in outcomes if one.error is not None]
    if failed:
        raise CheckpointError(
            f"{len(failed)} of {len(outcomes)} could not be exported: {', '.join(failed)}.",
            "The others are whole; the reasons stand above.",
        )
    typer.echo(f"How to load each of them stands in its README.md, {len(outcomes)} in all.")
