"""The section of a report about the choice of a regression's taps and strength."""

import math
from typing import Any

from trainer_service.report.curves import Axis, Series, curves
from trainer_service.report.facts import Facts
from trainer_service.report.markup import Markup, tag
from trainer_service.report.numbers import percent
from trainer_service.report.parts import card

#: The taps, which are tried in this order.
_NAMES = {"last": "last layer", "late": "last three layers", "all": "all layers"}


def choice(facts: Facts) -> Markup:
    """Return the validation loss and accuracy by strength.

    There is a line for each of the taps, and one for further views if they were tried.
    """
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
    lines: dict[str, dict[float, float]] = {}
    for row in facts.history:
        lines.setdefault(_name(row), {})[row["strength"]] = row[field]
    return [
        Series(name, f"series-{number}", [own.get(strength, math.nan) for strength in strengths])
        for number, (name, own) in enumerate(lines.items(), 1)
    ]


def _name(row: dict[str, Any]) -> str:
    """Return the name of the line that an attempt belongs to; reports of before have no views."""
    views = row.get("views", 1)
    return _NAMES[row["taps"]] + (f", {views} views" if views > 1 else "")
