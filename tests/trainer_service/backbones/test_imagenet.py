"""The classes of ImageNet, and what a request may make of them."""

import pytest

from shared.errors import InvalidRequest
from trainer_service.backbones.imagenet import Selection, classes, nearest_classes

CATS = ["tabby cat", "tiger cat", "Persian cat", "Siamese cat", "Egyptian Mau"]


def test_there_are_a_thousand_names_and_none_is_there_twice():
    names = classes()

    assert len(names) == 1000
    assert len({name.casefold() for name in names}) == 1000
    assert all(name == name.strip() for name in names)


def test_the_names_are_in_the_order_of_the_networks():
    """Known places: the ends, cats and dogs, and both of the classes that are called crane."""
    names = classes()

    assert (names[0], names[999]) == ("tench", "toilet paper")
    assert list(names[281:286]) == CATS
    assert (names[151], names[268]) == ("Chihuahua", "Mexican hairless dog")
    assert (names[134], names[517]) == ("crane (bird)", "crane (machine)")


def test_without_a_choice_the_labels_are_the_classes():
    selection = Selection.of(None, "other")

    assert selection.labels == classes()
    assert selection.whole
    assert not selection.rest


def test_a_list_keeps_a_label_for_the_rest():
    selection = Selection.of(["zebra", "tabby cat"], "other")

    assert selection.labels == ("zebra", "tabby cat", "other")
    assert selection.members[:2] == ((340,), (281,))
    assert len(selection.members[2]) == 998
    assert selection.rest


def test_groups_have_the_classes_that_they_name():
    selection = Selection.of({"cat": CATS, "dog": ["Beagle"]}, None)

    assert selection.labels == ("cat", "dog")
    assert selection.members == ((281, 282, 283, 284, 285), (162,))
    assert not selection.rest


def test_case_and_underscores_do_not_matter_and_labels_are_as_in_the_list():
    selection = Selection.of(["Tabby_Cat", " ZEBRA "], None)

    assert selection.labels == ("tabby cat", "zebra")


@pytest.mark.parametrize(
    ("chosen", "rest", "reason"),
    [
        (["cats"], "other", r"'cats' is no class .* Did you mean 'tabby cat', 'tiger cat'"),
        (["xqzv"], "other", r"'xqzv' is no class of ImageNet\. GET /v1/imagenet-classes"),
        (["zebra", "Zebra"], "other", "'zebra' is there 2 times"),
        ({"a": ["zebra"], "b": ["zebra"]}, None, "'zebra' is there 2 times"),
        ({"a": ["zebra", "zebra"], "b": ["pug"]}, None, "'zebra' is there 2 times"),
        (["zebra"], None, "at least two labels"),
        ({"other": ["zebra"]}, "other", "'other' is the label of all classes that are not named"),
    ],
)
def test_what_makes_no_labels_is_refused_in_words(chosen, rest, reason):
    with pytest.raises(InvalidRequest, match=reason):
        Selection.of(chosen, rest)


@pytest.mark.parametrize(
    ("name", "meant"), [("cat", "tabby cat"), ("zebbra", "zebra"), ("crane", "crane (bird)")]
)
def test_the_nearest_names_are_those_with_its_words_and_those_spelt_like_it(name, meant):
    assert meant in nearest_classes(name)
