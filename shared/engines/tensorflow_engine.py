"""Runs networks with TensorFlow, on a GPU or if OpenVINO is not installed."""

import gc
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.engines.engine import (
    EngineName,
    Outputs,
    Pixels,
    check_pixels,
    infer_in_chunks,
    infer_pipelined,
)
from shared.engines.memory import memory_errors
from shared.models.manifest import Precision

#: Images per forward pass at most; enough to fill a GPU.
CHUNK = 128

_IMPORT_LOCK = Lock()


class TensorFlowEngine:
    """A TensorFlow function that turns pixels into named outputs.

    Args:
        function: takes a uint8 tensor of shape (n, height, width, 3) and returns tensors of shape
            (n, k) by name.
        outputs: the names of the outputs.
        size: height and width that the function takes, in pixels; None means any.
        precision: the precision that the function computes in.
        model: the SavedModel that the function is of, if it is of one.
    """

    name: EngineName = "tensorflow"

    def __init__(
        self,
        function: Callable[[Any], Any],
        *,
        outputs: tuple[str, ...],
        size: tuple[int | None, int | None] = (None, None),
        precision: Precision = "f32",
        model: Any = None,
    ) -> None:
        self.precision: Precision = precision
        # It also keeps the variables: a signature alone does not hold them.
        self._model = model
        self.outputs = outputs
        self._function = function
        self._height, self._width = size

    @classmethod
    def from_saved_model(cls, directory: Path, *, threads: int = 0) -> "TensorFlowEngine":
        """Load the `pixels` signature of a SavedModel."""
        tf = load_tensorflow(threads)
        with memory_errors():
            model = tf.saved_model.load(str(directory))
        return cls._of_signature(model, "pixels")

    @classmethod
    def _of_signature(cls, model: Any, name: str) -> "TensorFlowEngine":
        signature = model.signatures[name]
        (spec,) = signature.structured_input_signature[1].values()

        def function(pixels: Any) -> Any:
            return signature(**{spec.name: pixels})

        return cls(
            function,
            outputs=tuple(signature.structured_outputs),
            size=(spec.shape[1], spec.shape[2]),
            model=model,
        )

    def other(self, signature: str) -> "TensorFlowEngine":
        """Return an engine of another signature that takes pixels, on the same SavedModel.

        Raises:
            KeyError: the SavedModel has no such signature.
        """
        return self._of_signature(self._model, signature)

    def constants(self, signature: str) -> dict[str, NDArray[np.float32]]:
        """Return what a signature of the same SavedModel gives that takes nothing, by name.

        Raises:
            KeyError: the SavedModel has no such signature.
        """
        with memory_errors():
            given = self._model.signatures[signature]()
            return {name: np.asarray(one, np.float32) for name, one in given.items()}

    @classmethod
    def from_keras(
        cls, model: Any, output: str, *, precision: Precision = "f32"
    ) -> "TensorFlowEngine":
        """Wrap a Keras model with one input, pixels; its output gets the name `output`."""
        tf = load_tensorflow()
        size = tuple(model.input_shape[1:3])

        def function(pixels: Any) -> Any:
            return {output: tf.cast(model(pixels, training=False), tf.float32)}

        spec = tf.TensorSpec((None, *size, 3), tf.uint8)
        traced = tf.function(function, input_signature=[spec], autograph=False)
        return cls(traced, outputs=(output,), size=size, precision=precision)

    def infer(self, pixels: Pixels) -> Outputs:
        """Run the network, as `Engine.infer`."""
        check_pixels(pixels, self._height, self._width)
        return infer_in_chunks(self._run, pixels, CHUNK)

    def infer_batches(self, batches: Iterable[Pixels]) -> Iterator[Outputs]:
        """Run the network on one batch after another, as `Engine.infer_batches`."""
        return infer_pipelined(self.infer, batches, workers=1)

    def _run(self, pixels: Pixels) -> Outputs:
        import tensorflow as tf

        with memory_errors():
            outputs = self._function(tf.constant(pixels))
            return {name: np.asarray(outputs[name], np.float32) for name in self.outputs}


def load_tensorflow(threads: int = 0) -> Any:
    """Import and return TensorFlow, set to take GPU memory as needed rather than all at once.

    Code that computes with TensorFlow or Keras has to call this first: the settings have no effect
    once TensorFlow has computed something.

    Args:
        threads: CPU threads within and between operations; 0 leaves them to TensorFlow: all cores.
    """
    tf = import_tensorflow()
    try:
        for gpu in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(gpu, enable=True)
        if threads:
            tf.config.threading.set_intra_op_parallelism_threads(threads)
            tf.config.threading.set_inter_op_parallelism_threads(threads)
    except RuntimeError:
        pass  # TensorFlow is already running, with the settings that it began with.
    return tf


def import_tensorflow() -> Any:
    """Import and return TensorFlow, and Keras with it, faster than an import statement does.

    Any thread may call it, while others do; all wait for the one import.
    """
    with _IMPORT_LOCK, _light_imports():
        import tensorflow as tf
    return tf


@contextmanager
def _light_imports() -> Iterator[None]:
    """Leave out, while the body imports TensorFlow, what takes time there and is of no use.

    Keras imports scikit-learn, if it is installed, for wrappers that nobody here uses. And the
    collector of garbage walks again and again over what is imported, none of which is garbage.
    Together they are more than a third of the import: 1.5 of 4.0 s of a CPU.
    """
    hidden = "tensorflow" not in sys.modules and "sklearn" not in sys.modules
    collects = gc.isenabled()
    gc.disable()
    if hidden:
        # To import what is None here raises ImportError, for which Keras is prepared.
        sys.modules["sklearn"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if hidden:
            del sys.modules["sklearn"]
        if collects:
            gc.enable()
