"""`advclip-gui bench`: run the benchmarks, each in a process of its own, and gather their figures."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from advclip_gui import __version__
from advclip_gui.commands.options import DebugOption, JsonOption, check_json_place
from advclip_gui.commands.output import table, write_json
from advclip_gui.commands.watcher import Watcher
from advclip_gui.engine.errors import UserError

_PACKAGE = Path(__file__).resolve().parent.parent
_PLACES = (_PACKAGE / "_benchmarks", _PACKAGE.parent / "tests" / "benchmarks")
_POLL_S = 0.1


def bench(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]...", help="Which benchmarks; all where none is named."),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Few repetitions, small cases only.")] = False,
    show_list: Annotated[bool, typer.Option("--list", help="Only list their names.")] = False,
    json_file: JsonOption = None,
    debug: DebugOption = False,
) -> None:
    """Measure start-up, training steps, probes and the window's event loop; medians of several runs."""
    check_json_place(json_file)
    scripts = benchmarks()
    if show_list:
        typer.echo("\n".join(scripts))
        return
    unknown = [name for name in names or () if name not in scripts]
    if unknown:
        raise typer.BadParameter(
            f"there is no benchmark '{unknown[0]}'; there are {', '.join(scripts)}.", param_hint="'[NAME]...'"
        )
    results: dict[str, Any] = {}
    with Watcher() as watcher:
        wanted = names or list(scripts)
        for number, name in enumerate(wanted):
            watcher.control.progress("Benchmarks", number, len(wanted), name)
            results[name] = _run(scripts[name], quick, watcher)
    rows = [("benchmark", "figure", "median", "unit")]
    for name, result in results.items():
        for figure, values in result["figures"].items():
            rows.append((name, figure, f"{values['median']:.4g}", values["unit"]))
    table(rows, left=2)
    write_json(json_file, "bench", {**_machine(), "quick": quick, "benchmarks": results})


def benchmarks() -> dict[str, Path]:
    """Return name -> script, sorted; a script whose name begins with "_" is shared code.

    Raises:
        UserError: they are not part of this installation.
    """
    for place in _PLACES:
        found = {path.stem: path for path in sorted(place.glob("[!_]*.py"))}
        if found:
            return found
    raise UserError("The benchmarks are missing from this installation.", "Install the program again.")


def _run(script: Path, quick: bool, watcher: Watcher) -> dict[str, Any]:
    """Run one script; it prints one JSON object on its last line."""
    command = [sys.executable, str(script), *(["--quick"] if quick else [])]
    path = os.pathsep.join(filter(None, [str(_PACKAGE.parent), os.environ.get("PYTHONPATH")]))
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    ) as process:
        try:
            while True:
                try:
                    output, errors = process.communicate(timeout=_POLL_S)
                    break
                except subprocess.TimeoutExpired:
                    watcher.control.check()
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        said = errors.strip().splitlines()[-1:] or [f"status {process.returncode}"]
        raise UserError(f"The benchmark {script.stem} failed: {said[0]}")
    result: dict[str, Any] = json.loads(output.strip().splitlines()[-1])
    return result


def _machine() -> dict[str, Any]:
    return {
        "version": __version__,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "cpu_count": os.cpu_count(),
    }
