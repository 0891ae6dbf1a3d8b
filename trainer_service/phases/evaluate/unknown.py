"""What a version carries to tell which pictures are unknown to it, and how well that does.

docs/decisions/0043-unknown-pictures.md says why it is done in this way.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from shared.models.manifest import Share, UnknownInfo
from shared.models.unknown import (
    FALSE_ALARMS,
    MOST_DISTANCES,
    MOST_EMBEDDING_BYTES,
    MOST_IMAGES,
    Distances,
    KnownImages,
    fewest_distances,
    known_shares,
    scaled,
)
from trainer_service.datasets.records import ImageRecord
from trainer_service.phases.evaluate.intervals import confidence_interval
from trainer_service.phases.evaluate.neighbours import Neighbours, Reference, neighbours
from trainer_service.phases.head.data import Truth, truth_of
from trainer_service.phases.head.network import Network

#: With so many validation images, the distances of training images from each other are left out.
ENOUGH_VALIDATED = 200
#: The multiply-adds that a comparison may take, as a share of those of the network. As it has to
#: read all images from memory, it takes some twenty times this share of the time.
_SHARE_OF_A_FORWARD_PASS = 0.0015


@dataclass(frozen=True, slots=True)
class Familiar:
    """What a version carries of the pictures that it knows, and how well it tells others."""

    known: KnownImages
    info: UnknownInfo


def familiar(network: Network, splits: Mapping[str, Sequence[ImageRecord]]) -> Familiar:
    """Choose the images that a version carries, and measure what they tell of the test images.

    Args:
        network: the trained network.
        splits: the images of train, validation and test.

    Raises:
        FeaturesGone: features of these images were removed while the training ran.
    """
    most = most_images(network.embedding_size, network.architecture.multiply_adds)
    carried = _fairly(splits["train"], network.labels, most)
    validation, test = (_evenly(splits[part], MOST_DISTANCES) for part in ("validation", "test"))
    images = [*carried, *validation, *test]
    embeddings = scaled(network.embeddings(images))
    truth = truth_of(images, network.labels)
    ends = [len(carried), len(carried) + len(validation)]
    own, *rows = np.split(embeddings, ends)
    own_truth, *truths = np.split(truth, ends)
    stored = own.astype(np.float16)
    reference = Reference(stored.astype(np.float32), own_truth)
    validated, tested = (neighbours(reference, *pair) for pair in zip(rows, truths, strict=True))
    alike, alike_truth, compared = validated, truths[0], "validation"
    if len(validation) < ENOUGH_VALIDATED and not network.embedding_is_learnt:
        among = neighbours(reference, own, own_truth, np.arange(len(own)))
        alike = validated.joined(among)
        alike_truth, compared = np.concatenate([truths[0], own_truth]), "validation and training"
    distances = np.sort(alike.nearest)
    known = KnownImages(stored, tuple(image.sha256 for image in carried), distances)
    info = UnknownInfo(
        images=len(carried), distances=len(distances), compared=compared, rate=FALSE_ALARMS
    )
    if len(distances) < fewest_distances(FALSE_ALARMS):
        return Familiar(known, info)
    shares = {
        "false_alarms": share_unknown(distances, tested.nearest),
        "left_out": _left_out(alike, alike_truth, tested, truths[1]),
    }
    return Familiar(known, info.model_copy(update=shares))


def share_unknown(distances: Distances, of: Distances) -> Share:
    """Return how many pictures are called unknown at the usual rate of false alarms.

    Args:
        distances: of known pictures, ascending.
        of: those of the pictures to be judged, at least one.
    """
    return share(int((known_shares(distances, of) <= FALSE_ALARMS).sum()), len(of))


def share(count: int, pictures: int) -> Share:
    """Return a share of pictures with its interval; `pictures` is at least 1."""
    low, high = confidence_interval(count / pictures, pictures)
    return Share(count=count, pictures=pictures, low=round(low, 6), high=round(high, 6))


def _left_out(alike: Neighbours, alike_truth: Truth, tested: Neighbours, truth: Truth) -> Share:
    """Return how many test images are called unknown without the images of their label.

    Args:
        alike: known pictures.
        alike_truth: their labels.
        tested: the test images.
        truth: their labels.
    """
    caught = 0
    for label in np.unique(truth):
        distances = np.sort(alike.without(int(label))[alike_truth != label])
        caught += share_unknown(distances, tested.foreign[truth == label]).count
    return share(caught, len(truth))


def most_images(width: int, multiply_adds: int) -> int:
    """Return how many images a version carries at most.

    Args:
        width: of an embedding.
        multiply_adds: of the network, for one image.
    """
    affordable = int(_SHARE_OF_A_FORWARD_PASS * multiply_adds) // width
    fitting = MOST_EMBEDDING_BYTES // (width * np.dtype(np.float16).itemsize)
    return min(MOST_IMAGES, affordable, fitting)


def _fairly(images: Sequence[ImageRecord], labels: Sequence[str], most: int) -> list[ImageRecord]:
    """Return as many images of each label as possible, side by side in the order of the labels.

    Of near doubles it is one: where each has its double among the others, these distances are
    small, and every other picture looks far.
    """
    place = {label: number for number, label in enumerate(labels)}
    turns: Counter[str] = Counter()
    rows = []
    apart: dict[str, ImageRecord] = {}
    for image in sorted(images, key=lambda image: image.sha256):
        apart.setdefault(image.double_of or image.sha256, image)
    for image in apart.values():
        rows.append((turns[image.label], place[image.label], image))
        turns[image.label] += 1
    chosen = sorted(rows, key=lambda row: row[:2])[:most]
    return [image for *_, image in sorted(chosen, key=lambda row: (row[1], row[0]))]


def _evenly(images: Sequence[ImageRecord], most: int) -> Sequence[ImageRecord]:
    """Return evenly spaced images, at most so many."""
    return images[:: max(1, -(-len(images) // most))]
