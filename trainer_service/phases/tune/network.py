"""A classifier whose last layers were trained on: what is evaluated, quantized and exported."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from shared.manifest import HeatmapInfo
from trainer_service.backbones.cuts import Divided
from trainer_service.backbones.export import export_version
from trainer_service.backbones.features import FeaturesGone
from trainer_service.datasets.records import ImageRecord
from trainer_service.phases.head.data import Probabilities
from trainer_service.phases.head.network import Network
from trainer_service.phases.head.regression.solver import softmax
from trainer_service.phases.head.solved import LinearHead, as_layers
from trainer_service.phases.tune.rows import Rows
from trainer_service.phases.tune.tail_data import TailAnswers
from trainer_service.phases.work import Work


@dataclass(frozen=True)
class TunedNetwork(Network):
    """A backbone whose tail was trained, and the head that was trained with it.

    Attributes:
        work: the training.
        divided: the backbone as it is now.
        head: on its features.
        rows: what the tail is given of images.
    """

    work: Work
    divided: Divided
    head: LinearHead
    rows: Rows = field(repr=False)

    @cached_property
    def _answers(self) -> TailAnswers:
        return TailAnswers(self.divided.tail)

    def predict(self, images: Sequence[ImageRecord]) -> Probabilities:
        """Return the probabilities of images, from their stored rows if there are some.

        Raises:
            FeaturesGone: rows are not stored any more, nor can the images be read.
        """
        check = self.work.check_cancelled
        found = self.rows.compute(images, self.rows.plain, lambda _: check())
        if found.lost:
            raise FeaturesGone(len(found.lost))
        place = {image.sha256: number for number, image in enumerate(images)}
        probabilities = np.empty((len(images), len(self.labels)), np.float32)
        for number, group in enumerate(found.groups):
            logits = self._answers.logits(self.head, found.rows(number, 0), check)
            probabilities[[place[sha256] for sha256 in group]] = softmax(logits.T).T
        return probabilities

    def export(self, directory: Path, check_cancelled: Callable[[], None]) -> HeatmapInfo | None:
        check_cancelled()
        return export_version(self.divided.backbone, as_layers(self.head), directory)
