"""What goes wrong while an export is written: nothing half-written is left, a sentence says what to do."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors import SafetensorError

from advclip_gui.engine import export
from advclip_gui.engine.control import Cancelled, Control
from advclip_gui.engine.errors import CheckpointError, StorageError
from advclip_gui.engine.exchange import folder as folder_module
from advclip_gui.engine.exchange import hugging_face_folder, onnx_classifier, open_clip_folder
from advclip_gui.engine.exchange.formats import EXPORTED_FILES, FORMATS
from advclip_gui.engine.exchange.several import export_several
from advclip_gui.engine.export import export_adapter

if TYPE_CHECKING:
    from tests.engine.exchange.conftest import Adapted

KINDS = [one.name for one in FORMATS]


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def hidden(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


def test_a_folder_that_only_looks_like_an_export_is_left_alone(sample: Adapted, tmp_path: Path) -> None:
    """A user's own transformers model has files of the same names."""
    (tmp_path / "model.safetensors").write_text("precious")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(StorageError, match=r"holds other files.*Choose an empty folder"):
        export_adapter(sample.folder, tmp_path, format="hugging-face")
    assert (tmp_path / "model.safetensors").read_text() == "precious"
    assert "README.md" in EXPORTED_FILES


class CancelledAfter(Control):
    """Cancels itself at the so-manieth report."""

    def __init__(self, reports: int) -> None:
        super().__init__(self._count)
        self._left = reports

    def _count(self, _event: object) -> None:
        self._left -= 1
        if not self._left:
            self.cancel()


def test_a_cancelled_export_leaves_the_target_as_it_was(sample: Adapted, tmp_path: Path) -> None:
    first = export_adapter(sample.folder, tmp_path / "out")
    before = content(first)
    for kind, after in (("open-clip", 1), ("open-clip", 4), ("hugging-face", 5), ("onnx", 4), ("peft", 2),
                        ("clip-lora", 2)):  # fmt: skip
        for target, left in ((first, before), (tmp_path / "new", None)):
            with pytest.raises(Cancelled):
                export_adapter(sample.folder, target, format=kind, control=CancelledAfter(after))
            assert (content(target) if target.exists() else None) == left
            assert hidden(tmp_path) == []


def full_disk(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the format's largest file come upon a full disk after some of it was written."""
    text = "Error while serializing: I/O error: No space left on device (os error 28)"

    def rust(_tensors: Any, path: Path, **_: Any) -> None:
        Path(path).write_bytes(b"the first half")
        raise SafetensorError(text)

    def system(*arguments: Any, **_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    if kind == "peft":
        monkeypatch.setattr(export.shutil, "copyfile", system)
    elif kind == "clip-lora":
        monkeypatch.setattr("advclip_gui.engine.exchange.clip_lora_file.write_bytes_atomic", system)
    elif kind == "onnx":
        monkeypatch.setattr(onnx_classifier.np, "save", system)
    else:
        module = open_clip_folder if kind == "open-clip" else hugging_face_folder
        monkeypatch.setattr(module, "save_file", rust)


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_disk_leaves_nothing_and_is_said(
    sample: Adapted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    old = export_adapter(sample.folder, tmp_path / "old")
    before = content(old)
    full_disk(kind, monkeypatch)
    for target in (tmp_path / "new", old):
        with pytest.raises(StorageError, match=r"The disk is full: .*Free some space") as caught:
            export_adapter(sample.folder, target, format=kind)
        assert str(target) in str(caught.value)
        assert ".part" not in str(caught.value)  # where it was written meanwhile is nobody's business
    assert not (tmp_path / "new").exists()
    assert content(old) == before
    assert hidden(tmp_path) == []


@pytest.mark.parametrize("kind", ["onnx", "open-clip", "hugging-face"])
def test_what_the_disk_cannot_hold_is_refused_before_it_is_written(
    sample: Adapted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    usage = type(shutil.disk_usage(tmp_path))
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage(10**12, 10**12, 2**24 + 100))
    with pytest.raises(StorageError, match=r"needs \d\d MB, and the disk has 17 MB left.*Free some"):
        export_adapter(sample.folder, tmp_path / "out", format=kind)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_a_place_nobody_may_write_to_is_said(
    sample: Adapted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any, **__: Any) -> str:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(folder_module.tempfile, "mkdtemp", refused)
    with pytest.raises(StorageError, match=r"no permission to write .*out\. Choose another folder"):
        export_adapter(sample.folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(os.name == "nt" or not hasattr(os, "geteuid"), reason="permissions are another matter")
def test_a_folder_of_ones_own_in_a_place_that_is_not_is_written_to(
    sample: Adapted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as a disk below /media: the folder can be filled, and no other be made beside it."""
    out = tmp_path / "place" / "mine"
    out.mkdir(parents=True)
    original = folder_module.tempfile.mkdtemp

    def beside_is_forbidden(*arguments: Any, **more: Any) -> str:
        if Path(more["dir"]) == out.parent:
            raise PermissionError(errno.EACCES, "Permission denied")
        return original(*arguments, **more)

    monkeypatch.setattr(folder_module.tempfile, "mkdtemp", beside_is_forbidden)
    export_adapter(sample.folder, out)
    assert {path.name for path in out.iterdir()} == {
        "adapter_config.json", "adapter_model.safetensors", "advclip.json", "README.md",
    }  # fmt: skip
    assert stat.S_IMODE((out / "README.md").stat().st_mode) == 0o644


def test_a_disk_that_takes_no_file_from_its_neighbour_keeps_what_it_had(
    sample: Adapted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = export_adapter(sample.folder, tmp_path / "out", format="clip-lora")
    before = content(out)

    def refused(source: Path, target: Path) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    with monkeypatch.context() as patch:
        patch.setattr(folder_module.os, "replace", refused)
        with pytest.raises(StorageError, match="could not be written"):
            export_adapter(sample.folder, out)
    assert content(out) == before
    assert hidden(tmp_path) == []


def test_a_disk_of_its_own_is_filled_from_within(
    sample: Adapted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "disk"
    out.mkdir()
    places: list[Path] = []
    original, real = folder_module.tempfile.mkdtemp, Path.stat

    def told(*arguments: Any, **more: Any) -> str:
        places.append(Path(more["dir"]))
        return original(*arguments, **more)

    def of_another_disk(path: Path, **more: Any) -> os.stat_result:
        found = real(path, **more)
        if path != out:
            return found
        return os.stat_result((*found[:2], found.st_dev + 1, *found[3:10]))

    monkeypatch.setattr(folder_module.tempfile, "mkdtemp", told)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "stat", of_another_disk)
        export_adapter(sample.folder, out, format="clip-lora")
    assert places[0] == out
    assert {path.name for path in out.iterdir()} == {"lora_weights.pt", "advclip.json", "README.md"}


def test_the_folder_that_the_adapter_is_read_from_is_not_written_over(
    sample: Adapted, tmp_path: Path
) -> None:
    only = export_adapter(sample.folder, tmp_path / "only")
    before = content(only)
    (tmp_path / "link").symlink_to(only)
    for out in (only, tmp_path / "link", tmp_path / "kept" / ".." / "only"):
        with pytest.raises(StorageError, match=r"is where the adapter is read from.*Choose another"):
            export_adapter(only, out, format="onnx", checkpoint=sample.backbone.checkpoint)
    assert content(only) == before


def test_a_damaged_adapter_leaves_nothing(sample: Adapted, tmp_path: Path) -> None:
    (sample.folder / "adapter_model.safetensors").write_bytes(b"cut off")
    for kind in KINDS:
        with pytest.raises(CheckpointError, match="cannot be read"):
            export_adapter(sample.folder, tmp_path / "out", format=kind)
    assert not (tmp_path / "out").exists()


# --- several at once --------------------------------------------------------------------------


def copies(sample: Adapted, parent: Path, *names: str) -> list[Path]:
    return [Path(shutil.copytree(sample.folder, parent / name)) for name in names]


def test_several_go_to_a_folder_each_and_one_that_cannot_keeps_none_from_it(
    sample: Adapted, tmp_path: Path
) -> None:
    good, bad, twin = copies(sample, tmp_path, "a/run", "a/damaged", "b/run")
    (bad / "adapter_model.safetensors").write_bytes(b"cut off")
    told: list[Any] = []
    out = tmp_path / "out"
    sources = [good, bad, twin, good, tmp_path / "kept" / "adapter"]
    for _ in range(2):  # the second time replaces what the first has written
        outcomes = export_several(sources, out, format="clip-lora", control=Control(told.append))
        assert [(one.source, one.folder.name) for one in outcomes] == [
            (good, "run"), (bad, "damaged"), (twin, "run-2"), (tmp_path / "kept" / "adapter", "kept"),
        ]  # fmt: skip
        assert [one.error is None for one in outcomes] == [True, False, True, True]
        assert "cannot be read" in str(outcomes[1].error)
        assert {path.name for path in out.iterdir()} == {"run", "run-2", "kept"}
    for name in ("run", "run-2", "kept"):
        assert torch.load(out / name / "lora_weights.pt", weights_only=True)["metadata"]["r"] == 3
    shares = [event.done + event.within for event in told]
    assert {event.total for event in told} == {4 * 3}  # of the whole: three parts each
    assert shares[-1] > 9


def test_a_cancelled_batch_keeps_what_is_whole(sample: Adapted, tmp_path: Path) -> None:
    sources = copies(sample, tmp_path, "one", "two")
    with pytest.raises(Cancelled):
        export_several(sources, tmp_path / "out", control=CancelledAfter(3))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["one"]


def test_a_batch_does_not_go_into_a_file_or_an_export(sample: Adapted, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    export_adapter(sample.folder, tmp_path / "export")
    for out in (tmp_path / "file", tmp_path / "export"):
        with pytest.raises(StorageError, match="cannot hold several exports"):
            export_several([sample.folder], out)
