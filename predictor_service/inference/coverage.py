"""Answers as many labels as it takes for the right one to be among them as often as asked."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from shared.errors import InvalidRequest
from shared.models.manifest import Manifest
from shared.models.prediction_sets import Doubts, answered, largest_coverage, most_doubt


def doubt_for(coverage: float | None, doubts: Doubts | None, manifest: Manifest) -> float | None:
    """Return up to which doubt a version has to answer labels; None if no coverage is asked for.

    Raises:
        InvalidRequest: the version can't vouch for so much.
    """
    if coverage is None:
        return None
    version = f"coverage: version {manifest.version} of {manifest.model}"
    if doubts is None:
        why = (
            "a pre-trained network was validated with no pictures"
            if manifest.pretrained
            else "it was published by an earlier release"
        )
        raise InvalidRequest(
            f"{version} can't tell how many labels that takes, as {why}. Leave it out. "
            f"Received: {coverage:g}."
        )
    doubt = most_doubt(doubts, coverage)
    if doubt is None:
        raise InvalidRequest(
            f"{version} was validated with {len(doubts)} pictures, which can vouch for "
            f"{largest_coverage(len(doubts)):.4g} at most. Received: {coverage:g}."
        )
    return doubt


def labels_of(
    probabilities: npt.NDArray[np.float32], labels: Sequence[str], doubt: float | None
) -> dict[str, Any]:
    """Return `labels` of the answer for a picture; nothing if no coverage was asked for."""
    if doubt is None:
        return {}
    return {"labels": [labels[place] for place in answered(probabilities, doubt)]}
