"""What is planned of a training, and what is refused before anything is computed."""

import shutil
from dataclasses import replace
from types import SimpleNamespace

import pytest

from trainer_service import training
from trainer_service.backbones.cut_table import tail_cut
from trainer_service.datasets.records import save_images
from trainer_service.phases.prepare import plan
from trainer_service.requests.tune import TuneRequest
from trainer_service.store.records.parts import DoubleCount
from trainer_service.store.records.training_record import State

#: 200 images of three features, each of two bytes.
NEEDED = 200 * 3 * 2

pytestmark = pytest.mark.integration


@pytest.fixture
def planned(computing):
    """Plan a training of two labels on a worker with a limit; return its record."""

    def plan(most):
        computing.shards.clear()
        settings = computing.settings.model_copy(update={"max_labels": most})
        training.prepare(replace(computing.worker, settings=settings), computing.id)
        return computing.record

    return plan


def test_as_many_labels_as_allowed_are_planned(planned):
    assert planned(2).state == State.BOTTLENECK


def test_more_labels_than_allowed_are_refused_with_the_setting(planned):
    """Memory and report grow with the square of their number."""
    record = planned(1)

    assert record.state == State.FAILED
    assert "HEADSTART_MAX_LABELS allows a training 1 labels. Received: 2." in record.error.detail
    assert not record.error.transient


def test_near_doubles_that_a_label_without_others_has_divided_are_told(planned, computing):
    """All dogs are one group, which has to be in each part; the two cats can stay together."""
    cats, dogs = computing.images[::2], computing.images[1::2]
    grouped = [
        *(replace(image, double_of=cats[0].sha256) for image in cats[:2]),
        *cats[2:],
        *(replace(image, double_of=dogs[0].sha256) for image in dogs),
    ]
    datasets = computing.worker.stores.datasets
    save_images(datasets.directory(computing.dataset_id), grouped)
    found = DoubleCount(groups=2, images=102)
    datasets.update(computing.dataset_id, lambda record: setattr(record, "doubles", found))

    doubles = planned(2).dataset.doubles

    assert (doubles.groups, doubles.images, doubles.leaks) == (2, 102, 1)
    assert "dog/" in doubles.example
    events = computing.worker.stores.events.read(computing.id)
    [leaks] = [one.detail for one in events if one.type == "warning" and one.code == "leaks"]
    assert "1 group of nearly equal images lies in several of its parts, e.g. dog/" in leaks


@pytest.fixture
def left(monkeypatch):
    def left(free):
        monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))

    return left


def warnings(computing):
    events = computing.worker.stores.events.read(computing.id)
    return [one.detail for one in events if one.type == "warning" and one.code == "little_room"]


def test_features_that_the_disk_can_not_hold_are_refused_before_any_is_computed(
    planned, computing, left
):
    left(NEEDED - 1)
    record = planned(2)

    assert record.state == State.FAILED
    assert record.error.transient
    place = computing.settings.store / "features"
    assert (
        f"200 rows of 3 features take 1 MB. Expected that much room in {place}. Received: 1 MB"
        in record.error.detail
    )
    assert computing.shards.count() is None


def test_features_that_leave_little_of_the_disk_are_warned_of_once(planned, computing, left):
    left(NEEDED)
    assert planned(2).state == State.BOTTLENECK
    planned(2)

    [said] = warnings(computing)
    assert said.startswith("200 rows of 3 features may take 1 MB")


@pytest.fixture
def tuned(computing):
    """Ask for tuning; return how many bytes the views of the images for training take."""
    cut = tail_cut("efficientnet_lite0")

    def ask(record):
        record.request.tune = TuneRequest(views=3)

    computing.worker.stores.trainings.update(computing.id, ask)
    with computing.work() as work:
        train = len(work.split(work.dataset().used_images())["train"])
    return train * 3 * cut.numbers * 2


def test_what_fine_tuning_learns_from_has_to_fit_as_well(planned, computing, left, tuned):
    left(NEEDED + tuned - 1)
    record = planned(2)

    assert record.state == State.FAILED
    assert "200 rows of 3 features and what fine-tuning learns from take" in record.error.detail
    assert "tune.views" in record.error.detail
    assert computing.shards.count() is None


def test_what_is_stored_for_fine_tuning_may_be_what_it_needs(planned, computing, left, tuned):
    """That is known exactly when tuning begins, so now it is a warning only."""
    space = computing.settings.store / "activations" / "space"
    space.mkdir(parents=True)
    (space / "shard.npy").write_bytes(bytes(1000))
    left(NEEDED + tuned - 1000)

    assert planned(2).state == State.BOTTLENECK
    [said] = warnings(computing)
    assert "and what fine-tuning learns from may take" in said


def test_what_nothing_can_be_tuned_with_needs_no_room(planned, left, tuned, monkeypatch):
    monkeypatch.setattr(plan, "FEWEST_TO_TUNE", 1000)
    left(NEEDED)

    assert planned(2).state == State.BOTTLENECK


def test_features_that_are_stored_need_no_room(planned, computing, left):
    planned(2)
    computing.compute()
    left(0)

    assert planned(2).state == State.BOTTLENECK
