"""The catalogue of published backbones: it agrees with the installed open_clip, and says what it refuses."""

from __future__ import annotations

import json

import pytest

from advclip_gui.engine.catalog import CATALOG, all_entries, availability, entry, is_here
from advclip_gui.engine.errors import BackboneError
from advclip_gui.engine.published import QUICK, ROBUST, of_open_clip
from advclip_gui.engine.resources import resource_path
from advclip_gui.settings import BackboneSettings

ENTRIES = {(one.name, one.weights): one for one in of_open_clip()}


@pytest.fixture(scope="module")
def registry():
    from advclip_gui.engine.torchvision_cure import ensure_torchvision

    ensure_torchvision()
    import open_clip

    return open_clip


def test_every_published_pair_is_listed_once(registry) -> None:
    published = {pair for pair in registry.list_pretrained() if not pair[0].endswith(QUICK)}
    assert set(ENTRIES) == published, "run packaging/make_backbone_catalog.py"
    assert len(of_open_clip()) == len(ENTRIES)


def test_repositories_files_and_activation_are_the_published_ones(registry) -> None:
    for (name, weights), one in ENTRIES.items():
        published = registry.get_pretrained_cfg(name, weights)
        assert published["hf_hub"] == f"{one.hub_id}/{one.file}", one.title
        config = registry.get_model_config(one.architecture)
        if not one.refused:
            assert config.get("quick_gelu", False) == bool(published.get("quick_gelu")), one.title
        assert config["text_cfg"].get("hf_tokenizer_name", "") == one.tokenizer


def test_resolutions_are_those_of_the_configurations(registry) -> None:
    for one in ENTRIES.values():
        size = registry.get_model_config(one.architecture)["vision_cfg"].get("image_size", 224)
        assert one.image_size == (size if isinstance(size, int) else max(size)), one.title


@pytest.mark.parametrize(
    "name", ["ViT-B-32", "ViT-B-16-SigLIP", "EVA02-B-16", "MobileCLIP-S1", "PE-Core-T-16-384", "ViTamin-S"]
)
def test_parameters_are_those_of_both_towers(name) -> None:
    import torch

    from advclip_gui.engine.blueprint import build, model_config

    one = next(one for one in of_open_clip() if one.name == name)
    with torch.device("meta"):
        model = build(model_config(BackboneSettings(name=one.name, weights=one.weights)))
    assert sum(parameter.numel() for parameter in model.parameters()) == one.parameters
    width = 2 if one.family == "EVA" else 4
    assert one.download_mb == round(width * one.parameters / 1e6)


def test_every_licence_has_a_source_and_every_fact_a_repository() -> None:
    known = {one.hub_id for one in all_entries()}
    content = json.loads(resource_path("backbones", "facts.json").read_text(encoding="utf-8"))
    told = [hub_id for group in content["licences"] for hub_id in group["repositories"]]
    assert len(told) == len(set(told)), "one repository under two licences"
    assert set(told) <= known
    assert set(content["half_precision"]["repositories"]) <= known
    assert all(group["licence"] and group["source"] for group in content["licences"])
    for one in all_entries():
        assert bool(one.licence) == bool(one.licence_source)
    unknown = {one.hub_id for one in all_entries() if one.hub_id and not one.refused and not one.licence}
    assert {hub_id.rpartition(".")[2] for hub_id in unknown} == {"laion400m_e31", "laion2b_e16"}


def test_licences_agree_with_what_timm_lists(registry) -> None:
    """Of the very repositories that timm knows too."""
    from timm.models import get_pretrained_cfg, list_pretrained

    listed = {}
    for name in list_pretrained():
        found = get_pretrained_cfg(name)
        if found is not None and found.hf_hub_id:
            listed[found.hf_hub_id] = str(found.license)
    checked = [one for one in all_entries() if one.hub_id in listed]
    assert len(checked) > 40
    assert {one.hub_id for one in checked if one.licence.casefold() != listed[one.hub_id]} == set()


@pytest.mark.parametrize("name", ["RN50", "convnext_base", "coca_ViT-B-32", "roberta-ViT-B-32"])
def test_what_is_refused_says_the_engines_own_reason(name) -> None:
    from advclip_gui.engine.blueprint import model_config

    settings = BackboneSettings(name=name)
    one = entry(settings)
    assert one.refused
    with pytest.raises(BackboneError) as caught:
        model_config(settings)
    assert one.refused in str(caught.value)
    assert one.refused in availability(settings).sentence
    assert not is_here(one)
    local = BackboneSettings(name="local", checkpoint="x", architecture=one.architecture)
    with pytest.raises(BackboneError) as caught:
        model_config(local)
    assert one.refused in str(caught.value), "the file is older than the engine"


def test_favourites_come_first_and_refused_ones_last() -> None:
    everything = all_entries()
    assert everything[: len(CATALOG) - 1] == CATALOG[:-1]
    assert [one.name for one in (CATALOG[0], CATALOG[-1])] == ["advclip-mini", "local"]
    keys = [(one.name, one.weights) for one in everything]
    assert len(keys) == len(set(keys))
    refused = [bool(one.refused) for one in everything]
    assert refused == sorted(refused)
    assert sum(not one.refused for one in everything) > 140


def test_favourites_are_the_ones_people_ask_for() -> None:
    names = {(one.name, one.weights) for one in CATALOG}
    assert {("ViT-B-32", "openai"), ("ViT-B-16", "openai"), ("ViT-L-14", "openai")} <= names
    assert {("ViT-B-32", "laion2b_s34b_b79k"), ("ViT-B-16", "laion2b_s34b_b88k")} <= names
    assert ("ViT-B-16-SigLIP", "webli") in names
    assert ("hf-hub:chs20/FARE4-ViT-B-32-laion2B-s34B-b79K", "") in names


def test_robust_ones_have_the_size_of_their_architecture() -> None:
    sizes = {one.architecture: one.parameters for one in of_open_clip()}
    for one in ROBUST:
        assert one.parameters == sizes[one.architecture]
        assert entry(BackboneSettings(name=one.name)) is one


def test_a_name_with_quickgelu_means_the_same_weights() -> None:
    plain = entry(BackboneSettings(name="ViT-B-32", weights="metaclip_400m"))
    assert plain.architecture == "ViT-B-32-quickgelu"
    assert entry(BackboneSettings(name="ViT-B-32-quickgelu", weights="metaclip_400m")) is plain


@pytest.mark.parametrize(
    "name", ["hf-hub:", "hf-hub:x", "hf-hub:../a/b", "hf-hub:a/..", "hf-hub:a/b/c", "hf-hub:a b/c"]
)
def test_what_is_no_repository_is_refused(name) -> None:
    with pytest.raises(BackboneError, match="no repository of the hub"):
        entry(BackboneSettings(name=name))


def test_a_repository_nobody_listed_can_be_named() -> None:
    settings = BackboneSettings(name="hf-hub:someone/their-clip")
    assert entry(settings).hub_id == "someone/their-clip"
    state = availability(settings)
    assert not state.here
    assert "someone/their-clip is not on this machine; it can be fetched." in state.sentence
