"""What the tail of a network learns from: the rows of a body for every view of the images.

    activations/<space>/<shard>.npy, .json    one view of a group of images, as in `features`

In a space, a view of an image is known by the SHA-256 of the image and the number of the view. The
same images are grouped in the same way again, so a training that tunes differently finds what an
earlier one has computed, and one whose worker was killed goes on after the last group.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from shared.engines import (
    FEATURES,
    Engine,
    EngineName,
    OpenVINOEngine,
    Outputs,
    Pixels,
    Precision,
    TensorFlowEngine,
    cpu_precision,
)
from trainer_service.backbones.architectures import Architecture
from trainer_service.backbones.backbone import convert, feature_space
from trainer_service.backbones.cuts import Divided
from trainer_service.backbones.features import FeatureStore, Stored
from trainer_service.backbones.weights import Weights
from trainer_service.datasets.image_files import ImageFiles
from trainer_service.phases.bottleneck.view_computer import ViewComputer
from trainer_service.phases.views import Views, view_name
from trainer_service.requests.training import TapSet
from trainer_service.store.shards import ShardImage, ShardResult
from trainer_service.store.stores import ACTIVATIONS_FOLDER

#: How many numbers a shard has at most: 8 MB. A group has as many images, so while it is computed,
#: all its views take up to 16 MB each.
SHARD_NUMBERS = 1 << 22
LARGEST_GROUP = 64
SMALLEST_GROUP = 8


@dataclass(frozen=True, slots=True)
class Activations:
    """The stored rows of some images.

    Attributes:
        groups: the SHA-256 of the images of each group.
        views: how many views there are of each image.
        lost: images that could not be read any more, with the reasons; they are in no group.
    """

    store: FeatureStore
    groups: list[list[str]]
    views: int = 1
    lost: dict[str, str] = field(default_factory=dict)

    def rows(self, group: int, view: int) -> Stored:
        """Return one view of a group, float16 (images, width).

        Raises:
            FeaturesGone: it was removed or damaged since it was computed.
            OSError: it can't be read now.
        """
        return self.store.read_shard(_keys(self.groups[group], view))


class PixelEngine:
    """Gives back the pixels: the body of a network of which everything is trained."""

    name: EngineName = "openvino"
    precision: Precision = "f32"
    outputs = (FEATURES,)

    def infer(self, pixels: Pixels) -> Outputs:
        return {FEATURES: pixels.reshape(len(pixels), -1).astype(np.float32)}

    def infer_batches(self, batches: Iterable[Pixels]) -> Iterator[Outputs]:
        return map(self.infer, batches)


def body_engine(
    divided: Divided,
    engine: EngineName,
    precision: Precision,
    threads: int,
    check: Callable[[], None],
) -> Engine:
    """Return the engine that computes the rows of a body.

    Args:
        divided: the backbone, of which nothing was trained yet.
        engine: which engine computes it; TensorFlow computes in float32.
        precision: what OpenVINO computes in, if this machine is fast at it.
        threads: CPU threads; 0 means all cores.
        check: called between the steps of its conversion; what it raises ends that.
    """
    if divided.body is None:
        return PixelEngine()
    if engine == "tensorflow":
        return TensorFlowEngine.from_keras(divided.body, FEATURES)
    native: Precision = precision if precision == cpu_precision() else "f32"
    network = convert(divided.body, check)
    check()
    return OpenVINOEngine(
        network,
        outputs=(FEATURES,),
        precision=native,
        threads=threads,
        hint="throughput",
    )


def activation_store(  # noqa: PLR0913, PLR0917 - together they are the key
    store: Path,
    architecture: Architecture,
    weights: Weights,
    taps: TapSet,
    precision: Precision,
    cut: str,
    views: Views,
) -> FeatureStore:
    """Return the store of the rows of one body and one kind of views.

    Args:
        store: the directory of the whole store.
        architecture: a row of the catalogue.
        weights: its pre-trained weights.
        taps: whose features the rows hold, where they lie before the cut.
        precision: what the rows are computed in.
        cut: the layer that the backbone is divided at.
        views: which views; their number makes no difference.
    """
    backbone = feature_space(architecture, weights, precision, taps)
    parts: dict[str, Any] = {"backbone": backbone, "cut": cut, "views": views.key}
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]
    return FeatureStore(store, f"{architecture.id}-{digest}", ACTIVATIONS_FOLDER)


def missing_images(
    images: Sequence[ShardImage], views: Views, store: FeatureStore, width: int
) -> list[ShardImage]:
    """Return the images of which views are still to be computed, by the names of stored files."""
    return [
        image
        for group in _grouped(images, width)
        if not all(store.names(_keys([one.sha256 for one in group], v)) for v in views.numbers)
        for image in group
    ]


def compute_activations(  # noqa: PLR0913 - three have names
    images: Sequence[ShardImage],
    files: ImageFiles,
    computer: ViewComputer,
    store: FeatureStore,
    *,
    width: int,
    advance: Callable[[int], None],
    lose: Callable[[dict[str, str]], None] = lambda _: None,
) -> Activations:
    """Compute what is not stored yet of all views of some images.

    Args:
        images: in any order.
        files: where they are read.
        computer: computes their rows.
        store: where they are, or will be, stored.
        width: the length of a row.
        advance: called often with the number of images done so far; what it raises ends it.
        lose: called with the images of a group that could not be read, and the reasons; what it
            raises ends it.

    Raises:
        BrokenFeatures: the body gives something else than numbers.
        Setback, OSError, MemoryError: the machine's fault, which says nothing of any image.
    """
    groups: list[list[str]] = []
    lost: dict[str, str] = {}
    done = 0
    for group in _grouped(images, width):
        used = [image.sha256 for image in group]
        if not all(store.holds(_keys(used, view)) for view in computer.views.numbers):
            used, result = _compute_group(group, files, computer, store, _further(advance, done))
            lost |= result.rejected
            lose(result.rejected)
        groups += [used] if used else []
        done += len(group)
        advance(done)
    return Activations(store, groups, computer.views.count, lost)


def _grouped(images: Sequence[ShardImage], width: int) -> list[list[ShardImage]]:
    """Divide images into groups by their hashes, so that no group has images of one label only."""
    size = max(SMALLEST_GROUP, min(LARGEST_GROUP, SHARD_NUMBERS // width))
    ordered = sorted(images, key=lambda image: image.sha256)
    count = -(-len(ordered) // size)
    return [
        ordered[number * len(ordered) // count : (number + 1) * len(ordered) // count]
        for number in range(count)
    ]


def _compute_group(
    group: list[ShardImage],
    files: ImageFiles,
    computer: ViewComputer,
    store: FeatureStore,
    advance: Callable[[int], None],
) -> tuple[list[str], ShardResult]:
    """Compute and store all views of a group; return the images that could be used."""
    views, count = computer.views.numbers, computer.views.count
    used, rows, result = computer.compute(group, files, lambda done: advance(done // count))
    for place, view in enumerate(views if used else ()):
        store.write(_keys(used, view), rows[place::count], result.seconds / count)
    return used, result


def _further(advance: Callable[[int], None], done: int) -> Callable[[int], None]:
    """Return `advance`, but counting on from the images that are done already."""
    return lambda more: advance(done + more)


def _keys(images: Sequence[str], view: int) -> list[str]:
    return [view_name(sha256, view) for sha256 in images]
