"""Reports of an evaluation: HTML, JSON and CSV hold the same figures, and the page needs nothing else."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser

import pytest

from advclip_gui.engine.errors import StorageError
from advclip_gui.engine.evaluation_result import ClassResult, EpsilonResult, Evaluation, Finding
from advclip_gui.engine.report import read_report, save_report
from advclip_gui.engine.report_html import MATRIX_CLASSES, NARROW_CLASSES, report_html
from advclip_gui.engine.statistics import wilson

NASTY = 'AdvCLIP <script>alert("1")</script> & co'
CLASSES = ("cat", "<b>dog</b>", 'red, "fox"')
LEVELS = (1 / 255, 2.5 / 255, 4 / 255)
VOID = {"meta", "path", "circle", "rect", "polygon", "polyline"}


def made_up(
    model: str, shift: int = 0, *, norm: str = "Linf", names: tuple[str, ...] = CLASSES
) -> Evaluation:
    """Every figure differs from every other, so that a mix-up shows."""
    k = len(names)
    n = 37 * k

    def matrix(right: int) -> tuple[tuple[int, ...], ...]:
        return tuple(
            tuple(
                right - i % 3 if i == j else 37 - right + i % 3 if j == (i + 1) % k else 0 for j in range(k)
            )
            for i in range(k)
        )

    right = (31 - shift, 22 - shift, 13 - shift, 7 - shift)
    counts = [matrix(value) for value in right]
    hits = [sum(one[i][i] for i in range(k)) for one in counts]
    return Evaluation(
        model=model,
        attack="quick",
        label="FGSM + PGD-10, an upper bound",
        norm=norm,
        n=n,
        class_names=names,
        clean_hits=hits[0],
        clean_accuracy=hits[0] / n,
        clean_interval=wilson(hits[0], n),
        epsilons=tuple(
            EpsilonResult(
                epsilon=level,
                robust_hits=hits[p],
                robust_accuracy=hits[p] / n,
                interval=wilson(hits[p], n),
                robust_hits_after_8bit=hits[p] + 2,
                robust_after_8bit=(hits[p] + 2) / n,
                interval_after_8bit=wilson(hits[p] + 2, n),
                waterfall={"FGSM": (hits[p] + 5) / n, "PGD-10": hits[p] / n},
                confusion=counts[p],
                seconds=1.5,
            )
            for p, level in enumerate(LEVELS, start=1)
        ),
        per_class=tuple(
            ClassResult(
                name=name,
                n=37,
                clean_hits=counts[0][i][i],
                robust_hits=tuple(one[i][i] for one in counts[1:]),
            )
            for i, name in enumerate(names)
        ),
        confusion_clean=counts[0],
        clean_predictions=(0,) * n,
        smallest_epsilon=(None,) * n,
        flipped_to=(None,) * n,
        findings=(Finding(kind="softmax_output", sentence="Outputs <look> like probabilities & so on."),),
        audit={"box": True},
        provenance={"seed": 3, "data": "<i>zwei kätzchen</i>", "torch": "2.x", "protocol": "sound"},
        seconds=4.2,
    )


@dataclass
class Table:
    """One table of the page: captions and, row by row, its figures."""

    kind: str
    caption: str = ""
    heads: list[str] = field(default_factory=list)
    rows: list[tuple[str, list[float]]] = field(default_factory=list)


class Page(HTMLParser):
    """Reads the page back as a program would; fails on tags that do not close."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables: list[Table] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.head = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.seen.append((tag, values))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append(Table(str(values["class"])))
        elif tag == "th" and values.get("scope") == "row":
            self.tables[-1].rows.append(("", []))
        elif tag == "data" and self.tables:
            self.tables[-1].rows[-1][1].append(float(str(values["value"])))

    def handle_startendtag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)
        if "thead" in self.open and "th" in self.open:
            self.tables[-1].heads.append(data)
        elif "caption" in self.open:
            self.tables[-1].caption += data
        elif "th" in self.open:
            name, figures = self.tables[-1].rows[-1]
            self.tables[-1].rows[-1] = (name + data, figures)

    def of(self, kind):
        return [table for table in self.tables if table.kind == kind]


@pytest.fixture(scope="module")
def evaluations():
    return [made_up("Zero-shot"), made_up(NASTY, 4)]


@pytest.fixture(scope="module")
def page(evaluations):
    return Page(report_html(evaluations))


def csv_rows(path):
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))


def test_the_three_files_hold_the_same_figures(evaluations, tmp_path):
    for name in ("r.html", "r.json", "r.csv"):
        save_report(evaluations, tmp_path / name)
    document = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))["evaluations"]
    table = csv_rows(tmp_path / "r.csv")
    page = Page((tmp_path / "r.html").read_text(encoding="utf-8"))
    checked = 0
    for index, one in enumerate(document):
        rows = [row for row in table if row["model"] == one["model"]]
        levels = [0.0, *(level["epsilon"] for level in one["epsilons"])]
        assert sorted({float(row["epsilon_value"]) for row in rows if row["epsilon_value"]}) == levels

        # Accuracy, intervals, and the same after 8 bits.
        clean = [one["clean_accuracy"], *one["clean_interval"]]
        shown_rows = page.of("accuracy")[0].rows[index * 3 : index * 3 + 3]
        for (name, figures), level in zip(shown_rows, one["epsilons"], strict=True):
            assert name == one["model"]
            raw = [level["robust_accuracy"], *level["interval"]]
            saved = [level["robust_after_8bit"], *level["interval_after_8bit"]]
            assert figures == [one["n"], *clean, *raw, *saved]
        told = [row for row in rows if row["row"] == "accuracy"]
        wanted_rows = [[one["n"], one["clean_hits"], *clean, one["clean_hits"], *clean]]
        for level in one["epsilons"]:
            raw = [level["robust_hits"], level["robust_accuracy"], *level["interval"]]
            saved = [level["robust_after_8bit"], *level["interval_after_8bit"]]
            wanted_rows.append([one["n"], *raw, level["robust_hits_after_8bit"], *saved])
        columns = ("n", "hits", "accuracy", "interval_low", "interval_high", "hits_after_8bit")
        columns += ("accuracy_after_8bit", "interval_8bit_low", "interval_8bit_high")
        assert [[float(row[column]) for column in columns] for row in told] == wanted_rows

        # Waterfall.
        falls = [list(level["waterfall"].values()) for level in one["epsilons"]]
        assert [row[1] for row in page.of("waterfall")[index].rows] == [
            [one["clean_accuracy"], *fall] for fall in falls
        ]
        assert page.of("waterfall")[index].heads == ["Epsilon", "Clean", *one["epsilons"][0]["waterfall"]]
        told = [row for row in rows if row["row"] == "attack"]
        assert [float(row["accuracy"]) for row in told] == [left for fall in falls for left in fall]

        # Classes.
        told = [row for row in rows if row["row"] == "class"]
        for place, entry in enumerate(one["per_class"]):
            hits = [entry["clean_hits"], *entry["robust_hits"]]
            shares = [count / entry["n"] for count in hits]
            assert page.of("classes")[index].rows[place] == (entry["name"], [entry["n"], *shares])
            mine = [row for row in told if row["class"] == entry["name"]]
            assert [float(row["accuracy"]) for row in mine] == shares
            assert [int(row["hits"]) for row in mine] == hits

        # Confusions.
        matrices = [one["confusion_clean"], *(level["confusion"] for level in one["epsilons"])]
        drawn = page.of("confusion")[index * len(levels) : (index + 1) * len(levels)]
        for level, matrix, shown in zip(levels, matrices, drawn, strict=True):
            assert [row[1] for row in shown.rows] == matrix
            assert [row[0] for row in shown.rows] == shown.heads == one["class_names"]
            cells = {
                (row["class"], row["predicted"]): int(row["hits"])
                for row in rows
                if row["row"] == "confusion" and float(row["epsilon_value"]) == level
            }
            names = one["class_names"]
            assert cells == {
                (names[i], names[j]): matrix[i][j]
                for i in range(len(names))
                for j in range(len(names))
                if matrix[i][j]
            }
            checked += len(cells)
        assert [row["note"] for row in rows if row["row"] == "warning"] == one["warnings"]
    assert checked > 30


def test_json_gives_the_evaluations_back(evaluations, tmp_path):
    assert list(read_report(save_report(evaluations, tmp_path / "r.json"))) == evaluations
    with pytest.raises(StorageError, match="no report"):
        read_report(save_report(evaluations, tmp_path / "r.csv"))


def test_the_page_stands_alone(evaluations):
    text = report_html(evaluations)
    page = Page(text)
    assert not {tag for tag, _ in page.seen} & {"script", "link", "img", "iframe", "object", "use", "base"}
    for _, values in page.seen:
        assert not set(values) & {"src", "href", "xlink:href", "action", "data", "background", "srcset"}
        assert not any(name.startswith("on") for name in values)
    style = text[text.index("<style>") : text.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    assert "http" not in text.replace('http-equiv="Content-Security-Policy"', "")
    assert "prefers-color-scheme: dark" in style
    assert "@media print" in style


def test_wide_matrices_are_printed_at_the_width_of_the_page():
    few, many = made_up("A"), made_up("B", names=tuple(f"class {k}" for k in range(NARROW_CLASSES + 1)))
    assert '<div class="card wide">' not in report_html([few])
    text = report_html([many])
    assert text.count('<div class="card wide">') == 1 + len(LEVELS)
    style = text[text.index("<style>") : text.index("</style>")]
    printed = style[style.index("@media print") :]
    for rule in ("color-scheme: light", "table-layout: fixed", "break-inside: avoid", "break-before: page"):
        assert rule in printed
    assert "@page" in style


def test_words_of_the_user_are_escaped(page, evaluations):
    text = report_html(evaluations)
    assert "<script" not in text
    assert "<b>dog" not in text
    assert "<i>zwei" not in text
    assert "<look>" not in text
    words = "".join(page.words)
    for part in (NASTY, *CLASSES, "<i>zwei kätzchen</i>", "Outputs <look> like probabilities & so on."):
        assert part in words


def test_the_curve_shows_every_model_with_its_intervals(page, evaluations):
    points = [values for tag, values in page.seen if tag == "polyline"]
    assert [values["class"] for values in points] == ["line s0", "line baseline"]  # dashes lie on top
    assert [len(str(values["points"]).split()) for values in points] == [4, 4]
    assert sum(values.get("class") == "whisker" for _, values in page.seen) == 8
    bands = [values for _, values in page.seen if str(values.get("class")).startswith("band")]
    assert [len(str(values["points"]).split()) for values in bands] == [8, 8]
    words = "".join(page.words)
    last = evaluations[1].epsilons[-1]
    low, high = last.interval
    share = f"{100 * last.robust_accuracy:.1f} % ({100 * low:.1f} – {100 * high:.1f})"
    assert f"{NASTY}, 4/255: {share}" in words
    heights = [float(place.split(",")[1]) for place in str(points[0]["points"]).split()]
    assert heights == sorted(heights)  # accuracy falls, so the line goes down the page


def test_what_the_figures_are_is_said(page):
    words = "".join(page.words)
    for part in ("sound protocol", "L∞", "111 images", "an upper bound", "A stronger attack may find more"):
        assert part in words
    other = "".join(Page(report_html([made_up("A", norm="L2")])).words)
    assert "0.01569 in L2" in other
    assert "L∞" not in other
    exact = replace(made_up("A"), label="Certified")
    assert "upper bound" not in "".join(Page(report_html([exact])).words)


def test_no_warning_is_said_too():
    clean = replace(made_up("A"), findings=())
    text = report_html([clean])
    assert "None of the checks found a reason" in text
    assert 'class="warning"' not in text


def test_confusions_of_many_classes_are_listed(tmp_path):
    names = tuple(f"class {k}" for k in range(MATRIX_CLASSES + 5))
    one = made_up("A", names=names)
    page = Page(report_html([one]))
    assert page.of("confusion") == []
    first = page.of("mistakes")[0]
    worst = max(range(len(names)), key=lambda i: one.confusion_clean[i][(i + 1) % len(names)])
    assert first.rows[0] == (names[worst], [one.confusion_clean[worst][(worst + 1) % len(names)]])
    assert "commonest mistakes of 45 classes" in first.caption


def test_another_ending_is_refused(evaluations, tmp_path):
    with pytest.raises(StorageError, match=r"End its name in \.html"):
        save_report(evaluations, tmp_path / "r.pdf")
    assert list(tmp_path.iterdir()) == []


def test_the_figures_shown_are_the_figures_held(evaluations):
    """What a person reads is the machine's figure, rounded."""
    text = report_html(evaluations)
    shares = re.findall(r'<data value="(0\.\d+)">([\d.]+) %</data>', text)
    assert len(shares) > 30
    for exact, shown in shares:
        assert f"{100 * float(exact):.1f}" == shown
