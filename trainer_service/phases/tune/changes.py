"""Which changes of an image leave its meaning as it is: what `augment: auto` allows.

A mirrored cat is a cat; a mirrored 2 is no digit, and a mirrored photograph of a left hand is one
of a right hand. Nobody has to know that beforehand: the solved head is asked, which has seen no
changed image. If it knows the changed validation images nearly as well as the images themselves,
the tail may learn from such changes.
"""

from collections.abc import Callable, Mapping

import numpy as np

from shared.engines.tensorflow_engine import load_tensorflow
from trainer_service.backbones.cuts import Divided
from trainer_service.phases.head.regression.solver import losses
from trainer_service.phases.tune.tail_data import EVALUATE_BATCH, LinearHead, TailData
from trainer_service.requests.tune import Change

#: The number of the first view that is changed.
CHANGED = 1
#: By how much the loss may rise: by a share of it, and by nats.
_SHARE, _NATS = 0.5, 0.1


def harmless_changes(
    divided: Divided,
    head: LinearHead,
    plain: TailData,
    changed: Mapping[Change, TailData],
    check_cancelled: Callable[[], None],
) -> list[Change]:
    """Return the changes under which the head still knows the validation images.

    Args:
        divided: the backbone, of which nothing was trained yet.
        head: solved on the features of the training images.
        plain: the validation images.
        changed: the same, by the change that their view number `CHANGED` shows.
        check_cancelled: called every few batches; what it raises ends the comparison.
    """
    most = (1 + _SHARE) * loss_of(divided, head, plain, 0, check_cancelled) + _NATS
    return [
        change
        for change, data in changed.items()
        if loss_of(divided, head, data, CHANGED, check_cancelled) <= most
    ]


def loss_of(
    divided: Divided,
    head: LinearHead,
    data: TailData,
    view: int,
    check_cancelled: Callable[[], None],
) -> float:
    """Return the mean cross-entropy of a head on one view of some images."""
    tf = load_tensorflow()
    total = 0.0
    for number in range(len(data.activations.groups)):
        rows, truth = data.group(number, view)
        for start in range(0, len(truth), EVALUATE_BATCH):
            check_cancelled()
            part = slice(start, start + EVALUATE_BATCH)
            batch = tf.constant(rows[part].astype(np.float32))
            logits = np.asarray(divided.tail(batch, training=False)) @ head.kernel + head.bias
            total += float(losses(logits.T, truth[part]).sum())
    return total / data.images
