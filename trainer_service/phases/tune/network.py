"""A classifier whose last layers were trained on: what is evaluated, quantized and exported."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from shared.models.manifest import HeatmapInfo
from trainer_service.backbones.cuts import Divided
from trainer_service.backbones.export import export_version
from trainer_service.backbones.features import Features, FeaturesGone, Stored
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
        check, answers, head = self.work.check_cancelled, self._answers, self.head

        def probabilities(rows: Stored) -> Probabilities:
            return softmax(answers.logits(head, rows, check).T).T

        return self._of_each(images, len(self.labels), probabilities)

    @property
    def embedding_is_learnt(self) -> bool:
        return True

    def embeddings(self, images: Sequence[ImageRecord]) -> Features:
        """Return the embeddings of images, from their stored rows if there are some.

        Raises:
            FeaturesGone: rows are not stored any more, nor can the images be read.
        """
        check, answers, size = self.work.check_cancelled, self._answers, self.embedding_size
        return self._of_each(images, size, lambda rows: answers.features(rows, check)[:, -size:])

    def _of_each(
        self, images: Sequence[ImageRecord], width: int, of: Callable[[Stored], Features]
    ) -> Features:
        """Return what a function makes of the rows of images: float32 (len(images), width).

        Raises:
            FeaturesGone: rows are not stored any more, nor can the images be read.
        """
        check = self.work.check_cancelled
        found = self.rows.compute(images, self.rows.plain, lambda _: check())
        if found.lost:
            raise FeaturesGone(len(found.lost))
        place = {image.sha256: number for number, image in enumerate(images)}
        result = np.empty((len(images), width), np.float32)
        for number, group in enumerate(found.groups):
            result[[place[sha256] for sha256 in group]] = of(found.rows(number, 0))
        return result

    def export(self, directory: Path, check_cancelled: Callable[[], None]) -> HeatmapInfo | None:
        check_cancelled()
        return export_version(
            self.divided.backbone,
            as_layers(self.head),
            directory,
            embedding_size=self.embedding_size,
        )
