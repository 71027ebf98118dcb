"""Looking at an adapter before it is opened or imported: what it is, and what it does not say of itself."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest
import torch

from advclip_gui.engine.adapter_facts import adapter_facts
from advclip_gui.engine.adapter_library import AdapterLibrary
from advclip_gui.engine.adapter_look import look_at_adapter, may_be_adapter, needs_torch
from advclip_gui.engine.adapters import adapt, placement, save_adapter
from advclip_gui.engine.backbones import load_backbone
from advclip_gui.engine.control import Cancelled, Control
from advclip_gui.engine.errors import CheckpointError
from advclip_gui.engine.exchange.info import AdapterInfo, record_of
from advclip_gui.engine.export import export_adapter
from advclip_gui.engine.files import write_json_atomic
from advclip_gui.engine.runs import RunFolder
from advclip_gui.settings import BackboneSettings, LoraSettings, RunSettings

if TYPE_CHECKING:
    from pathlib import Path

    from advclip_gui.engine.adapter_look import AdapterPlan


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter on the bundled backbone, as Export writes it; nothing of it is trained."""
    folder = tmp_path_factory.mktemp("made") / "mine"
    backbone = load_backbone(BackboneSettings(), device=torch.device("cpu"), control=Control())
    adapt(backbone, placement(backbone.model, LoraSettings(rank=2)), seed=0)
    save_adapter(backbone, folder)
    info = AdapterInfo(BackboneSettings(), ("cat", "dog"), ("a {}.",), "", None, "Mine")
    write_json_atomic(folder / "advclip.json", record_of(info, "peft"))
    return folder


@pytest.fixture
def foreign(made: Path, tmp_path: Path) -> Path:
    """The same as peft alone would write it."""
    shutil.copytree(made, tmp_path / "theirs")
    (tmp_path / "theirs" / "advclip.json").unlink()
    return tmp_path / "theirs"


def look(path: Path) -> AdapterPlan:
    return look_at_adapter(path, Control())


def edit(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_an_exported_folder_is_opened_where_it_lies(made: Path) -> None:
    plan = look(made)
    assert (plan.way, plan.name, plan.path, plan.certain) == ("open", "Mine", made, True)
    assert (plan.class_names, plan.templates) == (("cat", "dog"), ("a {}.",))
    assert plan.backbone == BackboneSettings()
    count, _, towers = adapter_facts(made)["Adapted matrices"].partition(" ")
    told = f"rank 2, {count} matrices {towers}, advclip-mini (bundled), 2 classes."
    assert plan.told == f"An adapter of this program: {told}"
    assert look(made / "adapter_config.json") == plan
    assert plan.missing_checkpoint == ""


def test_a_run_folder_is_one_too(made: Path, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    run.start(RunSettings(name="A run"), device="cpu", split={"class_names": ["a", "b"]})
    shutil.copytree(made, run.adapter_dir)
    assert (look(run.path).way, look(run.path).name) == ("open", "A run")


def test_a_backbone_of_ones_own_is_asked_for_where_only_its_name_is_known(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made, tmp_path / "own")
    settings = BackboneSettings(name="local", checkpoint="weights.pt", architecture="ViT-B-16")
    info = AdapterInfo(settings, ("cat", "dog"), ("a {}.",), "", None, "Own")
    write_json_atomic(tmp_path / "own" / "advclip.json", record_of(info, "peft"))
    assert look(tmp_path / "own").missing_checkpoint == "weights.pt"
    (tmp_path / "here.pt").touch()
    library = AdapterLibrary(tmp_path / "library")
    one = library.open_folder(tmp_path / "own", checkpoint=str(tmp_path / "here.pt"))
    assert one.ref.backbone.checkpoint == str(tmp_path / "here.pt")
    assert one.ref.backbone.architecture == "ViT-B-16"
    assert library.rename(one.key, "Other").ref.backbone == one.ref.backbone
    assert library.open_folder(tmp_path / "own").key == one.key


def test_a_peft_folder_is_imported_and_does_not_say_its_classes(foreign: Path) -> None:
    plan = look(foreign)
    assert (plan.way, plan.name, plan.class_names, plan.backbone) == ("import", "theirs", (), None)
    assert plan.told.startswith("An adapter that peft wrote: rank 2, ")


@pytest.mark.parametrize(
    ("base", "name", "weights"),
    [
        ("openai/clip-vit-base-patch32", "ViT-B-32", "openai"),
        ("openai/clip-vit-large-patch14", "ViT-L-14", "openai"),
        ("laion/CLIP-ViT-B-32-laion2B-s34B-b79K", "ViT-B-32", "laion2b_s34b_b79k"),
    ],
)
def test_the_backbone_is_guessed_from_what_peft_was_told(
    foreign: Path, base: str, name: str, weights: str
) -> None:
    edit(foreign / "adapter_config.json", base_model_name_or_path=base)
    plan = look(foreign)
    assert plan.backbone == BackboneSettings(name=name, weights=weights)
    assert not plan.certain


def test_a_pt_file_tells_its_shape_and_its_folder_the_backbone(made: Path, tmp_path: Path) -> None:
    export_adapter(made, tmp_path / "out", format="clip-lora")
    exported = look(tmp_path / "out")
    assert (exported.way, exported.name, exported.class_names) == ("import", "Mine", ("cat", "dog"))
    assert exported.certain
    place = tmp_path / "vitb16" / "pets" / "16shots" / "seed1" / "lora_weights.pt"
    place.parent.mkdir(parents=True)
    shutil.copy(tmp_path / "out" / "lora_weights.pt", place)
    plan = look(place)
    assert plan.told.startswith("Matrices of the CLIP-LoRA scripts: rank 2, q, k, v in ")
    assert (plan.backbone, plan.certain) == (BackboneSettings(name="ViT-B-16", weights="openai"), False)
    assert plan.class_names == ()


class Hostile:
    def __reduce__(self) -> tuple[Any, ...]:
        return (exec, ("raise SystemExit('run')",))


def test_what_is_no_adapter_is_refused_with_a_sentence(made: Path, foreign: Path, tmp_path: Path) -> None:
    torch.save({"weights": Hostile()}, tmp_path / "hostile.pt")
    with pytest.raises(CheckpointError, match="could run code"):
        look(tmp_path / "hostile.pt")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="There is no adapter in"):
        look(tmp_path / "empty")
    with pytest.raises(CheckpointError, match="There is no file or folder"):
        look(tmp_path / "gone")
    export_adapter(made, tmp_path / "whole", format="open-clip")
    with pytest.raises(CheckpointError, match=r"is a whole model .*Recipe page"):
        look(tmp_path / "whole")
    edit(foreign / "adapter_config.json", peft_type="IA3")
    with pytest.raises(CheckpointError, match="is IA3, which is no LoRA"):
        look(foreign)
    (foreign / "adapter_config.json").write_text("[1]")
    with pytest.raises(CheckpointError, match="cannot be read"):
        look(foreign)
    (foreign / "adapter_model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"adapter_model\.safetensors is missing"):
        look(foreign)
    control = Control()
    control.cancel()
    with pytest.raises(Cancelled):
        look_at_adapter(made, control)


def test_what_is_dropped_is_recognised_by_names(made: Path, foreign: Path, tmp_path: Path) -> None:
    (tmp_path / "photos" / "cat").mkdir(parents=True)
    (tmp_path / "photos" / "list.csv").touch()
    (tmp_path / "weights.pt").touch()
    taken = [made, foreign, tmp_path / "weights.pt", made / "adapter_config.json"]
    assert all(may_be_adapter(path) for path in taken)
    left = [tmp_path / "photos", tmp_path / "photos" / "list.csv", tmp_path / "gone"]
    assert not any(may_be_adapter(path) for path in left)
    assert needs_torch(tmp_path / "weights.pt")
    assert not needs_torch(made)


def test_facts_are_what_the_files_say(made: Path, foreign: Path, tmp_path: Path) -> None:
    facts = adapter_facts(made)
    assert facts["Classes"] == "2: cat, dog"
    assert facts["Rank r"] == "2"
    assert set(adapter_facts(foreign)) == set(facts) - {"Backbone", "Classes", "Prompts"}
    edit(foreign / "adapter_config.json", r=0)
    assert adapter_facts(foreign) == {}
    assert adapter_facts(tmp_path) == {}
