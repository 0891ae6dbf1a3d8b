"""The 1,000 classes of ImageNet, and what a model makes of them: some, or groups of them.

It imports nothing that computes: the trainer API checks with it what a request asks for.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Self

from shared.errors import InvalidRequest

_FILE = Path(__file__).with_name("imagenet_classes.txt")
#: How many names are suggested for one that is unknown.
_NEAREST = 5
#: How alike two names, or two words, have to be for one to be suggested for the other, from 0 to 1.
_LIKENESS, _SAME_WORD = 0.7, 0.8


@cache
def classes() -> tuple[str, ...]:
    """Return the names of the classes, in the order of the outputs of every network."""
    lines = _FILE.read_text("utf-8").splitlines()
    return tuple(line for line in lines if not line.startswith("#"))


@dataclass(frozen=True, slots=True)
class Selection:
    """The labels of a model that is made of a network for ImageNet.

    Attributes:
        labels: in the order of the model's outputs.
        members: for each label, the indices of the classes whose probabilities are summed up.
        rest: whether the last label has the probability of all classes that are in no other one.
    """

    labels: tuple[str, ...]
    members: tuple[tuple[int, ...], ...]
    rest: bool

    @classmethod
    def of(
        cls, chosen: Sequence[str] | Mapping[str, Sequence[str]] | None, rest: str | None
    ) -> Self:
        """Return the labels that a request asks for.

        Args:
            chosen: names of classes, or of each group of classes; None for all.
            rest: the label of all others; None if there is to be none.

        Raises:
            InvalidRequest: there is no such class, one would count twice, two labels have one name,
                or there is only one label.
        """
        if chosen is None:
            return cls(classes(), tuple((index,) for index in range(len(classes()))), rest=False)
        groups = chosen if isinstance(chosen, Mapping) else _each(chosen)
        members = {label: tuple(_indices(names)) for label, names in groups.items()}
        _require_once(members)
        labels, summed = tuple(members), list(members.values())
        others = tuple(sorted(set(range(len(classes()))).difference(*summed)))
        if rest is None or not others:
            _require_two(labels)
            return cls(labels, tuple(summed), rest=False)
        if rest in labels:
            raise InvalidRequest(
                f"rest: {rest!r} is the label of all classes that are not named, and should be "
                "the name of no class or group of `classes`. Send another name as `rest`, or null"
            )
        return cls((*labels, rest), (*summed, others), rest=True)

    @property
    def whole(self) -> bool:
        """Whether the labels are the classes, as the network answers them."""
        return self.members == tuple((index,) for index in range(len(classes())))

    @property
    def grouped(self) -> bool:
        """Whether a label stands for several classes."""
        return any(len(one) > 1 for one in self.members)


def _each(names: Sequence[str]) -> dict[str, list[str]]:
    """Return a group of its own for each class, by the name that the list of classes has."""
    found = [classes()[index] for index in _indices(names)]
    _refuse_repeated(found)
    return {name: [name] for name in found}


def _indices(names: Sequence[str]) -> Iterator[int]:
    for name in names:
        index = _by_spelling().get(_plain(name))
        if index is None:
            raise InvalidRequest(
                f"classes: {name!r} is no class of ImageNet. {_suggested(name)}GET "
                "/v1/imagenet-classes lists all 1,000"
            )
        yield index


def _suggested(name: str) -> str:
    nearest = nearest_classes(name)
    return f"Did you mean {', '.join(map(repr, nearest))}? " if nearest else ""


def nearest_classes(name: str) -> list[str]:
    """Return a few classes that a name may mean: those with its words, and those spelt like it."""
    asked = _plain(name)
    alike = [set(get_close_matches(word, _words(), cutoff=_SAME_WORD)) for word in asked.split()]
    with_words = [
        one for one in classes() if alike and all(one_of & _words_of(one) for one_of in alike)
    ]
    spelt = get_close_matches(asked, _by_spelling(), _NEAREST, _LIKENESS)
    found = dict.fromkeys([*with_words, *(classes()[_by_spelling()[one]] for one in spelt)])
    return list(found)[:_NEAREST]


def _require_once(members: Mapping[str, Sequence[int]]) -> None:
    _refuse_repeated([classes()[index] for group in members.values() for index in group])


def _refuse_repeated(names: Sequence[str]) -> None:
    ((name, count),) = Counter(names).most_common(1)
    if count > 1:
        raise InvalidRequest(
            f"classes: {name!r} is there {count} times. Expected each class once, as its "
            "probability can't count twice"
        )


def _require_two(labels: Sequence[str]) -> None:
    if len(labels) < 2:  # noqa: PLR2004 - one label would always have the probability 1
        raise InvalidRequest(
            "classes: expected at least two labels without a `rest`, as a single one would be "
            f"answered to every picture. Received: {', '.join(map(repr, labels))}"
        )


@cache
def _by_spelling() -> dict[str, int]:
    return {_plain(name): index for index, name in enumerate(classes())}


@cache
def _words() -> list[str]:
    return sorted(set().union(*map(_words_of, classes())))


def _words_of(name: str) -> set[str]:
    return set(_plain(name).split())


def _plain(name: str) -> str:
    return " ".join(name.casefold().replace("_", " ").split())
