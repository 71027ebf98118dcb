"""Work that a training step leaves out, each with proof that the result is the same."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from advclip_gui.engine import adapters
from advclip_gui.engine import trainer as trainer_module
from advclip_gui.engine.classifier import encode_tokens
from advclip_gui.engine.control import Control
from advclip_gui.engine.datasets.sampling import Split
from advclip_gui.engine.preparation import ImageSet, Prepared
from advclip_gui.engine.trainer import Trainer
from advclip_gui.settings import RunSettings

if TYPE_CHECKING:
    from advclip_gui.engine.backbones import Backbone

NAMES = ("cat", "ship", "large truck")


def trainer_on(backbone: Backbone, **values: object) -> Trainer:
    """A trainer on 12 random images with LoRA that is no longer zero."""
    numbers = np.random.default_rng(0)
    images = ImageSet(
        numbers.integers(0, 256, (12, 16, 16, 3), dtype=np.uint8), np.arange(12, dtype=np.int64) % 3
    )
    prepared = Prepared(None, Split((), (), (), NAMES), NAMES, backbone, images, images, "val")
    settings = RunSettings.checked(
        {
            "lora": {"dropout": 0.0, **values.pop("lora", {})},
            "adversary": {"inner_steps": 2, "epsilon": "4/255", "step_size": "2/255"},
            "training": {"steps": 10, "batch_size": 4, "augmentation": "none"},
            **values,
        }
    )
    trainer = Trainer(settings, prepared)
    randomise(trainer)
    return trainer


def randomise(trainer: Trainer) -> None:
    with torch.no_grad():
        for number, matrix in enumerate(trainer.matrices.values()):
            noise = torch.randn(matrix.shape, generator=torch.Generator().manual_seed(number))
            matrix.copy_(0.3 * noise)


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(4, 3, 16, 16, generator=generator), torch.tensor([0, 1, 2, 0])


def test_the_low_rank_product_is_the_full_one(backbone) -> None:
    """(x A^T) B^T, never B A."""
    trainer_on(backbone)
    name, layer = next(iter(adapters.lora_layers(backbone.model).items()))
    x = torch.randn(5, 7, 32)
    a, b = (getattr(layer, part)[adapters.ADAPTER].weight for part in ("lora_A", "lora_B"))
    full = layer.get_base_layer().weight + 1.0 / a.shape[0] ** 0.5 * (b @ a)
    torch.testing.assert_close(layer(x), F.linear(x, full, layer.get_base_layer().bias), msg=name)


def test_merged_weights_give_the_attack_its_gradient(backbone, batch) -> None:
    trainer, (pixels, labels) = trainer_on(backbone), batch
    gradients = []
    x = pixels.clone().requires_grad_(True)
    text = encode_tokens(backbone.model, trainer.tokens, len(NAMES))
    loss = F.cross_entropy(trainer.classifier.logits(x, text), labels)
    gradients.append(torch.autograd.grad(loss, x)[0])
    with trainer.evaluation_mode() as classifier:
        gradients.append(torch.autograd.grad(F.cross_entropy(classifier(x), labels), x)[0])
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-4, atol=1e-6)


def test_the_attack_takes_no_gradient_for_lora(backbone, monkeypatch) -> None:
    trainer = trainer_on(backbone)
    asked: list[bool] = []
    original = torch.autograd.grad

    def grad(outputs, inputs, *given, **options):
        asked.extend(matrix.requires_grad for matrix in trainer.matrices.values())
        return original(outputs, inputs, *given, **options)

    monkeypatch.setattr(torch.autograd, "grad", grad)
    trainer.advance(Control(), diagnose=False)
    assert len(asked) == 2 * len(trainer.matrices)
    assert not any(asked)
    assert all(matrix.requires_grad for matrix in trainer.matrices.values())


@pytest.mark.parametrize("protocol", ["sound", "released"])
def test_no_graph_below_the_lowest_adapted_block(backbone, monkeypatch, protocol) -> None:
    trainer = trainer_on(backbone, lora={"encoder": "vision", "layers": [1], "dropout": 0.0})
    trainer.settings = trainer.settings.with_values({"adversary.kind": "universal"}).under(protocol)
    trainer = Trainer(trainer.settings, trainer.prepared)
    graphs: list[list[bool]] = []
    for number, block in enumerate(backbone.model.visual.transformer.resblocks):

        def note(module, given, output, number=number) -> None:
            if number == 0:
                graphs.append([])
            graphs[-1].append(output.requires_grad)

        block.register_forward_hook(note)
    trainer.advance(Control(), diagnose=False)
    *attack, update = graphs
    assert attack == [[True, True, True]] * 2  # down to the pixels
    assert update == [False, True, True]


@pytest.mark.parametrize(
    ("encoder", "expected"),
    # Of zero-shot CLIP; then per step once in the attack's evaluation mode, once with dropout.
    [("vision", 1), ("both", 1 + 2 * 3)],
)
def test_text_features_are_computed_no_more_often_than_they_change(
    backbone, monkeypatch, encoder, expected
) -> None:
    counted = Counter()
    tokenizer = backbone.tokenizer

    def encode(model, tokens, classes):
        counted["features"] += 1
        return encode_tokens(model, tokens, classes)

    def tokenize(texts):
        counted["tokens"] += 1
        return tokenizer(texts)

    monkeypatch.setattr(trainer_module, "encode_tokens", encode)
    trainer = trainer_on(
        dataclasses.replace(backbone, tokenizer=tokenize), lora={"encoder": encoder, "dropout": 0.0}
    )
    for _ in range(3):
        trainer.advance(Control(), diagnose=False)
    assert counted == {"features": expected, "tokens": 1}


@pytest.mark.parametrize("protocol", ["sound", "released"])
def test_no_graph_outlives_a_step(backbone, protocol) -> None:
    trainer = trainer_on(backbone, adversary={"kind": "universal", "inner_steps": 2}, protocol=protocol)
    scalars = trainer.advance(Control(), diagnose=True)
    assert not any(value.requires_grad for value in scalars.values())
    assert trainer.adversary.universal.any()
    assert trainer.adversary.universal.grad_fn is None
    assert all(matrix.grad is None for matrix in trainer.matrices.values())


class Waits(TorchDispatchMode):
    """Counts the operations for which the host has to wait for the device."""

    OPERATIONS = ("aten._local_scalar_dense", "aten.nonzero", "aten.item", "aten.is_nonzero")

    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[str] = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if str(func).startswith(self.OPERATIONS):
            self.seen[str(func)] += 1
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"adversary": {"kind": "universal", "inner_steps": 2}, "protocol": "released"},
        {"adversary": {"inner_steps": 2, "norm": "L2"}, "training": {"batch_size": 4, "trades_beta": 3.0}},
        {"training": {"batch_size": 4, "gradient_clip": 1.0, "accumulation": 2}, "precision": "bfloat16"},
    ],
)
def test_a_step_never_waits_for_the_device(backbone, monkeypatch, values) -> None:
    trainer = trainer_on(backbone, **values)
    # On a CPU there is nothing to wait for, so there the guard looks at every step.
    monkeypatch.setattr(Trainer, "_give_up_on_nonsense", lambda self: None)
    with Waits() as waits:
        trainer.advance(Control(), diagnose=False)
    assert not waits.seen
    with Waits() as waits:
        float(trainer.optimizer.skipped)
    assert waits.seen  # the count can see a wait


def test_clipping_shortens_what_is_too_long_and_nothing_else(new_backbone) -> None:
    def steps(limit: float) -> dict[str, torch.Tensor]:
        trainer = trainer_on(new_backbone(), training={"batch_size": 4, "gradient_clip": limit, "steps": 10})
        kept: dict[str, torch.Tensor] = {}
        original = trainer.optimizer._optimizer.step

        def step() -> None:
            kept.update({name: matrix.grad.clone() for name, matrix in trainer.matrices.items()})
            original()

        trainer.optimizer._optimizer.step = step
        trainer.advance(Control(), diagnose=False)
        return kept

    free, loose, tight = steps(0.0), steps(1e5), steps(1e-3)
    length = torch.cat([value.flatten() for value in free.values()]).norm()
    for name, value in free.items():
        assert torch.equal(loose[name], value)
        torch.testing.assert_close(tight[name], value * 1e-3 / length, rtol=1e-3, atol=1e-9)
