"""The golden images of a version without a dataset: pictures that are drawn."""

from collections.abc import Mapping
from itertools import islice
from pathlib import Path

import numpy as np

from shared.engines import EMBEDDING, PROBABILITIES, Engine, Outputs, Pixels, Precision
from shared.images.decoding import decode
from trainer_service.backbones.architectures import Architecture
from trainer_service.backbones.top import Floats
from trainer_service.phases.pretrained.drawings import draw
from trainer_service.phases.pretrained.network import Network
from trainer_service.phases.publish.golden import (
    GOLDEN_IMAGES,
    ExportMismatch,
    Golden,
    Written,
    record_golden,
)
from trainer_service.phases.work import Work

#: So many pictures are drawn, of which those are taken that the network is surest of: between
#: these, as many as it can look at with this number of multiply-adds, some seconds on two cores.
MOST_DRAWN, FEWEST_DRAWN = 64, 16
_MULTIPLY_ADDS = 40_000_000_000
_BATCH = 8
#: Largest difference of a feature in float32, as a share of the largest feature. In bfloat16 the
#: probabilities alone are compared.
_FEATURE_TOLERANCE = 0.05


def write_drawn(
    work: Work,
    network: Network,
    to: Path,
    engines: Mapping[Precision, Engine],
) -> Written:
    """Write drawn pictures, and what the exported graphs answer to them.

    Args:
        work: the job.
        network: the network that was exported.
        to: the version in the making, with its graphs.
        engines: the graphs, by precision.

    Raises:
        TrainingCancelled: the job was cancelled.
        ExportMismatch: an exported graph does not answer as the network did.
    """
    drawn = _drawn(work, network.architecture)
    pixels = np.stack([pixels for _, pixels in drawn])
    backbone, head = network.parts
    sure = _surest(_answered(work, engines["f32"], pixels))
    features = np.asarray(backbone.predict(pixels[sure], verbose=0), np.float32)
    trained = np.asarray(head.predict(features, verbose=0), np.float32)
    chosen = [
        Golden(network.labels[int(answer.argmax())], "PNG", *drawn[place], answer)
        for place, answer in zip(sure, trained, strict=True)
    ]
    written = record_golden(work.worker, chosen, "f32", to, engines)
    _check_features(written.outputs["f32"], features)
    return written


def _drawn(work: Work, architecture: Architecture) -> list[tuple[bytes, Pixels]]:
    """Return the files of drawn pictures, and their pixels, uint8 (height, width, 3)."""
    affordable = _MULTIPLY_ADDS // architecture.multiply_adds
    count, size = max(FEWEST_DRAWN, min(MOST_DRAWN, affordable)), architecture.input_size
    limits = work.worker.image_limits
    return [
        (data, decode(data, size, size, limits))
        for data in islice(draw(work.record.request.seed), count)
    ]


def _answered(work: Work, engine: Engine, pixels: Pixels) -> Floats:
    """Return the probabilities of pictures, float32 (n, labels)."""
    answers = []
    for start in range(0, len(pixels), _BATCH):
        work.check_cancelled()
        answers.append(engine.infer(pixels[start : start + _BATCH])[PROBABILITIES])
    return np.concatenate(answers)


def _surest(answers: Floats) -> list[int]:
    """Return the places of the pictures to take: first the surest one of each label.

    A network that is sure shows a fault in its graph more clearly than one that is at a loss.
    """
    order = np.argsort(-answers.max(axis=1), kind="stable")
    first = {int(answers[place].argmax()): int(place) for place in reversed(order)}
    others = [int(place) for place in order if int(place) not in first.values()]
    return [*sorted(first.values(), key=list(order).index), *others][:GOLDEN_IMAGES]


def _check_features(outputs: Outputs, features: Floats) -> None:
    """Check what the classifier sees, which tells more than the sums of few labels.

    Raises:
        ExportMismatch: the exported graph computes something else.
    """
    difference = float(np.abs(outputs[EMBEDDING] - features).max() / np.abs(features).max())
    if not difference <= _FEATURE_TOLERANCE:
        raise ExportMismatch(
            "The exported model computes other features than the network: expected a difference "
            f"of at most {_FEATURE_TOLERANCE} of the largest one. Received: {difference:.3f}"
        )
