"""The parts that the sections of a report are made of."""

from collections.abc import Iterable, Sequence

from trainer_service.report.markup import Child, Markup, tag
from trainer_service.report.thumbnails import Embedded

#: Pictures whose sides have at most this many pixels are enlarged without smoothing.
SMALL_PICTURE = 64


def card(title: str, *children: Child) -> Markup:
    return tag("section", tag("h2", title), children, class_="card")


def details(title: str, *children: Child) -> Markup:
    return tag("details", tag("summary", title), children)


def fact_list(*pairs: tuple[str, Child]) -> Markup:
    return tag("dl", [(tag("dt", name), tag("dd", value)) for name, value in pairs])


def table(title: str, names: Sequence[str], rows: Iterable[Sequence[Child]], text: int) -> Markup:
    """Return a table.

    Args:
        title: what the table is, for screen readers.
        names: the names of the columns.
        rows: the cells of each row, of which the first one names the row.
        text: how many columns, from the left, are text; the others are numbers.
    """
    styles = [None if index < text else "number" for index in range(len(names))]
    head = [
        tag("th", name, scope="col", class_=style)
        for name, style in zip(names, styles, strict=True)
    ]
    body = [tag("tr", _cells(row, styles)) for row in rows]
    return scroll(title, tag("table", tag("thead", tag("tr", head)), tag("tbody", body)))


def scroll(title: str, child: Markup) -> Markup:
    """Return a region that can be scrolled, also with the keyboard, if the page is narrow."""
    return tag("div", child, class_="scroll", tabindex="0", role="region", aria_label=title)


def shown(picture: Embedded | None, name: str) -> Markup:
    """Return a small copy of the image of a name, or a sentence in its place."""
    if picture is None:
        return tag("p", "The image could not be read again.", class_="muted")
    small = max(picture.width, picture.height) <= SMALL_PICTURE
    return tag(
        "img",
        src=picture.url,
        alt=name,
        width=picture.width,
        height=picture.height,
        class_="pixelated" if small else None,
    )


def _cells(row: Sequence[Child], styles: Sequence[str | None]) -> Iterable[Markup]:
    yield tag("th", row[0], scope="row")
    for value, style in zip(row[1:], styles[1:], strict=True):
        yield tag("td", value, class_=style)
