"""Gives labels that mean the same the same name."""

import unicodedata
from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple

_SHOWN = 5


class Merged(NamedTuple):
    """New names of labels, by their old ones, and what was merged, in words."""

    names: dict[str, str]
    notes: list[str]


def merge_alike(counts: Mapping[str, int], trained: Mapping[str, int]) -> Merged:
    """Merge labels that differ only in case, in spaces, or in how Unicode writes them.

    The spelling of the most images that are trained on stays. Labels of one letter are kept apart,
    as there are sets of letters, in which `a` and `A` are two.

    Args:
        counts: the images of each label.
        trained: those of them that are not in the validation or the test part.
    """
    alike: defaultdict[str, list[str]] = defaultdict(list)
    for label in counts:
        alike[form(label)].append(label)
    names: dict[str, str] = {}
    notes: list[str] = []
    for spellings in alike.values():
        best = min(spellings, key=lambda s: (-trained.get(s, 0), -counts[s], s))
        tidy = " ".join(unicodedata.normalize("NFC", best).split())
        names |= {spelling: tidy for spelling in spellings if spelling != tidy}
        if len(spellings) > 1:
            shown = ", ".join(repr(s) for s in sorted(spellings)[:_SHOWN])
            notes.append(f"{shown} are taken for one label, {tidy!r}.")
    return Merged(names, notes)


def look_alike(labels: Mapping[str, int]) -> list[str]:
    """Return, in words, the labels that may mean the same and are kept apart: `cat` and `cats`."""
    alike: defaultdict[str, list[str]] = defaultdict(list)
    for label in labels:
        letters = "".join(c for c in form(label) if c.isalnum())
        if letters.isdigit():
            continue
        alike[letters.removesuffix("s") if len(letters) > 3 else letters].append(label)  # noqa: PLR2004 - as `gas` and `ga` do not
    return [
        f"The labels {', '.join(map(repr, sorted(found)))} look alike. If they mean the same, "
        "rename them alike."
        for form, found in alike.items()
        if len(found) > 1 and form
    ]


def form(label: str) -> str:
    """Return what labels that mean the same have in common."""
    if len(label.strip()) == 1:
        return label.strip()
    return " ".join(unicodedata.normalize("NFKC", label).casefold().split())
