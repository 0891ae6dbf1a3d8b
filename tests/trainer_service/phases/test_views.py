"""Views of images: which there are, and that the same number always shows the same."""

import numpy as np
import pytest

from trainer_service.phases.views import Views
from trainer_service.requests.tune import CHANGES

SHA256 = "0123456789abcdef" * 4
OTHER = "fedcba9876543210" * 4


def photo(size):
    """Return a picture that is brighter at the left, and noisy."""
    slope = np.linspace(200, 50, size)[None, :, None]
    noise = np.random.default_rng(0).uniform(-20, 20, (size, size, 3))
    return (slope + noise).astype(np.uint8)


def made(views, sha256=SHA256):
    return views.make(photo(views.decoded_size), sha256)


def test_the_first_view_is_the_image_as_it_is():
    pixels = photo(32)

    (view,) = Views(32).make(pixels, SHA256)

    np.testing.assert_array_equal(view, pixels)


def test_the_second_view_is_its_mirror_image():
    first, second, *_ = made(Views.of(32, 4, CHANGES, seed=0))

    np.testing.assert_array_equal(second, first[:, ::-1])


def test_the_same_image_seed_and_number_give_the_same_view():
    views = Views.of(32, 6, CHANGES, seed=5)

    np.testing.assert_array_equal(made(views), made(views))
    assert len({view.tobytes() for view in made(views)}) == 6
    for other in (made(Views.of(32, 6, CHANGES, seed=6)), made(views, OTHER)):
        assert all((a != b).any() for a, b in zip(made(views)[2:], other[2:], strict=True))


def test_more_views_leave_the_first_ones_as_they_were():
    few, many = (made(Views.of(32, count, CHANGES, seed=0)) for count in (3, 8))

    np.testing.assert_array_equal(many[:3], few)


@pytest.mark.parametrize(("changes", "expected"), [(CHANGES, True), (("crop", "colour"), False)])
def test_only_where_allowed_are_views_mirrored(changes, expected):
    means = made(Views.of(32, 24, changes, seed=0)).mean(axis=(1, 3))

    mirrored = means[:, :8].mean(axis=1) < means[:, -8:].mean(axis=1)
    assert (4 < mirrored.sum() < 20) if expected else not mirrored.any()


@pytest.mark.parametrize(("changes", "expected"), [(("crop", "mirror"), False), (CHANGES, True)])
def test_only_where_allowed_do_colours_change(changes, expected):
    views = Views.of(32, 12, changes, seed=0)
    plain = np.full((views.decoded_size, views.decoded_size, 3), (180, 90, 60), np.uint8)

    colours = views.make(plain, SHA256).mean(axis=(1, 2))

    assert (np.abs(colours - colours[0]).max() > 10) == expected
    # Light changes: the picture stays one of the same thing.
    assert np.abs(colours - colours[0]).max() < 0.5 * 180
    assert (colours.argmax(axis=1) == 0).all()


def test_crops_show_at_least_half_of_the_image_and_no_pixel_twice():
    """A picture of its own coordinates tells which part of it a view shows."""
    views = Views.of(64, 40, ["crop"], seed=0)
    steps = np.linspace(0, 250, views.decoded_size)
    across, down = np.meshgrid(steps, steps)
    picture = np.stack([across, down, across], axis=-1).astype(np.uint8)

    shown = views.make(picture, SHA256)[1:].astype(float)

    widths = (shown[:, 0, -1, 0] - shown[:, 0, 0, 0]) / 250
    heights = (shown[:, -1, 0, 1] - shown[:, 0, 0, 1]) / 250
    assert 0.65 < widths.min() < 0.85 < widths.max() <= 1
    assert (widths * heights).min() > 0.44
    assert views.decoded_size >= 64 / 0.7


def test_without_crops_the_whole_image_is_seen():
    views = Views.of(32, 5, ["mirror"], seed=0)

    shown = made(views)

    assert views.decoded_size == 32
    assert {view.tobytes() for view in shown} == {shown[0].tobytes(), shown[0][:, ::-1].tobytes()}


def test_there_is_one_view_if_nothing_is_allowed():
    assert Views.of(32, 6, [], seed=3) == Views(32)
    assert Views.of(32, 1, CHANGES, seed=3) == Views(32)


def test_the_key_tells_apart_what_looks_different():
    keys = [
        Views(32).key,
        Views.of(32, 6, CHANGES, seed=0).key,
        Views.of(32, 6, CHANGES, seed=1).key,
        Views.of(32, 6, ["crop"], seed=0).key,
    ]

    assert len({str(key) for key in keys}) == 4
    assert Views.of(32, 8, CHANGES, seed=0).key == keys[1]


def test_some_of_the_views_are_those_of_their_numbers():
    whole = Views.of(32, 6, CHANGES, seed=2)
    some = whole.only((3, 4))

    np.testing.assert_array_equal(made(some), made(whole)[3:5])
    assert some.key == whole.key
