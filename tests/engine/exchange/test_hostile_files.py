"""Files that are to be imported and mean harm: nothing of them runs, fills the memory, or stays behind."""

from __future__ import annotations

import collections
import io
import pickle
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from advclip_gui.engine.adapter_library import AdapterLibrary
from advclip_gui.engine.errors import CheckpointError
from advclip_gui.engine.exchange.clip_lora_file import read_clip_lora
from advclip_gui.engine.export import export_adapter
from tests.engine.exchange.conftest import NAMES, TEMPLATES, Adapted

if TYPE_CHECKING:
    from collections.abc import Callable


class Calls:
    """Calls something when it is unpickled the careless way."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


def zipped(value: Any, path: Path) -> None:
    torch.save(value, path)


def plain(value: Any, path: Path) -> None:
    path.write_bytes(pickle.dumps(value))


def legacy(value: Any, path: Path) -> None:
    torch.save(value, path, _use_new_zipfile_serialization=False)


def touching(marker: Path) -> dict[str, Any]:
    """Ways to reach code, each of which would make the file `marker`."""
    touch = Calls(Path.touch, marker)
    code = f"__import__('pathlib').Path({str(marker)!r}).touch()"
    return {
        "call": touch,
        "eval": Calls(eval, code),
        "exec": Calls(exec, code),
        "getattr": Calls(getattr, Calls(__import__, "pathlib"), "Path"),
        "in a table": {"weights": {"layer_0": {"q_proj": {"w_lora_A": touch}}}, "metadata": {}},
        "in a list": [touch],
        "in metadata": {"weights": {}, "metadata": {"r": Calls(eval, code)}},
        "in an ordered table": collections.OrderedDict(weights=touch, metadata={}),
        "array of objects": {"weights": np.array([touch], dtype=object), "metadata": {}},
        "load within load": Calls(torch.load, str(marker.with_suffix(".inner"))),
    }


@pytest.mark.parametrize("write", [zipped, plain, legacy])
@pytest.mark.parametrize("way", [name for name in touching(Path("x"))])
def test_code_in_a_pt_file_is_never_run(tmp_path: Path, write: Callable[[Any, Path], None], way: str) -> None:
    marker = tmp_path / "was run"
    plain(Calls(Path.touch, marker), marker.with_suffix(".inner"))
    write(touching(marker)[way], tmp_path / "theirs.pt")
    with pytest.raises(CheckpointError, match="refused"):
        read_clip_lora(tmp_path / "theirs.pt")
    assert not marker.exists()


def test_the_zoo_would_bite(tmp_path: Path) -> None:
    """What the files above do when they are read carelessly."""
    marker = tmp_path / "was run"
    for way in ("call", "eval", "exec", "in metadata", "in an ordered table", "array of objects"):
        plain(touching(marker)[way], tmp_path / "theirs.pt")
        pickle.loads((tmp_path / "theirs.pt").read_bytes())
        assert marker.exists(), way
        marker.unlink()


HAND_WRITTEN = {
    "old-fashioned call": b"cos\nsystem\n(S'touch MARKER'\ntR.",
    "instance": b"(S'touch MARKER'\nios\nsystem\n.",
    "object": b"(cos\nsystem\nS'touch MARKER'\no.",
    "persistent id": b"PMARKER\n.",
    "extension": b"\x80\x02\x82\x01.",
    "endless memo": b"\x80\x04" + b"\x8c\x01a\x94" * 1000 + b".",
    "deep nesting": b"\x80\x02" + b"]" * 5000 + b"a" * 4999 + b".",
    "no end": b"\x80\x02}",
    "not a pickle": b"\x00" * 64,
    "empty": b"",
}


@pytest.mark.parametrize("name", HAND_WRITTEN)
@pytest.mark.parametrize("in_zip", [False, True])
def test_pickles_by_hand_are_refused(tmp_path: Path, name: str, in_zip: bool) -> None:
    marker = tmp_path / "was-run"
    content = HAND_WRITTEN[name].replace(b"MARKER", str(marker).encode())
    path = tmp_path / "theirs.pt"
    if in_zip:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", content)
            archive.writestr("archive/version", b"3\n")
    else:
        path.write_bytes(content)
    with pytest.raises(CheckpointError):
        read_clip_lora(path)
    assert not marker.exists()


def good(**more: Any) -> dict[str, Any]:
    pair = {"w_lora_A": torch.ones(2, 4), "w_lora_B": torch.ones(4, 2)}
    metadata = {"r": 2, "alpha": 1, "encoder": "text", "params": ["q"], "position": "all"}
    return {"weights": {"layer_0": {"q_proj": {**pair, **more}}}, "metadata": metadata}


def test_a_good_one_is_read(tmp_path: Path) -> None:
    zipped(good(), tmp_path / "good.pt")
    assert read_clip_lora(tmp_path / "good.pt").rank == 2
    legacy(good(), tmp_path / "old.pt")  # PyTorch's format before 1.6
    assert read_clip_lora(tmp_path / "old.pt").layers[0]["q"][0].shape == (2, 4)


@pytest.mark.parametrize(
    "matrix",
    [
        torch.ones(1).expand(2, 10**12),  # one number that stands for more than any memory holds
        torch.ones(2, 1).expand(2, 2**31),
        torch.sparse_coo_tensor(torch.tensor([[0], [3]]), torch.ones(1), (2, 4), check_invariants=False),
        torch.ones(2, 4, device="meta"),
        torch.ones(2, 4, dtype=torch.int64),
        torch.ones(2, 4, dtype=torch.complex64),
        torch.ones(2, 4, 1),
        torch.ones(()),
        [[1.0] * 4] * 2,
        "matrix",
    ],
    ids=["expanded", "expanded row", "sparse", "meta", "integers", "complex", "3-d", "one", "list", "text"],
)  # fmt: skip
def test_what_is_no_plain_matrix_is_refused_before_it_is_made_one(tmp_path: Path, matrix: Any) -> None:
    zipped(good(w_lora_A=matrix), tmp_path / "theirs.pt")
    with pytest.raises(CheckpointError, match=r"lacks one of its two matrices|readable|refused"):
        read_clip_lora(tmp_path / "theirs.pt")


@pytest.mark.parametrize(
    ("key", "value"),
    [("r", True), ("alpha", True), ("alpha", 10**400), ("position", ["all"]), ("position", torch.ones(3)),
     ("encoder", "x" * 10**6), ("params", "q" * 10**6), ("params", 3), ("params", []), ("r", 10**9)],
)  # fmt: skip
def test_wrong_metadata_is_said_in_a_short_sentence(tmp_path: Path, key: str, value: Any) -> None:
    content = good()
    content["metadata"][key] = value
    zipped(content, tmp_path / "theirs.pt")
    with pytest.raises(CheckpointError) as caught:
        read_clip_lora(tmp_path / "theirs.pt")
    assert len(str(caught.value)) < 300


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_other_archives_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "photos.pt", "w") as archive:
        archive.writestr("photo.jpg", b"x" * 100)
    torch.jit.script(torch.nn.Linear(1, 1)).save(tmp_path / "script.pt")
    stream = io.BytesIO()
    torch.save(good(), stream)
    (tmp_path / "cut.pt").write_bytes(stream.getvalue()[: len(stream.getvalue()) // 2])
    for name in ("photos", "script", "cut"):
        with pytest.raises(CheckpointError, match="refused"):
            read_clip_lora(tmp_path / f"{name}.pt")


def test_a_hostile_import_leaves_nothing_in_the_library(sample: Adapted, tmp_path: Path) -> None:
    marker = tmp_path / "was run"
    zipped({"weights": Calls(Path.touch, marker), "metadata": {}}, tmp_path / "theirs.pt")
    folder = tmp_path / "peft"
    folder.mkdir()
    (folder / "adapter_config.json").write_bytes((sample.folder / "adapter_config.json").read_bytes())
    torch.save(Calls(Path.touch, marker), folder / "adapter_model.bin")
    library = AdapterLibrary(tmp_path / "library")
    for path in (tmp_path / "theirs.pt", folder):
        with pytest.raises(CheckpointError, match="refused"):
            library.import_file(path, backbone=sample.backbone, class_names=NAMES, templates=TEMPLATES)
    assert not marker.exists()
    assert library.adapters() == ()
    assert list((tmp_path / "library").iterdir()) == []  # not even a scratch folder


def test_a_safetensors_file_in_disguise_is_refused(sample: Adapted, tmp_path: Path) -> None:
    out = export_adapter(sample.folder, tmp_path / "out")
    weights = out / "adapter_model.safetensors"
    library = AdapterLibrary(tmp_path / "library")
    marker = tmp_path / "was run"
    for content in (
        pickle.dumps(Calls(Path.touch, marker)),
        b"\xff" * 8 + b"{}",
        b"\x02" + b"\0" * 7 + b"{}",
    ):
        weights.write_bytes(content)
        with pytest.raises(CheckpointError):
            library.import_file(out, backbone=sample.backbone, class_names=NAMES, templates=TEMPLATES)
    save_file({"x": torch.ones(1)}, weights)
    with pytest.raises(CheckpointError, match="holds x, which is no LoRA matrix"):
        library.import_file(out, backbone=sample.backbone, class_names=NAMES, templates=TEMPLATES)
    assert not marker.exists()
