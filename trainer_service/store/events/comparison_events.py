"""The events of a comparison; all of them follow from its record."""

from collections.abc import Iterator
from typing import Literal

from trainer_service.store.events.event import BaseEvent, EndEvent
from trainer_service.store.records.comparison_record import (
    ComparisonRecord,
    ComparisonState,
    FirstRound,
    PublishedMember,
    Row,
    Verdict,
)
from trainer_service.store.records.parts import ErrorInfo

_UP_TO_FIRST_ROUND = (ComparisonState.QUEUED, ComparisonState.FIRST_ROUND)


class ComparisonStateEvent(BaseEvent):
    """The comparison entered a state, having spent `previous_seconds` in the one before."""

    type: Literal["comparison_state"] = "comparison_state"
    state: ComparisonState
    previous: ComparisonState | None = None
    previous_seconds: float | None = None


class CandidateEvent(BaseEvent):
    """What has become of a candidate, with its figures.

    Attributes:
        what: tried: it was in the first round; dropped: it does not go on; trained: it has a row
            in the table; failed: it has none.
        detail: why, if it was dropped or has failed.
    """

    type: Literal["candidate"] = "candidate"
    name: str
    what: Literal["tried", "dropped", "trained", "failed"]
    first_round: FirstRound | None = None
    row: Row | None = None
    detail: str | None = None


class ComparisonResultEvent(EndEvent):
    """How the comparison ended."""

    type: Literal["comparison_result"] = "comparison_result"
    state: ComparisonState
    model: str
    verdict: Verdict | None
    published: list[PublishedMember]
    error: ErrorInfo | None


def events_of_comparison(
    record: ComparisonRecord,
) -> list[ComparisonStateEvent | CandidateEvent | ComparisonResultEvent]:
    """Return the events that follow from a record; as it changes, events are only added.

    What the first round has found comes before the state that follows it, as one change of the
    record makes both.
    """
    states = _states(record)
    events: list[ComparisonStateEvent | CandidateEvent | ComparisonResultEvent] = [
        *(one for one in states if one.state in _UP_TO_FIRST_ROUND),
        *_first_round(record),
        *(one for one in states if one.state not in _UP_TO_FIRST_ROUND),
        *_later(record),
    ]
    if record.state.ended:
        events.append(
            ComparisonResultEvent(
                at=record.transitions[-1].at,
                state=record.state,
                model=record.model,
                verdict=record.verdict,
                published=record.published,
                error=record.error,
            )
        )
    return events


def _states(record: ComparisonRecord) -> list[ComparisonStateEvent]:
    previous = [None, *record.transitions]
    return [
        ComparisonStateEvent(
            at=transition.at,
            state=transition.state,
            previous=before.state if before else None,
            previous_seconds=before.seconds if before else None,
        )
        for before, transition in zip(previous, record.transitions, strict=False)
    ]


def _first_round(record: ComparisonRecord) -> Iterator[CandidateEvent]:
    for one in record.candidates:
        if one.first_round is not None:
            yield CandidateEvent(name=one.name, what="tried", first_round=one.first_round)
        if one.dropped is not None:
            yield CandidateEvent(name=one.name, what="dropped", detail=one.dropped)


def _later(record: ComparisonRecord) -> Iterator[CandidateEvent]:
    for one in record.candidates:
        if one.row is not None:
            yield CandidateEvent(name=one.name, what="trained", row=one.row)
        if one.error is not None:
            yield CandidateEvent(name=one.name, what="failed", detail=one.error)
