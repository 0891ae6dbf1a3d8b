"""How long tuning takes, measured and said beforehand."""

import numpy as np
import pytest

from trainer_service.errors import TrainingCancelled
from trainer_service.phases.tune.estimate import (
    Estimate,
    in_words,
    seconds_per_image,
    seconds_per_step,
)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "1 second"),
        (40, "40 seconds"),
        (119, "119 seconds"),
        (150, "2 minutes"),
        (3600, "60 minutes"),
        (12_600, "3.5 hours"),
    ],
)
def test_a_duration_in_words(seconds, words):
    assert in_words(seconds) == words


def test_what_takes_long_is_warned_of():
    long = Estimate(views_seconds=600, epoch_seconds=3600, epochs=8, bytes=10)
    short = Estimate(views_seconds=60, epoch_seconds=15, epochs=8, bytes=10)

    assert long.warning.startswith(
        "Tuning will take up to 8.2 hours: 10 minutes for the views and 60 minutes for each of 8 "
        "epochs."
    )
    assert short.warning is None
    event = short.event
    assert (event.seconds, event.views_seconds, event.epoch_seconds) == (180, 60, 15)


def test_what_is_stored_takes_no_time():
    assert seconds_per_image(None, [], None, lambda: None) == 0


@pytest.fixture(scope="module")
def tail():
    import keras

    rows = keras.Input((6,))
    return keras.Model(rows, keras.layers.Dense(4)(rows))


@pytest.mark.slow
def test_an_image_takes_some_time_and_nothing_is_learnt(tail):
    before = [value.copy() for value in tail.get_weights()]

    assert 0 < seconds_per_step(tail, 3, lambda: None) < 1
    for value, other in zip(tail.get_weights(), before, strict=True):
        np.testing.assert_array_equal(value, other)


@pytest.mark.slow
def test_the_measurement_can_be_cancelled(tail):
    def cancel():
        raise TrainingCancelled("x")

    with pytest.raises(TrainingCancelled):
        seconds_per_step(tail, 3, cancel)
