"""Formats of phones, cameras and tools: they are read, or refused by their names."""

import io
import struct
import threading

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from shared.errors import InvalidImage
from shared.images import avif
from shared.images.decoding import ImageInfo, ImageLimits, check, decode
from shared.images.formats import IMAGE_SUFFIXES, UNREAD_SUFFIXES, sniff, unread_format
from tests.support.inputs import hostile_images as hostile

LIMITS = ImageLimits(max_bytes=1 << 22, max_pixels=1_000_000)


def corners(width=80, height=60):
    """A picture with another colour in each corner."""
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    return Image.fromarray((np.stack([x, y, (1 - x) * (1 - y)], -1) * 255).astype(np.uint8))


def difference(pixels, image):
    expected = np.asarray(image.convert("RGB").resize(pixels.shape[1::-1]), np.float32)
    return np.abs(pixels - expected).mean()


def refused(data, limits=LIMITS):
    """Return verdict and detail of what neither `check` nor `decode` takes."""
    told = []
    for work in (lambda: check(data, limits), lambda: decode(data, 8, 8, limits)):
        with pytest.raises(InvalidImage) as caught:
            work()
        told.append((caught.value.verdict, caught.value.detail))
    assert told[0] == told[1]
    return told[0]


def as_on_a_phone(image, number):
    """Return HEIC as iPhones write it: in tiles, with a thumbnail, turned, and EXIF says so too."""
    exif = hostile.orientation(number).tobytes()
    options = {"tile_size": 64, "thumbnails": [32], "exif": exif, "save_nclx_profile": True}
    return hostile.saved(image, "HEIF", **options)


@pytest.mark.parametrize("number", [1, 3, 6, 8])
def test_heic_of_a_phone_is_turned_once(number):
    stored = {1: 0, 3: Image.ROTATE_180, 6: Image.ROTATE_90, 8: Image.ROTATE_270}[number]
    upright = corners(200, 130)
    data = as_on_a_phone(upright.transpose(stored) if number > 1 else upright, number)

    assert b"grid" in data
    assert (b"irot" in data) == (number > 1)
    assert check(data, LIMITS) == ImageInfo("heif", 200, 130)
    assert difference(decode(data, 65, 100, LIMITS), upright) < 4


def test_the_image_of_a_heic_counts_not_its_thumbnail():
    """Viewers show the image, not the thumbnail."""
    image = corners(200, 130)
    with_thumbnail = hostile.saved(image, "HEIF", thumbnails=[100])

    assert b"thmb" in with_thumbnail
    pixels = decode(with_thumbnail, 20, 30, LIMITS)
    assert (pixels == decode(hostile.saved(image, "HEIF"), 20, 30, LIMITS)).all()


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_heic_of_every_mode(mode):
    image = corners().convert(mode)

    assert difference(decode(hostile.saved(image, "HEIF"), 30, 40, LIMITS), image) < 4


@pytest.mark.parametrize(("mode", "shape"), [("RGB;16", (60, 80, 3)), ("I;16", (60, 80))])
def test_heic_of_more_than_8_bits_keeps_its_white(mode, shape):
    """The file says what white is: nothing is stretched."""
    samples = np.full(shape, 0x8000, "<u2")
    buffer = io.BytesIO()
    pillow_heif.from_bytes(mode=mode, size=(80, 60), data=samples.tobytes()).save(buffer)

    pixels = decode(buffer.getvalue(), 8, 8, LIMITS).astype(int)

    assert np.abs(pixels - 128).max() <= 2


def test_a_transparent_heic_is_laid_on_white():
    image = Image.new("RGBA", (64, 64), (0, 0, 0, 0))

    assert decode(hostile.saved(image, "HEIF"), 8, 8, LIMITS).min() > 250
    assert decode(hostile.saved(image, "AVIF"), 8, 8, LIMITS).min() > 250


@pytest.mark.parametrize("kind", ["HEIF", "AVIF"])
def test_the_first_of_several_images_is_used(kind):
    frames = [Image.new("RGB", (64, 64), colour) for colour in ("red", "lime", "blue")]
    data = hostile.saved(frames[0], kind, save_all=True, append_images=frames[1:])

    assert np.abs(decode(data, 4, 4, LIMITS)[0, 0].astype(int) - [255, 0, 0]).max() < 8


@pytest.mark.parametrize("kind", ["HEIF", "AVIF"])
@pytest.mark.parametrize("metadata", ["exif", "xmp", "icc_profile"])
def test_an_image_is_used_whatever_its_metadata(kind, metadata):
    nonsense = {
        "exif": b"Exif\0\0II*\0\xff\xff\xff\xff",
        "xmp": b"<x tiff:Orientation='6" * 80_000,
        "icc_profile": np.random.default_rng(0).bytes(1_600_000),
    }
    data = hostile.saved(corners(), kind, **{metadata: nonsense[metadata]})

    assert check(data, LIMITS) == ImageInfo(kind.lower(), 80, 60)
    assert difference(decode(data, 30, 40, LIMITS), corners()) < 5


@pytest.mark.parametrize("kind", ["HEIF", "AVIF"])
def test_bytes_behind_the_end_do_no_harm(kind):
    for tail in (b"\n", bytes(7), b"x" * 500):
        assert check(hostile.saved(corners(), kind) + tail, LIMITS).width == 80


@pytest.mark.parametrize("kind", ["HEIF", "AVIF"])
def test_frames_larger_than_the_file_says_are_not_decoded(kind):
    """Otherwise a file of kilobytes could take any amount of memory."""
    limits = LIMITS._replace(max_pixels=100 * 100)
    data = hostile.saved(Image.new("RGB", (400, 300)), kind)

    verdict, detail = refused(hostile.with_size(data, 64, 64), limits)

    assert verdict in {"too large", "unreadable"}
    assert "400" in detail


def test_an_animated_avif_has_its_frames_measured():
    frames = [Image.new("RGB", (400, 300), colour) for colour in ("red", "lime")]
    data = hostile.saved(frames[0], "AVIF", save_all=True, append_images=frames[1:])

    assert data[8:12] == b"avis"
    assert check(data, LIMITS) == ImageInfo("avif", 400, 300)
    verdict, detail = refused(
        hostile.with_size(data, 64, 64), LIMITS._replace(max_pixels=100 * 100)
    )
    assert verdict == "too large"
    assert "400 x 300" in detail


def test_an_avif_whose_exif_is_broken_is_used():
    """Pillow would refuse it."""
    sound = hostile.saved(corners(), "AVIF", exif=b"II*\0\x08\0\0\0" + bytes(6))
    data = sound.replace(b"II*\0", b"none")

    assert data != sound
    assert check(data, LIMITS) == ImageInfo("avif", 80, 60)


def test_the_frames_of_items_and_tracks_of_an_avif_are_measured():
    """A frame of a video may be larger than the others: as large as the bits of its size allow."""
    frames = [Image.new("RGB", (400, 300), colour) for colour in ("red", "lime")]
    video = hostile.saved(frames[0], "AVIF", save_all=True, append_images=frames[1:])
    most = (1 << 9) * (1 << 9)

    assert avif.largest_frame(hostile.saved(frames[0], "AVIF")) == (400, 300, 400 * 300)
    for hidden in (b"iloc", b"stco"):
        assert hidden in video
        assert avif.largest_frame(video.replace(hidden, b"none")) == (400, 300, most)


def test_an_avif_whose_turn_stands_in_its_properties_is_turned_once():
    data = hostile.saved(corners(), "AVIF", exif=hostile.orientation(6))

    assert b"irot" in data
    assert check(data, LIMITS) == ImageInfo("avif", 60, 80)
    assert difference(decode(data, 40, 30, LIMITS), corners().transpose(Image.ROTATE_270)) < 5


def test_heic_is_decoded_by_many_threads_at_once():
    images = [hostile.saved(hostile.photo(seed, (64, 64)), "HEIF") for seed in range(8)]
    alone = [decode(data, 16, 16, LIMITS) for data in images]
    together = [None] * 32

    def work(number):
        together[number] = decode(images[number % 8], 16, 16, LIMITS)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert all((together[number] == alone[number % 8]).all() for number in range(32))


@pytest.mark.parametrize("mode", ["1", "L", "RGB"])
def test_portable_images(mode):
    image = corners().convert(mode)
    data = hostile.saved(image, "PPM")

    assert check(data, LIMITS) == ImageInfo("ppm", 80, 60)
    assert difference(decode(data, 60, 80, LIMITS), image) == 0


@pytest.mark.parametrize("white", [1, 100, 255, 256, 4095, 65535])
@pytest.mark.parametrize("magic", [b"P5", b"P6"])
def test_a_portable_image_says_what_white_is(magic, white):
    samples = [0, white, white // 2, white] * 3
    kind = ">B" if white < 256 else ">H"
    body = b"".join(struct.pack(kind, sample) for sample in samples)
    width = 12 if magic == b"P5" else 4
    data = magic + b"\n# made by hand\n%d 1\n#\n%d\n" % (width, white) + body

    pixels = decode(data, 1, width, LIMITS)
    grey = pixels[0, :, 0] if magic == b"P5" else pixels.ravel()
    assert np.abs(grey - np.array(samples) * 255 / white).max() <= 0.51


def test_samples_beyond_white_are_white():
    pixels = decode(b"P5 3 1 100\n" + bytes([0, 100, 200]), 1, 3, LIMITS)

    assert pixels[0, :, 0].tolist() == [0, 255, 255]


@pytest.mark.parametrize(
    ("data", "verdict"),
    [
        (b"P6\n10 10\n255\n" + bytes(299), "truncated"),
        (b"P5\n0 10\n255\n", "unreadable"),
        (b"P5\n10 10\n70000\n" + bytes(200), "unreadable"),
        (b"P5\n10 10\n0\n" + bytes(200), "unreadable"),
        (b"P5\n10 ten\n255\n" + bytes(200), "unreadable"),
        (b"P4\n9999 9999\n" + bytes(200), "too large"),
        (b"P5\n" + b"#\n" * 100_000, "unreadable"),
    ],
)
def test_bad_portable_images(data, verdict):
    assert refused(data)[0] == verdict


def jpeg2000():
    return hostile.saved(corners(), "JPEG2000")


UNREAD = {
    "DICOM": bytes(128) + b"DICM" + bytes(200),
    "JPEG XL": b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(200),
    "JPEG 2000": jpeg2000(),
    "SVG": b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- a logo -->\n<svg xmlns='x'/>",
    "PSD": b"8BPS\0\1" + bytes(200),
    "EPS": hostile.saved(corners(), "EPS"),
    "PDF": hostile.saved(corners(), "PDF"),
    "PPM as text": b"P3\n1 1\n255\n1 2 3\n",
    "Camera raw": b"II*\0\x10\0\0\0CR\x02\0" + bytes(200),
    "OpenEXR": b"\x76\x2f\x31\x01" + bytes(200),
}


@pytest.mark.parametrize("kind", UNREAD)
def test_a_format_that_is_not_read_is_named_with_what_to_do(kind):
    assert sniff(UNREAD[kind]) is None
    assert refused(UNREAD[kind]) == (
        "unreadable",
        f"{kind} is not read: convert it to PNG or JPEG",
    )


@pytest.mark.parametrize("kind", ["ICO", "TGA", "PCX"])
def test_other_formats_are_refused_with_those_that_are_read(kind):
    verdict, detail = refused(hostile.saved(corners(), kind))

    assert verdict == "unreadable"
    assert "HEIF, AVIF, PPM" in detail


def test_what_a_file_holds_counts_before_its_name():
    png = hostile.saved(corners(), "PNG")

    assert unread_format(png, "scan.dcm") is None
    assert unread_format(UNREAD["DICOM"], "scan.png") == "DICOM"
    assert unread_format(b"without a preamble", "scan.DCM") == "DICOM"
    assert unread_format(b"whatever", "notes.txt") is None
    assert not IMAGE_SUFFIXES & set(UNREAD_SUFFIXES)


@pytest.mark.parametrize(
    ("brands", "kind"),
    [
        ([b"mif1", b"miaf", b"avif"], "AVIF"),
        ([b"msf1", b"avis"], "AVIF"),
        ([b"heic", b"mif1", b"avif"], "HEIF"),
        ([b"MiHE", b"mif1", b"heic"], "HEIF"),
        ([b"mif1", b"miaf"], "HEIF"),
        ([b"isom", b"mp41"], None),
    ],
)
def test_the_brands_of_a_file_of_boxes_tell_its_format(brands, kind):
    major, *others = brands
    box = b"ftyp" + major + bytes(4) + b"".join(others)

    assert sniff((len(box) + 4).to_bytes(4, "big") + box + bytes(100)) == kind


def tiff(*tags, body=bytes(200)):
    """A TIFF with these tags, each a number, a type and a value, and little else."""
    every = {number: (kind, value) for number, kind, value in tags}
    entries = b"".join(
        struct.pack("<2H2I", number, kind, 1, value)
        for number, (kind, value) in sorted(every.items())
    )
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(every)) + entries + bytes(4) + body


PLAIN = [(256, 3, 8), (257, 3, 8), (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, 200)]
PLAIN += [(277, 3, 1), (278, 3, 8), (279, 4, 64)]


@pytest.mark.parametrize(
    "tags",
    [
        [(50706, 1, 0x00000401)],  # DNG
        [(254, 4, 1), (330, 4, 400)],  # the first image is a preview of others: NEF, ARW
        [(262, 3, 32803)],  # behind a colour filter
    ],
    ids=["DNG", "preview", "filter"],
)
def test_a_raw_file_is_refused_although_it_has_a_thumbnail(tags):
    assert check(tiff(*PLAIN), LIMITS) == ImageInfo("tiff", 8, 8)
    verdict, detail = refused(tiff(*PLAIN, *tags))

    assert verdict == "unreadable"
    assert detail == "Camera raw is not read: convert it to PNG or JPEG"


def test_a_raw_file_is_known_by_its_name_too():
    assert unread_format(tiff(*PLAIN), "DSC_0001.NEF") == "Camera raw"
    assert unread_format(tiff(*PLAIN), "scan.tif") is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ([(277, 3, 5)], "a TIFF with 5 bands of 8 bits is not read"),
        ([(258, 3, 64), (339, 3, 3)], "a TIFF with 1 band of 64 bits as floats is not read"),
        ([(258, 3, 24)], "a TIFF with 1 band of 24 bits is not read"),
        ([(258, 3, 64), (339, 3, 6)], "64 bits as complex numbers is not read"),
    ],
)
def test_a_tiff_whose_samples_can_t_be_read_is_described(changes, words):
    verdict, detail = refused(tiff(*PLAIN, *changes))

    assert verdict == "unreadable"
    assert words in detail
    assert "convert it to grey or RGB" in detail
