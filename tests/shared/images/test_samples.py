"""Samples of more than 8 bits: the darkest becomes black, the brightest white."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from shared.images.decoding import ImageLimits, decode
from tests.support.inputs import hostile_images as hostile

LIMITS = ImageLimits(max_bytes=1 << 20, max_pixels=1_000_000)
RAMP = np.linspace(0, 1, 256).reshape(16, 16)


def deep_png(samples, *, key=None):
    """Return a PNG of 16 bits, of samples of shape (height, width, channels)."""
    height, width, channels = samples.shape
    rows = samples.astype(">u2").reshape(height, -1)
    body = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    colours = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    data = hostile.png_of(width, height, body, depth=16, colours=colours)
    return (
        data
        if key is None
        else hostile.with_chunk(data, b"tRNS", struct.pack(f">{len(key)}H", *key))
    )


def deep_tiff(samples, *, order="<", photometric=2, extra=None, compression=1):
    """Return a TIFF of 16 bits, of samples of shape (height, width, channels)."""
    height, width, channels = samples.shape
    body = samples.astype(f"{order}u2").tobytes()
    if compression == 8:
        body = zlib.compress(body)
    depths = struct.pack(f"{order}{channels}H", *[16] * channels)
    tags = [(256, 4, 1, width), (257, 4, 1, height), (259, 3, 1, compression)]
    tags += [(262, 3, 1, photometric), (277, 3, 1, channels), (278, 4, 1, height)]
    tags += [(279, 4, 1, len(body))]
    tags += [] if extra is None else [(338, 3, 1, extra)]
    end = 8 + 2 + 12 * (len(tags) + 2) + 4
    tags += [(258, 3, channels, end), (273, 4, 1, end + 8)]
    entries = b""
    for number, kind, count, value in sorted(tags):
        if number == 258 and channels <= 2:
            packed = depths.ljust(4, b"\0")
        elif kind == 3 and count == 1:
            packed = struct.pack(f"{order}2H", value, 0)
        else:
            packed = struct.pack(f"{order}I", value)
        entries += struct.pack(f"{order}2HI", number, kind, count) + packed
    magic = b"II*\0" if order == "<" else b"MM\0*"
    header = magic + struct.pack(f"{order}IH", 8, len(tags)) + entries + bytes(4)
    return header + depths.ljust(8, b"\0") + body


def pixels_of(data, shape=(16, 16)):
    return decode(data, *shape, LIMITS).astype(int)


@pytest.mark.parametrize("bits", [9, 10, 12, 14, 16])
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_greys_are_stretched_to_the_bits_that_are_used(bits, kind):
    samples = np.rint(RAMP * (2**bits - 1)).astype(np.uint16)

    pixels = pixels_of(hostile.saved(Image.fromarray(samples), kind))

    assert np.abs(pixels[..., 0] - RAMP * 255).max() <= 0.6
    assert len(np.unique(pixels)) == 256


@pytest.mark.parametrize("bits", [12, 16])
@pytest.mark.parametrize(
    "write",
    [
        deep_png,
        deep_tiff,
        lambda samples: deep_tiff(samples, order=">"),
        lambda samples: deep_tiff(samples, compression=8),
        lambda samples: deep_tiff(samples, order=">", compression=8),
    ],
    ids=["png", "tiff", "big-endian tiff", "deflated tiff", "big-endian deflated tiff"],
)
def test_16_bit_colours_are_stretched_to_the_bits_that_are_used(write, bits):
    colours = np.stack([RAMP, 1 - RAMP, RAMP / 2], axis=-1)
    samples = np.rint(colours * (2**bits - 1)).astype(np.uint16)

    assert np.abs(pixels_of(write(samples)) - colours * 255).max() <= 0.6


def test_all_colours_are_stretched_alike():
    samples = np.stack([RAMP * 1000, RAMP * 500, RAMP * 0 + 250], axis=-1)

    pixels = pixels_of(deep_png(samples))

    assert pixels[15, 15].tolist() == [255, 128, 64]


@pytest.mark.parametrize(
    "write", [deep_png, lambda samples: deep_tiff(samples, extra=2)], ids=["png", "tiff"]
)
def test_transparency_of_16_bits_is_laid_on_white(write):
    samples = np.stack([RAMP * 4000] * 3 + [np.where(RAMP < 0.5, 0, 65535)], axis=-1)

    pixels = pixels_of(write(samples))

    assert (pixels[:7] == 255).all()
    assert np.abs(pixels[9:, :, 0] - RAMP[9:] * 255).max() <= 1


def test_grey_and_alpha_of_16_bits():
    samples = np.stack([RAMP * 4000, np.where(RAMP < 0.5, 0, 65535)], axis=-1)

    pixels = pixels_of(deep_png(samples))

    assert (pixels[:7] == 255).all()
    assert np.abs(pixels[9:, :, 0] - RAMP[9:] * 255).max() <= 1


def test_a_transparent_colour_of_16_bits_is_white():
    grey = np.rint(RAMP * 4000)[..., np.newaxis]
    colour = np.concatenate([grey, grey, grey], axis=-1)
    for data in (deep_png(grey, key=[0]), deep_png(colour, key=[0, 0, 0])):
        pixels = pixels_of(data)

        assert pixels[0, 0].tolist() == [255, 255, 255]
        assert pixels[0, 8].max() < 20


def test_white_may_be_zero():
    samples = np.rint(RAMP * 4095).astype(np.uint16)[..., np.newaxis]

    pixels = pixels_of(deep_tiff(samples, photometric=0))

    assert np.abs(pixels[..., 0] - (1 - RAMP) * 255).max() <= 0.6


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_32_bit_samples_are_stretched(dtype):
    samples = (RAMP * 4000 - 1000).astype(dtype)

    pixels = pixels_of(hostile.saved(Image.fromarray(samples), "TIFF"))

    assert (pixels.min(), pixels.max()) == (0, 255)
    assert np.abs(pixels[..., 0] - RAMP * 255).max() <= 0.6


def test_samples_that_are_no_numbers_do_not_count():
    samples = (RAMP * 10 + 290).astype(np.float32)
    samples[0, :3] = [np.nan, np.inf, -np.inf]

    pixels = pixels_of(hostile.saved(Image.fromarray(samples), "TIFF"))

    assert pixels[0, :3, 0].tolist() == [0, 255, 0]
    assert np.abs(pixels[1:, :, 0] - RAMP[1:] * 255).max() <= 4


@pytest.mark.parametrize("value", [0, 257, 65535])
def test_an_image_of_one_sample_is_black(value):
    for kind in ("PNG", "TIFF"):
        image = Image.fromarray(np.full((4, 4), value, np.uint16))
        assert (pixels_of(hostile.saved(image, kind)) == 0).all()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_image_without_a_number_is_black(value):
    image = Image.fromarray(np.full((4, 4), value, np.float32))

    assert (pixels_of(hostile.saved(image, "TIFF")) == 0).all()


def test_8_bits_are_left_as_they_are():
    image = Image.fromarray(np.rint(RAMP * 100 + 20).astype(np.uint8))

    for kind in ("PNG", "TIFF", "BMP"):
        assert (pixels_of(hostile.saved(image, kind))[..., 0] == np.asarray(image)).all()
