"""Which earlier training a head is searched near."""

from dataclasses import replace
from datetime import timedelta

import pytest

from shared.models.manifest import HeadInfo, NearInfo
from tests.support.trainer.builders import START, make_dataset, new_record
from trainer_service.datasets.records import ImageRecord, save_images
from trainer_service.phases.head.nearby import nearby
from trainer_service.store.records.training_record import State

FIRST, CHILD, GRANDCHILD = (f"20260101-00000{number}-aaaaaa" for number in range(3))
LATER = START + timedelta(days=300)


def image(number, label):
    sha256 = f"{number:064x}"
    return ImageRecord(
        name=f"{number}.png",
        label=label,
        sha256=sha256,
        split=None,
        width=1,
        height=1,
        format="PNG",
        bytes=1,
        verdict="used",
        detail="",
        file=sha256,
    )


IMAGES = [image(number, ["cat", "dog"][number % 2]) for number in range(100)]


def corrected(images, count):
    """The same images, the last ones of which have another label."""
    other = {"cat": "dog", "dog": "cat"}
    return [*images[:-count], *(replace(one, label=other[one.label]) for one in images[-count:])]


class Line:
    """A line of datasets in a store, and trainings on them."""

    def __init__(self, work_on):
        self.work_on = work_on
        self.stores = work_on(dataset=CHILD).worker.stores

    def dataset(self, name, images, parent=None):
        make_dataset(self.stores.datasets, record_id=name, parent=parent, images=len(images))
        save_images(self.stores.datasets.directory(name), images)

    def trained(self, dataset, *, strength=0.25, ended=START, near=None, stop_after=None, **fields):
        head = HeadInfo(kind="regression", taps="late", features=1, strength=strength, near=near)
        record = new_record(State.SUCCEEDED, at=ended, dataset=dataset, **fields)
        changed = record.model_copy(update={"head": head, "stop_after": stop_after})
        self.stores.trainings.create(changed)
        return record.id

    def near(self, images, dataset=CHILD, **fields):
        return nearby(self.work_on(dataset=dataset, **fields), images)


@pytest.fixture
def line(work_on):
    made = Line(work_on)
    made.dataset(FIRST, IMAGES)
    made.dataset(CHILD, corrected(IMAGES, 3), FIRST)
    return made


def test_a_corrected_dataset_is_searched_near_what_the_one_before_chose(line):
    training = line.trained(FIRST)

    found = line.near(corrected(IMAGES, 3))

    assert (found.taps, found.strength) == ("late", 0.25)
    assert found.info == NearInfo(training=training, differ=3, images=100)


def test_images_that_were_added_or_left_out_count_as_well(line):
    line.trained(FIRST)
    images = [*corrected(IMAGES, 1)[2:], image(200, "cat")]

    assert line.near(images).info.differ == 4


@pytest.mark.parametrize(("count", "is_near"), [(5, True), (6, False)])
def test_if_too_many_images_differ_all_heads_are_tried(line, count, is_near):
    line.trained(FIRST)

    assert (line.near(corrected(IMAGES, count)) is not None) is is_near


@pytest.mark.parametrize(
    "images",
    [[*IMAGES, image(200, "fox")], [image(number, "cat") for number in range(100)]],
    ids=["new", "gone"],
)
def test_with_other_labels_all_heads_are_tried(line, images):
    line.trained(FIRST)

    assert line.near(images) is None


@pytest.mark.parametrize(
    "fields",
    [
        {"taps": "all"},
        {"views": 2},
        {"class_weights": "balanced"},
        {"seed": 1},
        {"split": {"test": 0.3}},
        {"head": "layers"},
    ],
)
def test_with_other_settings_all_heads_are_tried(line, fields):
    line.trained(FIRST, **fields)
    assert line.near(corrected(IMAGES, 3)) is None
    line.trained(CHILD)
    line.dataset(GRANDCHILD, corrected(IMAGES, 4), CHILD)
    found = line.near(corrected(IMAGES, 4), GRANDCHILD, **fields)
    assert found is None or found.info.differ == 4, "of the first dataset, which was trained so"


def test_other_settings_do_not_matter(line):
    line.trained(FIRST, quantize="int8", model="pets")

    assert line.near(corrected(IMAGES, 3), model="animals", tune="tail") is not None


@pytest.mark.parametrize(
    "fields",
    [
        {"near": NearInfo(training="x", differ=1, images=100)},
        {"stop_after": 3},
        {"strength": None},
        {"strength": 0.3},
        {"ended": LATER + timedelta(days=9999)},
    ],
    ids=["near another", "stopped", "not solved", "of another release", "ended since"],
)
def test_only_a_training_that_had_tried_all_heads_counts(line, fields):
    line.trained(FIRST, **fields)
    assert line.near(corrected(IMAGES, 3)) is None


def test_of_several_the_newest_counts(line):
    line.trained(FIRST, strength=4.0)
    newest = line.trained(FIRST, ended=LATER, strength=1.0)
    line.trained(FIRST, strength=16.0)

    assert line.near(corrected(IMAGES, 3)).info.training == newest


def test_corrections_of_corrections_add_up(line):
    """Else a hundred of them could lead far away, in a hundred small steps."""
    first = line.trained(FIRST)
    line.trained(CHILD, near=NearInfo(training=first, differ=3, images=100))
    line.dataset(GRANDCHILD, corrected(IMAGES, 5), CHILD)

    found = line.near(corrected(IMAGES, 5), GRANDCHILD)
    assert (found.info.training, found.info.differ) == (first, 5)
    assert line.near(corrected(IMAGES, 6), GRANDCHILD) is None


def test_the_nearest_dataset_with_such_a_training_counts(line):
    line.trained(FIRST)
    nearest = line.trained(CHILD)
    line.dataset(GRANDCHILD, corrected(IMAGES, 4), CHILD)

    found = line.near(corrected(IMAGES, 4), GRANDCHILD)
    assert (found.info.training, found.info.differ) == (nearest, 1)


def test_the_same_dataset_is_searched_like_the_first_time(line):
    line.trained(FIRST)
    line.trained(CHILD)
    assert line.near(IMAGES, FIRST) is None


def test_where_the_records_are_damaged_all_heads_are_tried(line):
    line.trained(FIRST)
    (line.stores.datasets.directory(FIRST) / "images.jsonl").write_text("{")

    assert line.near(corrected(IMAGES, 3)) is None


def test_without_a_parent_or_a_training_all_heads_are_tried(line):
    assert line.near(IMAGES, FIRST) is None
    assert line.near(corrected(IMAGES, 3)) is None
