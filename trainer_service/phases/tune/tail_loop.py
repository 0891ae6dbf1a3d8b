"""Trains a tail and its head an epoch at a time, on rows that are read from disk in pieces."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from trainer_service.backbones.features import Features, Stored
from trainer_service.phases.head.layers.best_epoch import Epoch
from trainer_service.phases.head.layers.optimizer import on_one_device
from trainer_service.phases.head.regression.scaling import measure
from trainer_service.phases.head.solved import LinearHead
from trainer_service.phases.tune.checkpoint import Arrays
from trainer_service.phases.tune.settings import TuneSettings
from trainer_service.phases.tune.tail_data import EVALUATE_BATCH, TailData

#: Images whose features tell the scale of each tap.
SCALE_IMAGES = 2048
#: Share of the learning rate that the cosine ends at.
_FINAL = 0.01


class TailLoop:
    """A tail with a head on top, and what it takes to train both.

    The head works on features that are centred, and divided by one number for each tap, so that one
    learning rate suits all. `head` folds that into a head on raw features again.

    Args:
        tail: a `keras.Model` from rows to features; it is trained in place.
        widths: how many features each tap has, in their order.
        head: what the training starts from.
        train: what is learnt from.
        class_weights: float32 (labels,), the weight of each label in the loss.
        settings: learning rates and so on.
        check: called often; what it raises ends whatever is being done.
    """

    def __init__(  # noqa: PLR0913, PLR0917
        self,
        tail: Any,
        widths: Sequence[int],
        head: LinearHead,
        train: TailData,
        class_weights: Features,
        settings: TuneSettings,
        check: Callable[[], None],
    ) -> None:
        self._tail, self._train, self._settings, self._check = tail, train, settings, check
        self._class_weights = tf.constant(class_weights)
        self._mean, self._scale = _measure(tail, train, widths, check)
        self._dense = keras.layers.Dense(head.kernel.shape[1], name="probabilities")
        self._dense.build((None, len(self._mean)))
        scaled = head.kernel * self._scale[:, None]
        self._dense.set_weights([scaled, head.bias + self._mean @ head.kernel])
        self._tail_variables = tail.trainable_variables
        self._variables = [*self._tail_variables, *self._dense.trainable_variables]
        self._averages = [keras.Variable(one.value, trainable=False) for one in self._variables]
        steps_per_epoch = -(-train.images // settings.batch_size)
        self._optimizers = [
            _optimizer(rate, settings, steps_per_epoch, variables)
            for rate, variables in (
                (settings.learning_rate, self._tail_variables),
                (settings.head_learning_rate, self._dense.trainable_variables),
            )
        ]
        #: The averages reach back about half an epoch.
        self._momentum = 1 - 1 / max(2.0, steps_per_epoch / 2)
        width = tail.input_shape[-1]
        labels, share = tf.TensorSpec((None,), tf.int64), tf.TensorSpec((), tf.float32)
        self._differentiate = _OfRows(self._gradients, width, labels, share)
        self._look = _OfRows(self._logits, width)
        self._update = tf.function(self._apply)

    @property
    def head(self) -> LinearHead:
        """The head as it is now, on raw features."""
        kernel, bias = self._dense.get_weights()
        raw = kernel / self._scale[:, None]
        return LinearHead(raw.astype(np.float32), (bias - self._mean @ raw).astype(np.float32))

    def run(self, epoch: int, advance: Callable[[int], None]) -> Epoch:
        """Train one epoch; return loss, accuracy and learning_rate.

        Args:
            epoch: its number, from 1.
            advance: called with the number of images trained on so far in all epochs.
        """
        loss = hits = 0.0
        done = (epoch - 1) * self._train.images
        for rows, truth in self._read(epoch):
            more, right = self._train_batch(rows, truth)
            loss, hits = loss + more, hits + right
            advance(done := done + len(truth))
        images = self._train.images
        rate = float(self._optimizers[0].learning_rate)
        return {"loss": loss / images, "accuracy": hits / images, "learning_rate": rate}

    def logits(self, data: TailData) -> tuple[Features, npt.NDArray[np.int64]]:
        """Return the logits of the first view of images, float32 (n, labels), and the truth."""
        logits, labels = [], []
        for number in range(len(data.activations.groups)):
            rows, truth = data.group(number, 0)
            labels.append(truth)
            for start in range(0, len(truth), EVALUATE_BATCH):
                self._check()
                logits.append(self._look(rows[start : start + EVALUATE_BATCH]).numpy())
        return np.concatenate(logits), np.concatenate(labels)

    def averages(self) -> Arrays:
        """Return the averaged weights; the last two are kernel and bias of the head."""
        return _values(self._averages)

    def weights(self) -> Arrays:
        """Return the weights of tail and head."""
        return _values(self._variables)

    def set_weights(self, weights: Arrays) -> None:
        for variable, value in zip(self._variables, weights, strict=True):
            variable.assign(value)

    def state(self) -> Arrays:
        """Return all that the next epoch depends on."""
        return _values(self._state())

    def set_state(self, state: Arrays) -> None:
        """Go on from a state.

        Raises:
            ValueError: it is of another network.
        """
        for variable, value in zip(self._state(), state, strict=True):
            variable.assign(value)

    def _state(self) -> list[Any]:
        own = [one for optimizer in self._optimizers for one in optimizer.variables]
        return [*self._variables, *self._averages, *own]

    def _read(self, epoch: int) -> Iterator[tuple[Stored, npt.NDArray[np.int64]]]:
        """Yield the batches of an epoch, in an order that depends on seed and epoch alone.

        The groups come in a random order, each in another view in every epoch. As many as memory
        allows are mixed.
        """
        random = np.random.default_rng((self._settings.seed, epoch))
        groups = self._train.activations.groups
        first_views = np.random.default_rng(self._settings.seed).permutation(len(groups))
        order = random.permutation(len(groups))
        for window in self._windows([int(number) for number in order]):
            views = [int(first_views[number] + epoch) for number in window]
            count = self._train.activations.views
            parts = [
                self._train.group(number, view % count)
                for number, view in zip(window, views, strict=True)
            ]
            rows, truth = (np.concatenate(part) for part in zip(*parts, strict=True))
            del parts
            batches = -(-len(truth) // self._settings.batch_size)
            for batch in np.array_split(random.permutation(len(truth)), batches):
                yield rows[batch], truth[batch]

    def _windows(self, order: list[int]) -> Iterator[list[int]]:
        """Divide groups into those that are in memory together."""
        bytes_of_row = 2 * 2 * self._tail.input_shape[-1]  # float16; twice while they are joined
        most = max(1, self._settings.memory // bytes_of_row)
        window: list[int] = []
        images = 0
        for number in order:
            size = len(self._train.activations.groups[number])
            if window and images + size > most:
                yield window
                window, images = [], 0
            window.append(number)
            images += size
        yield window

    def _logits(self, rows: Any) -> Any:
        # Without training, so that dropout and drop-connect of the pre-training stay off.
        features = self._tail(tf.cast(rows, tf.float32), training=False)
        return self._dense((features - self._mean) / self._scale)

    def _train_batch(self, rows: Stored, truth: npt.NDArray[np.int64]) -> tuple[float, float]:
        """Make a step; return the sum of the losses, and how many answers were right."""
        loss = hits = 0.0
        total: list[Any] = []
        for start in range(0, len(truth), self._settings.part_size):
            self._check()
            part = slice(start, start + self._settings.part_size)
            losses, right, gradients = self._differentiate(
                rows[part], tf.constant(truth[part]), tf.constant(1 / len(truth))
            )
            loss, hits = loss + float(losses), hits + float(right)
            pairs = zip(total, gradients, strict=True)
            total = [one + other for one, other in pairs] if total else gradients
        self._update(total)
        return loss, hits

    def _gradients(self, rows: Any, truth: Any, share: Any) -> tuple[Any, Any, list[Any]]:
        """Return loss, right answers, and the gradients of the loss times `share`."""
        with tf.GradientTape() as tape:
            logits = self._logits(rows)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(truth, logits)
            losses *= tf.gather(self._class_weights, truth)
            loss = tf.reduce_sum(losses)
            counted = loss * share
        gradients = tape.gradient(counted, [one.value for one in self._variables])
        return loss, _hits(logits, truth), gradients

    def _apply(self, gradients: list[Any]) -> None:
        gradients, _ = tf.clip_by_global_norm(gradients, self._settings.clip)
        tail, head = self._optimizers
        count = len(self._tail_variables)
        tail.apply(gradients[:count], self._tail_variables)
        head.apply(gradients[count:], self._variables[count:])
        steps = tf.cast(tail.iterations, tf.float32)
        momentum = tf.minimum(self._momentum, (1 + steps) / (10 + steps))
        for average, variable in zip(self._averages, self._variables, strict=True):
            average.assign(momentum * average.value + (1 - momentum) * variable.value)


class _OfRows:
    """A function of rows and others, as a graph for each type that rows are stored in.

    Args:
        function: what is computed.
        width: the length of a row.
        others: the `tf.TensorSpec` of each of the other arguments.
    """

    def __init__(self, function: Callable[..., Any], width: int, *others: Any) -> None:
        self._graphs = {
            kind: tf.function(
                function, input_signature=[tf.TensorSpec((None, width), kind), *others]
            )
            for kind in (np.float16, np.float32)
        }

    def __call__(self, rows: Stored, *others: Any) -> Any:
        return self._graphs[rows.dtype.type](tf.constant(rows), *others)


def _values(variables: list[Any]) -> Arrays:
    return [np.array(variable.value.numpy()) for variable in variables]


def _hits(logits: Any, truth: Any) -> Any:
    """Count the rows whose largest logit is that of the right label."""
    right = tf.equal(tf.argmax(logits, axis=-1), truth)
    return tf.reduce_sum(tf.cast(right, tf.float32))


def _optimizer(
    rate: float, settings: TuneSettings, steps_per_epoch: int, variables: list[Any]
) -> Any:
    """Return AdamW, whose rate rises to `rate` and falls along a cosine; biases do not decay."""
    steps = settings.epochs * steps_per_epoch
    warm_up = max(1, round(settings.warm_up * steps))
    schedule = keras.optimizers.schedules.CosineDecay(
        rate / warm_up,
        max(1, steps - warm_up),
        alpha=_FINAL,
        warmup_target=rate,
        warmup_steps=warm_up,
    )
    optimizer = on_one_device(keras.optimizers.AdamW(schedule, weight_decay=settings.weight_decay))
    vectors = [variable for variable in variables if len(variable.shape) < 2]  # noqa: PLR2004
    optimizer.exclude_from_weight_decay(var_list=vectors)
    optimizer.build(variables)
    return optimizer


def _measure(
    tail: Any, train: TailData, widths: Sequence[int], check: Callable[[], None]
) -> tuple[Features, Features]:
    """Return the mean of each feature, and for each the scale of its tap, both float32."""
    predict = tf.function(lambda rows: tail(tf.cast(rows, tf.float32), training=False))
    parts: list[Stored] = []
    for number in range(len(train.activations.groups)):
        rows, _ = train.group(number, 0)
        for start in range(0, len(rows), EVALUATE_BATCH):
            check()
            parts.append(np.asarray(predict(tf.constant(rows[start : start + EVALUATE_BATCH]))))
        if sum(map(len, parts)) >= SCALE_IMAGES:
            break
    scaling = measure(parts, widths, check)
    return scaling.mean.astype(np.float32), scaling.scale.astype(np.float32)
