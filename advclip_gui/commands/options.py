"""What several subcommands take: shared options, and readers that turn bad text into wrong usage."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from advclip_gui.engine.errors import StorageError
from advclip_gui.engine.report_files import SUFFIXES
from advclip_gui.settings import parse_epsilon

JsonOption = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", help="Also write the result to this file.")
]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show a traceback when something goes wrong.")]
DeviceOption = Annotated[
    Literal["auto", "cuda", "mps", "cpu"],
    typer.Option("--device", help="Where to compute; auto takes CUDA, else MPS, else the CPU."),
]
CheckpointOption = Annotated[
    str,
    typer.Option(
        "--checkpoint",
        metavar="FILE",
        help="The backbone's weights, where the adapter was trained on a local file that has moved.",
    ),
]
ArchitectureOption = Annotated[
    str,
    typer.Option(
        "--architecture", metavar="NAME", help="The open_clip model a checkpoint file given as model fits."
    ),
]


class Offline:
    """What `--offline` gives where `--download` gives True: as false as neither of them, but asked for."""

    def __bool__(self) -> bool:
        """Nothing is downloaded."""
        return False


def _told_apart(context: typer.Context, parameter: typer.CallbackParam, download: bool) -> bool | Offline:
    source = context.get_parameter_source(parameter.name or "")
    given = source is not None and source.name == "COMMANDLINE"
    return Offline() if given and not download else download


DownloadOption = Annotated[
    bool,
    typer.Option(
        "--download/--offline",
        callback=_told_apart,
        help="Fetch the backbone's weights first if they are not on this machine, or never ask the hub; "
        "without either, nothing is fetched and what is missing is said.",
        show_default=False,
    ),
]
OfflineOption = Annotated[
    bool, typer.Option("--offline", help="Never ask the hub for anything, as HF_HUB_OFFLINE=1 does.")
]


def epsilon(text: str, norm: str = "Linf", option: str = "--eps") -> float:
    """Read a length in pixel units such as ``4/255``; in L-infinity at most 1.

    Raises:
        typer.BadParameter: it is none.
    """
    try:
        value = parse_epsilon(text)
    except ValueError as error:
        raise typer.BadParameter(f"{error}.", param_hint=f"'{option}'") from error
    if not isinstance(value, float) or not value >= 0 or value == float("inf"):
        raise typer.BadParameter(f"'{text}' is below 0 or no number.", param_hint=f"'{option}'")
    if norm == "Linf" and value > 1:
        raise typer.BadParameter(
            f"'{text}' is more than 1, the whole range of a pixel; did you mean {text}/255?",
            param_hint=f"'{option}'",
        )
    return value


def epsilons(text: str, norm: str = "Linf") -> tuple[float, ...]:
    """Read several lengths, separated by commas.

    Raises:
        typer.BadParameter: one is no length, or there is none.
    """
    values = tuple(epsilon(part, norm) for part in text.split(",") if part.strip())
    if not values:
        raise typer.BadParameter("give at least one, such as 1/255,2/255,4/255.", param_hint="'--eps'")
    return values


def names(text: str, option: str) -> tuple[str, ...]:
    """Read class names, separated by commas.

    Raises:
        typer.BadParameter: there are fewer than two, or one twice.
    """
    found = tuple(part.strip() for part in text.split(",") if part.strip())
    if len(found) < 2 or len(set(found)) < len(found):
        raise typer.BadParameter(
            "give two or more different names, such as cat,dog.", param_hint=f"'{option}'"
        )
    return found


def check_report_place(path: Path | None) -> None:
    """As `check_json_place`, for a report, whose ending says what is written.

    Raises:
        typer.BadParameter: no report has this ending.
        StorageError: its folder is not there, or it is a folder itself.
    """
    if path is not None and path.suffix.lower() not in SUFFIXES:
        raise typer.BadParameter(f"'{path.name}' must end in {', '.join(SUFFIXES)}.", param_hint="'--report'")
    check_json_place(path, "--report")


def check_json_place(path: Path | None, option: str = "--json") -> None:
    """Make sure, before hours of work, that the result can be written.

    Raises:
        StorageError: its folder is not there, or it is a folder itself.
    """
    if path is None:
        return
    if path.is_dir():
        raise StorageError(f"{path} is a folder; {option} needs a file name.")
    if not path.absolute().parent.is_dir():
        raise StorageError(f"The folder of {path} does not exist.", "Make it first, or choose another file.")
