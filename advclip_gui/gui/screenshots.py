"""Pictures of every page, light and dark, at one and two times the size, with a real, finished demo run."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from advclip_gui.engine.errors import StorageError, UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from PySide6.QtWidgets import QWidget

    from advclip_gui.gui.main_window import MainWindow
    from advclip_gui.gui.pages.probe import ProbePage
    from advclip_gui.gui.workspace import Workspace

WIDTH, HEIGHT = 1280, 800
SCALES = (1, 2)
THEMES = ("light", "dark")
PAGES = ("start", "data", "recipe", "train", "probe", "evaluate", "runs")

_MINUTE = 60
_WHOLE_LIMIT_S = 60 * _MINUTE
_TRAINING_LIMIT_S = 30 * _MINUTE
_JOB_LIMIT_S = 10 * _MINUTE
_POLL_MS = 40
_QUIET_ROUNDS = 8
"""Looks in a row at which nothing must be under way before a picture is taken: thumbnails come in batches."""
_IMAGES_TRIED = 20
_GALLERY_IMAGES = 12


def main(out_dir: Path, *, steps: int | None = None, scales: Sequence[int] = SCALES) -> list[Path]:
    """Write ``page-theme@scale.png`` for every page, and a few states on the way, to `out_dir`.

    The window runs in a process of its own for each scale, with settings and runs in a temporary
    folder: those of the user are neither shown nor changed. The run is trained once.

    Args:
        out_dir: where the files go; made if it is not there.
        steps: of the demo run, and a smaller evaluation; None takes the demo's own.
        scales: device pixels for each pixel of the design.

    Returns:
        The files, in the order they were written.

    Raises:
        UserError: a step of the way failed or took too long.
    """
    out_dir = Path(out_dir).absolute()
    out_dir.mkdir(parents=True, exist_ok=True)
    before = _times(out_dir)
    with tempfile.TemporaryDirectory(prefix="advclip-gui-pictures-") as home:
        for scale in scales:
            _draw_in_own_process(out_dir, Path(home), steps, scale)
    written = {path: time for path, time in _times(out_dir).items() if before.get(path) != time}
    return sorted(written, key=lambda path: (written[path], path.name))


def _times(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.glob("*.png")}


def _draw_in_own_process(out_dir: Path, home: Path, steps: int | None, scale: int) -> None:
    command = [sys.executable, "-m", "advclip_gui.gui.screenshots", str(out_dir), "--scale", str(scale)]
    environment = {
        **os.environ,
        **dict.fromkeys(_FOLDER_VARIABLES, str(home)),
        "QT_QPA_PLATFORM": "offscreen",
        "QT_SCALE_FACTOR": str(scale),
        "PYTHONPATH": os.pathsep.join(filter(None, (*sys.path, os.environ.get("PYTHONPATH", "")))),
    }
    if sys.platform == "darwin":
        environment["HOME"] = str(home)
    try:
        done = subprocess.run(
            [*command, *(("--steps", str(steps)) if steps else ())],
            env=environment,
            timeout=_WHOLE_LIMIT_S,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        minutes = _WHOLE_LIMIT_S // _MINUTE
        raise UserError(f"The pictures at scale {scale} were not done after {minutes} minutes.") from error
    if done.returncode:
        said = done.stdout.strip() or f"The process ended with exit code {done.returncode}."
        raise UserError(f"The pictures at scale {scale} could not be drawn. {said}")


_FOLDER_VARIABLES = (
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_STATE_HOME",
    "XDG_DOCUMENTS_DIR",
    "WIN_PD_OVERRIDE_APPDATA",
    "WIN_PD_OVERRIDE_LOCAL_APPDATA",
    "WIN_PD_OVERRIDE_PERSONAL",
)
"""Where the platform's folders are redirected to."""


class Photographer:
    """Walks through the window like a user and takes a picture of every page."""

    def __init__(self, out_dir: Path, scale: int, steps: int | None) -> None:
        """Open the window."""
        from advclip_gui.gui.app import make_application, make_window
        from advclip_gui.gui.bridge import Backend
        from advclip_gui.gui.io_thread import IoPool
        from advclip_gui.gui.workspace import Workspace

        self._app = make_application()
        self._out, self._scale, self._steps = out_dir, scale, steps
        self.window: MainWindow = make_window()
        self.workspace: Workspace = self.window.findChild(Workspace)
        self._backend: Backend = self.window.findChild(Backend)
        self._io: IoPool = self.window.findChild(IoPool)

    def walk(self) -> None:
        """Take all pictures and close the window."""
        from advclip_gui.gui.app import collect_in_main_thread, start_engine

        window, workspace = self.window, self.workspace
        garbage = collect_in_main_thread(window)
        window.resize(WIDTH, HEIGHT)
        window.show()
        try:
            for page in PAGES:
                self._show(page, page if page in {"start", "recipe"} else f"{page}-empty")
            start_engine(window)
            workspace.open_demo(then="data")
            self._until(lambda: workspace.scan is not None, _JOB_LIMIT_S, "The demo was not scanned")
            self._until(self._engine_loaded, _JOB_LIMIT_S, "The engine was not loaded")
            for page in ("data", "recipe"):
                self._show(page)
            self._show("train", "train-ready")
            self._train()
            self._show("train")
            self._probe()
            self._evaluate()
            self._show("runs")
            self._export()
        finally:
            if workspace.training is not None and workspace.training.active:
                workspace.training.cancel()
                self._backend.shut_down()
            window.close()
            garbage.stop()

    # --- stations -----------------------------------------------------------------------------

    def _engine_loaded(self) -> bool:
        if self._backend.engine_error is not None:
            raise UserError(self._backend.engine_error.sentence)
        return self._backend.ready

    def _train(self) -> None:
        """Train the demo; at a second scale take up the finished run, which evaluates it once more."""
        workspace = self.workspace
        self._rest()
        finished = next((run.path for run in workspace.last_runs if run.state == "finished"), None)
        if finished is not None:
            handle = workspace.resume_training(finished)
        else:
            handle = workspace.start_training(self._recipe())
        if handle is None or workspace.record is None:
            raise UserError("The demo run did not start.")
        record = workspace.record
        half = record.settings.total_steps // 2
        late = "The demo run was not done"
        self._until(lambda: record.history.last_step >= half or not handle.active, _TRAINING_LIMIT_S, late)
        if finished is None and handle.active:
            self._shoot("train-running")
        self._until(lambda: not handle.active, _TRAINING_LIMIT_S, late)
        if handle.state != "finished":
            raise UserError(f"The demo run {handle.state}. {handle.error.sentence if handle.error else ''}")
        self._until(lambda: bool(workspace.last_runs), _JOB_LIMIT_S, "The demo run was not listed")

    def _recipe(self) -> object:
        settings = self.workspace.settings
        if not self._steps:
            return settings
        fewer = {
            "training.steps": self._steps,
            "monitor.every": max(1, self._steps // 6),
            "monitor.final_images": 50,
        }
        return settings.with_values(fewer)

    def _probe(self) -> None:
        """Attack one image after the other until a prediction flips."""
        from advclip_gui.gui.pages.probe import ProbePage

        self.window.show_page("probe")
        page = self.window.pages["probe"]
        assert isinstance(page, ProbePage)
        self._rest()
        images = page.strip.view.model()
        for row in range(min(images.rowCount(), _IMAGES_TRIED)):
            page.strip.view.setCurrentIndex(images.index(row, 0))
            self._rest()
            result = page.stage.result
            if result is not None and result.flipped_after_8bit:
                break
        if page.stage.result is None:
            raise UserError(f"No image could be attacked. {page.banner.message}".strip())
        self._shoot("probe")
        self._probe_states(page)

    def _probe_states(self, page: ProbePage) -> None:
        """The other ways of looking at the image under attack."""
        mode, replay = page.stage.perturbation_mode, page.stage.replay
        for shown, name in (("heat", "probe-heat"), ("signed", "")):
            mode.set_value(shown)
            mode.chosen.emit(shown)
            if name:
                self._shoot(name)
        replay.slider.setValue(replay.slider.maximum() // 3)
        self._shoot("probe-replay")
        replay.slider.setValue(replay.slider.maximum())
        page.views.show_view("compare")
        for shown in ("each", "transfer"):
            page.views.compare.mode.set_value(shown)
            page.views.compare.changed.emit()
            self._shoot(f"probe-compare-{shown}")
        page.views.show_view("gallery")
        page.strip.class_filter.setCurrentIndex(1)
        gallery = page.views.gallery
        gallery.start()
        entries = gallery.grid.entries
        self._until(
            lambda: entries.rowCount() >= _GALLERY_IMAGES or not gallery.searching, _JOB_LIMIT_S, "No gallery"
        )
        gallery.cancel()
        self._shoot("probe-gallery")
        page.strip.class_filter.setCurrentIndex(0)
        page.views.show_view("stage")

    def _evaluate(self) -> None:
        from advclip_gui.gui.pages.evaluate import EvaluatePage

        self.window.show_page("evaluate")
        page = self.window.pages["evaluate"]
        assert isinstance(page, EvaluatePage)
        page.form.limit.set_value(50 if self._steps else 200)
        self._shoot("evaluate-ready")
        page.run()
        self._rest()
        if page.stack.currentWidget() is not page.results:
            raise UserError(f"The evaluation has no result. {page.banner.message}".strip())
        self._shoot("evaluate")

    def _export(self) -> None:
        from advclip_gui.gui.dialogs.export import ExportDialog

        run = self.workspace.last_runs[0].path
        dialog = ExportDialog(self.workspace, self._backend, run, self.window)
        dialog.open()
        dialog.export()
        self._rest()
        if dialog.exported is None:
            raise UserError(f"The adapter was not exported. {dialog.banner.message}".strip())
        self._shoot("export", dialog)
        dialog.reject()

    # --- camera -------------------------------------------------------------------------------

    def _show(self, page: str, name: str = "") -> None:
        self.window.show_page(page)
        self._shoot(name or page)

    def _shoot(self, name: str, subject: QWidget | None = None) -> None:
        """Take a picture in both themes; one during training does not wait for the training."""
        self._rest()
        for mode in THEMES:
            self.window.set_theme(mode)
            self._rest()
            path = self._out / f"{name}-{mode}@{self._scale}.png"
            if not (subject or self.window).grab().save(str(path)):
                raise StorageError(f"The picture {path} could not be written.")
        self.window.set_theme(THEMES[0])

    def _rest(self) -> None:
        """Wait until no job but a training is under way, and has not been for a moment."""
        quiet = 0

        def resting() -> bool:
            nonlocal quiet
            training = self.workspace.training
            busy = [job for job in self._backend.jobs if job is not training]
            waits = self._backend.ready and bool(busy)
            quiet = 0 if waits or self._io.jobs else quiet + 1
            return quiet > _QUIET_ROUNDS

        self._until(resting, _JOB_LIMIT_S, "The window did not come to rest")

    def _until(self, true: Callable[[], bool], seconds: float, late: str) -> None:
        """Run the event loop until something holds."""
        from PySide6.QtCore import QElapsedTimer, QEventLoop, QTimer

        loop, clock, timer = QEventLoop(), QElapsedTimer(), QTimer()
        errors: list[UserError] = []

        def look() -> None:
            try:
                if true():
                    loop.quit()
                elif clock.elapsed() > 1000 * seconds:
                    raise UserError(f"{late} within {seconds / _MINUTE:g} minutes.")
            except UserError as error:
                errors.append(error)
                loop.quit()

        timer.setInterval(_POLL_MS)
        timer.timeout.connect(look)
        clock.start()
        timer.start()
        loop.exec()
        timer.stop()
        if errors:
            raise errors[0]


def _draw(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m advclip_gui.gui.screenshots")
    parser.add_argument("out_dir", type=Path)
    parser.add_argument("--scale", type=int, default=1)
    parser.add_argument("--steps", type=int)
    options = parser.parse_args(arguments)
    try:
        options.out_dir.mkdir(parents=True, exist_ok=True)
        Photographer(options.out_dir, options.scale, options.steps).walk()
    except (UserError, OSError) as error:
        sys.stdout.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_draw(sys.argv[1:]))
