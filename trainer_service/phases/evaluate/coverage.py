"""How often the right label is among those that a version answers for a coverage."""

import numpy as np

from shared.models.manifest import CoverageInfo
from shared.models.prediction_sets import Doubts, doubts_of, most_doubt
from trainer_service.phases.evaluate.unknown import share
from trainer_service.phases.head.data import Probabilities, Truth

#: The coverage that is measured.
COVERAGE = 0.95


def covered(
    validated: tuple[Probabilities, Truth], tested: tuple[Probabilities, Truth]
) -> tuple[Doubts, CoverageInfo]:
    """Return the doubts of a network, and how often they cover the test images.

    Args:
        validated: answers to images that the network has not learnt from, and their labels.
        tested: the same of the test images.
    """
    doubts = doubts_of(*validated)
    doubt = most_doubt(doubts, COVERAGE)
    info = CoverageInfo(images=len(doubts))
    if doubt is None:
        return doubts, info
    probabilities, truth = tested
    sets = 1 - probabilities <= doubt
    rows = np.arange(len(truth))
    sets[rows, probabilities.argmax(axis=1)] = True
    update = {
        "coverage": COVERAGE,
        "right": share(int(sets[rows, truth].sum()), len(truth)),
        "labels": round(float(sets.sum(axis=1).mean()), 4),
    }
    return doubts, info.model_copy(update=update)
