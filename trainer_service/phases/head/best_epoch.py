"""Which epoch's weights a head keeps, and when training for a better one is given up."""

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
        exhausted: whether `patience` epochs in a row have brought nothing better.
    """

    metric: str
    min_delta: float
    patience: int
    number: int = 0
    exhausted: bool = False
    _best: float = math.nan

    @classmethod
    def of(cls, request: TrainingRequest) -> "BestEpoch":
        """Follow what the request names; without early stopping nothing exhausts the patience."""
        chosen = request.early_stopping
        stopping = EarlyStopping() if chosen == "off" else chosen
        patience = request.epochs if chosen == "off" else stopping.patience
        return cls(stopping.metric, stopping.min_delta, patience)

    def improves(self, number: int, epoch: Epoch) -> bool:
        """Note an epoch; return whether it is the best so far.

        Args:
            number: the epoch's, from 1.
            epoch: its loss, accuracy, val_loss and val_accuracy.
        """
        value = epoch[self.metric] if self.metric == "val_accuracy" else -epoch[self.metric]
        better = not self.number or value - self.min_delta > self._best
        if better:
            self.number, self._best = number, value
        self.exhausted = number - self.number >= self.patience
        return better
