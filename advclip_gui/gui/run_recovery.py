"""Offers, above the list, to go on with a run whose process ended without a last word."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from advclip_gui.engine.run_list import RunSummary
    from advclip_gui.gui.widgets.basics import Banner
    from advclip_gui.gui.workspace import Workspace


class RunRecovery(QObject):
    """Fills a banner; what the user has dismissed is not offered again."""

    def __init__(
        self, workspace: Workspace, banner: Banner, go_on: Callable[[RunSummary], bool], parent: QObject
    ) -> None:
        """Offer nothing yet.

        Args:
            workspace: knows the runs.
            banner: where it is offered.
            go_on: continues a run; False where that is not possible now.
            parent: the owner.
        """
        super().__init__(parent)
        self._workspace, self._banner, self._go_on = workspace, banner, go_on
        self._dismissed: set[Path] = set()
        self._lost: list[RunSummary] = []
        banner.dismissed.connect(self._on_dismissed)

    def offer(self) -> None:
        """Offer the newest run that can be taken up, or nothing."""
        lost = [
            run
            for run in self._workspace.last_runs
            if run.state == "interrupted" and run.has_checkpoint and run.path not in self._dismissed
        ]
        self._lost = lost
        if not lost or self._workspace.is_training:
            self._banner.clear()
            return
        first = lost[0]
        more = f" {len(lost) - 1} more are marked below." if len(lost) > 1 else ""
        self._banner.show_message(
            "warning",
            f"The run '{first.name}' was interrupted; its last checkpoint is safe.{more}",
            actions=[("Continue", partial(self._recover, first))],
        )

    def _recover(self, run: RunSummary) -> None:
        if self._go_on(run):
            self._banner.clear()

    def _on_dismissed(self) -> None:
        self._dismissed.update(run.path for run in self._lost)
