"""Imports TensorFlow and Keras in a thread, while the first task may already run.

A task that runs a network waits for that. When OpenVINO loaded its first network while TensorFlow
was still being imported, a worker has stood still for good: no thread of it ran any more, so one
of them must have waited with Python's global lock. Where, was never seen.
"""

import threading
from collections.abc import Callable

from shared.engines.tensorflow_engine import import_tensorflow
from shared.logs import get_logger

log = get_logger(__name__)

_threads: list[threading.Thread] = []


def start(load: Callable[[], None] | None = None) -> None:
    """Begin to import, in a daemon thread.

    Args:
        load: what to do in the thread; by default, import TensorFlow and Keras.
    """
    thread = threading.Thread(target=load or _import_keras, name="preload", daemon=True)
    _threads.append(thread)
    thread.start()


def wait() -> None:
    """Return once what was begun has ended, well or not."""
    while _threads:
        _threads[-1].join()
        _threads.pop()


def _import_keras() -> None:
    import_tensorflow()
    import keras

    log.info("Keras is loaded", keras=keras.__version__)
