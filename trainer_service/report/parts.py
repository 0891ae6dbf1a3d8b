"""What the sections of a report are made of."""

from collections.abc import Iterable, Sequence

from trainer_service.report.markup import Child, Markup, tag


def card(title: str, *children: Child) -> Markup:
    return tag("section", tag("h2", title), children, class_="card")


def details(title: str, *children: Child) -> Markup:
    return tag("details", tag("summary", title), children)


def fact_list(*pairs: tuple[str, Child]) -> Markup:
    return tag("dl", [(tag("dt", name), tag("dd", value)) for name, value in pairs])


def table(names: Sequence[str], rows: Iterable[Sequence[Child]]) -> Markup:
    """Return a table whose first column, and other text, is left, and whose numbers are right."""
    body = [
        tag("tr", [_data_cell(index, value) for index, value in enumerate(row)]) for row in rows
    ]
    head = tag("tr", [tag("th", name, scope="col") for name in names])
    table = tag("table", tag("thead", head), tag("tbody", body))
    return tag("div", table, class_="scroll", tabindex="0", role="group")


def _data_cell(index: int, value: Child) -> Markup:
    if index == 0:
        return tag("th", value, scope="row")
    number = isinstance(value, int) or (isinstance(value, str) and value.endswith((" %", "B")))
    return tag("td", value, class_="number" if number else None)
