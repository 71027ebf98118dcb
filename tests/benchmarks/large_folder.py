"""A folder of 100,000 images: how fast it is scanned and shown, how soon cancelled, what memory it takes.

The aims: 5,000 files a second from the file cache without decoding them, the first rows within 0.5 s,
frames of a scrolling grid within 16 ms, and less than 500 MB in all.
"""

from __future__ import annotations

import itertools
import os
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from _measure import figure, percentile, repeats, run

if TYPE_CHECKING:
    from collections.abc import Callable

    from advclip_gui.engine.datasets.records import DatasetScan

IMAGES, IMAGES_QUICK, CLASSES = 100_000, 10_000, 1000
_PATIENCE_S = 300
_FRAMES = 200


def measure(quick: bool) -> dict[str, Any]:
    """Scan, cancel, and open in the Data page, offscreen, in folders of its own."""
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    count = IMAGES_QUICK if quick else IMAGES
    with tempfile.TemporaryDirectory() as home:
        for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"):
            os.environ[name] = home
        root = Path(home) / "images"
        _write_tree(root, count)
        figures = _scans(root, count, repeats(quick) // 3)
        figures |= _zips(root, Path(home), count // 5, repeats(quick) // 3)
        figures |= _window(root, count)
    details = {
        "images": f"{count:,} different JPEGs of 500 x 375 in {CLASSES:,} folders, written just before",
        "memory": "of the whole process, with the window, after everything",
    }
    return {"figures": figures, "details": details}


def _scans(root: Path, count: int, times: int) -> dict[str, Any]:
    from advclip_gui.engine.control import Control
    from advclip_gui.engine.datasets.folder import scan

    rates, shares, firsts, cancels = [], [], [], []
    found: DatasetScan | None = None
    for _ in range(times):
        told: list[float] = []
        began, worked = time.perf_counter(), time.process_time()

        def hear(event: object, told: list[float] = told, began: float = began) -> None:
            if type(event).__name__ == "ImagesFound":
                told.append(time.perf_counter() - began)

        found = scan(root, control=Control(hear))
        rates.append(count / (time.perf_counter() - began))
        shares.append(count / (time.process_time() - worked))
        firsts.append(told[0])
        if len(found.records) != count or found.problems:
            raise RuntimeError(f"{len(found.records)} images and {len(found.problems)} problems were found")
        if (waited := _cancel(root, 0.5 * count / rates[-1])) is not None:
            cancels.append(waited)
    return {
        "scan": figure(rates, "files/s"),
        "scan, processor time": figure(shares, "files/s"),
        "first images told": figure([1000 * value for value in firsts], "ms"),
        "cancelled half-way": figure([1000 * value for value in cancels] or [0.0], "ms"),
    }


def _zips(root: Path, home: Path, count: int, times: int) -> dict[str, Any]:
    """Scan a zip of part of the images, stored and packed."""
    import zipfile

    from advclip_gui.engine.control import Control
    from advclip_gui.engine.datasets.folder import scan

    figures = {}
    for title, packing in (("stored", zipfile.ZIP_STORED), ("deflated", zipfile.ZIP_DEFLATED)):
        path = home / f"{title}.zip"
        with zipfile.ZipFile(path, "w", packing, compresslevel=1) as archive:
            for number in range(count):
                name = _name(number)
                archive.write(root / name, name)
        rates = []
        for _ in range(times):
            began = time.perf_counter()
            found = scan(path, control=Control(), decode="header")
            rates.append(count / (time.perf_counter() - began))
            if len(found.records) != count or found.problems_of("error"):
                raise RuntimeError(f"{len(found.records)} images were found in the zip")
        figures[f"scan of a zip, {title}"] = figure(rates, "files/s")
        path.unlink()
    return figures


def _name(number: int) -> str:
    return f"class {number % CLASSES:04}/{number:06}.jpg"


def _cancel(root: Path, after: float) -> float | None:
    """Seconds from cancelling a scan to its end; None where it was over by then."""
    from advclip_gui.engine.control import Cancelled, Control
    from advclip_gui.engine.datasets.folder import scan

    control, asked = Control(), []

    def cancel() -> None:
        asked.append(time.perf_counter())
        control.cancel()

    timer = threading.Timer(after, cancel)
    timer.start()
    try:
        scan(root, control=control)
    except Cancelled:
        return time.perf_counter() - asked[0]
    finally:
        timer.join()
    return None


def _window(root: Path, count: int) -> dict[str, Any]:
    from PySide6.QtCore import QEventLoop, QTimer

    from advclip_gui.gui.app import collect_in_main_thread, make_application, make_window
    from advclip_gui.gui.bridge import Backend
    from advclip_gui.gui.io_thread import IoPool
    from advclip_gui.gui.workspace import Workspace

    application = make_application()
    window = make_window()
    io, workspace = window.findChild(IoPool), window.findChild(Workspace)
    garbage = collect_in_main_thread(window)
    garbage.settle()  # as once the engine is loaded: from then on there are collections
    window.resize(1280, 800)
    window.show()
    for name in ("recipe", "data"):
        window.show_page(name)
    page = window.pages["data"]

    def until(done: Callable[[], bool], on_turn: Callable[[], None] = lambda: None) -> None:
        limit = time.monotonic() + _PATIENCE_S
        while not done():
            application.processEvents(QEventLoop.ProcessEventsFlag.AllEvents, 5)
            on_turn()
            if time.monotonic() > limit:
                raise RuntimeError("the window took too long")

    turns: list[float] = []
    ticker = QTimer()
    ticker.setInterval(5)
    ticker.timeout.connect(lambda: turns.append(time.perf_counter()))
    ticker.start()
    grid = page.browser.grid
    first: list[float] = []

    def look() -> None:
        if not first and grid.model().rowCount() and grid.isVisible():
            grid.grab()
            first.append(time.perf_counter() - began)

    began = time.perf_counter()
    page.open(str(root))
    until(lambda: workspace.scan is not None, look)
    whole = time.perf_counter() - began
    until(lambda: not page.sample.drawing and not io.jobs)
    gaps = _gaps(turns)
    if grid.model().rowCount() != count:
        raise RuntimeError(f"the grid shows {grid.model().rowCount()} images")
    bar = grid.verticalScrollBar()

    def scroll(step: int) -> tuple[list[float], list[float]]:
        """Time to draw the whole grid after each of many steps, thumbnails being read all the while.

        On the clock and of the processor: beside other work the clock tells more of that than of the grid.
        """
        frames: list[float] = []
        worked: list[float] = []
        turns.clear()
        for number in range(_FRAMES):
            start, busy = time.perf_counter(), time.thread_time()
            bar.setValue(number * step)
            grid.viewport().repaint()
            frames.append(1000 * (time.perf_counter() - start))
            worked.append(1000 * (time.thread_time() - busy))
            until_next = time.perf_counter() + 0.016 - frames[-1] / 1000
            while time.perf_counter() < until_next:
                application.processEvents(QEventLoop.ProcessEventsFlag.AllEvents, 2)
        return frames, worked

    (wheel, wheel_work), wheel_gaps = scroll(bar.singleStep()), _gaps(turns)
    (dragged, dragged_work), dragged_gaps = scroll(max(1, bar.maximum() // _FRAMES)), _gaps(turns)
    ticker.stop()
    until(lambda: not page.browser.loader.busy)
    cached = page.browser.loader.cached
    memory = _peak_megabytes()
    window.close()
    garbage.stop()
    window.findChild(Backend).shut_down()
    io.shut_down()
    return {
        "window: first rows": figure([1000 * value for value in first], "ms"),
        "window: whole folder": figure([whole], "s"),
        "window: event loop, longest gap": figure([max(gaps)], "ms"),
        "window: event loop, 99th percentile": figure([percentile(gaps, 0.99)], "ms"),
        "window: frame, wheel": figure(wheel, "ms"),
        "window: frame, wheel, 99th percentile": figure([percentile(wheel, 0.99)], "ms"),
        "window: frame, handle dragged through all": figure(dragged, "ms"),
        "window: frame, handle dragged, 99th percentile": figure([percentile(dragged, 0.99)], "ms"),
        "window: frame, processor time, 99th percentile": figure(
            [percentile(wheel_work, 0.99), percentile(dragged_work, 0.99)], "ms"
        ),
        "window: event loop, longest gap while scrolling": figure([max(wheel_gaps + dragged_gaps)], "ms"),
        "window: thumbnails kept": figure([float(cached)], "images"),
        "memory, peak": figure([memory], "MB"),
    }


def _gaps(turns: list[float]) -> list[float]:
    """Milliseconds between the turns of the event loop."""
    return [1000 * (later - sooner) for sooner, later in itertools.pairwise(turns)]


def _peak_megabytes() -> float:
    if sys.platform == "win32":
        import psutil

        return float(psutil.Process().memory_info().peak_wset) / 1e6
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def _write_tree(root: Path, count: int) -> None:
    """Write small JPEGs that differ in a comment: each is a file of its own, none a duplicate."""
    import io

    import numpy as np
    from PIL import Image

    numbers = np.random.default_rng(0)
    plain = []
    for _ in range(8):
        small = Image.fromarray(numbers.integers(0, 256, (12, 16, 3), dtype=np.uint8))
        stream = io.BytesIO()
        small.resize((500, 375)).save(stream, "JPEG", quality=20)
        plain.append(stream.getvalue())
    for label in range(CLASSES):
        (root / f"class {label:04}").mkdir(parents=True)
    for number in range(count):
        comment = f"{number:09}".encode() + b" " * (number * 7919 % 1500)
        segment = b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment
        picture = plain[number % len(plain)]
        (root / _name(number)).write_bytes(picture[:2] + segment + picture[2:])


if __name__ == "__main__":
    run(measure)
