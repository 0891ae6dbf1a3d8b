"""The section of a report about pictures that are unknown to the model, and about its doubts."""

from collections.abc import Iterable

from shared.models.manifest import CoverageInfo, Share, UnknownInfo
from trainer_service.report.facts import Facts
from trainer_service.report.markup import Child, Markup, tag
from trainer_service.report.numbers import percent
from trainer_service.report.parts import card, fact_list, table

_COLUMNS = ("Pictures", "Called unknown", "Of", "Share", "95 % from", "to")


def unknown(facts: Facts) -> Markup | None:
    """Return what the model says of pictures that it does not know; None in earlier versions."""
    told, coverage = facts.manifest.unknown, facts.manifest.coverage
    if told is None:
        return None
    rows = list(_rows(told))
    return card(
        "Does it know what it does not know?",
        tag("p", told.detail),
        table("Pictures that are called unknown", _COLUMNS, rows, text=1) if rows else None,
        fact_list(*_facts(told)),
        tag("p", _covered(coverage)) if coverage else None,
    )


def _rows(told: UnknownInfo) -> Iterable[tuple[Child, ...]]:
    shares = {
        "Test images (false alarms)": told.false_alarms,
        "Other datasets in the store": told.other_datasets,
        **{f"Drawn: {name}": share for name, share in told.probes.items()},
        "Test images without their label": told.left_out,
    }
    return (_row(name, share) for name, share in shares.items() if share is not None)


def _row(name: str, share: Share) -> tuple[Child, ...]:
    numbers = (share.count / share.pictures, share.low, share.high)
    return (name, share.count, share.pictures, *map(percent, numbers))


def _facts(told: UnknownInfo) -> Iterable[tuple[str, Child]]:
    yield "Training images to compare with", str(told.images)
    yield "Known pictures that tell what is usual", f"{told.distances}, from {told.compared}"
    for precision, change in told.change.items():
        yield f"Largest change in {precision}", f"{change:.3f} of a golden image's share"


def _covered(coverage: CoverageInfo) -> str:
    """Return how often the labels for a coverage have the right one."""
    if coverage.right is None or coverage.coverage is None:
        return (
            f"With the {coverage.images} images that it was validated with, it can't answer sets "
            "of labels that have the right one 95 times of 100."
        )
    share = coverage.right
    return (
        f"Asked for labels that have the right one for {percent(coverage.coverage)} of the "
        f"pictures, it answers {coverage.labels:.2f} labels on average, with the right one for "
        f"{percent(share.count / share.pictures)} of the test images "
        f"({percent(share.low)} to {percent(share.high)} with 95 % confidence)."
    )
