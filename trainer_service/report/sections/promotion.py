"""The section of a report about whether the version was to be served when it was published."""

from trainer_service.report.facts import Facts
from trainer_service.report.markup import Markup, tag
from trainer_service.report.parts import card
from trainer_service.store.promoting import Verdict


def promotion(facts: Facts) -> Markup | None:
    """Return what was decided when the version was published, and why."""
    return promoted_or_not(facts.verdict) if facts.verdict is not None else None


def promoted_or_not(verdict: Verdict) -> Markup:
    """Return a verdict on a version, and its reason."""
    title = "Served when it was published" if verdict.served else "Published, not served"
    return card(title, tag("p", verdict.reason))
