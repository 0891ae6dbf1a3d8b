"""A Keras callback that hands each epoch's logs on."""

import math
from collections.abc import Callable
from typing import Any

import keras


class EpochReporter(keras.callbacks.Callback):  # type: ignore[misc]  # Keras is untyped
    """Collects the logs of each epoch and passes them on.

    Args:
        on_epoch: called with the epoch's number, from 1, and its logs; true stops the fit, and what
            it raises ends it.
    """

    def __init__(self, on_epoch: Callable[[int, dict[str, float]], bool]) -> None:
        super().__init__()
        self._on_epoch = on_epoch
        self.history: list[dict[str, float]] = []

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        del logs
        self.history = []

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        values = dict(logs or {})
        self.history.append(values)
        stop = self._on_epoch(epoch + 1, values)
        if stop or not math.isfinite(values["loss"]):
            self.model.stop_training = True
