"""What an evaluation has found so far, on disk: one line for each batch, so that it can be taken up again."""

from __future__ import annotations

import hashlib
import json
import time
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from platformdirs import user_cache_path

from advclip_gui.engine.errors import StorageError
from advclip_gui.engine.files import append_line, write_text_atomic

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from advclip_gui.engine.evaluation_result import Evaluation


_KEPT = 20
_HEAD = '{"evaluation": "'


class Journal:
    """The answers to each batch of an evaluation, by a key that says which batch.

    A key's words are the attack, the epsilon in full, and which batch. With an answer stands how long
    it took to find.

    The first line says which evaluation they belong to; of another one they are forgotten. A line
    is written whole or, if the power goes, is the last one and is left out when read.
    """

    def __init__(self, path: Path, identity: Mapping[str, Any]) -> None:
        """Read `path` if it is of this evaluation, else begin it.

        Args:
            path: of the file, which need not exist.
            identity: everything the answers depend on, in plain values.

        Raises:
            StorageError: the file cannot be written, or holds something else.
        """
        self._path = path
        text = json.dumps(identity, sort_keys=True, default=str)
        head = json.dumps({"evaluation": hashlib.sha256(text.encode()).hexdigest()})
        self._answers: dict[str, dict[str, Any]] = {}
        self._asked_at = time.perf_counter()
        known: list[str] = []
        lines = _lines(path)
        if lines and lines[0] == head:
            for line in lines[1:]:
                try:
                    entry = json.loads(line)
                except json.JSONDecodeError:
                    break
                self._answers[entry["key"]] = entry["answer"]
                known.append(line)
        # Written anew: a broken last line must not swallow the next one.
        write_text_atomic(path, "\n".join([head, *known]) + "\n")

    def get(self, key: str) -> dict[str, Any] | None:
        """The answer to a batch; None if it is still to be found, which takes from now until `add`."""
        self._asked_at = time.perf_counter()
        return self._answers.get(key)

    def add(self, key: str, answer: dict[str, Any]) -> None:
        """Note the answer to a batch. Raises `StorageError`."""
        self._answers[key] = answer
        seconds = round(time.perf_counter() - self._asked_at, 4)
        append_line(self._path, json.dumps({"key": key, "answer": answer, "seconds": seconds}))


class EarlierTime:
    """The time that earlier attempts at an evaluation took, for what they found and the last one used."""

    def __init__(self, path: Path | None) -> None:
        """Look at the journal before the last attempt; None stands for no journal.

        Raises:
            StorageError: the file holds something else.
        """
        self._path = path
        self._before = frozenset(_lines(path)[1:])

    def added_to(self, evaluation: Evaluation) -> Evaluation:
        """The outcome of the last attempt, its seconds those of all attempts."""
        earlier: defaultdict[str, float] = defaultdict(float)
        for line in _lines(self._path)[1:]:
            if line in self._before:
                entry = json.loads(line)
                earlier[entry["key"].split()[1]] += entry.get("seconds", 0.0)
        return replace(
            evaluation,
            seconds=evaluation.seconds + sum(earlier.values()),
            epsilons=tuple(
                replace(result, seconds=result.seconds + earlier[repr(result.epsilon)])
                for result in evaluation.epsilons
            ),
        )


def _lines(path: Path | None) -> list[str]:
    """The lines of a journal; none where there is no file yet.

    Raises:
        StorageError: the file holds something else, which must not be written over, or cannot be read.
    """
    if path is None or not path.exists():
        return []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        if lines and not lines[0].startswith(_HEAD):
            raise ValueError("something else is in it")
    except (OSError, ValueError) as error:
        raise StorageError(
            f"{path} does not hold what an evaluation has found so far: {error}.", "Name another file."
        ) from error
    return lines


def journal_path(arguments: Mapping[str, Any]) -> Path:
    """Where the journal of an evaluation is kept between two attempts: in the user's cache folder.

    Journals of evaluations that were never finished pile up to a few; the oldest go.

    Args:
        arguments: what was asked for, in plain values.
    """
    folder = user_cache_path("advclip-gui", appauthor=False) / "evaluations"
    kept = sorted(folder.glob("*.jsonl"), key=lambda path: path.stat().st_mtime) if folder.is_dir() else []
    for path in kept[:-_KEPT]:
        path.unlink(missing_ok=True)
    text = json.dumps(arguments, sort_keys=True, default=str)
    return folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.jsonl"
