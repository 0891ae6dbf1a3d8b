"""What the tail needs of a training's images: found in the store, or computed."""

from collections.abc import Callable, Sequence
from typing import Any

from shared.engines import select_engine
from trainer_service.backbones.cut_table import Cut
from trainer_service.backbones.cuts import Divided
from trainer_service.backbones.features import FeatureStore
from trainer_service.datasets.image_files import ImageFiles
from trainer_service.datasets.records import ImageRecord
from trainer_service.phases.backbone import Backbone
from trainer_service.phases.bottleneck.view_computer import ViewComputer
from trainer_service.phases.disk_room import NUMBER_BYTES, Demand
from trainer_service.phases.tune.activations import (
    Activations,
    activation_store,
    body_engine,
    compute_activations,
    missing_images,
)
from trainer_service.phases.views import Views
from trainer_service.phases.work import Work
from trainer_service.store.shards import ShardImage
from trainer_service.store.stores import ACTIVATIONS_FOLDER

#: Bytes of one of a tail's weights.
_WEIGHT = 4
#: A checkpoint has weights, their averages, two moments and the best; the last one and the next.
_COPIES = 2 * 5


class Rows:
    """The rows of a body, of any views of a training's images.

    Args:
        work: the training.
        backbone: with the taps of its head.
        cut: where it is divided.
        divided: the same, of which nothing was trained yet.
        check: called between the steps of its conversion; what it raises ends that.
    """

    def __init__(
        self,
        work: Work,
        backbone: Backbone,
        cut: Cut,
        divided: Divided,
        check: Callable[[], None],
    ) -> None:
        self._work, self._backbone, self._cut = work, backbone, cut
        self._tail: Any = divided.tail
        self.files: ImageFiles = work.dataset().files()
        worker = work.worker
        engine = select_engine(worker.settings.engine)
        self._engine = body_engine(divided, engine, backbone.precision, worker.threads, check)

    @property
    def width(self) -> int:
        """How many numbers a row has."""
        return int(self._tail.input_shape[-1])

    @property
    def plain(self) -> Views:
        """Each image as it is."""
        return Views(self._backbone.architecture.input_size)

    def computer(self, views: Views) -> ViewComputer:
        """Return what computes the rows of views."""
        worker = self._work.worker
        return ViewComputer(self._engine, views, threads=worker.threads, limits=worker.image_limits)

    def missing(self, images: Sequence[ImageRecord], views: Views) -> list[ShardImage]:
        """Return the images of which views are still to be computed."""
        return missing_images(_listed(images), views, self._store(views), self.width)

    def bytes_of(self, images: int, views: Views) -> int:
        """Return how many bytes the rows of so many images take."""
        return images * views.count * self.width * NUMBER_BYTES

    def compute(
        self,
        images: Sequence[ImageRecord],
        views: Views,
        advance: Callable[[int], None],
        lose: Callable[[dict[str, str]], None] = lambda _: None,
    ) -> Activations:
        """Return the rows of all views of images; those that are not stored are computed.

        Args:
            images: some of the training's.
            views: which views.
            advance: called often with the number of images done; what it raises ends it.
            lose: called with images that could not be read, and the reasons; what it raises ends
                it.

        Raises:
            TransientFailure: the disk can't hold them.
            BrokenFeatures: the body gives something else than numbers.
            Setback, OSError, MemoryError: the machine's fault, which says nothing of any image.
        """
        store, listed = self._store(views), _listed(images)
        missing = missing_images(listed, views, store, self.width)
        if missing:
            self._require_room(len(missing), views)
        computer = self.computer(views)
        return compute_activations(
            listed, self.files, computer, store, width=self.width, advance=advance, lose=lose
        )

    def _store(self, views: Views) -> FeatureStore:
        backbone = self._backbone
        return activation_store(
            backbone.worker.settings.store,
            backbone.architecture,
            backbone.weights,
            backbone.taps,
            backbone.precision,
            self._cut.layer,
            views,
        )

    def _require_room(self, images: int, views: Views) -> None:
        """Check that the disk holds the rows of so many images, and the state of the tail."""
        weights = sum(variable.value.shape.num_elements() for variable in self._tail.variables)
        Demand(
            directory=self._work.worker.settings.store / ACTIVATIONS_FOLDER,
            bytes=self.bytes_of(images, views) + _COPIES * _WEIGHT * weights,
            what=f"tune: {views.count} views of {images} images from {self._cut.layer} on, "
            "and the state of the layers behind it,",
            remedy="Fewer tune.views or a later layer in tune.from take less.",
        ).require_room()


def _listed(images: Sequence[ImageRecord]) -> list[ShardImage]:
    return [ShardImage(sha256=image.sha256, path=image.file) for image in images]
