"""What is chosen to be shown."""

import pytest

from tests.trainer_service.report.facts import fitted
from trainer_service.phases.publish.report import (
    MISTAKES,
    SAMPLES,
    answers,
    choose_mistakes,
    choose_samples,
)
from trainer_service.report.facts import kept_epoch
from trainer_service.schemas import EarlyStopping, TrainingRequest

LABELS = tuple(f"label {number}" for number in range(20))


def test_mistakes_are_the_most_confident_wrong_answers():
    result = fitted(LABELS)
    chosen = answers(result, choose_mistakes(result), lambda _: None)
    predicted = result.test_probabilities.argmax(axis=1)
    wrong = result.test_probabilities.max(axis=1)[predicted != result.test_truth]

    assert len(wrong) > MISTAKES
    assert [a.probability for a in chosen] == sorted(map(float, wrong), reverse=True)[:MISTAKES]
    assert not any(answer.right for answer in chosen)


def test_samples_are_drawn_without_repetition_and_follow_the_seed():
    result = fitted(LABELS)
    chosen = choose_samples(result, 1)

    assert len(set(chosen)) == SAMPLES
    assert chosen == choose_samples(result, 1)
    assert chosen != choose_samples(result, 2)


def test_of_few_test_images_all_are_samples():
    result = fitted(("a", "b"), per_label=2)
    assert sorted(choose_samples(result, 0)) == [0, 1, 2, 3]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("losses", "min_delta", "kept"),
    [
        ([0.9, 0.5, 0.6], 0.0, 2),
        ([0.9, 0.5, 0.45, 0.6], 0.1, 2),
        ([0.9, 0.9], 0.0, 1),
        ([0.5, float("nan")], 0.0, 1),
    ],
)
def test_the_kept_epoch_is_the_one_keras_restores(losses, min_delta, kept):
    history = [{"val_loss": loss} for loss in losses]
    stopping = EarlyStopping(metric="val_loss", min_delta=min_delta)

    request = TrainingRequest(early_stopping=stopping)
    assert kept_epoch(history, request) == kept == _restored_by_keras(losses, min_delta)


def test_without_early_stopping_the_last_epoch_is_kept():
    history = [{"val_loss": 1.0}, {"val_loss": 2.0}]

    assert kept_epoch(history, TrainingRequest(epochs=2, early_stopping="off")) == 2
    assert kept_epoch(history, TrainingRequest(epochs=3, early_stopping="off")) == 1


def test_of_accuracy_the_highest_is_kept():
    history = [{"val_accuracy": value} for value in (0.5, 0.9, 0.8)]
    request = TrainingRequest(early_stopping=EarlyStopping(metric="val_accuracy"))

    assert kept_epoch(history, request) == 2


def _restored_by_keras(losses, min_delta):
    """Drive Keras' own callback and return the epoch, from 1, whose weights it restores."""
    import keras

    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    callback = keras.callbacks.EarlyStopping(
        "val_loss", min_delta=min_delta, mode="min", patience=99, restore_best_weights=True
    )
    callback.set_model(model)
    callback.on_train_begin()
    for epoch, loss in enumerate(losses):
        model.set_weights([keras.ops.full((1, 1), epoch + 1)])
        callback.on_epoch_end(epoch, {"val_loss": loss})
    callback.on_train_end()
    return int(model.get_weights()[0][0, 0])
