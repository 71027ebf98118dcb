"""`advclip-gui data`: what is in a dataset, what is wrong with it, and a few-shot sample of it as a list."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from advclip_gui.commands.options import DebugOption, JsonOption, check_json_place
from advclip_gui.commands.output import write_json
from advclip_gui.commands.watcher import Watcher
from advclip_gui.settings import DataSettings
from advclip_gui.settings.data import ClassPart, LayoutName


def data(
    folder: Annotated[
        str,
        typer.Argument(
            metavar="DATA", help="A folder with one sub-folder per class, a zip, a list; or 'demo'."
        ),
    ],
    full: Annotated[bool, typer.Option("--full", help="Decode every image, also in a large folder.")] = False,
    layout: Annotated[
        LayoutName, typer.Option("--layout", help="How the images lie on disk; auto recognises it.")
    ] = "auto",
    classes: Annotated[
        ClassPart, typer.Option("--classes", help="All classes, or one half for base-to-new generalisation.")
    ] = "all",
    report: Annotated[
        Path | None,
        typer.Option("--report", metavar="FILE", help="Write the report as .csv, .json or text."),
    ] = None,
    save_split: Annotated[
        Path | None,
        typer.Option(
            "--save-split",
            metavar="FILE",
            help="Draw a few-shot sample and write it as .csv or .json, for data.split_file.",
        ),
    ] = None,
    shots: Annotated[
        int, typer.Option("--shots", min=1, max=1024, help="With --save-split: training images per class.")
    ] = 16,
    seed: Annotated[int, typer.Option("--seed", min=0, help="With --save-split: chooses the sample.")] = 0,
    json_file: JsonOption = None,
    debug: DebugOption = False,
) -> None:
    """Scan a dataset and report its classes, counts and bad files. Nothing in it is changed."""
    for path, option in ((json_file, "--json"), (report, "--report"), (save_split, "--save-split")):
        check_json_place(path, option)
    from advclip_gui.engine.datasets.drawing import draw_split, scan_data
    from advclip_gui.engine.datasets.report import report_json, report_text, write_report
    from advclip_gui.engine.datasets.split_file import write_split

    asked = DataSettings(folder=folder, layout=layout, classes=classes, shots=shots, seed=seed)
    with Watcher() as watcher:
        found = scan_data(asked, watcher.control, decode="full" if full else "auto")
        typer.echo(report_text(found).rstrip("\n"))
        if report is not None:
            write_report(report, found)
        if save_split is not None:
            split = draw_split(found, asked)
            write_split(save_split, split)
            typer.echo(
                f"\n{len(split.train):,} training, {len(split.val):,} validation and {len(split.test):,} "
                f"test images are listed in {save_split}."
            )
    write_json(json_file, "data", report_json(found))
