"""A real classifier of a few bytes: it tells by the mean colour of a picture what it shows.

store = tmp_path / "store"
version = publish_tiny_model(store, "colours")
prediction = predict(picture("red"))  # "red", with a probability near 1
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from PIL import Image
from pydantic import TypeAdapter

from shared.engines.openvino_runtime import load_openvino
from shared.identifiers import new_id
from shared.models.manifest import (
    GOLDEN_FILE,
    DatasetInfo,
    GoldenImage,
    InputSpec,
    Manifest,
    PretrainedInfo,
    TuneInfo,
    WeightsInfo,
)
from shared.models.model_store import OPENVINO_MODEL
from shared.models.unknown import UNKNOWN_FILE, KnownImages, scaled
from tests.support.inputs import hostile_images as hostile
from trainer_service.store.promoting import Verdict
from trainer_service.store.publishing import WritableModelStore

LABELS = ("red", "green", "blue")
COLORS = {"red": (230, 20, 20), "green": (20, 230, 20), "blue": (20, 20, 230)}
SIZE = 8
CONTRAST = 0.05


def picture(color: str | tuple[int, int, int], size: int = 16, kind: str = "PNG") -> bytes:
    """Return an image file of one colour."""
    rgb = COLORS[color] if isinstance(color, str) else color
    return hostile.saved(Image.new("RGB", (size, size), rgb), kind)


def expected_probabilities(color: str, contrast: float = CONTRAST) -> list[float]:
    """Return what the network answers for a picture of one colour, computed without it."""
    logits = np.array(COLORS[color], np.float64) * contrast
    exponents = np.exp(logits - logits.max())
    return [float(value) for value in exponents / exponents.sum()]


def save_network(
    path: Path,
    outputs: int = len(LABELS),
    contrast: float = CONTRAST,
    *,
    embedding: bool = False,
    fails_above: float | None = None,
) -> None:
    """Write an OpenVINO network: uint8 (n, 8, 8, 3) to probabilities (n, outputs).

    If it gives an embedding, that is the mean colour, (n, 3). If it fails, pictures that are
    brighter on average get answers that are not numbers.
    """
    ov = load_openvino()
    from openvino import opset13 as ops

    pixels = ops.parameter([-1, SIZE, SIZE, 3], np.uint8, name="pixels")
    mean = ops.reduce_mean(ops.convert(pixels, np.float32), np.array([1, 2]), keep_dims=False)
    weights = np.eye(3, outputs, dtype=np.float32) * contrast
    probabilities = ops.softmax(ops.matmul(mean, ops.constant(weights), False, False), 1)
    if fails_above is not None:
        darker = ops.subtract(ops.constant(np.float32(fails_above)), mean)
        root = ops.power(ops.reduce_min(darker, np.array([1]), keep_dims=True), np.float32(1e-9))
        probabilities = ops.multiply(probabilities, root)  # 1, or of a negative number none
    results = [probabilities, mean] if embedding else [probabilities]  # the only one has no name
    network = ov.Model(results, [pixels], "tiny")
    if embedding:
        for output, name in zip(network.outputs, ("probabilities", "embedding"), strict=True):
            output.get_tensor().set_names({name})
    path.parent.mkdir(parents=True, exist_ok=True)
    ov.save_model(network, path, compress_to_fp16=False)


def tiny_manifest(
    model: str, labels: Sequence[str] = LABELS, training_id: str | None = None
) -> Manifest:
    return Manifest(
        model=model,
        version=0,
        labels=list(labels),
        architecture="mean_colour",
        input=InputSpec(height=SIZE, width=SIZE),
        preprocessing_version=1,
        metrics={"test": {"accuracy": 1.0}},
        dataset=DatasetInfo(
            id=new_id(), digest="0" * 64, images=3, labels=dict.fromkeys(labels, 1)
        ),
        weights=WeightsInfo(source="written by hand", sha256="0" * 64),
        training={},
        training_id=training_id or new_id(),
        seed=0,
        libraries={},
        created_at=datetime.now(UTC),
    )


def write_golden(staging: Path, contrast: float = CONTRAST) -> None:
    """Write one golden picture of each colour with the probabilities it should get."""
    golden = [
        GoldenImage(
            file=f"{color}.png",
            label=color,
            probabilities=expected_probabilities(color, contrast),
        )
        for color in LABELS
    ]
    path = staging / GOLDEN_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(TypeAdapter(list[GoldenImage]).dump_json(golden))
    for color in LABELS:
        path.with_name(f"{color}.png").write_bytes(picture(color))


def carry_known_images(
    staging: Path,
    *,
    colours: Sequence[tuple[int, int, int]] = tuple(COLORS.values()),
    distances: Sequence[float] = (),
) -> None:
    """Let a version carry pictures of some colours, and the distances of known pictures.

    The SHA-256 of each picture is the number of its colour.
    """
    save_network(staging / OPENVINO_MODEL, embedding=True)
    known = KnownImages(
        scaled(np.array(colours, np.float32)).astype(np.float16),
        tuple(f"{number:064x}" for number in range(len(colours))),
        np.sort(np.array(distances, np.float32)),
    )
    (staging / UNKNOWN_FILE).write_bytes(known.pack())


def publish_tiny_model(
    store: Path,
    model: str = "colours",
    *,
    training_id: str | None = None,
    contrast: float = CONTRAST,
    labels: Sequence[str] = LABELS,
    tune: TuneInfo | None = None,
    pretrained: PretrainedInfo | None = None,
    verdict: Verdict | None = None,
    change: Callable[[Path], None] = lambda staging: None,
) -> int:
    """Publish the classifier and return its version.

    `change` is called with the staged directory just before it is hashed and published.
    """
    models = WritableModelStore(store)
    with models.stage(model) as staging:
        save_network(staging / OPENVINO_MODEL, contrast=contrast)
        write_golden(staging, contrast)
        change(staging)
        manifest = tiny_manifest(model, labels, training_id)
        manifest = manifest.model_copy(update={"tune": tune})
        if pretrained is not None:
            manifest = manifest.model_copy(update={"pretrained": pretrained, "dataset": None})
        return models.publish(staging, manifest, verdict=verdict)
