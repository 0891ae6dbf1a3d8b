"""A tail is trained from a solved head: a real Keras network, as small as it can be."""

import errno
import gc
import hashlib
import os
from dataclasses import replace
from functools import cache

import keras
import numpy as np
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression
from tensorflow.python.framework.func_graph import FuncGraph

from trainer_service.backbones import features
from trainer_service.backbones.cuts import divide
from trainer_service.backbones.features import FeatureStore
from trainer_service.errors import TrainingCancelled
from trainer_service.phases.head.solved import LinearHead
from trainer_service.phases.tune import checkpoint, tuning
from trainer_service.phases.tune.activations import Activations
from trainer_service.phases.tune.settings import TuneSettings
from trainer_service.phases.tune.tail_data import TailData
from trainer_service.phases.tune.tail_loop import TailLoop
from trainer_service.phases.tune.tuning import TuningStopped, gain_of, tune
from trainer_service.phases.views import Views

pytestmark = pytest.mark.slow

SIZE = 8
WIDTHS = (4, 8)
SETTINGS = TuneSettings(
    epochs=4, learning_rate=3e-3, head_learning_rate=3e-3, batch_size=16, patience=3
)
ONES = np.ones(2, np.float32)


def build(seed=3):
    """Return a backbone of two taps, of which one lies before the layer `cut`."""
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.Conv2D(4, 3, padding="same", name="first", activation="relu")(inputs)
    early = keras.layers.GlobalAveragePooling2D(name="first_pooled")(x)
    x = keras.layers.Conv2D(6, 3, padding="same", name="cut")(x)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.Dropout(0.5, name="dropped")(keras.layers.ReLU(name="relu")(x))
    x = keras.layers.Conv2D(8, 3, padding="same", name="last", activation="relu")(x)
    late = keras.layers.GlobalAveragePooling2D(name="output")(x)
    features = keras.layers.Concatenate(name="taps")([early, late])
    network = keras.Model(inputs, features, name="tiny")
    network.get_layer("norm").set_weights(
        [np.full(6, value, np.float32) for value in (1.1, 0.1, 0.05, 0.3)]
    )
    pixels = keras.Input((SIZE, SIZE, 3), dtype="uint8", name="pixels")
    return keras.Model(pixels, network(keras.layers.Rescaling(1 / 255)(pixels)), name="tiny")


def stripes(count, start=0):
    """Return pictures, and whether their stripes lie or stand, which no mean colour tells."""
    pixels, truth = [], []
    for number in range(start, start + count):
        random = np.random.default_rng(number)
        label = number % 2
        lines = np.zeros((SIZE, SIZE, 3))
        lines[::2] = 200
        lines = np.roll(lines, random.integers(2), axis=0)
        lines = lines.swapaxes(0, 1) if label else lines
        noise = random.normal(0, 70, lines.shape)
        pixels.append((lines + noise).clip(0, 255).astype(np.uint8))
        truth.append(label)
    return np.stack(pixels), np.array(truth)


def hashes_of(name, count):
    return [hashlib.sha256(f"{name}{number}".encode()).hexdigest() for number in range(count)]


@cache
def rows_before(cut, name, count, start, views):
    """Return what the tail begins with: of each view, float32 of shape (count, k)."""
    body = divide(build(), cut).body
    pixels, hashes = stripes(count, start)[0], hashes_of(name, count)
    made = Views.of(SIZE, views, ["mirror", "colour"], 0)
    found = []
    for view in range(views):
        images = zip(map(Image.fromarray, pixels), hashes, strict=True)
        rows = np.stack([made._view(image, sha256, view) for image, sha256 in images])
        if body is not None:
            rows = body.predict(rows, verbose=0)
        found.append(rows.reshape(count, -1).astype(np.float32))
    return found


@cache
def solved_head(count):
    """Return the head of a regression on the features of so many pictures."""
    pixels, truth = stripes(count)
    solved = LogisticRegression(C=1.0).fit(build().predict(pixels, verbose=0), truth)
    half = solved.coef_[0].astype(np.float32) / 2
    bias = solved.intercept_.astype(np.float32)[0] / 2
    return LinearHead(np.stack([-half, half], 1), np.array([-bias, bias], np.float32))


class Task:
    """A divided backbone, stored rows of training and validation images, and a solved head."""

    def __init__(self, directory, cut="cut", train=120, *, shuffled=False):
        self.directory = directory
        self.divided = divide(build(), cut)
        self.settings = SETTINGS
        self.train = self._data("train", stripes(train)[1], rows_before(cut, "train", train, 0, 3))
        self.pixels, self.truth = stripes(60, start=1000)
        if shuffled:
            self.truth = 1 - self.truth
        rows = rows_before(cut, "validation", 60, 1000, 1)
        self.validation = self._data("validation", self.truth, rows)
        self.head = solved_head(train)
        self.epochs, self.best, self.images = [], [], []

    def _data(self, name, truth, rows):
        hashes = hashes_of(name, len(truth))
        store = FeatureStore(self.directory, name, "activations")
        groups = [
            list(range(start, min(start + 25, len(truth)))) for start in range(0, len(truth), 25)
        ]
        for view, own in enumerate(rows):
            for group in groups:
                store.write([f"{hashes[index]}.{view}" for index in group], own[group], 1.0)
        named = [[hashes[index] for index in group] for group in groups]
        labels = dict(zip(hashes, truth.tolist(), strict=True))
        return TailData(Activations(store, named, len(rows)), labels)

    def tune(
        self,
        settings=None,
        on_epoch=None,
        check=lambda: None,
        stop_after=None,
        on_unkept=lambda *_: None,
    ):
        """Tune; what is to be stopped or cancelled is, at the check after an epoch."""

        def note(number, epoch, best):
            self.epochs.append(epoch)
            self.best.append(best)
            if on_epoch:
                on_epoch(number, epoch)

        def ask():
            check()
            if stop_after is not None and len(self.epochs) >= stop_after:
                raise TuningStopped

        return tune(
            self.divided,
            self.head,
            self.train,
            self.validation,
            widths=WIDTHS,
            class_weights=ONES,
            settings=settings or self.settings,
            checkpoint_file=self.directory / "tune" / "checkpoint.npz",
            on_epoch=note,
            on_images=self.images.append,
            check=ask,
            on_unkept=on_unkept,
        )

    def loop(self, settings):
        return TailLoop(
            self.divided.tail, WIDTHS, self.head, self.train, ONES, settings, lambda: None
        )

    def answers(self, head):
        """Return loss and accuracy of the whole network on the validation pictures."""
        features = self.divided.backbone.predict(self.pixels, verbose=0)
        logits = features @ head.kernel + head.bias
        logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        loss = -logs[np.arange(len(self.truth)), self.truth].mean()
        return loss, (logits.argmax(axis=1) == self.truth).mean()


@pytest.fixture
def task(tmp_path):
    return Task(tmp_path)


def weights(divided):
    return [variable.value.numpy().copy() for variable in divided.backbone.variables]


def test_what_the_head_can_not_tell_the_tail_learns(task):
    frozen = task.answers(task.head)

    tuned = task.tune()

    assert tuned.accepted
    assert tuned.tuned["loss"] < 0.8 * tuned.frozen["loss"]
    gain, margin = tuned.gain
    assert gain == pytest.approx(tuned.frozen["loss"] - tuned.tuned["loss"], abs=1e-6)
    assert 0 < margin < gain
    # The stored rows are float16; the published network begins with the pixels.
    assert tuned.frozen["loss"] < frozen[0] + 2e-3  # at the best temperature
    assert tuned.frozen["accuracy"] == frozen[1]
    expected = task.answers(tuned.head)
    assert (tuned.tuned["loss"], tuned.tuned["accuracy"]) == pytest.approx(expected, abs=2e-3)
    assert tuned.history == task.epochs
    assert [n for n, best in enumerate(task.best, 1) if best][-1] == tuned.best_epoch
    assert task.images[-1] == len(tuned.history) * task.train.images
    assert tuned.tuned["loss"] == tuned.history[tuned.best_epoch - 1]["val_loss"]
    assert set(tuned.history[0]) == {
        "loss",
        "accuracy",
        "val_loss",
        "val_accuracy",
        "learning_rate",
    }


def test_a_tail_that_got_worse_is_not_accepted(tmp_path):
    """The validation pictures contradict the training pictures, so whatever is learnt does harm."""
    task = Task(tmp_path, shuffled=True)
    before = weights(task.divided)

    tuned = task.tune()

    assert not tuned.accepted
    assert (tuned.best_epoch, len(tuned.history)) == (0, SETTINGS.patience)
    assert tuned.tuned["loss"] > tuned.frozen["loss"]
    assert tuned.head is task.head
    for value, original in zip(weights(task.divided), before, strict=True):
        np.testing.assert_array_equal(value, original)


@pytest.mark.parametrize(
    ("better", "by", "enough"),
    [
        (1, 5.0, False),  # a single image does not decide, however much better it is answered
        (100, 1e-4, False),  # nor do tiny gains, however sure they seem: what is rare is not there
        (2, 1.0, False),
        (8, 1.0, True),
        (100, 0.05, True),
    ],
)
def test_how_much_better_is_enough(better, by, enough):
    before = np.full(100, 6.0, np.float32)
    after = before.copy()
    after[:better] -= by

    gain, margin = gain_of(before, after)

    assert gain == pytest.approx(better * by / 100, rel=1e-2)
    assert (gain > margin) == enough


def test_gains_that_losses_cancel_out_are_not_enough():
    random = np.random.default_rng(0)
    before = random.exponential(0.5, 400)
    noise = random.normal(0, 0.5, 400)

    gain, margin = gain_of(before, before - 0.02 + noise - noise.mean())

    assert gain == pytest.approx(0.02)
    assert gain < margin
    assert margin == pytest.approx(0.5 / 20 + 1 / 400, rel=0.1)


def test_the_image_that_is_added_counts_in_the_standard_error_as_well():
    """Of the differences 0.1, 0.1, 0.1 and -1: 0.275. So their mean is beyond it from 0.7 on."""
    gain, margin = gain_of(np.full(3, 0.5), np.full(3, 0.4))

    assert (gain, margin) == (pytest.approx(0.1), pytest.approx(0.7))


def test_a_worker_keeps_nothing_of_it(tmp_path):
    """It had kept a graph of each training: ten megabytes."""

    def graphs():
        gc.collect()
        return sum(isinstance(one, FuncGraph) for one in gc.get_objects())

    before = graphs()
    Task(tmp_path).tune(replace(SETTINGS, epochs=1))

    assert graphs() == before


def test_what_may_be_chance_is_not_accepted(task, monkeypatch):
    """A loss that is smaller, but not by enough."""
    before = weights(task.divided)
    monkeypatch.setattr(tuning, "gain_of", lambda *_: (0.1, 0.2))

    tuned = task.tune()

    assert tuned.tuned["loss"] < 0.8 * tuned.frozen["loss"]
    assert (tuned.accepted, tuned.best_epoch, tuned.gain) == (False, 0, (0.1, 0.2))
    assert tuned.head is task.head
    for value, original in zip(weights(task.divided), before, strict=True):
        np.testing.assert_array_equal(value, original)


def test_a_diverging_training_ends_and_changes_nothing(task):
    before = weights(task.divided)

    tuned = task.tune(TuneSettings(epochs=8, learning_rate=1e30, head_learning_rate=1e30))

    assert not tuned.accepted
    assert len(tuned.history) < 8
    assert tuned.tuned == {}, "there is no figure to tell"
    for value, original in zip(weights(task.divided), before, strict=True):
        np.testing.assert_array_equal(value, original)


def test_normalisations_stay_as_they_were(task):
    """At a rate of 0, steps change nothing: neither averages of batches, nor dropout, creep in."""
    before = task.divided.backbone.predict(task.pixels, verbose=0)
    still = TuneSettings(epochs=2, learning_rate=0, head_learning_rate=0)

    task.loop(still).run(1, lambda _: None)

    after = task.divided.backbone.predict(task.pixels, verbose=0)
    np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-6)
    norm = {"gamma", "beta", "moving_mean", "moving_variance"}
    moved = weights(task.divided)
    task.loop(SETTINGS).run(1, lambda _: None)
    for variable, value in zip(task.divided.backbone.variables, moved, strict=True):
        if variable.name in norm:
            np.testing.assert_array_equal(variable.value.numpy(), value)


def test_normalisations_stay_even_if_keras_trains_the_tail(task):
    """`fit` calls the layers in training mode, whatever the network was called with."""
    rows, _ = task.train.group(0, 0)
    rows = rows.astype(np.float32)
    tail = task.divided.tail
    next(layer for layer in tail.layers if layer.name == "layers").get_layer("dropped").rate = 0
    before = tail.predict(rows, verbose=0)
    tail.compile(keras.optimizers.SGD(0.0), "mse")

    tail.fit(rows, before * 2, epochs=2, verbose=0)

    np.testing.assert_allclose(tail.predict(rows, verbose=0), before, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("killed_after", [1, 3])
def test_a_killed_training_goes_on_as_if_nothing_had_happened(tmp_path, killed_after):
    whole = Task(tmp_path / "whole")
    expected = whole.tune()

    class Killed(BaseException):
        pass

    def kill(number, _):
        if number == killed_after:
            raise Killed

    with pytest.raises(Killed):
        Task(tmp_path / "killed").tune(on_epoch=kill)
    resumed = Task(tmp_path / "killed")
    batches = []
    tuned = resumed.tune(check=lambda: batches.append(1))

    assert resumed.epochs == tuned.history  # those who follow see all epochs
    assert tuned.best_epoch == expected.best_epoch
    for epoch, other in zip(tuned.history, expected.history, strict=True):
        assert epoch == pytest.approx(other, rel=1e-4)
    # Sums may be added up in another order by another process.
    np.testing.assert_allclose(tuned.head.kernel, expected.head.kernel, atol=1e-4)
    for value, other in zip(weights(resumed.divided), weights(whole.divided), strict=True):
        np.testing.assert_allclose(value, other, atol=1e-4)


def test_it_goes_on_whatever_order_the_head_was_added_up_in(tmp_path):
    """A killed training solves its head anew."""
    Task(tmp_path).tune(stop_after=2)
    task = Task(tmp_path)
    task.head = LinearHead(task.head.kernel * np.float32(1 + 1e-6), task.head.bias)
    trained = []

    task.tune(on_epoch=lambda number, _: trained.append(len(task.images)))

    assert trained[:3] == [0, 0, 8], "the first two were trained before"


@pytest.mark.parametrize("part", ["train", "both"])
def test_rows_beyond_the_range_of_float16_are_learnt_from_as_well(tmp_path, monkeypatch, part):
    """They are stored in float32."""
    expected = Task(tmp_path / "narrow").tune(replace(SETTINGS, epochs=1))
    most = features._MOST
    write = FeatureStore.write

    def write_wide(self, images, rows, seconds):
        wide = part == "both" or self._directory.name == "train"
        monkeypatch.setattr(features, "_MOST", 0.0 if wide else most)
        write(self, images, rows, seconds)

    monkeypatch.setattr(FeatureStore, "write", write_wide)
    task = Task(tmp_path / "wide")
    assert task.train.activations.rows(0, 0).dtype == np.float32

    wide = task.tune(replace(SETTINGS, epochs=1))

    assert wide.history[0] == pytest.approx(expected.history[0], rel=1e-2)


def test_a_step_in_parts_is_the_same_step(tmp_path):
    """Cancelled within a part of a step, not only between steps."""
    whole = Task(tmp_path / "whole")
    expected = whole.tune()
    task = Task(tmp_path / "parts")
    checks = []

    parts = task.tune(replace(SETTINGS, part_size=5), check=lambda: checks.append(1))

    for epoch, other in zip(parts.history, expected.history, strict=True):
        assert epoch == pytest.approx(other, rel=1e-3)
    np.testing.assert_allclose(parts.head.kernel, expected.head.kernel, atol=1e-3)
    assert len(checks) > len(parts.history) * task.train.images / 5


def test_a_checkpoint_saves_the_epochs_before_it(tmp_path, monkeypatch):
    trained = []
    run = TailLoop.run
    monkeypatch.setattr(
        TailLoop,
        "run",
        lambda self, epoch, tell: (trained.append(epoch), run(self, epoch, tell))[1],
    )
    Task(tmp_path).tune(stop_after=2)

    Task(tmp_path).tune()

    assert trained == [1, 2, 3, 3, 4]  # the third was stopped in its middle


def full_disk(monkeypatch, times):
    """Let the disk be full for the first checkpoints, so many of them."""
    save, refusals = checkpoint.save, iter(range(times))

    def refuse(*arguments):
        if next(refusals, None) is not None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        save(*arguments)

    monkeypatch.setattr(checkpoint, "save", refuse)


def test_a_full_disk_at_its_checkpoints_ends_no_tuning(tmp_path, monkeypatch):
    expected = Task(tmp_path / "whole").tune()
    full_disk(monkeypatch, 2)
    unkept = []

    task = Task(tmp_path / "full")
    tuned = task.tune(on_unkept=lambda number, error: unkept.append((number, error.strerror)))

    assert unkept == [(1, "No space left on device"), (2, "No space left on device")]
    assert tuned.best_epoch == expected.best_epoch
    for epoch, other in zip(tuned.history, expected.history, strict=True):
        assert epoch == pytest.approx(other, rel=1e-4)
    assert (task.directory / "tune" / "checkpoint.npz").is_file(), "the third was written"


def test_what_the_disk_has_refused_is_not_tuned_anew_in_the_same_process(tmp_path, monkeypatch):
    full_disk(monkeypatch, 100)
    expected = Task(tmp_path).tune()

    again = Task(tmp_path)
    tuned = again.tune()

    assert again.images == []
    assert tuned.history == expected.history
    np.testing.assert_array_equal(tuned.head.kernel, expected.head.kernel)


@pytest.mark.parametrize("damage", ["cut", "empty", "other", "folder"])
def test_a_checkpoint_that_can_not_be_used_is_made_again(tmp_path, damage):
    expected = Task(tmp_path).tune()
    file = tmp_path / "tune" / "checkpoint.npz"
    data = file.read_bytes()
    if damage == "folder":
        file.unlink()
        file.mkdir()
    settings = TuneSettings(**{**SETTINGS_FIELDS, "seed": 1}) if damage == "other" else SETTINGS
    if damage in {"cut", "empty"}:
        file.write_bytes(data[: len(data) // 2] if damage == "cut" else b"")

    again = Task(tmp_path).tune(settings)

    assert len(again.history) == 4
    same = again.history[0]["loss"] == pytest.approx(expected.history[0]["loss"], rel=1e-4)
    assert same == (damage != "other")


SETTINGS_FIELDS = {"epochs": 4, "learning_rate": 3e-3, "head_learning_rate": 3e-3, "batch_size": 16}


def test_a_training_stops_when_it_is_asked_to(task):
    """In the middle of the third epoch, of which nothing is left."""
    tuned = task.tune(stop_after=2)

    assert len(tuned.history) == 2
    assert tuned.best_epoch in {1, 2}
    expected = task.answers(tuned.head)
    assert (tuned.tuned["loss"], tuned.tuned["accuracy"]) == pytest.approx(expected, abs=2e-3)


def test_a_training_that_is_stopped_in_its_first_epoch_changes_nothing(task):
    before = weights(task.divided)

    def stop():
        if task.images:
            raise TuningStopped

    tuned = task.tune(check=stop)

    assert (tuned.accepted, tuned.history, tuned.tuned) == (False, [], {})
    assert task.images
    for value, original in zip(weights(task.divided), before, strict=True):
        np.testing.assert_array_equal(value, original)


def test_it_is_cancelled_within_a_few_batches(task):
    calls = []

    def cancel():
        calls.append(1)
        if len(calls) == 15:
            raise TrainingCancelled("x")

    with pytest.raises(TrainingCancelled):
        task.tune(check=cancel)
    assert not task.epochs


@pytest.mark.parametrize("memory", [1, 1 << 30])
def test_an_epoch_has_each_image_once_and_in_the_next_in_another_view(task, memory):
    """Also if memory is for one group only."""
    loop = task.loop(TuneSettings(**{**SETTINGS_FIELDS, "memory": memory}))
    rows_of = {}
    for number, group in enumerate(task.train.activations.groups):
        for view in range(3):
            for sha256, row in zip(group, task.train.activations.rows(number, view), strict=True):
                rows_of[row.tobytes()] = (sha256, view)

    seen = [
        [rows_of[row.tobytes()] for rows, _ in loop._read(epoch) for row in rows]
        for epoch in (1, 2, 3)
    ]

    for epoch in seen:
        assert sorted(sha256 for sha256, _ in epoch) == sorted(task.train.truth)
    views = [dict(epoch) for epoch in seen]
    for sha256 in task.train.truth:
        assert {epoch[sha256] for epoch in views} == {0, 1, 2}
    assert [sha256 for sha256, _ in seen[0]] != [sha256 for sha256, _ in seen[1]]


def test_the_whole_network_learns_from_pixels(tmp_path):
    task = Task(tmp_path, cut="pixels")

    tuned = task.tune()

    assert tuned.accepted
    expected = task.answers(tuned.head)
    assert (tuned.tuned["loss"], tuned.tuned["accuracy"]) == pytest.approx(expected, abs=2e-3)


def test_labels_of_more_weight_count_more(task):
    task.tune()
    fair = task.epochs.copy()
    task.epochs.clear()
    other = Task(task.directory / "weighted")

    result = tune(
        other.divided,
        other.head,
        other.train,
        other.validation,
        widths=WIDTHS,
        class_weights=np.array([1, 20], np.float32),
        settings=SETTINGS,
        checkpoint_file=other.directory / "c.npz",
        on_epoch=lambda *_: None,
        on_images=lambda _: None,
        check=lambda: None,
    )

    assert result.history[0]["loss"] > 3 * fair[0]["loss"]
