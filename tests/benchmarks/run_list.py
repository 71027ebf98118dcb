"""How long a thousand runs and a hundred adapters take to list, and how long the window waits for them."""

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
ADAPTERS = 100
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


def make_adapters(folder: Path, library: Any, count: int) -> None:
    """Write what Export does, without tensors, and open each."""
    from advclip_gui.engine.exchange.info import AdapterInfo, record_of
    from advclip_gui.presets import PRESETS

    settings = PRESETS["demo"].settings
    figures = {"adapter": {"n": 1000, "clean_accuracy": 0.7, "robust_accuracy": 0.4}}
    names = tuple(f"class {number}" for number in range(100))
    for number in range(count):
        place = folder / f"adapter-{number:03}"
        place.mkdir(parents=True)
        (place / "adapter_model.safetensors").touch()
        (place / "adapter_config.json").write_text('{"r": 4, "lora_alpha": 8}')
        info = AdapterInfo(settings.backbone, names, ("a {}.",), "", settings, f"Adapter {number}", figures)
        (place / "advclip.json").write_text(json.dumps(record_of(info, "peft")))
        library.open_folder(place)


def measure(quick: bool) -> dict[str, Any]:
    """List runs for the first time, after a new start, and again; then show, sort and filter them."""
    home = Path(tempfile.mkdtemp())
    os.environ.update({"XDG_CACHE_HOME": str(home / "cache"), "QT_QPA_PLATFORM": "offscreen"})
    try:
        return _measure(home, repeats(quick))
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _measure(home: Path, times: int) -> dict[str, Any]:
    from advclip_gui.engine.adapter_library import AdapterLibrary
    from advclip_gui.engine.adapter_lines import adapter_lines
    from advclip_gui.engine.run_list import RunIndex

    root, shelf = home / "runs", home / "adapters"
    make_runs(root, RUNS)
    make_adapters(home / "exported", AdapterLibrary(shelf), ADAPTERS)

    def listed(index: RunIndex, library: AdapterLibrary) -> list[Any]:
        runs = index.read()
        return runs + adapter_lines(library.adapters(), {run.path for run in runs})

    def first() -> None:
        RunIndex(root).memory.unlink(missing_ok=True)
        after_a_start()

    def after_a_start() -> list[Any]:
        return listed(RunIndex(root), AdapterLibrary(shelf))

    index, library = RunIndex(root), AdapterLibrary(shelf)
    figures = {
        "first listing": figure(seconds(first, times), "s"),
        "listing after a new start": figure(seconds(after_a_start, times), "s"),
        "listing again": figure(seconds(lambda: listed(index, library), times), "s"),
    }
    figures |= _in_the_table(listed(index, library), times)
    details = {"runs": RUNS, "adapters": ADAPTERS, "torch_imported": _has_torch()}
    return {"figures": figures, "details": details}


def _in_the_table(lines: Any, times: int) -> dict[str, Any]:
    """The main thread's share: none of these may take 50 ms."""
    from PySide6.QtCore import Qt

    from advclip_gui.gui import theme
    from advclip_gui.gui.app import make_application
    from advclip_gui.gui.widgets.run_columns import NAME, ROBUST
    from advclip_gui.gui.widgets.run_model import Filter
    from advclip_gui.gui.widgets.run_table import RunTable

    app = make_application()
    theme.apply(app, "light")
    table = RunTable()
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
        "showing": timed(lambda: table.set_runs(lines), lambda: table.set_runs([])),
        "sorting": timed(
            lambda: table.sortByColumn(NAME, Qt.SortOrder.AscendingOrder),
            lambda: (table.set_runs(lines), table.sortByColumn(ROBUST, Qt.SortOrder.DescendingOrder)),
        ),
        "filtering": timed(
            lambda: table.set_filter(Filter("flowers 16")), lambda: table.set_filter(Filter())
        ),
        "selecting all": timed(table.selectAll, table.clearSelection),
    }


def _has_torch() -> bool:
    import sys

    return "torch" in sys.modules


if __name__ == "__main__":
    run(measure)
