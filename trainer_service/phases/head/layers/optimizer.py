"""The optimizer of a head's training and the schedule of its learning rate."""

from typing import Any

from trainer_service.requests.training import TrainingRequest

#: Share of the learning rate that the decaying schedules end at.
FINAL_LEARNING_RATE = 0.01


def build_optimizer(request: TrainingRequest, images: int) -> Any:
    """Return the `keras.Optimizer` that a request names, with its learning rate and schedule.

    Args:
        request: the training's.
        images: how many the head learns from in an epoch.
    """
    import keras

    steps = request.epochs * -(-images // request.batch_size)

    optimizers = {
        "adam": keras.optimizers.Adam,
        "adamw": keras.optimizers.AdamW,
        "sgd": lambda rate: keras.optimizers.SGD(rate, momentum=0.9),
        "rmsprop": keras.optimizers.RMSprop,
    }
    return on_one_device(optimizers[request.optimizer](_schedule(request, steps)))


def on_one_device(optimizer: Any) -> Any:
    """Return a `keras.Optimizer` that takes gradients as they are, so that its graph can be freed.

    Keras adds them up over replicas, also where there is only one. TensorFlow notes the gradient of
    that sum for as long as the process lives, and with it the whole graph of the training.
    """
    optimizer._all_reduce_sum_gradients = _as_they_are  # noqa: SLF001 - there is no public way
    return optimizer


def _as_they_are(gradients_and_variables: Any) -> Any:
    return gradients_and_variables


def _schedule(request: TrainingRequest, steps: int) -> Any:
    from keras.optimizers import schedules

    rate = request.learning_rate
    match request.learning_rate_schedule:
        case "exponential":
            return schedules.ExponentialDecay(rate, steps, FINAL_LEARNING_RATE)
        case "polynomial":
            return schedules.PolynomialDecay(rate, steps, rate * FINAL_LEARNING_RATE)
        case "cosine":
            return schedules.CosineDecay(rate, steps, FINAL_LEARNING_RATE)
        case _:
            return rate
