"""How long it takes from the start of the process to the first window, offscreen and on a warm disk."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from typing import Any

from _measure import figure, repeats, run

# A filter on the application, made before the program's own `main`, notes the first picture drawn.
_CHILD = """
import json, os, sys, time
import psutil
from PySide6.QtCore import QEvent, QObject
from PySide6.QtWidgets import QApplication
class FirstPaint(QObject):
    result = None
    def eventFilter(self, watched, event):
        if event.type() == QEvent.Type.Paint and self.result is None:
            self.result = {
                "seconds": time.time() - psutil.Process().create_time(),
                "processor": time.process_time(),
                "torch": "torch" in sys.modules,
            }
        return False
app = QApplication([])
watch = FirstPaint()
app.installEventFilter(watch)
def report(*_):
    deadline = time.time() + 60
    while watch.result is None and time.time() < deadline:
        app.processEvents()
    sys.stdout.write(json.dumps(watch.result) + "\\n")
    sys.stdout.flush()
    os._exit(0)
QApplication.exec = report
from advclip_gui.__main__ import main
main([])
"""


def measure(quick: bool) -> dict[str, Any]:
    """Start the program several times; each in fresh settings and data folders."""
    taken, processor, with_torch = [], [], 0
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
            processor.append(result["processor"])
            with_torch += result["torch"]
    return {
        "figures": {
            "first window": figure(taken, "s"),
            "first window, processor time": figure(processor, "s"),
        },
        "details": {"starts_with_torch_imported_before_the_window": with_torch},
    }


if __name__ == "__main__":
    run(measure)
