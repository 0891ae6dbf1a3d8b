"""Tries the features of a backbone on few images, for the first round of a comparison."""

import math

import numpy as np

from trainer_service.phases.backbone import Backbone
from trainer_service.phases.head.data import HeadData, head_data
from trainer_service.phases.head.images import images_with_features
from trainer_service.phases.head.regression.out_of_fold import answer_out_of_fold
from trainer_service.phases.head.regression.rows import Setup
from trainer_service.phases.head.regression.search import STRENGTHS
from trainer_service.phases.head.regression.threads import blas_threads
from trainer_service.phases.work import Work
from trainer_service.store.records.training_record import State, TrialResult

_LEAST = 1e-7


def try_out(work: Work) -> TrialResult:
    """Return the log loss of regressions on images that they have not learnt from.

    The images are divided into five parts, each of which is answered by a regression of the others.

    Raises:
        TrainingCancelled: the training was cancelled.
        TransientFailure: more images were lost than a training tolerates, or features removed.
    """
    images = images_with_features(work)
    work.enter(State.HEAD)
    labels = sorted({image.label for image in images})
    backbone = Backbone.of(work, work.shards.precision())
    widths = backbone.architecture.widths_of(backbone.taps)
    learnt = head_data(backbone, images, labels)
    setup = Setup(
        train=learnt,
        validation=HeadData(learnt.features[:0], learnt.truth[:0]),
        labels=len(labels),
        widths=widths,
        tap_sets={backbone.taps: len(widths)},
        class_weights=work.record.request.class_weights,
        seed=work.record.request.seed,
    )
    with blas_threads(learnt.features.size * len(labels), work.worker.threads):
        answered = answer_out_of_fold(setup, STRENGTHS, work.check_cancelled)
    of_label = answered.probabilities[np.arange(len(images)), learnt.truth].astype(np.float64)
    losses = -np.log(np.clip(of_label, _LEAST, 1.0))
    return TrialResult(
        loss=round(float(losses.mean()), 6),
        standard_error=round(float(losses.std(ddof=1)) / math.sqrt(len(losses)), 6),
        images=len(images),
    )
