"""Stand-ins for training and measuring, shared by the tests of experiments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from advclip_gui.engine.experiments import measure, run
from advclip_gui.engine.experiments.definition import ExperimentSettings
from advclip_gui.engine.runs import RunFolder
from advclip_gui.engine.training import RunResult

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

    from advclip_gui.engine.control import Control
    from advclip_gui.settings import RunSettings


def make(base: RunSettings, **values: Any) -> ExperimentSettings:
    plain = base.model_dump(mode="json", exclude_none=True)
    evaluation = {"images": 6, "steps": 2, "attack": "quick"}
    given = {"shots": [1, 2], "seeds": [0, 1], "base": plain, "evaluation": evaluation}
    return ExperimentSettings.checked({**given, **values})


class NoSession:
    """Knows only which adapter is lent."""

    def __init__(self) -> None:
        self.lent: list[object] = []

    def set_live(self, live: object) -> None:
        self.lent.append(live)


class Workshop:
    """Stands in for training and measuring, and writes down what was asked of both."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.trained: list[str] = []
        self.resumed: list[str] = []
        self.measured: list[str] = []
        self.before: Callable[[str], None] = lambda key: None
        monkeypatch.setattr(run, "train", self.train)
        monkeypatch.setattr(measure.Yardstick, "measure", self.measure)

    def train(
        self, settings: RunSettings, *, control: Control, run_dir: Path, resume: bool, on_live: Any
    ) -> RunResult:
        folder = RunFolder(run_dir)
        folder.set_state("running")
        folder.start(settings, device="cpu", split={})
        (self.resumed if resume else self.trained).append(run_dir.name)
        self.before(run_dir.name)
        on_live(self)
        control.between_steps()
        on_live(None)
        state = "stopped" if control.stop_requested else "finished"
        if state == "finished":
            (folder.adapter_dir).mkdir(exist_ok=True)
            (folder.adapter_dir / "adapter_model.safetensors").write_bytes(b"")
        folder.set_state(state)  # type: ignore[arg-type]
        return RunResult(run_dir, state, 1, {})

    def measure(self, key: str, ref: Any, control: Control) -> dict[str, Any]:
        self.measured.append(key)
        self.before(f"measure {key}")
        clean = 0.5 + 0.01 * len(self.measured)
        one = {"title": "Test", "n": 6, "clean": clean, "robust": 0.25, "label": "PGD", "warnings": []}
        return {"figures": {"test": one}, "evaluation_seconds": 1.0}
