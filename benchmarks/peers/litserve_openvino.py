"""LitServe with Headstart's own engine, decoder and batch size; only the server is another.

`python -m benchmarks.peers.litserve_openvino MODEL.xml PORT`
"""

import sys
from pathlib import Path
from typing import Any

import litserve
import numpy as np
from fastapi import Request

from benchmarks.tools.alike import LIMITS, MAX_BATCH
from shared.engines import OpenVINOEngine
from shared.images.decoding import decode


class Api(litserve.LitAPI):  # type: ignore[misc]  # untyped
    def setup(self, device: str) -> None:
        del device
        self.engine = OpenVINOEngine(Path(sys.argv[1]))

    def decode_request(self, request: Request) -> Any:
        return decode(request["file"].file.read(), 224, 224, LIMITS)

    def batch(self, inputs: list[Any]) -> Any:
        return np.stack(inputs)

    def predict(self, batch: Any) -> Any:
        return self.engine.infer(batch)["probabilities"]

    def unbatch(self, output: Any) -> list[Any]:
        return list(output)

    def encode_response(self, output: Any) -> dict[str, list[float]]:
        return {"probabilities": output.tolist()}


if __name__ == "__main__":
    api = Api(max_batch_size=MAX_BATCH, batch_timeout=0.002, api_path="/v1/predict")
    litserve.LitServer(api, accelerator="cpu").run(
        port=int(sys.argv[2]), generate_client_file=False, log_level="warning"
    )
