"""Image folders: scanning, few-shot sampling, loading and reporting. Torch is never imported here."""

from __future__ import annotations

from advclip_gui.engine.datasets.folder import Decode, resolve_folder, scan
from advclip_gui.engine.datasets.loading import load_pixels
from advclip_gui.engine.datasets.records import (
    ClassInfo,
    DatasetScan,
    ImageRecord,
    Problem,
    ProblemKind,
    Severity,
    SplitName,
)
from advclip_gui.engine.datasets.report import report_json, report_text, summary
from advclip_gui.engine.datasets.sampling import (
    Sample,
    Split,
    changed_files,
    sample_split,
    short_classes,
    split_digest,
    split_from_json,
    split_to_json,
)

__all__ = [
    "ClassInfo",
    "DatasetScan",
    "Decode",
    "ImageRecord",
    "Problem",
    "ProblemKind",
    "Sample",
    "Severity",
    "Split",
    "SplitName",
    "changed_files",
    "load_pixels",
    "report_json",
    "report_text",
    "resolve_folder",
    "sample_split",
    "scan",
    "short_classes",
    "split_digest",
    "split_from_json",
    "split_to_json",
    "summary",
]
