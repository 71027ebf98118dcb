"""Ask the Probe page to compare models that were chosen elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from advclip_gui.gui.pages.probe import ProbePage
from advclip_gui.gui.widgets.probe_views import COMPARE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PySide6.QtWidgets import QWidget

    from advclip_gui.engine.model_ref import ModelRef


def compare_in_probe(window: QWidget, refs: Sequence[ModelRef]) -> None:
    """Show two or three models side by side, the first one as that of the controls.

    Args:
        window: the page is somewhere in it.
        refs: as the workspace offers them.
    """
    page = window.findChild(ProbePage)
    if page is None:
        return
    page.panel.models.choose_like(refs[0])
    for place, box in enumerate(page.views.compare.others, start=1):
        wanted = refs[place] if place < len(refs) else None
        rows = [row for row in range(box.count()) if box.itemData(row) == wanted]
        if rows and rows[0] != box.currentIndex():
            box.setCurrentIndex(rows[0])
            box.activated.emit(rows[0])
    page.views.show_view(COMPARE)
