"""`advclip-gui screenshots`: pictures of every page, drawn without a screen."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from advclip_gui.commands.options import DebugOption, JsonOption, check_json_place
from advclip_gui.commands.output import file_list, write_json


def screenshots(
    out: Annotated[Path, typer.Argument(metavar="OUT_DIR", help="Where the PNG files go.")],
    steps: Annotated[
        int | None,
        typer.Option("--steps", min=1, help="Steps of the demo run; otherwise as many as the demo has."),
    ] = None,
    json_file: JsonOption = None,
    debug: DebugOption = False,
) -> None:
    """Draw every page, light and dark, with real data and a finished demo run."""
    check_json_place(json_file)
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    from advclip_gui.gui.screenshots import main as draw

    draw(out, steps=steps)
    files = file_list(out)
    typer.echo("\n".join(files))
    write_json(json_file, "screenshots", {"folder": out, "files": files})
