"""Post-training quantization of a version's graph to INT8, kept only if it pays.

NNCF puts eight-bit quantizers around the convolutions and dense layers, with ranges that it reads
off calibration images. The gain in speed and the loss of accuracy depend on the network, the data
and the CPU, so both are measured on each version before it is published.
"""

import io
import logging
import time
from collections.abc import Callable
from contextlib import redirect_stdout, suppress
from pathlib import Path
from statistics import median

import numpy as np

from shared.engines import PROBABILITIES, Engine, Pixels, load_version_engine, serving_precisions
from shared.engines.openvino_runtime import load_openvino, read_network
from shared.errors import InvalidImage
from shared.images.decoding import decode
from shared.logs import get_logger
from shared.models.manifest import Quantization
from shared.models.model_store import OPENVINO_INT8_MODEL, OPENVINO_MODEL
from trainer_service.backbones.backbone import save_ir
from trainer_service.datasets.image_files import ImageFiles, none_left
from trainer_service.phases.bottleneck.feature_computer import FeatureComputer
from trainer_service.phases.evaluate.evaluation import Evaluated
from trainer_service.phases.work import Work
from trainer_service.store.shards import ShardImage

#: NNCF's own default; more change the ranges little.
CALIBRATION_IMAGES = 300
LEAST_SPEEDUP = 1.25
#: Share of the validation images that may be answered wrong in addition.
LARGEST_LOSS = 0.003

TIMED_BATCH = 8
TIMED_ROUNDS = 7

log = get_logger(__name__)


def quantize_version(work: Work, evaluated: Evaluated, version: Path) -> Quantization:
    """Add an INT8 graph to a version in the making, unless it is too slow or too inaccurate.

    Args:
        work: the training. Its `check_cancelled` is called between images and between batches; the
            seconds of NNCF's own work before and after its images can't be ended.
        evaluated: the network; calibration takes training images, the check the validation images.
        version: the directory, with its OpenVINO model.

    Returns:
        Whether the graph is there, with the measured accuracy and speed.

    Raises:
        TrainingCancelled: the training was cancelled.
        NotSeenHere, ImagesLost: none of the images can be read.
    """
    worker = work.worker
    files = work.dataset().files()
    pixels = _calibration_pixels(work, evaluated, files)
    int8 = version / OPENVINO_INT8_MODEL
    quantize(version / OPENVINO_MODEL, int8, pixels, work.check_cancelled)
    engine = load_version_engine(version, "openvino", "int8", worker.threads)
    native = serving_precisions("openvino", worker.settings.precision)[0]
    reference = load_version_engine(version, "openvino", native, worker.threads)
    quantization = judge(
        accuracy=_accuracy(work, evaluated, engine, files),
        reference_accuracy=_reference_accuracy(evaluated),
        speedup=speedup(engine, reference, pixels[:TIMED_BATCH], work.check_cancelled),
    )
    log.info("tried int8", detail=quantization.detail)
    if not quantization.accepted:
        for file in (int8, int8.with_suffix(".bin")):
            file.unlink()
    return quantization


def quantize(model: Path, to: Path, pixels: Pixels, check_cancelled: Callable[[], None]) -> None:
    """Write an OpenVINO model again with INT8 convolutions and dense layers.

    Args:
        model: path of the `.xml`.
        to: path of the new `.xml`.
        pixels: calibration images, uint8 (n, height, width, 3).
        check_cancelled: called between images; what it raises ends the calibration.
    """
    load_openvino()  # before NNCF, so that it finds no telemetry either
    import nncf

    def transform(image: Pixels) -> Pixels:
        check_cancelled()
        return image[np.newaxis]

    nncf.set_log_level(logging.ERROR)
    network = read_network(model)
    with redirect_stdout(io.StringIO()):  # progress bars
        quantized = nncf.quantize(
            network,
            nncf.Dataset(pixels, transform),
            # MIXED suits activations that are not ReLU's as well.
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(pixels),
        )
    save_ir(quantized, to)


def judge(*, accuracy: float, reference_accuracy: float, speedup: float) -> Quantization:
    """Decide whether INT8 pays; accuracies are shares of 1."""
    lost = round(reference_accuracy - accuracy, 6)
    fast, accurate = speedup >= LEAST_SPEEDUP, lost <= LARGEST_LOSS
    measured = (
        f"{speedup:.2f} times as fast (at least {LEAST_SPEEDUP}), validation accuracy "
        f"{accuracy:.4f} instead of {reference_accuracy:.4f} (at most {LARGEST_LOSS} less)"
    )
    verdict = "Served in int8" if fast and accurate else "Not served in int8"
    return Quantization(
        accepted=fast and accurate,
        detail=f"{verdict}: {measured}.",
        accuracy=accuracy,
        reference_accuracy=reference_accuracy,
        speedup=round(speedup, 3),
    )


def speedup(
    engine: Engine, reference: Engine, pixels: Pixels, check_cancelled: Callable[[], None]
) -> float:
    """Return how many times as fast an engine is, both timed in turns on one batch.

    `check_cancelled` is called before each turn; what it raises ends the timing.
    """
    seconds: dict[Engine, list[float]] = {engine: [], reference: []}
    for side in seconds:
        check_cancelled()
        side.infer(pixels)
    for _ in range(TIMED_ROUNDS):
        for side, measured in seconds.items():
            check_cancelled()
            started = time.perf_counter()
            side.infer(pixels)
            measured.append(time.perf_counter() - started)
    return median(seconds[reference]) / median(seconds[engine])


def _calibration_pixels(work: Work, evaluated: Evaluated, files: ImageFiles) -> Pixels:
    """Return some training images as uint8 (n, height, width, 3)."""
    # Images are in the order of their hashes: evenly spaced ones are a random sample.
    images = evaluated.trained.splits["train"]
    chosen = images[:: -(-len(images) // CALIBRATION_IMAGES)]
    size = evaluated.network.architecture.input_size
    pixels = []
    for image in chosen:
        work.check_cancelled()
        with suppress(InvalidImage):  # gone meanwhile; the others will do
            data = files.read(image.file, image.sha256)
            pixels.append(decode(data, size, size, work.worker.image_limits))
    if not pixels:
        raise none_left(files, len(chosen))
    return np.stack(pixels)


def _reference_accuracy(evaluated: Evaluated) -> float:
    """Return the share of the validation images that the trained network answers right."""
    answers = evaluated.network.predict(evaluated.trained.splits["validation"])
    return float(np.mean(answers.argmax(axis=1) == evaluated.validation_truth))


def _accuracy(work: Work, evaluated: Evaluated, engine: Engine, files: ImageFiles) -> float:
    """Return the share of the validation images that an engine answers right."""
    images = evaluated.trained.splits["validation"]
    size = evaluated.network.architecture.input_size
    computer = FeatureComputer.of(work.worker, engine, output=PROBABILITIES, input_size=size)
    shard = [ShardImage(sha256=image.sha256, path=image.file) for image in images]
    used, probabilities, _ = computer.compute(shard, files, lambda _: work.check_cancelled())
    if not used:
        raise none_left(files, len(images))
    truth = {
        image.sha256: label for image, label in zip(images, evaluated.validation_truth, strict=True)
    }
    return float(np.mean(probabilities.argmax(axis=1) == [truth[sha256] for sha256 in used]))
