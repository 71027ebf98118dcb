"""Ready-made experiments: the paper's few-shot figure, base-to-new, cross-dataset, and a small demo."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from advclip_gui.engine.experiments.definition import EvaluationSettings, ExperimentSettings
from advclip_gui.presets import DEMO_EPSILON, PRESETS

if TYPE_CHECKING:
    from advclip_gui.settings import RunSettings

_DEMO: Final = PRESETS["demo"].settings
_PAPER: Final = PRESETS["paper-b32"].settings


def _demo_recipe() -> RunSettings:
    """The demo's recipe with so few steps that the whole takes about two minutes on two cores."""
    training = _DEMO.training.model_copy(update={"steps": 20, "batch_size": 16})
    monitor = _DEMO.monitor.model_copy(update={"every": 20, "images": 50})
    return _DEMO.model_copy(update={"training": training, "monitor": monitor})


EXPERIMENTS: Final[dict[str, ExperimentSettings]] = {
    "paper-few-shot": ExperimentSettings(name="Few-shot accuracy", kind="few-shot", base=_PAPER),
    "base-to-new": ExperimentSettings(name="Base to new", kind="base-to-new", shots=(16,), base=_PAPER),
    "demo": ExperimentSettings(
        name="Demo experiment",
        kind="few-shot",
        shots=(1, 4),
        seeds=(0, 1),
        base=_demo_recipe(),
        evaluation=EvaluationSettings(attack="quick", epsilon=DEMO_EPSILON, images=100),
    ),
}
"""By name on the command line; "cross-dataset" is made by `cross_dataset`, since it needs its folders."""
PRESET_NAMES: Final = (*EXPERIMENTS, "cross-dataset")


def cross_dataset(targets: tuple[str, ...], base: RunSettings = _PAPER) -> ExperimentSettings:
    """Train on 16 shots of one folder, test there and on others.

    Raises:
        SettingsError: no other folder is given.
    """
    plain = base.model_dump(mode="json", exclude_none=True)
    return ExperimentSettings.checked(
        {"name": "Cross-dataset", "kind": "cross-dataset", "shots": [16], "targets": targets, "base": plain}
    )
