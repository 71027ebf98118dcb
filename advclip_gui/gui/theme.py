"""The tokens: spacing, type scale, colours for light and dark; no colour or size is written elsewhere."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, NamedTuple, cast

from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtGui import QColor, QFont, QFontDatabase, QIcon, QPalette
from PySide6.QtWidgets import QApplication

from advclip_gui.gui.glyphs import glyph_icon
from advclip_gui.gui.stylesheet import build_stylesheet

Mode = Literal["system", "light", "dark"]


class Series(NamedTuple):
    """Line colours, derived from Okabe and Ito's colour-blind-safe set; the first four have a meaning."""

    clean: str
    robust: str
    adversarial: str
    baseline: str
    violet: str
    amber: str
    rose: str
    sky: str


@dataclass(frozen=True)
class Theme:
    """Every size and colour of the window. Lengths in device-independent pixels, type in points."""

    dark: bool
    window: str
    surface: str
    surface_raised: str
    sunken: str
    border: str
    border_strong: str
    text: str
    text_muted: str
    text_disabled: str
    accent: str
    accent_hover: str
    accent_soft: str
    accent_text: str
    good: str
    bad: str
    warning: str
    info: str
    good_soft: str
    bad_soft: str
    warning_soft: str
    info_soft: str
    plot_grid: str
    series: Series
    xs: int = 4
    s: int = 8
    m: int = 12
    l: int = 16  # noqa: E741 (a step of the scale: xs s m l xl xxl)
    xl: int = 24
    xxl: int = 32
    radius: int = 8
    radius_small: int = 6
    control_height: int = 30
    icon: int = 18
    rail_width: int = 84
    line: float = 2.0
    caption: float = 8.5
    body: float = 9.5
    title: float = 11.0
    heading: float = 15.0
    display: float = 22.0
    families: tuple[str, ...] = ()
    mono_families: tuple[str, ...] = ()

    def colour(self, role: str) -> str:
        """Return ``#rrggbb`` of a colour token or of a named series."""
        value = getattr(self.series, role, None) or getattr(self, role)
        return cast("str", value)

    def qcolor(self, role: str, alpha: float = 1.0) -> QColor:
        """Return a token as a `QColor` with an opacity in [0, 1]."""
        colour = QColor(self.colour(role))
        colour.setAlphaF(alpha)
        return colour

    def font(self, size: float | None = None, *, weight: QFont.Weight = QFont.Weight.Normal) -> QFont:
        """Return the interface font at a size of the type scale (default: body)."""
        font = QFont()
        if self.families:
            font.setFamilies(list(self.families))
        font.setPointSizeF(size or self.body)
        font.setWeight(weight)
        return font

    def mono_font(self, size: float | None = None) -> QFont:
        """Return the fixed-pitch font for logs, snippets and paths."""
        font = QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont)
        if self.mono_families:
            font.setFamilies(list(self.mono_families))
        font.setPointSizeF(size or self.body)
        return font


LIGHT = Theme(
    dark=False,
    window="#f3f4f6",
    surface="#ffffff",
    surface_raised="#ffffff",
    sunken="#eceef2",
    border="#dcdfe5",
    border_strong="#bcc3cd",
    text="#1b2027",
    text_muted="#586271",
    text_disabled="#98a0ac",
    accent="#1f5fc4",
    accent_hover="#174fa8",
    accent_soft="#e3ecfa",
    accent_text="#ffffff",
    good="#0b6e4a",
    bad="#b3261e",
    warning="#855700",
    info="#1f5fc4",
    good_soft="#e2f3ec",
    bad_soft="#fbe9e7",
    warning_soft="#fbf1dc",
    info_soft="#e6eefa",
    plot_grid="#e3e6eb",
    series=Series(
        clean="#0072b2",
        robust="#007a5a",
        adversarial="#c04f00",
        baseline="#6b7480",
        violet="#8a4f9e",
        amber="#9a6a00",
        rose="#b5477c",
        sky="#2a86b8",
    ),
)

DARK = Theme(
    dark=True,
    window="#14171c",
    surface="#1b1f26",
    surface_raised="#242a33",
    sunken="#101318",
    border="#2d343f",
    border_strong="#465060",
    text="#e7eaef",
    text_muted="#9ca6b4",
    text_disabled="#636d7b",
    accent="#6ea8fe",
    accent_hover="#8cbaff",
    accent_soft="#1f2d45",
    accent_text="#0c1626",
    good="#4cc795",
    bad="#ff8f85",
    warning="#efb64e",
    info="#7fb3ff",
    good_soft="#16302a",
    bad_soft="#3a2123",
    warning_soft="#352a17",
    info_soft="#1c2a40",
    plot_grid="#2a303a",
    series=Series(
        clean="#56b4e9",
        robust="#2fc79b",
        adversarial="#f08c3a",
        baseline="#8d97a5",
        violet="#c79be0",
        amber="#e8b93c",
        rose="#e58fb8",
        sky="#9ccdf0",
    ),
)


class ThemeSignals(QObject):
    """Tells painted widgets (plots, images) that the tokens have changed."""

    changed = Signal()


class _Manager(QObject):
    """Keeps the theme of one QApplication; a child of it, so that nothing outlives it."""

    def __init__(self, app: QApplication) -> None:
        super().__init__(app)
        self.setObjectName("themeManager")
        self.signals = ThemeSignals(self)
        self.mode: Mode = "system"
        self.theme = _sized(LIGHT)
        app.styleHints().colorSchemeChanged.connect(self._system_changed)

    def _system_changed(self, _scheme: Qt.ColorScheme) -> None:
        if self.mode == "system":
            self.use("system")

    def use(self, mode: Mode) -> None:
        """Switch palette, font and style sheet."""
        app = cast("QApplication", self.parent())
        hints = app.styleHints()
        self.mode = mode
        if hasattr(hints, "setColorScheme"):
            schemes = {
                "light": Qt.ColorScheme.Light,
                "dark": Qt.ColorScheme.Dark,
                "system": Qt.ColorScheme.Unknown,
            }
            hints.setColorScheme(schemes[mode])
        dark = mode == "dark" or (mode == "system" and hints.colorScheme() == Qt.ColorScheme.Dark)
        self.theme = _sized(DARK if dark else LIGHT)
        app.setStyle("Fusion")
        app.setFont(self.theme.font())
        app.setPalette(_palette(self.theme))
        app.setStyleSheet(build_stylesheet(self.theme))
        self.signals.changed.emit()


def _manager(app: QApplication) -> _Manager:
    found = app.findChild(_Manager, "themeManager", Qt.FindChildOption.FindDirectChildrenOnly)
    return found if found is not None else _Manager(app)


def apply(app: QApplication, mode: Mode = "system") -> Theme:
    """Give the application its look; "system" follows the desktop's light or dark scheme, also later."""
    manager = _manager(app)
    manager.use(mode)
    return manager.theme


def current() -> Theme:
    """Return the theme in use (the light one before there is an application)."""
    app = QApplication.instance()
    return _manager(app).theme if isinstance(app, QApplication) else LIGHT


def mode() -> Mode:
    """Return what the user chose: "system", "light" or "dark"."""
    app = QApplication.instance()
    return _manager(app).mode if isinstance(app, QApplication) else "system"


def signals() -> ThemeSignals:
    """Return the object whose `changed` is emitted after a switch.

    Raises:
        RuntimeError: there is no QApplication yet.
    """
    app = QApplication.instance()
    if not isinstance(app, QApplication):
        raise RuntimeError("The theme's signals need a QApplication.")
    return _manager(app).signals


def stylesheet() -> str:
    """Return the style sheet of the theme in use."""
    return build_stylesheet(current())


def icon(name: str, role: str = "text") -> QIcon:
    """Return a Material Design glyph, e.g. ``icon("play", "accent")``, which follows the theme by itself."""
    return glyph_icon(name, partial(_icon_colour, role))


def _icon_colour(role: str, disabled: bool) -> QColor:
    return QColor(current().colour("text_disabled" if disabled else role))


def _sized(theme: Theme) -> Theme:
    """Choose fonts and scale points: macOS counts 72 of them to the inch, the others 96."""
    available = set(QFontDatabase.families())
    system = QFontDatabase.systemFont(QFontDatabase.SystemFont.GeneralFont).family()
    wanted = (
        "Inter",
        "Segoe UI",
        "Cantarell",
        "Ubuntu",
        "Noto Sans",
        "Open Sans",
        "Liberation Sans",
        "DejaVu Sans",
    )
    plain = system in ("Sans Serif", "Sans", "DejaVu Sans", "") and sys.platform not in ("win32", "darwin")
    families = tuple(name for name in wanted if name in available) if plain else (system,)
    mono_wanted = ("JetBrains Mono", "Cascadia Mono", "SF Mono", "Menlo", "Ubuntu Mono", "Noto Sans Mono")
    mono = tuple(name for name in (*mono_wanted, "DejaVu Sans Mono") if name in available)
    # DejaVu and Verdana draw wider and larger letters than other fonts of the same size.
    factor = (4 / 3 if sys.platform == "darwin" else 1.0) * (
        0.95 if families[:1] == ("DejaVu Sans",) else 1.0
    )
    sizes = {
        name: getattr(theme, name) * factor for name in ("caption", "body", "title", "heading", "display")
    }
    return replace(theme, families=families, mono_families=mono, **sizes)


def _palette(theme: Theme) -> QPalette:
    palette = QPalette()
    role = QPalette.ColorRole
    colours = {
        role.Window: theme.window,
        role.WindowText: theme.text,
        role.Base: theme.surface,
        role.AlternateBase: theme.sunken,
        role.Text: theme.text,
        role.PlaceholderText: theme.text_muted,
        role.Button: theme.surface,
        role.ButtonText: theme.text,
        role.BrightText: theme.bad,
        role.ToolTipBase: theme.surface_raised,
        role.ToolTipText: theme.text,
        role.Highlight: theme.accent,
        role.HighlightedText: theme.accent_text,
        role.Link: theme.accent,
        role.LinkVisited: theme.accent,
        role.Accent: theme.accent,
        role.Light: theme.surface_raised,
        role.Midlight: theme.sunken,
        role.Mid: theme.border,
        role.Dark: theme.border_strong,
        role.Shadow: theme.border_strong,
    }
    for key, value in colours.items():
        palette.setColor(key, QColor(value))
    for key in (role.WindowText, role.Text, role.ButtonText):
        palette.setColor(QPalette.ColorGroup.Disabled, key, QColor(theme.text_disabled))
    palette.setColor(QPalette.ColorGroup.Disabled, role.Highlight, QColor(theme.border))
    return palette
