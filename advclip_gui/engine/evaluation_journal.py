"""What an evaluation has found so far, on disk: one line for each batch, so that it can be taken up again."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from platformdirs import user_cache_path

from advclip_gui.engine.files import append_line, write_text_atomic

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


_KEPT = 20


class Journal:
    """The answers to each batch of an evaluation, by a key that says which batch.

    The first line says which evaluation they belong to; of another one they are forgotten. A line
    is written whole or, if the power goes, is the last one and is left out when read.
    """

    def __init__(self, path: Path, identity: Mapping[str, Any]) -> None:
        """Read `path` if it is of this evaluation, else begin it.

        Args:
            path: of the file, which need not exist.
            identity: everything the answers depend on, in plain values.

        Raises:
            StorageError: the file cannot be written.
        """
        self._path = path
        text = json.dumps(identity, sort_keys=True, default=str)
        head = json.dumps({"evaluation": hashlib.sha256(text.encode()).hexdigest()})
        self._answers: dict[str, dict[str, Any]] = {}
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        if lines and lines[0] == head:
            for line in lines[1:]:
                try:
                    entry = json.loads(line)
                except json.JSONDecodeError:
                    break
                self._answers[entry["key"]] = entry["answer"]
        # Written anew: a broken last line must not swallow the next one.
        known = [json.dumps({"key": key, "answer": answer}) for key, answer in self._answers.items()]
        write_text_atomic(path, "\n".join([head, *known]) + "\n")

    def get(self, key: str) -> dict[str, Any] | None:
        """The answer to a batch; None if it is still to be found."""
        return self._answers.get(key)

    def add(self, key: str, answer: dict[str, Any]) -> None:
        """Note the answer to a batch. Raises `StorageError`."""
        self._answers[key] = answer
        append_line(self._path, json.dumps({"key": key, "answer": answer}))


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
