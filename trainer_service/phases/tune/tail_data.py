"""What a tail learns from, and what it answers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from shared.engines.tensorflow_engine import load_tensorflow
from trainer_service.backbones.features import Features, Stored
from trainer_service.phases.head.solved import LinearHead
from trainer_service.phases.tune.activations import Activations

#: Images in one pass without gradients.
EVALUATE_BATCH = 64


@dataclass(frozen=True, slots=True)
class TailData:
    """The stored rows of one part of the split, and the index of each image's label."""

    activations: Activations
    truth: dict[str, int]

    @property
    def images(self) -> int:
        return sum(map(len, self.activations.groups))

    def group(self, number: int, view: int) -> tuple[Stored, npt.NDArray[np.int64]]:
        """Return rows and label indices of one view of a group."""
        labels = [self.truth[sha256] for sha256 in self.activations.groups[number]]
        return self.activations.rows(number, view), np.array(labels, np.int64)


class TailAnswers:
    """What a tail and a head answer to stored rows; nothing is trained.

    Args:
        tail: a `keras.Model` from rows to features.
    """

    def __init__(self, tail: Any) -> None:
        tf = load_tensorflow()

        def features(rows: Any) -> Any:
            # Without training, so that dropout and drop-connect of the pre-training stay off.
            return tail(tf.cast(rows, tf.float32), training=False)

        self._features = tf.function(features, reduce_retracing=True)
        self._width = int(tail.output_shape[-1])

    def logits(self, head: LinearHead, rows: Stored, check: Callable[[], None]) -> Features:
        """Return the logits of rows, float32 (n, labels).

        Args:
            head: on the features of the tail.
            rows: (n, width).
            check: called every few batches; what it raises ends the computation.
        """
        return self._each(rows, check, lambda features: features @ head.kernel + head.bias)

    def features(self, rows: Stored, check: Callable[[], None]) -> Features:
        """Return the features that the tail gives for rows, float32 (n, features).

        Args:
            rows: (n, width).
            check: called every few batches; what it raises ends the computation.
        """
        return self._each(rows, check, lambda features: features)

    def _each(
        self, rows: Stored, check: Callable[[], None], then: Callable[[Features], Features]
    ) -> Features:
        parts = [then(np.empty((0, self._width), np.float32))]
        for start in range(0, len(rows), EVALUATE_BATCH):
            check()
            parts.append(then(self._features(rows[start : start + EVALUATE_BATCH]).numpy()))
        return np.concatenate(parts)
