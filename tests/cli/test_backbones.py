"""`advclip-gui models`: the list, its filters, and fetching from a stand-in hub."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from safetensors.numpy import save

from advclip_gui.commands.models import backbone_of, choose_model
from advclip_gui.engine.catalog import all_entries
from advclip_gui.engine.errors import BackboneError
from tests.cli.strict_json import read
from tests.engine.hub_stand_in import StandIn, serving

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def names(out: str) -> list[str]:
    return [line.split()[0] for line in out.splitlines()[1:-1]]


def test_everything_is_listed_favourites_first(program: Callable[..., Any]) -> None:
    listed = names(program("models").out)
    assert len(listed) == sum(not one.refused for one in all_entries())
    assert listed[:3] == ["advclip-mini", "ViT-B-32:openai", "ViT-B-16:openai"]
    assert len(names(program("models", "--refused").out)) == len(all_entries())


def test_words_and_filters_narrow_the_list(program: Callable[..., Any]) -> None:
    assert names(program("models", "metaclip", "b-16").out) == [
        "ViT-B-16:metaclip_400m",
        "ViT-B-16:metaclip_fullcc",
    ]
    sizes = program("models", "--family", "siglip 2", "--size", "384").out
    assert len(names(sizes)) == 4
    assert "SigLIP 2" in sizes
    assert program("models", "--here").out.splitlines()[1].split()[0] == "advclip-mini"
    assert program("models", "nothing-of-the-kind").out.startswith("No backbone fits.")


def test_the_reason_of_what_is_refused(program: Callable[..., Any]) -> None:
    done = program("models", "coca", "--refused")
    assert "not supported" in done.out
    assert "captioning model (CoCa)" in done.out


def test_the_result_for_programs(program: Callable[..., Any], tmp_path: Path) -> None:
    assert program("models", "openai", "--json", tmp_path / "out.json").status == 0
    found = read(tmp_path / "out.json")["models"]
    assert [one["model"] for one in found] == [
        "ViT-B-32:openai", "ViT-B-16:openai", "ViT-L-14:openai", "ViT-L-14-336:openai",
    ]  # fmt: skip
    assert (found[0]["image_size"], found[0]["here"], found[0]["hub_id"][:5]) == (224, False, "timm/")


def test_one_is_fetched_and_then_here(
    program: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from huggingface_hub import constants

    from advclip_gui.engine import hub_transfer

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(hub_transfer, "_RETRY_WAIT_S", 0.0)
    for scheme in ("http", "https", "all"):
        monkeypatch.delenv(f"{scheme}_proxy", raising=False)
        monkeypatch.delenv(f"{scheme}_proxy".upper(), raising=False)
    weights = save({"visual.proj": np.zeros(8, dtype=np.float32)})
    model = {"embed_dim": 8, "vision_cfg": {}, "text_cfg": {}}
    files = {"open_clip_config.json": json.dumps({"model_cfg": model}).encode(), "model.safetensors": weights}
    with serving(StandIn("someone/clip", files, status=500)) as hub:
        # Both were made of HF_ENDPOINT when the hub's library was imported.
        monkeypatch.setattr(constants, "ENDPOINT", hub.address)
        address = hub.address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address)
        assert "HF_HUB_OFFLINE" in program("models", "--fetch", "hf-hub:someone/clip").sentence
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        failed = program("models", "--fetch", "hf-hub:someone/clip")
        assert failed.status == 1
        assert "fault of its own" in failed.err
        hub.heal()
        assert "is on this machine" in program("models", "--fetch", "hf-hub:someone/clip").out
        asked = len(hub.requests)
        assert program("models", "--fetch", "hf-hub:someone/clip").status == 0
        assert len(hub.requests) == asked


def test_words_that_mean_a_backbone() -> None:
    assert backbone_of("ViT-B-16-SigLIP").weights == "webli"
    assert backbone_of("ViT-B-32-quickgelu:metaclip_400m").weights == "metaclip_400m"
    robust = choose_model("hf-hub:chs20/fare4-clip")
    assert robust.ref.title == "ViT-L/14 - FARE 4/255, zero-shot"
    with pytest.raises(BackboneError, match="no repository of the hub"):
        choose_model("hf-hub:chs20")


def test_a_folder_with_a_whole_clip_is_a_local_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    chosen = choose_model(str(tmp_path))
    assert (chosen.ref.backbone.name, chosen.ref.backbone.checkpoint) == ("local", str(tmp_path))


def test_what_cannot_be_adapted_offers_no_download(program: Callable[..., Any], photos: Path) -> None:
    done = program("evaluate", "RN50:openai", "--data", photos)
    assert done.status == 1
    assert "RN50 - openai cannot be adapted" in done.sentence
    assert "--download" not in done.sentence


@pytest.mark.parametrize("command", ["train", "evaluate", "attack", "experiment"])
def test_offline_nobody_is_asked_and_the_way_on_is_said(
    program: Callable[..., Any],
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
) -> None:
    from huggingface_hub import constants

    choice = ("--set", "backbone.name=ViT-B-32", "--set", "backbone.weights=openai")
    in_base = [word.replace("backbone.", "base.backbone.") for word in choice]
    words = {
        "train": ("train", "--demo", *choice, "--run-dir", tmp_path / "run"),
        "evaluate": ("evaluate", "ViT-B-32:openai", "--data", photos),
        "attack": ("attack", photos / "dog" / "1.png", "--model", "ViT-B-32:openai", "--classes", "cat,dog"),
        "experiment": ("experiment", "run", tmp_path / "run", "--preset", "demo", *in_base),
    }[command]
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with serving(StandIn("timm/vit_base_patch32_clip_224.openai", {})) as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.address)
        address = hub.address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address)
        for scheme in ("http", "https", "all"):
            monkeypatch.delenv(f"{scheme}_proxy", raising=False)
            monkeypatch.delenv(f"{scheme}_proxy".upper(), raising=False)
        for options, way in (
            (("--download", "--offline"), "say --download instead of --offline"),
            ((), "say --download to fetch it now"),
        ):
            done = program(*words, *options)
            assert done.status == 1
            assert "is not on this machine; about 605 MB to fetch" in done.sentence
            assert way in done.sentence
        assert hub.requests == []
        assert "no weights under a name that is known" in program(*words, "--download").err
        assert hub.requests, "--download asks"
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        assert "unset HF_HUB_OFFLINE and add --download" in program(*words).sentence
    assert not (tmp_path / "run").exists()


def test_fetching_one_with_offline(program: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    done = program("models", "--fetch", "ViT-B-32:openai", "--offline")
    assert done.status == 1
    assert "Downloads are switched off (--offline)" in done.sentence
    assert "Leave out --offline." in done.sentence
    assert "is on this machine" in program("models", "--fetch", "advclip-mini", "--offline").out
