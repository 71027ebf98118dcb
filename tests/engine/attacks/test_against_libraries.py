"""FGSM and PGD, number for number, against two independent attack libraries."""

from __future__ import annotations

import foolbox
import pytest
import torch
import torchattacks

from advclip_gui.engine.attacks.registry import run_attack
from tests.engine.tiny_models import CLASSES, batch, trained

KINDS = ("cnn", "vit")


def _foolbox(attack, model, images, criterion, eps):
    wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device=images.device)
    _, clipped, success = attack(wrapped, images, criterion, epsilons=eps)
    return clipped, success


@pytest.mark.parametrize("kind", KINDS)
def test_fgsm(kind):
    model, (images, labels) = trained(kind), batch(40)
    ours = run_attack("fgsm", model, images, labels, eps=8 / 255)
    theirs = torchattacks.FGSM(model, eps=8 / 255)(images, labels)
    torch.testing.assert_close(ours.adversarial, theirs, atol=1e-6, rtol=0)
    other, success = _foolbox(
        foolbox.attacks.LinfFastGradientAttack(random_start=False), model, images, labels, 8 / 255
    )
    torch.testing.assert_close(ours.adversarial, other, atol=1e-6, rtol=0)
    assert torch.equal(ours.success, success)
    assert 0 < int(success.sum()) < len(images)


@pytest.mark.parametrize("kind", KINDS)
def test_fgsm_l2(kind):
    model, (images, labels) = trained(kind), batch(40)
    ours = run_attack("fgsm", model, images, labels, eps=0.5, norm="L2")
    theirs, success = _foolbox(
        foolbox.attacks.L2FastGradientAttack(random_start=False), model, images, labels, 0.5
    )
    torch.testing.assert_close(ours.adversarial, theirs, atol=2e-6, rtol=0)
    assert torch.equal(ours.success, success)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("eps", "alpha", "steps"), [(4 / 255, 1 / 255, 10), (8 / 255, 2 / 255, 20)])
def test_pgd_linf(kind, eps, alpha, steps):
    model, (images, labels) = trained(kind), batch(40)
    ours = run_attack("pgd", model, images, labels, eps=eps, step_size=alpha, steps=steps, random_start=False)
    theirs = torchattacks.PGD(model, eps=eps, alpha=alpha, steps=steps, random_start=False)(images, labels)
    torch.testing.assert_close(ours.adversarial, theirs, atol=1e-6, rtol=0)
    attack = foolbox.attacks.LinfPGD(abs_stepsize=alpha, steps=steps, random_start=False)
    other, success = _foolbox(attack, model, images, labels, eps)
    torch.testing.assert_close(ours.adversarial, other, atol=1e-6, rtol=0)
    assert torch.equal(ours.success, success)
    assert bool(success.any())


@pytest.mark.parametrize("kind", KINDS)
def test_pgd_l2(kind):
    model, (images, labels) = trained(kind), batch(40)
    ours = run_attack(
        "pgd", model, images, labels, eps=0.6, norm="L2", step_size=0.15, steps=10, random_start=False
    )
    theirs = torchattacks.PGDL2(model, eps=0.6, alpha=0.15, steps=10, random_start=False)(images, labels)
    torch.testing.assert_close(ours.adversarial, theirs, atol=2e-5, rtol=0)
    attack = foolbox.attacks.L2PGD(abs_stepsize=0.15, steps=10, random_start=False)
    other, success = _foolbox(attack, model, images, labels, 0.6)
    torch.testing.assert_close(ours.adversarial, other, atol=2e-5, rtol=0)
    assert torch.equal(ours.success, success)
    assert bool(success.any())


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_targeted_pgd(norm):
    model, (images, labels) = trained(), batch(40)
    targets = (labels + 1) % CLASSES
    eps, alpha = (12 / 255, 2 / 255) if norm == "Linf" else (1.0, 0.2)
    ours = run_attack(
        "pgd", model, images, labels, eps=eps, norm=norm, step_size=alpha, random_start=False, targets=targets
    )
    theirs = torchattacks.PGD if norm == "Linf" else torchattacks.PGDL2
    oracle = theirs(model, eps=eps, alpha=alpha, steps=10, random_start=False)
    oracle.set_mode_targeted_by_label(quiet=True)
    torch.testing.assert_close(ours.adversarial, oracle(images, targets), atol=2e-5, rtol=0)
    linf = norm == "Linf"
    attack = (foolbox.attacks.LinfPGD if linf else foolbox.attacks.L2PGD)(
        abs_stepsize=alpha, steps=10, random_start=False
    )
    criterion = foolbox.criteria.TargetedMisclassification(targets)
    other, success = _foolbox(attack, model, images, criterion, eps)
    torch.testing.assert_close(ours.adversarial, other, atol=2e-5, rtol=0)
    assert torch.equal(ours.success, success)
    assert bool(success.any())


def test_random_starts_fool_as_many():
    # The random streams differ, so the counts are compared, within twice the sampling error.
    model, (images, labels) = trained(), batch(200)
    ours = run_attack("pgd", model, images, labels, eps=4 / 255, step_size=1 / 255, early_stop=True)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        theirs = torchattacks.PGD(model, eps=4 / 255, alpha=1 / 255, steps=10)(images, labels)
    fooled = int((model(theirs).argmax(dim=1) != labels).sum())
    share = fooled / len(images)
    assert abs(int(ours.success.sum()) - fooled) <= 2 * (len(images) * share * (1 - share)) ** 0.5
