"""Runs networks on the CPU with OpenVINO."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Literal

import numpy as np

from shared.engines.cpu import cpu_precision
from shared.engines.engine import (
    PROBABILITIES,
    EngineName,
    Outputs,
    Pixels,
    check_pixels,
    infer_in_chunks,
    infer_pipelined,
)
from shared.engines.memory import memory_errors
from shared.engines.openvino_runtime import load_openvino, read_network
from shared.models.manifest import Precision

#: Images per forward pass at most: VGG16's activations for these take 0.5 GiB.
CHUNK = 32


class OpenVINOEngine:
    """An OpenVINO model with one input, pixels; its outputs have the names of their tensors.

    The batch dimension stays dynamic. On a 2-core Xeon, MobileNetV2 ran nearly as fast as with a
    fixed one, at batch 1 and at batch 16, so one compiled model serves both.

    Args:
        model: path of the `.xml` file, or an `openvino.Model`.
        outputs: the names for its outputs, in their order. A model that has another number of them
            gives their names itself.
        precision: "bf16" or "f32"; None takes what the CPU computes fastest. "int8" is for a
            quantized graph, whose other operations are computed in float32.
        threads: CPU threads; 0 means all cores.
        hint: "latency" gives every core to one batch; "throughput" computes several batches
            side by side, which scales further on many cores.

    Raises:
        MemoryError: there is no memory for the network now.
    """

    name: EngineName = "openvino"

    def __init__(
        self,
        model: Path | Any,
        *,
        outputs: tuple[str, ...] = (PROBABILITIES,),
        precision: Precision | None = None,
        threads: int = 0,
        hint: Literal["latency", "throughput"] = "latency",
    ) -> None:
        self.precision: Precision = precision or cpu_precision()
        with memory_errors():
            compiled = _compile(model, self.precision, threads, hint)
            self._workers = int(compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))
            requests = [compiled.create_infer_request() for _ in range(self._workers)]
        names = tuple(output.get_any_name() for output in compiled.outputs)
        self.outputs = outputs if len(outputs) == len(names) else names
        shape = compiled.input(0).get_partial_shape()
        self._height, self._width = (_length(shape[axis]) for axis in (1, 2))
        self._requests: SimpleQueue[Any] = SimpleQueue()
        for request in requests:
            self._requests.put(request)

    def infer(self, pixels: Pixels) -> Outputs:
        """Run the network, as `Engine.infer`."""
        check_pixels(pixels, self._height, self._width)
        return infer_in_chunks(self._run, pixels, CHUNK)

    def infer_batches(self, batches: Iterable[Pixels]) -> Iterator[Outputs]:
        """Run the network on one batch after another, as `Engine.infer_batches`."""
        return infer_pipelined(self.infer, batches, self._workers)

    def _run(self, pixels: Pixels) -> Outputs:
        request = self._requests.get()
        try:
            with memory_errors():
                request.infer([np.ascontiguousarray(pixels)], share_inputs=True)
            return {
                name: request.get_output_tensor(index).data.astype(np.float32)
                for index, name in enumerate(self.outputs)
            }
        finally:
            self._requests.put(request)


def _compile(model: Path | Any, precision: Precision, threads: int, hint: str) -> Any:
    core = load_openvino().Core()
    config: dict[str, Any] = {
        "PERFORMANCE_HINT": hint.upper(),
        "INFERENCE_PRECISION_HINT": "f32" if precision == "int8" else precision,
    }
    if threads:
        config["INFERENCE_NUM_THREADS"] = threads
    source = read_network(model) if isinstance(model, Path) else model
    return core.compile_model(source, "CPU", config)


def _length(dimension: Any) -> int | None:
    return dimension.get_length() if dimension.is_static else None
