"""What every figure must carry is in all three forms of a report, as a real evaluation records it."""

from __future__ import annotations

import csv
import json
import platform
from html import unescape
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import nn

from advclip_gui import __version__
from advclip_gui.engine.control import Control
from advclip_gui.engine.evaluation import evaluate
from advclip_gui.engine.evaluation_provenance import evaluation_provenance
from advclip_gui.engine.model_ref import ModelRef
from advclip_gui.engine.report import save_report
from advclip_gui.engine.statistics import wilson
from advclip_gui.settings import BackboneSettings

if TYPE_CHECKING:
    from pathlib import Path

    from advclip_gui.engine.evaluation_result import Evaluation

HASHES = {"backbone_sha256": "b" * 64, "adapter_sha256": "a" * 64}


class Weights:
    """Stands for a session that has lent a classifier."""

    def provenance(self, ref: ModelRef) -> dict[str, str]:
        return {"backbone": "Tiny", **HASHES}


class Linear(nn.Module):
    """Five classes."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(3 * 8 * 8, 5)
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            self.body.weight.copy_(0.5 * torch.randn(5, 192, generator=generator))
            self.body.bias.zero_()

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.body(pixels.flatten(1))


def twenty_images() -> tuple[np.ndarray, np.ndarray]:
    """Images and labels, of which the first six are wrong."""
    images = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), dtype=np.uint8)
    with torch.no_grad():
        labels = Linear()(torch.from_numpy(images).permute(0, 3, 1, 2) / 255).argmax(dim=1).numpy()
    return images, np.where(np.arange(20) < 6, (labels + 1) % 5, labels)


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    images, labels = twenty_images()
    return evaluate(
        Linear(),
        images,
        labels,
        epsilons=[2 / 255, 0.5 / 255],
        attack="thorough",
        steps=3,
        restarts=2,
        queries=7,
        seed=11,
        control=Control(),
        model_name="Tiny model",
        provenance=evaluation_provenance(
            Weights(),
            ModelRef("zero_shot", BackboneSettings()),
            data="photos",
            split="test",
            split_digest="d" * 64,
            templates=["a photo of a {}."],
        ),
    )


@pytest.fixture(scope="module")
def forms(evaluation: Evaluation, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder: Path = tmp_path_factory.mktemp("report")
    found = {}
    for suffix in ("html", "json", "csv"):
        path = save_report([evaluation], folder / f"r.{suffix}")
        found[suffix] = path.read_text(encoding="utf-8")
    found["html"] = unescape(found["html"])
    # A table's cells without their quoting, and text without JSON's.
    found["csv"] = "\n".join("\t".join(row) for row in csv.reader(found["csv"].splitlines()))
    document = json.loads(found["json"])
    found["json"] = json.dumps(document, ensure_ascii=False, indent=0)
    return found


@pytest.mark.parametrize("form", ["html", "json", "csv"])
def test_every_figure_carries_how_it_came_about(
    evaluation: Evaluation, forms: dict[str, str], form: str
) -> None:
    text, last = forms[form], evaluation.epsilons[-1]
    wanted = {
        "epsilon as k/255": ["0.5/255", "2/255"],
        "epsilon as a float": [repr(0.5 / 255), repr(2 / 255)],
        "clean accuracy": [repr(14 / 20)],
        "Wilson's interval": [repr(end) for end in wilson(14, 20)],
        "versions": [torch.__version__, platform.python_version(), __version__],
        "hashes": [*HASHES.values(), "d" * 64, evaluation.provenance["images_sha256"]],
        "numbers": ["float32", "cpu", "Linf", "photos", "a photo of a {}."],
        "waterfall": [*last.waterfall, *map(repr, last.waterfall.values())],
        "after 8 bits": [repr(last.robust_after_8bit)],
        "audit": ["norm_within", "inside_box", "not_finite", "lost_in_8bit", "unconfirmed"],
    }
    missing = {what: part for what, parts in wanted.items() for part in parts if str(part) not in text}
    assert not missing


def test_steps_restarts_and_seed_are_told_for_each_attack(
    evaluation: Evaluation, forms: dict[str, str]
) -> None:
    for form in ("html", "csv"):
        text = forms[form]
        assert "APGD-CE-3 (2 restarts) + APGD-T-3 (2 restarts) + Square-7 (thorough" in text
        assert "name apgd-t, steps 3, step size" in text
        assert "name square, steps 7" in text
    attacks = evaluation.provenance["attacks"]
    assert [(one["steps"], one["restarts"]) for one in attacks] == [(3, 2), (3, 2), (7, 1)]
    assert json.loads(forms["json"])["evaluations"][0]["provenance"]["seed"] == 11
    assert "seed\t11" in forms["csv"]  # the fact's name and its value
    assert '<th scope="row">seed</th><td>11</td>' in forms["html"]


def test_what_is_wrong_without_an_attack_is_never_attacked(evaluation: Evaluation) -> None:
    images, labels = twenty_images()
    once = evaluate(
        Linear(), images, labels, epsilons=[0.25 / 255], attack="fgsm", control=Control(), model_name="Tiny"
    )
    assert once.audit["attacked"] == once.clean_hits == 14
    assert evaluation.smallest_epsilon[:6] == (0.0,) * 6
    assert all(result.robust_hits <= 14 for result in evaluation.epsilons)
