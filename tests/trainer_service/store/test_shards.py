"""Shards on disk."""

import os

import pytest

from tests.support.trainer.builders import new_record
from trainer_service.store.events.event_log import EventLog, connect
from trainer_service.store.outcome import recorded_outcome
from trainer_service.store.shards import ImagesLost, PlanLost, ShardImage, ShardResult, Shards
from trainer_service.store.stores import TrainingStore

RESULT = ShardResult(computed=2, seconds=1.0, rejected={"b": "bad"})


def images(count):
    return [ShardImage(sha256=f"{number}", path=f"/{number}") for number in range(count)]


def test_a_plan_is_complete_when_every_shard_has_its_result(tmp_path):
    shards = Shards(tmp_path)
    assert shards.plan(images(40), "f32") == 2
    assert not shards.complete()

    shards.finish(0, RESULT)
    assert shards.finished(0)
    assert not shards.complete()
    shards.finish(1, RESULT)
    assert shards.complete()
    assert shards.results() == [RESULT, RESULT]


def test_every_image_is_in_one_shard(tmp_path):
    shards = Shards(tmp_path)
    count = shards.plan(images(100), "f32")
    assert [image for number in range(count) for image in shards.images(number)] == images(100)


@pytest.mark.parametrize(("numbers", "size"), [([1], 256), ([1, 2, 3], 85)])
def test_views_are_in_shards_of_their_own_that_are_no_longer(tmp_path, numbers, size):
    viewed = [image.model_copy(update={"views": numbers}) for image in images(4000)]
    shards = Shards(tmp_path)
    count = shards.plan(images(40), "f32", viewed)

    assert [image for number in range(2) for image in shards.images(number)] == images(40)
    rest = [shards.images(number) for number in range(2, count)]
    assert [image for shard in rest for image in shard] == viewed
    assert max(map(len, rest)) == size


def test_a_shard_of_an_earlier_release_has_no_views(tmp_path):
    shards = Shards(tmp_path)
    shards.plan(images(1), "f32")
    (shards.directory / "0.json").write_text('[{"sha256": "0", "path": "/0"}]')

    assert shards.images(0) == images(1)
    assert shards.images(0)[0].rows == 1


def test_an_image_that_is_lost_as_it_is_and_with_its_views_is_lost_once(tmp_path):
    shards = Shards(tmp_path)
    viewed = [image.model_copy(update={"views": [1]}) for image in images(2)]
    shards.plan(images(2), "f32", viewed)
    gone = ShardResult(computed=0, seconds=0, rejected={"0": "it is gone"}, lost=["0"])
    shards.finish(0, gone)

    shards.require_few_lost(1, gone, 2)
    both = ShardResult(computed=0, seconds=0, rejected={"1": "it is gone"}, lost=["1"])
    with pytest.raises(ImagesLost, match="2 of the 2 images are gone"):
        shards.require_few_lost(1, both, 2)


def test_nothing_to_compute_is_complete_at_once(tmp_path):
    shards = Shards(tmp_path)
    assert shards.plan([], "f32") == 0
    assert shards.complete()


def test_without_a_plan_nothing_is_complete(tmp_path):
    assert not Shards(tmp_path).complete()


def test_the_plan_says_what_every_worker_computes_in(tmp_path):
    Shards(tmp_path).plan(images(1), "bf16")
    assert Shards(tmp_path).precision() == "bf16"


def test_a_new_plan_forgets_the_results_of_the_old_one(tmp_path):
    shards = Shards(tmp_path)
    shards.plan(images(1), "f32")
    shards.finish(0, RESULT)
    shards.plan(images(1), "f32")
    assert not shards.complete()


@pytest.mark.timeout(30)
@pytest.mark.parametrize("name", ["plan.json", "0.json", "0.result.json"])
def test_a_pipe_in_place_of_a_file_blocks_nobody(tmp_path, name):
    shards = Shards(tmp_path)
    shards.plan(images(1), "f32")
    shards.finish(0, RESULT)
    (shards.directory / name).unlink()
    os.mkfifo(shards.directory / name)

    if name == "plan.json":
        assert shards.count() is None  # and is planned again
        return
    with pytest.raises(PlanLost):
        shards.images(0) if name == "0.json" else shards.results()
    assert shards.count() is None


@pytest.mark.parametrize("name", ["0.json", "0.result.json"])
@pytest.mark.parametrize("content", [b"", b"[{", b"\xff", b"7", None])
def test_a_shard_that_can_not_be_read_has_all_planned_anew(tmp_path, name, content):
    trainings = TrainingStore(tmp_path, EventLog(tmp_path, connect("redis://127.0.0.1:1/0")))
    record = new_record()
    shards = Shards(trainings.create(record))
    shards.plan(images(1), "f32")
    shards.finish(0, RESULT)
    file = shards.directory / name
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    elif name != "0.json":
        file.mkdir()

    with recorded_outcome(trainings, record.id):
        shards.images(0)
        shards.results()
    assert shards.count() is None
    assert not trainings.get(record.id).state.ended


def test_a_plan_of_an_earlier_release_with_absolute_paths_is_made_again(tmp_path):
    shards = Shards(tmp_path)
    shards.plan([ShardImage(sha256="0", path="/pets/cat.jpg")], "f32")
    (shards.directory / "plan.json").write_text('{"shards":1,"precision":"f32"}')

    assert shards.count() is None
