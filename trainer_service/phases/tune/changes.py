"""Which changes of an image leave its meaning as it is: what `augment: auto` allows.

A mirrored cat is a cat; a mirrored 2 is no digit, and a mirrored photograph of a left hand is one
of a right hand. Nobody has to know that beforehand: the solved head is asked, which has seen no
changed image. If it knows the changed validation images nearly as well as the images themselves,
the tail may learn from such changes.
"""

from collections.abc import Callable, Mapping

from trainer_service.phases.head.regression.solver import losses
from trainer_service.phases.head.solved import LinearHead
from trainer_service.phases.tune.tail_data import TailAnswers, TailData
from trainer_service.requests.tune import Change

#: The number of the first view that is changed.
CHANGED = 1
#: By how much the loss may rise: by a share of it, and by nats.
_SHARE, _NATS = 0.5, 0.1


def harmless_changes(
    answers: TailAnswers,
    head: LinearHead,
    plain: TailData,
    changed: Mapping[Change, TailData],
    check_cancelled: Callable[[], None],
) -> list[Change]:
    """Return the changes under which the head still knows the validation images.

    Args:
        answers: those of the tail, of which nothing was trained yet.
        head: solved on the features of the training images.
        plain: the validation images.
        changed: the same, by the change that their view number `CHANGED` shows.
        check_cancelled: called every few batches; what it raises ends the comparison.
    """
    most = (1 + _SHARE) * loss_of(answers, head, plain, 0, check_cancelled) + _NATS
    return [
        change
        for change, data in changed.items()
        if loss_of(answers, head, data, CHANGED, check_cancelled) <= most
    ]


def loss_of(
    answers: TailAnswers,
    head: LinearHead,
    data: TailData,
    view: int,
    check_cancelled: Callable[[], None],
) -> float:
    """Return the mean cross-entropy of a head on one view of some images."""
    total = 0.0
    for number in range(len(data.activations.groups)):
        rows, truth = data.group(number, view)
        total += float(losses(answers.logits(head, rows, check_cancelled).T, truth).sum())
    return total / data.images
