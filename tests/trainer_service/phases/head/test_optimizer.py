"""An optimizer leaves nothing behind in a worker, which trains one head after the other."""

import gc

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework.func_graph import FuncGraph

from trainer_service.phases.head.layers.optimizer import build_optimizer
from trainer_service.requests.training import TrainingRequest

pytestmark = pytest.mark.slow


def graphs():
    gc.collect()
    return sum(isinstance(one, FuncGraph) for one in gc.get_objects())


def train(kind):
    """Train a variable by a graph, as the loops of epochs do; return what it is then."""
    request = TrainingRequest(model="m", optimizer=kind, learning_rate_schedule="cosine", epochs=2)
    optimizer = build_optimizer(request, 64)
    variable = keras.Variable(np.ones(3, np.float32))
    optimizer.build([variable])

    @tf.function
    def step():
        optimizer.apply([variable.value], [variable])

    for _ in range(3):
        step()
    return variable.numpy()


@pytest.mark.parametrize("kind", ["adam", "adamw", "sgd", "rmsprop"])
def test_its_graph_is_freed(kind):
    """TensorFlow would keep it for the gradient of a sum over replicas, of which there is one."""
    before = graphs()

    assert (train(kind) < 1).all()

    assert graphs() == before
