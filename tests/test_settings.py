"""Settings: round trips, lengths, ranges, and sentences for what is wrong."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from advclip_gui.engine.errors import SettingsError
from advclip_gui.settings import (
    AdversarySettings,
    BackboneSettings,
    DataSettings,
    LoraSettings,
    RunSettings,
    TrainingSettings,
    format_epsilon,
    format_layers,
    parse_epsilon,
)

if TYPE_CHECKING:
    from pathlib import Path


def refusal(values: dict[str, Any]) -> str:
    """Return the sentence with which the values are refused."""
    with pytest.raises(SettingsError) as caught:
        RunSettings.checked(values)
    return str(caught.value)


# --- round trips ------------------------------------------------------------------------------


def test_defaults_survive_a_file(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(RunSettings().to_toml(), encoding="utf-8")
    assert RunSettings.from_file(path) == RunSettings()


def test_every_changed_value_survives_a_file() -> None:
    settings = RunSettings(
        name='Größe "L" \\ 1',
        device="cpu",
        precision="bfloat16",
        data=DataSettings(
            folder="/tmp/bilder mit leerzeichen/服",
            shots=3,
            templates=("a photo of a {}.", "ein Foto: {}"),
            class_names={"t.shirt": "T-shirt", "näh-zeug": "sewing kit"},
            skip=("a/b c.jpg",),
        ),
        backbone=BackboneSettings(name="local", checkpoint="C:\\weights\\b 32.pt", quick_gelu=True),
        lora=LoraSettings(rank=8, alpha=16, dropout=0.1, encoder="text", matrices=("q", "o"), layers="up"),
        adversary=AdversarySettings(kind="universal", inner_steps=7, epsilon=3 / 255, step_size=0.25 / 255),
        training=TrainingSettings(steps=12, learning_rate=1e-3, final_learning_rate=0, trades_beta=6),
    )
    assert RunSettings.from_toml(settings.to_toml()) == settings


def test_an_unset_optional_value_stays_unset() -> None:
    text = RunSettings().to_toml()
    assert "quick_gelu" not in text
    assert RunSettings.from_toml(text).backbone.quick_gelu is None


def test_a_file_with_few_values_takes_the_defaults_for_the_rest() -> None:
    settings = RunSettings.from_toml('[lora]\nrank = 4\n[adversary]\nepsilon = "2/255"\n')
    assert settings.lora == LoraSettings(rank=4)
    assert settings.adversary.epsilon == pytest.approx(2 / 255)
    assert settings.training == TrainingSettings()


def test_settings_cannot_be_changed_in_place() -> None:
    with pytest.raises(ValidationError):
        RunSettings().lora.rank = 3  # type: ignore[misc]


# --- lengths ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("4/255", 4 / 255),
        (" 4 / 255 ", 4 / 255),
        ("0.5/255", 0.5 / 255),
        ("8/255", 8 / 255),
        ("0", 0.0),
        ("0.0157", 0.0157),
        ("1e-3", 1e-3),
        ("1", 1.0),
        (0.25, 0.25),
        (0, 0.0),
    ],
)
def test_a_length_is_read(written: object, value: float) -> None:
    assert AdversarySettings.model_validate({"epsilon": written}).epsilon == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize("written", ["four", "4/0", "4/", "/255", "", "-1/255", -1, 300, "nan", "inf", None])
def test_what_is_no_length_is_refused_with_its_place(written: object) -> None:
    sentence = refusal({"adversary": {"epsilon": written}})
    assert sentence.startswith("adversary.epsilon: ")
    assert "\n" not in sentence


def test_linf_ends_with_the_range_of_a_pixel_and_l2_does_not() -> None:
    assert "300/255 is more than the whole range" in refusal({"adversary": {"epsilon": "300/255"}})
    assert "300/255 is more than the whole range" in refusal({"monitor": {"epsilon": "300/255"}})
    settings = RunSettings.checked({"adversary": {"norm": "L2", "epsilon": "300/255"}})
    assert settings.adversary.epsilon == pytest.approx(300 / 255)


@pytest.mark.parametrize(
    ("written", "layers"), [("0, 2, 9-11", (0, 2, 9, 10, 11)), ("3", (3,)), ([4, 1, 4], (1, 4)), ("up", "up")]
)
def test_blocks_are_named_or_numbered(written: object, layers: object) -> None:
    settings = RunSettings.checked({"lora": {"layers": written}})
    assert settings.lora.layers == layers
    assert RunSettings.from_toml(settings.to_toml()) == settings
    assert LoraSettings(layers=format_layers(settings.lora.layers)) == settings.lora


@pytest.mark.parametrize(
    ("written", "said"),
    [("5-2", "write 2-5"), ("uper", "'uper' is neither one of"), ("1,,2", "neither"), ([-1], "greater")],
)
def test_other_blocks_are_refused(written: object, said: str) -> None:
    assert said in refusal({"lora": {"layers": written}})


def test_the_released_protocol_names_what_it_fixes() -> None:
    assert "released protocol has adversary.kind = universal" in refusal({"protocol": "released"})
    settings = RunSettings(training=TrainingSettings(clean_share=0.5, warmup=0.1)).under("released")
    assert (settings.adversary.kind, settings.training.clean_share, settings.training.warmup) == (
        "universal", 0.0, 0.0,
    )  # fmt: skip
    assert RunSettings.from_toml(settings.to_toml()) == settings


def test_the_refused_length_is_quoted() -> None:
    assert "-1" in refusal({"adversary": {"epsilon": -1}})
    assert "300" in refusal({"monitor": {"epsilon": 300}})
    assert "'four' is not a length such as 4/255" in refusal({"adversary": {"epsilon": "four"}})


@pytest.mark.parametrize("k", [0, 0.05, 0.1, 0.3, 0.5, 1, 1.4, 2, 3, 4, 8, 16, 254.9, 255])
def test_a_length_is_written_as_a_fraction_that_reads_back_the_same(k: float) -> None:
    written = format_epsilon(k / 255)
    assert written == f"{k:g}/255"
    assert parse_epsilon(written) == pytest.approx(k / 255, rel=1e-15)


def test_lengths_in_a_file_are_fractions() -> None:
    values = tomllib.loads(RunSettings(adversary=AdversarySettings(epsilon=2 / 255)).to_toml())
    assert values["adversary"]["epsilon"] == "2/255"


# --- bad values -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "place"),
    [
        ({"data": {"shots": 0}}, "data.shots"),
        ({"data": {"shots": "many"}}, "data.shots"),
        ({"data": {"seed": -1}}, "data.seed"),
        ({"data": {"templates": []}}, "data.templates"),
        ({"lora": {"rank": 0}}, "lora.rank"),
        ({"lora": {"alpha": 0}}, "lora.alpha"),
        ({"lora": {"dropout": 1.0}}, "lora.dropout"),
        ({"lora": {"encoder": "audio"}}, "lora.encoder"),
        ({"lora": {"matrices": []}}, "lora.matrices"),
        ({"lora": {"matrices": ["q", "x"]}}, "lora.matrices.1"),
        ({"lora": {"layers": "some"}}, "lora.layers"),
        ({"adversary": {"inner_steps": -1}}, "adversary.inner_steps"),
        ({"adversary": {"kind": "both"}}, "adversary.kind"),
        ({"training": {"learning_rate": 0}}, "training.learning_rate"),
        ({"training": {"batch_size": 0}}, "training.batch_size"),
        ({"training": {"clean_share": 1.5}}, "training.clean_share"),
        ({"training": {"augmentation": "heavy"}}, "training.augmentation"),
        ({"monitor": {"every": 0}}, "monitor.every"),
        ({"device": "tpu"}, "device"),
        ({"protocol": "other"}, "protocol"),
        ({"name": "x" * 201}, "name"),
    ],
)
def test_a_bad_value_is_named(values: dict[str, Any], place: str) -> None:
    sentence = refusal(values)
    assert sentence.startswith(f"{place}: ")
    assert sentence.endswith(".")


def test_all_bad_values_are_named_at_once() -> None:
    sentence = refusal({"lora": {"rank": 0}, "training": {"batch_size": 0}})
    assert "lora.rank" in sentence
    assert "training.batch_size" in sentence


@pytest.mark.parametrize("values", [{"lora": {"rnak": 4}}, {"optimiser": {}}])
def test_an_unknown_key_is_refused(values: dict[str, Any]) -> None:
    assert refusal(values).startswith("There is no setting '")


@pytest.mark.parametrize("template", ["a photo", "{} and {}", ""])
def test_a_template_needs_one_place_for_the_class(template: str) -> None:
    assert "exactly one {}" in refusal({"data": {"templates": [template]}})


def test_a_local_backbone_needs_a_file() -> None:
    assert "needs a checkpoint file" in refusal({"backbone": {"name": "local"}})


def test_text_that_is_no_toml_is_refused() -> None:
    with pytest.raises(SettingsError, match="not a TOML settings file"):
        RunSettings.from_toml("rank: 4")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "gone.toml"
    with pytest.raises(SettingsError, match=r"gone\.toml cannot be read"):
        RunSettings.from_file(path)


def test_a_binary_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "picture.toml"
    path.write_bytes(b"\x89PNG\r\n\xff\xfe")
    with pytest.raises(SettingsError, match="cannot be read"):
        RunSettings.from_file(path)


# --- dotted keys ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("lora.rank", "4", 4),
        ("lora.encoder", "vision", "vision"),
        ("lora.encoder", '"vision"', "vision"),
        ("lora.matrices", '["q", "v"]', ("q", "v")),
        ("adversary.epsilon", "2/255", 2 / 255),
        ("adversary.epsilon", "0.01", 0.01),
        ("adversary.random_start", "false", False),
        ("training.learning_rate", "1e-3", 1e-3),
        ("data.folder", "/tmp/some folder", "/tmp/some folder"),
        ("data.folder", "C:\\bilder", "C:\\bilder"),
        ("data.class_names", '{ car = "automobile" }', {"car": "automobile"}),
        ("name", "my run = best", "my run = best"),
        ("lora.rank", 4, 4),
        ("backbone.quick_gelu", "true", True),
    ],
)
def test_a_dotted_key_sets_a_value(key: str, text: object, value: object) -> None:
    settings: Any = RunSettings().with_values({key: text})
    for part in key.split("."):
        settings = getattr(settings, part)
    assert settings == (pytest.approx(value) if isinstance(value, float) else value)


def test_dotted_keys_leave_the_rest_and_the_original_alone() -> None:
    original = RunSettings()
    changed = original.with_values({"lora.rank": "4"})
    assert original == RunSettings()
    assert changed == RunSettings(lora=LoraSettings(rank=4))


@pytest.mark.parametrize("key", ["rank", "lora.rnak", "lora.rank.deep", "nowhere.at.all", "", "lora."])
def test_an_unknown_dotted_key_is_refused(key: str) -> None:
    with pytest.raises(SettingsError, match="There is no setting"):
        RunSettings().with_values({key: "4"})


def test_a_bad_value_of_a_dotted_key_is_named() -> None:
    with pytest.raises(SettingsError, match=r"^lora\.rank: "):
        RunSettings().with_values({"lora.rank": "several"})


def test_values_that_belong_together_are_set_together() -> None:
    settings = RunSettings().with_values({"backbone.name": "local", "backbone.checkpoint": "b32.pt"})
    assert settings.backbone.checkpoint == "b32.pt"


# --- what follows from the settings -----------------------------------------------------------


def test_no_steps_means_five_hundred_for_each_shot() -> None:
    assert RunSettings(data=DataSettings(shots=4)).total_steps == 2000
    assert RunSettings(training=TrainingSettings(steps=7)).total_steps == 7


def test_without_inner_steps_the_method_is_plain() -> None:
    assert RunSettings().method == "AdvCLIP-LoRA"
    assert RunSettings(adversary=AdversarySettings(inner_steps=0)).method == "CLIP-LoRA"


def test_matrices_are_kept_once_and_in_order() -> None:
    assert LoraSettings.model_validate({"matrices": ["v", "q", "v"]}).matrices == ("q", "v")


def test_every_setting_tells_what_it_is() -> None:
    for section in (DataSettings, BackboneSettings, LoraSettings, AdversarySettings, TrainingSettings):
        for name, field in section.model_fields.items():
            assert field.title, name
            assert field.description, name
            assert field.description.endswith("."), name
