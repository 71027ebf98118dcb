"""The universal perturbation: one delta for all, against a transcription and a linear oracle."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from advclip_gui.engine.attacks.norms import ball
from advclip_gui.engine.attacks.protocol import private_generator
from advclip_gui.engine.attacks.registry import run_attack
from advclip_gui.engine.control import Cancelled, Control
from advclip_gui.engine.evaluation import evaluate
from tests.engine.tiny_models import CLASSES, LinearTwoClass, Wrapped, batch, trained

NORMS = [("Linf", 10 / 255), ("L2", 1.0)]


def _plain(model, images, labels, eps, norm, steps):
    """The definition, written out."""
    alpha = 2.5 * eps / steps
    delta = torch.zeros(1, 3, *images.shape[2:])
    for _ in range(steps):
        delta.requires_grad_(True)
        functional.cross_entropy(model((images + delta).clamp(0, 1)), labels).backward()
        gradient, delta = delta.grad, delta.detach()
        if norm == "Linf":
            delta = (delta + alpha * gradient.sign()).clamp(-eps, eps)
        else:
            delta = delta + alpha * gradient / gradient.norm()
            delta = delta * min(1.0, eps / float(delta.norm()))
    return delta


@pytest.mark.parametrize(("norm", "eps"), NORMS)
def test_is_what_its_definition_gives(norm, eps):
    model, (images, labels) = trained(), batch(40)
    result = run_attack("universal", model, images, labels, eps=eps, norm=norm, steps=15, random_start=False)
    delta = _plain(model, images, labels, eps, norm, 15)
    torch.testing.assert_close(result.adversarial, (images + delta).clamp(0, 1), atol=2e-5, rtol=0)
    assert 0 < int(result.success.sum())
    assert int(result.success.sum()) > int((model(images).argmax(dim=1) != labels).sum())


@pytest.mark.parametrize(("norm", "eps"), NORMS)
@pytest.mark.parametrize("early_stop", [False, True])
def test_every_image_has_the_same_delta(norm, eps, early_stop):
    model, (images, labels) = trained(), batch(40)
    middle = images * 0.5 + 0.25  # away from the box, so that clamping does nothing in L-infinity
    result = run_attack(
        "universal", model, middle, labels, eps=min(eps, 0.2), norm=norm, steps=8, early_stop=early_stop
    )
    delta = result.adversarial - middle
    free = (result.adversarial > 0).all(dim=0) & (result.adversarial < 1).all(dim=0)
    assert bool(free.any())
    spread = (delta - delta[:1]).abs()[:, free]
    assert float(spread.max()) < 1e-6
    assert float(ball(norm).size(delta).max()) <= min(eps, 0.2) + 1e-6


@pytest.mark.parametrize(("norm", "eps"), [("Linf", 0.01), ("L2", 0.08)])
def test_reaches_the_best_delta_of_a_linear_model(norm, eps):
    """All images of one class: the best delta is the same for each, and known."""
    model = LinearTwoClass()
    images = torch.rand((200, 3, 4, 4), generator=torch.Generator().manual_seed(5)) * 0.2 + 0.4
    margin = model.margin(images).detach()
    images, margin = images[margin > 0], margin[margin > 0]
    labels = torch.zeros(len(images), dtype=torch.int64)
    result = run_attack("universal", model, images, labels, eps=eps, norm=norm, steps=20, random_start=False)
    weight = model.weight.detach()
    limit = eps * (weight.abs().sum() if norm == "Linf" else weight.norm())
    clear = (margin / limit - 1).abs() > 1e-3
    assert torch.equal(result.success[clear], (margin < limit)[clear])
    assert 0 < int(result.success.sum()) < len(images)


def test_is_weaker_than_a_perturbation_for_each_image():
    model, (images, labels) = trained(), batch(60)
    asked = {"eps": 6 / 255, "steps": 20, "keep": "fooling"}
    shared = run_attack("universal", model, images, labels, **asked)
    own = run_attack("pgd", model, images, labels, **asked)
    assert int(shared.success.sum()) < int(own.success.sum())
    alone = run_attack("universal", model, images[:1], labels[:1], eps=6 / 255, steps=20, random_start=False)
    pgd = run_attack("pgd", model, images[:1], labels[:1], eps=6 / 255, steps=20, random_start=False)
    assert bool(alone.success[0]) == bool(pgd.success[0])


def test_the_iterate_that_fools_most_is_kept_and_restarts_never_hurt():
    model, (images, labels) = trained(), batch(60)
    counts: dict[tuple[int, int], int] = {}

    def watch(step):
        counts[step.restart, step.step] = int((step.logits.argmax(dim=1) != labels).sum())

    fooled = []
    for restarts in (1, 3):
        counts.clear()
        result = run_attack(
            "universal", model, images, labels, eps=12 / 255, step_size=12 / 255, steps=6, restarts=restarts,
            keep="fooling", trace=watch,
        )  # fmt: skip
        fooled.append(int(result.success.sum()))
        assert len(counts) == 7 * restarts
        assert fooled[-1] == max(counts.values())
        assert int(result.ever.sum()) >= fooled[-1]
    assert fooled[1] >= fooled[0]
    last = run_attack("universal", model, images, labels, eps=12 / 255, step_size=12 / 255, steps=6)
    counts.clear()
    run_attack("universal", model, images, labels, eps=12 / 255, step_size=12 / 255, steps=6, trace=watch)
    assert int(last.success.sum()) == counts[0, 6]


def test_early_stop_ends_only_when_all_are_fooled():
    model, (images, labels) = trained(), batch(30)
    weak = run_attack("universal", model, images, labels, eps=1 / 255, steps=10, early_stop=True)
    assert (weak.forwards, weak.backwards) == (30 * 12, 30 * 10)
    targets = torch.full_like(labels, 2)
    strong = run_attack(
        "universal", model, images, labels, eps=1.0, steps=60, targets=targets, early_stop=True
    )
    assert bool(strong.success.all())
    assert strong.forwards < 30 * 62


def test_targeted_pulls_all_images_to_their_targets():
    """An untargeted attack reaches each of the classes with shares that add up to one."""
    model, (images, labels) = trained(), batch(60)
    reached = []
    for target in range(CLASSES):
        targets = torch.full_like(labels, target)
        result = run_attack(
            "universal", model, images, labels, targets=targets, eps=40 / 255, steps=30, keep="fooling"
        )
        assert torch.equal(result.success, model(result.adversarial).argmax(dim=1) == targets)
        reached.append(float(result.success.float().mean()))
    assert sum(reached) > 0.6 * CLASSES


def test_an_evaluation_has_one_delta_for_its_whole_test_set(tmp_path):
    """Whatever the batches, the same images fall; a stopped evaluation ends the same."""
    model, (images, labels) = trained(), batch(50)
    pixels = (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
    truth = labels.numpy().astype(np.int64)
    asked = {"epsilons": [10 / 255, 20 / 255], "attack": "universal", "steps": 15}
    results = [
        evaluate(model, pixels, truth, batch_size=size, control=Control(), **asked) for size in (50, 7)
    ]
    assert results[0].smallest_epsilon == results[1].smallest_epsilon
    assert any("one perturbation for all images" in note for note in results[0].notes)
    rounded = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    right = model(rounded).argmax(dim=1) == labels
    alone = run_attack(
        "universal", model, rounded[right], labels[right], eps=10 / 255, steps=15, early_stop=True,
        generator=private_generator(0, "universal", 10 / 255),
    )  # fmt: skip
    fell = sum(value == 10 / 255 for value in results[0].smallest_epsilon)
    assert fell == int(alone.success.sum()) > 0

    journal = tmp_path / "journal.jsonl"
    stop, calls = Control(), []
    within_the_second_search = 8 * 16 + 3 * 8

    def forward(logits):
        calls.append(1)
        if len(calls) == within_the_second_search:
            stop.cancel()
        return logits

    with pytest.raises(Cancelled):
        evaluate(
            Wrapped(model, logits=forward), pixels, truth, batch_size=7, control=stop,
            resume_from=journal, **asked,
        )  # fmt: skip
    again = evaluate(model, pixels, truth, batch_size=7, control=Control(), resume_from=journal, **asked)
    assert again.smallest_epsilon == results[1].smallest_epsilon
