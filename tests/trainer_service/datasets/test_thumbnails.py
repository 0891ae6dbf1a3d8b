"""Small copies of the pictures of a dataset."""

import hashlib
import io

import numpy as np
import pytest
from PIL import Image

from trainer_service.datasets.scan.reader import read_dataset
from trainer_service.datasets.thumbnails.store import THUMBNAILS_FILE, find_thumbnail

from .conftest import picture

#: What a thumbnail can weigh at most.
MOST_BYTES = 25_000


def noise(seed, size=(700, 500), kind="JPEG", **options):
    """The bytes of a picture of which every copy is as heavy as can be."""
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.fixture
def find(write, tmp_path, limits):
    """Reads files as a dataset; returns the function that finds the thumbnail of some bytes."""

    def read(files):
        directory = tmp_path / "dataset"
        read_dataset(write(files), directory, limits, lambda *_: None, threads=2)

        def find(data):
            return find_thumbnail(directory / THUMBNAILS_FILE, hashlib.sha256(data).hexdigest())

        return find

    return read


def test_large_pictures_have_a_small_copy_small_ones_have_none(find):
    large = {f"cat/{i}.jpg": noise(i) for i in range(3)}
    small = {f"dog/{i}.png": picture(i) for i in range(3)}
    find = find(large | small)

    for data in large.values():
        copy, media_type = find(data)
        assert media_type == "image/jpeg"
        assert len(copy) < MOST_BYTES < len(data)
        assert Image.open(io.BytesIO(copy)).size == (114, 160)
    assert [find(data) for data in small.values()] == [None, None, None]


def test_a_light_file_of_many_pixels_has_a_small_copy(find):
    buffer = io.BytesIO()
    Image.new("RGB", (900, 900), "teal").save(buffer, "PNG")
    vast = buffer.getvalue()
    assert len(vast) < 16_000
    find = find({"cat/1.png": vast, "dog/1.png": picture(1)})

    assert Image.open(io.BytesIO(find(vast)[0])).size == (160, 160)


@pytest.mark.parametrize("kind", ["HEIF", "TIFF", "PPM"])
def test_a_small_picture_that_browsers_do_not_show_has_a_copy(find, kind):
    small = picture(3, kind, size=(40, 40))
    find = find({f"cat/1.{kind.lower()}": small, "dog/1.png": picture(1)})

    copy, media_type = find(small)
    assert media_type == "image/png"
    assert Image.open(io.BytesIO(copy)).size == (40, 40)


def test_a_copy_is_upright(find):
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = noise(1, size=(200, 400), exif=exif)
    find = find({"cat/1.jpg": turned, "dog/1.png": picture(1)})

    assert Image.open(io.BytesIO(find(turned)[0])).size == (80, 160)


def test_a_small_picture_in_a_heavy_file_is_copied_without_loss(find):
    heavy = picture(1, size=(8, 8)) + bytes(20_000)
    find = find({"cat/1.png": heavy, "dog/1.png": picture(2)})
    copy, media_type = find(heavy)

    assert media_type == "image/png"
    original = np.asarray(Image.open(io.BytesIO(heavy)))
    np.testing.assert_array_equal(original, np.asarray(Image.open(io.BytesIO(copy))))


def test_there_may_be_no_thumbnails_at_all(tmp_path):
    assert find_thumbnail(tmp_path / "nothing", "0" * 64) is None
