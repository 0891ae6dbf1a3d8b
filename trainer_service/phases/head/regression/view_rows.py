"""The views of images that a head may learn from."""

from collections.abc import Sequence

import numpy as np

from shared.logs import get_logger
from trainer_service.datasets.records import ImageRecord
from trainer_service.phases.backbone import Backbone
from trainer_service.phases.head.regression.rows import ViewRows
from trainer_service.phases.views import view_name

log = get_logger(__name__)


def view_rows(backbone: Backbone, images: Sequence[ImageRecord]) -> ViewRows | None:
    """Return the stored views of images, or None if a training asks for none.

    An image has all its views or none. It has none if it was not meant to be learnt from when the
    shards were planned, as an image of its label has turned out to be unusable since; the head
    then learns from the image alone.

    Args:
        backbone: says how many views there are of an image.
        images: those that heads are solved on, in the order of their features.
    """
    count, store = backbone.views.count, backbone.view_features
    if count == 1:
        return None
    known = store.locate()
    names = [[view_name(image.sha256, number) for number in range(1, count)] for image in images]
    viewed = [place for place, own in enumerate(names) if all(name in known for name in own)]
    if len(viewed) < len(images):
        log.warning("images without views", images=len(images) - len(viewed))
    rows = [name for place in viewed for name in names[place]]
    return ViewRows(
        count,
        np.repeat(np.array(viewed, np.int64), count - 1),
        lambda width: store.read(rows, last=width),
    )
