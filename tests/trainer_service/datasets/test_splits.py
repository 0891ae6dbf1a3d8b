"""Which image belongs to which part, and that it stays there."""

import hashlib
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import InvalidRequest
from trainer_service.datasets.records import ImageRecord
from trainer_service.datasets.splits import SplitFractions, assign_splits, stand_in
from trainer_service.errors import InvalidDataset


def _image(sha256, label, split=None, verdict="used"):
    return ImageRecord(
        name="x.jpg",
        label=label,
        split=split,
        sha256=sha256,
        width=1,
        height=1,
        format="jpeg",
        bytes=1,
        verdict=verdict,
        detail="",
        file="",
    )


def _images(label, numbers, split=None):
    return [
        _image(hashlib.sha256(f"{label}{n}".encode()).hexdigest(), label, split) for n in numbers
    ]


def _at(position, label="cat"):
    """An image whose hash puts it at a place between 0 and 1."""
    return _image(f"{int(position * 2**64):016x}" + "0" * 48, label)


def _part_sizes(images, splits):
    return Counter((image.label, splits[image.sha256]) for image in images)


def test_the_hash_decides():
    images = [_at(0.1), _at(0.149), _at(0.151), _at(0.29), _at(0.31), _at(0.9)]

    splits = assign_splits(images)

    assert list(splits.values()) == ["test"] * 2 + ["validation"] * 2 + ["train"] * 2


def test_the_parts_have_about_the_sizes_asked_for():
    images = _images("cat", range(2000)) + _images("dog", range(2000))

    sizes = Counter(assign_splits(images, SplitFractions(0.1, 0.2)).values())

    assert abs(sizes["validation"] - 400) < 60
    assert abs(sizes["test"] - 800) < 80


@settings(max_examples=40, deadline=None)
@given(st.integers(100, 300), st.integers(0, 300), st.integers(0, 10**6))
def test_images_stay_where_they_are_when_the_dataset_grows(before, more, start):
    numbers = range(start, start + before + more)
    old = assign_splits(_images("cat", numbers[:before]))
    new = assign_splits(_images("cat", numbers) + _images("dog", range(50)))

    assert {sha256: new[sha256] for sha256 in old} == old


@given(st.integers(3, 12), st.integers(0, 10**6), st.floats(0.01, 0.49), st.floats(0.01, 0.49))
def test_every_label_has_images_in_every_part(count, start, validation, test):
    images = _images("cat", range(start, start + count)) + _images("dog", range(40))

    splits = assign_splits(images, SplitFractions(validation, test))

    sizes = _part_sizes(images, splits)
    for label in ("cat", "dog"):
        for part in ("train", "validation", "test"):
            assert sizes[label, part] >= 1


@given(st.permutations(range(5)))
def test_the_order_of_the_images_does_not_matter(order):
    images = _images("cat", range(5)) + _images("dog", range(5))
    shuffled = [images[i] for i in order] + images[5:]

    assert assign_splits(shuffled) == assign_splits(images)


def test_a_part_that_is_missing_gets_the_nearest_image_that_can_be_spared():
    images = [_at(0.5), _at(0.32), _at(0.9), _at(0.16)]

    splits = assign_splits(images)

    assert list(splits) == [image.sha256 for image in sorted(images, key=lambda i: i.sha256)]
    assert [splits[image.sha256] for image in images] == ["train", "test", "train", "validation"]


def test_no_part_is_made_that_is_not_asked_for():
    images = _images("cat", range(50)) + _images("dog", range(1))

    assert set(assign_splits(images, SplitFractions(0, 0)).values()) == {"train"}
    with pytest.raises(InvalidDataset, match="at least 2 images"):
        assign_splits(images, SplitFractions(0, 0.2))


def test_rejected_images_are_in_no_part():
    images = _images("cat", range(9))
    rejected = _image("f" * 64, "cat", verdict="unreadable")

    assert "f" * 64 not in assign_splits([*images, rejected])


def test_too_few_images_are_refused_by_name():
    images = _images("cat", range(9)) + _images("dog", range(2)) + _images("eel", range(1))

    with pytest.raises(InvalidDataset, match=r"at least 3 images.*'dog' \(2\), 'eel' \(1\)$"):
        assign_splits(images)


def test_a_split_of_the_source_is_kept():
    images = [
        *_images("cat", range(20), "train"),
        *_images("cat", range(20, 25), "validation"),
        *_images("cat", range(25, 30), "test"),
    ]

    assert assign_splits(images) == {image.sha256: image.split for image in images}


def test_what_the_source_lacks_is_taken_from_its_train_part():
    images = _images("cat", range(100), "train") + _images("cat", range(100, 140), "test")

    splits = assign_splits(images)

    assert {splits[image.sha256] for image in images[100:]} == {"test"}
    sizes = Counter(splits[image.sha256] for image in images[:100])
    assert set(sizes) == {"train", "validation"}
    assert 5 <= sizes["validation"] <= 28


def test_one_training_image_is_enough_where_the_source_brings_the_rest():
    images = [
        *_images("cat", [1], "train"),
        *_images("cat", [2], "validation"),
        *_images("cat", [3], "test"),
    ]

    assert assign_splits(images)[images[0].sha256] == "train"


def test_a_label_that_train_lacks_is_refused():
    images = [
        *_images("cat", range(9), "train"),
        *_images("cat", range(9, 12), "test"),
        *_images("dog", range(2), "test"),
    ]

    with pytest.raises(InvalidDataset, match=r"Without any: 'dog' \(2\)"):
        assign_splits(images)


@pytest.mark.parametrize("fractions", [(-0.1, 0.1), (0.5, 0.5), (0.0, 1.0)])
def test_fractions_must_leave_something_to_train_on(fractions):
    with pytest.raises(InvalidRequest, match="Received: validation="):
        assign_splits(_images("cat", range(9)), SplitFractions(*fractions))


def _grouped(images):
    """The images as near doubles of each other."""
    group = stand_in(image.sha256 for image in images)
    return [replace(image, double_of=group) for image in images]


def test_near_doubles_are_in_the_same_part_and_all_others_where_they_were():
    single = _images("cat", range(400)) + _images("dog", range(400))
    before = assign_splits(single)
    pairs = [_grouped(single[n : n + 2]) for n in range(0, 200, 2)]
    images = [*(image for pair in pairs for image in pair), *single[200:]]
    after = assign_splits(images)

    assert all(after[one.sha256] == after[other.sha256] for one, other in pairs)
    assert any(before[one.sha256] != before[other.sha256] for one, other in pairs)
    assert all(after[image.sha256] == before[image.sha256] for image in single[200:])


def test_near_doubles_of_two_labels_are_in_the_same_part():
    """Whichever label is right."""
    cats, dogs = _images("cat", range(300)), _images("dog", range(300))
    pairs = [_grouped(pair) for pair in zip(cats[:100], dogs[:100], strict=True)]
    after = assign_splits([*(i for pair in pairs for i in pair), *cats[100:], *dogs[100:]])
    assert all(after[cat.sha256] == after[dog.sha256] for cat, dog in pairs)


def test_near_doubles_are_not_more_likely_to_be_in_one_part_than_others():
    images = _images("cat", range(4000))
    groups = [_grouped(images[n : n + 4]) for n in range(0, 4000, 4)]
    parts = assign_splits([image for group in groups for image in group])
    sizes = Counter(parts[group[0].sha256] for group in groups)
    assert abs(sizes["test"] - 150) < 45
    assert abs(sizes["validation"] - 150) < 45


def test_a_label_of_near_doubles_alone_is_divided_all_the_same():
    cats = _grouped(_images("cat", range(3)))
    parts = assign_splits(cats + _images("dog", range(50)))
    assert {parts[image.sha256] for image in cats} == {"train", "validation", "test"}


def test_a_whole_group_is_moved_to_a_part_that_would_be_empty():
    pair = _grouped([_at(0.4), _at(0.5)])
    images = [*pair, _at(0.9), _at(0.95), _at(0.99)]
    parts = assign_splits(images)
    assert parts[pair[0].sha256] == parts[pair[1].sha256] == "test"
    assert set(parts.values()) == {"train", "validation", "test"}


def test_a_split_that_the_source_brings_stays_though_it_leaks():
    train, test = _grouped([*_images("cat", [0], "train"), *_images("cat", [1], "test")])
    others = [*_images("cat", range(2, 30), "train"), *_images("dog", range(30), "train")]
    parts = assign_splits([train, test, *others, *_images("dog", [31], "test")])
    assert parts[test.sha256] == "test"
    assert parts[train.sha256] in {"train", "validation"}
