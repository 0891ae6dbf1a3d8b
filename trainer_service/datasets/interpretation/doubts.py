"""Doubts a reading whose result looks wrong, as where the labels are `train` and `test`."""

from collections import Counter
from collections.abc import Sequence

from trainer_service.datasets.interpretation.words import is_camera_prefix, is_code, is_no_label
from trainer_service.store.records.interpretation import Layout

_SHOWN = 5
_TWO = 2
_MOST_SMALL = 10


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
    in_file_names = layout.kind == "file names"
    if in_file_names and all(map(is_camera_prefix, counts)):
        return (
            f"The labels found are {_shown(sorted(counts))}, as cameras call any image, whatever "
            "it shows."
        )
    codes = [label for label in counts if is_code(label) and not label.isalpha()]
    if in_file_names and len(codes) * 2 > len(counts):
        return (
            f"The labels found are {_shown(sorted(counts))}, which look like the numbers of "
            "things, and not like their kinds."
        )
    if in_file_names and len(counts) > _MOST_SMALL and len(counts) * 3 > counts.total():
        return (
            f"{len(counts)} labels were found in the names of {counts.total()} images, e.g. "
            f"{_shown(sorted(counts))}."
        )
    single = [label for label, number in counts.items() if number == 1]
    if len(counts) > _TWO and len(single) * 2 > len(counts):
        return (
            f"{len(single)} of the {len(counts)} labels found have a single image, e.g. "
            f"{_shown(sorted(single))}."
        )
    return ""


def odd_labels(layout: Layout, counts: Counter[str]) -> list[str]:
    """Return, in words, the labels among others that look like something else."""
    odd = sorted(label for label in counts if is_no_label(label))
    texts: list[str] = []
    if odd and len(odd) * 2 <= len(counts):
        texts.append(
            f"{_shown(odd)} may be no label, but a folder for something else. If so, leave out the "
            "folders of that name."
        )
    of_cameras = sorted(filter(is_camera_prefix, counts)) if layout.kind == "file names" else []
    if of_cameras:
        texts.append(f"{_shown(of_cameras)} may be no label, but what cameras call any image.")
    joined = sorted(label for label in counts if _is_joined(label, counts))
    if joined:
        texts.append(
            f"{_shown(joined)} may be several labels of one image, which is learnt as a label of "
            "its own. Leave out such images, or rename it, if that is not meant."
        )
    return texts


def _is_joined(label: str, labels: Counter[str]) -> bool:
    """Return whether a label is others, joined by a sign as in `cat|dog`."""
    return any(
        sign in label and any(part.strip() in labels for part in label.split(sign))
        for sign in "|;,"
    )


def _shown(labels: Sequence[str]) -> str:
    named = ", ".join(map(repr, labels[:_SHOWN]))
    return named if len(labels) <= _SHOWN else f"{named} and {len(labels) - _SHOWN} more"
