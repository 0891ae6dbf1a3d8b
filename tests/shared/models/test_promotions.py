"""The order in which versions are served, and what is kept of decisions."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.models.promotions import (
    LONGEST_REASON,
    MOST_DECISIONS,
    By,
    Decision,
    by_preference,
    last_decisions,
    shortened,
    trimmed,
)


def decision(version: int, *, served: bool = True, by: By = "training") -> Decision:
    return Decision(version=version, served=served, at=datetime.now(UTC), by=by, reason="It is so.")


def decisions(text: str) -> list[Decision]:
    """`+3 -4` are the decisions to serve version 3, and not to serve version 4."""
    return [decision(int(word[1:]), served=word[0] == "+") for word in text.split()]


ORDERS = [
    ("", [1, 2, 3], None, [3, 2, 1]),
    ("", [1, 2, 3], 1, [1, 3, 2]),
    ("+3", [1, 2, 3], None, [3, 2, 1]),
    ("-3", [1, 2, 3], None, [2, 1]),
    ("-3", [1, 2, 3], 3, [3, 2, 1]),
    ("+1 +2 +3 +1", [1, 2, 3], None, [1, 3, 2]),
    ("+1 +2 +3 -3 +2", [1, 2, 3], None, [2, 1]),
    ("+2", [1, 2, 3, 4], None, [4, 3, 2, 1]),
    ("+2 -3", [1, 2, 3], None, [2, 1]),
    ("-1", [1], None, []),
    ("+1 -9", [1, 2], None, [2, 1]),
    ("+1", [1, 2], 7, [2, 1]),
]


@pytest.mark.parametrize(("decided", "versions", "pinned", "order"), ORDERS)
def test_the_order_of_versions(decided, versions, pinned, order):
    assert by_preference(versions, pinned, decisions(decided)) == order


def test_notes_about_pins_decide_nothing():
    noted = [decision(1), decision(2), decision(1, by="pin"), decision(1, served=False, by="unpin")]

    assert by_preference([1, 2], None, noted) == [2, 1]
    assert last_decisions([decision(5, by="pin")]) == {}


@given(
    st.sets(st.integers(0, 9)),
    st.none() | st.integers(0, 9),
    st.lists(st.tuples(st.integers(0, 9), st.booleans())),
)
def test_only_versions_that_were_decided_against_are_left_out(versions, pinned, made):
    history = [decision(version, served=served) for version, served in made]
    order = by_preference(versions, pinned, history)

    against = {version for version, served in dict(made).items() if not served}
    assert sorted(order) == sorted(versions - (against - {pinned}))
    if pinned in versions:
        assert order[0] == pinned
    assert order == by_preference(versions, pinned, trimmed(history, versions))


def test_the_last_decision_about_a_version_is_kept_however_old_it_is():
    history = [decision(1, served=False), *(decision(2 + n % 3) for n in range(1000))]

    kept = trimmed(history, [1, 2, 3, 4])

    assert len(kept) == MOST_DECISIONS + 1
    assert kept[0] == history[0]
    assert kept[1:] == history[-MOST_DECISIONS:]
    assert len(trimmed(history, [2, 3, 4])) == MOST_DECISIONS


def test_a_long_reason_is_cut():
    assert shortened("short") == "short"
    assert len(shortened("x" * 5000)) == LONGEST_REASON
