"""The released protocol: the engine computes what its slow transcription computes, step by step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from advclip_gui.engine import adapters, released
from advclip_gui.engine.control import Control
from advclip_gui.engine.datasets.sampling import Split
from advclip_gui.engine.preparation import ImageSet, Prepared
from advclip_gui.engine.trainer import Trainer
from advclip_gui.settings import RunSettings
from tests.engine import conftest
from tests.engine import released_transcription as formulas

if TYPE_CHECKING:
    from collections.abc import Callable

    from advclip_gui.engine.backbones import Backbone

CLASSES = ("cat", "ship", "fire truck")
COUNT, BATCH, STEPS = 26, 4, 20
"""Seven batches an epoch, the last one short: twenty steps begin three epochs."""
CLOSE = 1e-5


def make_backbone(*, split: bool = True) -> Backbone:
    """The tiny CLIP with short image features, so that losses are of the order of 1 also where the
    released protocol takes their length for confidence, and 1e-5 means the same everywhere."""
    backbone = conftest.make_backbone(split=split)
    backbone.model.visual.proj.data *= 0.02
    return backbone


@dataclass
class Trace:
    """What a run did: per step its loss and the perturbation after it; the matrices at its end."""

    losses: Tensor
    deltas: Tensor
    a: dict[str, Tensor]
    b: dict[str, Tensor]


def settings(inner_steps: int, **training: Any) -> RunSettings:
    return RunSettings.checked(
        {
            "device": "cpu",
            "lora": {"rank": 2, "dropout": 0.0, "encoder": "both"},
            "adversary": {"kind": "universal", "inner_steps": inner_steps, "epsilon": "8/255"},
            "training": {
                "steps": STEPS,
                "batch_size": BATCH,
                "learning_rate": 0.003,
                "augmentation": "none",
                **training,
            },
        }
    ).under("released")


def photos(seed: int = 0, *, darkest: int = 0) -> ImageSet:
    """Noise around a colour of its own for each class, and one corner that is white in all images."""
    numbers = np.random.default_rng(seed)
    labels = np.arange(COUNT, dtype=np.int64) % len(CLASSES)
    colours = numbers.integers(60, 200, (len(CLASSES), 1, 1, 3))
    images = colours[labels] + numbers.normal(0, 40, (COUNT, 16, 16, 3))
    images[:, :3, :3] = 255
    return ImageSet(np.clip(images, darkest, 255).astype(np.uint8), labels)


def trainer_for(chosen: RunSettings, images: ImageSet) -> Trainer:
    return Trainer(
        chosen,
        Prepared(
            scan=None,  # a step never looks at the folder
            split=Split((), (), (), CLASSES),
            class_names=CLASSES,
            backbone=make_backbone(),
            train=images,
            monitor=images,
            monitor_split="val",
        ),
    )


def lora_of(trainer: Trainer) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Copies of the engine's A and B under the transcription's names."""
    found = adapters.lora_layers(trainer.backbone.model)
    layers = {name.removesuffix("_proj"): layer for name, layer in found.items()}
    a = {name: layer.lora_A["default"].weight.detach().clone() for name, layer in layers.items()}
    b = {name: layer.lora_B["default"].weight.detach().clone() for name, layer in layers.items()}
    return a, b


def plain_clip() -> formulas.Clip:
    vision = conftest.TINY["vision_cfg"]
    return formulas.Clip(
        make_backbone(split=False).model.state_dict(),
        vision["width"] // vision["head_width"],
        conftest.TINY["text_cfg"]["heads"],
    )


def all_tokens() -> Tensor:
    """(C, 77)."""
    return make_backbone().tokenizer([f"a photo of a {name}." for name in CLASSES])


def inputs(images: ImageSet) -> Tensor:
    """x, normalised."""
    backbone = make_backbone()
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (backbone.mean, backbone.std))
    return (torch.from_numpy(images.images).permute(0, 3, 1, 2) / 255 - mean) / std


def transcription_for(trainer: Trainer) -> formulas.Run:
    """The formulas' run from where an engine run stands before its first step."""
    chosen = trainer.settings
    a, b = lora_of(trainer)
    return formulas.Run(
        clip=plain_clip(),
        lora=formulas.Lora(a, b, formulas.scaling(chosen.lora.alpha, chosen.lora.rank)),
        tokens=all_tokens(),
        delta=torch.zeros(3, 16, 16),
        epsilon=chosen.adversary.epsilon,
        inner_steps=chosen.adversary.inner_steps,
        updates=chosen.total_steps,
        peak=chosen.training.learning_rate,
        final=chosen.training.final_learning_rate,
        weight_decay=chosen.training.weight_decay,
        it=trainer.step,
    )


def engine_trace(trainer: Trainer, steps: int = STEPS) -> Trace:
    losses, deltas = [], []
    for _ in range(steps):
        losses.append(trainer.advance(Control(), diagnose=True)["loss"].clone())
        deltas.append(trainer.adversary.universal[0].clone())
    return Trace(torch.stack(losses), torch.stack(deltas), *lora_of(trainer))


def formula_trace(run: formulas.Run, trainer: Trainer, images: ImageSet, steps: int = STEPS) -> Trace:
    """Walk through the same batches; the engine is only asked which images they hold."""
    x, labels = inputs(images), torch.from_numpy(images.labels)
    losses, deltas = [], []
    for step in range(run.it, run.it + steps):
        if trainer.batches.begins_epoch(step):
            run.begin_epoch()
        chosen = trainer.batches.at(step)
        losses.append(run.step(x[chosen], labels[chosen]))
        deltas.append(run.delta)
    parts = ({name: value.detach() for name, value in part.items()} for part in (run.lora.a, run.lora.b))
    return Trace(torch.stack(losses), torch.stack(deltas), *parts)


def farthest(left: Trace, right: Trace) -> float:
    """Largest difference of loss or delta at any step."""
    return max(
        (left.losses - right.losses).abs().max().item(), (left.deltas - right.deltas).abs().max().item()
    )


def assert_same(left: Trace, right: Trace, *, relative: float = 0.0) -> None:
    torch.testing.assert_close(left.losses, right.losses, atol=CLOSE, rtol=relative)
    torch.testing.assert_close(left.deltas, right.deltas, atol=CLOSE, rtol=0)
    torch.testing.assert_close(left.a, right.a, atol=CLOSE, rtol=0)
    torch.testing.assert_close(left.b, right.b, atol=CLOSE, rtol=0)


# The transcription by itself.


def test_the_transcribed_towers_are_open_clips() -> None:
    model, clip, none = make_backbone(split=False).model, plain_clip(), formulas.Lora({}, {}, 1.0)
    x, tokens = inputs(photos()), all_tokens()
    torch.testing.assert_close(formulas.image_features(x, clip, none), model.encode_image(x))
    torch.testing.assert_close(
        formulas.text_features(tokens, clip, none), F.normalize(model.encode_text(tokens), dim=-1)
    )


def test_a_delta_step_follows_the_loss_uphill() -> None:
    """In float64 the transcribed gradient is what finite differences give."""
    run = transcription_for(trainer_for(settings(1), photos()))
    clip = formulas.Clip({k: v.double() for k, v in run.clip.weights.items()}, 2, 2)
    lora = formulas.Lora(
        {k: v.double() for k, v in run.lora.a.items()}, {k: v.double() for k, v in run.lora.b.items()}, 0.7
    )
    x, labels = inputs(photos())[:BATCH].double(), torch.from_numpy(photos().labels)[:BATCH]
    text = formulas.text_features(run.tokens, clip, lora).detach()

    def loss(delta: Tensor) -> Tensor:
        features = formulas.image_features(x + delta, clip, lora)
        return F.cross_entropy(formulas.later_logits(features, text), labels)

    delta = torch.zeros(3, 16, 16, dtype=torch.float64, requires_grad=True)
    gradient = run.gradient(loss(delta), delta)
    towards = torch.randn(delta.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with torch.no_grad():
        rise = (loss(delta + 1e-6 * towards) - loss(delta - 1e-6 * towards)) / 2e-6
    torch.testing.assert_close((gradient * towards).sum(), rise, rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    ("length", "it", "expected"),
    [
        (0.5, 0, 2 - 1 / 300),
        (0.5, 299, 1.0),
        (0.5, 300, 1.0),
        (0.5, 5000, 1.0),
        (2.0, 150, 0.5 + 0.5 / 150),
        (0.0, 0, 1e30 * (1 - 1 / 300)),
        (0.0, 299, 0.0),  # in float32, 1e30 + (1 - 1e30) leaves nothing
    ],
)
def test_step_size_rule(length: float, it: int, expected: float) -> None:
    delta = torch.zeros(3, 4, 4)
    delta[1, 2, 3] = length
    assert formulas.step_scale(delta, it).item() == pytest.approx(expected, rel=1e-6)
    assert released.step_size(delta[None], it).item() == pytest.approx(expected, rel=1e-6)


# The engine against it.


@pytest.mark.parametrize("inner_steps", [0, 1, 2, 3])
def test_twenty_steps_are_the_formulas(inner_steps: int) -> None:
    images = photos()
    trainer = trainer_for(settings(inner_steps), images)
    run = transcription_for(trainer)
    theirs = formula_trace(run, trainer, images)
    ours = engine_trace(trainer)
    # With normalised features the logits go up to 100, of which float32 resolves no better than 8e-6.
    assert_same(ours, theirs, relative=CLOSE if inner_steps == 0 else 0.0)
    # The run went somewhere: B has left zero, delta moves freely inside its bounds.
    assert min(value.abs().max() for value in ours.b.values()) > 0.01
    if inner_steps > 1:
        inside = (ours.deltas.abs() < 0.99 * trainer.settings.adversary.epsilon).float().mean()
        assert 0.05 < inside < 0.95
    elif inner_steps == 0:
        assert not ours.deltas.any()


@pytest.mark.parametrize("encoder", ["vision", "text"])
def test_one_adapted_tower(encoder: str) -> None:
    images = photos(1)
    chosen = settings(2).with_values({"lora.encoder": encoder, "lora.matrices": ["q", "v"]})
    trainer = trainer_for(chosen, images)
    run = transcription_for(trainer)
    theirs = formula_trace(run, trainer, images, 10)
    assert_same(engine_trace(trainer, 10), theirs)


def test_the_step_size_rule_ends_at_300_updates() -> None:
    """Across the end of the rule, with an epoch (so delta zero) beginning right at its last update."""
    images = photos()
    chosen = settings(2, steps=600, batch_size=2)
    trainer = trainer_for(chosen, images)
    trainer.step = 296
    assert trainer.batches.begins_epoch(299)
    run = transcription_for(trainer)
    theirs = formula_trace(run, trainer, images, 8)
    assert_same(engine_trace(trainer, 8), theirs)


def test_bright_images_push_delta_below_its_ball() -> None:
    """Where all of a batch is brighter than 1 in normalised units, max(1 - x) is below -epsilon."""
    images = photos(darkest=230)
    trainer = trainer_for(settings(2), images)
    run = transcription_for(trainer)
    theirs = formula_trace(run, trainer, images, 10)
    ours = engine_trace(trainer, 10)
    assert_same(ours, theirs)
    assert ours.deltas.min() < -2 * trainer.settings.adversary.epsilon


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_dropout_is_active_in_the_attack(dropout: float) -> None:
    """From the same matrices, delta moves as the formulas without dropout say only where there is none."""
    images = photos()
    trainer = trainer_for(settings(2).with_values({"lora.dropout": dropout}), images)
    engine_trace(trainer, 5)
    run = transcription_for(trainer)
    run.delta = trainer.adversary.universal[0].clone()
    gap = (formula_trace(run, trainer, images, 1).deltas - engine_trace(trainer, 1).deltas).abs().max()
    assert gap < CLOSE if dropout == 0 else gap > 10 * CLOSE


# That the comparison can fail: one point of the formulas changed, and the engine is no longer equal.


def late_trainer() -> Trainer:
    """At the beginning of an epoch near the end of the step size's rule, where the rule weighs most."""
    trainer = trainer_for(settings(2, steps=600), photos())
    trainer.step = 280
    assert trainer.batches.begins_epoch(trainer.step)
    return trainer


@pytest.fixture(scope="module")
def engine_run() -> Trace:
    return engine_trace(late_trainer())


def test_unchanged_formulas_pass_the_comparison_that_follows(engine_run: Trace) -> None:
    trainer = late_trainer()
    assert_same(engine_run, formula_trace(transcription_for(trainer), trainer, photos()))


def _per_pixel(delta: Tensor, x: Tensor) -> Tensor:
    return delta.clamp((-x).amin(0), (1 - x).amax(0))


CHANGES: dict[str, tuple[str, Callable[..., Any]]] = {
    "sign instead of the raw gradient": ("direction", lambda gradient: gradient.sign()),
    "normalised features after a delta step": ("later_logits", formulas.first_logits),
    "features never normalised": ("first_logits", formulas.later_logits),
    "delta kept between epochs": ("start_of_epoch", lambda delta: delta),
    "range of each pixel": ("keep_in_range", _per_pixel),
    "step size without its rule of 300": ("step_scale", lambda delta, it: 1 / (delta.norm() + 1e-30)),
    "step size always 1": ("step_scale", lambda delta, it: torch.ones(())),
    "constant learning rate": ("learning_rate", lambda peak, final, update, updates: peak),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_formula_is_noticed(
    change: str, engine_run: Trace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formulas, *CHANGES[change])
    trainer = late_trainer()
    assert farthest(engine_run, formula_trace(transcription_for(trainer), trainer, photos())) > 1e-4


@pytest.mark.parametrize("change", ["scale", "gamma", "epsilon"])
def test_a_changed_constant_is_noticed(
    change: str, engine_run: Trace, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = late_trainer()
    run = transcription_for(trainer)
    if change == "scale":
        monkeypatch.setattr(formulas, "SCALE", trainer.classifier.logit_scale.item())
    elif change == "gamma":
        run.lora.gamma = 1 / 2  # alpha / r
    else:
        run.epsilon *= 1.01
    assert farthest(engine_run, formula_trace(run, trainer, photos())) > 1e-4


# Evaluation.


@pytest.fixture(scope="module")
def trained() -> Trainer:
    """After twenty steps, so that the adapter counts and the images are not all wrong or all right."""
    trainer = trainer_for(settings(2), photos())
    engine_trace(trainer)
    return trainer


@pytest.mark.parametrize("epsilon", [1 / 255, 8 / 255])
def test_evaluation_is_the_formulas(trained: Trainer, epsilon: float) -> None:
    clip, images, steps = plain_clip(), photos(7), 5
    lora = formulas.Lora(*lora_of(trained), formulas.scaling(1, 2))
    x, labels = inputs(images), torch.from_numpy(images.labels)
    pixels = torch.from_numpy(images.images).permute(0, 3, 1, 2) / 255
    text = formulas.text_features(all_tokens(), clip, lora)
    single = formulas.fgsm(x, labels, text, clip, lora, epsilon)
    iterated = formulas.pgd(x, labels, text, clip, lora, epsilon, steps)
    with trained.evaluation_mode() as classifier:
        ours = released.fgsm(classifier, pixels, labels, epsilon)
        torch.testing.assert_close(ours, single, atol=CLOSE, rtol=0)
        ours = released.pgd(classifier, pixels, labels, epsilon, steps, Control())
        torch.testing.assert_close(ours, iterated, atol=CLOSE, rtol=0)
        result = released.evaluate(
            classifier,
            images.images,
            images.labels,
            epsilon=epsilon,
            steps=steps,
            batch_size=10,
            control=Control(),
        )
    expected = [formulas.accuracy(kind, labels, text, clip, lora) for kind in (x, single, iterated)]
    assert [result.clean_accuracy, result.fgsm_accuracy, result.robust_accuracy] == pytest.approx(expected)
    assert result.n == COUNT
    assert single.min() >= 0
    assert single.max() <= 1
