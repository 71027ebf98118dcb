"""APGD-CE, APGD-DLR, APGD-T and Square against an independent attack library.

Given the same random start APGD is deterministic: points of greatest loss and verdicts are compared
number for number. Square draws its squares differently there: shares of success are compared.
"""

from __future__ import annotations

import copy

import pytest
import torch
import torchattacks
from torch.nn import functional

from advclip_gui.engine.attacks.apgd import checkpoints
from advclip_gui.engine.attacks.registry import run_attack
from tests.engine.tiny_models import CLASSES, Wrapped, batch, trained

KINDS = ("cnn", "vit")
BALLS = [("Linf", 3 / 255), ("Linf", 8 / 255), ("L2", 0.3), ("L2", 0.6)]


class _CountsFromTheStart:
    """Counts whether the first step raised the loss of the start, as the paper does.

    The library compares the first step with a place of its list that is still 0. For the
    cross-entropy, which is positive, that hardly differs; for the ratio of logits it does.
    """

    first = None

    def _remember(self, value):
        if self.first is None:
            self.first = value.detach().numpy()
        return value

    def check_oscillation(self, x, j, k, y5, k3=0.75):
        if j + 1 == k:
            x = x.copy()
            x[-1] = self.first
        return super().check_oscillation(x, j, k, y5, k3)


class _Apgd(_CountsFromTheStart, torchattacks.APGD):
    def dlr_loss(self, x, y):
        return self._remember(super().dlr_loss(x, y))


class _ApgdT(_CountsFromTheStart, torchattacks.APGDT):
    def dlr_loss_targeted(self, x, y, y_target):
        return self._remember(super().dlr_loss_targeted(x, y, y_target))


def _right_ones(model, n):
    images, labels = batch(n)
    right = model(images).argmax(dim=1) == labels
    return images[right], labels[right]


def _single_run(oracle, images, labels, seed=3):
    """Points of greatest loss, and which samples some iterate fooled."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        best, accurate, _, _ = oracle.attack_single_run(images, labels)
    return best, ~accurate


def _ours(name, model, images, labels, seed=3, **options):
    generator = torch.Generator().manual_seed(seed)
    return run_attack(name, model, images, labels, generator=generator, **options)


def _same(result, model, labels, best, fooled, atol):
    assert torch.equal(result.success, fooled)
    # Where only an earlier iterate fooled that one is returned, not the point of greatest loss.
    comparable = ~fooled | (model(best).argmax(dim=1) != labels)
    difference = (result.adversarial - best).abs().flatten(1).amax(dim=1)[comparable]
    assert int(comparable.sum()) >= 0.8 * len(labels)
    # Rounding may turn a comparison of two nearly equal losses once in a hundred samples.
    assert int((difference > atol).sum()) <= 0.02 * len(labels)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("norm", "eps"), BALLS)
@pytest.mark.parametrize("steps", [10, 50])
def test_apgd_ce(kind, norm, eps, steps):
    model = trained(kind)
    images, labels = _right_ones(model, 60)
    oracle = torchattacks.APGD(model, norm=norm, eps=eps, steps=steps)
    best, fooled = _single_run(oracle, images, labels)
    ours = _ours("apgd-ce", model, images, labels, eps=eps, norm=norm, steps=steps)
    _same(ours, model, labels, best, fooled, 1e-6 if norm == "Linf" else 2e-4)
    assert bool(fooled.any())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("norm", "eps"), BALLS)
def test_apgd_dlr(kind, norm, eps):
    model = trained(kind)
    images, labels = _right_ones(model, 60)
    oracle = _Apgd(model, norm=norm, eps=eps, steps=50, loss="dlr")
    best, fooled = _single_run(oracle, images, labels)
    ours = _ours("apgd-dlr", model, images, labels, eps=eps, norm=norm, steps=50)
    _same(ours, model, labels, best, fooled, 1e-6 if norm == "Linf" else 1e-3)
    assert bool(fooled.any())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("norm", "eps"), BALLS)
def test_apgd_t_toward_the_likeliest_other_class(kind, norm, eps):
    # In double precision: near its best point this loss is so flat that rounding decides the way.
    model = copy.deepcopy(trained(kind)).double()
    images, labels = _right_ones(trained(kind), 60 if norm == "Linf" else 12)
    # In L2 the library gives every sample the step size of the first one: one sample at a time there.
    size = len(images) if norm == "Linf" else 1
    fooled_any = False
    for first in range(0, len(images), size):
        pixels, truth = images[first : first + size].double(), labels[first : first + size]
        oracle = _ApgdT(model, norm=norm, eps=eps, steps=50, n_classes=CLASSES)
        oracle.target_class = 2
        best, fooled = _single_run(oracle, pixels, truth)
        ours = _ours("apgd-t", model, pixels, truth, eps=eps, norm=norm, steps=50, target_classes=1)
        if norm == "Linf":
            _same(ours, model, truth, best, fooled, 1e-4)
        else:
            assert torch.equal(ours.success, fooled)
            assert float((ours.adversarial - best).abs().max()) <= 0.02
        fooled_any |= bool(fooled.any())
    assert fooled_any


def _within_sampling_error(ours, theirs, n):
    """Two standard deviations of the difference of two counts of n samples."""
    share = (ours + theirs) / (2 * n)
    return abs(ours - theirs) <= 2 * (2 * n * share * (1 - share)) ** 0.5


@pytest.mark.parametrize("name", ["apgd-ce", "apgd-t"])
@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_whole_apgd_fools_as_many(name, norm):
    # The library draws later starts only for what still holds; so do not we.
    model, (images, labels) = trained("vit"), batch(200)
    eps = 3 / 255 if norm == "Linf" else 0.15
    asked = {"norm": norm, "eps": eps, "steps": 20}
    if name == "apgd-ce":
        oracle = torchattacks.APGD(model, **asked)
    else:
        oracle = torchattacks.APGDT(model, n_classes=CLASSES, **asked)
    with torch.random.fork_rng():
        accurate, _ = oracle.perturb(images, labels)
    ours = run_attack(name, model, images, labels, early_stop=True, **asked)
    theirs = int((~accurate).sum())
    assert 40 <= theirs <= 160
    assert _within_sampling_error(int(ours.success.sum()), theirs, 200)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("norm", "eps"), [("Linf", 8 / 255), ("L2", 0.6)])
def test_square_fools_as_many(kind, norm, eps):
    # The library's tiles need a side that is a multiple of five.
    model = Wrapped(trained(kind), pixels=lambda x: functional.interpolate(x, 12, mode="area"))
    images, labels = batch(200)
    images = functional.interpolate(images, 15, mode="nearest")
    oracle = torchattacks.Square(model, norm=norm, eps=eps, n_queries=150)
    with torch.random.fork_rng():
        theirs = int((model(oracle(images, labels)).argmax(dim=1) != labels).sum())
    ours = run_attack("square", model, images, labels, eps=eps, norm=norm, steps=150, early_stop=True)
    assert 30 <= theirs <= 170
    assert _within_sampling_error(int(ours.success.sum()), theirs, 200), (int(ours.success.sum()), theirs)


def test_checkpoints():
    assert checkpoints(100) == [22, 41, 57, 70, 80, 87, 93, 99]
    assert checkpoints(10) == [2, 3, 4, 5, 6, 7, 8, 9, 10]
    assert checkpoints(1) == [1]
