"""What the keyboard does on a plot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt

from advclip_gui.gui.widgets.plot_series import places_of

if TYPE_CHECKING:
    from advclip_gui.gui.widgets.plots import LinePlot

_ZOOM = 0.7


def take_key(plot: LinePlot, key: int) -> bool:
    """Read off with the arrow keys, zoom with + and -, show everything with Home; False for another key."""
    keys = Qt.Key
    if key in (keys.Key_Left, keys.Key_Right):
        _move_place(plot, 1 if key == keys.Key_Right else -1)
    elif key in (keys.Key_Plus, keys.Key_Equal, keys.Key_Minus):
        plot.zoom(1 / _ZOOM if key == keys.Key_Minus else _ZOOM)
    elif key == keys.Key_Home:
        plot.reset_zoom()
    elif key == keys.Key_Escape and plot.place is not None:
        plot.read_off(None)
    else:
        return False
    return True


def _move_place(plot: LinePlot, direction: int) -> None:
    places, here = places_of(plot.series), plot.place
    if places:
        index = len(places) - 1 if here is None else places.index(here) + direction
        plot.read_off(places[min(max(index, 0), len(places) - 1)])
