"""The journal of an evaluation: the time of all attempts, and files that are something else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from advclip_gui.engine.errors import StorageError
from advclip_gui.engine.evaluation_journal import EarlierTime, Journal
from tests.engine.test_report import LEVELS, made_up

if TYPE_CHECKING:
    from pathlib import Path


def test_the_seconds_of_earlier_attempts_are_added(tmp_path: Path) -> None:
    path, evaluation = tmp_path / "kept.jsonl", made_up("A")
    assert EarlierTime(None).added_to(evaluation) == evaluation
    assert EarlierTime(path).added_to(evaluation) == evaluation  # there is no file yet
    first = Journal(path, {"asked": 1})
    for level in LEVELS[:2]:
        assert first.get(f"pgd {level!r} first 0 8") is None
        first.add(f"pgd {level!r} first 0 8", {"fooled": []})
    lines = path.read_text(encoding="utf-8").splitlines()
    told = [json.loads(line) for line in lines[1:]]
    assert all(entry["seconds"] >= 0 for entry in told)
    for entry, seconds in zip(told, (2.5, 40.0), strict=True):
        entry["seconds"] = seconds
    path.write_text("\n".join([lines[0], *map(json.dumps, told)]) + "\n", encoding="utf-8")

    earlier = EarlierTime(path)
    again = Journal(path, {"asked": 1})
    assert again.get(f"pgd {LEVELS[0]!r} first 0 8") == {"fooled": []}
    again.add(f"pgd {LEVELS[2]!r} first 0 8", {"fooled": []})  # of this attempt: not counted twice
    total = earlier.added_to(evaluation)
    assert total.seconds == evaluation.seconds + 42.5
    assert [result.seconds for result in total.epsilons] == [4.0, 41.5, 1.5]

    earlier = EarlierTime(path)
    Journal(path, {"asked": 2})  # another evaluation uses nothing of it
    assert earlier.added_to(evaluation) == evaluation


@pytest.mark.parametrize("content", [b'{"results": 3}\n', b"\xff\xd8\xff\xe0 a photo", b"words\n"])
def test_another_file_is_not_written_over(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "mine"
    path.write_bytes(content)
    for use in (EarlierTime, lambda path: Journal(path, {})):
        with pytest.raises(StorageError, match="does not hold what an evaluation has found"):
            use(path)
    assert path.read_bytes() == content
