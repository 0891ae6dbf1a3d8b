"""How long tuning takes, measured on a few images before it begins."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from shared.engines.tensorflow_engine import load_tensorflow
from trainer_service.datasets.image_files import ImageFiles
from trainer_service.phases.bottleneck.view_computer import ViewComputer
from trainer_service.store.events.events import TuneEstimateEvent
from trainer_service.store.shards import ShardImage

#: So many images are computed and trained on for the measurement.
TRIED_IMAGES = 8
#: From this number of seconds on, a warning says how long it takes.
LONG_SECONDS = 900.0

_MINUTE, _HOUR = 60.0, 3600.0


@dataclass(frozen=True, slots=True)
class Estimate:
    """How long tuning takes at most.

    Attributes:
        views_seconds: for the views that are still to be computed.
        epoch_seconds: for one epoch.
        epochs: how many there are at most.
        bytes: what all views take on disk.
    """

    views_seconds: float
    epoch_seconds: float
    epochs: int
    bytes: int

    @property
    def seconds(self) -> float:
        return self.views_seconds + self.epochs * self.epoch_seconds

    @property
    def event(self) -> TuneEstimateEvent:
        return TuneEstimateEvent(
            seconds=round(self.seconds, 1),
            views_seconds=round(self.views_seconds, 1),
            epoch_seconds=round(self.epoch_seconds, 2),
            epochs=self.epochs,
            bytes=self.bytes,
        )

    @property
    def warning(self) -> str | None:
        """A sentence for the user, if it takes long."""
        if self.seconds < LONG_SECONDS:
            return None
        return (
            f"Tuning will take up to {in_words(self.seconds)}: {in_words(self.views_seconds)} for "
            f"the views and {in_words(self.epoch_seconds)} for each of {self.epochs} epochs. "
            "Stopped earlier, it publishes the best so far. A later layer in tune.from, fewer "
            "tune.views or fewer tune.epochs take less."
        )


def seconds_per_image(
    computer: ViewComputer,
    images: Sequence[ShardImage],
    files: ImageFiles,
    check: Callable[[], None],
) -> float:
    """Return how long all views of an image take; the rows of a few images are thrown away.

    Args:
        computer: computes the rows.
        images: those that are still to be computed; if there are none, that takes no time.
        files: where they are read.
        check: called now and then; what it raises ends the measurement.
    """
    tried = images[:TRIED_IMAGES]
    if not tried:
        return 0.0
    computer.compute(tried[:1], files, lambda _: check())  # the first ones also load things
    return computer.compute(tried, files, lambda _: check())[2].seconds / len(tried)


def seconds_per_step(tail: Any, labels: int, check: Callable[[], None]) -> float:
    """Return how long it takes to train on an image.

    Args:
        tail: a `keras.Model` from rows to features; it is not changed.
        labels: how many there are.
        check: called now and then; what it raises ends the measurement.
    """
    tf = load_tensorflow()
    rows = tf.zeros((TRIED_IMAGES, tail.input_shape[-1]))
    kernel = tf.ones((tail.output_shape[-1], labels))
    variables = [one.value for one in tail.trainable_variables]

    def learn() -> Any:
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tail(rows, training=False) @ kernel)
        # Summed up, as what nobody needs is not computed.
        return [tf.reduce_sum(one) for one in tape.gradient(loss, variables)]

    step = tf.function(learn)
    step()
    check()
    started = time.perf_counter()
    step()
    return (time.perf_counter() - started) / TRIED_IMAGES


def in_words(seconds: float) -> str:
    """Return a duration as a person says it: `40 seconds`, `12 minutes`, `3.5 hours`."""
    if seconds < 2 * _MINUTE:
        return f"{max(1, round(seconds))} second{'' if round(seconds) <= 1 else 's'}"
    if seconds < 2 * _HOUR:
        return f"{round(seconds / _MINUTE)} minutes"
    return f"{seconds / _HOUR:.1f} hours"
