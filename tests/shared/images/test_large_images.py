"""Small files of many pixels, and machines that have no memory for them."""

import errno
import os
import subprocess
import sys
import threading
from contextlib import suppress

import numpy as np
import pytest
from PIL import Image

from shared.errors import InvalidImage
from shared.images import decoding, jpeg, samples
from shared.images.decoding import ImageInfo, ImageLimits, LargeImage, check, decode
from shared.room import Room
from tests.support.inputs import hostile_images as hostile

from .test_samples import deep_png

SIDE = 3000
LIMITS = ImageLimits(max_bytes=32 << 20, max_pixels=SIDE * SIDE)

#: Runs in a process of its own, whose memory is bounded from picture to picture.
CHILD = """
import resource, sys
from pathlib import Path
from shared.images.decoding import ImageLimits, check, decode
from tests.support.inputs import hostile_images as hostile

side, has_memory = int(sys.argv[1]), sys.argv[2] == "True"
limits = ImageLimits(32 << 20, side * side)
pictures = {name: make(side) for name, make in hostile.LARGE.items()}
decode(hostile.saved(hostile.photo(), "PNG"), 32, 32, limits)
for name, data in pictures.items():
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    each = {"flat.webp": 16, "flat.avif": 16, "flat.heic": 12, "16-bit-alpha.png": 9}.get(name, 5)
    most = each * side * side + (32 << 20)
    soft = taken + (most if has_memory else 0)
    for work in (lambda: decode(data, 224, 224, limits).shape, lambda: check(data, limits).format):
        resource.setrlimit(resource.RLIMIT_AS, (soft, resource.RLIM_INFINITY))
        try:
            said = work()
        except BaseException as error:
            said = type(error).__name__
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
        print(name, said, sep=": ")
"""


def in_a_child(*, has_memory):
    """Decode and check all large pictures with as much memory as each should need, or with none.

    Returns:
        Two lines for each picture, with its name and what came of it.
    """
    command = [sys.executable, "-c", CHILD, "2000", str(has_memory)]
    # Freed memory is given back; otherwise it would be reused although no new memory is allowed.
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_ARENA_MAX": "1"}
    output = subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=120, env=environment
    )
    return output.stdout.splitlines()


linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.mark.process
@linux
def test_pictures_take_five_bytes_for_a_pixel_and_some_more():
    told = in_a_child(has_memory=True)

    assert len(told) == 2 * len(hostile.LARGE)
    formats = {"jpeg", "png", "gif", "tiff", "webp", "heif", "avif", "ppm"}
    assert {line.split(": ")[1] for line in told} == {"(224, 224, 3)", *formats}


@pytest.mark.process
@linux
def test_want_of_memory_is_no_verdict_on_a_picture():
    """A verdict would be for good: the picture would be left out of its dataset."""
    told = in_a_child(has_memory=False)

    assert not [line for line in told if "InvalidImage" in line]
    assert sum(line.endswith("MemoryError") for line in told) > len(told) / 2


@pytest.mark.parametrize(
    "error", [OSError(errno.EIO, "I/O error"), ImportError("no descriptors"), MemoryError()]
)
def test_an_error_of_the_machine_is_no_verdict_on_a_picture(monkeypatch, error):
    def fail(*_, **__):
        raise error

    data = hostile.saved(hostile.photo(), "PNG")
    monkeypatch.setattr(Image, "open", fail)

    for work in (lambda: decode(data, 8, 8, LIMITS), lambda: check(data, LIMITS)):
        with pytest.raises(type(error)):
            work()


@pytest.mark.parametrize(
    "words", ["Insufficient memory (case 4)", "out of memory error when reading image file"]
)
def test_a_decoder_that_got_no_memory_is_understood(monkeypatch, words):
    def fail(*_, **__):
        raise ValueError(words)

    monkeypatch.setattr(decoding.simplejpeg, "decode_jpeg", fail)

    with pytest.raises(MemoryError):
        decode(hostile.saved(hostile.photo(), "JPEG"), 8, 8, LIMITS)


def pictures_of(image):
    for number in range(1, 9):
        yield hostile.saved(image, "PNG", exif=hostile.orientation(number))
    yield hostile.saved(image, "TIFF", exif=hostile.orientation(6))
    yield hostile.saved(image.convert("RGBA"), "WEBP", lossless=True)
    for mode in ("L", "LA", "P", "1"):
        yield hostile.saved(image.convert(mode), "PNG")
    yield hostile.saved(image.convert("P"), "PNG", transparency=3)
    colours = np.asarray(image, np.float64) * 16
    yield deep_png(colours)
    yield deep_png(np.dstack([colours, colours[..., 0] * 16]))
    for kind in (np.uint16, np.float32, np.int32):
        grey = np.asarray(image.convert("L"), np.float64) * 250.0 - 7
        grey = grey.clip(0, None) if kind == np.uint16 else grey
        yield hostile.saved(Image.fromarray(grey.astype(kind)), "TIFF")


@pytest.mark.parametrize("size", [(90, 80), (200, 70), (60, 210), (101, 300), (9, 300), (300, 9)])
def test_pixels_are_the_same_to_the_last_bit_in_strips(monkeypatch, size):
    """Features that are stored, and golden answers, were computed from the image as a whole."""
    for data in pictures_of(hostile.photo(size[0], size)):
        for height, width in [(32, 32), (24, 50), (50, 24), (120, 40)]:
            monkeypatch.setattr(samples, "BAND_PIXELS", 1 << 30)
            whole = decode(data, height, width, LIMITS)
            monkeypatch.setattr(samples, "BAND_PIXELS", 500)

            assert (decode(data, height, width, LIMITS) == whole).all()


@pytest.mark.parametrize("options", [{}, {"lossless": True}, {"exif": b"Exif\0\0"}])
def test_the_size_of_a_webp_is_known_before_it_is_opened(options):
    data = hostile.saved(hostile.photo(0, (300, 17)), "WEBP", **options)

    assert decoding._webp_size(data) == (300, 17)
    assert decoding._webp_size(data[:14]) == (0, 0)


@pytest.mark.parametrize("size", [(400_000, 3), (3, 400_000)])
def test_very_long_pictures_are_averaged_first(size):
    row = np.linspace(0, 255, max(size)).astype(np.uint8)
    grey = np.tile(row, (3, 1)) if size[0] > 3 else np.tile(row, (3, 1)).T
    data = hostile.saved(Image.fromarray(np.ascontiguousarray(grey)), "PNG", compress_level=1)

    pixels = decode(data, 16, 16, LIMITS).astype(int)

    assert check(data, LIMITS) == ImageInfo("png", *size)
    expected = np.linspace(0, 255, 33)[1::2]
    along = pixels[0, :, 0] if size[0] > 3 else pixels[:, 0, 0]
    assert np.abs(along - expected).max() < 6


def test_a_jpeg_whose_scans_go_over_too_many_pixels_is_refused_before_it_is_decoded(monkeypatch):
    data = hostile.scans(1000, 490)
    monkeypatch.setattr(decoding.simplejpeg, "decode_jpeg", None)

    for work in (lambda: decode(data, 8, 8, LIMITS), lambda: check(data, LIMITS)):
        with pytest.raises(
            InvalidImage, match=r"490 scans of 1000 x 1000 .* 20 times HEADSTART_MAX_IMAGE_PIXELS"
        ) as caught:
            work()
        assert caught.value.verdict == "too large"


def test_what_encoders_make_is_decoded_at_the_largest_size():
    limits = LIMITS._replace(max_pixels=90_000)
    for mode in ("L", "RGB", "CMYK"):
        image = hostile.photo(0, (300, 300)).convert(mode)
        data = hostile.saved(image, "JPEG", progressive=True)

        assert check(data, limits) == ImageInfo("jpeg", 300, 300)
        assert decode(data, 8, 8, limits).shape == (8, 8, 3)


def baseline():
    return hostile.saved(hostile.photo(), "JPEG")


def segment(marker, body):
    return b"\xff" + bytes([marker]) + (len(body) + 2).to_bytes(2, "big") + body


def hidden_scan():
    """Metadata with a scan at the place where a reader looks that takes its marker for a length."""
    return segment(0xE5, bytes(0xFFE5 - 4) + b"\xff\xda\0\x08\x03" + bytes(20))


SCANS = b"\xff\xda" * 7


@pytest.mark.parametrize(
    ("data", "scans"),
    [
        (baseline(), 1),
        (baseline()[:2] + segment(0xE5, SCANS) + baseline()[2:], 1),  # metadata
        (baseline() + SCANS, 1),  # behind the end
        (hostile.scans(40, 30), 30),
        # Where the header is not in order, whatever may be a scan counts.
        (baseline()[:2] + b"\xff\x01" + segment(0xE5, SCANS) + baseline()[2:], 8),
        (baseline()[:2] + b"\xff\x01" + hidden_scan() + SCANS, 8),
        (baseline()[:2] + b"\xff\xd0" + segment(0xE5, SCANS) + baseline()[2:], 8),
        (baseline()[:2] + b"\0" + segment(0xE5, SCANS) + baseline()[2:], 8),
        (baseline()[:2] + b"\xff\xff" + baseline()[2:], 1),
        (b"\xff\xd8\xff", 0),
    ],
)
def test_scans_are_counted_as_the_decoder_goes_over_them(data, scans):
    assert jpeg.count_scans(data) == scans


def test_a_jpeg_whose_colours_come_one_after_the_other_has_several_scans():
    """Such a scan has fewer components than the frame; the decoder then keeps everything."""
    data = bytearray(baseline())
    data[data.find(b"\xff\xda") + 4] = 1

    assert jpeg.count_scans(bytes(data) + SCANS) == 8


def test_large_pictures_are_told_from_small_ones_before_they_are_decoded():
    small = hostile.saved(hostile.photo(), "PNG")
    assert decode(small, 8, 8, LIMITS, wait=False).shape == (8, 8, 3)

    for name in ("progressive.jpg", "8-bit.png", "float.tif", "flat.webp"):
        with pytest.raises(LargeImage):
            decode(hostile.LARGE[name](SIDE), 8, 8, LIMITS, wait=False)


def test_what_decoders_hold_beside_the_pixels_counts():
    """At this size, four bytes for each pixel would be those of a small picture."""
    side = 2100
    assert 4 * side**2 < decoding.SMALL_BYTES < 8 * side**2
    decode(hostile.LARGE["8-bit.png"](side), 8, 8, LIMITS, wait=False)

    for name in ("16-bit-alpha.png", "flat.heic", "flat.avif", "flat.webp"):
        with pytest.raises(LargeImage):
            decode(hostile.LARGE[name](side), 8, 8, LIMITS, wait=False)


def test_of_a_tiff_only_a_strip_is_held_twice(monkeypatch):
    """Else scans would wait for one another that take no more than a PNG of that size."""
    monkeypatch.setattr(decoding, "SMALL_BYTES", 6 * 500 * 500)
    image = hostile.photo(0, (500, 500))

    for small in ({}, {"compression": "tiff_lzw"}):
        decode(hostile.saved(image, "TIFF", **small), 8, 8, LIMITS, wait=False)
    for large in (
        {"exif": hostile.orientation(6)},
        {"compression": "tiff_lzw", "strip_size": 1 << 30},
    ):
        with pytest.raises(LargeImage):
            decode(hostile.saved(image, "TIFF", **large), 8, 8, LIMITS, wait=False)


def test_large_pictures_are_decoded_as_far_as_there_is_room(monkeypatch):
    """Four pictures of 36 MB where there is room for two at a time."""
    limits = LIMITS._replace(max_pixels=SIDE * SIDE * 9 // 16)
    monkeypatch.setattr(decoding, "_check_pixels", lambda *_: None)
    room = Room()
    monkeypatch.setattr(decoding, "_room", room)
    seen = []
    shrink = decoding._shrink

    def shrink_and_look(*arguments):
        seen.append(room._taken)
        return shrink(*arguments)

    monkeypatch.setattr(decoding, "_shrink", shrink_and_look)
    data = hostile.LARGE["8-bit.png"](SIDE)
    threads = [threading.Thread(target=decode, args=(data, 8, 8, limits)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert len(seen) == 4
    assert SIDE * SIDE * 4 <= max(seen) <= limits.max_pixels * decoding.ROOM_BYTES_PER_PIXEL
    assert room._taken == 0


def test_a_picture_that_is_refused_gives_its_room_back(monkeypatch):
    monkeypatch.setattr(decoding, "SMALL_BYTES", 0)
    for name, data in hostile.truncated():
        with suppress(InvalidImage):
            decode(data, 8, 8, LIMITS)
        assert decoding._room._taken == 0, name
