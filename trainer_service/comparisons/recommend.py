"""What a comparison recommends, and the sentence that says so."""

from collections.abc import Sequence
from typing import NamedTuple

#: A difference that chance makes more rarely than this counts as one.
SIGNIFICANT = 0.05


class Choice(NamedTuple):
    """What of a row decides.

    Attributes:
        name: what the row is called.
        accuracy: on the test images, 0 to 1.
        loss: the log loss on them.
        cost: of serving one picture, in any unit.
        p: of the difference to the best row; 1 for that row itself.
    """

    name: str
    accuracy: float
    loss: float
    cost: float
    p: float


class Recommendation(NamedTuple):
    """What is recommended.

    Attributes:
        name: that of the row.
        distinct: whether the images suffice to tell at least one row from the best.
        sentence: the recommendation in words.
    """

    name: str
    distinct: bool
    sentence: str


def best_of(accuracies: Sequence[tuple[float, float]]) -> int:
    """Return the place of the best row: the highest accuracy, and of equal ones the least loss.

    Args:
        accuracies: accuracy and log loss of each row; there is at least one.
    """
    return min(
        range(len(accuracies)), key=lambda place: (-accuracies[place][0], accuracies[place][1])
    )


def recommend(rows: Sequence[Choice]) -> Recommendation:
    """Recommend the cheapest row that is not significantly worse than the best.

    Args:
        rows: all rows of the table, at least one.
    """
    best = rows[best_of([(row.accuracy, row.loss) for row in rows])]
    equal = [row for row in rows if row.p >= SIGNIFICANT]
    chosen = min(equal or [best], key=lambda row: (row.cost, -row.accuracy, row.loss))
    if len(rows) == 1:
        sentence = f"{chosen.name} is the only one that was trained on all images."
    elif len(equal) == len(rows):
        sentence = (
            "These images don't suffice to tell them apart: none is significantly worse than "
            f"{best.name}. {chosen.name} is the cheapest."
        )
    elif chosen.name == best.name:
        cheaper = any(row.cost < best.cost for row in rows)
        sentence = f"{best.name} is the most accurate, and " + (
            "all that are cheaper are significantly worse." if cheaper else "the cheapest as well."
        )
    else:
        sentence = (
            f"{chosen.name} is the cheapest that is not significantly worse than the most "
            f"accurate, {best.name} (p = {chosen.p:.2g})."
        )
    return Recommendation(chosen.name, len(equal) < len(rows), sentence)
