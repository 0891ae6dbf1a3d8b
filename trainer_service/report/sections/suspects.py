"""The section of a report about images whose label looks wrong."""

from trainer_service.report.facts import Facts, ShownSuspect
from trainer_service.report.markup import Markup, tag
from trainer_service.report.numbers import percent
from trainer_service.report.parts import card, shown

TITLE = "Labels that look wrong"


def suspects(facts: Facts) -> Markup | None:
    """Return the images whose label the others contradict; None if they were not looked for."""
    found = facts.record.suspects
    if found is None:
        return None
    if not found.count:
        return card(TITLE, tag("p", f"None of the {found.images} images.", class_="good"))
    address = f"GET /v1/trainings/{facts.manifest.training_id}/suspects"
    note = (
        f"The other images contradict the labels of {found.count} of {found.images} images, of "
        "which the clearest are shown. Some of these labels are right, and the images unusual: "
        "look before you change one. "
    )
    return card(
        TITLE,
        tag("p", note, tag("code", address), " lists them."),
        tag("div", [_figure(one) for one in facts.suspects], class_="pictures"),
        tag("p", found.detail, class_="muted"),
    )


def _figure(one: ShownSuspect) -> Markup:
    suspect = one.suspect
    labels = (tag("strong", suspect.label), " → ", tag("strong", suspect.proposed))
    sure = f" {percent(suspect.proposed_probability)}"
    caption = tag("figcaption", tag("span", labels, sure))
    return tag("figure", shown(one.picture, suspect.image), caption, title=suspect.image)
