"""Deliberately broken classifiers raise their warning; plain ones raise none."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from advclip_gui.engine.control import Control
from advclip_gui.engine.evaluation import evaluate
from tests.engine.tiny_models import CLASSES, SIZE, Wrapped, blobs, trained

EPSILONS = (1 / 255, 2 / 255, 4 / 255)


def _kinds(model, norm="Linf", epsilons=EPSILONS, images=None, labels=None) -> set[str]:
    if images is None:
        images, labels = blobs(80)
    result = evaluate(model, images, labels, epsilons=epsilons, norm=norm, control=Control())
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


def test_quantised_input():
    model = Wrapped(trained(), pixels=lambda x: (x * 15).round() / 15)
    assert "zero_gradients" in _kinds(model)


def test_random_output():
    generator = torch.Generator().manual_seed(0)
    model = Wrapped(trained(), pixels=lambda x: x + 0.02 * torch.randn(x.shape, generator=generator))
    assert "random_output" in _kinds(model)


def test_softmax_output():
    assert "softmax_output" in _kinds(Wrapped(trained(), logits=lambda z: z.softmax(dim=1)))


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


def test_few_images_raise_no_alarm():
    images, labels = blobs(CLASSES)
    assert _kinds(trained(), images=images, labels=labels) == set()


@pytest.mark.parametrize(("n", "most"), [(80, 0.6), (1000, 0.12)])
def test_checks_cost_little(n, most, monkeypatch):
    images, labels = blobs(n)
    seen: list[int] = []

    class Counting(nn.Module):
        def forward(self, pixels: Tensor) -> Tensor:
            seen.append(len(pixels))
            return trained()(pixels)

    def cost() -> int:
        seen.clear()
        evaluate(Counting(), images, labels, epsilons=(4 / 255,), control=Control())
        return sum(seen)

    whole = cost()
    monkeypatch.setattr("advclip_gui.engine.evaluation.attack_findings", lambda *_, **__: [])
    assert (whole - cost()) / whole <= most
