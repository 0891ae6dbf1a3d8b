"""The labels that people give to single images."""

import unicodedata
from collections.abc import Iterable

from shared.errors import InvalidRequest
from shared.models.manifest import LONGEST_LABEL
from trainer_service.datasets.interpretation.merging import form

_SHOWN = 40


def clean_label(text: str, of: str) -> str:
    """Return a label as reading a dataset would write it: letters composed, single spaces.

    Args:
        text: the label as it was sent.
        of: what it is the label of, for the error.

    Raises:
        InvalidRequest: it is empty, too long, or has characters that can't be shown.
    """
    label = " ".join(unicodedata.normalize("NFC", text).split())
    if len(label) > LONGEST_LABEL:
        raise InvalidRequest(
            f"{of}: expected a label of at most {LONGEST_LABEL} characters. "
            f"Received: {text[:_SHOWN]!r} and so on"
        )
    if not label.isprintable() or len(text.splitlines()) > 1:
        raise InvalidRequest(
            f"{of}: expected a label without control characters. Received: {text[:_SHOWN]!r}"
        )
    if not label:
        raise InvalidRequest(f"{of}: expected a label. Received: an empty text")
    return label


class Spellings:
    """How the labels of a dataset are spelt.

    Args:
        labels: those that are there; of some that are alike, the last one's spelling counts.
        merge: whether labels that differ only in case and spaces are one.
    """

    def __init__(self, labels: Iterable[str], *, merge: bool) -> None:
        self._known = {form(label): label for label in labels} if merge else None

    def of(self, label: str) -> str:
        """Return how a label is spelt in the dataset; a new one stays as it is."""
        return label if self._known is None else self._known.setdefault(form(label), label)
