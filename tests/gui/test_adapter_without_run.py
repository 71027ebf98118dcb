"""An adapter from elsewhere, dropped on the window: imported, probed and offered, with no run anywhere."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest
import torch
from PySide6.QtCore import QMimeData, QPoint, Qt, QUrl
from PySide6.QtGui import QDragEnterEvent, QDropEvent

from advclip_gui.engine import runs as run_files
from advclip_gui.engine.adapter_library import AdapterLibrary
from advclip_gui.engine.adapters import adapt, lora_layers, placement, save_adapter
from advclip_gui.engine.backbones import load_backbone
from advclip_gui.engine.control import Control
from advclip_gui.engine.exchange.info import AdapterInfo, record_of
from advclip_gui.engine.export import export_adapter
from advclip_gui.engine.files import write_json_atomic
from advclip_gui.engine.resources import demo_folder
from advclip_gui.gui import theme
from advclip_gui.gui.bridge import Backend
from advclip_gui.gui.dialogs.adapter_open import AdapterDialog
from advclip_gui.gui.io_thread import IoPool
from advclip_gui.gui.main_window import MainWindow
from advclip_gui.gui.workspace import Workspace
from advclip_gui.settings import BackboneSettings, LoraSettings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytestqt.qtbot import QtBot

LEFT = Qt.MouseButton.LeftButton
LONG_MS = 60_000


@pytest.fixture
def pt_file(tmp_path: Path) -> Path:
    """A `.pt` of the CLIP-LoRA scripts on the bundled backbone; what it adds is random, and not small.

    Seconds of processor time go into the engine's import and two attacks: the whole way is tested once.
    """
    backbone = load_backbone(BackboneSettings(), device=torch.device("cpu"), control=Control())
    adapt(backbone, placement(backbone.model, LoraSettings(rank=1)), seed=0)
    generator = torch.Generator().manual_seed(1)
    for layer in lora_layers(backbone.model).values():
        torch.nn.init.normal_(layer.lora_B["default"].weight, std=2.0, generator=generator)
    save_adapter(backbone, tmp_path / "adapter")
    info = AdapterInfo(BackboneSettings(), ("a", "b"), ("a {}.",), "", None)
    write_json_atomic(tmp_path / "adapter" / "advclip.json", record_of(info, "peft"))
    export_adapter(tmp_path / "adapter", tmp_path / "out", format="clip-lora")
    return (tmp_path / "out" / "lora_weights.pt").rename(tmp_path / "theirs.pt")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name in ("cat", "ship"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for photo in sorted((demo_folder() / "test" / name).iterdir())[:6]:
            shutil.copy(photo, tmp_path / "photos" / name)
    return tmp_path / "photos"


@pytest.fixture
def window(qapp: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MainWindow]:
    monkeypatch.setattr(run_files, "runs_root", lambda: tmp_path / "runs")
    theme.apply(qapp, "light")
    io, backend = IoPool(), Backend()
    made = MainWindow(backend, Workspace(backend, io), io)
    made.show()
    backend.start()
    yield made
    made.close()
    backend.shut_down()
    io.shut_down()
    made.deleteLater()


def drop(page: Any, path: Path) -> None:
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(path))])
    place, none = QPoint(50, 50), Qt.KeyboardModifier.NoModifier
    enter = QDragEnterEvent(place, Qt.DropAction.CopyAction, mime, LEFT, none)
    page.dragEnterEvent(enter)
    assert enter.isAccepted()
    page.dropEvent(QDropEvent(place.toPointF(), Qt.DropAction.CopyAction, mime, LEFT, none))


def asked(probe: Any) -> str:
    """Which kind of model the answer on screen is about; "" where there is none."""
    question = probe.stage.question
    return "" if question is None or probe.stage.result is None else str(question.ref.kind)


def test_it_is_dropped_imported_probed_and_offered_for_evaluation(
    qtbot: QtBot, window: MainWindow, pt_file: Path, photos: Path
) -> None:
    workspace = window._workspace
    with qtbot.waitSignal(workspace.scan_changed, timeout=LONG_MS):
        workspace.open_folder(photos)
    window.show_page("runs")
    runs: Any = window.pages["runs"]
    drop(runs, pt_file)
    dialog = runs.findChild(AdapterDialog)
    qtbot.waitUntil(lambda: not dialog.words.isHidden(), timeout=LONG_MS)
    qtbot.mouseClick(dialog.words.take_button, LEFT)
    keys = [dialog.words.backbones.itemData(row) for row in range(dialog.words.backbones.count())]
    dialog.words.backbones.setCurrentIndex(keys.index(("advclip-mini", "")))
    dialog.words.name.setText("From the scripts")
    with qtbot.waitSignal(workspace.runs_changed, timeout=LONG_MS):
        qtbot.mouseClick(dialog.open_button, LEFT)
    assert [line.name for line in runs.table.selected()] == ["From the scripts"]
    assert workspace.last_runs == ()

    qtbot.mouseClick(runs.actions_row.buttons["probe"], LEFT)
    assert window.current_page == "probe"
    probe: Any = window.pages["probe"]
    ref = probe.panel.models.ref()
    assert (ref.kind, ref.title) == ("adapter", "From the scripts")
    probe.show_image(workspace.scan.records[0].path)
    qtbot.waitUntil(lambda: asked(probe) == "adapter", timeout=LONG_MS)
    adapted = probe.stage.result.before
    probe.panel.models.choose(workspace.model_refs()[0])
    qtbot.waitUntil(lambda: asked(probe) == "zero_shot", timeout=LONG_MS)
    assert abs(adapted[0] - probe.stage.result.before[0]) > 1e-3  # the matrices are in use

    window.show_page("runs")
    qtbot.mouseClick(runs.actions_row.buttons["evaluate"], LEFT)
    assert window.current_page == "evaluate"
    evaluate: Any = window.pages["evaluate"]
    assert [one.title for one in evaluate.form.checked_refs()] == ["Zero-shot", "From the scripts"]
    assert evaluate.run_button.isEnabled()
    assert AdapterLibrary().get("From").name == "From the scripts"
