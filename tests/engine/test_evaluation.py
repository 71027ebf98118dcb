"""Worst-case robust accuracy: what is attacked, how it is counted, and what comes with the figures."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import nn

from advclip_gui.engine.attacks.registry import run_attack
from advclip_gui.engine.classifier import to_pixels
from advclip_gui.engine.control import Cancelled, Control
from advclip_gui.engine.errors import DataError, SettingsError
from advclip_gui.engine.evaluation import evaluate, quick_accuracy
from advclip_gui.engine.evaluation_result import Evaluation
from tests.engine.tiny_models import CLASSES, LinearTwoClass, Wrapped, blobs, trained

if TYPE_CHECKING:
    from advclip_gui.engine.events import Progress

EPSILONS = (1 / 255, 4 / 255, 8 / 255)


@pytest.fixture(scope="module")
def data():
    images, labels = blobs(90)
    # Some that are wrong without an attack.
    labels = labels.copy()
    labels[::9] = (labels[::9] + 1) % CLASSES
    return images, labels


@pytest.fixture(scope="module")
def evaluation(data):
    return evaluate(trained(), *data, epsilons=(EPSILONS[2], EPSILONS[0], EPSILONS[1]), control=Control())


def test_against_attacking_everything_by_hand(data, evaluation):
    images, labels = data
    pixels, truth = to_pixels(images, torch.device("cpu")), torch.from_numpy(labels)
    holds = trained()(pixels).argmax(dim=1) == truth
    assert evaluation.clean_hits == int(holds.sum()) <= 80
    for result in evaluation.epsilons:
        for name in ("fgsm", "pgd"):
            holds &= ~run_attack(name, trained(), pixels, truth, eps=result.epsilon).ever
        # Another random start may turn an image or two.
        assert abs(result.robust_hits - int(holds.sum())) <= 2
        assert result.robust_accuracy == result.robust_hits / 90


def test_figures_agree_with_each_other(data, evaluation):
    labels = data[1]
    assert [result.epsilon for result in evaluation.epsilons] == sorted(EPSILONS)
    hits = [evaluation.clean_hits, *(result.robust_hits for result in evaluation.epsilons)]
    assert hits == sorted(hits, reverse=True)
    assert hits[-1] < hits[0]
    for place, result in enumerate(evaluation.epsilons):
        assert list(result.waterfall) == ["FGSM", "PGD-10"]
        assert result.waterfall["PGD-10"] == result.robust_accuracy <= result.waterfall["FGSM"]
        assert result.interval[0] <= result.robust_accuracy <= result.interval[1]
        assert result.robust_after_8bit >= result.robust_accuracy
        confusion = np.array(result.confusion)
        assert confusion.sum() == 90
        assert np.trace(confusion) == result.robust_hits
        assert confusion.sum(axis=1).tolist() == np.bincount(labels, minlength=CLASSES).tolist()
        assert sum(item.robust_hits[place] for item in evaluation.per_class) == result.robust_hits
        below = [
            value is not None and value <= result.epsilon + 1e-9 for value in evaluation.smallest_epsilon
        ]
        assert sum(below) == 90 - result.robust_hits
    assert np.trace(np.array(evaluation.confusion_clean)) == evaluation.clean_hits
    assert sum(item.clean_hits for item in evaluation.per_class) == evaluation.clean_hits
    assert evaluation.smallest_epsilon.count(0.0) == 90 - evaluation.clean_hits
    for value, flipped, label in zip(
        evaluation.smallest_epsilon, evaluation.flipped_to, labels.tolist(), strict=True
    ):
        assert (value is None) == (flipped is None)
        assert flipped != label
    assert evaluation.confusion_adversarial == evaluation.epsilons[-1].confusion
    assert evaluation.at(3.9 / 255) is evaluation.epsilons[1]


def test_audit_and_provenance(data, evaluation):
    audit = evaluation.audit
    assert audit["norm_within"]
    assert audit["norm_excess"] <= 1e-6
    assert audit["inside_box"]
    assert audit["not_finite"] == audit["unconfirmed"] == 0
    assert (
        audit["fooled"] - audit["lost_in_8bit"] <= evaluation.clean_hits - evaluation.epsilons[-1].robust_hits
    )
    provenance = evaluation.provenance
    assert provenance["epsilons"][0] == {"text": "1/255", "value": 1 / 255}
    assert [attack["title"] for attack in provenance["attacks"]] == ["FGSM", "PGD-10"]
    assert provenance["torch"] == torch.__version__
    for key in ("norm", "steps", "restarts", "seed", "dtype", "device", "images_sha256", "batch_size"):
        assert key in provenance
    assert evaluation.label == "FGSM + PGD-10, an upper bound"
    again = evaluate(
        trained(), *data, epsilons=[0.01], control=Control(), model_name="x", provenance={"split": "abc"}
    )
    assert again.provenance["split"] == "abc"
    assert again.provenance["model"] == again.model == "x"


def test_json_round_trip(evaluation):
    document = json.loads(json.dumps(evaluation.to_json()))
    assert Evaluation.from_json(document) == evaluation
    assert document["epsilons"][1]["epsilon_text"] == "4/255"
    assert document["warnings"] == list(evaluation.warnings)


def test_same_seed_same_figures(data, evaluation):
    again = evaluate(trained(), *data, epsilons=EPSILONS, control=Control())
    assert again.smallest_epsilon == evaluation.smallest_epsilon


def test_only_what_is_right_and_holds_is_attacked(data):
    images, labels = data
    counted: list[int] = []

    class Counting(nn.Module):
        def forward(self, pixels):
            counted.append(len(pixels))
            return trained()(pixels)

    result = evaluate(Counting(), images, labels, epsilons=[64 / 255], attack="fgsm", control=Control())
    # The clean pass, then FGSM's two forwards on what is right, then the checks on what fell.
    assert counted[0] == 90
    assert counted[1] == counted[2] == result.clean_hits < 90
    assert result.epsilons[0].robust_hits == 0


def test_against_the_linear_oracle():
    model = LinearTwoClass(size=4)
    images = np.random.default_rng(0).integers(110, 146, (200, 4, 4, 3), dtype=np.uint8)
    margin = model.margin(to_pixels(images, torch.device("cpu"))).detach().numpy()
    labels = (margin < 0).astype(np.int64)
    limit = float(model.weight.detach().abs().sum())
    exact = np.abs(margin) / limit
    epsilons = [0.5 / 255, 1 / 255, 2 / 255]
    result = evaluate(model, images, labels, epsilons=epsilons, control=Control())
    for level, found in zip(epsilons, result.epsilons, strict=True):
        assert found.robust_hits == int((exact > level).sum())
    # A whole number of levels survives rounding; half a level may not.
    assert result.epsilons[2].robust_after_8bit == result.epsilons[2].robust_accuracy


def test_eight_bits_undo_what_is_below_half_a_level():
    model = LinearTwoClass(size=4)
    images = np.random.default_rng(0).integers(110, 146, (100, 4, 4, 3), dtype=np.uint8)
    labels = (model.margin(to_pixels(images, torch.device("cpu"))) < 0).long().numpy()
    small, large = evaluate(model, images, labels, epsilons=[0.45 / 255, 1 / 255], control=Control()).epsilons
    assert small.robust_accuracy < 1
    assert small.robust_after_8bit == 1
    # Those lost in rounding at the small epsilon are attacked again at the larger one.
    assert large.robust_after_8bit == large.robust_accuracy < small.robust_accuracy


def test_epsilon_zero_is_the_clean_accuracy(data):
    result = evaluate(trained(), *data, epsilons=[0.0], control=Control())
    assert result.epsilons[0].robust_accuracy == result.clean_accuracy
    assert result.audit["attacked"] == 0


@pytest.mark.parametrize("norm", ["Linf", "L2"])
@pytest.mark.parametrize("attack", ["fgsm", "pgd", "noise", "apgd-ce", "apgd-dlr", "apgd-t", "square"])
def test_single_attacks_and_norms(data, attack, norm):
    result = evaluate(
        trained(),
        *data,
        epsilons=[0.02],
        attack=attack,
        norm=norm,
        steps=5,
        queries=30,
        restarts=2,
        control=Control(),
    )
    assert result.label.endswith(", an upper bound")
    assert len(result.epsilons[0].waterfall) == 1
    assert result.norm == norm


@pytest.fixture(scope="module")
def tiers(data):
    small = {"standard": {}, "thorough": {"steps": 20, "restarts": 2, "queries": 60}}
    return {
        tier: evaluate(trained("vit"), *data, epsilons=EPSILONS[:2], attack=tier, control=Control(), **asked)
        for tier, asked in small.items()
    }


def test_tiers_waterfall_and_provenance(data, tiers):
    standard, thorough = tiers["standard"], tiers["thorough"]
    assert standard.label == "APGD-CE-100 + APGD-T-100 (standard)"
    assert "upper bound" not in standard.label
    assert thorough.label == (
        "APGD-CE-20 + APGD-T-20 + Square-60 (thorough, with a reduced budget), an upper bound"
    )
    for result in (standard, thorough):
        for level in result.epsilons:
            steps = [result.clean_accuracy, *level.waterfall.values()]
            assert steps == sorted(steps, reverse=True)
            assert steps[-1] == level.robust_accuracy
            assert list(level.waterfall) == [attack["title"] for attack in result.provenance["attacks"]]
        assert result.provenance["tier"] == result.attack
        assert result.notes == ()
        assert result.audit["norm_within"]
        assert Evaluation.from_json(json.loads(json.dumps(result.to_json()))) == result
    assert standard.provenance["steps"] == 100
    assert not standard.provenance["reduced_budget"]
    assert not standard.provenance["upper_bound"]
    first, second, third = thorough.provenance["attacks"]
    assert (first["steps"], first["restarts"], second["target_classes"]) == (20, 2, 9)
    assert (third["steps"], third["restarts"], third["step_size"]) == (60, 1, None)
    assert thorough.provenance["upper_bound"]


def test_a_stronger_tier_leaves_no_more(data, tiers):
    quick = evaluate(trained("vit"), *data, epsilons=EPSILONS[:2], control=Control())
    for weak, strong in zip(quick.epsilons, tiers["standard"].epsilons, strict=True):
        assert strong.robust_hits <= weak.robust_hits


def test_worst_case_of_a_tier_is_that_of_its_attacks(data, tiers):
    images, labels = data
    pixels, truth = to_pixels(images, torch.device("cpu")), torch.from_numpy(labels)
    holds = trained("vit")(pixels).argmax(dim=1) == truth
    for name in ("apgd-ce", "apgd-t"):
        holds &= ~run_attack(name, trained("vit"), pixels, truth, eps=EPSILONS[1], steps=100).ever
    # Another random start may turn an image or two.
    assert abs(tiers["standard"].epsilons[1].robust_hits - int(holds.sum())) <= 2


def test_clean_wrong_images_are_never_attacked(data):
    images, labels = data
    wrong = set(np.flatnonzero(trained()(to_pixels(images, torch.device("cpu"))).argmax(1).numpy() != labels))
    seen: list[int] = []

    class Watching(nn.Module):
        def forward(self, pixels):
            seen.append(len(pixels))
            return trained()(pixels)

    result = evaluate(
        Watching(), images, labels, epsilons=[1e-6], attack="apgd-ce", steps=3, control=Control()
    )
    assert wrong
    # The clean pass, then a start and three steps on what is right: nothing falls at this epsilon.
    assert seen[:5] == [90, *[90 - len(wrong)] * 4]
    assert result.smallest_epsilon.count(0.0) == len(wrong)


def test_too_few_classes_are_noted():
    model = LinearTwoClass(size=4)
    images = np.random.default_rng(0).integers(110, 146, (60, 4, 4, 3), dtype=np.uint8)
    labels = (model.margin(to_pixels(images, torch.device("cpu"))) < 0).long().numpy()
    result = evaluate(
        model, images, labels, epsilons=[0.5 / 255, 1 / 255], attack="standard", steps=20, control=Control()
    )
    (note,) = result.notes
    assert note.startswith("APGD-T needs at least 4 classes")
    assert result.provenance["notes"] == [note]
    old = result.to_json()
    del old["notes"]
    assert Evaluation.from_json(old).notes == ()


def test_batch_size_does_not_matter(data, evaluation):
    small = evaluate(trained(), *data, epsilons=EPSILONS, attack="fgsm", batch_size=7, control=Control())
    large = evaluate(trained(), *data, epsilons=EPSILONS, attack="fgsm", batch_size=90, control=Control())
    assert small.smallest_epsilon == large.smallest_epsilon


def test_progress_ends_at_the_number_of_images(data):
    events: list[Progress] = []
    evaluate(trained(), *data, epsilons=EPSILONS, batch_size=16, control=Control(events.append))
    assert {event.task for event in events} == {"Evaluating"}
    done = [event.done for event in events]
    assert done == sorted(done)
    assert done[-1] == events[-1].total == 90
    assert any("PGD-10 at 4/255" in event.detail for event in events)
    assert all(0 <= event.within < 1 for event in events)


@pytest.mark.parametrize("attack", ["quick", "apgd-t", "square", "universal"])
def test_progress_moves_within_a_batch(data, attack):
    """At a model of real size a batch takes minutes: the bar must not stand meanwhile."""
    images, labels = data
    events: list[Progress] = []
    evaluate(
        trained(), images[:20], labels[:20], epsilons=[1 / 255], attack=attack, steps=20, queries=20,
        batch_size=20, control=Control(events.append),
    )  # fmt: skip
    shares = [event.share for event in events]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert len(set(shares)) > 15


def test_cancel_within_a_step(data):
    control, calls = Control(), []

    def forward(logits):
        calls.append(1)
        if len(calls) == 20:
            control.cancel()
        return logits

    model = Wrapped(copy.deepcopy(trained()), logits=forward)
    model.train()
    with pytest.raises(Cancelled):
        evaluate(model, *data, epsilons=EPSILONS, steps=100, control=control)
    assert len(calls) <= 21
    assert model.training


def test_global_random_stream_is_not_touched(data):
    state = torch.get_rng_state()
    evaluate(trained(), *data, epsilons=[0.01], control=Control())
    assert torch.equal(torch.get_rng_state(), state)


def test_class_names_come_from_the_classifier(data):
    model = Wrapped(trained())
    model.class_names = tuple("abcde")
    result = evaluate(model, *data, epsilons=[0.01], control=Control())
    assert [item.name for item in result.per_class] == list("abcde")


def test_bad_input(data):
    images, labels = data
    good = {"epsilons": [0.01], "control": Control()}
    with pytest.raises(DataError, match="no images"):
        evaluate(trained(), images[:0], labels[:0], **good)
    with pytest.raises(SettingsError, match="only knows 5 classes"):
        evaluate(trained(), images, labels + 3, **good)
    with pytest.raises(SettingsError, match="at least one epsilon"):
        evaluate(trained(), images, labels, epsilons=[], control=Control())
    for wrong in (-1.0, 300.0, float("nan")):
        with pytest.raises(SettingsError, match="Epsilon"):
            evaluate(trained(), images, labels, epsilons=[0.01, wrong], control=Control())
    with pytest.raises(SettingsError, match="no attack or tier 'strong'"):
        evaluate(trained(), images, labels, attack="strong", **good)
    with pytest.raises(SettingsError, match="batch size"):
        evaluate(trained(), images, labels, batch_size=0, **good)
    with pytest.raises(ValueError, match="uint8"):
        evaluate(trained(), images.astype(np.float32), labels, **good)


def test_quick_accuracy_agrees_with_the_attack(data):
    images, labels = data
    model = trained()
    modes = [module.training for module in model.modules()]
    result = quick_accuracy(
        model, images, labels, epsilon=4 / 255, steps=10, batch_size=32, seed=0, control=Control()
    )
    pixels, truth = to_pixels(images, torch.device("cpu")), torch.from_numpy(labels)
    right = model(pixels).argmax(dim=1) == truth
    fooled = run_attack("pgd", model, pixels, truth, eps=4 / 255).ever
    assert (result.n, result.clean_hits) == (90, int(right.sum()))
    assert abs(result.robust_hits - int((right & ~fooled).sum())) <= 2
    assert result.robust_accuracy == result.robust_hits / 90
    assert result.clean_interval[0] < result.clean_accuracy < result.clean_interval[1]
    assert [module.training for module in model.modules()] == modes


def test_read_only_images():
    images, labels = blobs(10)
    images.flags.writeable = labels.flags.writeable = False
    asked = {"control": Control(), "seed": 0}
    quick = quick_accuracy(trained(), images, labels, epsilon=0.0, steps=1, batch_size=4, **asked)
    whole = evaluate(trained(), images, labels, epsilons=[0.01], **asked)
    assert quick.clean_hits == whole.clean_hits == quick.robust_hits


def test_quick_accuracy_of_nothing():
    images, labels = blobs(0)
    result = quick_accuracy(
        trained(), images, labels, epsilon=0.1, steps=1, batch_size=1, seed=0, control=Control()
    )
    assert (result.n, result.clean_accuracy, result.robust_interval) == (0, 0.0, (0.0, 1.0))


def test_what_rounding_undid_is_attacked_behind_the_rounding(data):
    result = evaluate(trained(), *data, epsilons=[8 / 255], attack="pgd", steps=50, control=Control())
    (level,) = result.epsilons
    assert result.audit["lost_in_8bit"] > 0
    assert result.audit["unconfirmed"] == 0
    assert level.robust_after_8bit == level.robust_accuracy < 0.1


@pytest.mark.parametrize("torn", [False, True])
def test_a_cancelled_evaluation_goes_on_where_it_was(data, tmp_path, torn):
    path, control, calls = tmp_path / "evaluation.jsonl", Control(), []
    asked = {"epsilons": EPSILONS[1:], "attack": "standard", "steps": 10, "batch_size": 16}
    whole = evaluate(trained(), *data, **asked, control=Control())

    def forward(logits):
        calls.append(1)
        if len(calls) == stop:
            control.cancel()
        return logits

    stop = 0
    evaluate(Wrapped(trained(), logits=forward), *data, **asked, control=Control())
    total, stop = len(calls), len(calls) // 2
    calls.clear()
    with pytest.raises(Cancelled):
        evaluate(Wrapped(trained(), logits=forward), *data, **asked, control=control, resume_from=path)
    if torn:
        path.write_text(path.read_text()[:-9])
    calls.clear()
    stop = 0
    resumed = evaluate(
        Wrapped(trained(), logits=forward), *data, **asked, control=Control(), resume_from=path
    )
    assert len(calls) < 0.8 * total
    expected, found = whole.to_json(), resumed.to_json()
    for document in (expected, found):
        del document["seconds"]
        for level in document["epsilons"]:
            del level["seconds"]
    assert found == expected
    # Another seed is another evaluation.
    calls.clear()
    evaluate(Wrapped(trained(), logits=forward), *data, **asked, seed=1, control=Control(), resume_from=path)
    assert len(calls) > 0.8 * total
