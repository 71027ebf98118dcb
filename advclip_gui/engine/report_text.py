"""How the figures of an evaluation are written, in reports and in the window alike."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from advclip_gui.engine.probe_types import length_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from advclip_gui.engine.evaluation_result import Evaluation

PROTOCOL_NOTES: Final[Mapping[str, str]] = {
    "sound": "Perturbations are bounded in pixel space, pixels stay in [0, 1], and the model is attacked in "
    "evaluation mode.",
    "released": "Perturbation and clamp in normalised space; not comparable with figures of the sound "
    "protocol.",
}

UPPER_BOUND: Final = (
    "Every robust accuracy here is an upper bound: the attacks show which images can be fooled, not that "
    "the others cannot. A stronger attack may find more."
)


def attacks_text(attacks: Iterable[tuple[str, int]]) -> str:
    """Write titles of attacks and how often each is run: "APGD-CE-100 (3 restarts) + Square-5000"."""
    return " + ".join(
        title if restarts == 1 else f"{title} ({restarts} restarts)" for title, restarts in attacks
    )


def label_of(evaluation: Evaluation) -> str:
    """What an evaluation's figures are, with the restarts of each attack where there are several."""
    attacks = evaluation.provenance.get("attacks") or ()
    titles = " + ".join(str(one["title"]) for one in attacks)
    told = attacks_text((str(one["title"]), int(one["restarts"])) for one in attacks)
    return evaluation.label.replace(titles, told, 1) if titles else evaluation.label


def is_baseline(evaluation: Evaluation) -> bool:
    """Whether the model is zero-shot CLIP, by its name."""
    return evaluation.model.casefold().endswith("zero-shot")


def facts_of(evaluation: Evaluation) -> list[tuple[str, str]]:
    """How the figures came about and what was checked, one fact a line, the same in every report."""
    facts = [
        ("figures", label_of(evaluation)),
        ("protocol", protocol_of(evaluation)),
        ("norm", evaluation.norm),
        ("n", str(evaluation.n)),
        ("seconds", f"{evaluation.seconds:.1f}"),
    ]
    known = {name for name, _ in facts}
    for key, value in evaluation.provenance.items():
        if key == "attacks":
            facts += [(f"attack, {one.get('title', '')}", _attack_text(one)) for one in value]
        elif key == "epsilons":
            facts.append((key, ", ".join(f"{one['text']} = {one['value']!r}" for one in value)))
        elif key not in known:
            facts.append((key, plain_text(value)))
    facts += [(f"audit, {key}", plain_text(value)) for key, value in evaluation.audit.items()]
    return facts


def _attack_text(one: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{key.replace('_', ' ')} {plain_text(value)}" for key, value in one.items() if key != "title"
    )


def protocol_of(evaluation: Evaluation) -> str:
    """Under which protocol an evaluation was made; "sound" where nothing else is recorded."""
    return str(evaluation.provenance.get("protocol", "sound"))


def epsilon_text(value: float) -> str:
    """Write a length in pixel units as ``k/255``, with as many digits as it needs."""
    return f"{value * 255:.10g}/255"


def length_of(value: float, norm: str) -> str:
    """Write an epsilon for people: "2/255", "0.5 in L2"."""
    return length_text(value, "L2" if norm == "L2" else "Linf")


def level_text(value: float, norm: str) -> str:
    """As `length_of`, and "clean" for 0."""
    return length_of(value, norm) if value else "clean"


def norm_text(norm: str) -> str:
    """Write a norm for people: "L∞" or "L2"."""
    return "L2" if norm == "L2" else "L∞"


def percent(share: float | None) -> str:
    """Write a share in [0, 1]: "72.5 %"; a dash where there is none."""
    return "–" if share is None else f"{100 * share:.1f} %"


def range_text(interval: Sequence[float]) -> str:
    """Write an interval of shares in per cent: "69.6 – 75.2"."""
    return f"{100 * interval[0]:.1f} – {100 * interval[1]:.1f}"


def with_interval(share: float, interval: Sequence[float]) -> str:
    """Write a share and its 95 % interval: "72.5 % (69.6 – 75.2)"."""
    return f"{percent(share)} ({range_text(interval)})"


def is_bound(evaluation: Evaluation) -> bool:
    """Whether the evaluation calls its own figures an upper bound."""
    return "upper bound" in evaluation.label


def plain_text(value: object) -> str:
    """Write a value of the provenance: words as they are, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
