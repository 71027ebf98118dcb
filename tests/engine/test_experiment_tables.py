"""Tables and plot of an experiment: all forms say the same, and what is missing is to be seen."""

from __future__ import annotations

import csv
import html
import io
import math
import re
import statistics
import xml.etree.ElementTree as ElementTree
import zlib
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from advclip_gui.engine.errors import SettingsError
from advclip_gui.engine.experiments.definition import ExperimentSettings
from advclip_gui.engine.experiments.figures import AVERAGE, HARMONIC, Figures, Row, Spread, read_figures
from advclip_gui.engine.experiments.folder import ExperimentFolder
from advclip_gui.engine.experiments.plot import DARK, plot_png, plot_svg
from advclip_gui.engine.experiments.plot_pdf import plot_pdf
from advclip_gui.engine.experiments.tables import (
    SUFFIXES,
    as_csv,
    as_json,
    as_latex,
    as_markdown,
    in_latex,
    save_all,
    save_figures,
)

if TYPE_CHECKING:
    from pathlib import Path


def row(method: Any, shots: int | None, clean: list[float], robust: list[float], of: int = 3) -> Row:
    return Row("50% & \"more\"_x", method, shots, len(clean), of, 100 if clean else None,
               Spread.of(clean), Spread.of(robust))  # fmt: skip


@pytest.fixture
def figures() -> Figures:
    return Figures(
        title="A_b & c | d",
        rows=(
            row("zero-shot", None, [0.61234], [0.01], 1),
            row("clip-lora", 1, [0.70, 0.72, 0.77], [0.10, 0.11, 0.15]),
            row("clip-lora", 16, [], []),
            row("advclip-lora", 1, [0.66666, 0.68], [0.4, 0.5]),
            row("advclip-lora", 16, [0.8], [0.55]),
        ),
        notes=("Robust: 50 % of L∞ ± 1.",),
        done=7,
        failed={"CLIP-LoRA, 16 shots, seed 1": "Out of\nmemory."},
        total=13,
    )


def test_mean_and_sample_deviation() -> None:
    values = [0.70, 0.72, 0.77]
    spread = Spread.of(values)
    assert spread.mean == pytest.approx(sum(values) / 3)
    assert spread.deviation == pytest.approx(math.sqrt(sum((v - spread.mean) ** 2 for v in values) / 2))
    assert spread.text() == "73.00 ± 3.61"
    assert Spread.of([0.5]).text() == "50.00"
    assert Spread.of([]).text() == "–"


def test_all_forms_have_the_same_figures(figures: Figures) -> None:
    expected = [
        [f"{100 * value:.2f}" for one in (row.clean, row.robust) for value in (one.mean, one.deviation)
         if value is not None]
        for row in figures.rows
    ]  # fmt: skip
    in_csv = [
        [
            line[key]
            for key in ("clean_mean", "clean_deviation", "robust_mean", "robust_deviation")
            if line[key]
        ]
        for line in csv.DictReader(io.StringIO(as_csv(figures)))
    ]
    number = re.compile(r"\d+\.\d\d")
    in_markdown = [
        number.findall(line) for line in as_markdown(figures).splitlines() if line.startswith("| 50")
    ]
    body = as_latex(figures).split(r"\midrule")[1].split(r"\bottomrule")[0]
    in_tex = [number.findall(line) for line in body.splitlines() if "&" in line]
    keys = ("clean_mean", "clean_deviation", "robust_mean", "robust_deviation")
    in_json = [
        [f"{100 * one[key]:.2f}" for key in keys if one[key] is not None] for one in as_json(figures)["rows"]
    ]
    assert in_csv == in_markdown == in_tex == in_json == expected
    svg = plot_svg(figures)
    told = re.findall(r"<title>([^<]*shots: [^<]* seeds\))</title>", svg)
    drawn = [row for row in figures.rows if row.seeds and row.shots]
    shown = [(one.clean.text(), f"({one.seeds} of {one.of} seeds)") for one in drawn]
    for (text, seeds), words in zip(shown, told[: len(drawn)], strict=True):
        assert text in words
        assert seeds in words


def test_what_is_missing_is_a_dash_with_the_count_of_seeds(figures: Figures) -> None:
    line = as_markdown(figures).splitlines()[6]
    assert line.endswith("| 16 | 0 of 3 | – | – | – |")
    assert "& 16 & 0 of 3 & -- & -- & -- \\\\" in as_latex(figures)
    assert as_csv(figures).splitlines()[3].endswith("16,0,3,,,,,")


def test_latex_is_escaped(figures: Figures) -> None:
    assert in_latex(r"a_b & 50% \x{y}~^#$") == (
        r"a\_b \& 50\% \textbackslash{}x\{y\}\textasciitilde{}\textasciicircum{}\#\$"
    )
    text = as_latex(figures)
    assert r"A\_b \& c \textbar{} d" in text
    assert text.count(r"\midrule") == 1
    assert "% CLIP-LoRA, 16 shots, seed 1 failed: Out of memory." in text
    assert text.isascii()


def test_latex_takes_no_name_for_an_option_and_no_paragraph_in_a_caption() -> None:
    names = ("[new]", "*", "a|b", 'the "b"', "≤ 5 × 3", "{")
    rows = tuple(replace(row("clip-lora", 1, [0.5], [0.2]), test_set=name) for name in names)
    text = as_latex(Figures("One\n\nTwo", rows, ("x ≥ 1",), 6, {}, 6))
    assert r"\caption{One Two. x $\geq$ 1}" in text
    assert text.isascii()
    body = text.split(r"\toprule")[1]
    # What follows the end of a row must not be read as its length or its star.
    assert not re.search(r"(\\\\|\\midrule)\s*[\[*]", body)
    plain = re.sub(r"\\[\\{}&%$#_]", "", text)
    assert plain.count("{") == plain.count("}")
    assert len(re.findall(r"(?<!\\)&", body)) == 6 * (1 + len(rows))
    assert text.count("$") % 2 == 0
    assert as_latex(Figures("猫", rows, (), 6, {}, 6)).startswith("% has letters that pdfLaTeX lacks")


def test_markdown_keeps_its_columns(figures: Figures) -> None:
    text = as_markdown(figures)
    assert r"A\_b & c \| d" in text
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {8}


def test_the_plot_has_a_point_for_each_figure(figures: Figures) -> None:
    root = ElementTree.fromstring(plot_svg(figures))
    space = "{http://www.w3.org/2000/svg}"
    marks = [one for one in root.iter(f"{space}polygon") if one.find(f"{space}title") is not None]
    assert len(marks) == 2 * 3
    # Higher accuracy is higher up, more shots further to the right.
    first, last = (
        [tuple(map(float, point.split(","))) for point in mark.get("points", "").split()]
        for mark in (marks[1], marks[2])
    )
    assert statistics.fmean(x for x, _ in last) > statistics.fmean(x for x, _ in first)
    assert statistics.fmean(y for _, y in last) < statistics.fmean(y for _, y in first)


def test_shots_stand_at_equal_distances_on_their_axis() -> None:
    rows = tuple(row("clip-lora", shots, [0.5], [0.2]) for shots in (1, 2, 4, 8, 16))
    svg = plot_svg(Figures("t", rows, (), 5, {}, 5))
    places = [float(x) for x, shots in re.findall(r'<text x="([\d.]+)"[^>]*>(\d+)</text>', svg)[:5]]
    gaps = [after - before for before, after in pairwise(places)]
    assert max(gaps) - min(gaps) < 0.2


def test_the_picture_is_the_drawing(figures: Figures) -> None:
    with Image.open(io.BytesIO(plot_png(figures, DARK))) as picture:
        assert picture.width == 3 * 860
        colours = {colour for _, colour in picture.getcolors(10**7)}
    assert tuple(bytes.fromhex(DARK.ground[1:])) in colours
    assert tuple(bytes.fromhex(DARK.advclip_lora[1:])) in colours


def test_the_pdf_is_the_drawing_too(figures: Figures) -> None:
    page = plot_pdf(replace(figures, title="Für (α)"))
    start = int(page.rsplit(b"startxref\n", 1)[1].split()[0])
    places = [int(line[:10]) for line in page[start:].splitlines()[3:] if line.endswith(b" n ")]
    assert len(places) == 7
    for number, place in enumerate(places, start=1):
        assert page[place:].startswith(f"{number} 0 obj".encode())
    assert "(Für \\(?\\)".encode("latin-1") in page
    drawn = zlib.decompress(page.split(b"stream\n")[1].split(b"\nendstream")[0]).decode("latin-1")
    written = re.findall(r"\((.*?)\) Tj", drawn)
    svg = [html.unescape(words) for words in re.findall(r"<text [^>]*>([^<]*)</text>", plot_svg(figures))]
    assert written == svg
    filled = re.findall(r"([\d. ]+) rg [^f\n]* f$", drawn, re.MULTILINE)
    # Two methods: one in the legend, three points in each panel.
    assert len(filled) == 1 + 2 + 2 * 3


def test_a_plot_of_nothing_is_drawn_too() -> None:
    assert "Shots per class" in plot_svg(Figures("t", (row("clip-lora", 4, [], []),), (), 0, {}, 1))


def test_every_form_can_be_written(figures: Figures, tmp_path: Path) -> None:
    assert [path.suffix for path in save_all(figures, tmp_path)] == list(SUFFIXES)
    assert all(path.stat().st_size for path in tmp_path.iterdir())
    with pytest.raises(SettingsError, match="must end in"):
        save_figures(figures, tmp_path / "table.xlsx")


def test_the_harmonic_mean_is_taken_seed_by_seed(tmp_path: Path) -> None:
    folder = ExperimentFolder(tmp_path / "e")
    settings = ExperimentSettings(kind="base-to-new", shots=(1,), seeds=(0, 1), methods=("clip-lora",))
    folder.define(settings)
    pairs = [(0.8, 0.4), (0.6, 0.6)]
    for cell, (base, new) in zip(settings.cells, pairs, strict=True):
        sets = {"base": ("Base classes", base), "new": ("New classes", new)}
        told = {
            key: {"title": title, "n": 6, "clean": share, "robust": 0.0, "label": "PGD", "warnings": []}
            for key, (title, share) in sets.items()
        }
        folder.write_record(cell.key, {"state": "finished", "figures": told})
    found = read_figures(folder)
    derived = next(one for one in found.rows if one.test_set == HARMONIC)
    harmonic = [2 * a * b / (a + b) for a, b in pairs]
    assert derived.clean.mean == pytest.approx(statistics.fmean(harmonic))
    assert derived.clean.deviation == pytest.approx(statistics.stdev(harmonic))
    assert derived.robust.mean == 0.0
    assert derived.n is None


def test_the_average_is_over_the_other_data_seed_by_seed(tmp_path: Path) -> None:
    folder = ExperimentFolder(tmp_path / "e")
    settings = ExperimentSettings.checked(
        {
            "kind": "cross-dataset",
            "shots": [16],
            "seeds": [0, 1],
            "methods": ["clip-lora"],
            "targets": ["a/pets", "b/cars"],
        }
    )
    folder.define(settings)
    measured = [(0.9, 0.4, 0.2), (0.8, 0.6, 0.4)]
    for cell, shares in zip(settings.cells, measured, strict=True):
        sets = zip(("demo", "pets", "cars"), shares, strict=True)
        told = {
            title: {"title": title, "n": 6, "clean": share, "robust": share / 2, "label": "", "warnings": []}
            for title, share in sets
        }
        folder.write_record(cell.key, {"state": "finished", "figures": told})
    rows = read_figures(folder).rows
    assert [one.test_set for one in rows] == ["demo", "pets", "cars", AVERAGE]
    # What was trained on is not in it.
    means = [(0.4 + 0.2) / 2, (0.6 + 0.4) / 2]
    assert rows[-1].clean.mean == pytest.approx(statistics.fmean(means))
    assert rows[-1].clean.deviation == pytest.approx(statistics.stdev(means))
    assert rows[-1].robust.mean == pytest.approx(statistics.fmean(means) / 2)
