"""Decides which epoch's weights a head keeps, and when its training stops early."""

import math
from dataclasses import dataclass

from trainer_service.requests.training import EarlyStopping, TrainingRequest

Epoch = dict[str, float]


@dataclass(slots=True)
class BestEpoch:
    """Follows the epochs of a head's training.

    An epoch is better than the best so far if its metric improves on it by more than `min_delta`,
    as with Keras' `EarlyStopping`. The first epoch always is.

    Attributes:
        number: the best epoch, from 1; 0 before the first.
        exhausted: whether the last `patience` epochs were no better than the best before them.
    """

    metric: str
    min_delta: float
    patience: int
    number: int = 0
    exhausted: bool = False
    _best: float = math.nan

    @classmethod
    def of(cls, request: TrainingRequest) -> "BestEpoch":
        """Return one for a request; without early stopping it is never exhausted."""
        chosen = request.early_stopping
        stopping = EarlyStopping() if chosen == "off" else chosen
        patience = request.epochs if chosen == "off" else stopping.patience
        return cls(stopping.metric, stopping.min_delta, patience)

    def improves(self, number: int, epoch: Epoch) -> bool:
        """Record an epoch, and return whether it is the best so far.

        Args:
            number: the number of the epoch, from 1.
            epoch: its loss, accuracy, val_loss and val_accuracy.
        """
        value = epoch[self.metric] if self.metric == "val_accuracy" else -epoch[self.metric]
        better = not self.number or value - self.min_delta > self._best
        if better:
            self.number, self._best = number, value
        self.exhausted = number - self.number >= self.patience
        return better
