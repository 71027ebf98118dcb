"""`advclip-gui data`: what is in an image folder, and what is wrong with it."""

from __future__ import annotations

from typing import Annotated

import typer

from advclip_gui.commands.options import DebugOption, JsonOption, check_json_place
from advclip_gui.commands.output import write_json
from advclip_gui.commands.watcher import Watcher


def data(
    folder: Annotated[str, typer.Argument(metavar="FOLDER", help="One sub-folder per class; or 'demo'.")],
    full: Annotated[bool, typer.Option("--full", help="Decode every image, also in a large folder.")] = False,
    json_file: JsonOption = None,
    debug: DebugOption = False,
) -> None:
    """Scan an image folder and report its classes, counts and bad files. Nothing in it is changed."""
    check_json_place(json_file)
    from advclip_gui.engine.datasets.folder import scan
    from advclip_gui.engine.datasets.report import report_json, report_text

    with Watcher() as watcher:
        found = scan(folder, control=watcher.control, decode="full" if full else "auto")
    typer.echo(report_text(found).rstrip("\n"))
    write_json(json_file, "data", report_json(found))
