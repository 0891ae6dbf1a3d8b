"""FastAPI with `model.predict`, as in most tutorials.

`python -m benchmarks.peers.fastapi_keras MODEL.keras PORT`
"""

import io
import sys
from typing import Any

import keras
import numpy as np
import uvicorn
from fastapi import FastAPI, UploadFile
from PIL import Image

app = FastAPI()
model: Any = keras.saving.load_model(sys.argv[1]) if len(sys.argv) > 1 else None


@app.post("/v1/predict")
async def predict(file: UploadFile) -> dict[str, list[float]]:
    image = Image.open(io.BytesIO(await file.read())).convert("RGB").resize((224, 224))
    probabilities = model.predict(np.asarray(image)[np.newaxis], verbose=0)
    return {"probabilities": probabilities[0].tolist()}


@app.get("/healthz")
async def healthz() -> str:
    return "ok"


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[2]), log_level="warning")
