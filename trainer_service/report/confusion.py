"""The confusion matrix as SVG."""

from collections.abc import Sequence
from typing import NamedTuple

from trainer_service.report.markup import Markup, tag

#: The smallest sides of a cell, in pixels, with which numbers and names are drawn.
NUMBER_CELL, NAME_CELL = 24, 12
#: The largest side of the matrix, in pixels; with more labels, the cells get smaller.
SIDE = 640
NAME_LENGTH = 16
LETTER = 7.5


class _Grid(NamedTuple):
    """Where the cells are.

    Attributes:
        labels: the names of the rows and columns.
        cell: the side of a cell, in pixels.
        left: the left edge of the matrix, in pixels.
        top: its top edge.
    """

    labels: Sequence[str]
    cell: float
    left: float
    top: float

    @property
    def side(self) -> float:
        return self.cell * len(self.labels)


def confusion(labels: Sequence[str], matrix: Sequence[Sequence[int]]) -> Markup:
    """Return the picture, with a row for each true label and a column for each predicted one.

    The larger the share of a cell in its row, the stronger its colour. Empty cells are not drawn:
    so the size of the file depends on the number of test images, not on the square of the number
    of labels.
    """
    cell = _cell_size(len(labels))
    named = cell >= NAME_CELL
    length = max(len(_short(label)) for label in labels) * LETTER
    upright = length > cell
    grid = _Grid(
        labels,
        cell,
        left=length + 34 if named else 24,
        top=22 + ((length + 8 if upright else 22) if named else 4),
    )
    width, height = grid.left + grid.side + 2, grid.top + grid.side + 2
    return tag(
        "svg",
        _frame(grid),
        _names(grid, upright=upright) if named else None,
        [_cell(grid, row, counts) for row, counts in enumerate(matrix)],
        viewBox=f"0 0 {width:.0f} {height:.0f}",
        width=round(width),
        height=round(height),
        role="img",
        aria_label=_summary(labels, matrix),
        class_="confusion",
    )


def most_frequent(
    labels: Sequence[str], matrix: Sequence[Sequence[int]], most: int
) -> list[tuple[str, str, int]]:
    """Return the most frequent confusions: true label, predicted label and count."""
    wrong = [
        (count, row, column)
        for row, counts in enumerate(matrix)
        for column, count in enumerate(counts)
        if count and row != column
    ]
    wrong.sort(key=lambda entry: (-entry[0], entry[1], entry[2]))
    return [(labels[row], labels[column], count) for count, row, column in wrong[:most]]


def _cell_size(labels: int) -> float:
    for most, size in ((6, 56), (12, 40), (SIDE // NUMBER_CELL, NUMBER_CELL)):
        if labels <= most:
            return size
    return SIDE / labels


def _frame(grid: _Grid) -> list[Markup]:
    turned = f"translate(14 {grid.top + grid.side:.0f}) rotate(-90)"
    return [
        tag("text", "predicted →", x=grid.left, y=14, class_="axis"),
        tag("text", "← true", transform=turned, class_="axis"),
        tag("rect", x=grid.left, y=grid.top, width=grid.side, height=grid.side, class_="field"),
    ]


def _names(grid: _Grid, *, upright: bool) -> list[Markup]:
    drawn = []
    for index, label in enumerate(grid.labels):
        middle = (index + 0.5) * grid.cell
        text = (tag("title", label), _short(label))
        row = {"x": grid.left - 8, "y": grid.top + middle + 4}
        drawn.append(tag("text", text, text_anchor="end", **row))
        if upright:
            place = f"translate({grid.left + middle + 4:.1f} {grid.top - 8:.1f}) rotate(-90)"
            drawn.append(tag("text", text, transform=place))
        else:
            column = {"x": grid.left + middle, "y": grid.top - 8}
            drawn.append(tag("text", text, text_anchor="middle", **column))
    return drawn


def _cell(grid: _Grid, row: int, counts: Sequence[int]) -> list[Markup]:
    total = max(1, sum(counts))
    return [
        tag(
            "g",
            tag("title", f"{count} of {grid.labels[row]} taken for {grid.labels[column]}"),
            _square(grid, row, column, count / total),
            _number(grid, row, column, count),
        )
        for column, count in enumerate(counts)
        if count
    ]


def _square(grid: _Grid, row: int, column: int, share: float) -> Markup:
    gap = 1 if grid.cell >= NAME_CELL else 0
    return tag(
        "rect",
        x=grid.left + column * grid.cell + gap,
        y=grid.top + row * grid.cell + gap,
        width=grid.cell - 2 * gap,
        height=grid.cell - 2 * gap,
        class_="right" if row == column else "wrong",
        fill_opacity=round(0.2 + 0.8 * share, 3),
    )


def _number(grid: _Grid, row: int, column: int, count: int) -> Markup | None:
    if grid.cell < NUMBER_CELL:
        return None
    return tag(
        "text",
        count,
        x=grid.left + (column + 0.5) * grid.cell,
        y=grid.top + (row + 0.5) * grid.cell + 4,
        class_="count",
    )


def _short(label: str) -> str:
    return label if len(label) <= NAME_LENGTH else f"{label[: NAME_LENGTH - 1]}…"


def _summary(labels: Sequence[str], matrix: Sequence[Sequence[int]]) -> str:
    right = sum(matrix[index][index] for index in range(len(labels)))
    total = sum(map(sum, matrix))
    worst = [
        f"{count} of {truth} taken for {predicted}"
        for truth, predicted, count in most_frequent(labels, matrix, 3)
    ]
    return "; ".join([f"Confusion matrix: {right} of {total} right", *worst])
