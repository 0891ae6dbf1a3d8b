"""The steps that compute the shards of a training."""

import pytest

from trainer_service import training
from trainer_service.phases.bottleneck import shard
from trainer_service.store.outcome import end
from trainer_service.store.records.training_record import State
from trainer_service.store.shards import ShardResult, Shards

pytestmark = pytest.mark.integration


def test_only_the_last_shard_submits_the_next_step(computing):
    *others, last = computing.shards.unfinished()
    for number in others:
        training.compute_shard(computing.worker, computing.id, number)
    assert computing.submitted() == 0

    training.compute_shard(computing.worker, computing.id, last)
    assert computing.submitted() == 1


def test_features_that_another_training_has_stored_are_not_computed(computing, monkeypatch):
    images = computing.shards.images(0)
    training.compute_shard(computing.worker, computing.id, 0)
    computing.shards.plan(images, "f32")
    monkeypatch.delattr(shard, "feature_computer_for")
    training.compute_shard(computing.worker, computing.id, 0)

    assert computing.shards.results() == [ShardResult(computed=0, seconds=0, rejected={})]


def test_what_comes_late_does_not_stay(computing, monkeypatch):
    """The training ends while a shard is stored: a folder in which a file appears stays."""
    whole = Shards.finish

    def finish(shards, number, result):
        end(computing.worker.stores.trainings, computing.id, State.CANCELLED)
        shards.directory.mkdir()
        whole(shards, number, result)

    monkeypatch.setattr(Shards, "finish", finish)
    training.compute_shard(computing.worker, computing.id, 0)

    assert not computing.shards.directory.exists()


def test_a_step_that_comes_after_the_end_leaves_nothing(computing):
    """Its lease appears in the folder while another process removes that."""
    trainings = computing.worker.stores.trainings
    end(trainings, computing.id, State.CANCELLED)
    computing.shards.directory.mkdir()
    training.compute_shard(computing.worker, computing.id, 0)

    assert not computing.shards.directory.exists()
