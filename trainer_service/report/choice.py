"""The section of a report about the choice of a regression's taps and strength."""

import math

from trainer_service.report.curves import Axis, Series, curves
from trainer_service.report.facts import Facts
from trainer_service.report.markup import Markup, tag
from trainer_service.report.numbers import percent
from trainer_service.report.parts import card

#: The taps in the order of their lines.
_NAMES = {"last": "last layer", "late": "last three layers", "all": "all layers"}


def choice(facts: Facts) -> Markup:
    """Return the validation loss and accuracy by strength, with a line for each of the taps."""
    strengths = sorted({row["strength"] for row in facts.history}, reverse=True)
    kept = facts.history[facts.best_epoch - 1]["strength"]
    axis = Axis("strength", lambda position: f"{strengths[position - 1]:.2g}")
    loss, accuracy = (_lines(facts, strengths, field) for field in ("val_loss", "val_accuracy"))
    position = strengths.index(kept) + 1
    return card(
        "Choice of the head",
        tag("p", facts.manifest.head.detail if facts.manifest.head else ""),
        tag(
            "div",
            curves("Validation loss", loss, position, lambda value: f"{value:.4g}", axis),
            curves("Validation accuracy", accuracy, position, percent, axis),
            class_="columns",
        ),
        tag(
            "p",
            "The stronger the regularisation, the simpler the head. The model has the strength of "
            "the dashed upright line.",
            class_="muted",
        ),
    )


def _lines(facts: Facts, strengths: list[float], field: str) -> list[Series]:
    values = {(row["taps"], row["strength"]): row[field] for row in facts.history}
    tried = [taps for taps in _NAMES if any(row["taps"] == taps for row in facts.history)]
    return [
        Series(
            _NAMES[taps],
            f"series-{number}",
            [values.get((taps, strength), math.nan) for strength in strengths],
        )
        for number, taps in enumerate(tried, 1)
    ]
