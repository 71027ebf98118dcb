"""Exported adapters: the same predictions in a fresh process, and in transformers + peft."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch

from advclip_gui.engine import adapters
from advclip_gui.engine.classifier import build_classifier, to_pixels
from advclip_gui.engine.control import Control
from advclip_gui.engine.errors import CheckpointError, StorageError
from advclip_gui.engine.export import adapter_info, export_adapter, load_classifier, loading_snippet
from advclip_gui.engine.model_ref import ModelRef
from advclip_gui.engine.session import Session
from advclip_gui.engine.training import train
from advclip_gui.settings import BackboneSettings, LoraSettings

LOAD_IN_FRESH_PROCESS = """
import sys
from pathlib import Path
import numpy as np
import torch
from advclip_gui.engine.control import Control
from advclip_gui.engine.export import load_classifier
classifier = load_classifier(Path(sys.argv[1]), control=Control(), device="cpu")
pixels = torch.from_numpy(np.load(sys.argv[2]))
with torch.no_grad():
    np.save(sys.argv[3], classifier(pixels).numpy())
"""


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory, small_folder):
    from advclip_gui.settings import RunSettings

    settings = RunSettings.checked(
        {
            "device": "cpu",
            "data": {"folder": str(small_folder), "shots": 4, "val_shots": 2},
            "lora": {"rank": 3},
            "training": {"steps": 4, "batch_size": 6, "learning_rate": 0.02},
            "monitor": {"images": 6, "attack_steps": 2, "final_images": 6},
        }
    )
    return train(settings, control=Control(), run_dir=tmp_path_factory.mktemp("runs") / "run").run_dir


def test_exported_adapter_predicts_the_same_in_a_fresh_process(run_dir, tmp_path, photo) -> None:
    out = export_adapter(run_dir, tmp_path / "my adapter")
    assert {path.name for path in out.iterdir()} == {
        "adapter_config.json", "adapter_model.safetensors", "advclip.json", "README.md",
    }  # fmt: skip
    pixels = to_pixels(np.stack([photo, photo[:, ::-1]]), torch.device("cpu"))
    np.save(tmp_path / "pixels.npy", pixels.numpy())
    code = [sys.executable, "-c", LOAD_IN_FRESH_PROCESS, str(out)]
    subprocess.run(
        [*code, str(tmp_path / "pixels.npy"), str(tmp_path / "logits.npy")], check=True, timeout=300
    )
    session = Session("cpu")
    info = adapter_info(run_dir)
    ref = ModelRef(kind="adapter", backbone=info.backbone, adapter=str(run_dir))
    with session.borrow(ref, info.class_names, info.templates, Control()) as classifier, torch.no_grad():
        here = classifier(pixels).numpy()
    np.testing.assert_allclose(np.load(tmp_path / "logits.npy"), here, atol=1e-5, rtol=0)
    zero_shot = ModelRef(kind="zero_shot", backbone=info.backbone)
    with session.borrow(zero_shot, info.class_names, info.templates, Control()) as classifier:
        assert np.abs(classifier(pixels).detach().numpy() - here).max() > 1e-2


def test_nothing_exported_names_a_path_of_this_machine(run_dir, small_folder, tmp_path) -> None:
    out = export_adapter(run_dir, tmp_path / "adapter")
    for path in out.iterdir():
        assert str(small_folder.parent).encode() not in path.read_bytes(), path.name
    info = json.loads((out / "advclip.json").read_text())
    assert info["figures"]["adapter"]["n"] == 6
    assert info["settings"]["data"]["folder"] == small_folder.name
    card = (out / "README.md").read_text()
    assert "AdvCLIP-LoRA" in card
    assert "sound" in card
    assert "Wilson 95 %" in card


def test_an_exported_folder_can_be_exported_again(run_dir, tmp_path) -> None:
    first = export_adapter(run_dir, tmp_path / "first")
    second = export_adapter(first, tmp_path / "second")
    for name in (adapters.WEIGHTS_FILE, adapters.CONFIG_FILE):
        assert (first / name).read_bytes() == (second / name).read_bytes()
    assert adapter_info(second) == adapter_info(first)


def test_folders_with_other_files_are_left_alone(run_dir, tmp_path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(StorageError, match="holds other files"):
        export_adapter(run_dir, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(StorageError, match="is a file"):
        export_adapter(run_dir, tmp_path / "thesis.tex")


def test_what_is_no_adapter_is_said_to_be_none(tmp_path) -> None:
    with pytest.raises(CheckpointError, match="no adapter"):
        export_adapter(tmp_path, tmp_path / "out")
    with pytest.raises(CheckpointError, match="no adapter in"):
        load_classifier(tmp_path, control=Control())


def test_a_peft_adapter_without_our_record_names_what_is_missing(run_dir, tmp_path) -> None:
    out = export_adapter(run_dir, tmp_path / "adapter")
    (out / "advclip.json").unlink()
    with pytest.raises(CheckpointError, match=r"advclip\.json"):
        load_classifier(out, control=Control())


def test_snippet_runs(run_dir, tmp_path) -> None:
    out = export_adapter(run_dir, tmp_path / "adapter")
    names: dict[str, Any] = {}
    exec(loading_snippet(out), names)
    assert names["classifier"].class_names == ("cat", "ship", "truck")


class TestTransformers:
    """The exported files on a Hugging Face CLIPModel with the same weights."""

    def hugging_face(self, backbone):
        from transformers import CLIPConfig, CLIPModel

        config = CLIPConfig(
            projection_dim=16,
            vision_config={
                "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 128,
                "image_size": 16, "patch_size": 8, "projection_dim": 16, "hidden_act": "gelu",
            },
            text_config={
                "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 128,
                "projection_dim": 16, "hidden_act": "gelu", "eos_token_id": 49407,
            },
        )  # fmt: skip
        model = CLIPModel(config).eval()
        ours = backbone.model
        state = {
            "logit_scale": ours.logit_scale,
            "text_projection.weight": ours.text_projection.T,
            "visual_projection.weight": ours.visual.proj.T,
            "text_model.embeddings.token_embedding.weight": ours.token_embedding.weight,
            "text_model.embeddings.position_embedding.weight": ours.positional_embedding,
            "vision_model.embeddings.class_embedding": ours.visual.class_embedding,
            "vision_model.embeddings.patch_embedding.weight": ours.visual.conv1.weight,
            "vision_model.embeddings.position_embedding.weight": ours.visual.positional_embedding,
        }
        norms = {
            "text_model.final_layer_norm": ours.ln_final,
            "vision_model.pre_layrnorm": ours.visual.ln_pre,
            "vision_model.post_layernorm": ours.visual.ln_post,
        }
        for prefix, blocks in (
            ("vision_model", ours.visual.transformer.resblocks),
            ("text_model", ours.transformer.resblocks),
        ):
            for index, block in enumerate(blocks):
                base = f"{prefix}.encoder.layers.{index}."
                for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
                    norms[f"{base}self_attn.{name}"] = getattr(block.attn, name)
                norms |= {f"{base}layer_norm1": block.ln_1, f"{base}layer_norm2": block.ln_2}
                norms |= {f"{base}mlp.fc1": block.mlp.c_fc, f"{base}mlp.fc2": block.mlp.c_proj}
        for name, module in norms.items():
            state |= {f"{name}.weight": module.weight, f"{name}.bias": module.bias}
        missing, unknown = model.load_state_dict(state, strict=False)
        assert not unknown
        assert all("position_ids" in name for name in missing)
        return model

    @pytest.mark.filterwarnings(
        "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"
    )  # peft's use
    def test_same_logits_with_peft_and_transformers(self, new_backbone, tmp_path) -> None:
        from peft import PeftModel

        backbone = new_backbone()
        model = self.hugging_face(backbone)
        place = adapters.placement(backbone.model, LoraSettings(rank=4, matrices=("q", "k", "v", "o")))
        adapters.adapt(backbone, place, seed=0)
        for layer in adapters.lora_layers(backbone.model).values():
            torch.nn.init.normal_(layer.lora_B["default"].weight, std=0.2)
        adapters.save_adapter(backbone, tmp_path)
        names = ("cat", "container ship")
        pixels = torch.rand(3, 3, 16, 16)
        classifier = build_classifier(backbone, names, ("a photo of a {}.",))
        normalised = (pixels - classifier.mean) / classifier.std
        tokens = backbone.tokenizer([f"a photo of a {name}." for name in names])

        def logits(clip) -> torch.Tensor:
            # CLIP pads with zeros behind the end-of-text token; the causal mask hides them.
            return clip(input_ids=tokens, pixel_values=normalised).logits_per_image

        with torch.no_grad():
            expected = classifier(pixels)
            plain = logits(model)
            loaded = logits(PeftModel.from_pretrained(model, str(tmp_path)))
        torch.testing.assert_close(loaded, expected, atol=1e-4, rtol=0)
        assert (plain - expected).abs().max() > 1e-2


def test_sessions_keep_few_backbones_and_lend_the_live_one(run_dir) -> None:
    session = Session("cpu")
    info = adapter_info(run_dir)
    ref = ModelRef(kind="zero_shot", backbone=BackboneSettings())
    first = session.classifier(ref, info.class_names, info.templates, Control())
    assert session.classifier(ref, info.class_names, info.templates, Control()) is first
    assert session.classifier(ref, ("cat",), info.templates, Control()) is not first
    live = ModelRef(kind="live", backbone=BackboneSettings())
    with (
        pytest.raises(CheckpointError, match="Nothing is being trained"),
        session.borrow(live, (), (), Control()),
    ):
        pass


def test_figures_of_the_run_belong_to_the_saved_adapter(run_dir) -> None:
    """The zero-shot figures are taken after training; the adapter must be back in place then."""
    from advclip_gui.engine.evaluation import evaluate
    from advclip_gui.engine.preparation import prepare
    from advclip_gui.engine.runs import RunFolder

    run = RunFolder(run_dir)
    settings, result = run.settings(), run.result()
    prepared = prepare(settings, device=torch.device("cpu"), control=Control())
    session = Session("cpu")
    from advclip_gui.engine.preparation import load_set

    test = load_set(prepared.scan.root, prepared.split.test[:6], prepared.backbone, Control())
    for kind, key in (("adapter", "adapter"), ("zero_shot", "zero_shot")):
        ref = ModelRef(kind=kind, backbone=settings.backbone, adapter=str(run_dir))  # type: ignore[arg-type]
        classifier = session.classifier(ref, prepared.class_names, settings.data.templates, Control())
        again = evaluate(
            classifier, test.images, test.labels, epsilons=[settings.monitor.epsilon], steps=2,
            batch_size=128, seed=settings.training.seed, control=Control(),
        )  # fmt: skip
        assert again.clean_accuracy == result[key]["clean_accuracy"]
        assert again.epsilons[0].robust_accuracy == result[key]["robust_accuracy"]


def test_the_card_says_protocol_norm_and_every_model(small_run, tmp_path) -> None:
    values = {"training.compare_plain": True, "lora.layers": "0, 2"}
    settings = small_run.with_values(values).under("released")
    train(settings, control=Control(), run_dir=tmp_path / "run")
    card = (export_adapter(tmp_path / "run", tmp_path / "out") / "README.md").read_text()
    assert "Protocol *released*, L-infinity, epsilon in normalised units:" in card
    assert "layers 0, 2," in card
    assert [line.split("|")[1].strip() for line in card.splitlines() if line.startswith("| ")] == [
        "model", "zero-shot", "CLIP-LoRA", "this adapter",
    ]  # fmt: skip


def test_an_export_of_the_first_version_is_read_and_exported_again(run_dir, tmp_path) -> None:
    """Its record had neither backbone nor protocol beside the figures, and no format."""
    out = export_adapter(run_dir, tmp_path / "old")
    record = json.loads((out / "advclip.json").read_text())
    for key in ("backbone", "format", "environment", "name"):
        del record[key]
    for entry in record["figures"].values():
        for key in ("protocol", "norm", "attack", "warnings", "provenance"):
            (entry or {}).pop(key, None)
    record["settings"]["protocol"] = "released"
    record["settings"]["adversary"]["kind"] = "universal"
    (out / "advclip.json").write_text(json.dumps(record))
    assert loading_snippet(out).startswith("from pathlib")
    card = (export_adapter(out, tmp_path / "new") / "README.md").read_text()
    assert "Protocol *released*, L-infinity, epsilon in normalised units:" in card
    assert "do not compare" in card
