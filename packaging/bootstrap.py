"""Set everything up and start the program or its tests; needs nothing but Python 3.11 or newer.

    python3 packaging/bootstrap.py run [ARGUMENTS OF advclip-gui ...]
    python3 packaging/bootstrap.py test [ARGUMENTS OF pytest ...]

Makes `.venv` in the checkout, installs the project with the versions of constraints.txt, finds the
system libraries that Qt needs, and repairs what an interrupted start left behind. When nothing has
changed since the last time, the program starts at once. `test` without arguments also runs ruff and
mypy; with arguments only pytest.
"""

from __future__ import annotations

import sys

if sys.version_info < (3, 11):  # noqa: UP036 (said here, before anything newer is imported)
    sys.exit("This program needs Python 3.11 or newer; this is Python {}.{}.".format(*sys.version_info[:2]))

import hashlib
import json
import os
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import install_steps
from install_steps import UNFINISHED_NAME, StepError, say, venv_python

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP_NAME = ".advclip-bootstrap.json"
HASHED = (
    "pyproject.toml",
    "packaging/bootstrap.py",
    "packaging/constraints.txt",
    "packaging/hatch_build.py",
    "packaging/install_steps.py",
    "packaging/qt_libraries.py",
)
"""A change to any of these makes the next start install again."""

PURPOSES = ("run", "test")


def fingerprint(root: Path, purpose: str, version: tuple[int, int]) -> str:
    """Return a hash of everything that decides what has to be installed.

    Args:
        root: the checkout; a checkout that was moved counts as changed.
        purpose: "run" or "test".
        version: major and minor version of Python.
    """
    digest = hashlib.sha256(f"{purpose}\0{version}\0{root}\0".encode())
    for name in HASHED:
        path = root / name
        digest.update(name.encode() + b"\0" + (path.read_bytes() if path.exists() else b"") + b"\0")
    return digest.hexdigest()


def read_stamp(venv: Path) -> dict[str, str]:
    """Return purpose -> fingerprint of what is installed; empty where that is not known."""
    try:
        values = json.loads((venv / STAMP_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(key): str(value) for key, value in values.items()} if isinstance(values, dict) else {}


def write_stamp(venv: Path, stamp: Mapping[str, str]) -> None:
    """Replace the stamp in one step."""
    temporary = venv / (STAMP_NAME + ".part")
    temporary.write_text(json.dumps(dict(stamp)), encoding="utf-8")
    temporary.replace(venv / STAMP_NAME)


def is_ready(venv: Path, purpose: str, wanted: str) -> bool:
    """Tell whether nothing has to be done: installed as wanted, and the interpreter still there."""
    return (
        read_stamp(venv).get(purpose) == wanted
        and not (venv / UNFINISHED_NAME).exists()
        and venv_python(venv).exists()
    )


@contextmanager
def only_one(lock_path: Path) -> Iterator[None]:
    """Let a second start wait until the first has finished installing."""
    with lock_path.open("a+b") as handle:
        if os.name == "nt":
            import msvcrt

            lock = msvcrt.locking
            lock(handle.fileno(), msvcrt.LK_LOCK, 1)
            try:
                yield
            finally:
                handle.seek(0)
                lock(handle.fileno(), msvcrt.LK_UNLCK, 1)
            return
        import fcntl

        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Another start is installing; waiting for it.")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def set_up(purpose: str) -> Path:
    """Return the interpreter to start, after installing whatever is missing.

    Raises:
        StepError: it cannot be done.
    """
    wanted = {name: fingerprint(ROOT, name, sys.version_info[:2]) for name in PURPOSES}
    if is_ready(VENV, purpose, wanted[purpose]):
        return venv_python(VENV)
    try:
        with only_one(ROOT / ".venv.lock"):
            if not is_ready(VENV, purpose, wanted[purpose]):
                install_steps.install_system_libraries(windows=purpose == "run")
                # What is installed for the tests is enough to run the program, but not the reverse.
                if not is_ready(VENV, "test", wanted["test"]):
                    install_steps.make_venv(VENV)
                    install_steps.install_project(ROOT, VENV, purpose)
                write_stamp(VENV, {**read_stamp(VENV), purpose: wanted[purpose]})
    except OSError as error:
        raise StepError(install_steps.explain_os_error(error)) from error
    return venv_python(VENV)


def run_command(python: Path, arguments: list[str]) -> list[str]:
    """Return the command that starts the program."""
    return [str(python), "-m", "advclip_gui", *arguments]


def suite_commands(python: Path, arguments: list[str], cores: int | None = None) -> list[list[str]]:
    """Return the commands of the test suite, pytest last; a selection leaves out ruff and mypy.

    The whole suite runs in as many processes as there are cores, four at most: each holds a torch of its
    own. The tests of a file stay together and in order, for they share what was trained for them.
    """
    if arguments:
        return [[str(python), "-m", "pytest", *arguments]]
    workers = min(4, cores or os.cpu_count() or 1)
    spread = ["-n", str(workers), "--dist", "loadfile", "--no-loadscope-reorder"] if workers > 1 else []
    tools = (["ruff", "check", "."], ["mypy"], ["pytest", *spread])
    return [[str(python), "-m", *tool] for tool in tools]


def suite_environment(environment: Mapping[str, str], platform: str) -> dict[str, str]:
    """Return the environment of the tests: Qt draws into memory where there is no display."""
    result = dict(environment)
    has_display = platform in {"win32", "darwin"} or any(
        environment.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")
    )
    if not has_display:
        result.setdefault("QT_QPA_PLATFORM", "offscreen")
    return result


def become(command: list[str]) -> int:
    """Replace this process by the command; on Windows, wait for it."""
    if os.name != "nt":
        sys.stdout.flush()
        sys.stderr.flush()
        os.execv(command[0], command)
    return subprocess.run(command, check=False).returncode


def run_tests(python: Path, arguments: list[str]) -> int:
    """Run the checks and then pytest; return 0 only if all of them passed."""
    failed = []
    status = 0
    for command in suite_commands(python, arguments):
        say("Running " + " ".join(command[2:]))
        done = subprocess.run(command, cwd=ROOT, env=suite_environment(os.environ, sys.platform), check=False)
        if done.returncode:
            failed.append(command[2])
            status = status or done.returncode
    if failed and failed != ["pytest"]:
        say(f"Failed: {', '.join(failed)}.")
    return status


def main(arguments: list[str]) -> int:
    """Return the exit status of whatever was started; 1 if it could not be set up."""
    if not arguments or arguments[0] not in PURPOSES:
        asked = bool(arguments) and arguments[0] in {"-h", "--help"}
        print((__doc__ or "").strip(), file=sys.stdout if asked else sys.stderr)
        return 0 if asked else 2
    purpose, *rest = arguments
    try:
        python = set_up(purpose)
        return run_tests(python, rest) if purpose == "test" else become(run_command(python, rest))
    except StepError as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        say("Interrupted. The next start goes on from here.")
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
