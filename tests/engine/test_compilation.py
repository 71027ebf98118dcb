"""When a run is compiled, and that nothing but speed depends on it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from advclip_gui.engine.compilation import Compilation
from advclip_gui.engine.control import Control
from advclip_gui.engine.events import Log


class Tower(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.ran: list[str] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.ran.append("eager")
        return x + 1


class Stage:
    """A tower, a clock whose steps take as long as it is told, and a log."""

    def __init__(self, mode: str = "auto", device: str = "cuda", *, compiled_seconds: float = 0.5) -> None:
        self.tower, self.now, self.said = Tower(), 0.0, []
        self.compiled_seconds = compiled_seconds
        self.control = Control(
            lambda event: self.said.append(event.message) if isinstance(event, Log) else None
        )
        self.compilation = Compilation(
            self.tower, mode, torch.device(device), compiler=self.compile, clock=lambda: self.now
        )

    def compile(self, forward):
        def compiled(x):
            self.tower.ran.append("compiled")
            return x + 1

        return compiled

    def steps(self, count: int, left: int) -> set[str]:
        """Which ways the last of some steps went."""
        for number in range(count):
            self.tower.ran.clear()
            with self.compilation.step(self.control):
                assert self.tower(torch.zeros(())) == 1
            self.now += self.compiled_seconds if "compiled" in self.tower.ran else 1.0
            self.compilation.step_done(left - number, self.control)
        return set(self.tower.ran)


def test_a_long_run_on_cuda_is_compiled_once_it_is_seen_to_pay() -> None:
    stage = Stage()
    assert stage.steps(26, 2000) == {"eager"}
    assert stage.steps(26, 1974) == {"compiled"}
    assert stage.said == ["torch.compile makes the steps 2.00 times as fast."]
    assert stage.steps(40, 1900) == {"compiled"}
    # Outside a step, e.g. for a probe of another shape, the tower is as it was written.
    stage.tower.ran.clear()
    stage.tower(torch.zeros(()))
    assert stage.tower.ran == ["eager"]


def test_a_short_run_is_not_worth_it() -> None:
    stage = Stage()
    assert stage.steps(100, 600) == {"eager"}
    assert stage.said == []


def test_what_is_slower_is_undone() -> None:
    stage = Stage(compiled_seconds=1.1)
    assert stage.steps(60, 5000) == {"eager"}
    assert stage.said == ["torch.compile did not make the steps faster; training goes on without it."]


@pytest.mark.parametrize(("mode", "device"), [("auto", "cpu"), ("off", "cuda")])
def test_elsewhere_nothing_is_compiled(mode, device) -> None:
    assert Stage(mode, device).steps(100, 10_000) == {"eager"}


def test_on_compiles_from_the_first_step() -> None:
    assert Stage("on", "cpu").steps(1, 10) == {"compiled"}


def test_what_cannot_be_compiled_is_computed_all_the_same(monkeypatch) -> None:
    def compile_(self, forward):
        def broken(x):
            raise torch._dynamo.exc.TorchDynamoException("no C++ compiler\nat line 1")

        return broken

    monkeypatch.setattr(Stage, "compile", compile_)
    stage = Stage("on", "cpu")
    assert stage.steps(2, 10) == {"eager"}
    assert stage.said == ["Training goes on without torch.compile: no C++ compiler"]


def test_a_failing_step_leaves_the_tower_as_it_was() -> None:
    stage = Stage("on", "cpu")
    with pytest.raises(KeyError), stage.compilation.step(stage.control):
        raise KeyError
    stage.tower(torch.zeros(()))
    assert stage.tower.ran == ["eager"]
