"""Deliberately broken classifiers raise their warning; plain ones raise none."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from advclip_gui.engine.control import Control
from advclip_gui.engine.evaluation import evaluate
from tests.engine.tiny_models import BROKEN, CLASSES, SIZE, Wrapped, blobs, trained

EPSILONS = (1 / 255, 2 / 255, 4 / 255)


def _kinds(model, norm="Linf", epsilons=EPSILONS, images=None, labels=None, **asked) -> set[str]:
    if images is None:
        images, labels = blobs(80)
    result = evaluate(model, images, labels, epsilons=epsilons, norm=norm, control=Control(), **asked)
    assert len(result.warnings) == len(result.findings)
    for sentence in result.warnings:
        assert sentence.endswith(".")
        assert sentence[0].isupper()
    return {finding.kind for finding in result.findings}


@pytest.mark.parametrize("kind", ["cnn", "vit"])
@pytest.mark.parametrize("seed", range(3))
def test_plain_models_raise_no_warning(kind, seed):
    assert _kinds(trained(kind, seed)) == set()


@pytest.mark.parametrize("kind", ["cnn", "vit"])
def test_plain_models_raise_no_warning_in_l2(kind):
    assert _kinds(trained(kind), norm="L2", epsilons=(0.1, 0.3, 0.6)) == set()


TIER_BUDGETS = {
    "quick": {},
    "standard": {"attack": "standard", "steps": 20},
    "thorough": {"attack": "thorough", "steps": 10, "restarts": 2, "queries": 100},
}


@pytest.mark.parametrize("tier", ["standard", "thorough"])
@pytest.mark.parametrize("kind", ["cnn", "vit"])
@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_plain_models_raise_no_warning_in_any_tier(kind, norm, tier):
    epsilons = EPSILONS if norm == "Linf" else (0.1, 0.3, 0.6)
    assert _kinds(trained(kind), norm=norm, epsilons=epsilons, **TIER_BUDGETS[tier]) == set()


@pytest.mark.parametrize("tier", list(TIER_BUDGETS))
@pytest.mark.parametrize("name", list(BROKEN))
def test_broken_defences_raise_their_warning(name, tier):
    breaks, expected = BROKEN[name]
    kinds = _kinds(breaks(trained()), epsilons=(2 / 255, 4 / 255, 6 / 255), **TIER_BUDGETS[tier])
    assert expected in kinds


def test_log_softmax_is_harmless():
    assert _kinds(Wrapped(trained(), logits=lambda z: z.log_softmax(dim=1))) == set()


def test_saturated_logits():
    assert "zero_gradients" in _kinds(Wrapped(trained(), logits=lambda z: z * 1e4))


@pytest.mark.parametrize("temperature", [1e4, 1e9])
def test_huge_temperature(temperature):
    images, labels = blobs(80)
    model = Wrapped(trained(), logits=lambda z: z / temperature)
    assert "temperature" in _kinds(model, epsilons=(2 / 255, 4 / 255, 6 / 255), images=images, labels=labels)


def test_simply_wrong():
    images, labels = blobs(80)
    assert "at_chance" in _kinds(trained(), images=images, labels=np.roll(labels, 1))
    assert "at_chance" in _kinds(
        trained(), images=images, labels=np.random.default_rng(0).permutation(labels)
    )


def test_not_finite_output():
    class Broken(nn.Module):
        def forward(self, pixels: Tensor) -> Tensor:
            logits = trained()(pixels)
            return torch.cat([logits[:, :1].log(), logits[:, 1:]], dim=1)

    assert "not_finite" in _kinds(Broken())


class _Misleading(torch.autograd.Function):
    """The identity; its gradient is true on 8-bit images and points backwards everywhere else."""

    @staticmethod
    def forward(ctx, pixels):
        ctx.save_for_backward(pixels)
        return pixels.clone()

    @staticmethod
    def backward(ctx, gradient):
        (pixels,) = ctx.saved_tensors
        clean = ((pixels * 255 - (pixels * 255).round()).abs() < 1e-3).flatten(1).all(dim=1)
        return torch.where(clean.view(-1, 1, 1, 1), gradient, -gradient)


def test_single_step_beats_the_iterative_attack():
    kinds = _kinds(Wrapped(trained(), pixels=_Misleading.apply), epsilons=(6 / 255,))
    assert {"single_step_wins", "loss_does_not_rise"} <= kinds


class _OnlyNearIsWeak(nn.Module):
    """Bright or dark; rough images, as a random start makes them, are looked at coarsely."""

    def forward(self, pixels: Tensor) -> Tensor:
        mean = pixels.mean(dim=(1, 2, 3)) - 0.5
        rough = (pixels[..., 1:] - pixels[..., :-1]).abs().mean(dim=(1, 2, 3)) > 0.012
        margin = torch.where(rough, (mean * 0).detach() + mean.detach().sign(), mean * 20)
        return torch.stack([margin, -margin], dim=1)


def test_accuracy_that_rises_with_epsilon():
    rng = np.random.default_rng(0)
    labels = np.arange(80, dtype=np.int64) % 2
    level = np.where(labels == 0, 128 + rng.integers(1, 3, 80), 127 - rng.integers(1, 3, 80))
    images = np.broadcast_to(level[:, None, None, None], (80, SIZE, SIZE, 3)).astype(np.uint8)
    kinds = _kinds(_OnlyNearIsWeak(), epsilons=(3 / 255, 24 / 255), images=images, labels=labels)
    assert "accuracy_rises" in kinds


def _masked():
    """A coarse input and a gradient that is not zero but leads nowhere."""

    class Nowhere(torch.autograd.Function):
        @staticmethod
        def forward(ctx, pixels):
            return (pixels * 255 / 8).round() * 8 / 255

        @staticmethod
        def backward(ctx, gradient):
            generator = torch.Generator().manual_seed(1)
            return torch.randn(gradient.shape, generator=generator) * gradient.abs().mean()

    return Wrapped(trained("vit"), pixels=Nowhere.apply)


@pytest.mark.parametrize("tier", ["quick", "thorough"])
def test_black_box_beats_misleading_gradients(tier):
    budget = {**TIER_BUDGETS[tier], **({"queries": 500} if tier == "thorough" else {})}
    assert "black_box_wins" in _kinds(_masked(), epsilons=(12 / 255,), **budget)


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_huge_epsilon_must_reach_zero(norm):
    epsilons = (4 / 255,) if norm == "Linf" else (0.3,)
    assert "survives_huge_epsilon" in _kinds(_masked_for_good(), norm=norm, epsilons=epsilons)
    assert "survives_huge_epsilon" not in _kinds(trained(), norm=norm, epsilons=epsilons)


def _masked_for_good():
    return Wrapped(trained(), pixels=lambda x: x.detach())


def test_few_images_raise_no_alarm():
    images, labels = blobs(CLASSES)
    assert _kinds(trained(), images=images, labels=labels) == set()


@pytest.mark.parametrize(("n", "most"), [(80, 0.6), (1000, 0.15)])
def test_checks_cost_little(n, most, monkeypatch):
    images, labels = blobs(n)
    seen: list[int] = []

    class Counting(nn.Module):
        def forward(self, pixels: Tensor) -> Tensor:
            # A step with a gradient costs about three forward passes.
            seen.append(len(pixels) * (3 if pixels.requires_grad else 1))
            return trained()(pixels)

    def cost() -> int:
        seen.clear()
        evaluate(Counting(), images, labels, epsilons=(4 / 255,), control=Control())
        return sum(seen)

    whole = cost()
    monkeypatch.setattr("advclip_gui.engine.evaluation.attack_findings", lambda *_, **__: [])
    assert (whole - cost()) / whole <= most
