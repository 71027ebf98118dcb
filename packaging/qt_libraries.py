"""Find the system libraries and the font that Qt needs on Linux, and install them where it is allowed."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

FOR_IMPORT = {
    "libEGL.so.1": "libegl1",
    "libGL.so.1": "libgl1",
    "libxkbcommon.so.0": "libxkbcommon0",
    "libdbus-1.so.3": "libdbus-1-3",
    "libfontconfig.so.1": "libfontconfig1",
    "libfreetype.so.6": "libfreetype6",
    "libglib-2.0.so.0": "libglib2.0-0",
}
"""Library -> Debian package; without these QtGui and QtWidgets cannot be imported at all."""

FOR_WINDOWS = {
    "libX11-xcb.so.1": "libx11-xcb1",
    "libxkbcommon-x11.so.0": "libxkbcommon-x11-0",
    "libxcb-cursor.so.0": "libxcb-cursor0",
    "libxcb-icccm.so.4": "libxcb-icccm4",
    "libxcb-image.so.0": "libxcb-image0",
    "libxcb-keysyms.so.1": "libxcb-keysyms1",
    "libxcb-randr.so.0": "libxcb-randr0",
    "libxcb-render-util.so.0": "libxcb-render-util0",
    "libxcb-shape.so.0": "libxcb-shape0",
    "libxcb-shm.so.0": "libxcb-shm0",
    "libxcb-sync.so.1": "libxcb-sync1",
    "libxcb-xfixes.so.0": "libxcb-xfixes0",
    "libxcb-xkb.so.1": "libxcb-xkb1",
}
"""Library -> Debian package; without these there is no window on an X11 display."""

FONT_PACKAGE = "fonts-dejavu-core"
_FONT_ENDINGS = (".ttf", ".otf", ".ttc", ".pfb")


def can_load(library: str) -> bool:
    """Tell whether the dynamic linker finds a library."""
    import ctypes

    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def font_folders() -> list[Path]:
    """Return the folders in which fontconfig looks by default."""
    home = Path.home()
    return [
        Path("/usr/share/fonts"),
        Path("/usr/local/share/fonts"),
        home / ".fonts",
        home / ".local/share/fonts",
    ]


def has_font(folders: Iterable[Path]) -> bool:
    """Tell whether any font file lies below the folders."""
    for folder in folders:
        for _, _, names in os.walk(folder):
            if any(name.lower().endswith(_FONT_ENDINGS) for name in names):
                return True
    return False


def missing_packages(
    *,
    windows: bool,
    loads: Callable[[str], bool] = can_load,
    font_there: Callable[[], bool] = lambda: has_font(font_folders()),
) -> list[str]:
    """Return the Debian packages to install, sorted; empty where nothing is missing.

    Args:
        windows: also look for what a real window needs, not only Qt's import.
        loads: tells whether a library can be loaded.
        font_there: tells whether there is any font.
    """
    wanted = FOR_IMPORT | FOR_WINDOWS if windows else FOR_IMPORT
    packages = {package for library, package in wanted.items() if not loads(library)}
    if not font_there():
        packages.add(FONT_PACKAGE)
    return sorted(packages)


def is_debian_like() -> bool:
    """Tell whether packages come from apt."""
    return shutil.which("apt-get") is not None and Path("/etc/debian_version").exists()


def apt_commands(packages: list[str]) -> list[list[str]]:
    """Return the commands, in order, that install packages without asking anything."""
    return [
        ["apt-get", "update"],
        ["apt-get", "install", "--yes", "--no-install-recommends", *packages],
    ]


def one_line(packages: list[str]) -> str:
    """Return what a user can paste into a terminal."""
    return " && ".join("sudo " + shlex.join(command) for command in apt_commands(packages))


def install(packages: list[str]) -> str:
    """Install packages with apt as root; return "" or a sentence on what went wrong."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in apt_commands(packages):
        done = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        # An update may fail for one foreign source and still have fetched what is needed here.
        if done.returncode and "install" in command:
            last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-3:]
            return f"'{shlex.join(command)}' failed: {' '.join(last)}"
    return ""
