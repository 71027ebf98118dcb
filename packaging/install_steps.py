"""The slow steps of bootstrap.py: system libraries, virtual environment, packages; repairs included."""

from __future__ import annotations

import errno
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections import deque
from typing import TYPE_CHECKING

import qt_libraries

if TYPE_CHECKING:
    from pathlib import Path

UNFINISHED_NAME = ".advclip-unfinished"
"""Lies in the environment from the first to the last moment of an installation."""

ORACLES = ("foolbox", "torchattacks")
"""Attack libraries the tests compare with; installed without their outdated dependencies."""

BUILD_TOOLS = ("hatchling", "editables")
NEEDED_GB = 3.0
"""Free disk space a fresh environment takes at least."""

_NETWORK = re.compile(
    r"NewConnectionError|NameResolutionError|Temporary failure in name resolution|getaddrinfo failed|"
    r"Connection refused|Network is unreachable|ConnectTimeout|ReadTimeout|Read timed out|"
    r"ProxyError|Cannot connect to proxy|Connection reset|nodename nor servname",
    re.IGNORECASE,
)
_DISK_FULL = re.compile(r"No space left on device|Errno 28|not enough space on the disk", re.IGNORECASE)
_WORTH_SHOWING = ("Downloading", "Installing collected", "Successfully", "WARNING: Retrying", "ERROR")
_NO_MATCH = re.compile(r"No matching distribution found for (\S+)")

_FIND_DAMAGE = """
import importlib.metadata as metadata, pathlib, shutil, site, sys, sysconfig
folder = pathlib.Path(sysconfig.get_paths()["purelib"])
for leftover in folder.glob("~*"):
    shutil.rmtree(leftover, ignore_errors=True)
for info in folder.glob("*.dist-info"):
    distribution = metadata.Distribution.at(info)
    try:
        name = distribution.metadata["Name"]
        files = distribution.files
        whole = bool(files) and all(
            path.locate().is_file() and (path.size is None or path.locate().stat().st_size == path.size)
            for path in files
            if not path.name.endswith(".pyc")
        )
    except (OSError, ValueError, TypeError, KeyError):
        name, whole = None, False
    if not name or not whole:
        print(info.name)
        shutil.rmtree(info, ignore_errors=True)
"""
"""Forgets packages whose files are not all there, so that pip installs them again."""


class StepError(Exception):
    """A step failed; the text says what to do."""


def say(text: str) -> None:
    """Tell the user what is going on, apart from the program's own output."""
    print(f"[bootstrap] {text}", file=sys.stderr, flush=True)


def venv_python(venv: Path, *, windows: bool = os.name == "nt") -> Path:
    """Return the interpreter inside a virtual environment."""
    return venv / "Scripts" / "python.exe" if windows else venv / "bin" / "python"


def explain_os_error(error: OSError) -> str:
    """Turn an error of the file system into a sentence."""
    if error.errno == errno.ENOSPC:
        return f"The disk is full. Free at least {NEEDED_GB:.0f} GB and start again; it goes on from here."
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return f"There is no permission to write {error.filename}. Use a checkout that belongs to you."
    return f"{error.strerror or error}: {error.filename or ''}".rstrip(": ")


def explain_pip(output: str) -> str:
    """Turn what pip said on failure into a sentence a user can act on."""
    if _DISK_FULL.search(output):
        return f"The disk is full. Free at least {NEEDED_GB:.0f} GB and start again; it goes on from here."
    if _NETWORK.search(output):
        return (
            "The package index cannot be reached. The first start needs a network connection "
            "(or a pip configuration that names a local index); later starts do not."
        )
    no_match = _NO_MATCH.search(output)
    if no_match:
        bits = 64 if sys.maxsize > 2**32 else 32
        return (
            f"There is no {no_match.group(1)} for Python {sys.version_info[0]}.{sys.version_info[1]} "
            f"({bits} bit) on this system. Try another Python between 3.11 and 3.13."
        )
    last = [line.strip() for line in output.splitlines() if line.strip()][-3:]
    return "Installing failed: " + " ".join(last)


def clean_environment() -> dict[str, str]:
    """Return the environment without what would lead Python or pip out of the virtual environment."""
    strays = {"PYTHONPATH", "PYTHONHOME", "PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_REQUIRE_VIRTUALENV"}
    kept = {key: value for key, value in os.environ.items() if key not in strays}
    return {**kept, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1", "PYTHONUTF8": "1"}


def install_system_libraries(*, windows: bool) -> None:
    """Install what Qt lacks on Linux where it may be done, else say how.

    Args:
        windows: also look for what a real window needs.

    Raises:
        StepError: Qt cannot be imported without them, and they cannot be installed from here.
    """
    if not sys.platform.startswith("linux"):
        return
    packages = qt_libraries.missing_packages(windows=windows)
    if not packages:
        return
    say(f"Qt needs system libraries that are not here: {', '.join(packages)}.")
    if not qt_libraries.is_debian_like():
        say("Install them with your package manager (these are Debian's names) if no window appears.")
        return
    by_hand = f"Install them with this command, then start again:\n    {qt_libraries.one_line(packages)}"
    if os.geteuid() != 0:
        if set(packages) & set(qt_libraries.FOR_IMPORT.values()):
            raise StepError(by_hand)
        say(by_hand)
        return
    say("Installing them with apt-get.")
    problem = qt_libraries.install(packages)
    if problem:
        raise StepError(f"{problem}\n{by_hand}")


def venv_problem(venv: Path) -> str:
    """Return why an environment cannot be used, "" where it can."""
    python = venv_python(venv)
    if not (venv / "pyvenv.cfg").is_file() or not python.exists():
        return "it is incomplete"
    code = "import pip, sys; print(*sys.version_info[:2])"
    try:
        done = subprocess.run(
            [str(python), "-c", code], capture_output=True, text=True, check=False, env=clean_environment()
        )
    except OSError:
        return "its Python does not start"
    if done.returncode:
        return "its Python does not work"
    here = "{} {}".format(*sys.version_info[:2])
    return "" if done.stdout.strip() == here else f"it is for Python {done.stdout.strip().replace(' ', '.')}"


def make_venv(venv: Path) -> None:
    """Make the virtual environment, replacing a broken one; a sound one is reused.

    Raises:
        StepError: it cannot be made.
    """
    if venv.exists() or venv.is_symlink():
        problem = venv_problem(venv)
        if not problem:
            return
        say(f"{venv.name} cannot be used ({problem}); making it anew.")
        if venv.is_symlink() or venv.is_file():
            venv.unlink()
        else:
            shutil.rmtree(venv)
    else:
        say("First start: setting everything up. This takes a few minutes; later starts are immediate.")
    free_gb = shutil.disk_usage(venv.parent).free / 1e9
    if free_gb < NEEDED_GB:
        raise StepError(
            f"There are only {free_gb:.1f} GB free on the disk of {venv.parent}; "
            f"{NEEDED_GB:.0f} GB are needed."
        )
    if importlib.util.find_spec("ensurepip") is None:
        _get_ensurepip(venv)
        return
    _must_run([sys.executable, "-m", "venv", str(venv)], "The virtual environment cannot be made")


def _get_ensurepip(venv: Path) -> None:
    """Make the environment although this Python came without ensurepip, as Debian's does."""
    if importlib.util.find_spec("virtualenv") is not None:
        _must_run(
            [sys.executable, "-m", "virtualenv", str(venv)], "virtualenv cannot make the virtual environment"
        )
        return
    package = "python{}.{}-venv".format(*sys.version_info[:2])
    by_hand = (
        "This Python comes without the venv module. Install it, then start again:\n    "
        + qt_libraries.one_line([package])
        if qt_libraries.is_debian_like()
        else "This Python comes without ensurepip. Install the package of your system that brings "
        "Python's venv module, or 'virtualenv', then start again."
    )
    if not qt_libraries.is_debian_like() or os.geteuid() != 0:
        raise StepError(by_hand)
    say(f"This Python comes without the venv module; installing {package}.")
    problem = qt_libraries.install([package])
    if problem:
        raise StepError(f"{problem}\n{by_hand}")
    _must_run([sys.executable, "-m", "venv", str(venv)], "The virtual environment cannot be made")


def _must_run(command: list[str], what: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=clean_environment())
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise StepError(f"{what}: {' '.join(said[-3:])}")


def constraints_file(root: Path) -> Path:
    """Return the file with the exact versions."""
    return root / "packaging" / "constraints.txt"


def pinned(name: str, constraints: str) -> str:
    """Return "name==version" as the text of the constraints has it.

    Raises:
        StepError: it is not pinned.
    """
    for line in constraints.splitlines():
        wanted, _, version = line.partition("==")
        if wanted.strip().lower() == name.lower() and version:
            return f"{name}=={version.strip()}"
    raise StepError(f"{name} is not pinned in constraints.txt.")


def pip_commands(root: Path, python: Path, purpose: str, constraints: str) -> list[tuple[str, list[str]]]:
    """Return (sentence, command) of each installation step, in order.

    PyTorch goes first and alone by its exact version, so that no other build of it is resolved on
    the way; the project itself is installed editable.
    """
    pip = [str(python), "-m", "pip", "install", "--constraint", str(constraints_file(root))]
    torch = pinned("torch", constraints)
    project = f"{root}[test]" if purpose == "test" else str(root)
    steps = [
        (f"Installing {torch}.", [*pip, torch, *(pinned(tool, constraints) for tool in BUILD_TOOLS)]),
        ("Installing the program.", [*pip, "--no-build-isolation", "--editable", project]),
    ]
    if purpose == "test":
        oracles = [pinned(name, constraints) for name in ORACLES]
        steps.append(("Installing what the tests compare with.", [*pip, "--no-deps", *oracles]))
    return steps


def install_project(root: Path, venv: Path, purpose: str) -> None:
    """Install the project and everything it needs; can be interrupted and started again.

    Raises:
        StepError: pip failed, with a sentence on why.
    """
    unfinished = venv / UNFINISHED_NAME
    python = venv_python(venv)
    was_interrupted = unfinished.exists()
    unfinished.touch()
    if was_interrupted:
        say("The last installation did not finish; repairing it.")
    _forget_damaged_packages(python)
    constraints = constraints_file(root).read_text(encoding="utf-8")
    for sentence, command in pip_commands(root, python, purpose, constraints):
        say(sentence)
        _pip(command)
    unfinished.unlink()


def _forget_damaged_packages(python: Path) -> None:
    done = subprocess.run(
        [str(python), "-c", _FIND_DAMAGE],
        capture_output=True,
        text=True,
        check=False,
        env=clean_environment(),
    )
    for name in done.stdout.split():
        say(f"{name.removesuffix('.dist-info')} is damaged; installing it again.")


def _pip(command: list[str]) -> None:
    """Run pip, showing what it says, less the long list of what is there already."""
    last_lines: deque[str] = deque(maxlen=400)
    with subprocess.Popen(
        command,
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                last_lines.append(line)
                if line.strip().startswith(_WORTH_SHOWING):
                    print(f"  {line.strip():.118}", file=sys.stderr, flush=True)
        except BaseException:
            process.terminate()
            raise
    if process.returncode:
        raise StepError(explain_pip("".join(last_lines)))
