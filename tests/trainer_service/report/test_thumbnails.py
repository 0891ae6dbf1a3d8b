"""Pictures inside of the report."""

import base64
import io

import numpy as np
from PIL import Image

from shared.images.decoding import ImageLimits
from tests.support.inputs.tiny_model import picture
from trainer_service.datasets.thumbnails.thumbnail import SIDE
from trainer_service.report.thumbnails import embedded

LIMITS = ImageLimits(2**24, 10**7)


def opened(small):
    return Image.open(io.BytesIO(base64.b64decode(small.url.partition(",")[2])))


def test_a_large_picture_gets_small_and_keeps_its_shape(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (600, 1200, 3), np.uint8)
    file = tmp_path / "large.png"
    Image.fromarray(noise).save(file)
    small = embedded(file.read_bytes(), LIMITS)

    assert (small.width, small.height) == opened(small).size == (SIDE, SIDE // 2)
    assert len(small.url) < 40_000


def test_a_small_picture_stays_as_it_is(tmp_path):
    file = tmp_path / "small.png"
    file.write_bytes(picture((1, 2, 3), 8))
    small = embedded(file.read_bytes(), LIMITS)

    assert opened(small).size == (8, 8)
    assert opened(small).getpixel((0, 0)) == (1, 2, 3)


def test_a_turned_photograph_is_upright(tmp_path):
    file = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (100, 50)).save(file, exif=exif)

    assert embedded(file.read_bytes(), LIMITS)[1:] == (50, 100)


def test_a_picture_that_is_gone_or_broken_is_left_out(tmp_path):
    file = tmp_path / "broken.png"
    file.write_bytes(b"\x89PNG\r\n\x1a\nno")

    assert embedded(file.read_bytes(), LIMITS) is None
