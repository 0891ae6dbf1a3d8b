"""Says in sentences how well a version tells which pictures are unknown."""

from collections.abc import Iterable

from shared.models.manifest import Share, UnknownInfo
from shared.models.unknown import fewest_distances


def explained(info: UnknownInfo, labels: int) -> str:
    """Return what the measured shares mean.

    Args:
        info: the shares.
        labels: how many labels the version has.
    """
    if info.false_alarms is None:
        return (
            f"Too few images for a verdict: to call pictures unknown with {_percent(info.rate)} "
            f"false alarms takes the distances of {fewest_distances(info.rate)} known pictures "
            f"from the training images; there are {info.distances}. The nearest training images "
            "are answered all the same."
        )
    said = [_false_alarms(info.false_alarms, info.rate), _far(info)]
    if info.left_out is not None:
        said.append(_near(info.left_out, labels))
    return " ".join(said)


def _false_alarms(measured: Share, rate: float) -> str:
    return (
        f"Of {measured.pictures} test images, {_percent(measured.count / measured.pictures)} are "
        f"called unknown ({_between(measured)}), where {_percent(rate)} are allowed."
    )


def _far(info: UnknownInfo) -> str:
    """Say how many pictures of quite other kinds are caught."""
    parts = []
    if other := info.other_datasets:
        parts.append(f"{_share(other)} pictures of other datasets in the store")
    if info.probes:
        names = ", ".join(f"{name} {_share(one)}" for name, one in info.probes.items())
        parts.append(f"{_share(_total(info.probes.values()))} drawn ones ({names})")
    missing = "" if info.other_datasets else " No dataset of other labels could be tried."
    return f"Of pictures of quite another kind, these are caught: {' and '.join(parts)}.{missing}"


def _near(left_out: Share, labels: int) -> str:
    """Say how many pictures of a kind close to the labels are caught."""
    caught = left_out.count / left_out.pictures
    few = " With two labels, only the images of the other one are left to compare with." * (
        labels == 2  # noqa: PLR2004
    )
    return (
        "Pictures of a kind close to the labels are another matter, and nothing is promised there: "
        f"with each label left out in turn, {_percent(caught)} of its test images are caught "
        f"({_between(left_out)}).{few}"
    )


def _total(shares: Iterable[Share]) -> Share:
    shares = list(shares)
    counts = sum(one.count for one in shares), sum(one.pictures for one in shares)
    return Share(count=counts[0], pictures=counts[1], low=0, high=1)


def _share(share: Share) -> str:
    return f"{share.count} of {share.pictures}"


def _between(share: Share) -> str:
    return f"between {_percent(share.low)} and {_percent(share.high)} with 95 % confidence"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}".removesuffix(".0") + " %"
