"""What comes next in a comparison: it follows from its record and the states of its trainings."""

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from trainer_service.store.records.comparison_record import (
    Candidate,
    ComparisonRecord,
    ComparisonState,
)
from trainer_service.store.records.training_record import State


class Member(NamedTuple):
    """A training of a comparison.

    Attributes:
        state: its state.
        asked: whether it was asked to end.
    """

    state: State
    asked: bool = False


#: By the id of each training that has a record.
Members = Mapping[str, Member]


class Action(StrEnum):
    """What can be next in a comparison."""

    BEGIN = "begin"
    CREATE = "create"
    JUDGE = "judge"
    MEASURE = "measure"
    CONCLUDE = "conclude"
    PUBLISH = "publish"
    FINISH = "finish"
    END_MEMBERS = "end members"
    CANCEL = "cancel"


def next_action(record: ComparisonRecord, members: Members) -> Action | None:
    """Return what is next; None while its trainings run, or once all is done."""
    if record.state.ended:
        return None if record.to_publish is None else Action.PUBLISH
    if record.cancel_requested:
        return _to_end(members) or _once_all_ended(members, Action.CANCEL)
    match record.state:
        case ComparisonState.QUEUED:
            action = Action.BEGIN
        case ComparisonState.FIRST_ROUND:
            return _to_begin(record, members) or _once_all_ended(members, Action.JUDGE)
        case ComparisonState.TRAINING:
            ends = _to_end(members) if record.stop_requested else None
            begins = _to_begin(record, members)
            return ends or begins or _once_all_ended(members, Action.MEASURE)
        case ComparisonState.MEASURING:
            action = Action.MEASURE if unmeasured(record) else Action.CONCLUDE
        case _:
            action = Action.FINISH if record.to_publish is None else Action.PUBLISH
    return action


def to_create(record: ComparisonRecord, members: Members) -> list[tuple[Candidate, str]]:
    """Return the trainings that are planned and can be created now, with their candidates.

    Of several that need the same features, the first is created alone, so that these are computed
    once; the others follow when it has ended.
    """
    if record.cancel_requested or record.stop_requested:
        return []
    found: dict[str, Candidate] = {}
    first: dict[tuple[str, str], str] = {}
    for candidate in record.candidates:
        of_first_round = record.state == ComparisonState.FIRST_ROUND
        name = candidate.trial if of_first_round else candidate.training
        if name is None:
            continue
        leader = first.setdefault((candidate.architecture, candidate.request.computed_taps), name)
        follows = leader in members and members[leader].state.ended
        if name not in members and (leader == name or follows):
            found.setdefault(name, candidate)
    return [(candidate, name) for name, candidate in found.items()]


def unmeasured(record: ComparisonRecord) -> list[Candidate]:
    """Return the candidates that were trained and have neither a row nor an error yet."""
    return [
        candidate
        for candidate in record.candidates
        if candidate.training is not None and candidate.row is None and candidate.error is None
    ]


def _to_begin(record: ComparisonRecord, members: Members) -> Action | None:
    return Action.CREATE if to_create(record, members) else None


def _once_all_ended(members: Members, action: Action) -> Action | None:
    return action if all(member.state.ended for member in members.values()) else None


def _to_end(members: Members) -> Action | None:
    unasked = any(not member.state.ended and not member.asked for member in members.values())
    return Action.END_MEMBERS if unasked else None
