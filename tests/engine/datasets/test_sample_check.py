"""What a sample lacks is found before anything is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from advclip_gui.engine.control import Control
from advclip_gui.engine.datasets.folder import scan
from advclip_gui.engine.datasets.sample_check import SampleCheck, check_sample
from advclip_gui.settings import DataSettings
from tests import bad_images

if TYPE_CHECKING:
    from pathlib import Path


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    for count, name in ((5, "cat"), (3, "dog")):
        for number in range(count):
            bad_images.good_jpeg(tmp_path / "pets" / name / f"{number}.jpg", seed=10 * count + number)
    found = scan(tmp_path / "pets", control=Control())

    def check(**values: object) -> SampleCheck:
        return check_sample(found, DataSettings.model_validate({"folder": str(tmp_path / "pets"), **values}))

    assert check(shots=2, val_shots=1) == SampleCheck({}, 2)
    assert check(shots=2, val_shots=0) == SampleCheck({}, 0)
    assert check(shots=4, val_shots=1).short == {"dog": 3}
    lost = check(shots=2, split_file=str(tmp_path / "lost.json"))
    assert not lost.short
    assert "lost.json" in lost.refused
