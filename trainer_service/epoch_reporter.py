"""A Keras callback that hands each epoch's logs on."""

import math
from collections.abc import Callable
from typing import Any

import keras


class EpochReporter(keras.callbacks.Callback):  # type: ignore[misc]  # Keras is untyped
    """Collects the logs of each epoch and passes them on.

    Args:
        on_epoch: called with the epoch's number, from 1, and its logs; what it raises ends the fit.
    """

    def __init__(self, on_epoch: Callable[[int, dict[str, float]], None]) -> None:
        super().__init__()
        self._on_epoch = on_epoch
        self.history: list[dict[str, float]] = []

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        del logs
        self.history = []

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        values = dict(logs or {})
        self.history.append(values)
        self._on_epoch(epoch + 1, values)
        if not math.isfinite(values["loss"]):
            self.model.stop_training = True
