"""Square attack (Andriushchenko et al. 2020, arXiv 1912.00049): black-box random search by squares."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, Protocol

import torch

from advclip_gui.engine.attacks.losses import margin
from advclip_gui.engine.attacks.protocol import Goal, attack_mode, check_batch, private_generator
from advclip_gui.engine.attacks.record import Record
from advclip_gui.engine.control import Control

if TYPE_CHECKING:
    from torch import Tensor, nn

    from advclip_gui.engine.attacks.catalog import AttackOptions
    from advclip_gui.engine.attacks.protocol import AttackResult, Trace

FIRST_SHARE: Final = 0.8
"""Of the pixels, that the first square covers: the value in use since AutoAttack."""
_HALVINGS: Final = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
"""The share is halved after so many of 10,000 queries; other budgets are scaled to that."""
_TILES: Final = 5
_LEAST_L2_SIDE: Final = 3
_TINY: Final = 1e-12


def square(
    classifier: nn.Module,
    images: Tensor,
    labels: Tensor,
    options: AttackOptions,
    *,
    targets: Tensor | None = None,
    trace: Trace | None = None,
    generator: torch.Generator | None = None,
    control: Control | None = None,
) -> AttackResult:
    """Propose a changed square, keep it where the margin grows, `steps` times; see `Attack`.

    `steps` are queries after the starting point. The trace gets the starting point, every proposal
    that was kept, and the last state; of a sample that is left out nothing changed. `step_size`,
    `random_start` and `keep` of the options are not listened to.
    """
    check_batch(images, labels, targets)
    images, goal = images.detach(), Goal(labels, targets)
    generator, control = generator or private_generator(0), control or Control()
    record = Record(images, goal, trace)
    with attack_mode(classifier), torch.no_grad():
        for restart in range(options.restarts):
            if not len(images) or not len(record.open):
                break
            _Search(classifier, images, goal, options, record, generator, control, restart).run()
    return record.result()


def share_of_pixels(query: int, queries: int) -> float:
    """Share p of the pixels that the square of this query covers."""
    place = int(query / queries * 10_000)
    return float(FIRST_SHARE / 2 ** sum(place > limit for limit in _HALVINGS))


class _Proposals(Protocol):
    """Where the search begins and what it tries next. Draws are for the whole batch, (N, ...)."""

    def start(self, images: Tensor, generator: torch.Generator) -> Tensor: ...

    def draw(self, count: int, share: float, generator: torch.Generator) -> Draw: ...

    def propose(self, originals: Tensor, best: Tensor, draw: Draw) -> Tensor: ...


class Draw:
    """Squares and signs for some samples: corners as shares of where they may lie, and channel signs."""

    def __init__(self, side: int, corners: Tensor, signs: Tensor, *, turned: bool) -> None:
        """Keep `corners` (N, K) in [0, 1) and `signs` (N, 3, 1, 1)."""
        self.side = side
        self.corners = corners
        self.signs = signs
        self.turned = turned

    def at(self, index: Tensor) -> Draw:
        """The same for some of the samples."""
        return Draw(self.side, self.corners[index], self.signs[index], turned=self.turned)

    def window(self, first: int, images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Index of (M, C, side, side) values of `images`, the corner from columns first, first + 1."""
        device, (count, channels, height, width) = images.device, images.shape
        # A draw next to 1 may round up to the first place that is none.
        top = (self.corners[:, first] * (height - self.side + 1)).long().clamp(max=height - self.side)
        left = (self.corners[:, first + 1] * (width - self.side + 1)).long().clamp(max=width - self.side)
        along = torch.arange(self.side, device=device)
        return (
            torch.arange(count, device=device).view(-1, 1, 1, 1),
            torch.arange(channels, device=device).view(1, -1, 1, 1),
            top.view(-1, 1, 1, 1) + along.view(1, 1, -1, 1),
            left.view(-1, 1, 1, 1) + along.view(1, 1, 1, -1),
        )


def _signs(shape: tuple[int, ...], like: Tensor, generator: torch.Generator) -> Tensor:
    draw = torch.randint(0, 2, shape, generator=generator, device=generator.device)
    return draw.mul_(2).sub_(1).to(like)


class _LinfProposals:
    """Vertical stripes, then squares of one colour each, at the corners of the cube."""

    def __init__(self, images: Tensor, eps: float) -> None:
        self._like, self._eps = images, eps

    def start(self, images: Tensor, generator: torch.Generator) -> Tensor:
        count, channels, _, width = images.shape
        stripes = _signs((count, channels, 1, width), images, generator)
        return (images + self._eps * stripes).clamp(0, 1)

    def draw(self, count: int, share: float, generator: torch.Generator) -> Draw:
        _, channels, height, width = self._like.shape
        side = min(max(round(math.sqrt(share * height * width)), 1), height, width)
        corners = torch.rand((count, 2), generator=generator, device=generator.device).to(self._like)
        return Draw(side, corners, _signs((count, channels, 1, 1), self._like, generator), turned=False)

    def propose(self, originals: Tensor, best: Tensor, draw: Draw) -> Tensor:
        # All that lies in the square goes to one end of the cube, whatever it was before.
        window = draw.window(0, best)
        moved = best.clone()
        moved[window] = (originals[window] + self._eps * draw.signs).clamp(0, 1)
        return moved


class _L2Proposals:
    """A pattern whose length is moved from one square to another (section 3.4 of the paper)."""

    def __init__(self, images: Tensor, eps: float) -> None:
        self._like, self._eps = images, eps

    def start(self, images: Tensor, generator: torch.Generator) -> Tensor:
        count, channels, height, width = images.shape
        side = max(min(height, width) // _TILES, 1)
        pattern = _pattern(side, images)
        delta = torch.zeros_like(images)
        for row in range((height - side * (height // side)) // 2, height - side + 1, side):
            for column in range((width - side * (width // side)) // 2, width - side + 1, side):
                signs = _signs((count, channels, 1, 1), images, generator)
                delta[:, :, row : row + side, column : column + side] = signs * pattern
        return self._on_the_sphere(images, delta)

    def draw(self, count: int, share: float, generator: torch.Generator) -> Draw:
        _, channels, height, width = self._like.shape
        side = max(round(math.sqrt(share * height * width)), _LEAST_L2_SIDE)
        side = min(side + 1 - side % 2, height, width)
        corners = torch.rand((count, 4), generator=generator, device=generator.device).to(self._like)
        signs = _signs((count, channels, 1, 1), self._like, generator)
        turned = bool(torch.rand(1, generator=generator, device=generator.device) > 0.5)
        return Draw(side, corners, signs, turned=turned)

    def propose(self, originals: Tensor, best: Tensor, draw: Draw) -> Tensor:
        delta = best - originals
        giving, taking = draw.window(2, delta), draw.window(0, delta)
        pattern = _pattern(draw.side, delta)
        fresh = draw.signs * (pattern.T if draw.turned else pattern)
        old = delta[taking]
        fresh = fresh + old / (_length(old, (2, 3)) + _TINY)
        # Length to be spent in each channel: what epsilon leaves over, and what both squares hold. The
        # latter of all channels, as in AutoAttack, not of the one, as in the paper: before the whole is
        # scaled to epsilon again that puts more into the new square, and fools with fewer queries.
        outside = delta.clone()
        outside[giving], outside[taking] = 0.0, 0.0
        whole = _length(delta, (1, 2, 3)).square()
        held = (whole - _length(outside, (1, 2, 3)).square()).clamp(min=0)
        spare = (self._eps**2 - whole).clamp(min=0) / delta.shape[1]
        outside[taking] = fresh / (_length(fresh, (2, 3)) + _TINY) * (held + spare).sqrt()
        return self._on_the_sphere(originals, outside)

    def _on_the_sphere(self, originals: Tensor, delta: Tensor) -> Tensor:
        return (originals + self._eps * delta / (_length(delta, (1, 2, 3)) + _TINY)).clamp(0, 1)


class _Search:
    """One restart on the samples that still hold."""

    def __init__(
        self,
        classifier: nn.Module,
        images: Tensor,
        goal: Goal,
        options: AttackOptions,
        record: Record,
        generator: torch.Generator,
        control: Control,
        restart: int,
    ) -> None:
        self._classifier = classifier
        self._images = images
        self._goal = goal
        self._options = options
        self._record = record
        self._generator = generator
        self._control = control
        self._restart = restart
        kind = _LinfProposals if options.norm == "Linf" else _L2Proposals
        self._proposals: _Proposals = kind(images, options.eps)

    def run(self) -> None:
        options, count = self._options, len(self._images)
        # Everything is drawn for the whole batch: what a sample gets does not depend on which others hold.
        start = self._proposals.start(self._images, self._generator)
        index = self._record.open
        originals, best, goal = self._images[index], start[index], self._goal.at(index)
        best_logits = self._ask(best)
        value = _value(best_logits, goal)
        fooled = self._look(index, best.clone(), best_logits.clone(), 0)
        for query in range(1, options.steps + 1):
            draw = self._proposals.draw(count, share_of_pixels(query - 1, options.steps), self._generator)
            if options.early_stop and bool(fooled.any()):
                going = (~fooled).nonzero().squeeze(1)
                index, originals, best = index[going], originals[going], best[going]
                best_logits, value, goal, fooled = (
                    best_logits[going],
                    value[going],
                    goal.at(going),
                    fooled[going],
                )
            if not len(index):
                return
            tried = self._proposals.propose(originals, best, draw.at(index))
            logits = self._ask(tried)
            found = _value(logits, goal)
            # What is no number counts as fooled, but compares as nothing.
            better = (found > value) | (found.isnan() & ~value.isnan())
            if bool(better.any()):
                best[better], best_logits[better], value[better] = (
                    tried[better],
                    logits[better],
                    found[better],
                )
                kept = better.nonzero().squeeze(1)
                fooled[kept] = self._look(index[kept], best[kept], best_logits[kept], query)
        self._look(index, best, best_logits, options.steps)
        self._record.offer(index, best, best_logits)

    def _ask(self, pixels: Tensor) -> Tensor:
        self._control.check()
        self._record.forwards += len(pixels)
        logits: Tensor = self._classifier(pixels)
        return logits

    def _look(self, index: Tensor, pixels: Tensor, logits: Tensor, query: int) -> Tensor:
        return self._record.look(
            index, pixels, logits, restart=self._restart, step=query, total=self._options.steps
        )


def _value(logits: Tensor, goal: Goal) -> Tensor:
    """The margin to be raised: of any other class over the label, or of the target over any other."""
    return margin(logits, goal.labels) if goal.targets is None else -margin(logits, goal.targets)


def _pattern(side: int, like: Tensor) -> Tensor:
    """Two halves of opposite sign that grow toward their middles, of length 1, (side, side)."""
    half = side // 2
    whole = torch.cat([_hill(half, side), -_hill(side - half, side)])
    scaled: Tensor = whole / torch.linalg.vector_norm(whole)
    return scaled.to(like)


def _hill(height: int, width: int) -> Tensor:
    """Eq. 2 of the paper: rings around the middle, each 1 / k^2 above the next outer one, (height, width)."""
    longer = max(height, width)
    n = longer // 2
    rows = (torch.arange(height) - height // 2).abs().view(-1, 1)
    columns = (torch.arange(width) - width // 2).abs().view(1, -1)
    rings = torch.tensor([1.0 / (n + 1 - k) ** 2 for k in range(n + 1)]).cumsum(0)
    return rings[n - torch.maximum(rows, columns)]


def _length(values: Tensor, axes: tuple[int, ...]) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(values, dim=axes, keepdim=True)
    return length
