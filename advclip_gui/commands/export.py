"""`advclip-gui export`: an adapter in a format that other programs load."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from advclip_gui.commands.options import CheckpointOption, DebugOption, JsonOption, check_json_place
from advclip_gui.commands.output import file_list, write_json
from advclip_gui.engine.exchange.formats import FORMATS, Format


def export(
    source: Annotated[
        str,
        typer.Argument(metavar="RUN", help="A run or adapter: its folder, its name, or how the name begins."),
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="A new or empty folder, or one exported to before.")
    ],
    export_format: Annotated[
        Format,
        typer.Option("--format", help="; ".join(f"{one.name}: {one.title.lower()}" for one in FORMATS) + "."),
    ] = "peft",
    checkpoint: CheckpointOption = "",
    json_file: JsonOption = None,
    debug: DebugOption = False,
) -> None:
    """Write the adapter of a run, and show how to load it."""
    check_json_place(json_file)
    from advclip_gui.commands.models import saved_folder
    from advclip_gui.commands.watcher import Watcher
    from advclip_gui.engine.export import export_adapter, loading_snippet

    folder = saved_folder(source)
    with Watcher() as watcher:
        folder = export_adapter(
            folder, out, format=export_format, control=watcher.control, checkpoint=checkpoint
        )
    snippet = loading_snippet(folder)
    typer.echo(f"Exported to {folder}. To load it:\n")
    typer.echo(snippet.rstrip("\n"))
    write_json(
        json_file,
        "export",
        {"folder": folder, "format": export_format, "files": file_list(folder), "snippet": snippet},
    )
