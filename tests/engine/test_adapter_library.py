"""The library of adapters: opened in place, imported, renamed, removed, put back; missing ones are told."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest
import torch

from advclip_gui.engine import adapter_library
from advclip_gui.engine.adapter_library import AdapterLibrary, library_root
from advclip_gui.engine.adapter_lines import adapter_line, adapter_lines
from advclip_gui.engine.adapters import adapt, placement, save_adapter
from advclip_gui.engine.backbones import load_backbone
from advclip_gui.engine.control import Cancelled, Control
from advclip_gui.engine.errors import CheckpointError, StorageError
from advclip_gui.engine.exchange.formats import INFO_FILE
from advclip_gui.engine.exchange.info import AdapterInfo, record_of
from advclip_gui.engine.files import write_json_atomic
from advclip_gui.engine.runs import RunFolder
from advclip_gui.engine.saved_models import NotFoundError, find_saved
from advclip_gui.engine.session import Session
from advclip_gui.settings import BackboneSettings, LoraSettings, RunSettings

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


def test_a_beginning_is_enough_where_only_one_begins_so(library: AdapterLibrary, made: Path) -> None:
    pets, _flowers = copy_in(library, made, "Pets, 16 shots"), copy_in(library, made, "Flowers")
    assert library.get("pets") == library.get(pets.key[:6]) == pets
    copy_in(library, made, "Petrol")
    with pytest.raises(CheckpointError, match="There are 2 adapters 'Pet'"):
        library.get("Pet")


def test_a_note_is_kept_in_the_library_and_not_in_the_folder(library: AdapterLibrary, made: Path) -> None:
    one = library.open_folder(made)
    before = sorted(path.name for path in made.iterdir())
    assert library.set_note(one.key, "  from the stick \n").note == "from the stick"
    assert library.rename(one.key, "Stick").note == "from the stick"
    assert library.get("Stick").note == "from the stick"
    assert library.set_note(one.key, "").note == ""
    assert sorted(path.name for path in made.iterdir()) == before


def test_only_what_has_changed_is_read_again(
    library: AdapterLibrary, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stick = tmp_path / "stick"
    shutil.copytree(made, stick)
    opened = library.open_folder(stick)
    copy_in(library, made, "copy")
    read: list[Path] = []
    info = adapter_library.adapter_info

    def counted(path: Path) -> AdapterInfo:
        read.append(path)
        return info(path)

    monkeypatch.setattr(adapter_library, "adapter_info", counted)
    before = library.adapters()
    assert len(read) == 2
    assert library.adapters() == before
    assert len(read) == 2
    record = json.loads((stick / INFO_FILE).read_text())
    (stick / INFO_FILE).write_text(json.dumps({**record, "templates": ["another {}."]}))
    found = library.get(opened.key).info
    assert found is not None
    assert found.templates == ("another {}.",)
    assert read[2:] == [stick]
    shutil.rmtree(stick)
    assert [one.problem != "" for one in library.adapters()] == [False, True]
    shutil.copytree(made, stick)
    assert library.get(opened.key).problem == ""


class TestLines:
    """Adapters among the runs."""

    def test_say_what_the_card_does(self, library: AdapterLibrary, made: Path, tmp_path: Path) -> None:
        settings = RunSettings.model_validate({"data": {"folder": "/photos/pets", "shots": 4}})
        figures = {"n": 50, "epsilon": 2 / 255, "clean_accuracy": 0.5, "robust_accuracy": 0.25,
                   "protocol": "sound", "norm": "L2"}  # fmt: skip
        folder = tmp_path / "told"
        shutil.copytree(made, folder)
        info = AdapterInfo(BackboneSettings(), NAMES, ("a {}.",), "", settings, "Told", {"adapter": figures})
        write_json_atomic(folder / INFO_FILE, record_of(info, "peft"))
        one = library.open_folder(folder)
        line = adapter_line(library.set_note(one.key, "good"))
        assert (line.name, line.data, line.shots, line.method) == ("Told", "pets", 4, settings.method)
        assert (line.clean, line.robust, line.n) == (0.5, 0.25, 50)
        assert (line.epsilon, line.norm, line.protocol) == (2 / 255, "L2", "sound")
        assert (line.state, line.key, line.note, line.is_adapter) == ("adapter", one.key, "good", True)
        assert line.has_adapter
        assert line.backbone == "advclip-mini (bundled)"

    def test_leave_open_what_nobody_knows(self, library: AdapterLibrary, made: Path) -> None:
        line = adapter_line(library.open_folder(made))
        unknown = (line.data, line.method, line.protocol, line.shots, line.epsilon, line.clean, line.robust)
        assert unknown == ("", "", "", None, None, None, None)
        assert line.has_adapter

    def test_one_that_is_gone_cannot_be_used(
        self, library: AdapterLibrary, made: Path, tmp_path: Path
    ) -> None:
        shutil.copytree(made, tmp_path / "stick")
        library.open_folder(tmp_path / "stick")
        shutil.rmtree(tmp_path / "stick")
        line = adapter_line(library.adapters()[0])
        assert (line.state, line.has_adapter, line.backbone) == ("missing", False, "")
        assert "not there" in line.problem

    def test_one_in_a_run_s_folder_has_the_run_s_line(self, library: AdapterLibrary, made: Path) -> None:
        library.open_folder(made)
        assert adapter_lines(library.adapters(), {made}) == []
        assert len(adapter_lines(library.adapters())) == 1


class TestByName:
    """Runs and adapters share one set of names on the command line."""

    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        for name in ("Pets", "Pets again"):
            folder = RunFolder(tmp_path / "runs" / name.lower().replace(" ", "-"))
            folder.start(RunSettings(name=name), device="cpu", split={"class_names": list(NAMES)})
        return tmp_path / "runs"

    def test_exactly_or_by_a_beginning(self, library: AdapterLibrary, made: Path, root: Path) -> None:
        one = copy_in(library, made, "Flowers")
        assert find_saved("Flowers", root, library).path == one.folder
        assert find_saved("flow", root, library).path == one.folder
        assert find_saved(one.key, root, library).path == one.folder
        assert find_saved("Pets", root, library).path == root / "pets"
        assert find_saved("pets-again", root, library).path == root / "pets-again"

    def test_several_are_listed_and_none_is_said(
        self, library: AdapterLibrary, made: Path, root: Path
    ) -> None:
        one = copy_in(library, made, "Petunias")
        with pytest.raises(CheckpointError, match="3 runs and adapters begin with 'Pet'") as raised:
            find_saved("Pet", root, library)
        for name in ("pets (Pets)", "pets-again (Pets again)", f"{one.key} (Petunias)"):
            assert name in str(raised.value)
        copy_in(library, made, "Pets")
        with pytest.raises(CheckpointError, match="2 runs and adapters are named 'Pets'"):
            find_saved("Pets", root, library)
        with pytest.raises(NotFoundError, match="There is no run or adapter 'x'"):
            find_saved("x", root, library)
        with pytest.raises(NotFoundError):
            find_saved("", root, library)

    def test_one_that_cannot_be_used_says_why(
        self, library: AdapterLibrary, made: Path, root: Path, tmp_path: Path
    ) -> None:
        shutil.copytree(made, tmp_path / "stick")
        library.open_folder(tmp_path / "stick")
        shutil.rmtree(tmp_path / "stick")
        with pytest.raises(CheckpointError, match="not there at the moment"):
            find_saved("stick", root, library)

    def test_a_run_opened_as_an_adapter_is_one_thing(
        self, library: AdapterLibrary, made: Path, root: Path
    ) -> None:
        shutil.copytree(made, root / "pets" / "adapter")
        library.open_folder(root / "pets", "Pets")
        assert find_saved("Pets", root, library).path == root / "pets"
