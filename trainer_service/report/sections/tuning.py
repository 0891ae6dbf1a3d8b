"""The section of a report about fine-tuning: what it was, and what came of it."""

import math
from typing import Any

from shared.models.manifest import TuneInfo, TuneMeasure
from trainer_service.report.curves import Axis, Series, curves
from trainer_service.report.facts import Facts
from trainer_service.report.markup import Child, Markup, tag
from trainer_service.report.numbers import percent, seconds
from trainer_service.report.parts import card, fact_list, table


def tuning(facts: Facts) -> Markup | None:
    """Return both networks' figures and the curves; None if no tuning was asked for."""
    tune = facts.manifest.tune
    if tune is None:
        return None
    return card(
        "Fine-tuning",
        tag("p", tune.reason),
        _figures(tune),
        _curves(facts, tune) if facts.tune_history else None,
        fact_list(*_settings(tune)),
    )


def tuned_or_not(tune: TuneInfo | None) -> str:
    """Return in a few words whether a network has tuned layers."""
    if tune is None:
        return "no"
    return f"yes, {_layers(tune)}" if tune.published else "tried, but not published"


def _layers(tune: TuneInfo) -> str:
    return "all of the network" if tune.cut == "pixels" else f"the layers behind {tune.cut}"


def _figures(tune: TuneInfo) -> Markup | None:
    if tune.frozen is None or tune.tuned is None:
        return None
    rows = [
        _row("Before tuning", tune.frozen, published=not tune.published),
        _row("Tuned", tune.tuned, published=tune.published),
    ]
    names = ("Network", "Published", "Validation loss", "Validation accuracy")
    return table("Before and after", names, rows, text=2)


def _row(name: str, measure: TuneMeasure, *, published: bool) -> tuple[str, ...]:
    chosen = "yes" if published else "no"
    return name, chosen, f"{measure.loss:.4f}", percent(measure.accuracy)


def _curves(facts: Facts, tune: TuneInfo) -> Markup:
    """Return the validation loss and accuracy by epoch, with what they were before."""
    rows = facts.tune_history
    best = 1 + min(range(len(rows)), key=lambda index: _value(rows[index], "loss", math.inf))
    axis = Axis() if tune.published else Axis(marked="the best, but not of the model")
    loss, accuracy = (_lines(facts, tune, field) for field in ("loss", "accuracy"))
    shown = tune.best_epoch or best
    return tag(
        "div",
        curves("Validation loss", loss, shown, lambda value: f"{value:.4g}", axis),
        curves("Validation accuracy", accuracy, shown, percent, axis),
        class_="columns",
    )


def _lines(facts: Facts, tune: TuneInfo, field: str) -> list[Series]:
    values = [_value(row, field, math.nan) for row in facts.tune_history]
    lines = [Series("tuned", "series-1", values)]
    if tune.frozen is not None:
        level = tune.frozen.loss if field == "loss" else tune.frozen.accuracy
        lines.append(Series("before tuning", "series-2 dashed", [level] * len(values)))
    return lines


def _value(row: dict[str, Any], field: str, unknown: float) -> float:
    """Return a value of an epoch on the validation images; after it diverged, it has none."""
    value = row.get(f"val_{field}")
    return value if value is not None and math.isfinite(value) else unknown


def _settings(tune: TuneInfo) -> list[tuple[str, Child]]:
    facts: list[tuple[str, Child]] = [("Trained", _layers(tune))]
    if tune.epochs:
        changes = f" ({', '.join(tune.augment)})" if tune.augment else ""
        facts += [("Epochs", tune.epochs), ("Views of each image", f"{tune.views}{changes}")]
    return [*facts, ("Learning rate", f"{tune.learning_rate:g}"), ("Took", seconds(tune.seconds))]
