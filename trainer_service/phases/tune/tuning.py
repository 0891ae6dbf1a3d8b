"""The tune phase: the tail of a backbone and its head learn on, from the solved head."""

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from shared.engines.tensorflow_engine import load_tensorflow
from shared.logs import get_logger
from trainer_service.backbones.cuts import Divided
from trainer_service.backbones.features import Features
from trainer_service.phases.head.data import Truth
from trainer_service.phases.head.layers.best_epoch import Epoch
from trainer_service.phases.head.regression.solver import losses
from trainer_service.phases.head.solved import LinearHead
from trainer_service.phases.head.temperature import best_temperature
from trainer_service.phases.tune import checkpoint
from trainer_service.phases.tune.checkpoint import Arrays, Checkpoint, Gain
from trainer_service.phases.tune.settings import TuneSettings
from trainer_service.phases.tune.tail_data import TailData

if TYPE_CHECKING:
    from trainer_service.phases.tune.tail_loop import TailLoop

#: By how many nats an image that no validation image stands for may be answered worse.
UNSEEN = 1.0

log = get_logger(__name__)


class TuningStopped(Exception):
    """A client wants no more tuning: the best so far is taken."""


@dataclass(frozen=True, slots=True)
class _Measured:
    """How well a network answers the validation images.

    Attributes:
        losses: the cross-entropy of each image.
        accuracy: the share of them that are classified right.
    """

    losses: Features
    accuracy: float

    @classmethod
    def of(cls, logits: Features, truth: Truth) -> Self:
        return cls(losses(logits.T, truth), float((logits.argmax(axis=1) == truth).mean()))

    @property
    def loss(self) -> float:
        return float(self.losses.mean(dtype=np.float64))

    @property
    def told(self) -> dict[str, float]:
        return {"loss": self.loss, "accuracy": self.accuracy}


@dataclass(frozen=True, slots=True)
class Tuned:
    """What came of tuning.

    Attributes:
        accepted: whether the tuned network is better than the one that it began with.
        head: of the tuned network, on raw features; if it was not accepted, the one it began with.
        history: loss, accuracy, learning_rate, val_loss and val_accuracy of each epoch. The first
            three are of the weights while they changed, the others of the averaged weights.
        best_epoch: the epoch whose weights the network has, from 1; 0 if it was not accepted.
        frozen: `loss` and `accuracy` on the validation images before.
        tuned: the same of the best epoch; empty if none was trained, or the first diverged.
        gain: by how much the loss of the best epoch is smaller than that before, if it is, and by
            how much it has to be.
    """

    accepted: bool
    head: LinearHead
    history: list[Epoch]
    best_epoch: int
    frozen: dict[str, float]
    tuned: dict[str, float]
    gain: Gain | None = None


def tune(  # noqa: PLR0913 - most have names
    divided: Divided,
    head: LinearHead,
    train: TailData,
    validation: TailData,
    *,
    widths: Sequence[int],
    class_weights: Features,
    settings: TuneSettings,
    checkpoint_file: Path,
    on_epoch: Callable[[int, Epoch, bool], None],
    on_images: Callable[[int], None],
    check: Callable[[], None],
    on_start: Callable[[dict[str, float]], None] = lambda _: None,
    on_unkept: Callable[[int, OSError], None] = lambda *_: None,
) -> Tuned:
    """Train the tail of a divided backbone, and its head, in place.

    The result is accepted only if its loss on the validation images is smaller than the solved
    head's by more than may be chance (`gain_of`), both at their best temperature. Neither has
    learnt more than that number from them. If it is not accepted, the weights are those from
    before.

    Args:
        divided: the backbone; to train its tail changes it.
        head: solved on the features of the training images alone.
        train: what is learnt from.
        validation: what tells the best epoch; only the first view is looked at.
        widths: how many features each tap has, in their order.
        class_weights: float32 (labels,), the weight of each label in the loss.
        settings: learning rates and so on.
        checkpoint_file: where the state is kept after each epoch. If it is there, the training goes
            on from it; the result is the same as without an interruption. If it can't be written,
            the training goes on, and the next epoch tries again.
        on_epoch: called after each epoch with its number, from 1, its metrics, and whether it is
            the best so far, also for those that an earlier process has trained.
        on_images: called with the number of images trained on so far in all epochs.
        check: called every few batches. With `TuningStopped` it ends the training, and the best
            epoch so far is taken; whatever else it raises is passed on.
        on_start: called once, with the loss and accuracy on the validation images before.
        on_unkept: called with the number of an epoch whose state can't be written, and the error.

    Raises:
        FeaturesGone: activations were removed while the training ran.
        OSError: they can't be read.
    """
    load_tensorflow()
    from trainer_service.phases.tune.tail_loop import TailLoop

    loop = TailLoop(divided.tail, widths, head, train, class_weights, settings, check)
    start = loop.weights()
    before = _measured_at_best(*loop.logits(validation))
    on_start(before.told)
    at = _resume(loop, checkpoint_file, _key(loop.state(), train, validation, settings))
    least = before.loss
    for number, epoch in enumerate(at.history, 1):  # of an earlier process
        on_epoch(number, epoch, epoch["val_loss"] < least)
        least = min(least, epoch["val_loss"])
    with suppress(TuningStopped):
        while not _is_over(at, settings):
            _train_epoch(loop, at, validation, before, on_images)
            number = len(at.history)
            if refused := checkpoint.keep(checkpoint_file, at):
                on_unkept(number, refused)
            on_epoch(number, at.history[-1], at.best_epoch == number)
    return _finish(loop, at, head, start, before)


def _train_epoch(
    loop: "TailLoop",
    at: Checkpoint,
    validation: TailData,
    before: _Measured,
    on_images: Callable[[int], None],
) -> None:
    """Train another epoch, and note its weights if its loss is the least so far."""
    number = len(at.history) + 1
    epoch = loop.run(number, on_images)
    state = loop.state()
    weights, after = _averaged(loop, validation)
    loop.set_state(state)
    at.state = state
    if after.loss < min([before.loss, *(past["val_loss"] for past in at.history)]):
        at.best_epoch, at.best = number, weights
        at.gain = gain_of(before.losses, after.losses)
    at.history.append(epoch | {"val_loss": after.loss, "val_accuracy": after.accuracy})


def gain_of(before: Features, after: Features) -> Gain:
    """Return by how much losses are smaller on average, and by how much they have to be.

    That is by more than a standard error of the differences, after an image has been added that is
    answered worse by `UNSEEN` nats. Where nearly all images are right, those that decide are rare,
    and a set of images without any of them shows many tiny gains that seem sure.

    Args:
        before: the loss of each image.
        after: the same of the same images.
    """
    gains = before.astype(np.float64) - after
    supposed = np.append(gains, -UNSEEN)
    error = supposed.std(ddof=1) / math.sqrt(len(supposed))
    return float(gains.mean()), float((error * len(supposed) + UNSEEN) / len(gains))


def _measured_at_best(logits: Features, truth: Truth) -> _Measured:
    """Measure at the best temperature: only what is learnt must decide, not the doubt."""
    return _Measured.of(logits / best_temperature(logits, truth), truth)


def _averaged(loop: "TailLoop", validation: TailData) -> tuple[Arrays, _Measured]:
    """Return the averaged weights, and how good they are; the loop has these weights then.

    The head's own are divided by the temperature, without which the network is too sure of itself.
    """
    weights = loop.averages()
    loop.set_weights(weights)
    logits, truth = loop.logits(validation)
    temperature = best_temperature(logits, truth)
    *tail, kernel, bias = weights
    calibrated = [*tail, kernel / temperature, bias / temperature]
    return calibrated, _Measured.of(logits / temperature, truth)


def _resume(loop: "TailLoop", file: Path, key: str) -> Checkpoint:
    """Return where an earlier process left off, and put the loop there; else the beginning."""
    found = checkpoint.load(file, key)
    if found is None:
        return Checkpoint(key, [], 0, None, [], [])
    loop.set_state(found.state)
    log.info("tuning goes on", epochs=len(found.history))
    return found


def _is_over(at: Checkpoint, settings: TuneSettings) -> bool:
    epochs = len(at.history)
    if not epochs:
        return False
    diverged = not math.isfinite(at.history[-1]["loss"])
    return diverged or epochs >= settings.epochs or epochs - at.best_epoch >= settings.patience


def _finish(
    loop: "TailLoop", at: Checkpoint, head: LinearHead, start: Arrays, before: _Measured
) -> Tuned:
    """Give the network its best weights; those from before if no epoch was clearly better."""
    accepted = at.gain is not None and at.gain[0] > at.gain[1]
    loop.set_weights(at.best if accepted else start)
    tuned: dict[str, float] = {}
    shown = min(at.history, key=_validation_loss, default=None)
    if shown and math.isfinite(shown["val_loss"]):
        tuned = {"loss": shown["val_loss"], "accuracy": shown["val_accuracy"]}
    new = loop.head if accepted else head
    best = at.best_epoch if accepted else 0
    return Tuned(accepted, new, at.history, best, before.told, tuned, at.gain)


def _validation_loss(epoch: Epoch) -> float:
    loss = epoch["val_loss"]
    return loss if math.isfinite(loss) else math.inf


def _key(state: Arrays, train: TailData, validation: TailData, settings: TuneSettings) -> str:
    """Return what a training depends on: one with another key is another training.

    Of the state only the shapes count. A killed training solves its head anew, which may add up
    sums in another order.
    """
    digest = hashlib.sha256(json.dumps(asdict(settings), sort_keys=True).encode())
    for data in (train, validation):
        digest.update(json.dumps([data.activations.groups, data.activations.views]).encode())
        digest.update(json.dumps(data.truth, sort_keys=True).encode())
    for array in state:
        digest.update(json.dumps(array.shape).encode())
    return digest.hexdigest()
