"""Accuracy over shots, clean and robust side by side, as SVG or PNG; nothing of a window is needed."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import TYPE_CHECKING, Final, Literal, Protocol

from PIL import Image, ImageDraw, ImageFont

from advclip_gui.engine.experiments.definition import METHODS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from advclip_gui.engine.experiments.definition import Method
    from advclip_gui.engine.experiments.figures import Figures, Row, Spread

WIDTH: Final = 860
_PANEL, _TOP, _LEFT, _RIGHT, _BOTTOM, _GAP = 268, 44, 58, 16, 50, 56
_TEXT, _SCALE = 12, 3
Anchor = Literal["start", "middle", "end"]
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Palette:
    """Colours; those of the methods are told apart by colour-blind people too."""

    ground: str = "#ffffff"
    text: str = "#1b2027"
    muted: str = "#586271"
    grid: str = "#e3e6eb"
    zero_shot: str = "#6b7480"
    clip_lora: str = "#b45f00"
    advclip_lora: str = "#0072b2"

    def of(self, method: Method) -> str:
        """The colour of a method's line."""
        return str(getattr(self, method.replace("-", "_")))


LIGHT: Final = Palette()
DARK: Final = Palette(
    "#1b1f26", "#e7eaef", "#9ca6b4", "#2d343f", "#98a2b0", "#f0a04a", "#56b4e9"
)  # fmt: skip
_DASHES: Final[dict[Method, tuple[int, int] | None]] = {
    "zero-shot": (6, 4),
    "clip-lora": None,
    "advclip-lora": None,
}


class Canvas(Protocol):
    """What the plot is drawn with; y counts downwards."""

    def line(self, points: Sequence[Point], colour: str, width: float, dash: tuple[int, int] | None) -> None:
        """Connect points."""

    def mark(self, points: Sequence[Point], colour: str, told: str) -> None:
        """Fill a polygon; `told` is its tooltip, where there are any."""

    def text(self, at: Point, words: str, colour: str, anchor: Anchor, bold: bool) -> None:
        """Write, with the anchor's end of the base line at a point."""


class _Svg:
    """Draws into SVG."""

    def __init__(self, height: int, palette: Palette, told: str) -> None:
        self._pieces = [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
            f'viewBox="0 0 {WIDTH} {height}" role="img" font-family="sans-serif" font-size="{_TEXT}">',
            f"<title>{escape(told)}</title>",
            f'<rect width="{WIDTH}" height="{height}" fill="{palette.ground}"/>',
        ]

    def line(self, points: Sequence[Point], colour: str, width: float, dash: tuple[int, int] | None) -> None:
        dashes = f' stroke-dasharray="{dash[0]} {dash[1]}"' if dash else ""
        style = f'fill="none" stroke="{colour}" stroke-width="{width}"{dashes}'
        self._pieces.append(f'<polyline points="{_join(points)}" {style}/>')

    def mark(self, points: Sequence[Point], colour: str, told: str) -> None:
        title = f"<title>{escape(told)}</title>" if told else ""
        self._pieces.append(f'<polygon points="{_join(points)}" fill="{colour}">{title}</polygon>')

    def text(self, at: Point, words: str, colour: str, anchor: Anchor, bold: bool) -> None:
        weight = ' font-weight="bold"' if bold else ""
        self._pieces.append(
            f'<text x="{at[0]:.1f}" y="{at[1]:.1f}" fill="{colour}" text-anchor="{anchor}"{weight}>'
            f"{escape(words)}</text>"
        )

    def done(self) -> str:
        return "\n".join([*self._pieces, "</svg>"]) + "\n"


class _Png:
    """Draws into pixels, larger and smoothed when done."""

    _OVER: Final = 2

    def __init__(self, height: int, palette: Palette) -> None:
        self._factor = _SCALE * self._OVER
        self._size = (WIDTH * _SCALE, height * _SCALE)
        self._image = Image.new("RGB", (WIDTH * self._factor, height * self._factor), palette.ground)
        self._draw = ImageDraw.Draw(self._image)
        self._font = ImageFont.load_default(_TEXT * self._factor)

    def _at(self, points: Sequence[Point]) -> list[Point]:
        return [(x * self._factor, y * self._factor) for x, y in points]

    def line(self, points: Sequence[Point], colour: str, width: float, dash: tuple[int, int] | None) -> None:
        stroke = max(1, round(width * self._factor))
        for part in _dashed(points, dash) if dash else [points]:
            self._draw.line(self._at(part), fill=colour, width=stroke, joint="curve")

    def mark(self, points: Sequence[Point], colour: str, told: str) -> None:
        self._draw.polygon(self._at(points), fill=colour)

    def text(self, at: Point, words: str, colour: str, anchor: Anchor, bold: bool) -> None:
        x, y = self._at([at])[0]
        place = {"start": "ls", "middle": "ms", "end": "rs"}[anchor]
        stroke = self._factor // 5 if bold else 0
        self._draw.text(
            (x, y), words, fill=colour, font=self._font, anchor=place, stroke_width=stroke, stroke_fill=colour
        )

    def done(self) -> bytes:
        out = io.BytesIO()
        smooth = self._image.resize(self._size, Image.Resampling.LANCZOS)
        smooth.save(out, "PNG", dpi=(96 * _SCALE, 96 * _SCALE))
        return out.getvalue()


def plot_svg(figures: Figures, palette: Palette = LIGHT) -> str:
    """Draw the plot as SVG; every point carries its figure as a title."""
    canvas = _Svg(plot_height(figures), palette, spoken(figures))
    draw_plot(figures, palette, canvas)
    return canvas.done()


def plot_png(figures: Figures, palette: Palette = LIGHT) -> bytes:
    """Draw the plot as PNG, three pixels for one of the SVG."""
    canvas = _Png(plot_height(figures), palette)
    draw_plot(figures, palette, canvas)
    return canvas.done()


def plot_height(figures: Figures) -> int:
    """Of the drawing, which is `WIDTH` wide."""
    return _TOP + _PANEL * max(1, len(figures.test_sets))


def draw_plot(figures: Figures, palette: Palette, canvas: Canvas) -> None:
    """Draw legend and panels."""
    _Plot(figures, palette, canvas).draw()


class _Plot:
    """Where things are: a row of panels for each test set, clean left and robust right."""

    def __init__(self, figures: Figures, palette: Palette, canvas: Canvas) -> None:
        self._figures, self._palette, self._canvas = figures, palette, canvas
        self._methods = tuple(dict.fromkeys(row.method for row in figures.rows))
        self._shots = sorted({row.shots for row in figures.rows if row.shots is not None}) or [1]

    def draw(self) -> None:
        """Legend, then panel after panel."""
        self._legend()
        for number, test_set in enumerate(self._figures.test_sets):
            for column, part in enumerate(("clean", "robust")):
                _Panel(self, test_set, part, _TOP + number * _PANEL, column).draw()

    def _legend(self) -> None:
        x = float(_LEFT)
        for method in self._methods:
            colour = self._palette.of(method)
            self._canvas.line([(x, 18), (x + 28, 18)], colour, 2, _DASHES[method])
            if method != "zero-shot":
                self._canvas.mark(_shape(method, x + 14, 18), colour, "")
            self._canvas.text((x + 36, 22), METHODS[method], self._palette.text, "start", False)
            x += 60 + 7.2 * len(METHODS[method])

    @property
    def parts(self) -> tuple[Figures, Palette, Canvas, list[int], tuple[Method, ...]]:
        """What a panel needs of it."""
        return self._figures, self._palette, self._canvas, self._shots, self._methods


class _Panel:
    """One pair of axes."""

    def __init__(self, plot: _Plot, test_set: str, part: str, top: int, column: int) -> None:
        self._figures, self._palette, self._canvas, self._shots, self._methods = plot.parts
        self._test_set, self._part = test_set, part
        width = (WIDTH - _LEFT - _RIGHT - _GAP) / 2
        self._left = _LEFT + column * (width + _GAP)
        self._width = width
        self._top, self._bottom = top + 26, top + _PANEL - _BOTTOM
        self._low, self._high = self._range()

    def _range(self) -> tuple[float, float]:
        """Axis ends in shares: tens of per cent around what is shown, at least twenty apart."""
        ends = []
        for row in self._figures.rows:
            spread = self._spread(row)
            if row.test_set == self._test_set and spread.mean is not None:
                off = spread.deviation or 0.0
                ends += [spread.mean - off, spread.mean + off]
        if not ends:
            return 0.0, 1.0
        low = max(0.0, math.floor(10 * min(ends) - 0.2) / 10)
        high = min(1.0, max(low + 0.2, math.ceil(10 * max(ends) + 0.2) / 10))
        return min(low, round(high - 0.2, 1)), high

    def draw(self) -> None:
        """Axes first, lines on top."""
        self._axes()
        for method in self._methods:
            rows = self._figures.rows_of(self._test_set, method)
            if method == "zero-shot":
                self._level(rows)
            else:
                self._line(method, rows)

    def _spread(self, row: Row) -> Spread:
        return row.clean if self._part == "clean" else row.robust

    def _x(self, shots: int) -> float:
        """A logarithmic axis to base 2."""
        first, last = math.log2(self._shots[0]), math.log2(self._shots[-1])
        share = (math.log2(shots) - first) / (last - first) if last > first else 0.5
        return self._left + 14 + share * (self._width - 28)

    def _y(self, share: float) -> float:
        inside = min(max(share, self._low), self._high)
        height = self._bottom - self._top
        return self._bottom - (inside - self._low) / (self._high - self._low) * height

    def _axes(self) -> None:
        palette, canvas = self._palette, self._canvas
        canvas.text(
            (self._left, self._top - 10),
            f"{self._test_set}: {self._part} accuracy",
            palette.text,
            "start",
            True,
        )
        span = self._high - self._low
        step = 0.05 if span <= 0.31 else 0.1 if span <= 0.61 else 0.2
        value = self._low
        while value <= self._high + 1e-9:
            y = self._y(value)
            canvas.line([(self._left, y), (self._left + self._width, y)], palette.grid, 1, None)
            canvas.text((self._left - 8, y + 4), f"{100 * value:.0f} %", palette.muted, "end", False)
            value += step
        taken = -math.inf
        for shots in self._shots:
            x = self._x(shots)
            canvas.line([(x, self._bottom), (x, self._bottom + 5)], palette.muted, 1, None)
            if x - taken >= 22:
                canvas.text((x, self._bottom + 18), str(shots), palette.muted, "middle", False)
                taken = x
        middle = self._left + self._width / 2
        canvas.text((middle, self._bottom + 36), "Shots per class", palette.muted, "middle", False)

    def _level(self, rows: Sequence[Row]) -> None:
        for row in rows:
            mean = self._spread(row).mean
            if mean is not None:
                y, colour = self._y(mean), self._palette.of(row.method)
                ends = [(self._left, y), (self._left + self._width, y)]
                self._canvas.line(ends, colour, 2, _DASHES[row.method])

    def _line(self, method: Method, rows: Sequence[Row]) -> None:
        colour, canvas = self._palette.of(method), self._canvas
        # Lines side by side: deviations of two methods at the same shots must not hide each other.
        off = 3 * (self._methods.index(method) - (len(self._methods) - 1) / 2)
        points, told = [], []
        for row in rows:
            spread = self._spread(row)
            if row.shots is None or spread.mean is None:
                continue
            x, y = self._x(row.shots) + off, self._y(spread.mean)
            points.append((x, y))
            told.append(f"{row.title}, {row.shots} shots: {spread.text()} % ({row.seeds} of {row.of} seeds)")
            if spread.deviation is not None:
                top, bottom = (self._y(spread.mean + sign * spread.deviation) for sign in (1, -1))
                canvas.line([(x, top), (x, bottom)], colour, 1.5, None)
                for end in (top, bottom):
                    canvas.line([(x - 4, end), (x + 4, end)], colour, 1.5, None)
        if len(points) > 1:
            canvas.line(points, colour, 2, None)
        for (x, y), words in zip(points, told, strict=True):
            canvas.mark(_shape(method, x, y), colour, words)


def _shape(method: Method, x: float, y: float) -> list[Point]:
    """A square for CLIP-LoRA, a circle of many corners for AdvCLIP-LoRA."""
    if method == "clip-lora":
        return [(x - 4.5, y - 4.5), (x + 4.5, y - 4.5), (x + 4.5, y + 4.5), (x - 4.5, y + 4.5)]
    angles = (math.tau * corner / 24 for corner in range(24))
    return [(x + 5 * math.cos(angle), y + 5 * math.sin(angle)) for angle in angles]


def _join(points: Sequence[Point]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _dashed(points: Sequence[Point], dash: tuple[int, int]) -> list[list[Point]]:
    """Cut straight lines into dashes."""
    parts: list[list[Point]] = []
    for (x0, y0), (x1, y1) in pairwise(points):
        length, at = math.hypot(x1 - x0, y1 - y0), 0.0
        while at < length:
            ends = (at / length, min(at + dash[0], length) / length)
            parts.append([(x0 + share * (x1 - x0), y0 + share * (y1 - y0)) for share in ends])
            at += sum(dash)
    return parts


def spoken(figures: Figures) -> str:
    """The plot in words."""
    return f"{figures.title}: accuracy over shots. " + "; ".join(
        f"{row.test_set}, {row.title}, {row.shots or 0} shots: clean {row.clean.text()} %, "
        f"robust {row.robust.text()} %"
        for row in figures.rows
    )
