"""The plot as a PDF of lines and letters, for papers: it can be scaled, and its text be searched."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final

from advclip_gui.engine.experiments.plot import LIGHT, WIDTH, draw_plot, plot_height, spoken

if TYPE_CHECKING:
    from collections.abc import Sequence

    from advclip_gui.engine.experiments.figures import Figures
    from advclip_gui.engine.experiments.plot import Anchor, Palette, Point

_TEXT: Final = 12
_SCALE: Final = 0.6
"""Points for one unit of the plot: 860 are the 7.2 inches of a page's text."""
_WIDTHS: Final = (
    "278 278 355 556 556 889 667 191 333 333 389 584 278 333 278 278 556 556 556 556 556 556 556 556 "
    "556 556 278 278 584 584 584 556 1015 667 667 722 722 667 611 778 722 278 500 667 556 833 722 778 "
    "667 778 722 667 611 722 667 944 667 667 611 278 278 278 469 556 333 556 556 500 556 556 278 556 "
    "556 222 222 500 222 833 556 556 556 556 333 500 278 556 500 722 500 500 500 334 260 334 584"
).split()
"""Advance widths of Helvetica's printable ASCII letters, in thousandths, as every PDF reader has them."""


class _Pdf:
    """Draws into a page's content."""

    def __init__(self, height: int, palette: Palette) -> None:
        self._height = height
        self._parts: list[str] = [f"{_SCALE} 0 0 {_SCALE} 0 0 cm"]
        self.mark([(0, 0), (WIDTH, 0), (WIDTH, height), (0, height)], palette.ground, "")

    def _at(self, point: Point) -> str:
        return f"{point[0]:.2f} {self._height - point[1]:.2f}"

    def line(self, points: Sequence[Point], colour: str, width: float, dash: tuple[int, int] | None) -> None:
        path = " ".join(f"{self._at(point)} {'l' if place else 'm'}" for place, point in enumerate(points))
        dashes = f"[{dash[0]} {dash[1]}]" if dash else "[]"
        self._parts.append(f"{_rgb(colour)} RG {width} w {dashes} 0 d {path} S")

    def mark(self, points: Sequence[Point], colour: str, told: str) -> None:
        path = " ".join(f"{self._at(point)} {'l' if place else 'm'}" for place, point in enumerate(points))
        self._parts.append(f"{_rgb(colour)} rg {path} f")

    def text(self, at: Point, words: str, colour: str, anchor: Anchor, bold: bool) -> None:
        share = {"start": 0.0, "middle": 0.5, "end": 1.0}[anchor]
        place = (at[0] - share * _width(words), at[1])
        font = f"/{'B' if bold else 'R'} {_TEXT} Tf"
        self._parts.append(f"BT {font} {_rgb(colour)} rg {self._at(place)} Td ({_letters(words)}) Tj ET")

    def done(self, title: str) -> bytes:
        content = zlib.compress("\n".join(self._parts).encode("latin-1"))
        size = f"{WIDTH * _SCALE:.2f} {self._height * _SCALE:.2f}"
        fonts = "<< /R 4 0 R /B 5 0 R >>"
        objects = [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {size}] /Contents 6 0 R "
            f"/Resources << /Font {fonts} >> >>".encode("ascii"),
            _font("Helvetica"),
            _font("Helvetica-Bold"),
            f"<< /Length {len(content)} /Filter /FlateDecode >>\nstream\n".encode("ascii")
            + content
            + b"\nendstream",
            f"<< /Title ({_letters(title)}) >>".encode("latin-1"),
        ]
        return _file(objects)


def plot_pdf(figures: Figures, palette: Palette = LIGHT) -> bytes:
    """Draw the plot as a page of PDF.

    Its letters are those of Windows-1252; others of a folder's name become question marks.
    """
    canvas = _Pdf(plot_height(figures), palette)
    draw_plot(figures, palette, canvas)
    return canvas.done(spoken(figures))


def _file(objects: Sequence[bytes]) -> bytes:
    """Put objects one after the other, and say at the end where each begins."""
    out = bytearray(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
    places = []
    for number, content in enumerate(objects, start=1):
        places.append(len(out))
        out += f"{number} 0 obj\n".encode("ascii") + content + b"\nendobj\n"
    start = len(out)
    out += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode("ascii")
    for place in places:
        out += f"{place:010d} 00000 n \n".encode("ascii")
    ends = f"<< /Size {len(objects) + 1} /Root 1 0 R /Info {len(objects)} 0 R >>"
    out += f"trailer\n{ends}\nstartxref\n{start}\n%%EOF\n".encode("ascii")
    return bytes(out)


def _font(name: str) -> bytes:
    kind = f"<< /Type /Font /Subtype /Type1 /BaseFont /{name} /Encoding /WinAnsiEncoding >>"
    return kind.encode("ascii")


def _letters(words: str) -> str:
    """As a PDF string holds them, one byte a letter."""
    plain = words.encode("cp1252", "replace").decode("latin-1")
    return plain.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)").replace("\n", " ")


def _width(words: str) -> float:
    """In units of the plot."""
    known = (ord(letter) - 32 for letter in words)
    return sum(int(_WIDTHS[place]) if 0 <= place < len(_WIDTHS) else 556 for place in known) * _TEXT / 1000


def _rgb(colour: str) -> str:
    return " ".join(f"{int(colour[place : place + 2], 16) / 255:.3f}" for place in (1, 3, 5))
