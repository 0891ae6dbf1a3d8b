"""Curves and the confusion matrix: SVG that says what the numbers say."""

import math
import re
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from trainer_service.report.confusion import confusion, most_frequent
from trainer_service.report.curves import (
    HEIGHT,
    MAX_POINTS,
    RIGHT,
    WIDTH,
    Series,
    curves,
    nice_ticks,
)
from trainer_service.report.numbers import percent, seconds, size


def drawn(values, kept=1):
    figure = ET.fromstring(curves("Loss", [Series("x", "s", values)], kept, str))
    path = next(p for p in figure.iter("path") if p.get("class") == "line s")
    return [
        (command, float(x), float(y))
        for command, x, y in re.findall(r"([ML])(\S+) ([\d.]+)", path.get("d"))
    ]


def test_a_curve_goes_through_its_values():
    points = drawn([4.0, 2.0, 0.0])

    assert [command for command, _, _ in points] == ["M", "L", "L"]
    assert points[1][1] - points[0][1] == pytest.approx(points[2][1] - points[1][1], abs=0.2)
    assert points[1][2] - points[0][2] == pytest.approx(points[2][2] - points[1][2], abs=0.2)
    assert points[0][2] < points[2][2]  # upwards is less in SVG
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for _, x, y in points)


def test_a_value_that_is_no_number_leaves_a_gap():
    assert [command for command, _, _ in drawn([1.0, 2.0, math.nan, 3.0, 4.0])] == list("MLML")


def test_thousands_of_epochs_are_thinned_out_but_keep_the_last():
    points = drawn(list(range(10_000)))

    assert len(points) <= MAX_POINTS + 1
    assert points[-1][1] == pytest.approx(WIDTH - RIGHT)


@pytest.mark.parametrize("values", [[0.5], [math.nan], [0.0, 0.0], [1e-9, 1e9]])
def test_odd_curves_are_drawn_too(values):
    assert curves("Loss", [Series("x", "s", values)], 1, str).count("<figure>") == 1


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.31, 0.92), (-3, 1200), (7, 7), (0, 0)])
def test_ticks_take_in_everything_at_equal_distances(low, high):
    ticks = nice_ticks(low, high)
    steps = np.diff(ticks)

    assert ticks[0] <= low
    assert ticks[-1] >= high
    assert len(ticks) <= 8
    assert steps == pytest.approx(steps[0])


def test_the_matrix_has_a_square_for_each_count_and_says_what_it_counts():
    svg = ET.fromstring(confusion(["cat", "dog"], [[7, 1], [0, 8]]))
    titles = [group.findtext("title") for group in svg.iter("g")]

    assert titles == ["7 of cat taken for cat", "1 of cat taken for dog", "8 of dog taken for dog"]
    shares = [float(r.get("fill-opacity")) for r in svg.iter("rect") if r.get("fill-opacity")]
    assert shares == [0.9, 0.3, 1.0]
    label = svg.get("aria-label")
    assert label == "Confusion matrix: 15 of 16 right; 1 of cat taken for dog"


def test_the_picture_of_a_thousand_labels_stays_small():
    matrix = np.eye(1000, dtype=int).tolist()
    svg = confusion([f"label {n}" for n in range(1000)], matrix)

    assert len(svg) < 500_000
    assert float(ET.fromstring(svg).get("width")) < 700


def test_labels_are_shortened_in_sight_and_whole_on_hover():
    label = "<b>an uncommonly long name</b>"
    svg = ET.fromstring(confusion([label, "b"], [[1, 0], [0, 1]]))
    [row, column] = [t for t in svg.iter("text") if t.findtext("title") == label]

    assert row.find("title").tail == column.find("title").tail == "<b>an uncommonl…"


def test_confusions_come_in_order_of_their_number():
    matrix = [[5, 1, 0], [3, 9, 0], [0, 2, 4]]
    assert most_frequent("abc", matrix, 2) == [("b", "a", 3), ("c", "b", 2)]


@pytest.mark.parametrize(
    ("share", "text"),
    [(1, "100.0 %"), (0.9999, "> 99.9 %"), (0, "0.0 %"), (0.0001, "< 0.1 %"), (0.5, "50.0 %")],
)
def test_a_percentage_is_neither_all_nor_nothing_unless_it_is(share, text):
    assert percent(share) == text


def test_sizes_and_times():
    assert [size(n) for n in (999, 1000, 12_345_678, 3 * 10**9)] == [
        "999 B",
        "1.0 kB",
        "12.3 MB",
        "3.0 GB",
    ]
    assert [seconds(s) for s in (0.25, 61)] == ["0.2 s", "1 min 1 s"]
