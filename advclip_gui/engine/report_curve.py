"""The robustness curve of a report as inline SVG: every model with its intervals, no script."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

from advclip_gui.engine.report_text import is_baseline, level_text, norm_text, with_interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from advclip_gui.engine.evaluation_result import Evaluation

WIDTH: Final = 860
HEIGHT: Final = 380
_LEFT, _RIGHT, _BOTTOM, _LINE = 58, 20, 52, 20
_SERIES: Final = 7
_CHARACTER: Final = 7.2
"""Width that the legend allows for one character, in units of the drawing."""


def curve_svg(evaluations: Sequence[Evaluation]) -> str:
    """Draw accuracy over epsilon, from the clean accuracy at 0 on.

    Models are told apart by colour, by dashes (zero-shot) and by the shape of their points, each of
    which carries its exact figure as a title. Colours come from the page's style sheet.

    Args:
        evaluations: at least one.
    """
    return _Curve(evaluations).draw()


class _Curve:
    """Where things are, and the pieces drawn so far."""

    def __init__(self, evaluations: Sequence[Evaluation]) -> None:
        self.evaluations = evaluations
        self.norm = evaluations[0].norm
        self.points = [
            [
                (0.0, one.clean_accuracy, *one.clean_interval),
                *((r.epsilon, r.robust_accuracy, *r.interval) for r in one.epsilons if r.epsilon > 0),
            ]
            for one in evaluations
        ]
        self.largest = max((point[0] for line in self.points for point in line), default=0.0) or 1 / 255
        self.legend = self._legend_places()
        self.top = 14 + _LINE * (1 + max(row for _, row in self.legend))
        self.pieces: list[str] = []

    def draw(self) -> str:
        """The whole figure."""
        self._grid()
        roles = self._roles()
        for role, line in zip(roles, self.points, strict=True):
            upper = [self._place(point[0], point[3]) for point in line]
            lower = [self._place(point[0], point[2]) for point in line]
            self.pieces.append(f'<polygon class="band {role}" points="{_join([*upper, *reversed(lower)])}"/>')
        # A dashed line over one it coincides with leaves both to be seen.
        for index, role in sorted(enumerate(roles), key=lambda line: line[1] == "baseline"):
            self._line(index, role)
        self._legend(roles)
        spoken = escape("; ".join(self._spoken(index) for index in range(len(self.points))))
        return (
            f'<svg class="curve" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{spoken}">'
            + "".join(self.pieces)
            + "</svg>"
        )

    def _roles(self) -> list[str]:
        roles, used = [], 0
        for one in self.evaluations:
            baseline = is_baseline(one)
            roles.append("baseline" if baseline else f"s{used % _SERIES}")
            used += not baseline
        return roles

    def _place(self, epsilon: float, share: float) -> tuple[float, float]:
        width = WIDTH - _LEFT - _RIGHT - 16
        return (
            _LEFT + 8 + epsilon / self.largest * width,
            HEIGHT - _BOTTOM - share * (HEIGHT - _BOTTOM - self.top),
        )

    def _legend_places(self) -> list[tuple[float, int]]:
        """Left edge and row of each model, as many in a row as fit."""
        places, x, row = [], float(_LEFT + 8), 0
        for one in self.evaluations:
            width = 44 + _CHARACTER * len(one.model)
            if x > _LEFT + 8 and x + width > WIDTH - _RIGHT:
                x, row = float(_LEFT + 8), row + 1
            places.append((x, row))
            x += width + 16
        return places

    def _grid(self) -> None:
        for step in range(0, 101, 20):
            _, y = self._place(0, step / 100)
            self._text(_LEFT - 8, y + 4, f"{step} %", "end")
            self.pieces.append(f'<path class="grid" d="M{_LEFT} {y:.1f}H{WIDTH - _RIGHT}"/>')
        taken = -100.0
        for epsilon in sorted({point[0] for line in self.points for point in line}):
            x, _ = self._place(epsilon, 0)
            self.pieces.append(f'<path class="grid" d="M{x:.1f} {self.top}V{HEIGHT - _BOTTOM}"/>')
            words = level_text(epsilon, self.norm)
            half = _CHARACTER * len(words) / 2
            if x - half >= taken + 4:
                taken = x + half
                self._text(x, HEIGHT - _BOTTOM + 18, words, "middle")
        middle = (_LEFT + WIDTH - _RIGHT) / 2
        self._text(middle, HEIGHT - 10, f"Epsilon ({norm_text(self.norm)})", "middle")

    def _line(self, index: int, role: str) -> None:
        line = self.points[index]
        path = _join([self._place(point[0], point[1]) for point in line])
        self.pieces.append(f'<polyline class="line {role}" points="{path}"/>')
        for epsilon, share, low, high in line:
            x, y = self._place(epsilon, share)
            bottom, top = self._place(epsilon, low)[1], self._place(epsilon, high)[1]
            words = f"{self.evaluations[index].model}, {level_text(epsilon, self.norm)}: "
            words += with_interval(share, (low, high))
            self.pieces.append(
                f'<g class="point {role}"><title>{escape(words)}</title>'
                f'<path class="whisker" d="M{x:.1f} {bottom:.1f}V{top:.1f}'
                f'M{x - 4:.1f} {bottom:.1f}h8M{x - 4:.1f} {top:.1f}h8"/>{_mark(x, y, index)}</g>'
            )

    def _legend(self, roles: Sequence[str]) -> None:
        for index, ((x, row), role) in enumerate(zip(self.legend, roles, strict=True)):
            y = 14 + _LINE * row
            self.pieces.append(
                f'<path class="line {role}" d="M{x:.1f} {y}h28"/>'
                f'<g class="point {role}">{_mark(x + 14, y, index)}</g>'
            )
            self._text(x + 36, y + 4, self.evaluations[index].model, "start", "name")

    def _text(self, x: float, y: float, words: str, anchor: str, kind: str = "tick") -> None:
        self.pieces.append(
            f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'
        )

    def _spoken(self, index: int) -> str:
        figures = ", ".join(
            f"{level_text(epsilon, self.norm)} {with_interval(share, (low, high))}"
            for epsilon, share, low, high in self.points[index]
        )
        return f"{self.evaluations[index].model}: {figures}"


def _join(places: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)


def _mark(x: float, y: float, index: int) -> str:
    """A circle, square, triangle or diamond around a place."""
    kind = index % 4
    if kind == 0:
        return f'<circle class="mark" cx="{x:.1f}" cy="{y:.1f}" r="4.5"/>'
    if kind == 1:
        return f'<rect class="mark" x="{x - 4.5:.1f}" y="{y - 4.5:.1f}" width="9" height="9"/>'
    corners = [(x, y - 5.5), (x + 5.5, y + 4.5), (x - 5.5, y + 4.5)]
    if kind == 3:
        corners = [(x, y - 6), (x + 6, y), (x, y + 6), (x - 6, y)]
    return f'<polygon class="mark" points="{_join(corners)}"/>'
