"""The report of a comparison: its table and its picture, as one HTML file without scripts."""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from trainer_service.report.curves import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, nice_ticks
from trainer_service.report.markup import Markup, tag
from trainer_service.report.numbers import percent, seconds, size
from trainer_service.report.page import document
from trainer_service.report.parts import card, fact_list, table
from trainer_service.store.records.comparison_record import Candidate, ComparisonRecord, Row
from trainer_service.store.records.dataset_record import DatasetRecord

#: How far the outermost costs are from the edges of the picture, as a factor.
_MARGIN = 1.25
#: In place of a figure that is not known.
_NONE = "\u2013"
_COLUMNS = (
    "Candidate",
    "Accuracy",
    "95 % interval",
    "Log loss",
    "Macro F1",
    "Behind the best",
    "Wins : losses",
    "p",
    "Core-ms a picture",
    "in batches of 8",
    "Memory",
    "Version",
    "Multiply-adds",
    "Training",
)


class _Shown(NamedTuple):
    """A candidate with a row."""

    name: str
    row: Row


def render_comparison(record: ComparisonRecord, dataset: DatasetRecord) -> str:
    """Return the report of a comparison that has been concluded.

    Args:
        record: that of the comparison.
        dataset: what was trained on.
    """
    shown = _shown(record)
    title = f"{record.model}: {len(record.candidates)} compared"
    made = f"{len(shown)} trained on all images, {record.created_at:%Y-%m-%d %H:%M} UTC"
    return document(title, made, _sections(record, dataset, shown))


def _sections(
    record: ComparisonRecord, dataset: DatasetRecord, shown: list[_Shown]
) -> Iterable[Markup]:
    verdict = record.verdict
    sentence = tag("p", tag("strong", verdict.sentence if verdict else ""))
    yield card("Result", sentence, accuracy_against_cost(record))
    yield card(
        "Table",
        table("Candidates", _COLUMNS, (_cells(one) for one in shown), text=1),
        tag(
            "p",
            "Behind the best: by how much the accuracy is lower on the same test images. Wins are "
            "images that only this one answers right, losses those that only the best one does; p "
            "is that of McNemar's exact test. Costs were measured on the worker, decoding "
            "included. Training: as if no features had been stored.",
            class_="muted",
        ),
    )
    if dropped := [one for one in record.candidates if one.row is None]:
        yield card("Not in the table", fact_list(*((one.name, _why(one)) for one in dropped)))
    yield card(
        "Images",
        fact_list(
            ("Dataset", dataset.id),
            ("Images", dataset.images or 0),
            ("Labels", dataset.label_count),
            ("Test images", shown[0].row.images if shown else 0),
        ),
    )


def _shown(record: ComparisonRecord) -> list[_Shown]:
    """Return the rows, the most accurate first."""
    rows = [_Shown(one.name, one.row) for one in record.candidates if one.row is not None]
    return sorted(rows, key=lambda one: (-one.row.accuracy, one.row.loss))


def _why(candidate: Candidate) -> str:
    return candidate.dropped or candidate.error or "It was not trained."


def _cells(one: _Shown) -> Sequence[str]:
    row, cost = one.row, one.row.cost
    return (
        one.name,
        percent(row.accuracy),
        f"{percent(row.accuracy_low)} to {percent(row.accuracy_high)}",
        f"{row.loss:.3f}",
        f"{row.macro_f1:.3f}",
        f"{100 * row.difference:.1f} points",
        f"{row.wins} : {row.losses}",
        f"{row.p:.2g}",
        f"{cost.single:.1f}" if cost else _NONE,
        f"{cost.batched:.1f}" if cost else _NONE,
        size(cost.memory_bytes) if cost else _NONE,
        size(row.version_bytes),
        f"{row.multiply_adds / 1e9:.1f} G",
        seconds(row.training_seconds),
    )


class _Plane(NamedTuple):
    """The picture's plane: costs from left to right, accuracies upwards."""

    costs: tuple[float, float]
    ticks: list[float]

    def x(self, cost: float) -> float:
        low, high = map(math.log, self.costs)
        return LEFT + (math.log(cost) - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def y(self, accuracy: float) -> float:
        share = (accuracy - self.ticks[0]) / (self.ticks[-1] - self.ticks[0])
        return TOP + (1 - share) * (HEIGHT - TOP - BOTTOM)


def accuracy_against_cost(record: ComparisonRecord) -> Markup:
    """Return a picture of the accuracies, with their intervals, against the cost of serving."""
    shown = _shown(record)
    measured = all(one.row.cost is not None for one in shown)
    unit = "core-milliseconds a picture" if measured else "billion multiply-adds a picture"
    costs = [_cost(one.row, measured=measured) for one in shown]
    ticks = nice_ticks(
        min(one.row.accuracy_low for one in shown), max(one.row.accuracy_high for one in shown)
    )
    plane = _Plane((min(costs) / _MARGIN, max(costs) * _MARGIN), ticks)
    recommended = record.verdict.recommended if record.verdict else None
    marks = [
        _mark(plane, one, cost, marked=one.name == recommended)
        for one, cost in zip(shown, costs, strict=True)
    ]
    label = "Accuracy against the cost of serving: " + "; ".join(
        f"{one.name} {percent(one.row.accuracy)} at {cost:.1f}"
        for one, cost in zip(shown, costs, strict=True)
    )
    drawing = tag(
        "svg",
        _axes(plane, unit),
        marks,
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        aria_label=label,
        class_="chart",
    )
    caption = "Test accuracy with its 95 % interval, against the cost of serving"
    note = tag("p", "The filled point is the recommended one.", class_="muted")
    return tag("figure", tag("figcaption", caption), drawing, note)


def _cost(row: Row, *, measured: bool) -> float:
    cost = row.cost.single if measured and row.cost else row.multiply_adds / 1e9
    return max(cost, 1e-3)


def _axes(plane: _Plane, unit: str) -> list[Markup]:
    right, ticks = WIDTH - RIGHT, plane.ticks
    lines = [
        tag("line", x1=LEFT, x2=right, y1=plane.y(tick), y2=plane.y(tick), class_="grid")
        for tick in ticks
    ]
    names = [
        tag("text", f"{100 * tick:.4g} %", x=LEFT - 6, y=plane.y(tick) + 4, text_anchor="end")
        for tick in ticks
    ]
    ends = [
        tag("text", f"{plane.costs[0]:.2g}", x=LEFT, y=HEIGHT - 22, text_anchor="start"),
        tag("text", f"{plane.costs[1]:.2g}", x=right, y=HEIGHT - 22, text_anchor="end"),
        tag("text", unit, x=right, y=HEIGHT - 5, text_anchor="end"),
    ]
    return [*lines, *names, *ends]


def _mark(plane: _Plane, one: _Shown, cost: float, *, marked: bool) -> Markup:
    row, x = one.row, plane.x(cost)
    right = x > WIDTH / 2
    title = f"{one.name}: {percent(row.accuracy)}, {cost:.1f}"
    return tag(
        "g",
        tag("title", f"{title} (recommended)" if marked else title),
        tag(
            "line",
            x1=x,
            x2=x,
            y1=plane.y(row.accuracy_low),
            y2=plane.y(row.accuracy_high),
            class_="line series-1",
        ),
        tag(
            "circle",
            cx=x,
            cy=plane.y(row.accuracy),
            r=6 if marked else 4,
            class_="dot series-1" if marked else "hollow series-1",
        ),
        tag(
            "text",
            one.name,
            x=x - 9 if right else x + 9,
            y=plane.y(row.accuracy) + 4,
            text_anchor="end" if right else "start",
        ),
    )
