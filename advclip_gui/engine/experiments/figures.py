"""What an experiment has found so far: mean and deviation over seeds, by test set, method and shots."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, cast

from advclip_gui.engine.experiments.definition import METHODS
from advclip_gui.engine.experiments.pace import ZERO_SHOT
from advclip_gui.engine.experiments.test_sets import expected_titles
from advclip_gui.engine.probe_types import length_text
from advclip_gui.wording import PROTOCOL_SENTENCES, norm_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from advclip_gui.engine.experiments.definition import ExperimentSettings, Method
    from advclip_gui.engine.experiments.folder import ExperimentFolder

DASH: Final = "–"
HARMONIC, AVERAGE = "Harmonic mean", "Target average"
"""Test sets that are worked out from others, seed by seed."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean and sample standard deviation of shares in [0, 1]; None where there are too few."""

    mean: float | None
    deviation: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of any number of values; a deviation needs two."""
        mean = statistics.fmean(values) if values else None
        return cls(mean, statistics.stdev(values) if len(values) > 1 else None)

    def text(self, between: str = " ± ") -> str:
        """In per cent with two decimals, e.g. "63.27 ± 0.41"; a dash where there is nothing."""
        if self.mean is None:
            return DASH
        if self.deviation is None:
            return percent(self.mean)
        return f"{percent(self.mean)}{between}{percent(self.deviation)}"


def percent(share: float | None) -> str:
    """A share in per cent with two decimals, without the sign; a dash for None."""
    return DASH if share is None else f"{100 * share:.2f}"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.

    Attributes:
        test_set: title of it.
        method: title of it.
        shots: per class; None for zero-shot.
        seeds: how many are in the figures.
        of: how many there will be.
        n: test images; None where nothing was measured, or where it is a mean over several sets.
        clean: accuracy without an attack.
        robust: accuracy under attack.
    """

    test_set: str
    method: Method
    shots: int | None
    seeds: int
    of: int
    n: int | None
    clean: Spread
    robust: Spread

    @property
    def title(self) -> str:
        """What the method is called."""
        return METHODS[self.method]


@dataclass(frozen=True, slots=True)
class Figures:
    """A table and everything it must be read with.

    Attributes:
        title: of the experiment.
        rows: by test set, method and shots.
        notes: one sentence each: protocol, attack, deviation, doubts.
        done: parts that need nothing more.
        failed: sentence by title of the cell.
        total: parts of the whole experiment.
        failed_keys: key by title of each cell that failed.
    """

    title: str
    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    done: int
    failed: dict[str, str]
    total: int
    failed_keys: dict[str, str] = field(default_factory=dict)

    @property
    def test_sets(self) -> tuple[str, ...]:
        """Titles, in the order of the rows."""
        return tuple(dict.fromkeys(row.test_set for row in self.rows))

    def rows_of(self, test_set: str, method: Method) -> tuple[Row, ...]:
        """The rows of one line of the plot, by shots."""
        return tuple(row for row in self.rows if row.test_set == test_set and row.method == method)


_Measured = dict[str, tuple[int, float, float]]
"""Title of a test set -> n, clean and robust accuracy."""


def measured_of(record: Mapping[str, Any], settings: ExperimentSettings) -> _Measured | None:
    """What a record says of every test set; None where the part is not finished, or something is missing."""
    if record.get("state") != "finished":
        return None
    try:
        stored = [record["figures"][key] for key in expected_titles(settings)]
        return {one["title"]: (int(one["n"]), float(one["clean"]), float(one["robust"])) for one in stored}
    except (KeyError, TypeError, ValueError):
        return None


def read_figures(folder: ExperimentFolder) -> Figures:
    """Gather what is on disk; possible at any time, also while the experiment runs.

    Raises:
        CheckpointError: this is no experiment.
    """
    settings = folder.settings()
    measured: dict[tuple[Method, int | None], list[_Measured]] = {}
    labels: dict[str, None] = {}
    doubts: dict[str, int] = {}
    failed: dict[str, str] = {}
    failed_keys: dict[str, str] = {}
    done = 0

    def take(key: str, place: tuple[Method, int | None], title: str) -> None:
        nonlocal done
        taken = measured.setdefault(place, [])
        record = folder.record(key)
        if record.get("state") == "failed":
            failed[title], failed_keys[title] = str(record.get("message", "")), key
        found = measured_of(record, settings)
        if found is None:
            return
        done += 1
        for one in record["figures"].values():
            labels[str(one.get("label", ""))] = None
            for sentence in one.get("warnings", ()):
                doubts[sentence] = doubts.get(sentence, 0) + 1
        taken.append(_with_derived(found, settings))

    zero_shot = "zero-shot" in settings.methods
    if zero_shot:
        take(ZERO_SHOT, ("zero-shot", None), METHODS["zero-shot"])
    for cell in settings.cells:
        take(cell.key, (cell.method, cell.shots), cell.title)
    return Figures(
        title=settings.name or settings.kind,
        rows=tuple(_rows(settings, measured)),
        notes=tuple(_notes(settings, labels, doubts)),
        done=done,
        failed=failed,
        total=len(settings.cells) + zero_shot,
        failed_keys=failed_keys,
    )


def _with_derived(found: _Measured, settings: ExperimentSettings) -> _Measured:
    titles = list(expected_titles(settings).values())
    if settings.kind == "base-to-new":
        base, new = (found[title] for title in titles)
        return {**found, HARMONIC: (0, _harmonic(base[1], new[1]), _harmonic(base[2], new[2]))}
    if settings.kind == "cross-dataset" and len(titles) > 2:
        others = [found[title] for title in titles[1:]]
        means = (statistics.fmean(one[place] for one in others) for place in (1, 2))
        return {**found, AVERAGE: (0, *cast("tuple[float, float]", tuple(means)))}
    return found


def _harmonic(first: float, second: float) -> float:
    return 2 * first * second / (first + second) if first + second else 0.0


def all_titles(settings: ExperimentSettings) -> list[str]:
    """Titles of the test sets and of what is worked out from them."""
    titles = list(expected_titles(settings).values())
    if settings.kind == "base-to-new":
        return [*titles, HARMONIC]
    return [*titles, AVERAGE] if settings.kind == "cross-dataset" and len(titles) > 2 else titles


def _rows(
    settings: ExperimentSettings, measured: Mapping[tuple[Method, int | None], list[_Measured]]
) -> list[Row]:
    rows = []
    for title in all_titles(settings):
        for method in settings.methods:
            for shots in (None,) if method == "zero-shot" else settings.shots:
                found = [one[title] for one in measured[method, shots]]
                n = found[0][0] if found else 0
                rows.append(
                    Row(
                        test_set=title,
                        method=method,
                        shots=shots,
                        seeds=len(found),
                        of=1 if method == "zero-shot" else len(settings.seeds),
                        n=n or None,
                        clean=Spread.of([one[1] for one in found]),
                        robust=Spread.of([one[2] for one in found]),
                    )
                )
    return rows


def _notes(settings: ExperimentSettings, labels: Mapping[str, None], doubts: Mapping[str, int]) -> list[str]:
    how, base = settings.evaluation, settings.base
    attack = " / ".join(filter(None, labels)) or f"{how.attack} attacks"
    length = length_text(how.epsilon, how.norm)
    norm = norm_text(how.norm)
    seeds = ", ".join(map(str, settings.seeds))
    over = f"mean ± sample standard deviation over seeds {seeds}" if "," in seeds else f"seed {seeds} only"
    notes = [
        f"Accuracy in %: {over}; zero-shot is measured once.",
        f"Robust: {attack}, epsilon {length} ({norm}), on the same images for every model.",
        PROTOCOL_SENTENCES[base.protocol],
        f"Backbone {' '.join(part for part in (base.backbone.name, base.backbone.weights) if part)}, "
        f"data {base.data.folder}.",
    ]
    if settings.kind == "base-to-new":
        notes.append("Trained on the base classes only; harmonic mean of base and new, seed by seed.")
    if settings.kind == "cross-dataset":
        over = "; the average is over the other data, seed by seed" if len(settings.targets) > 1 else ""
        notes.append(f"Trained on {next(iter(expected_titles(settings).values()))} only{over}.")
    notes += [f"{count} x {sentence}" if count > 1 else sentence for sentence, count in doubts.items()]
    return notes
