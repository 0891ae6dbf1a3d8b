"""Whether a picture is like those that a version was trained on, and which it is most like."""

from typing import Any

from predictor_service.inference.batching import Rows
from shared.engines import EMBEDDING, Outputs
from shared.errors import InvalidRequest
from shared.models.manifest import Manifest
from shared.models.unknown import FALSE_ALARMS, Comparer, KnownImages, fewest_distances

#: What takes the place of the embedding among the outputs of a network.
KNOWN, NEAREST, DISTANCES = "known", "nearest", "distances"


def compared(outputs: Outputs, comparer: Comparer | None) -> Rows:
    """Return the outputs of a network with what its embedding tells in the place of that.

    Args:
        outputs: of a batch of n pictures.
        comparer: compares them with the images that the version carries, if it does.

    Returns:
        An array of n rows for each name.
    """
    others = {name: rows for name, rows in outputs.items() if name != EMBEDDING}
    if comparer is None:
        return others
    found = comparer.compare(outputs[EMBEDDING])
    return others | {KNOWN: found.known, NEAREST: found.nearest, DISTANCES: found.distances}


def check_false_alarms(
    asked: float | None, carried: KnownImages | None, manifest: Manifest
) -> None:
    """Check that a version can call pictures unknown at the asked rate of false alarms.

    Raises:
        InvalidRequest: it carries too few distances for that, or none.
    """
    if asked is None:
        return
    if carried is None:
        why = (
            "a pre-trained network has no training images"
            if manifest.pretrained
            else "it was published without the images"
        )
        raise InvalidRequest(
            f"false_alarms: version {manifest.version} of {manifest.model} can't tell whether "
            f"pictures are unknown, as {why} to compare with. Leave it out. Received: {asked:g}."
        )
    have, need = len(carried.distances), fewest_distances(asked)
    if have < need:
        raise InvalidRequest(
            f"false_alarms: version {manifest.version} of {manifest.model} carries the distances "
            f"of {have} pictures, with which it can tell {1 / (have + 1):.2g} at least; expected "
            f"{need} for what was asked. Received: {asked:g}."
        )


def told(row: Rows, carried: KnownImages | None, false_alarms: float | None) -> dict[str, Any]:
    """Return what the answer for a picture says of it.

    Args:
        row: of what `compared` returned.
        carried: the images that the version carries, if it does.
        false_alarms: the share of known pictures that may be called unknown.

    Returns:
        `known`, the share of known pictures that are at least as far from the images; `unknown`,
        whether that is at most `false_alarms`; `nearest`, the nearest images and their distances.
        The first two are None where the version can't tell.
    """
    if carried is None:
        return {"known": None, "unknown": None, "nearest": []}
    rate = FALSE_ALARMS if false_alarms is None else false_alarms
    known, have = float(row[KNOWN]), len(carried.distances)
    return {
        "known": round(known, 6) if have else None,
        "unknown": known <= rate if have >= fewest_distances(rate) else None,
        "nearest": [
            {"image": carried.images[place], "distance": round(float(distance), 6)}
            for place, distance in zip(row[NEAREST], row[DISTANCES], strict=True)
        ],
    }
