"""The pictures' driver: a process for each scale, folders of its own, and what went wrong as a sentence."""

from __future__ import annotations

import gc
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from advclip_gui.engine.errors import UserError
from advclip_gui.gui import screenshots


class Processes:
    """Stands for `subprocess.run`: writes a picture instead of opening a window."""

    def __init__(self) -> None:
        self.calls: list[tuple[list[str], dict[str, str]]] = []
        self.returncode, self.said = 0, ""

    def run(self, command: list[str], *, env: dict[str, str], **_options: Any) -> SimpleNamespace:
        self.calls.append((command, env))
        assert Path(env["XDG_DATA_HOME"]).is_dir()
        Path(command[3], f"start-light@{env['QT_SCALE_FACTOR']}.png").write_bytes(b"picture")
        return SimpleNamespace(returncode=self.returncode, stdout=self.said)


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> Processes:
    made = Processes()
    monkeypatch.setattr(subprocess, "run", made.run)
    return made


def test_each_scale_has_a_process_that_does_not_see_the_users_folders(
    processes: Processes, tmp_path: Path
) -> None:
    (tmp_path / "old.png").write_bytes(b"x")
    written = screenshots.main(tmp_path, steps=3)
    assert [path.name for path in written] == ["start-light@1.png", "start-light@2.png"]
    (first, first_env), (second, second_env) = processes.calls
    assert first[-4:] == ["--scale", "1", "--steps", "3"]
    assert second[-4:] == ["--scale", "2", "--steps", "3"]
    assert (first_env["QT_SCALE_FACTOR"], second_env["QT_SCALE_FACTOR"]) == ("1", "2")
    assert first_env["QT_QPA_PLATFORM"] == "offscreen"
    home = first_env["XDG_DATA_HOME"]
    assert home == second_env["XDG_DATA_HOME"] == first_env["XDG_CONFIG_HOME"]
    assert not Path(home).exists()


def test_what_went_wrong_is_a_sentence(processes: Processes, tmp_path: Path) -> None:
    processes.returncode, processes.said = 1, "The demo run failed. The disk is full.\n"
    with pytest.raises(UserError, match=r"at scale 1 could not be drawn\. The demo run failed\. The disk is"):
        screenshots.main(tmp_path)
    processes.returncode, processes.said = -11, ""
    with pytest.raises(UserError, match="ended with exit code -11"):
        screenshots.main(tmp_path)


def test_a_window_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def run(command: list[str], *, timeout: float, **_options: Any) -> None:
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(UserError, match="were not done after 60 minutes"):
        screenshots.main(tmp_path)


def test_the_pictures_are_drawn_with_garbage_collected_in_the_main_thread_only(
    qapp: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: list[bool] = []

    def enough(self: screenshots.Photographer, *_args: object) -> None:
        seen.append(gc.isenabled())
        raise UserError("Enough.")

    monkeypatch.setattr(screenshots.Photographer, "_show", enough)
    photographer = screenshots.Photographer(tmp_path, 1, None)
    with pytest.raises(UserError, match="Enough"):
        photographer.walk()
    assert seen == [False]
    assert gc.isenabled()
    photographer.window.deleteLater()
