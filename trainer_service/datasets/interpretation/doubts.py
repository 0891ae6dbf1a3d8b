"""Doubts a reading whose result looks wrong, as where the labels are `train` and `test`."""

from collections import Counter
from collections.abc import Sequence

from trainer_service.datasets.interpretation.words import is_camera_prefix, is_no_label
from trainer_service.store.records.interpretation import Layout

_SHOWN = 5
_TWO = 2


def serious_doubt(layout: Layout, counts: Counter[str]) -> str:
    """Return why a reading is very likely wrong, in words; empty if it is plausible.

    Args:
        layout: where the labels come from.
        counts: the images of each label.
    """
    odd = [label for label in counts if is_no_label(label)]
    if len(odd) * 2 > len(counts) and layout.kind != "table":
        return (
            f"The labels found are {_shown(sorted(counts))}, which look like the names of "
            "folders for something else than labels."
        )
    if layout.kind == "prefix" and all(map(is_camera_prefix, counts)):
        return (
            f"The labels found are {_shown(sorted(counts))}, as cameras call any image, whatever "
            "it shows."
        )
    single = [label for label, number in counts.items() if number == 1]
    if len(counts) > _TWO and len(single) * 2 > len(counts):
        return (
            f"{len(single)} of the {len(counts)} labels found have a single image, e.g. "
            f"{_shown(sorted(single))}."
        )
    return ""


def odd_labels(counts: Counter[str]) -> list[str]:
    """Return, in words, the labels among others that look like something else."""
    odd = sorted(label for label in counts if is_no_label(label))
    if not odd or len(odd) * 2 > len(counts):
        return []
    text = (
        f"{_shown(odd)} may be no label, but a folder for something else. If so, leave out the "
        "folders of that name."
    )
    return [text]


def _shown(labels: Sequence[str]) -> str:
    named = ", ".join(map(repr, labels[:_SHOWN]))
    return named if len(labels) <= _SHOWN else f"{named} and {len(labels) - _SHOWN} more"
