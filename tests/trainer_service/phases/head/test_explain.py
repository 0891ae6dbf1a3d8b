"""The sentences that say how a head was chosen."""

import pytest

from shared.models.manifest import HeadInfo, NearInfo
from trainer_service.phases.head.explain import explained

LOSSES = {"last": 0.489, "late": 0.376, "all": 0.325}


def head(**changes):
    fields = {"kind": "regression", "taps": "all", "features": 5456, "strength": 0.0625}
    return HeadInfo(**{**fields, "val_losses": LOSSES, **changes})


def test_what_was_chosen_is_compared_with_what_was_not():
    assert explained(head(), "auto", 400).detail == (
        "A logistic regression of strength 0.062 on 5,456 features of all layers that the "
        "catalogue lists: its validation loss is 0.325, against 0.489 with the last layer and "
        "0.376 with the last three layers."
    )


def test_cross_validation_is_named_with_the_images_that_it_took():
    detail = explained(head(cross_validated=True), "auto", 150).detail

    assert detail.endswith(
        "As there are few images, it was chosen by cross-validation over the 150 training and "
        "validation images, and has learnt from all of them."
    )


def test_views_that_helped_are_named_with_what_they_brought():
    viewed = head(views=4, view_losses={1: 0.325, 4: 0.301})

    assert explained(viewed, "auto", 400).detail == (
        "A logistic regression of strength 0.062 on 5,456 features of all layers that the "
        "catalogue lists, with 4 views of each training image: its validation loss is 0.301, and "
        "0.325 without further views, against 0.489 with the last layer and 0.376 with the last "
        "three layers."
    )


def test_views_that_did_not_help_are_named_too():
    plain = head(view_losses={1: 0.325, 2: 0.381})

    assert explained(plain, "auto", 400).detail.endswith(
        "with the last three layers. With 2 views of each training image it was not lower, 0.381, "
        "so it has learnt from the images alone."
    )


@pytest.mark.parametrize(
    ("differ", "changed"), [(10, "10 of 2,521 images were"), (1, "1 of 2,521 images was")]
)
def test_a_search_near_an_earlier_choice_says_near_which_and_why(differ, changed):
    near = NearInfo(training="20261126-201314-0e9932", differ=differ, images=2521)

    assert explained(head(val_losses={"all": 0.325}, near=near), "auto", 400).detail == (
        "A logistic regression of strength 0.062 on 5,456 features of all layers that the "
        "catalogue lists: its validation loss is 0.325. It was searched near what training "
        f"20261126-201314-0e9932 chose among all: {changed} corrected, added or left out since."
    )


def test_layers_that_were_asked_for_are_not_compared():
    only = head(taps="last", features=1280, val_losses={"last": 0.489})

    assert explained(only, "last", 400).detail.endswith(
        "its validation loss is 0.489; these layers were asked for."
    )


@pytest.mark.parametrize("kind", ["regression", "layers"])
def test_a_search_that_was_cut_short_says_so(kind):
    detail = explained(head(kind=kind), "auto", 400, cut_short=True).detail

    assert detail.endswith(
        " There are so many labels that not all strengths were tried: the search may take only so "
        "long for each image."
    )


COMPARED = (
    ": a logistic regression on them had a validation loss of 0.325, against 0.489 with the last "
    "layer and 0.376 with the last three layers."
)


@pytest.mark.parametrize(("losses", "end"), [({}, ", which were asked for."), (LOSSES, COMPARED)])
def test_a_head_of_layers_says_why_these_layers(losses, end):
    layers = head(kind="layers", strength=None, val_losses=losses)

    assert explained(layers, "auto", 400).detail == (
        f"Layers trained on 5,456 features of all layers that the catalogue lists{end}"
    )
