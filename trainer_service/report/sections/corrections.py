"""What a report says of corrected labels and added images."""

from trainer_service.report.facts import Facts
from trainer_service.report.markup import Markup, tag
from trainer_service.report.parts import details, table

_SHOWN = 200


def corrected(facts: Facts) -> str:
    """Return how the dataset differs from the first one of its line, in a few words."""
    record = facts.dataset
    if record.parent is None:
        return "none"
    labels = "1 label was" if record.corrected == 1 else f"{record.corrected} labels were"
    images = "1 image was" if record.added == 1 else f"{record.added} images were"
    return f"{labels} corrected and {images} added since dataset {record.line}"


def corrections(facts: Facts) -> Markup | None:
    """Return the list of the corrections; None if there are none."""
    if not facts.corrections:
        return None
    rows = [
        (one.name, _shown(one.before), "left out" if one.to is None else one.to)
        for one in facts.corrections[:_SHOWN]
    ]
    more = len(facts.corrections) - len(rows)
    return details(
        f"Corrected labels: {len(facts.corrections)}",
        table("Corrected labels", ("File", "From", "To"), rows, text=3),
        tag("p", f"… and {more} more.", class_="muted") if more else None,
    )


def _shown(label: str | None) -> str:
    return "not used" if label is None else label
