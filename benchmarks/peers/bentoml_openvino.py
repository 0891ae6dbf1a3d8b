"""BentoML with Headstart's own engine, decoder and batch size; only the server is another.

`python -m bentoml serve benchmarks.peers.bentoml_openvino:Classifier`; the environment variable
`BENCH_MODEL` names the model.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import bentoml
import numpy as np

from benchmarks.tools.alike import LIMITS, MAX_BATCH
from shared.engines import OpenVINOEngine
from shared.images.decoding import decode


@bentoml.service(workers=1, logging={"access": {"enabled": False}})
class Classifier:
    def __init__(self) -> None:
        self.engine = OpenVINOEngine(Path(os.environ["BENCH_MODEL"]))
        self.pool = ThreadPoolExecutor(os.cpu_count())

    @bentoml.api(  # type: ignore[untyped-decorator]
        batchable=True, max_batch_size=MAX_BATCH, max_latency_ms=1000, route="/v1/predict"
    )
    def predict(self, file: list[Path]) -> list[list[float]]:
        pixels = self.pool.map(lambda path: decode(path.read_bytes(), 224, 224, LIMITS), file)
        answers: list[list[float]] = self.engine.infer(np.stack(list(pixels)))[
            "probabilities"
        ].tolist()
        return answers
