"""The index of the trainings that wait for a dataset."""

from shared.identifiers import new_id
from trainer_service.store.waiting import WAITING, WaitingTrainings


def test_what_is_in_its_place_keeps_no_training_from_waiting(tmp_path):
    (tmp_path / WAITING).write_text("x")
    waiting, training = WaitingTrainings(tmp_path), new_id()
    assert waiting.ids() == []

    waiting.add(training)

    assert waiting.ids() == [training]
