"""What a new version and the served one answer to the images that neither has learnt from."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydantic import BaseModel, TypeAdapter, ValidationError

from shared.engines import (
    PROBABILITIES,
    Engine,
    Pixels,
    Precision,
    load_version_engine,
    select_engine,
    serving_precisions,
)
from shared.errors import HeadstartError, InvalidImage, VersionCorrupt
from shared.files import is_fault_of_the_file
from shared.images.decoding import decode
from shared.models.manifest import Manifest
from shared.models.model_store import REPORT_FILE, read_version_file
from trainer_service.phases.evaluate.evaluation import Evaluated
from trainer_service.phases.head.data import Probabilities, Truth
from trainer_service.phases.work import Work

#: So many images are answered once more by the served version, at most: the first by their hashes.
MOST_COMPARED = 2000
_BATCH = 16


class Incomparable(HeadstartError):
    """There is nothing to compare two versions with; the message says why."""

    title = "Incomparable"


class Answers(NamedTuple):
    """What two versions answer to the same images, which neither has learnt from.

    Attributes:
        new: float32 (n, labels), of the version that is published.
        served: float32 (n, labels), of the version that is served.
        truth: int64 (n,), index of the right label.
    """

    new: Probabilities
    served: Probabilities
    truth: Truth


class _Seen(NamedTuple):
    """A test image as each of the versions sees it: its position, and uint8 (height, width, 3)."""

    position: int
    new: Pixels
    served: Pixels


class _TestRow(BaseModel):
    sha256: str


_Report = TypeAdapter(dict[str, Any])
_Rows = TypeAdapter(list[_TestRow])


def compare_answers(
    work: Work, evaluated: Evaluated, engines: Mapping[Precision, Engine], served: Manifest
) -> Answers:
    """Have both versions answer the test images that neither has learnt from.

    Both do so as exported graphs, in one precision: what was computed in training may differ a
    little, so that of two equal versions one would seem better.

    Raises:
        Incomparable: there are none, or the served version can't be run.
        TrainingCancelled: the training was cancelled.
        OSError, MemoryError: the machine can't read the evaluation or the images now.
    """
    try:
        directory = work.worker.stores.models.directory(served.model, served.version)
        common = _common(evaluated, read_version_file(directory, REPORT_FILE))
    except (VersionCorrupt, ValidationError, OSError) as error:
        if isinstance(error, OSError) and not is_fault_of_the_file(error):
            raise
        raise Incomparable(f"its evaluation can't be read: {error}") from error
    if not common:
        raise Incomparable("there is no test image that both have kept out.")
    precision = _precision(work, evaluated)
    of_served = _engine(work, directory, precision)
    positions, new, old = list[int](), list[Probabilities](), list[Probabilities]()
    for batch in _batches(_images_at(work, evaluated, served, common)):
        work.check_cancelled()
        positions += [image.position for image in batch]
        new.append(_answered(engines[precision], np.stack([image.new for image in batch])))
        old.append(_answered(of_served, np.stack([image.served for image in batch])))
    if not positions:
        raise Incomparable("none of the test images that both have kept out can be read.")
    columns = [served.labels.index(label) for label in evaluated.labels]
    truth = evaluated.test_truth[positions]
    return Answers(np.concatenate(new), np.concatenate(old)[:, columns], truth)


def _common(evaluated: Evaluated, report: bytes) -> list[int]:
    """Return the positions of the test images that are in the test of a report, too."""
    rows = _Rows.validate_python(_Report.validate_json(report).get("test"))
    theirs = {row.sha256 for row in rows}
    ours = [
        (image.sha256, position)
        for position, image in enumerate(evaluated.test_images)
        if image.sha256 in theirs
    ]
    return [position for _, position in sorted(ours)[:MOST_COMPARED]]


def _precision(work: Work, evaluated: Evaluated) -> Precision:
    """Return the precision to compare in: that of the evaluation, if versions are served in it."""
    settings, precision = work.worker.settings, evaluated.network.precision
    served = serving_precisions(select_engine(settings.engine), settings.precision)
    return precision if precision in served else "f32"


def _engine(work: Work, directory: Path, precision: Precision) -> Engine:
    engine = select_engine(work.worker.settings.engine)
    try:
        return load_version_engine(directory, engine, precision, work.worker.threads)
    except MemoryError:
        raise
    except Exception as error:  # engines raise exceptions of any class
        raise Incomparable(f"its network can't be loaded: {error}") from error


def _images_at(
    work: Work, evaluated: Evaluated, served: Manifest, positions: list[int]
) -> Iterator[_Seen]:
    """Yield the test images at some positions, without those that are gone."""
    files, limits = work.dataset().files(), work.worker.image_limits
    own, theirs = evaluated.network.architecture.input_size, served.input
    for position in positions:
        image = evaluated.test_images[position]
        with suppress(InvalidImage):
            data = files.read(image.file, image.sha256)
            new = decode(data, own, own, limits)
            alike = new.shape[:2] == (theirs.height, theirs.width)
            old = new if alike else decode(data, theirs.height, theirs.width, limits)
            yield _Seen(position, new, old)


def _batches(images: Iterator[_Seen]) -> Iterator[list[_Seen]]:
    while batch := list(islice(images, _BATCH)):
        yield batch


def _answered(engine: Engine, pixels: Pixels) -> Probabilities:
    try:
        return engine.infer(pixels)[PROBABILITIES]
    except MemoryError:
        raise
    except Exception as error:  # engines raise exceptions of any class
        raise Incomparable(f"its network can't be run: {error}") from error
