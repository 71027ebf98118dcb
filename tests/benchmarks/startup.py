"""How long it takes from the start of the process to the first window, offscreen and on a warm disk."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from typing import Any

from _measure import figure, repeats, run

# The application's own `main` runs up to the event loop; there, the first turn with a visible window
# is the moment the user sees it.
_CHILD = """
import json, os, sys, time
import psutil
from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QApplication
def report(*_):
    app = QApplication.instance()
    deadline = time.time() + 30
    while time.time() < deadline and not any(w.isVisible() for w in app.topLevelWidgets()):
        app.processEvents()
    app.processEvents()
    shown = time.time() - psutil.Process().create_time()
    sys.stdout.write(json.dumps({"seconds": shown, "torch": "torch" in sys.modules}) + "\\n")
    sys.stdout.flush()
    os._exit(0)
QApplication.exec = report
from advclip_gui.__main__ import main
main([])
"""


def measure(quick: bool) -> dict[str, Any]:
    """Start the program several times; each in fresh settings and data folders."""
    taken, with_torch = [], 0
    for number in range(repeats(quick) + 1):
        with tempfile.TemporaryDirectory() as home:
            environment = {
                **os.environ,
                "QT_QPA_PLATFORM": "offscreen",
                "XDG_CONFIG_HOME": home,
                "XDG_DATA_HOME": home,
                "XDG_STATE_HOME": home,
            }
            done = subprocess.run(
                [sys.executable, "-c", _CHILD], env=environment, capture_output=True, text=True, check=False
            )
        if done.returncode or not done.stdout.strip():
            sys.exit((done.stderr.strip() or "the window did not open").splitlines()[-1])
        result = json.loads(done.stdout.strip().splitlines()[-1])
        if number:  # the first start warms the disk
            taken.append(result["seconds"])
            with_torch += result["torch"]
    return {
        "figures": {"first window": figure(taken, "s")},
        "details": {"starts_with_torch_imported_before_the_window": with_torch},
    }


if __name__ == "__main__":
    run(measure)
