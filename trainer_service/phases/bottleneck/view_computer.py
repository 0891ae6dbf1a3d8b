"""Computes what a network makes of several views of each image."""

from shared.engines import FEATURES, Engine
from shared.images.decoding import ImageLimits
from trainer_service.datasets.image_files import ImageFiles
from trainer_service.phases.bottleneck.feature_computer import (
    BATCH_SIZES,
    FeatureComputer,
    Pixels,
)
from trainer_service.phases.views import Views
from trainer_service.store.shards import ShardImage


class ViewComputer(FeatureComputer):
    """Computes the rows of views of images, all or those planned; each image is decoded once.

    Args:
        engine: uint8 (n, size, size, 3) to rows, float32 (n, width).
        views: which views are made.
        threads: decoding threads.
        limits: caps on what is decoded.
    """

    def __init__(self, engine: Engine, views: Views, *, threads: int, limits: ImageLimits) -> None:
        super().__init__(
            engine,
            output=FEATURES,
            input_size=views.size,
            batch_size=BATCH_SIZES[engine.name],
            threads=threads,
            limits=limits,
        )
        self.views = views

    def _read(self, image: ShardImage, files: ImageFiles) -> list[Pixels]:
        pixels = self._decode(image, files, self.views.decoded_size)
        views = self.views.only(image.views) if image.views else self.views
        return list(views.make(pixels, image.sha256))
