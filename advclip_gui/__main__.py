"""The one entry point: no subcommand opens the window, a subcommand works without it."""

from __future__ import annotations

import sys
from pathlib import Path

COMMANDS = (
    *("train", "evaluate", "attack", "export", "data", "models", "runs", "adapters"),
    "experiment",
    *("doctor", "bench", "screenshots"),
)
"""Subcommands of the command line; written down here so that the window opens without importing it."""

_COMMAND_LINE_OPTIONS = ("-h", "--help", "--version", "--install-completion", "--show-completion")


def wants_window(arguments: list[str]) -> bool:
    """Tell whether the arguments open the window: none, an option of the window, or a folder."""
    if not arguments:
        return True
    first = arguments[0]
    if first in COMMANDS or first in _COMMAND_LINE_OPTIONS:
        return False
    return first.startswith("-") or Path(first).is_dir()


def main(arguments: list[str] | None = None) -> int:
    """Start the window or run a subcommand; returns the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if wants_window(arguments):
        try:
            from advclip_gui.gui.app import main as open_window
        except ImportError as error:
            if not _is_about_qt(error):
                raise
            sys.stderr.write(
                f"The window needs Qt, which cannot be loaded here ({error}). "
                "Everything also works without it: see 'advclip-gui --help'.\n"
            )
            return 1
        return open_window(arguments)
    from advclip_gui.cli import main as run_command

    return run_command(arguments)


def _is_about_qt(error: ImportError) -> bool:
    names = ("PySide6", "shiboken6", "libEGL", "libGL", "libxkbcommon", "libfontconfig", "libdbus", "libglib")
    return any(name in f"{error.name} {error}" for name in names)


if __name__ == "__main__":
    sys.exit(main())
