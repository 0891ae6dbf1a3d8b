"""Settles which of the images that were read are used."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from trainer_service.datasets.interpretation.interpret import Labelled
from trainer_service.datasets.records import ImageRecord, Verdict
from trainer_service.store.records.parts import TWO_LABELS

#: Of two copies the one that is held back longest from training stays: that of the lower number.
PREFERENCE = {"test": 0, "validation": 1, "train": 2, None: 3}
_SHOWN = 3


#: What an image looks like, from `likeness.look_of`.
Look = bytes


@dataclass(slots=True, frozen=True)
class Note:
    """What is known of an image once its bytes have been read.

    The fields are `ImageRecord`'s, and its `look` until its near doubles are known.
    """

    name: str
    path: str
    bytes: int
    sha256: str = ""
    format: str = ""
    width: int = 0
    height: int = 0
    verdict: Verdict = "used"
    detail: str = ""
    double_of: str = ""
    look: Look = b""


def settle(notes: Sequence[Note], labels: Sequence[Labelled]) -> Iterator[ImageRecord]:
    """Yield a record for each note, in their order.

    Of the copies of a picture under one label one is used: that of the test part before that of
    the validation part before that of the train part, then the first by name. Of a picture that
    stands under two labels none is.
    """
    verdicts = dict(_verdicts_on_copies(notes, labels))
    for index, (note, labelled) in enumerate(zip(notes, labels, strict=True)):
        yield _record(note, labelled, *_verdict(note, labelled, verdicts.get(index)))


def _verdict(
    note: Note, labelled: Labelled, on_copies: tuple[Verdict, str] | None
) -> tuple[Verdict, str]:
    if note.verdict != "used":
        return note.verdict, note.detail
    if labelled.reason:
        return "left out", labelled.reason
    if not labelled.label:
        return "unlabelled", "no folder, file name or table gives it a label"
    return on_copies or ("used", "")


def _verdicts_on_copies(
    notes: Sequence[Note], labels: Sequence[Labelled]
) -> list[tuple[int, tuple[Verdict, str]]]:
    copies: defaultdict[str, list[int]] = defaultdict(list)
    for index, (note, labelled) in enumerate(zip(notes, labels, strict=True)):
        if note.verdict == "used" and labelled.label:
            copies[note.sha256].append(index)
    verdicts: list[tuple[int, tuple[Verdict, str]]] = []
    for indexes in copies.values():
        said = {labels[index].label for index in indexes}
        if len(said) > 1:
            told = {label: _contradiction(label, indexes, notes, labels) for label in said}
            verdicts += [(i, told[labels[i].label]) for i in indexes]
        else:
            kept, *others = sorted(indexes, key=lambda i: (PREFERENCE[labels[i].split], i))
            verdicts += [(i, ("duplicate", f"duplicate of {notes[kept].name}")) for i in others]
    return verdicts


def _contradiction(
    label: str, copies: Sequence[int], notes: Sequence[Note], labels: Sequence[Labelled]
) -> tuple[Verdict, str]:
    """Return what is said of the copies under one label: a few of those under others."""
    others = (f"{notes[i].name} ({labels[i].label})" for i in copies if labels[i].label != label)
    shown = list(islice(others, _SHOWN))
    more = " and more" if next(others, None) else ""
    return TWO_LABELS, f"also {', '.join(shown)}{more}"


def _record(note: Note, labelled: Labelled, verdict: Verdict, detail: str) -> ImageRecord:
    return ImageRecord(
        name=note.name,
        label=labelled.label,
        split=labelled.split,
        sha256=note.sha256,
        width=note.width,
        height=note.height,
        format=note.format,
        bytes=note.bytes,
        verdict=verdict,
        detail=detail,
        file=note.path if note.verdict == "used" else "",
        double_of=note.double_of,
    )
