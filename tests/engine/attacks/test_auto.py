"""Auto-PGD and Square: their losses, fallbacks, early stop, and what a trace of them tells."""

from __future__ import annotations

import pytest
import torch

from advclip_gui.engine.attacks.catalog import attack_info
from advclip_gui.engine.attacks.losses import dlr, dlr_targeted, margin
from advclip_gui.engine.attacks.registry import run_attack
from advclip_gui.engine.attacks.square import share_of_pixels
from tests.engine.tiny_models import CLASSES, LinearTwoClass, Wrapped, batch, trained

APGD = ["apgd-ce", "apgd-dlr", "apgd-t"]
NEW = [*APGD, "square"]
NORMS = [("Linf", 4 / 255), ("L2", 0.35)]


def test_ratios_by_hand():
    logits = torch.tensor([[1.0, 4.0, 3.0, -2.0], [5.0, 4.0, 3.0, -2.0]])
    classes, targets = torch.tensor([1, 2]), torch.tensor([2, 0])
    torch.testing.assert_close(margin(logits, classes), torch.tensor([-1.0, 2.0]))
    torch.testing.assert_close(dlr(logits, classes), torch.tensor([-1 / 3, 2 / 2]))
    torch.testing.assert_close(dlr_targeted(logits, classes, targets), torch.tensor([-1 / 4.5, 2 / 4.5]))


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_ratios_know_no_temperature(scale):
    logits = torch.randn((20, 6), generator=torch.Generator().manual_seed(0))
    classes, targets = torch.arange(20) % 6, torch.arange(1, 21) % 6
    torch.testing.assert_close(
        dlr(logits, classes), dlr(logits * scale + 7 * scale, classes), rtol=1e-4, atol=1e-4
    )
    torch.testing.assert_close(
        dlr_targeted(logits, classes, targets), dlr_targeted(logits * scale, classes, targets)
    )


def test_too_few_classes_fall_back_to_the_cross_entropy_and_say_so():
    images = torch.rand((20, 3, 4, 4), generator=torch.Generator().manual_seed(1)) * 0.2 + 0.4
    model = LinearTwoClass()
    labels = (model.margin(images) < 0).long()
    expected = run_attack("apgd-ce", model, images, labels, eps=0.01, steps=10)
    assert expected.notes == ()
    for name, least in (("apgd-dlr", 3), ("apgd-t", 4)):
        result = run_attack(name, model, images, labels, eps=0.01, steps=10)
        assert torch.equal(result.success, expected.success)
        (note,) = result.notes
        assert note.startswith(f"{attack_info(name).title} needs at least {least} classes")
        assert "there are 2" in note
    three = Wrapped(trained(), logits=lambda z: z[:, :3])
    images, labels = batch(9)
    labels = three(images).argmax(dim=1)
    assert run_attack("apgd-dlr", three, images, labels, eps=0.02).notes == ()
    assert len(run_attack("apgd-t", three, images, labels, eps=0.02).notes) == 1


@pytest.mark.parametrize("name", NEW)
@pytest.mark.parametrize(("norm", "eps"), NORMS)
def test_early_stop_gives_the_same_verdict_for_less_work(name, norm, eps):
    model, (images, labels) = trained(), batch(60)
    eps = eps if name in APGD else 3 * eps
    asked = {"eps": eps, "norm": norm, "steps": 30, "restarts": 2}
    whole = run_attack(name, model, images, labels, **asked)
    early = run_attack(name, model, images, labels, early_stop=True, **asked)
    assert torch.equal(early.success, whole.success)
    assert torch.equal(early.first_step, whole.first_step)
    assert 0 < int(early.success.sum()) < 60
    assert early.forwards < whole.forwards
    assert early.backwards < whole.backwards or name == "square"
    held = ~early.success
    torch.testing.assert_close(early.adversarial[held], whole.adversarial[held], atol=1e-5, rtol=0)
    # To the end, what fools does so by more.
    fooled = early.success
    assert float(whole.loss[fooled].mean()) > float(early.loss[fooled].mean())


@pytest.mark.parametrize("name", NEW)
def test_targets_are_reached(name):
    model, (images, labels) = trained(), batch(40)
    targets = (labels + 2) % CLASSES
    result = run_attack(name, model, images, labels, eps=40 / 255, steps=60, targets=targets)
    assert torch.equal(model(result.adversarial).argmax(dim=1) == targets, result.success)
    assert float(result.success.float().mean()) > (0.9 if name in APGD else 0.3)


@pytest.mark.parametrize("name", ["apgd-ce", "apgd-t"])
def test_stronger_than_pgd_with_as_many_steps(name):
    model, (images, labels) = trained("vit"), batch(200)
    asked = {"eps": 3 / 255, "steps": 30, "early_stop": True}
    auto = run_attack(name, model, images, labels, **asked)
    plain = run_attack("pgd", model, images, labels, step_size=3 / 255, **asked)
    assert int(auto.success.sum()) >= int(plain.success.sum())


def test_apgd_t_tries_as_many_classes_as_there_are():
    model, (images, labels) = trained(), batch(10)
    for asked, tried in ((2, 2), (4, 4), (9, 4)):
        seen = []
        run_attack(
            "apgd-t", model, images, labels, eps=0.5 / 255, steps=3, target_classes=asked, trace=seen.append
        )
        assert {step.restart for step in seen} == set(range(tried))
        assert [step.step for step in seen[:4]] == [0, 1, 2, 3]


def test_cost_of_apgd():
    model, (images, labels) = trained(), batch(10)
    result = run_attack("apgd-ce", model, images, labels, eps=0.5 / 255, steps=7)
    assert (result.forwards, result.backwards) == (80, 70)
    result = run_attack("square", model, images, labels, eps=0.5 / 255, steps=7)
    assert (result.forwards, result.backwards) == (80, 0)


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_square_takes_no_gradient_and_only_gets_better(norm):
    def refuse(logits):
        assert not logits.requires_grad
        return logits

    model, (images, labels) = Wrapped(trained(), logits=refuse), batch(20)
    seen = []
    result = run_attack("square", model, images, labels, eps=0.05, norm=norm, steps=80, trace=seen.append)
    margins = torch.full((20,), -torch.inf)
    for step in seen:
        now = margin(step.logits, labels[step.index])
        assert bool((now >= margins[step.index]).all())
        margins[step.index] = now
    assert (seen[0].step, seen[-1].step) == (0, 80)
    assert torch.equal(seen[-1].images, result.adversarial)


def test_squares_shrink_with_the_budget():
    shares = [share_of_pixels(query, 5000) for query in range(5000)]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] == 0.8
    assert shares[-1] == 0.8 / 512
    assert share_of_pixels(30, 100) == share_of_pixels(3000, 10_000) == 0.8 / 64
