"""The events that follow from the record of a comparison."""

from tests.support.trainer.builders import new_comparison_record
from trainer_service.store.events.comparison_events import events_of_comparison
from trainer_service.store.records.comparison_record import ComparisonState, FirstRound


def test_the_first_round_is_told_before_what_follows_it():
    """One change of the record ends the round and begins the training."""
    record = new_comparison_record()
    record.enter(ComparisonState.FIRST_ROUND)
    record.candidates[0].first_round = FirstRound(loss=0.3, standard_error=0.1, images=20)
    record.candidates[0].dropped = "Its log loss was 0.300."
    record.enter(ComparisonState.TRAINING)

    told = [getattr(one, "what", None) or one.state for one in events_of_comparison(record)]

    assert told == ["queued", "first_round", "tried", "dropped", "training"]
