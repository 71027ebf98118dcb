"""What every attack promises: limits, restarts, compaction, cancellation, and a model left as it was."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import nn

from advclip_gui.engine.attacks.catalog import INFOS, AttackOptions
from advclip_gui.engine.attacks.fgsm import fgsm
from advclip_gui.engine.attacks.norms import ball
from advclip_gui.engine.attacks.pgd import pgd
from advclip_gui.engine.attacks.protocol import attack_mode, predictions, private_generator
from advclip_gui.engine.attacks.registry import ATTACKS, run_attack
from advclip_gui.engine.control import Cancelled, Control
from advclip_gui.engine.errors import SettingsError
from tests.engine.tiny_models import CLASSES, Wrapped, batch, cnn, trained

NORMS = [("Linf", 6 / 255), ("L2", 0.5)]


@pytest.mark.parametrize("name", list(ATTACKS))
@pytest.mark.parametrize(
    ("norm", "eps"), [("Linf", 0.0), ("Linf", 1 / 255), ("Linf", 0.4), ("L2", 0.3), ("L2", 9.0)]
)
@pytest.mark.parametrize("seed", range(3))
def test_stays_in_box_and_ball(name, norm, eps, seed):
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand((7, 3, 12, 12), generator=generator)
    images[0], images[1] = 0.0, 1.0
    labels = torch.randint(0, CLASSES, (7,), generator=generator)
    for early_stop in (False, True):
        result = run_attack(
            name, trained(), images, labels, eps=eps, norm=norm, steps=5, restarts=2, early_stop=early_stop
        )
        assert float(result.adversarial.min()) >= 0
        assert float(result.adversarial.max()) <= 1
        assert float((ball(norm).size(result.adversarial - images) - eps).max()) <= 1e-6
        again = trained()(result.adversarial)
        torch.testing.assert_close(result.logits, again, atol=1e-4, rtol=1e-4)
        assert torch.equal(result.success, predictions(again) != labels)


@pytest.mark.parametrize(("norm", "eps"), NORMS)
@pytest.mark.parametrize("restarts", [1, 3])
def test_compaction_gives_the_same_verdict_for_less_work(norm, eps, restarts):
    model, (images, labels) = trained(), batch(60)
    asked = {"eps": eps, "norm": norm, "steps": 20, "restarts": restarts}
    whole = run_attack("pgd", model, images, labels, keep="fooling", **asked)
    early = run_attack("pgd", model, images, labels, early_stop=True, **asked)
    assert torch.equal(early.success, whole.ever)
    assert torch.equal(early.first_step, whole.first_step)
    assert torch.equal(early.success, early.ever)
    assert 0 < int(early.success.sum()) < 60
    assert early.forwards < whole.forwards
    assert early.backwards < whole.backwards


def test_early_stop_returns_the_first_fooling_iterate():
    model, (images, labels) = trained(), batch(30)
    seen: dict[int, torch.Tensor] = {}

    def watch(step):
        for place, image, wrong in zip(
            step.index.tolist(), step.images, predictions(step.logits) != labels[step.index], strict=True
        ):
            if wrong:
                seen.setdefault(place, image.clone())

    result = run_attack("pgd", model, images, labels, eps=8 / 255, early_stop=True, trace=watch)
    assert sorted(seen) == result.success.nonzero().squeeze(1).tolist()
    for place, image in seen.items():
        assert torch.equal(result.adversarial[place], image)


def test_cost_of_a_whole_attack():
    model, (images, labels) = trained(), batch(10)
    result = run_attack("pgd", model, images, labels, eps=1 / 255, steps=7)
    assert (result.forwards, result.backwards) == (80, 70)  # the last iterate needs no gradient


def test_trace_tells_every_step():
    model, (images, labels) = trained(), batch(6)
    steps = []
    result = run_attack("pgd", model, images, labels, eps=1 / 255, steps=4, trace=steps.append)
    assert [step.step for step in steps] == [0, 1, 2, 3, 4]
    assert all(step.total_steps == 4 and not step.images.requires_grad for step in steps)
    assert torch.equal(steps[-1].images, result.adversarial)
    torch.testing.assert_close(steps[-1].loss, result.loss)
    assert all(
        float(later.loss.sum()) >= float(earlier.loss.sum()) - 1e-4 for earlier, later in pairwise(steps)
    )


@pytest.mark.parametrize("name", list(ATTACKS))
def test_batch_size_does_not_matter(name):
    model, (images, labels) = trained(), batch(12)
    together = run_attack(name, model, images, labels, eps=6 / 255, random_start=False, generator=None)
    # The draws of two depend on the place in the batch; one is about all images together.
    if name not in {"noise", "square", "universal"}:
        for place in range(12):
            alone = run_attack(
                name,
                model,
                images[place : place + 1],
                labels[place : place + 1],
                eps=6 / 255,
                random_start=False,
            )
            torch.testing.assert_close(alone.adversarial[0], together.adversarial[place], atol=1e-5, rtol=0)
    empty = run_attack(name, model, images[:0], labels[:0], eps=6 / 255)
    assert empty.adversarial.shape == (0, 3, 12, 12)
    assert empty.success.shape == (0,)


@pytest.mark.parametrize("attack", [pgd, fgsm])
@pytest.mark.parametrize(("norm", "eps"), NORMS)
@pytest.mark.parametrize("early_stop", [False, True])
def test_lengths_of_its_own_give_a_sample_what_it_gets_alone(attack, norm, eps, early_stop):
    model, (images, labels) = trained(), batch(12)
    scale = torch.linspace(0.0, 2.0, 12)
    options = AttackOptions(eps=eps, norm=norm, steps=7, restarts=2, early_stop=early_stop)
    together = attack(model, images, labels, options, generator=private_generator(5), scale=scale)
    assert 0 < int(together.success.sum()) < 12
    for place in range(12):
        own = replace(options, eps=eps * float(scale[place]))
        here = slice(place, place + 1)
        alone = attack(model, images[here], labels[here], own, generator=private_generator(5))
        torch.testing.assert_close(together.adversarial[here], alone.adversarial, atol=1e-5, rtol=0)
        assert torch.equal(together.success[here], alone.success)
        assert torch.equal(together.first_step[here], alone.first_step)


@pytest.mark.parametrize(("norm", "eps"), NORMS)
@pytest.mark.parametrize("early_stop", [False, True])
def test_restarts_are_never_worse(norm, eps, early_stop):
    model, (images, labels) = trained(), batch(60)
    fooled = torch.zeros(60, dtype=torch.bool)
    for restarts in (1, 2, 4):
        result = run_attack(
            "pgd",
            model,
            images,
            labels,
            eps=eps,
            norm=norm,
            steps=3,
            restarts=restarts,
            early_stop=early_stop,
        )
        assert bool((result.success | ~fooled).all())
        fooled = result.success


def test_targeted_attack_reaches_its_target():
    model, (images, labels) = trained(), batch(40)
    targets = (labels + 2) % CLASSES
    result = run_attack(
        "pgd", model, images, labels, eps=24 / 255, steps=20, targets=targets, early_stop=True
    )
    assert torch.equal(model(result.adversarial).argmax(dim=1) == targets, result.success)
    assert float(result.success.float().mean()) > 0.8


@pytest.mark.parametrize("name", ["fgsm", "pgd", "universal", "apgd-ce", "apgd-dlr", "apgd-t", "square"])
@pytest.mark.parametrize(("norm", "eps"), [("Linf", 16 / 255), ("L2", 1.5)])
def test_every_attack_can_be_aimed(name, norm, eps):
    """At all classes in turn: without aim the shares of the classes would add up to one."""
    model, (images, labels) = trained(), batch(40)
    shares = []
    for target in range(CLASSES):
        targets = torch.full_like(labels, target)
        steps = 300 if name == "square" else 10
        result = run_attack(
            name, model, images, labels, eps=eps, norm=norm, steps=steps, targets=targets, early_stop=True
        )
        assert torch.equal(result.success, predictions(model(result.adversarial)) == targets)
        shares.append(float(result.success.float().mean()))
    assert sum(shares) > 1.5


def test_keep_fooling_falls_back_to_an_earlier_iterate():
    # Two attractions: a step too long jumps over the region that fools.
    model, (images, labels) = trained(), batch(60)
    asked = {"eps": 10 / 255, "step_size": 10 / 255, "steps": 9}
    last = run_attack("pgd", model, images, labels, keep="last", **asked)
    fooling = run_attack("pgd", model, images, labels, keep="fooling", **asked)
    assert torch.equal(fooling.success, fooling.ever)
    assert torch.equal(last.ever, fooling.ever)
    same = last.success
    assert torch.equal(last.adversarial[same], fooling.adversarial[same])


@pytest.mark.parametrize("name", list(ATTACKS))
def test_the_model_is_left_as_it_was(name):
    model = nn.Sequential(cnn(), nn.Dropout(0.5), nn.BatchNorm1d(CLASSES))
    model.train()
    model[2].eval()
    first = next(model.parameters())
    first.requires_grad_(False)
    modes = [module.training for module in model.modules()]
    wanted = [parameter.requires_grad for parameter in model.parameters()]
    state = {key: value.clone() for key, value in model.state_dict().items()}
    inside = []
    model.register_forward_hook(
        lambda *_: inside.append(
            (any(m.training for m in model.modules()), any(p.requires_grad for p in model.parameters()))
        )
    )
    images, labels = batch(5)
    run_attack(name, model, images, labels, eps=2 / 255)

    assert [module.training for module in model.modules()] == modes
    assert [parameter.requires_grad for parameter in model.parameters()] == wanted
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    assert set(inside) == {(False, False)}


def test_the_model_is_left_as_it_was_after_an_error():
    model = Wrapped(cnn(), logits=lambda z: z / 0 if False else (_ for _ in ()).throw(RuntimeError("broken")))
    model.train()
    images, labels = batch(2)
    with pytest.raises(RuntimeError, match="broken"):
        run_attack("pgd", model, images, labels, eps=0.1)
    assert all(module.training for module in model.modules())
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_attack_works_where_gradients_are_off():
    model, (images, labels) = trained(), batch(10)
    expected = run_attack("pgd", model, images, labels, eps=8 / 255)
    with torch.no_grad():
        result = run_attack("pgd", model, images, labels, eps=8 / 255)
    assert torch.equal(result.adversarial, expected.adversarial)


@pytest.mark.parametrize("name", list(ATTACKS))
def test_the_global_random_stream_is_not_touched(name):
    model, (images, labels) = trained(), batch(10)
    state = torch.get_rng_state()
    first = run_attack(name, model, images, labels, eps=2 / 255, norm="L2")
    second = run_attack(name, model, images, labels, eps=2 / 255, norm="L2")
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first.adversarial, second.adversarial)


def test_generator_decides_the_start():
    model, (images, labels) = trained(), batch(10)
    results = [
        run_attack("pgd", model, images, labels, eps=2 / 255, steps=1, generator=private_generator(*parts))
        for parts in ((1, "a"), (1, "a"), (1, "b"))
    ]
    assert torch.equal(results[0].adversarial, results[1].adversarial)
    assert not torch.equal(results[0].adversarial, results[2].adversarial)


@pytest.mark.parametrize("name", list(ATTACKS))
def test_cancel_is_noticed_within_a_step(name):
    control, calls = Control(), []

    def forward(logits):
        calls.append(1)
        if len(calls) == 2:
            control.cancel()
        return logits

    images, labels = batch(4)
    model = Wrapped(trained(), logits=forward)
    if name == "fgsm":
        control.cancel()
        calls.append(1)
    with pytest.raises(Cancelled):
        run_attack(name, model, images, labels, eps=0.0, steps=50, restarts=50, control=control)
    assert len(calls) <= 2


def test_zero_gradients_move_nothing_and_are_counted():
    images, labels = batch(4)
    flat = Wrapped(trained(), pixels=lambda x: (x * 3).round() / 3)
    for norm, eps in NORMS:
        result = run_attack("pgd", flat, images, labels, eps=eps, norm=norm, steps=5, random_start=False)
        assert torch.equal(result.adversarial, images)
        assert result.zero_gradients.tolist() == [5] * 4
    constant = Wrapped(trained(), logits=lambda z: z.detach())
    result = run_attack("pgd", constant, images, labels, eps=0.1, steps=5, random_start=False)
    assert torch.equal(result.adversarial, images)


def test_vanishing_gradients_still_point_somewhere_in_l2():
    gradient = torch.randn((3, 3, 4, 4), generator=torch.Generator().manual_seed(0))
    gradient[2] = 0
    for scale in (1.0, 1e-25, 1e25):
        direction = ball("L2").direction(gradient * scale)
        torch.testing.assert_close(ball("L2").size(direction), torch.tensor([1.0, 1.0, 0.0]))


def test_not_a_number_counts_as_fooled_and_stays_out_of_the_image():
    images, labels = batch(4)
    broken = Wrapped(trained(), logits=lambda z: z * torch.nan)
    result = run_attack("pgd", broken, images, labels, eps=0.1)
    assert bool(result.success.all())
    assert bool(result.adversarial.isfinite().all())


def test_random_points_are_uniform_in_the_ball():
    like = torch.zeros((4000, 3, 1, 1))
    points = ball("L2").random(like, private_generator(0))
    radius = ball("L2").size(points)
    assert float(radius.max()) <= 1
    # In three dimensions the share within radius r is r cubed.
    assert abs(float((radius < 0.5).float().mean()) - 0.125) < 0.02
    cube = ball("Linf").random(like, private_generator(0))
    assert float(cube.abs().max()) <= 1
    assert abs(float(cube.mean())) < 0.02


@pytest.mark.parametrize(
    ("wrong", "part"),
    [
        ({"eps": -1.0}, "Epsilon must be 0 or larger"),
        ({"eps": 300.0}, "at most 1"),
        ({"eps": float("nan")}, "Epsilon"),
        ({"eps": float("inf")}, "Epsilon"),
        ({"eps": float("inf"), "norm": "L2"}, "Epsilon"),
        ({"step_size": -0.1}, "step size"),
        ({"step_size": float("nan")}, "step size"),
        ({"steps": 0}, "steps, not 0"),
        ({"steps": 2.5}, "steps, not 2.5"),
        ({"steps": True}, "steps, not True"),
        ({"restarts": 0}, "restarts, not 0"),
        ({"norm": "L7"}, "no norm 'L7'"),
        ({"loss": "mse"}, "no attack loss"),
        ({"keep": "best"}, "'best'"),
    ],
)
def test_wrong_values_are_refused_with_a_sentence(wrong, part):
    images, labels = batch(2)
    with pytest.raises(SettingsError, match=part):
        run_attack("pgd", trained(), images, labels, **{"eps": 0.1, **wrong})


def test_unknown_attack_is_refused():
    images, labels = batch(2)
    with pytest.raises(SettingsError, match=r"no attack 'cw'.*fgsm, pgd, noise"):
        run_attack("cw", trained(), images, labels, eps=0.1)


def test_wrong_tensors_are_refused():
    images, labels = batch(2)
    for wrong in (
        (images[0], labels),
        (images * 2, labels),
        (images * torch.nan, labels),
        (images, labels[:1]),
        (images, labels.float()),
    ):
        with pytest.raises(ValueError, match="must"):
            run_attack("pgd", trained(), *wrong, eps=0.1)


def test_default_step_size():
    assert AttackOptions(eps=0.1, steps=5).alpha == pytest.approx(0.05)
    assert AttackOptions(eps=0.1, step_size=0.02).alpha == 0.02


def test_catalogue_and_registry_agree():
    assert tuple(ATTACKS.values()) == INFOS


def test_attack_mode_can_be_nested():
    model = cnn()
    with attack_mode(model), attack_mode(model):
        assert not model.training
    assert model.training
    assert all(parameter.requires_grad for parameter in model.parameters())
