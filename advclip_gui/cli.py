"""The command line: the same engine without a window.

Exit codes: 0 done, 1 failed with a sentence, 2 wrong usage, 130 cancelled.
"""

from __future__ import annotations

import sys
import traceback
from typing import Annotated

import typer

from advclip_gui import __version__
from advclip_gui.commands.adapters import adapters
from advclip_gui.commands.attack import attack
from advclip_gui.commands.backbones import models
from advclip_gui.commands.bench import bench
from advclip_gui.commands.data import data
from advclip_gui.commands.doctor import doctor
from advclip_gui.commands.evaluate import evaluate
from advclip_gui.commands.experiment import experiment
from advclip_gui.commands.export import export
from advclip_gui.commands.runs import runs
from advclip_gui.commands.screenshots import screenshots
from advclip_gui.commands.train import train
from advclip_gui.commands.watcher import StopNow
from advclip_gui.engine.control import Cancelled
from advclip_gui.engine.errors import UserError

PROGRAM = "advclip-gui"
FAILED, CANCELLED = 1, 130

app = typer.Typer(
    name=PROGRAM,
    help="Adversarial few-shot LoRA fine-tuning of CLIP. Without a command, the window opens.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for command in (train, evaluate, attack, export, data, models, doctor, bench, screenshots):
    app.command()(command)
app.add_typer(runs, name="runs")
app.add_typer(adapters, name="adapters")
app.add_typer(experiment, name="experiment")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"{PROGRAM} {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version and exit."),
    ] = False,
) -> None:
    """Adversarial few-shot LoRA fine-tuning of CLIP. Without a command, the window opens."""


def main(arguments: list[str] | None = None) -> int:
    """Run a subcommand; every failure becomes a sentence on standard error and an exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in arguments
    try:
        app(args=arguments, prog_name=PROGRAM)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(bool(ended.code))
    except (Cancelled, StopNow, KeyboardInterrupt):
        return _end("Cancelled.", CANCELLED, debug=False)
    except UserError as error:
        return _end(str(error), FAILED, debug=debug)
    except MemoryError:
        return _end("There is not enough memory. Take fewer images at a time.", FAILED, debug=debug)
    except Exception as error:  # noqa: BLE001 (the boundary: a sentence instead of a traceback)
        what = f"{type(error).__name__}: {error}".splitlines()[0].rstrip(": ")
        sentence = f"Something unexpected went wrong ({what}). Run it again with --debug for details."
        return _end(sentence, FAILED, debug=debug)
    return 0


def _end(sentence: str, status: int, *, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    sys.stderr.write(sentence + "\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
