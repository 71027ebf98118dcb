"""The library of adapters: opened in place, imported, renamed, removed, put back; missing ones are told."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest
import torch

from advclip_gui.engine.adapter_library import AdapterLibrary, library_root
from advclip_gui.engine.adapters import adapt, placement, save_adapter
from advclip_gui.engine.backbones import load_backbone
from advclip_gui.engine.control import Cancelled, Control
from advclip_gui.engine.errors import CheckpointError, StorageError
from advclip_gui.engine.exchange.formats import INFO_FILE
from advclip_gui.engine.exchange.info import AdapterInfo, record_of
from advclip_gui.engine.files import write_json_atomic
from advclip_gui.engine.session import Session
from advclip_gui.settings import BackboneSettings, LoraSettings

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ("cat", "dog")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter on the bundled backbone, as Export writes it."""
    folder = tmp_path_factory.mktemp("usb stick") / "my adapter"
    backbone = load_backbone(BackboneSettings(), device=torch.device("cpu"), control=Control())
    adapt(backbone, placement(backbone.model, LoraSettings()), seed=0)
    save_adapter(backbone, folder)
    info = AdapterInfo(BackboneSettings(), NAMES, ("a photo of a {}.",), "", None)
    write_json_atomic(folder / INFO_FILE, record_of(info, "peft"))
    return folder


@pytest.fixture
def library(tmp_path: Path) -> AdapterLibrary:
    return AdapterLibrary(tmp_path / "library")


def copy_in(library: AdapterLibrary, made: Path, name: str = ""):
    return library.import_file(
        made, backbone=BackboneSettings(), class_names=NAMES, templates=("a {}.",), name=name
    )


def test_it_lies_in_the_users_data_folder_and_needs_nothing_to_be_there(user_folders: Path) -> None:
    assert library_root().is_relative_to(user_folders)
    assert AdapterLibrary().adapters() == AdapterLibrary().removed() == ()


def test_a_folder_is_opened_in_place_once(library: AdapterLibrary, made: Path) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in made.iterdir()}
    first = library.open_folder(made)
    assert (first.name, first.folder, first.in_place, first.problem) == ("my adapter", made, True, "")
    assert first.info is not None
    assert first.info.class_names == NAMES
    assert library.open_folder(made).key == first.key
    assert library.open_folder(made, "Better  name").name == "Better name"
    assert [one.key for one in library.adapters()] == [first.key]
    assert {path.name: path.stat().st_mtime_ns for path in made.iterdir()} == before


def test_an_opened_adapter_answers_in_a_session(library: AdapterLibrary, made: Path) -> None:
    one = library.open_folder(made)
    assert one.info is not None
    session = Session("cpu")
    with session.borrow(one.ref, one.info.class_names, one.info.templates, Control()) as classifier:
        assert classifier(torch.rand(1, 3, 32, 32)).shape == (1, 2)
    assert one.ref.title == "my adapter"


def test_an_imported_one_is_a_copy(library: AdapterLibrary, made: Path, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    shutil.copytree(made, theirs)
    (theirs / INFO_FILE).unlink()
    with pytest.raises(CheckpointError, match="import it"):
        library.open_folder(theirs)
    one = copy_in(library, theirs, "From elsewhere")
    shutil.rmtree(theirs)
    assert not one.in_place
    again = library.get("From elsewhere")
    assert again == one == library.get(one.key)
    assert again.folder.is_relative_to(library.root)
    assert again.info is not None
    assert again.info.templates == ("a {}.",)


def test_renaming_moves_nothing(library: AdapterLibrary, made: Path) -> None:
    one = library.open_folder(made)
    renamed = library.rename(one.key, "  ein\n neuer Name ")
    assert (renamed.name, renamed.key, renamed.folder) == ("ein neuer Name", one.key, made)
    assert renamed.added == one.added
    with pytest.raises(CheckpointError, match="needs a name"):
        library.rename(one.key, " ")
    with pytest.raises(CheckpointError, match=r"no adapter '\.\./x'"):
        library.rename("../x", "name")


def test_what_is_removed_can_be_put_back_and_the_folder_outside_stays(
    library: AdapterLibrary, made: Path
) -> None:
    opened, copied = library.open_folder(made), copy_in(library, made, "copy")
    for one in (opened, copied):
        library.remove(one.key)
    assert library.adapters() == ()
    assert {one.key for one in library.removed()} == {opened.key, copied.key}
    assert (made / "adapter_model.safetensors").is_file()
    with pytest.raises(CheckpointError, match="no adapter"):
        library.remove(opened.key)
    assert library.put_back(copied.key).ref.title == "copy"
    assert library.put_back(opened.key) == opened
    assert library.removed() == ()
    library.remove(opened.key)
    again = library.open_folder(made)
    assert again.key != opened.key
    with pytest.raises(CheckpointError):
        library.put_back(again.key)


def test_a_place_that_is_taken_stays(library: AdapterLibrary, made: Path) -> None:
    one = copy_in(library, made)
    library.remove(one.key)
    (library.root / one.key).mkdir()
    with pytest.raises(StorageError, match="exists already"):
        library.put_back(one.key)


def test_missing_and_damaged_ones_are_listed_with_the_reason(
    library: AdapterLibrary, made: Path, tmp_path: Path
) -> None:
    stick = tmp_path / "stick"
    shutil.copytree(made, stick)
    gone, copied, broken = library.open_folder(stick), copy_in(library, made), copy_in(library, made, "other")
    shutil.rmtree(stick)
    (copied.folder / INFO_FILE).write_text("{")
    (broken.folder / "entry.json").write_text("[]")
    (library.root / "stray file").touch()
    (library.root / "empty").mkdir()
    said = {one.key: one.problem for one in library.adapters()}
    assert set(said) == {gone.key, copied.key, broken.key}
    assert "is not there at the moment" in said[gone.key]
    assert "does not say which backbone" in said[copied.key]
    assert "is damaged" in said[broken.key]
    with pytest.raises(CheckpointError, match="not there at the moment"):
        _ = library.get(gone.key).ref
    shutil.copytree(made, stick)
    assert library.get(gone.key).problem == ""


def test_a_cancelled_import_leaves_nothing(library: AdapterLibrary, made: Path) -> None:
    control = Control(lambda _event: control.cancel())
    with pytest.raises(Cancelled):
        library.import_file(
            made, backbone=BackboneSettings(), class_names=NAMES, templates=("a {}.",), control=control
        )
    assert list(library.root.iterdir()) == []


def test_names_that_stand_twice_are_told_apart_by_key(library: AdapterLibrary, made: Path) -> None:
    one, two = copy_in(library, made, "same"), copy_in(library, made, "same")
    with pytest.raises(CheckpointError, match="There are 2 adapters 'same'"):
        library.get("same")
    assert {library.get(one.key).key, library.get(two.key).key} == {one.key, two.key}
    assert json.loads((one.folder / "entry.json").read_text())["name"] == "same"
