"""One image under attack: the replay, the smallest epsilon, and the files."""

from __future__ import annotations

import copy
import json
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image

from advclip_gui.engine.classifier import to_pixels
from advclip_gui.engine.control import Cancelled, Control
from advclip_gui.engine.errors import CheckpointError, SettingsError, StorageError
from advclip_gui.engine.model_ref import ModelRef
from advclip_gui.engine.perturbation_view import amplification, heat_image, perturbation_image
from advclip_gui.engine.probe import (
    TOLERANCE,
    ProbeRequest,
    load_probe,
    probe,
    save_probe,
    smallest_epsilon,
)
from advclip_gui.engine.probe_compare import attacked, transferred
from advclip_gui.engine.probe_files import model_facts
from advclip_gui.engine.probe_gallery import GallerySearch
from advclip_gui.engine.probe_repeat import compare, model_of, repeat_probe
from advclip_gui.engine.probe_trace import REPLAYED
from advclip_gui.settings import BackboneSettings
from tests.engine.tiny_models import CLASSES, LinearTwoClass, Wrapped, blobs, trained

if TYPE_CHECKING:
    from advclip_gui.engine.events import ProbeStep, Progress

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def image():
    return blobs(10, seed=3)[0][4]


@pytest.fixture
def model():
    wrapped = Wrapped(copy.deepcopy(trained()))
    wrapped.class_names = ("ant", "bee", "cat", "dog", "elk")
    return wrapped


@pytest.mark.parametrize("attack", ["fgsm", "pgd", "noise"])
@pytest.mark.parametrize(("norm", "epsilon"), [("Linf", 10 / 255), ("L2", 1.2)])
def test_result_agrees_with_the_model(model, image, attack, norm, epsilon):
    events: list[ProbeStep] = []
    request = ProbeRequest(attack=attack, norm=norm, epsilon=epsilon)
    result = probe(model, image, request, control=Control(events.append))
    clean = trained()(to_pixels(image[None], CPU)).softmax(dim=1)[0]
    rounded = trained()(to_pixels(result.adversarial[None], CPU)).softmax(dim=1)[0]
    assert result.before == pytest.approx(clean.tolist(), abs=1e-5)
    assert result.after_8bit == pytest.approx(rounded.tolist(), abs=1e-5)
    assert result.before_label == result.attacked_label == int(clean.argmax())
    assert result.after_8bit_label == int(rounded.argmax())
    assert result.flipped == (result.after_label != result.before_label)
    assert result.flipped_after_8bit == (result.after_8bit_label != result.before_label)
    assert np.array_equal(result.original, image)
    moved = image / 255 + result.perturbation
    assert np.abs(moved * 255 - result.adversarial).max() <= 0.5 + 1e-3
    assert result.linf == pytest.approx(np.abs(result.perturbation).max(), abs=1e-6)
    assert result.l2 == pytest.approx(np.linalg.norm(result.perturbation), rel=1e-5)
    assert (result.linf if norm == "Linf" else result.l2) <= epsilon + 1e-6
    assert tuple(events) == result.steps
    assert result.steps[-1].probabilities == pytest.approx(result.after, abs=1e-5)
    assert np.array_equal(result.steps[-1].adversarial, result.adversarial)
    assert len(result.steps) == (11 if attack == "pgd" else 2)
    assert result.before_name in result.sentence
    if attack != "noise":
        assert result.flipped
        assert result.sentence.startswith(f"{result.before_name} -> {result.after_name} at ")


def test_nothing_flips_at_epsilon_zero(model, image):
    result = probe(model, image, ProbeRequest(epsilon=0.0), control=Control())
    assert not result.flipped
    assert np.array_equal(result.adversarial, image)
    assert result.sentence == f"Still {result.before_name} at 0/255"


def test_target(model, image):
    before = probe(model, image, ProbeRequest(epsilon=0.0), control=Control()).before_label
    target = (before + 2) % CLASSES
    reached = probe(model, image, ProbeRequest(epsilon=40 / 255, steps=20, target=target), control=Control())
    assert reached.after_label == target
    missed = probe(model, image, ProbeRequest(epsilon=0.5 / 255, target=target), control=Control())
    assert f"the target {model.class_names[target]} was not reached" in missed.sentence
    with pytest.raises(SettingsError, match="already has"):
        probe(model, image, ProbeRequest(target=before), control=Control())
    with pytest.raises(SettingsError, match="no class 9"):
        probe(model, image, ProbeRequest(target=9), control=Control())


def test_wrong_before_any_attack(model, image):
    before = probe(model, image, ProbeRequest(epsilon=0.0), control=Control()).before_label
    label = (before + 1) % CLASSES
    result = probe(model, image, ProbeRequest(epsilon=1 / 255), label=label, control=Control())
    assert result.attacked_label == label
    assert result.sentence.startswith("Wrong before any attack")


def test_restart_shown_is_the_one_that_counts(model, image):
    request = ProbeRequest(epsilon=2 / 255, restarts=3, steps=4)
    events: list[ProbeStep] = []
    result = probe(model, image, request, control=Control(events.append))
    assert not result.flipped
    assert len(events) == 15
    losses = [event.loss for event in events if event.step == 4]
    assert result.steps[-1].loss == max(losses)
    assert [step.step for step in result.steps] == [0, 1, 2, 3, 4]


def test_same_seed_same_probe_and_no_trace_left(model, image):
    state = torch.get_rng_state()
    model.train()
    first = probe(model, image, ProbeRequest(seed=4), control=Control())
    second = probe(model, image, ProbeRequest(seed=4), control=Control())
    other = probe(model, image, ProbeRequest(seed=5), control=Control())
    assert np.array_equal(first.perturbation, second.perturbation)
    assert not np.array_equal(first.perturbation, other.perturbation)
    assert torch.equal(torch.get_rng_state(), state)
    assert model.training


def test_cancel_within_a_step(model, image):
    control = Control(lambda event: control.cancel())
    events = []
    with pytest.raises(Cancelled):
        probe(model, image, ProbeRequest(steps=1000), control=control)
    control = Control(events.append)
    control.cancel()
    with pytest.raises(Cancelled):
        smallest_epsilon(model, image, ProbeRequest(), control=control)


@pytest.mark.parametrize(
    "wrong", [{"epsilon": -1.0}, {"epsilon": 300.0}, {"steps": 0}, {"attack": "cw"}, {"norm": "L1"}]
)
def test_wrong_values(model, image, wrong):
    for call in (probe, smallest_epsilon):
        with pytest.raises(SettingsError):
            call(model, image, ProbeRequest(**wrong), control=Control())


def test_read_only_images(model, image):
    frozen = image.copy()
    frozen.flags.writeable = False
    assert probe(model, frozen, ProbeRequest(), control=Control()).original.flags.writeable


def test_wrong_image(model):
    with pytest.raises(ValueError, match="uint8"):
        probe(model, np.zeros((3, 8, 8), dtype=np.uint8), ProbeRequest(), control=Control())


@pytest.mark.parametrize("attack", ["fgsm", "pgd"])
@pytest.mark.parametrize("norm", ["Linf", "L2"])
@pytest.mark.parametrize("start", [0.1 / 255, 4 / 255, 100 / 255])
def test_smallest_epsilon_is_exact_on_a_linear_model(attack, norm, start):
    model = LinearTwoClass(size=4)
    weight = model.weight.detach()
    for seed in range(3):
        grey = np.random.default_rng(seed).integers(110, 146, (4, 4, 3), dtype=np.uint8)
        margin = float(model.margin(to_pixels(grey[None], CPU)).detach().abs())
        exact = margin / float(torch.linalg.vector_norm(weight, ord=1 if norm == "Linf" else 2))
        request = ProbeRequest(attack=attack, norm=norm, epsilon=start, random_start=norm == "Linf")
        found = smallest_epsilon(model, grey, request, control=Control())
        assert found.found
        assert found.low - 1e-5 <= exact <= found.high + 1e-5
        assert 0 < found.high - found.low <= 0.05 / 255 + 1e-12
        assert found.after_label == 1 - found.attacked_label


def test_smallest_epsilon_tells_how_it_narrows(model, image):
    events: list[Progress] = []
    found = smallest_epsilon(model, image, ProbeRequest(), control=Control(events.append))
    assert events[-1].done == events[-1].total == found.attacks
    assert " to " in events[-1].detail
    at_high = probe(model, image, ProbeRequest(epsilon=found.high), control=Control())
    below = probe(model, image, ProbeRequest(epsilon=found.low), control=Control())
    assert at_high.flipped
    assert not below.flipped
    assert found.sentence == at_high.sentence.split(",")[0]


def test_smallest_epsilon_of_what_never_and_what_already_flips(image):
    constant = Wrapped(trained(), logits=lambda z: z * 0 + torch.arange(5.0))
    never = smallest_epsilon(constant, image, ProbeRequest(), control=Control())
    assert (never.found, never.high, never.after_label, never.adversarial) == (False, 1.0, -1, None)
    already = smallest_epsilon(constant, image, ProbeRequest(), label=0, control=Control())
    assert (already.found, already.low, already.high) == (True, 0.0, 0.0)
    with pytest.raises(SettingsError, match="tolerance"):
        smallest_epsilon(constant, image, ProbeRequest(), tolerance=0.0, control=Control())


def test_saved_files_hold_what_was_shown_and_repeat_it(model, image, tmp_path):
    request = ProbeRequest(epsilon=7.3 / 255, steps=7, step_size=1.7 / 255, restarts=2, seed=11)
    result = probe(model, image, request, control=Control())
    folder = tmp_path / "mit Leerzeichen é"
    files = save_probe(result, folder, "probe", model={"kind": "zero_shot"})
    assert [path.name for path in files] == [
        "probe-adversarial.png",
        "probe-perturbation.png",
        "probe.json",
    ]
    with Image.open(files[0]) as picture:
        read = np.array(picture)
    assert np.array_equal(read, result.adversarial)
    answer = trained()(to_pixels(read[None], CPU))
    assert (int(answer.argmax()) != result.before_label) == result.flipped_after_8bit
    document = json.loads(files[2].read_text(encoding="utf-8"))
    assert document["sentence"] == result.sentence
    assert len(document["result"]["steps"]) == len(result.steps)

    saved = load_probe(files[2])
    assert saved.request == request
    assert saved.model == {"kind": "zero_shot"}
    again = probe(model, saved.image, saved.request, label=saved.label, control=Control())
    assert np.array_equal(again.perturbation, result.perturbation)
    assert list(again.after) == saved.result["after"]


def test_a_stem_cannot_leave_the_folder(model, image, tmp_path):
    result = probe(model, image, ProbeRequest(), control=Control())
    files = save_probe(result, tmp_path / "a", "../b")
    assert all(path.parent == tmp_path / "a" for path in files)


def test_saving_where_it_cannot_be(model, image, tmp_path):
    result = probe(model, image, ProbeRequest(), control=Control())
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with pytest.raises(StorageError):
        save_probe(result, blocked, "x")


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (lambda d: d.update(format="else"), "not a saved probe"),
        (lambda d: d.update(version=99), "another version"),
        (lambda d: d.pop("label"), "damaged"),
        (lambda d: d["request"].update(epsilon="wide"), "wrong type"),
        (lambda d: d["request"].update(epsilon=-1), "Epsilon"),
        (lambda d: d["request"].update(colour="red"), "no setting 'colour'"),
        (lambda d: d["image"].update(png="AAAA"), "damaged"),
        (lambda d: d["image"].update(sha256="0"), "not the one"),
    ],
)
def test_damaged_probes_are_refused(model, image, tmp_path, change, part):
    path = save_probe(probe(model, image, ProbeRequest(), control=Control()), tmp_path, "x")[2]
    document = json.loads(path.read_text(encoding="utf-8"))
    change(document)
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(SettingsError, match=part):
        load_probe(path)


def test_files_that_are_no_probes(tmp_path):
    with pytest.raises(SettingsError, match="cannot be read"):
        load_probe(tmp_path / "missing.json")
    broken = tmp_path / "broken.json"
    broken.write_bytes(b"\xff\xfe{")
    with pytest.raises(SettingsError, match="cannot be read"):
        load_probe(broken)
    broken.write_text("[1, 2]")
    with pytest.raises(SettingsError, match="not a saved probe"):
        load_probe(broken)


def test_perturbation_view():
    delta = np.zeros((4, 4, 3), dtype=np.float32)
    view, factor = perturbation_image(delta)
    assert (factor, view.min(), view.max()) == (1.0, 128, 128)
    delta[0, 0, 0], delta[1, 1, 1] = 4 / 255, -2 / 255
    view, factor = perturbation_image(delta)
    assert factor == 20.0
    assert view[0, 0, 0] == round((0.5 + 80 / 255) * 255)
    assert view[1, 1, 1] == round((0.5 - 40 / 255) * 255)
    assert [amplification(value) for value in (0.5, 0.25, 0.05, 0.051, 1 / 255, 1.0)] == [1, 2, 10, 5, 100, 1]


def test_heat_rises_in_lightness():
    ramp = np.zeros((1, 64, 3), dtype=np.float32)
    ramp[0, :, :] = -np.linspace(0, 0.1, 64)[:, None]
    colours = heat_image(ramp)[0].astype(float)
    lightness = colours @ np.array([0.2126, 0.7152, 0.0722])
    assert (np.diff(lightness) > 0).all()
    assert heat_image(np.zeros((2, 2, 3), dtype=np.float32)).max() == heat_image(ramp)[0, 0].max()
    some = np.zeros((1, 3, 3), dtype=np.float32)
    some[0, 0, 0], some[0, 1, :2], some[0, 2] = 0.1, 0.1, -0.1  # one, two and three channels at the bound
    brightness = heat_image(some)[0].astype(float).sum(axis=1)
    assert (np.diff(brightness) > 30).all()


def test_what_a_window_needs_does_not_import_torch():
    import subprocess

    code = (
        "import sys, advclip_gui.engine.probe_files, advclip_gui.engine.probe_types,"
        " advclip_gui.engine.perturbation_view, advclip_gui.engine.attacks.catalog,"
        " advclip_gui.engine.evaluation_result, advclip_gui.engine.statistics;"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# Repeating a saved probe


@pytest.fixture
def saved(model, image, tmp_path):
    result = probe(model, image, ProbeRequest(epsilon=6 / 255, seed=7), control=Control())
    ref = ModelRef("zero_shot", BackboneSettings())
    return load_probe(save_probe(result, tmp_path, "p", model=model_facts(ref, ["a photo of a {}."]))[2])


def test_a_saved_probe_comes_out_the_same(model, saved):
    repeated = repeat_probe(saved, model, control=Control())
    assert repeated.same
    assert repeated.differences == ()
    assert repeated.sentence.startswith("Repeated exactly")
    assert saved.adversarial_sha256[:12] in repeated.sentence


def test_what_differs_is_named(model, saved, image):
    other = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(-1)
    found = repeat_probe(saved, other, provenance={"backbone_sha256": "f" * 64}, control=Control())
    assert not found.same
    assert found.sentence.startswith("Not the same adversarial pixels")
    assert "The backbone's weights differ (none then, ffffffffffff now)." in found.sentence

    mirrored = np.ascontiguousarray(image[:, ::-1])
    found = repeat_probe(saved, model, image=mirrored, templates=("{}",), control=Control())
    assert not found.same
    assert found.differences == (
        "The image is another one, or the model sees it at another size.",
        "The prompts differ.",
    )


def test_a_difference_without_effect_is_told_too(model, saved):
    saved.provenance["torch"] = "1.0"
    found = repeat_probe(saved, model, control=Control())
    assert found.same
    assert f"torch: 1.0 then, {torch.__version__} now." in found.sentence


def test_another_request_is_no_repetition(model, saved):
    result = probe(model, saved.image, ProbeRequest(epsilon=6 / 255, seed=8), control=Control())
    found = compare(saved, result)
    assert not found.same
    assert found.differences == ("The attack's settings differ.",)


def test_the_threads_of_then_are_used_and_given_back(model, saved):
    before = torch.get_num_threads()
    seen = []
    saved.provenance["threads"] = str(before + 1)
    repeat_probe(saved, model, control=Control(lambda _step: seen.append(torch.get_num_threads())))
    assert set(seen) == {before + 1}
    assert torch.get_num_threads() == before


def test_the_model_of_a_saved_probe(saved):
    assert model_of(saved) == ModelRef("zero_shot", BackboneSettings())
    saved.model["kind"] = "live"
    with pytest.raises(CheckpointError, match="while it was being trained"):
        model_of(saved)
    saved.model["kind"] = "zero_shot"
    saved.model["backbone"] = "advclip-mini"
    with pytest.raises(SettingsError, match="does not tell"):
        model_of(saved)


def test_a_probe_that_names_no_class_of_its_own_is_damaged(model, image, tmp_path):
    result = probe(model, image, ProbeRequest(), control=Control())
    path = save_probe(result, tmp_path, "p")[2]
    document = json.loads(path.read_text(encoding="utf-8"))
    document["label"] = 99
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(SettingsError, match="a class it does not list"):
        load_probe(path)


# Long attacks, several models, many images


@pytest.mark.parametrize("attack", ["pgd", "square"])
def test_the_replay_of_a_long_attack_is_thinned_and_ends_at_the_result(model, image, attack):
    events: list[ProbeStep] = []
    request = ProbeRequest(attack=attack, epsilon=3 / 255, steps=3 * REPLAYED + 1)
    result = probe(model, image, request, control=Control(events.append))
    assert len(events) <= REPLAYED + 2
    assert len(result.steps) <= REPLAYED + 3
    last = result.steps[-1]
    assert np.array_equal(last.adversarial, result.adversarial)
    assert last.probabilities == pytest.approx(result.after, abs=1e-5)
    numbers = [step.step for step in result.steps]
    assert numbers == sorted(set(numbers))


def test_a_transferred_attack_is_judged_in_8_bits(model, image):
    other = Wrapped(copy.deepcopy(trained()))
    other.class_names = ("ant", "bee", "cat", "dog", "elk")
    source = probe(model, image, ProbeRequest(epsilon=10 / 255), control=Control())
    mine = attacked(source, eight_bits=True)
    answer = transferred(other, image, source.adversarial, control=Control())
    assert (mine.own, answer.own) == (True, False)
    assert answer.before == pytest.approx(source.before, abs=1e-5)
    assert answer.after == pytest.approx(source.after_8bit, abs=1e-5)
    assert mine.after == source.after_8bit
    assert answer.flipped == source.flipped_after_8bit is True
    assert attacked(source, eight_bits=False).after == source.after
    with pytest.raises(SettingsError, match="different sizes"):
        transferred(other, image[:4, :4], source.adversarial, control=Control())
    control = Control()
    control.cancel()
    with pytest.raises(Cancelled):
        transferred(other, image, source.adversarial, control=control)


def search_all(model, images, request, *, labels, size):
    """The items by index, and how many attacks they took."""
    search, found, waiting, steps = GallerySearch(request, size=size), {}, list(enumerate(images)), 0
    while waiting or not search.empty:
        while waiting and search.free:
            index, image = waiting.pop(0)
            search.add(index, image, label=labels[index])
        found |= {item.index: item for item in search.step(model, Control())}
        steps += 1
    return found, steps


@pytest.mark.parametrize(
    ("attack", "asked"),
    [
        ("pgd", {"epsilon": 4 / 255}),
        ("pgd", {"epsilon": 0.6, "norm": "L2"}),
        ("pgd", {"epsilon": 2 / 255, "step_size": 1 / 255, "restarts": 2, "steps": 3}),
        ("pgd", {"epsilon": 0.0}),
        ("fgsm", {"epsilon": 6 / 255}),
        ("noise", {"epsilon": 60 / 255}),
    ],
)
def test_a_gallery_finds_for_each_image_what_is_found_for_it_alone(model, attack, asked):
    images, labels = blobs(12, seed=3)
    labels = labels.tolist()
    labels[5] = (labels[5] + 1) % CLASSES  # wrong without an attack
    labels[7] = None
    request = ProbeRequest(attack=attack, **asked)
    found, steps = search_all(model, images, request, labels=labels, size=5)
    assert sorted(found) == list(range(12))
    for index, image in enumerate(images):
        alone = smallest_epsilon(model, image, request, label=labels[index], control=Control())
        item = found[index]
        assert item.found == alone.found
        assert item.low == pytest.approx(alone.low, abs=TOLERANCE)
        assert item.high == pytest.approx(alone.high, abs=TOLERANCE)
        if attack == "pgd":
            assert 0 <= item.high - item.low <= TOLERANCE
        assert item.after == (model.class_names[alone.after_label] if alone.found else "")
    assert found[5].high == 0
    if attack == "pgd":
        assert steps < 12 * 4  # far fewer than attacks: images share them


def test_an_image_that_nothing_fools_ends_the_search_at_the_largest_epsilon(image):
    constant = Wrapped(copy.deepcopy(trained()), logits=lambda z: 0 * z)  # the first class, always
    for norm, largest in (("Linf", 1.0), ("L2", image.size**0.5)):
        request = ProbeRequest(norm=norm, epsilon=0.3, steps=1)
        found, _ = search_all(constant, [image], request, labels=[None], size=4)
        alone = smallest_epsilon(constant, image, request, control=Control())
        assert (found[0].low, found[0].high, found[0].found) == (alone.low, alone.high, False)
        assert found[0].high == pytest.approx(largest)
        assert found[0].after == ""


def test_a_gallery_leaves_a_target_aside_and_reports_nothing_itself(model, image):
    label = probe(model, image, ProbeRequest(epsilon=0.0), control=Control()).before_label
    plain, _ = search_all(model, [image], ProbeRequest(), labels=[label], size=4)
    aimed, _ = search_all(model, [image], ProbeRequest(target=label), labels=[label], size=4)
    assert aimed == plain
    for attack in ("pgd", "noise"):
        events = []
        search = GallerySearch(ProbeRequest(attack=attack, epsilon=60 / 255))
        search.add(0, image, label=label)
        search.step(model, Control(events.append))
        assert events == []


@pytest.mark.parametrize("attack", ["pgd", "noise"])
def test_a_cancelled_gallery_can_go_on_where_it_was(model, image, attack):
    control = Control()
    control.cancel()
    request = ProbeRequest(attack=attack, epsilon=60 / 255)
    search = GallerySearch(request)
    search.add(3, image, label=None)
    with pytest.raises(Cancelled):
        search.step(model, control)
    assert not search.empty
    found = []
    while not search.empty:
        found += search.step(model, Control())
    assert found[0].index == 3
    assert found[0].high == smallest_epsilon(model, image, request, control=Control()).high


def test_a_gallery_refuses_what_is_no_class_and_no_request(model, image):
    search = GallerySearch(ProbeRequest())
    search.add(0, image, label=CLASSES)
    with pytest.raises(SettingsError, match=f"no class {CLASSES}"):
        search.step(model, Control())
    with pytest.raises(SettingsError, match="Epsilon"):
        GallerySearch(ProbeRequest(epsilon=-1.0))


def test_threads_are_put_back_whatever_happens(monkeypatch):
    from advclip_gui.engine.devices import all_threads, computing_with

    before = torch.get_num_threads()
    seen = []

    def broken():
        with computing_with(before + 1):
            seen.append(torch.get_num_threads())
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        broken()
    assert seen == [before + 1]
    assert torch.get_num_threads() == before
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert all_threads() == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    assert all_threads() >= 1
