"""The section of a report about whether the version was to be served when it was published."""

from trainer_service.report.facts import Facts
from trainer_service.report.markup import Markup, tag
from trainer_service.report.parts import card


def promotion(facts: Facts) -> Markup | None:
    """Return what was decided when the version was published, and why."""
    verdict = facts.verdict
    if verdict is None:
        return None
    title = "Served when it was published" if verdict.served else "Published, not served"
    return card(title, tag("p", verdict.reason))
