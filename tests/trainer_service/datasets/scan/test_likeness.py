"""Images that are nearly equal."""

import time

import numpy as np
import pytest
from PIL import Image, ImageFilter

from trainer_service.datasets.scan.likeness import (
    MOST_OF_A_GROUP,
    group_doubles,
    look_of,
)


def scene(seed, size=(320, 240)):
    """A made-up photograph: soft shapes of many sizes, which no other seed has."""
    random = np.random.default_rng(seed)
    image = np.zeros((size[1], size[0], 3))
    for cells in (4, 8, 16):
        shades = random.integers(0, 256, (cells, cells, 3)).astype(np.uint8)
        image += np.asarray(Image.fromarray(shades).resize(size, Image.Resampling.BICUBIC)) / 3
    return Image.fromarray(image.astype(np.uint8))


def reduced(image, quality=60, scale=0.5):
    """The same in another size and quality, as it is after being sent around."""
    from io import BytesIO

    small = image.resize([round(side * scale) for side in image.size], Image.Resampling.LANCZOS)
    buffer = BytesIO()
    small.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer)


def brighter(image):
    return image.point(lambda shade: min(255, round(0.85 * shade + 30)))


@pytest.mark.parametrize("change", [reduced, brighter, lambda i: i.filter(ImageFilter.SHARPEN)])
def test_a_changed_copy_is_a_double_of_its_image_and_of_no_other(change):
    originals = [scene(seed) for seed in range(12)]
    looks = [look_of(image) for image in (*originals, *map(change, originals))]
    assert sorted(group_doubles(looks).groups) == [[n, n + 12] for n in range(12)]


def test_plain_images_are_no_doubles():
    """They look alike whatever they show."""
    plain = [Image.new("RGB", (80, 80), (shade, shade, shade)) for shade in range(200, 250, 5)]
    assert group_doubles([look_of(image) for image in plain]).groups == []


def test_a_gradient_that_many_photographs_share_makes_no_doubles():
    """A wall in the same light, with another small thing on it: the hashes are the same."""
    wall = np.linspace(120, 220, 160, dtype=np.uint8)
    images = []
    for seed in range(10):
        picture = np.repeat(np.tile(wall, (160, 1))[:, :, None], 3, axis=2)
        row, column = np.random.default_rng(seed).integers(40, 100, 2)
        picture[row : row + 12, column : column + 12] -= 60
        images.append(Image.fromarray(picture))
    assert group_doubles([look_of(image) for image in images]).groups == []


def test_doubles_are_found_among_many_images_that_share_their_hash():
    """The order of the hashes alone would have put them far apart."""
    random = np.random.default_rng(0)
    slope = np.tile(np.arange(0, 224, 14), (16, 1))
    pictures = (slope + random.integers(0, 12, (3000, 16, 16))).astype(np.uint8)
    looks = [picture.tobytes() for picture in pictures]
    twin = np.frombuffer(looks[1500], np.uint8).copy()
    twin[random.integers(0, 256, 3)] += 1
    groups = group_doubles([*looks[:1501], twin.tobytes(), *looks[1501:]])
    assert groups == ([[1500, 1501]], [])


def test_copies_of_copies_are_one_group_and_too_many_are_a_crowd():
    image = look_of(scene(0))
    others = [look_of(scene(seed)) for seed in range(1, 5)]
    assert group_doubles([image, *others, image, image]) == ([[0, 5, 6]], [])
    many = [image] * MOST_OF_A_GROUP
    assert group_doubles(many) == ([list(range(MOST_OF_A_GROUP))], [])
    assert group_doubles([*many, image]) == ([], [list(range(MOST_OF_A_GROUP + 1))])


def test_many_images_that_look_the_same_take_no_longer_than_others():
    """Each compared with each other would take minutes."""
    random = np.random.default_rng(0)
    slope = np.tile(np.arange(0, 224, 14), (16, 1))
    pictures = (slope + random.integers(0, 12, (20_000, 16, 16))).astype(np.uint8)
    for looks in ([picture.tobytes() for picture in pictures], [look_of(scene(0))] * 20_000):
        started = time.process_time()
        assert group_doubles(looks).groups == []
        assert time.process_time() - started < 10


@pytest.mark.parametrize("looks", [[], [b""], [b"", b""], [b"", bytes(range(256))]])
def test_images_without_a_look_are_in_no_group(looks):
    assert group_doubles(looks) == ([], [])
