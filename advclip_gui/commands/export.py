"""`advclip-gui export`: an adapter in a format that other programs load."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from advclip_gui.commands.options import DebugOption, JsonOption, check_json_place
from advclip_gui.commands.output import file_list, write_json
from advclip_gui.engine.errors import CheckpointError


def export(
    source: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder or an adapter folder.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="A new or empty folder.")],
    export_format: Annotated[
        Literal["peft"], typer.Option("--format", help="peft: adapter_config.json and safetensors.")
    ] = "peft",
    json_file: JsonOption = None,
    debug: DebugOption = False,
) -> None:
    """Write the adapter of a run, and show how to load it."""
    check_json_place(json_file)
    if not source.is_dir():
        raise CheckpointError(f"There is no run folder {source}.")
    from advclip_gui.engine.export import export_adapter, loading_snippet

    folder = export_adapter(source, out, format=export_format)
    snippet = loading_snippet(folder)
    typer.echo(f"Exported to {folder}. To load it:\n")
    typer.echo(snippet.rstrip("\n"))
    write_json(
        json_file,
        "export",
        {"folder": folder, "format": export_format, "files": file_list(folder), "snippet": snippet},
    )
