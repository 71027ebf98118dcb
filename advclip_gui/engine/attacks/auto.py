"""The attacks built on Auto-PGD: APGD-CE, APGD-DLR, and APGD-T, which tries one class after another."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import torch

from advclip_gui.engine.attacks.apgd import Ascent, random_start
from advclip_gui.engine.attacks.catalog import APGD_CE, APGD_DLR, APGD_T, attack_info
from advclip_gui.engine.attacks.losses import LEAST_CLASSES, Aim, LossName
from advclip_gui.engine.attacks.protocol import Goal, attack_mode, check_batch, private_generator
from advclip_gui.engine.attacks.record import Record
from advclip_gui.engine.control import Control

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor, nn

    from advclip_gui.engine.attacks.catalog import AttackOptions
    from advclip_gui.engine.attacks.protocol import Attack, AttackResult, Trace

_LOSS: Final[dict[str, LossName]] = {
    APGD_CE.name: "ce",
    APGD_DLR.name: "dlr",
    APGD_T.name: "dlr_targeted",
}


def _auto(
    name: str,
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
    run = _Run(name, classifier, images, labels, options, targets, trace, generator, control)
    return run.result()


apgd_ce: Final[Attack] = partial(_auto, APGD_CE.name)
"""Auto-PGD on the cross-entropy; see `Attack`.

What is returned of a sample that holds is its point of greatest loss. `step_size` and `keep` of
the options are not listened to: the attack finds its own, and keeps what fools.
"""

apgd_dlr: Final[Attack] = partial(_auto, APGD_DLR.name)
"""Auto-PGD on the difference of logits ratio; with two classes on the cross-entropy, and it is noted."""

apgd_t: Final[Attack] = partial(_auto, APGD_T.name)
"""Auto-PGD on the targeted ratio, toward each of the `target_classes` likeliest other classes.

With fewer than four classes it goes by the cross-entropy of each class instead, and that is
noted. Any other class counts as success, unless `targets` are given: then each sample has that one.
Every class and restart is one more `restart` in the trace.
"""


class _Run:
    """One attack on one batch."""

    def __init__(
        self,
        name: str,
        classifier: nn.Module,
        images: Tensor,
        labels: Tensor,
        options: AttackOptions,
        targets: Tensor | None,
        trace: Trace | None,
        generator: torch.Generator | None,
        control: Control | None,
    ) -> None:
        check_batch(images, labels, targets)
        self._name = name
        self._classifier = classifier
        self._images = images.detach()
        self._labels = labels
        self._targets = targets
        self._options = options
        self._generator = generator or private_generator(0)
        self._control = control or Control()
        self._record = Record(self._images, Goal(labels, targets), trace)

    def result(self) -> AttackResult:
        """Run it."""
        if not len(self._images):
            return self._record.result()
        options, number = self._options, 0
        with attack_mode(self._classifier), torch.enable_grad():
            for aim in self._aims():
                # Without a random start every restart would be the same.
                for _ in range(options.restarts if options.random_start else 1):
                    start = self._images
                    if options.random_start:
                        # Drawn for the whole batch: a sample's start does not depend on which others hold.
                        start = random_start(self._images, options, self._generator)
                    index = self._record.open
                    if not len(index):
                        return self._record.result()
                    ascent = Ascent(self._classifier, options, self._record, self._control, restart=number)
                    ascent.run(index, self._images[index], start[index], aim.at(index))
                    number += 1
        return self._record.result()

    def _aims(self) -> Iterator[Aim]:
        """What is ascended, one after the other."""
        loss = _LOSS[self._name]
        if loss == "ce":
            yield Aim("ce", self._labels, self._targets)
            return
        many = loss == "dlr_targeted" and self._targets is None
        if self._targets is not None:
            loss = "dlr_targeted"
        clean = self._clean_logits(self._images if many else self._images[:1])
        classes = clean.shape[1]
        loss = self._possible(loss, classes)
        if self._targets is not None:
            yield Aim(loss, self._labels, self._targets)
            return
        if not many:
            yield Aim(loss, self._labels)
            return
        others = clean.float().nan_to_num().scatter(1, self._labels.unsqueeze(1), -torch.inf)
        ranked = others.argsort(dim=1, descending=True, stable=True)
        for rank in range(min(self._options.target_classes, classes - 1)):
            yield Aim(loss, self._labels, ranked[:, rank])

    def _clean_logits(self, images: Tensor) -> Tensor:
        self._control.check()
        with torch.no_grad():
            logits: Tensor = self._classifier(images)
        self._record.forwards += len(images)
        return logits

    def _possible(self, loss: LossName, classes: int) -> LossName:
        """The loss itself, or, where there are too few classes for it, the cross-entropy, with a note."""
        least = LEAST_CLASSES[loss]
        if classes >= least:
            return loss
        title = attack_info(self._name).title
        self._record.notes.append(
            f"{title} needs at least {least} classes for its ratio of logits and there are {classes}: "
            "it used the cross-entropy instead."
        )
        return "ce"
