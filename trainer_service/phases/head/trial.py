"""Tries the features of a backbone on few images, for the first round of a comparison."""

import math

import numpy as np

from trainer_service.phases.backbone import Backbone
from trainer_service.phases.head.data import HeadData, doubles_of, head_data
from trainer_service.phases.head.images import images_with_features
from trainer_service.phases.head.train import HeadTask, search_regressions
from trainer_service.phases.work import Work
from trainer_service.store.records.training_record import State, TrialResult

_LEAST = 1e-7


def try_out(work: Work) -> TrialResult:
    """Return the log loss of the best regression on images that it has not learnt from.

    Without validation images, the search cross-validates each head.

    Raises:
        TrainingCancelled: the training was cancelled.
        InvalidRequest: a feature is not a finite number.
        TransientFailure: more images were lost than a training tolerates, or features removed.
    """
    images = images_with_features(work)
    work.enter(State.HEAD)
    labels = sorted({image.label for image in images})
    backbone = Backbone.of(work, work.shards.precision())
    learnt = head_data(backbone, images, labels)
    none = HeadData(learnt.features[:0], learnt.truth[:0])
    task = HeadTask(work, backbone.architecture, learnt, none, labels, doubles=doubles_of(images))
    probabilities = search_regressions(task).probabilities
    of_label = probabilities[np.arange(len(images)), learnt.truth].astype(np.float64)
    losses = -np.log(np.clip(of_label, _LEAST, 1.0))
    return TrialResult(
        loss=round(float(losses.mean()), 6),
        standard_error=round(float(losses.std(ddof=1)) / math.sqrt(len(losses)), 6),
        images=len(images),
    )
