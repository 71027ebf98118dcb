"""What the command line's tests share: running it in this process, and small image folders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from advclip_gui.__main__ import main

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@dataclass(frozen=True)
class Outcome:
    """How a call of the program ended."""

    status: int
    out: str
    err: str

    @property
    def sentence(self) -> str:
        """What it said on standard error; fails where that is more than one line."""
        lines = self.err.strip().splitlines()
        assert len(lines) == 1, self.err
        return lines[0]


@pytest.fixture
def program(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Call the program with arguments."""

    def call(*arguments: object) -> Outcome:
        status = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err or "--debug" in arguments
        return Outcome(status, captured.out, captured.err)

    return call


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of two classes with four plain pictures each, and a space and an umlaut in its path."""
    root = tmp_path / "zwei kätzchen"
    for number, name in enumerate(("black_cat", "dog")):
        (root / name).mkdir(parents=True)
        for shade in range(4):
            colour = (60 * shade, 120 * number, 40)
            Image.new("RGB", (40, 36), colour).save(root / name / f"{shade}.png")
    return root
