"""Attacks on a linear two-class model, whose robustness is known without any attack."""

from __future__ import annotations

import pytest
import torch

from advclip_gui.engine.attacks.registry import run_attack
from tests.engine.tiny_models import LinearTwoClass


def _grey_images(n: int, size: int = 4) -> torch.Tensor:
    # Far enough from 0 and 1 for the box not to matter.
    return torch.rand((n, 3, size, size), generator=torch.Generator().manual_seed(5)) * 0.2 + 0.4


@pytest.mark.parametrize("name", ["fgsm", "pgd", "apgd-ce", "apgd-dlr", "apgd-t"])
@pytest.mark.parametrize(("norm", "eps"), [("Linf", 0.004), ("Linf", 0.01), ("L2", 0.03), ("L2", 0.08)])
@pytest.mark.parametrize("early_stop", [False, True])
def test_fools_exactly_where_the_margin_is_too_small(name, norm, eps, early_stop):
    model, images = LinearTwoClass(), _grey_images(300)
    margin = model.margin(images).detach()
    labels = (margin < 0).long()
    order = 1 if norm == "Linf" else 2
    limit = eps * torch.linalg.vector_norm(model.weight.detach(), ord=order)
    result = run_attack(
        name,
        model,
        images,
        labels,
        eps=eps,
        norm=norm,
        steps=20,
        # In L2 a random start leaves a part across the gradient that steps only wear down.
        random_start=norm == "Linf",
        early_stop=early_stop,
        keep="fooling",
    )
    clear = (margin.abs() / limit - 1).abs() > 1e-3
    robust = margin.abs() > limit
    assert torch.equal(~result.success[clear], robust[clear])
    assert 20 < int(robust.sum()) < 280


def test_noise_is_weaker_than_an_attack():
    model, images = LinearTwoClass(), _grey_images(300)
    labels = (model.margin(images) < 0).long()
    noisy = run_attack("noise", model, images, labels, eps=0.03, restarts=3)
    attacked = run_attack("fgsm", model, images, labels, eps=0.03)
    assert int(noisy.success.sum()) < int(attacked.success.sum())
    assert bool((attacked.success | ~noisy.success).all())


def test_the_box_protects_what_lies_at_its_edge():
    model = LinearTwoClass()
    with torch.no_grad():
        model.weight.abs_()
    images = torch.zeros((1, 3, 4, 4))
    labels = torch.ones(1, dtype=torch.int64)
    result = run_attack("pgd", model, images, labels, eps=0.1, targets=labels, random_start=False)
    assert torch.equal(result.adversarial, images)


@pytest.mark.parametrize(("norm", "eps"), [("Linf", 0.01), ("L2", 0.08)])
def test_square_fools_no_robust_image_and_most_others(norm, eps):
    model, images = LinearTwoClass(), _grey_images(300)
    margin = model.margin(images).detach()
    labels = (margin < 0).long()
    order = 1 if norm == "Linf" else 2
    limit = eps * torch.linalg.vector_norm(model.weight.detach(), ord=order)
    result = run_attack("square", model, images, labels, eps=eps, norm=norm, steps=400, early_stop=True)
    assert not bool((result.success & (margin.abs() > limit * (1 + 1e-5))).any())
    weak = margin.abs() < 0.6 * limit
    assert float(result.success[weak].float().mean()) > 0.9
    assert int(weak.sum()) > 20
