"""How long a thousand runs take to list, and how long the window stands still while it shows them."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from _measure import figure, repeats, run, seconds

RUNS = 1000
_NAMES = ("flowers", "pets", "caltech", "dtd")


def make_runs(root: Path, count: int) -> None:
    """Write what finished runs leave, without their tensors."""
    from advclip_gui.presets import PRESETS

    settings = PRESETS["demo"].settings
    adapter = {"n": 1000, "clean_accuracy": 0.7, "robust_accuracy": 0.4}
    for number in range(count):
        values = {"name": f"Run {number}", "data.shots": 2 ** (number % 5), "data.seed": number}
        values["data.folder"] = f"/data/{_NAMES[number % 4]}"
        folder = root / f"run-{number:04}"
        (folder / "adapter").mkdir(parents=True)
        (folder / "settings.toml").write_text(settings.with_values(values).to_toml())
        (folder / "state.json").write_text(json.dumps({"state": "finished", "started": 1e9 + 60 * number}))
        (folder / "result.json").write_text(json.dumps({"adapter": adapter, "zero_shot": adapter}))
        (folder / "adapter" / "adapter_model.safetensors").touch()


def measure(quick: bool) -> dict[str, Any]:
    """List runs for the first time, after a new start, and again; then show, sort and filter them."""
    home = Path(tempfile.mkdtemp())
    os.environ.update({"XDG_CACHE_HOME": str(home / "cache"), "QT_QPA_PLATFORM": "offscreen"})
    try:
        return _measure(home / "runs", repeats(quick))
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _measure(root: Path, times: int) -> dict[str, Any]:
    from advclip_gui.engine.run_list import RunIndex

    make_runs(root, RUNS)

    def first() -> None:
        RunIndex(root).memory.unlink(missing_ok=True)
        RunIndex(root).read()

    index = RunIndex(root)
    figures = {
        "first listing": figure(seconds(first, times), "s"),
        "listing after a new start": figure(seconds(lambda: RunIndex(root).read(), times), "s"),
        "listing again": figure(seconds(index.read, times), "s"),
    }
    figures |= _in_the_table(index, times)
    return {"figures": figures, "details": {"runs": RUNS, "torch_imported": _has_torch()}}


def _in_the_table(index: Any, times: int) -> dict[str, Any]:
    """The main thread's share: none of these may take 50 ms."""
    from PySide6.QtCore import Qt

    from advclip_gui.gui import theme
    from advclip_gui.gui.app import make_application
    from advclip_gui.gui.widgets.run_columns import NAME, ROBUST
    from advclip_gui.gui.widgets.run_table import RunTable

    app = make_application()
    theme.apply(app, "light")
    table, runs = RunTable(), index.read()
    table.resize(1200, 400)
    table.show()
    app.processEvents()

    def timed(work: Any, undo: Any) -> Any:
        taken = []
        for _ in range(times):
            began = time.perf_counter()
            work()
            app.processEvents()
            taken.append(time.perf_counter() - began)
            undo()
            app.processEvents()
        return figure(taken, "s")

    return {
        "showing": timed(lambda: table.set_runs(runs), lambda: table.set_runs([])),
        "sorting": timed(
            lambda: table.sortByColumn(NAME, Qt.SortOrder.AscendingOrder),
            lambda: (table.set_runs(runs), table.sortByColumn(ROBUST, Qt.SortOrder.DescendingOrder)),
        ),
        "filtering": timed(lambda: table.set_filter(Filter("flowers 16")), lambda: table.set_filter(Filter())),
        "selecting all": timed(table.selectAll, table.clearSelection),
    }


def _has_torch() -> bool:
    import sys

    return "torch" in sys.modules


if __name__ == "__main__":
    run(measure)
