"""Which candidates of a comparison go on after the first round."""

from collections.abc import Mapping
from typing import NamedTuple


class Loss(NamedTuple):
    """A mean log loss, in nats, and its standard error."""

    value: float
    standard_error: float


def going_on(losses: Mapping[str, Loss]) -> list[str]:
    """Return the candidates that go on, the best first.

    The better half goes on, and of the others those whose loss is within one standard error of the
    best: on so few images they can't be told apart from it.

    Args:
        losses: the cross-validated log loss of each candidate.
    """
    ranked = sorted(losses, key=lambda name: losses[name].value)
    if not ranked:
        return []
    best, half = losses[ranked[0]], (len(ranked) + 1) // 2
    most = best.value + best.standard_error
    return [name for place, name in enumerate(ranked) if place < half or losses[name].value <= most]


def why_dropped(loss: Loss, best: Loss, best_name: str) -> str:
    """Return why a candidate is dropped, as a sentence.

    Args:
        loss: its own cross-validated log loss.
        best: that of the best candidate.
        best_name: the name of that one.
    """
    return (
        f"In the first round its log loss was {loss.value:.3f}, in the worse half and more than "
        f"one standard error ({best.standard_error:.3f}) above that of {best_name}, "
        f"{best.value:.3f}."
    )
