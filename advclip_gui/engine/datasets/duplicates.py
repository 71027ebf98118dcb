"""Find images that are the same file twice."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from typing import TYPE_CHECKING

from advclip_gui.engine.datasets.pool import map_files
from advclip_gui.engine.datasets.records import Problem
from advclip_gui.engine.file_access import open_file

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from advclip_gui.engine.control import Control
    from advclip_gui.engine.datasets.records import ImageRecord


def duplicates(
    root: Path, records: Sequence[ImageRecord], fingerprints: Sequence[int], control: Control
) -> list[Problem]:
    """Compare the contents of all files whose length, first and last bytes are the same.

    Args:
        root: what the records' paths are relative to.
        records: the images.
        fingerprints: of each one's first and last bytes.
        control: progress and cancel.

    Raises:
        Cancelled: through `control`.
    """
    alike: dict[tuple[int, int], list[ImageRecord]] = defaultdict(list)
    for record, fingerprint in zip(records, fingerprints, strict=True):
        alike[record.size_bytes, fingerprint].append(record)
    suspects = [record for same in alike.values() if len(same) > 1 for record in same]
    suspects.sort(key=lambda record: record.path)

    def digest(record: ImageRecord) -> bytes | None:
        try:
            with open_file(root / record.path) as stream:
                return hashlib.file_digest(stream, "sha256").digest()
        except OSError:
            return None

    first: dict[bytes, ImageRecord] = {}
    problems = []
    digests = map_files(digest, suspects, task="Looking for duplicates", control=control)
    for record, content in zip(suspects, digests, strict=True):
        if content is None:
            continue
        original = first.setdefault(content, record)
        if original is record:
            continue
        if original.class_name != record.class_name:
            consequence = f"; one picture cannot be both '{original.class_name}' and '{record.class_name}'"
        elif original.split != record.split:
            consequence = f"; an image of {original.split} is also in {record.split}"
        else:
            consequence = ""
        problems.append(
            Problem(record.path, "duplicate", f"The same file content as {original.path}{consequence}.")
        )
    return problems
