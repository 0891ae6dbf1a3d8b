"""Which version of a model is served: the decisions of trainings and people, newest last.

    models/<name>/promotions.json    {"decisions": [{"version": 3, "served": true, …}, …]}

A pin overrides them, and is only noted here. Without the file, the newest version is served.
"""

from collections.abc import Iterable, Sequence
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

PROMOTIONS_FILE = "promotions.json"
#: The largest size of the file, in bytes.
MOST_PROMOTIONS_BYTES = 1 << 24
#: How many decisions are kept, besides the last one of each version that is there.
MOST_DECISIONS = 200
#: The longest reason, in characters; names of labels in it may be long.
LONGEST_REASON = 1000

By = Literal["training", "request", "rollback", "pin", "unpin"]
#: What is noted, but does not decide by itself.
_NOTED: tuple[By, ...] = ("pin", "unpin")


class Decision(BaseModel):
    """That a version is to be served, or not to be chosen, from a moment on.

    Attributes:
        version: the number of the version.
        served: whether it is to be served; else it is served only if someone asks for it.
        at: when that was decided.
        by: what decided it: the training that published it, a request, a rollback; or that the
            model was pinned to it or un-pinned from it, which is only noted.
        reason: why, as a sentence.
        training_id: the training that published the version, if that decided.
    """

    model_config = ConfigDict(strict=True, frozen=True)

    version: int = Field(ge=0)
    served: bool
    at: AwareDatetime
    by: By
    reason: str
    training_id: str | None = None

    @property
    def counts(self) -> bool:
        """Whether it says which version is preferred, as notes about pins do not."""
        return self.by not in _NOTED


class Promotions(BaseModel):
    """The contents of `promotions.json`."""

    model_config = ConfigDict(strict=True)

    decisions: list[Decision]


def last_decisions(decisions: Iterable[Decision]) -> dict[int, Decision]:
    """Return the last decision that counts of each version, the latest decision last."""
    last: dict[int, Decision] = {}
    for decision in decisions:
        if decision.counts:
            last.pop(decision.version, None)
            last[decision.version] = decision
    return last


def by_preference(
    versions: Iterable[int], pinned: int | None, decisions: Iterable[Decision] = ()
) -> list[int]:
    """Return versions in the order in which to serve them; those not to be served are left out.

    First the pinned one. Then those without a decision that are newer than any with one, newest
    first: someone has put them there. Then those that were decided to be served, the latest
    decision first. Then the older ones without a decision, newest first.

    Args:
        versions: the versions that are there.
        pinned: the version that the model is pinned to, if any.
        decisions: about these or other versions, newest last.
    """
    there = set(versions)
    last = {v: one for v, one in last_decisions(decisions).items() if v in there}
    newest_decided = max(last, default=-1)
    undecided = sorted(there - set(last), reverse=True)
    order = [
        *(v for v in undecided if v > newest_decided),
        *(v for v in reversed(last) if last[v].served),
        *(v for v in undecided if v < newest_decided),
    ]
    first = [pinned] if pinned in there else []
    return [*first, *(v for v in order if v != pinned)]


def trimmed(decisions: Sequence[Decision], versions: Iterable[int]) -> list[Decision]:
    """Return the newest decisions, and the last ones about versions that are still there."""
    last = last_decisions(decisions)
    kept = {id(last[version]) for version in versions if version in last}
    kept.update(map(id, decisions[-MOST_DECISIONS:]))
    return [decision for decision in decisions if id(decision) in kept]


def shortened(reason: str) -> str:
    """Return a reason as it is kept, of `LONGEST_REASON` characters at most."""
    return reason if len(reason) <= LONGEST_REASON else f"{reason[: LONGEST_REASON - 2]} …"
