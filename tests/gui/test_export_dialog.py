"""The export dialog: where to, errors where the user stands, and the lines that load the adapter."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QDesktopServices, QGuiApplication
from PySide6.QtWidgets import QFileDialog

from advclip_gui.engine.events import Progress
from advclip_gui.engine.exchange.formats import FORMATS, format_entry
from advclip_gui.engine.files import free_folder
from advclip_gui.gui import theme
from advclip_gui.gui.bridge import Backend
from advclip_gui.gui.dialogs import export
from advclip_gui.gui.dialogs.export import ExportDialog
from advclip_gui.gui.dialogs.export_jobs import Exported, Offer, check_destination, stem_of
from advclip_gui.gui.job_handle import ErrorInfo
from advclip_gui.gui.widgets.basics import Muted
from advclip_gui.settings import RunSettings
from tests.gui.probe_fakes import HandBackend, end

if TYPE_CHECKING:
    from pytestqt.qtbot import QtBot

LEFT = Qt.MouseButton.LeftButton
SNIPPET = 'from peft import PeftModel\nmodel = PeftModel.from_pretrained(clip, r"folder")\n'


@pytest.fixture
def documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "Dokumente und mehr"
    folder.mkdir()
    monkeypatch.setattr(export, "user_documents_path", lambda: folder)
    return folder


@pytest.fixture
def backend(qapp: Any) -> HandBackend:
    theme.apply(qapp, "light")
    return HandBackend()


def open_dialog(qtbot: QtBot, backend: Any, source: Path, *runs: Any) -> ExportDialog:
    dialog = ExportDialog(SimpleNamespace(last_runs=runs), backend, source)  # type: ignore[arg-type]
    qtbot.addWidget(dialog)
    with qtbot.waitExposed(dialog):
        dialog.show()
    return dialog


def write_to(dialog: ExportDialog, path: Path | str) -> None:
    dialog.destination.setText(str(path))


def test_the_default_is_a_new_folder_named_after_the_run(
    qtbot: QtBot, backend: HandBackend, documents: Path, tmp_path: Path
) -> None:
    (documents / "demo-rank-4-adapter").mkdir()
    run = SimpleNamespace(path=tmp_path / "20260101-demo", name="Demo, rank 4")
    dialog = open_dialog(qtbot, backend, run.path, run)
    assert dialog.destination.text() == str(documents / "demo-rank-4-adapter-2")
    assert dialog.note.text() == "The folder will be made."
    assert dialog.export_button.isEnabled()


def test_an_export_shows_where_it_went_and_how_to_load_it(
    qtbot: QtBot, backend: HandBackend, documents: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: opened.append(url.toLocalFile()) or True)
    dialog = open_dialog(qtbot, backend, tmp_path / "run")
    assert dialog.result.isHidden()
    qtbot.mouseClick(dialog.export_button, LEFT)
    job, handle = backend.last("ExportJob")
    assert (job.source, job.out, job.format) == (tmp_path / "run", documents / "run-adapter", "peft")
    assert dialog.progress.isVisible()
    assert not dialog.choices["onnx"].isEnabled()
    assert not dialog.export_button.isEnabled()
    assert not dialog.destination.isEnabled()
    end(handle, "finished", Exported(job.out, SNIPPET))
    assert dialog.banner.level == "success"
    assert str(job.out) in dialog.banner.message
    assert dialog.snippet.toPlainText() == SNIPPET.rstrip()
    assert dialog.snippet.isVisible()
    assert dialog.progress.isHidden()
    assert dialog.choices["onnx"].isEnabled()
    qtbot.mouseClick(dialog.copy_button, LEFT)
    assert QGuiApplication.clipboard().text() == SNIPPET.rstrip()
    qtbot.mouseClick(dialog.folder_button, LEFT)
    assert [Path(one) for one in opened] == [job.out]
    assert dialog.export_button.isHidden()
    write_to(dialog, documents / "again")
    assert dialog.export_button.isVisible()
    assert dialog.export_button.isEnabled()


def test_the_format_goes_into_job_and_folder_until_the_user_names_one(
    qtbot: QtBot, backend: HandBackend, documents: Path, tmp_path: Path
) -> None:
    dialog = open_dialog(qtbot, backend, tmp_path / "run")
    assert dialog.format == "peft"
    assert [choice.text() for choice in dialog.choices.values()] == [one.title for one in FORMATS]
    for one in FORMATS:
        qtbot.mouseClick(dialog.choices[one.name], LEFT)
        ending = "adapter" if one.name == "peft" else one.name
        assert dialog.destination.text() == str(documents / f"run-{ending}")
    write_to(dialog, documents / "mine")
    dialog.choose_format("onnx")
    assert dialog.destination.text() == str(documents / "mine")
    qtbot.mouseClick(dialog.export_button, LEFT)
    job, _ = backend.last("ExportJob")
    assert (job.out, job.format) == (documents / "mine", "onnx")


POSSIBLE = {one.name: "" for one in FORMATS}


def offer(backend: HandBackend, **more: Any) -> None:
    end(backend.last("OfferJob")[1], "finished", Offer(**{"formats": POSSIBLE, **more}))


def test_what_cannot_hold_the_adapter_says_why_and_cannot_be_chosen(
    qtbot: QtBot, backend: HandBackend, documents: Path, tmp_path: Path
) -> None:
    dialog = open_dialog(qtbot, backend, tmp_path / "run")
    assert backend.last("OfferJob")[0].source == tmp_path / "run"
    dialog.choose_format("hugging-face")  # before the answer is there
    why = "transformers' CLIPModel cannot hold this architecture."
    offer(backend, formats={**POSSIBLE, "hugging-face": why, "clip-lora": "For plain CLIPs."}, plain=False)
    assert dialog.format == "peft"
    assert dialog.destination.text() == str(documents / "run-adapter")
    assert [name for name, choice in dialog.choices.items() if not choice.isEnabled()] == [
        "hugging-face", "clip-lora",
    ]  # fmt: skip
    shown = {label.text() for label in dialog.findChildren(Muted) if label.isVisible()}
    assert why in shown
    assert any("this program is what loads them" in text for text in shown)
    assert dialog.choices["hugging-face"].accessibleDescription() == why
    assert not dialog.with_backbone.isVisible()
    qtbot.mouseClick(dialog.export_button, LEFT)
    end(backend.last("ExportJob")[1], "failed", ErrorInfo("The disk is full.", "", ""))
    assert not dialog.choices["clip-lora"].isEnabled()  # still
    assert dialog.choices["onnx"].isEnabled()


@pytest.mark.parametrize(("size", "along"), [(31_000_000, True), (605_000_000, False)])
def test_a_backbone_that_transformers_does_not_know_can_go_along(
    qtbot: QtBot, backend: HandBackend, documents: Path, tmp_path: Path, size: int, along: bool
) -> None:
    dialog = open_dialog(qtbot, backend, tmp_path / "run")
    assert not dialog.with_backbone.isVisible()
    offer(backend, backbone=size)
    assert dialog.with_backbone.isVisible()
    assert f"{size // 10**6} MB" in dialog.with_backbone.text()
    assert dialog.with_backbone.isChecked() == along
    dialog.choose_format("onnx")
    assert not dialog.with_backbone.isVisible()
    qtbot.mouseClick(dialog.export_button, LEFT)
    job, handle = backend.last("ExportJob")
    assert job.format == "onnx"  # where it plays no part
    end(handle, "cancelled")
    dialog.choose_format("peft")
    assert dialog.with_backbone.isVisible()
    qtbot.mouseClick(dialog.export_button, LEFT)
    job, handle = backend.last("ExportJob")
    assert job.with_backbone is along
    assert not dialog.with_backbone.isEnabled()
    end(handle, "finished", Exported(job.out, SNIPPET))
    assert not dialog.with_backbone.isVisible()


def test_a_run_with_nothing_to_export_is_told_at_once(
    qtbot: QtBot, backend: HandBackend, documents: Path, tmp_path: Path
) -> None:
    dialog = open_dialog(qtbot, backend, tmp_path / "run")
    end(backend.last("OfferJob")[1], "failed", ErrorInfo("There is no adapter.", "Train one.", ""))
    assert (dialog.banner.level, dialog.banner.message) == ("error", "There is no adapter. Train one.")
    write_to(dialog, documents / "new")
    assert not dialog.export_button.isEnabled()
    dialog.export()
    assert backend.count("ExportJob") == 0


def test_closing_before_the_answer_asks_no_longer(
    qtbot: QtBot, backend: HandBackend, documents: Path, tmp_path: Path
) -> None:
    dialog = open_dialog(qtbot, backend, tmp_path / "run")
    _, handle = backend.last("OfferJob")
    dialog.reject()
    assert handle.control.cancelled
    offer(backend, backbone=5)  # arrives all the same, and meets nobody


def test_the_dialog_is_as_high_as_what_it_shows(
    qtbot: QtBot, backend: HandBackend, documents: Path, tmp_path: Path
) -> None:
    """Sentences of two lines do not push the buttons over the lines of code."""
    dialog = open_dialog(qtbot, backend, tmp_path / "run")
    formats = {**POSSIBLE, "hugging-face": "A sentence that is far longer than one line of it. " * 4}
    offer(backend, formats=formats)
    layout = dialog.layout()
    assert layout is not None
    assert dialog.height() >= layout.totalHeightForWidth(dialog.width())
    qtbot.mouseClick(dialog.export_button, LEFT)
    job, handle = backend.last("ExportJob")
    end(handle, "finished", Exported(job.out, "line\n" * 9))
    lines = dialog.snippet.geometry()
    assert lines.bottom() < dialog.copy_button.geometry().top()
    assert dialog.height() >= layout.totalHeightForWidth(dialog.width())
    assert dialog.height() <= 768  # of a small screen


def test_an_export_shows_how_far_it_is_and_can_be_cancelled(
    qtbot: QtBot, backend: HandBackend, documents: Path, tmp_path: Path
) -> None:
    dialog = open_dialog(qtbot, backend, tmp_path / "run")
    qtbot.mouseClick(dialog.export_button, LEFT)
    _, handle = backend.last("ExportJob")
    handle.deliver("event", Progress(task="Exporting", done=1, total=3, detail="Writing the model"))
    assert "Writing the model" in dialog.progress.text.text()
    assert dialog.progress.bar.value() > 0
    qtbot.mouseClick(dialog.progress.cancel_button, LEFT)
    assert handle.control.cancelled
    end(handle, "cancelled")
    assert dialog.banner.message == "The export was cancelled; the folder is as it was."
    assert dialog.progress.isHidden()
    assert dialog.export_button.isEnabled()
    assert dialog.isVisible()


def test_an_error_is_shown_in_the_dialog_and_nothing_typed_is_lost(
    qtbot: QtBot, backend: HandBackend, documents: Path, tmp_path: Path
) -> None:
    dialog = open_dialog(qtbot, backend, tmp_path / "run")
    write_to(dialog, documents / "mine")
    qtbot.mouseClick(dialog.export_button, LEFT)
    error = ErrorInfo("The disk is full.", "Free some space.", "Traceback")
    end(backend.last("ExportJob")[1], "failed", error)
    assert dialog.isVisible()
    assert (dialog.banner.level, dialog.banner.message) == ("error", "The disk is full. Free some space.")
    assert dialog.banner.details_button.isVisible()
    assert dialog.destination.text() == str(documents / "mine")
    assert dialog.result.isHidden()
    qtbot.mouseClick(dialog.export_button, LEFT)
    assert backend.count("ExportJob") == 2
    assert dialog.banner.isHidden()


def test_enter_exports_and_escape_gives_up_an_export_under_way(
    qtbot: QtBot, backend: HandBackend, documents: Path, tmp_path: Path
) -> None:
    dialog = open_dialog(qtbot, backend, tmp_path / "run")
    qtbot.keyClick(dialog.destination, Qt.Key.Key_Return)
    _, handle = backend.last("ExportJob")
    qtbot.keyClick(dialog, Qt.Key.Key_Escape)
    assert dialog.isHidden()
    assert handle.control.cancelled


def test_while_the_engine_loads_the_dialog_says_what_it_waits_for(
    qtbot: QtBot, backend: HandBackend, documents: Path, tmp_path: Path
) -> None:
    backend.ready = False
    dialog = open_dialog(qtbot, backend, tmp_path / "run")
    qtbot.mouseClick(dialog.export_button, LEFT)
    assert dialog.banner.message == "The export begins as soon as the engine is loaded."


def test_places_where_nothing_can_go_are_marked(
    qtbot: QtBot, backend: HandBackend, documents: Path, tmp_path: Path
) -> None:
    dialog = open_dialog(qtbot, backend, tmp_path / "run")
    (documents / "letter.txt").write_text("x")
    for text, start in (
        ("", "Choose a folder."),
        ("adapter", "Give the whole path"),
        (str(documents / "letter.txt"), "This is a file"),
        (str(documents), "The folder holds other files"),
    ):
        write_to(dialog, text)
        assert dialog.note.text().startswith(start)
        assert not dialog.export_button.isEnabled()
        assert dialog.destination.property("invalid") is True
    dialog.export()
    assert backend.count("ExportJob") == 0
    write_to(dialog, documents / "new")
    assert dialog.destination.property("invalid") is False
    assert dialog.export_button.isEnabled()


def test_choosing_a_folder_with_other_files_makes_a_new_one_inside(
    qtbot: QtBot, backend: HandBackend, documents: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = [str(documents), str(documents / "empty"), ""]
    (documents / "empty").mkdir()
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_args: chosen.pop(0))
    dialog = open_dialog(qtbot, backend, tmp_path / "run")
    expected = (documents / "run-adapter", documents / "empty", documents / "empty")
    for path in expected:
        qtbot.mouseClick(dialog.choose_button, LEFT)
        assert dialog.destination.text() == str(path)


def test_destinations_in_words(tmp_path: Path) -> None:
    assert check_destination(str(tmp_path)) == (True, "The folder is empty.")
    (tmp_path / "model.safetensors").write_text("the user's own model")
    assert check_destination(str(tmp_path))[1].startswith("The folder holds other files")
    (tmp_path / "advclip.json").write_text("{}")
    assert check_destination(str(tmp_path)) == (True, "What was exported there before is replaced.")
    assert check_destination("\0")[0] is False
    assert stem_of("Größe: 4/255 …") == "größe-4-255"
    assert stem_of("///") == "run"
    assert free_folder(tmp_path, "new") == tmp_path / "new"


def test_a_run_without_an_adapter_is_told_through_the_real_job(
    qtbot: QtBot, documents: Path, tmp_path: Path, qapp: Any
) -> None:
    theme.apply(qapp, "light")
    backend = Backend(lambda: SimpleNamespace(device_text="Test device"))
    backend.start()
    dialog = open_dialog(qtbot, backend, tmp_path / "nothing")
    qtbot.waitUntil(lambda: dialog.banner.level == "error", timeout=150_000)
    assert dialog.banner.message.startswith("There is no adapter in")
    assert not (documents / "nothing-adapter").exists()
    assert backend.shut_down()


@pytest.mark.slow(reason="two steps of training with the bundled backbone make a real adapter")
def test_a_real_adapter_is_exported(qtbot: QtBot, documents: Path, tmp_path: Path, qapp: Any) -> None:
    from advclip_gui.engine.control import Control
    from advclip_gui.engine.training import train

    settings = RunSettings.checked(
        {
            "device": "cpu",
            "data": {"shots": 1, "val_shots": 1},
            "training": {"steps": 1, "batch_size": 2},
            "monitor": {"images": 2, "attack_steps": 1, "final_images": 0},
        }
    )
    run = train(settings, control=Control(), run_dir=tmp_path / "run").run_dir
    theme.apply(qapp, "light")
    backend = Backend(lambda: SimpleNamespace(device_text="Test device"))
    backend.start()
    dialog = open_dialog(qtbot, backend, run)
    qtbot.waitUntil(lambda: dialog.offer is not None, timeout=150_000)
    assert set(dialog.offer.formats.values()) == {""}  # type: ignore[union-attr]
    assert dialog.with_backbone.isChecked()
    qtbot.mouseClick(dialog.export_button, LEFT)
    qtbot.waitUntil(lambda: dialog.exported is not None or dialog.banner.level == "error", timeout=150_000)
    assert dialog.banner.level == "success", dialog.banner.message
    assert dialog.exported is not None
    for one in FORMATS:
        if one.name != "peft":
            dialog.choose_format(one.name)
            assert dialog.result.isHidden()
            dialog.exported = None
            qtbot.mouseClick(dialog.export_button, LEFT)
            qtbot.waitUntil(
                lambda: dialog.exported is not None or dialog.banner.level == "error", timeout=150_000
            )
        assert dialog.banner.level == "success", dialog.banner.message
        assert dialog.exported is not None
        names = {path.name for path in dialog.exported.folder.iterdir()}
        more = {"backbone"} if one.name == "peft" else set()
        assert names == {*format_entry(one.name).files, "advclip.json", "README.md"} | more
        assert str(dialog.exported.folder) in dialog.snippet.toPlainText()
        assert dialog.progress.isHidden()
    assert backend.shut_down()
