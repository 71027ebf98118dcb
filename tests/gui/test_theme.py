"""The tokens: readable in light and dark, followed by what is on screen, and written in one place only."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PySide6.QtCore import QSize
from PySide6.QtGui import QColor, QImage, QPalette

import advclip_gui.gui
from advclip_gui.gui import glyphs, theme
from advclip_gui.gui.widgets.basics import Banner, Button, EmptyState, IconButton, Stat

if TYPE_CHECKING:
    from pytestqt.qtbot import QtBot

GUI = Path(advclip_gui.gui.__file__).parent
LOOKS = pytest.mark.parametrize("look", [theme.LIGHT, theme.DARK], ids=["light", "dark"])
SURFACES = ("window", "surface", "surface_raised", "sunken")
READABLE = 4.5
"""WCAG 2.2 AA for text."""
VISIBLE = 3.0
"""WCAG 2.2 AA for lines and marks that mean something."""


def luminance(colour: str) -> float:
    def linear(share: float) -> float:
        return share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4

    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue)


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def too_faint(look: theme.Theme, roles: tuple[str, ...], grounds: tuple[str, ...], least: float) -> list[str]:
    pairs = [(role, ground) for role in roles for ground in grounds]
    found = {
        f"{role} on {ground}": contrast(look.colour(role), look.colour(ground)) for role, ground in pairs
    }
    return [f"{name}: {value:.2f}" for name, value in found.items() if value < least]


@LOOKS
def test_text_is_readable_on_every_surface(look: theme.Theme) -> None:
    assert too_faint(look, ("text", "text_muted"), SURFACES, READABLE) == []
    assert too_faint(look, ("text",), ("accent_soft", "border"), READABLE) == []


@LOOKS
def test_coloured_text_is_readable_where_it_stands(look: theme.Theme) -> None:
    assert (
        too_faint(look, ("good", "bad", "warning", "info", "accent"), ("window", "surface"), READABLE) == []
    )
    for role in ("good", "bad", "warning", "info"):
        assert too_faint(look, (role, "text"), (f"{role}_soft",), READABLE) == []
    assert too_faint(look, ("accent",), ("accent_soft",), READABLE) == []
    assert too_faint(look, ("accent_text",), ("accent", "accent_hover"), READABLE) == []


@LOOKS
def test_lines_of_plots_can_be_seen(look: theme.Theme) -> None:
    assert too_faint(look, look.series._fields, ("surface", "window"), VISIBLE) == []


def test_colours_are_written_in_the_theme_only() -> None:
    pattern = re.compile(
        r"""["'(\s:]\#[0-9a-fA-F]{3}(?:[0-9a-fA-F]{3})?\b"""
        r"""|QColor\(\s*\d|QColor\(\s*["']|Qt\.GlobalColor\.(?!transparent)"""
        r"""|\brgba?\(|pg\.mk(?:Color|Pen|Brush)\(\s*["'\d]"""
    )
    found = [
        f"{path.relative_to(GUI)}: {match.group().strip()}"
        for path in sorted(GUI.rglob("*.py"))
        if path.name != "theme.py"
        for match in pattern.finditer(path.read_text(encoding="utf-8"))
    ]
    # What lies under a transparent image is part of its pixels, not of the window's look.
    assert found == ["widgets/image_canvas.py: Qt.GlobalColor."]


def test_every_colour_is_six_hexadecimal_digits() -> None:
    for look in (theme.LIGHT, theme.DARK):
        values = [value for value in vars(look).values() if isinstance(value, str)]
        for value in (*values, *look.series):
            assert re.fullmatch("#[0-9a-f]{6}", value)


def test_switching_reaches_palette_and_style_sheet_and_is_told(qtbot: QtBot, qapp: Any) -> None:
    theme.apply(qapp, "light")
    with qtbot.waitSignal(theme.signals().changed):
        theme.apply(qapp, "dark")
    assert theme.mode() == "dark"
    assert theme.current().dark
    assert qapp.palette().color(QPalette.ColorRole.Window) == QColor(theme.DARK.window)
    assert theme.DARK.surface in qapp.styleSheet()
    theme.apply(qapp, "light")
    assert theme.LIGHT.surface in qapp.styleSheet()
    assert theme.DARK.surface not in qapp.styleSheet()


@LOOKS
def test_the_style_sheet_has_no_hole(qapp: Any, look: theme.Theme) -> None:
    theme.apply(qapp, "dark" if look.dark else "light")
    assert "$" not in theme.stylesheet()


def test_marks_of_the_style_sheet_lie_in_the_users_cache_and_are_whole(
    qapp: Any, user_folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = user_folders / "cache of marks"
    monkeypatch.setattr(glyphs, "user_cache_path", lambda *_names, **_options: cache)
    path = Path(glyphs.control_mark("down", theme.LIGHT.text_muted))
    assert path.is_relative_to(cache)
    assert sorted(one.name for one in path.parent.iterdir()) == [
        path.name,
        f"{path.stem}@2x.png",
        f"{path.stem}@3x.png",
    ]
    assert QImage(str(path)).width() == 12


def test_marks_have_a_folder_of_the_process_where_the_cache_cannot_be_written(
    qapp: Any, user_folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = user_folders / "a file"
    blocked.write_text("in the way")
    monkeypatch.setattr(glyphs, "user_cache_path", lambda *_names, **_options: blocked)
    path = Path(glyphs.control_mark("up", theme.LIGHT.text_muted))
    assert path.is_file()
    assert path.is_relative_to(glyphs._own_folder().name)


def test_icons_follow_the_theme_by_themselves(qapp: Any) -> None:
    icon = theme.icon("play", "text")

    def brightest(mode: Any) -> float:
        theme.apply(qapp, mode)
        image = icon.pixmap(QSize(32, 32)).toImage()
        inked = [
            image.pixelColor(x, y).lightnessF()
            for x in range(image.width())
            for y in range(image.height())
            if image.pixelColor(x, y).alpha() == 255
        ]
        assert inked
        return max(inked)

    assert brightest("light") < 0.5 < brightest("dark")


def test_the_type_scale_rises() -> None:
    sizes = [getattr(theme.LIGHT, name) for name in ("caption", "body", "title", "heading", "display")]
    assert sizes == sorted(set(sizes))
    assert {field.name for field in dataclasses.fields(theme.LIGHT)} >= {"xs", "s", "m", "l", "xl", "xxl"}


def test_small_widgets_say_what_they_are(qtbot: QtBot, qapp: Any) -> None:
    theme.apply(qapp, "light")
    button = Button("Open folder", "folder", tip="Choose a folder.")
    small = IconButton("close", "Dismiss")
    figure = Stat("Robust accuracy")
    empty = EmptyState("table", "No runs yet", "Train something.", [button])
    for widget in (small, figure, empty):
        qtbot.addWidget(widget)
    assert (button.objectName(), button.accessibleName()) == ("openFolderButton", "Open folder")
    assert small.accessibleName() == small.toolTip() == "Dismiss"
    figure.set_value("61.2 %", "58.1 – 64.2")
    assert (figure.value.text(), figure.note.text()) == ("61.2 %", "58.1 – 64.2")
    assert button.window() is empty


def test_a_banner_shows_folds_copies_acts_and_goes(qtbot: QtBot, qapp: Any) -> None:
    theme.apply(qapp, "light")
    done: list[int] = []
    banner = Banner("error", "It broke.", "Traceback: …", [("Try again", lambda: done.append(1))])
    qtbot.addWidget(banner)
    banner.show()
    assert (banner.level, banner.message) == ("error", "It broke.")
    assert banner.details_box.isHidden()
    banner.details_button.click()
    assert banner.details_box.isVisible()
    copy = banner.findChild(Button, "bannerCopy")
    assert copy is not None
    copy.click()
    assert qapp.clipboard().text() == "It broke.\n\nTraceback: …"
    action = banner.findChild(Button, "bannerAction0")
    assert action is not None
    action.click()
    assert done == [1]
    with qtbot.waitSignal(banner.dismissed):
        banner.close_button.click()
    assert banner.isHidden()
    banner.show_message("info", "Fine again.")
    assert banner.isVisible()
    assert banner.details_button.isHidden()
    banner.clear()
    assert banner.isHidden()
