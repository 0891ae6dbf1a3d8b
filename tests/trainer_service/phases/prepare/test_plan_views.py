"""Views of the images that a head learns from: planned, computed, stored and found again."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from shared.errors import InvalidRequest
from shared.images.decoding import ImageLimits, decode
from trainer_service import training
from trainer_service.backbones.architectures import find_architecture
from trainer_service.errors import TrainingCancelled
from trainer_service.phases import few_images
from trainer_service.phases.backbone import Backbone
from trainer_service.phases.bottleneck import shard
from trainer_service.phases.head.images import images_with_features
from trainer_service.phases.head.regression.view_rows import view_rows
from trainer_service.phases.prepare.plan import plan
from trainer_service.phases.prepare.plan_views import plan_views, solved_on
from trainer_service.store.records.training_record import State

pytestmark = pytest.mark.integration


@pytest.fixture
def planned(computing):
    """Plan the training anew, with these fields in its request, and return its views' shards."""

    def planned(**fields):
        def ask(record):
            for name, value in fields.items():
                setattr(record.request, name, value)

        computing.worker.stores.trainings.update(computing.id, ask)
        with computing.work() as work:
            plan(work)
        assert computing.record.state == State.BOTTLENECK, computing.record.error
        numbers = range(computing.shards.count())
        images = [image for number in numbers for image in computing.shards.images(number)]
        return [image for image in images if image.views]

    return planned


def splits_of(computing):
    with computing.work() as work:
        return work.split(work.dataset().used_images())


def backbone_of(computing):
    with computing.work() as work:
        return Backbone.of(work, work.shards.precision())


def hashes(images):
    return {image.sha256 for image in images}


def test_by_default_there_are_no_views(computing, planned):
    assert planned() == []
    assert view_rows(backbone_of(computing), splits_of(computing)["train"]) is None


def test_few_images_have_views_in_training_and_validation_and_never_in_the_test(computing, planned):
    viewed = planned(views=4)
    splits = splits_of(computing)

    assert all(image.views == [1, 2, 3] for image in viewed)
    assert hashes(viewed) == hashes([*splits["train"], *splits["validation"]])
    assert hashes(viewed).isdisjoint(hashes(splits["test"]))


def test_of_many_images_those_for_training_alone_have_views(computing, planned, monkeypatch):
    monkeypatch.setattr(few_images, "FEWEST_VALIDATED", 10)
    viewed = planned(views=2)

    assert hashes(viewed) == hashes(splits_of(computing)["train"])
    monkeypatch.setattr(few_images, "FEWEST_OF_A_LABEL", 1000)
    assert len(solved_on(splits_of(computing))) > len(viewed)


def test_views_are_computed_once_and_known_by_image_and_number(computing, planned):
    viewed = planned(views=4, augment=["crop", "colour"])
    computing.compute()
    backbone, files = backbone_of(computing), computing.files()

    image = viewed[3]
    views = replace(backbone.views, size=8)
    size, limits = views.decoded_size, ImageLimits(1 << 20, 1 << 20)
    pixels = decode(files.read(image.path, image.sha256), size, size, limits)
    expected = views.make(pixels, image.sha256)[1:].mean(axis=(1, 2))
    names = [f"{image.sha256}.{number}" for number in (1, 2, 3)]
    stored = backbone.view_features.read(names)
    np.testing.assert_allclose(stored, expected, atol=0.2)
    assert len({row.tobytes() for row in stored}) == 3
    assert len(backbone.view_features.locate()) == 3 * len(viewed)
    assert len(backbone.features.locate()) == 200
    assert planned() == []


def test_only_views_that_are_missing_are_computed(computing, planned):
    first = planned(views=2)
    computing.compute()
    more = planned(views=4)

    assert hashes(more) == hashes(first)
    assert all(image.views == [2, 3] for image in more)
    assert planned(views=4, augment=["crop"])[0].views == [1, 2, 3]
    assert planned(views=4, augment=["mirror", "crop", "colour"], seed=1)[0].views == [1, 2, 3]


def test_a_worker_that_is_lost_has_lost_its_shard_alone(computing, planned):
    planned(views=2)
    numbers = computing.shards.unfinished()
    for number in numbers[-3:]:
        training.compute_shard(computing.worker, computing.id, number)
    done = {image.sha256 for number in numbers[-3:] for image in computing.shards.images(number)}

    assert computing.shards.unfinished() == numbers[:-3]
    assert hashes(planned(views=2)).isdisjoint(done)


def test_progress_and_the_record_count_views(computing, planned):
    viewed = planned(views=4)
    board = computing.worker.board
    assert board.read(computing.id, State.BOTTLENECK).total == 200 + 3 * len(viewed)
    computing.compute()
    counts = board.read(computing.id, State.BOTTLENECK)
    assert counts.done == counts.total
    assert computing.record.cache.views_reused == 0

    def forget(record):
        record.cache = None

    computing.worker.stores.trainings.update(computing.id, forget)
    planned(views=4)
    cache = computing.record.cache
    assert (cache.reused, cache.views_reused) == (200, 3 * len(viewed))
    assert cache.seconds_saved > 0


def test_views_that_another_training_has_computed_are_not_computed_again(
    computing, planned, monkeypatch
):
    planned(views=2)
    last = computing.shards.count() - 1
    training.compute_shard(computing.worker, computing.id, last)
    (computing.shards.directory / f"{last}.result.json").unlink()
    monkeypatch.delattr(shard, "view_computer_for")
    training.compute_shard(computing.worker, computing.id, last)

    assert [result.computed for result in computing.shards.results()] == [0]


def test_a_training_is_cancelled_in_a_shard_of_views(computing, planned):
    planned(views=4)
    last = computing.shards.count() - 1

    def cancel(record):
        record.cancel_requested = True

    computing.worker.stores.trainings.ask(computing.id, cancel)
    with computing.work() as work, pytest.raises(TrainingCancelled):
        shard.compute(work, last)
    assert not computing.shards.finished(last)


def test_an_image_that_is_gone_before_its_views_are_computed_is_left_out_and_named(
    computing, planned
):
    computing.compute()
    viewed = planned(views=2)
    (computing.pets / viewed[5].path).unlink()
    computing.compute()
    with computing.work() as work:
        images = images_with_features(work)

    assert len(images) == 199
    assert [image.name for image in computing.record.dataset.rejected] == [viewed[5].path]


def test_the_rows_of_views_say_which_image_they_are_of(computing, planned):
    planned(views=4)
    computing.compute()
    splits, backbone = splits_of(computing), backbone_of(computing)
    images = solved_on(splits)
    rows = view_rows(backbone, images)

    assert rows.count == 4
    assert Counter(rows.images.tolist()) == dict.fromkeys(range(len(images)), 3)
    place = len(images) - 1
    names = [f"{images[place].sha256}.{number}" for number in (1, 2, 3)]
    features = rows.read(2)
    assert features.shape == (3 * len(images), 2)
    np.testing.assert_array_equal(
        features[rows.images == place], backbone.view_features.read(names, last=2)
    )


def test_an_image_without_all_of_its_views_counts_as_one_without(computing, planned):
    planned(views=2)
    computing.compute()
    planned(views=4)
    images = solved_on(splits_of(computing))
    training.compute_shard(computing.worker, computing.id, 0)
    done = hashes(computing.shards.images(0))

    rows = view_rows(backbone_of(computing), images)
    assert {images[place].sha256 for place in rows.images} == done
    assert len(rows.images) == 3 * len(done)


def test_views_that_would_take_too_much_memory_are_refused_before_anything_is_computed(
    computing, planned
):
    viewed = planned(views=4, taps="all")
    splits, backbone = splits_of(computing), backbone_of(computing)
    rows = 3 * len(viewed)
    needed = rows * 3 * 4

    assert plan_views(backbone, splits, needed)[1] == viewed
    with pytest.raises(InvalidRequest):
        plan_views(backbone, splits, needed - 1)
    large = replace(backbone, architecture=find_architecture("efficientnet_lite0"))
    with pytest.raises(InvalidRequest) as refusal:
        plan_views(large, splits, 10**6)
    assert refusal.value.detail == (
        f"views: the features of {rows} further views, 7,424 each, may take "
        f"{-(-rows * 7424 * 4 // 10**6)} MB of memory while the head is trained, and "
        "HEADSTART_MAX_VIEWS_BYTES allows 1 MB. Send fewer views, or taps: last or late, or raise "
        "that setting on workers that have the memory"
    )
