"""Which changes of an image leave its meaning as it is: what `augment: auto` allows.

A mirrored cat is a cat; a mirrored 2 is no digit, and a mirrored photograph of a left hand is one
of a right hand. Nobody has to know that beforehand: the solved head is asked, which has seen no
changed image. If it knows the changed validation images nearly as well as the images themselves,
the tail may learn from such changes.
"""

import math
from collections.abc import Callable, Mapping
from statistics import fmean, stdev

from trainer_service.phases.head.regression.solver import losses
from trainer_service.phases.head.solved import LinearHead
from trainer_service.phases.tune.tail_data import TailAnswers, TailData
from trainer_service.requests.tune import Change

#: The number of the first view that is changed.
CHANGED = 1
#: By how much the loss may rise: by a share of it, and by nats. On photographs of trash it rose by
#: up to 0.17 from 0.4 to 0.8, and on digits whose meaning changed by 0.17 and more from 0.04 on.
_SHARE, _NATS = 0.25, 0.1


def harmless_changes(
    answers: TailAnswers,
    head: LinearHead,
    plain: TailData,
    changed: Mapping[Change, TailData],
    check_cancelled: Callable[[], None],
) -> list[Change]:
    """Return the changes under which the head still knows the validation images.

    A few images tell little, and a change that is left out does less harm than a wrong one. So a
    standard error is added to what the losses rise by.

    Args:
        answers: those of the tail, of which nothing was trained yet.
        head: solved on the features of the training images.
        plain: the validation images.
        changed: the same, by the change that their view number `CHANGED` shows.
        check_cancelled: called every few batches; what it raises ends the comparison.
    """
    before = losses_of(answers, head, plain, 0, check_cancelled)
    most = _SHARE * fmean(before.values()) + _NATS
    return [
        change
        for change, data in changed.items()
        if _rise(before, losses_of(answers, head, data, CHANGED, check_cancelled)) <= most
    ]


def _rise(before: Mapping[str, float], after: Mapping[str, float]) -> float:
    """Return by how much the losses of the same images rise on average, and a standard error."""
    rises = [after[image] - before[image] for image in before.keys() & after.keys()]
    return fmean(rises) + stdev(rises) / math.sqrt(len(rises)) if len(rises) > 1 else math.inf


def losses_of(
    answers: TailAnswers,
    head: LinearHead,
    data: TailData,
    view: int,
    check_cancelled: Callable[[], None],
) -> dict[str, float]:
    """Return the cross-entropy of a head on one view of some images, by their SHA-256."""
    found: dict[str, float] = {}
    for number, group in enumerate(data.activations.groups):
        rows, truth = data.group(number, view)
        values = losses(answers.logits(head, rows, check_cancelled).T, truth)
        found |= zip(group, values.tolist(), strict=True)
    return found
