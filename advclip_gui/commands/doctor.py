"""`advclip-gui doctor`: whether everything the program needs is here, and what to do where not."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

import typer

from advclip_gui import __version__
from advclip_gui.commands.options import DebugOption, JsonOption, check_json_place
from advclip_gui.commands.output import write_json
from advclip_gui.engine.catalog import CATALOG, availability
from advclip_gui.engine.control import Control
from advclip_gui.engine.runs import runs_root
from advclip_gui.settings import BackboneSettings

_PACKAGES = (
    "torch",
    "torchvision",
    "open_clip_torch",
    "peft",
    "transformers",
    "PySide6_Essentials",
    "pyqtgraph",
    "numpy",
    "pillow",
    "pydantic",
)
_QT_TIMEOUT_S = 60
_WITHOUT_QT = "Training and evaluating from the command line work without it."
_SIGNS = {"ok": "ok  ", "warning": "note", "failed": "FAIL"}


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    state: Literal["ok", "warning", "failed"]
    detail: str


def doctor(json_file: JsonOption = None, debug: DebugOption = False) -> None:
    """Check Python, packages, device, window, bundled files, folders and disk."""
    check_json_place(json_file)
    checks = []
    for name, look in CHECKS.items():
        check = _guarded(name, look)
        checks.append(check)
        typer.echo(f"{_SIGNS[check.state]}  {check.name:<{max(map(len, CHECKS))}}  {check.detail}")
    failed = [check.name for check in checks if check.state == "failed"]
    write_json(json_file, "doctor", {"healthy": not failed, "version": __version__, "checks": checks})
    if failed:
        typer.echo(f"Not working: {', '.join(failed)}.", err=True)
        raise typer.Exit(1)


def _guarded(name: str, look: Callable[[], tuple[Literal["ok", "warning", "failed"], str]]) -> Check:
    try:
        state, detail = look()
    except Exception as error:  # noqa: BLE001 (a broken installation can raise anything)
        state, detail = (
            "failed",
            f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}",
        )
    return Check(name, state, detail)


Finding = tuple[Literal["ok", "warning", "failed"], str]


def _python() -> Finding:
    bits = 64 if sys.maxsize > 2**32 else 32
    text = f"{platform.python_version()}, {bits} bit, {platform.system()} {platform.machine()}"
    return ("ok" if bits == 64 else "failed"), text


def _packages() -> Finding:
    found, missing = [], []
    for package in _PACKAGES:
        try:
            found.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            missing.append(package)
    if missing:
        return "failed", f"missing: {', '.join(missing)}. Install the program again."
    return "ok", ", ".join(found)


def _device() -> Finding:
    import torch

    from advclip_gui.engine.devices import choose_device, describe_device

    device = choose_device("auto")
    detail = f"{describe_device(device)}; {torch.get_num_threads()} threads"
    if device.type == "cpu" and torch.version.cuda is not None:
        return "warning", f"{detail}. PyTorch is built for CUDA {torch.version.cuda}, but no GPU answers."
    return "ok", detail


def _engine() -> Finding:
    from advclip_gui.engine.events import Event
    from advclip_gui.engine.model_ref import ModelRef
    from advclip_gui.engine.session import Session

    def ignore(event: Event) -> None:
        pass

    began = time.perf_counter()
    ref = ModelRef(kind="zero_shot", backbone=BackboneSettings())
    classifier = Session("cpu").classifier(ref, ("cat", "dog"), ("a photo of a {}.",), Control(ignore))
    seconds = time.perf_counter() - began
    return "ok", f"advclip-mini loaded in {seconds:.1f} s, {classifier.image_size} px"


def _demo_photos() -> Finding:
    from advclip_gui.engine.resources import demo_folder

    count = sum(1 for path in demo_folder().rglob("*") if path.suffix.lower() in {".jpg", ".png"})
    return ("ok", f"{count} images") if count else ("failed", "no images. Install the program again.")


def _backbones() -> Finding:
    here = []
    for known in CATALOG:
        if known.name != "local":
            settings = BackboneSettings(name=known.name, weights=known.weights)
            if availability(settings).here:
                here.append(known.title)
    return "ok", f"on this machine: {', '.join(here)}"


def _window() -> Finding:
    """Make a Qt application in a process of its own: a missing library can end the process."""
    screen = bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")) or sys.platform in {
        "win32",
        "darwin",
    }
    environment = dict(os.environ)
    if not screen:
        environment.setdefault("QT_QPA_PLATFORM", "offscreen")
    code = (
        "from PySide6.QtWidgets import QApplication; from PySide6.QtGui import QFontDatabase; "
        "app = QApplication([]); print(app.platformName(), len(QFontDatabase.families()))"
    )
    try:
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=_QT_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        return "warning", f"Qt did not start within {_QT_TIMEOUT_S} s. {_WITHOUT_QT}"
    if done.returncode:
        said = (done.stderr.strip() or f"Qt ended with status {done.returncode}").splitlines()[-1]
        return "warning", f"{said}. {_WITHOUT_QT}"
    name, fonts = done.stdout.split()[-2:]
    if fonts == "0":
        return "warning", "Qt starts, but there is no font; install one, such as DejaVu."
    if not screen:
        return "ok", "Qt starts; there is no display here, so the window can only be drawn into memory"
    return "ok", f"Qt starts on '{name}'"


def _run_folder() -> Finding:
    root = runs_root()
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=root):
        pass
    free = shutil.disk_usage(root).free / 1e9
    state: Literal["ok", "warning"] = "ok" if free > 1 else "warning"
    return state, f"{root}, {free:.1f} GB free"


def _memory() -> Finding:
    import psutil

    memory = psutil.virtual_memory()
    gigabytes = memory.available / 1e9
    state: Literal["ok", "warning"] = "ok" if gigabytes > 2 else "warning"
    return state, f"{gigabytes:.1f} of {memory.total / 1e9:.1f} GB available"


def _program() -> Finding:
    place = Path(__file__).resolve().parent.parent.parent
    kind = "checkout" if (place / "pyproject.toml").is_file() else "installed"
    return "ok", f"{__version__}, {kind}"


CHECKS: dict[str, Callable[[], Finding]] = {
    "Program": _program,
    "Python": _python,
    "Packages": _packages,
    "Device": _device,
    "Bundled model": _engine,
    "Demo photos": _demo_photos,
    "Backbones": _backbones,
    "Window": _window,
    "Run folder": _run_folder,
    "Memory": _memory,
}
