"""The golden images of a version, mostly test images, and what its graphs answer to them."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydantic import TypeAdapter

from shared.engines import (
    PROBABILITIES,
    Engine,
    EngineName,
    Outputs,
    Pixels,
    Precision,
    load_version_engine,
    select_engine,
    serving_precisions,
)
from shared.errors import HeadstartError, InvalidImage
from shared.images.decoding import decode
from shared.models.manifest import FILE_OF, GOLDEN_FILE, Artifact, Format, GoldenImage
from trainer_service.datasets.image_files import none_left
from trainer_service.phases.evaluate.evaluation import Evaluated
from trainer_service.phases.head.data import Probabilities
from trainer_service.phases.work import Work, Worker

GOLDEN_IMAGES = 8
#: Largest difference allowed between the probabilities of the exported graph and of the trained
#: network, for most of the golden images. For a few, bf16 differs more from f32
#: (docs/decisions/0006).
EXPORT_TOLERANCE = 0.1

FORMAT_OF: dict[EngineName, Format] = {"openvino": "openvino", "tensorflow": "saved_model"}

_golden_images = TypeAdapter(list[GoldenImage])


class ExportMismatch(HeadstartError):
    """The exported graph answers otherwise than the trained network did."""

    title = "Export mismatch"


class Golden(NamedTuple):
    """A golden image.

    Attributes:
        label: the one that `GoldenImage` has.
        format: of its file, such as "PNG".
        data: its file.
        pixels: uint8 (height, width, 3).
        trained: what the network answers before it is exported, float32 (labels,).
    """

    label: str
    format: str
    data: bytes
    pixels: Pixels
    trained: Probabilities


Answers = dict[Precision, Probabilities]


class Written(NamedTuple):
    """What is known once the golden images are written.

    Attributes:
        artifacts: the formats of the version, each with the largest difference of its probabilities
            from those of the trained network, if it runs on this machine.
        pixels: uint8 (n, height, width, 3), of the golden images.
        outputs: what the graphs answer to them, by precision.
    """

    artifacts: dict[Format, Artifact]
    pixels: Pixels
    outputs: dict[Precision, Outputs]


def load_engines(worker: Worker, version: Path, *, quantized: bool) -> dict[Precision, Engine]:
    """Return the exported graphs in every precision that this machine serves, the fastest first.

    Args:
        worker: whose settings choose the engine.
        version: the version in the making.
        quantized: whether it has an INT8 graph.
    """
    engine = select_engine(worker.settings.engine)
    precisions = serving_precisions(engine, worker.settings.precision)
    engines: dict[Precision, Engine] = {}
    if quantized:
        engines["int8"] = load_version_engine(version, "openvino", "int8", worker.threads)
    for precision in precisions:
        engines[precision] = load_version_engine(version, engine, precision, worker.threads)
    return engines


def write_golden(
    work: Work, evaluated: Evaluated, to: Path, engines: Mapping[Precision, Engine]
) -> Written:
    """Write some test images, and what the exported graphs answer to them.

    Args:
        work: the training, whose images are read.
        evaluated: the network that was exported.
        to: the version in the making, with its graphs.
        engines: the graphs, by precision.

    Raises:
        ExportMismatch: an exported graph does not answer as the trained network did.
        NotSeenHere, ImagesLost: none of the test images can be read.
    """
    chosen = _read_golden(work, evaluated)
    return record_golden(work.worker, chosen, evaluated.network.precision, to, engines)


def record_golden(
    worker: Worker,
    chosen: Sequence[Golden],
    precision: Precision,
    to: Path,
    engines: Mapping[Precision, Engine],
) -> Written:
    """Write golden images, and what the exported graphs answer to them.

    Args:
        worker: whose settings choose the engine.
        chosen: the golden images.
        precision: what the network has answered them in.
        to: the version in the making, with its graphs.
        engines: the graphs, by precision.

    Raises:
        ExportMismatch: an exported graph does not answer as the network did.
    """
    pixels = np.stack([image.pixels for image in chosen])
    trained = np.stack([image.trained for image in chosen])
    outputs = {name: engine.infer(pixels) for name, engine in engines.items()}
    answers: Answers = {name: one[PROBABILITIES] for name, one in outputs.items()}
    _check_export(answers.get(precision, answers["f32"]), trained)
    _write(to, chosen, answers)
    engine = FORMAT_OF[select_engine(worker.settings.engine)]
    differences: dict[Format, float] = {engine: _difference(answers["f32"], trained)}
    if "int8" in answers:
        differences["openvino_int8"] = _difference(answers["int8"], trained)
    formats = [kind for kind in FILE_OF if kind != "openvino_int8" or "int8" in answers]
    artifacts = {
        kind: Artifact(path=FILE_OF[kind], difference=differences.get(kind)) for kind in formats
    }
    return Written(artifacts, pixels, outputs)


def _read_golden(work: Work, evaluated: Evaluated) -> list[Golden]:
    """Return the golden images: the first candidates whose files are still there.

    Raises:
        NotSeenHere, ImagesLost: none of the test images can be read.
    """
    files = work.dataset().files()
    size = evaluated.network.architecture.input_size
    found: list[Golden] = []
    for position in _candidates(evaluated):
        image = evaluated.test_images[position]
        with suppress(InvalidImage):  # gone meanwhile: the next one is taken
            data = files.read(image.file, image.sha256)
            pixels = decode(data, size, size, work.worker.image_limits)
            answer = evaluated.test_probabilities[position]
            found.append(Golden(image.label, image.format, data, pixels, answer))
        if len(found) == GOLDEN_IMAGES:
            break
    if not found:
        raise none_left(files, len(evaluated.test_images))
    return found


def _write(to: Path, chosen: Sequence[Golden], answers: Answers) -> None:
    """Write the golden images and a JSON file that says what they are and what is answered."""
    directory = (to / GOLDEN_FILE).parent
    directory.mkdir()
    golden = []
    for number, image in enumerate(chosen):
        file = f"{number}.{image.format.lower()}"
        (directory / file).write_bytes(image.data)
        own = {precision: answer[number].tolist() for precision, answer in answers.items()}
        golden.append(
            GoldenImage(file=file, label=image.label, probabilities=own.pop("f32"), reduced=own)
        )
    (to / GOLDEN_FILE).write_bytes(_golden_images.dump_json(golden, indent=2))


def _candidates(evaluated: Evaluated) -> list[int]:
    """Return the positions of the test images: one of each label, then a second one, and so on."""
    by_label: dict[int, list[int]] = {}
    for index, label in enumerate(evaluated.test_truth):
        by_label.setdefault(int(label), []).append(index)
    rounds = max(map(len, by_label.values()))
    return [
        indices[turn]
        for turn in range(rounds)
        for indices in by_label.values()
        if turn < len(indices)
    ]


def _difference(exported: Probabilities, trained: Probabilities) -> float:
    """Return the largest difference between two probabilities, rounded."""
    return round(float(np.abs(exported - trained).max()), 6)


def _check_export(exported: Probabilities, trained: Probabilities) -> None:
    """Raise ExportMismatch if the answers to most of the images differ by too much."""
    difference = float(np.median(np.abs(exported - trained).max(axis=1)))
    if not difference <= EXPORT_TOLERANCE:
        raise ExportMismatch(
            "The exported model answers differently from the trained network: expected "
            f"probabilities within {EXPORT_TOLERANCE} for most golden images. Received: "
            f"{difference:.3f} apart"
        )
