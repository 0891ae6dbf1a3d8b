"""Curves over epochs, or over strengths, as SVG."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from trainer_service.report.markup import Markup, tag

WIDTH, HEIGHT = 440, 260
LEFT, RIGHT, TOP, BOTTOM = 56, 28, 12, 40
TICKS = 5
#: A line has about this many pixels, so more points would show nothing more.
MAX_POINTS = 400


class Series(NamedTuple):
    """A line of a chart.

    Attributes:
        name: its name in the legend.
        style: its CSS classes.
        values: a value for each position on the axis; NaN leaves a gap.
    """

    name: str
    style: str
    values: Sequence[float]


class Axis(NamedTuple):
    """What lies along the lower axis.

    Attributes:
        unit: its name, such as "epoch".
        name_of: returns the name of a position, from 1.
        marked: what the position has that is marked.
    """

    unit: str = "epoch"
    name_of: Callable[[int], str] = str
    marked: str = "the weights of the model"


class _Plane(NamedTuple):
    length: int
    ticks: list[float]

    def x(self, position: float) -> float:
        share = (position - 1) / (self.length - 1) if self.length > 1 else 0.5
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        share = (value - self.ticks[0]) / (self.ticks[-1] - self.ticks[0])
        return TOP + (1 - share) * (HEIGHT - TOP - BOTTOM)


def curves(
    title: str,
    series: Sequence[Series],
    kept: int,
    text_of: Callable[[float], str],
    axis: Axis = Axis(),  # noqa: B008 - it can't be changed
) -> Markup:
    """Return a figure with a line for each series.

    Args:
        title: the title of the figure.
        series: the lines, which all have the same length.
        kept: the position, from 1, that is marked, and whose values are told.
        text_of: returns a value as text.
        axis: what lies along the lower axis.
    """
    values = [value for line in series for value in line.values if math.isfinite(value)]
    plane = _Plane(
        len(series[0].values), nice_ticks(min(values, default=0), max(values, default=1))
    )
    at = f"{axis.unit} {axis.name_of(kept)}"
    label = f"{title} over {plane.length} {axis.unit}s: " + ", ".join(
        f"{line.name} {_value(line, kept, text_of)} at {at}" for line in series
    )
    drawing = tag(
        "svg",
        _axes(plane, text_of, axis),
        _kept_mark(plane, kept, f"{at}: {axis.marked}"),
        [_line(line, plane) for line in series],
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        aria_label=label,
        class_="chart",
    )
    entries = [_entry(line, kept, text_of) for line in series]
    return tag("figure", tag("figcaption", title), drawing, tag("ul", entries, class_="legend"))


def nice_ticks(low: float, high: float) -> list[float]:
    """Return round numbers at equal distances, from `low` or less to `high` or more."""
    if high <= low:
        low, high = low - 0.1 * (abs(low) or 1), high + 0.1 * (abs(high) or 1)
    rough = (high - low) / TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(size * power for size in (1, 2, 5, 10) if size * power >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


def _axes(plane: _Plane, text_of: Callable[[float], str], axis: Axis) -> list[Markup]:
    rows = [
        tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=plane.y(tick), y2=plane.y(tick), class_="grid")
        for tick in plane.ticks
    ]
    names = [
        tag("text", text_of(tick), x=LEFT - 6, y=plane.y(tick) + 4, text_anchor="end")
        for tick in plane.ticks
    ]
    return [*rows, *names, *_positions(plane, axis)]


def _positions(plane: _Plane, axis: Axis) -> list[Markup]:
    whole = {int(tick) for tick in nice_ticks(1, plane.length) if tick == int(tick)}
    shown = sorted({1} | {position for position in whole if 1 < position <= plane.length})
    marks = [
        tag("text", axis.name_of(at), x=plane.x(at), y=HEIGHT - 22, text_anchor="middle")
        for at in shown
    ]
    return [*marks, tag("text", axis.unit, x=WIDTH - RIGHT, y=HEIGHT - 5, text_anchor="end")]


def _kept_mark(plane: _Plane, kept: int, title: str) -> Markup:
    x = plane.x(kept)
    return tag("line", tag("title", title), x1=x, x2=x, y1=TOP, y2=HEIGHT - BOTTOM, class_="kept")


def _line(series: Series, plane: _Plane) -> list[Markup]:
    stride = max(1, math.ceil(plane.length / MAX_POINTS))
    path, pen_down = [], False
    for index in sorted({*range(0, plane.length, stride), plane.length - 1}):
        value = series.values[index]
        if math.isfinite(value):
            path.append(f"{'L' if pen_down else 'M'}{plane.x(index + 1):.1f} {plane.y(value):.1f}")
        pen_down = math.isfinite(value)
    drawn = [tag("path", d="".join(path), class_=f"line {series.style}")]
    if plane.length == 1 and path:
        y = plane.y(series.values[0])
        drawn.append(tag("circle", cx=plane.x(1), cy=y, r=4, class_=f"dot {series.style}"))
    return drawn


def _entry(series: Series, kept: int, text_of: Callable[[float], str]) -> Markup:
    sample = tag("path", d="M1 6H23", class_=f"line {series.style}")
    swatch = tag("svg", sample, width=24, height=12, aria_hidden="true")
    value = tag("strong", _value(series, kept, text_of))
    return tag("li", swatch, tag("span", series.name, " ", value))


def _value(series: Series, kept: int, text_of: Callable[[float], str]) -> str:
    value = series.values[kept - 1]
    return text_of(value) if math.isfinite(value) else "not tried"
