"""Worst-case robust accuracy."""

from __future__ import annotations

from advclip_gui.engine.quick_accuracy import QuickAccuracy, quick_accuracy

__all__ = ["QuickAccuracy", "quick_accuracy"]
