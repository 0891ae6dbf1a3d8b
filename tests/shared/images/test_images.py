"""Pictures of all kinds, good and bad, made here and then decoded and checked."""

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from shared.errors import InvalidImage
from shared.images.decoding import ImageInfo, ImageLimits, check, decode
from shared.images.formats import sniff
from tests.support.inputs import hostile_images as hostile

LIMITS = ImageLimits(max_bytes=1 << 20, max_pixels=1_000_000)
SAVED_AS = {
    "jpeg": "JPEG",
    "png": "PNG",
    "webp": "WEBP",
    "gif": "GIF",
    "bmp": "BMP",
    "tiff": "TIFF",
    "heif": "HEIF",
    "avif": "AVIF",
    "ppm": "PPM",
}


def _encode(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, SAVED_AS[kind], **options)
    return buffer.getvalue()


def _photo(height=40, width=50):
    """A smooth picture with a different colour in each corner."""
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    pixels = np.stack([x * 255, y * 255, (1 - x) * (1 - y) * 255], axis=-1)
    return Image.fromarray(pixels.astype(np.uint8))


def _noise(seed=0, size=(40, 50)):
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def _difference(pixels, image):
    expected = np.asarray(image.resize(pixels.shape[1::-1], Image.Resampling.BILINEAR), np.float32)
    return np.abs(pixels - expected).mean()


def _verdict(function, *arguments):
    with pytest.raises(InvalidImage) as caught:
        function(*arguments)
    return caught.value.verdict


@pytest.mark.parametrize("kind", SAVED_AS)
def test_every_format_is_decoded_and_checked(kind):
    data = _encode(_photo(), kind)

    pixels = decode(data, 24, 32, LIMITS)

    assert pixels.shape == (24, 32, 3)
    assert pixels.dtype == np.uint8
    assert pixels.flags.writeable
    assert pixels.flags.c_contiguous
    assert _difference(pixels, _photo()) < 5
    assert check(data, LIMITS) == ImageInfo(kind, 50, 40)


def test_jpegs_look_as_pillow_decodes_them():
    """Scaling while decoding changes next to nothing, whatever the sizes."""
    for height, width in [(900, 700), (300, 400), (225, 224), (224, 224), (100, 90)]:
        data = _encode(_photo(height, width), "jpeg", quality=95)

        assert _difference(decode(data, 224, 224, LIMITS), _photo(height, width)) < 1.5


def test_the_resize_is_antialiased():
    """Single-pixel stripes become an even grey, not stripes again."""
    stripes = np.zeros((512, 512, 3), np.uint8)
    stripes[:, ::2] = 255
    for kind in ("png", "jpeg"):
        pixels = decode(_encode(Image.fromarray(stripes), kind), 50, 50, LIMITS)

        assert np.ptp(pixels.astype(int)) < 24, kind


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "tiff", "heif", "avif"])
def test_exif_orientation_is_applied(kind, orientation):
    upright = _photo(60, 80)
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
    stored = upright.transpose(undo[orientation]) if orientation > 1 else upright
    data = _encode(stored, kind, exif=hostile.orientation(orientation).tobytes())

    assert _difference(decode(data, 60, 80, LIMITS), upright) < 10
    assert check(data, LIMITS)[1:] == (80, 60)


def test_an_orientation_in_xmp_is_applied():
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'

    assert check(_encode(_photo(60, 80), "jpeg", xmp=xmp), LIMITS)[1:] == (60, 80)


@pytest.mark.parametrize("orientation", [0, 9, 99])
def test_an_impossible_orientation_is_left_alone(orientation):
    exif = hostile.orientation(orientation)

    assert check(_encode(_photo(), "jpeg", exif=exif), LIMITS)[1:] == (50, 40)


def test_broken_exif_does_not_refuse_the_picture():
    data = _encode(_photo(), "jpeg", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")

    assert _difference(decode(data, 20, 20, LIMITS), _photo()) < 5


def _png_text(**texts):
    info = PngInfo()
    for name, (text, packed) in texts.items():
        info.add_itxt(name, text, zip=packed)
    return {"pnginfo": info}


@pytest.mark.parametrize(
    "metadata",
    [
        {"icc_profile": np.random.default_rng(0).bytes(1_600_000)},
        {"icc_profile": b"no profile"},
        _png_text(**{"XML:com.adobe.xmp": ("x" * 1_700_000, False)}),
        _png_text(**{"XML:com.adobe.xmp": ("x" * 1_700_000, True)}),
        {"icc_profile": bytes(3_000_000)},
    ],
    ids=["profile", "broken profile", "text", "packed text", "packed profile"],
)
def test_a_png_is_used_whatever_its_metadata(metadata):
    data = _encode(_photo(), "png", **metadata)
    limits = LIMITS._replace(max_bytes=1 << 22)

    assert _difference(decode(data, 20, 20, limits), _photo()) < 5
    assert check(data, limits) == ImageInfo("png", 50, 40)


def _with_segment(jpeg, marker, body, length=None):
    length = len(body) + 2 if length is None else length
    return jpeg[:2] + b"\xff" + bytes([marker]) + length.to_bytes(2, "big") + body + jpeg[2:]


def _mpo(damage):
    """Two pictures in one JPEG, as cameras write them, with another index."""
    data = _encode(_photo(60, 80), "jpeg", exif=hostile.orientation(6))
    index = b"MPF\0II*\0\x08\0\0\0\3\0" + struct.pack("<2HI4s", 0xB000, 7, 4, b"0100")
    index += struct.pack("<2HII", 0xB001, 4, 1, 2) + struct.pack("<2HII", 0xB002, 7, 32, 50)
    index += bytes(4) + struct.pack("<3I2H", 0x030000, 1000, 0, 0, 0) * 2
    return _with_segment(data, 0xE2, damage(index)) + data


@pytest.mark.parametrize("mode", ["RGB", "CMYK"])
@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: _with_segment(data, 0xE0, b"JFIF"),
        lambda data: _with_segment(data, 0xE0, b"JFIF\0"),
        lambda data: _with_segment(data, 0xEE, b"Adobe"),
        lambda data: _with_segment(data, 0xED, b"Photoshop 3.0\x008BIM"),
        lambda data: _with_segment(data, 0xED, b"Photoshop 3.0\x008BIM\4\4"),
        lambda data: _with_segment(data, 0xE2, b"ICC_PROFILE\0"),
        lambda data: _with_segment(data, 0xE2, b"ICC_PROFILE\0\1\2x"),
        lambda data: _with_segment(data, 0xE2, b"MPF\0"),
        lambda data: _with_segment(data, 0xE2, b"MPF\0II*\0\x08\0\0\0\xff\xff"),
        lambda data: _with_segment(data, 0xE2, b"MPF\0" + bytes(range(256))),
        lambda data: _with_segment(data, 0xE1, b"Exif"),
        lambda data: _with_segment(data, 0xFE, b""),
    ],
)
def test_a_jpeg_with_a_short_segment_of_metadata_is_used(spoil, mode):
    plain = _encode(_photo(60, 80).convert(mode), "jpeg", exif=hostile.orientation(6))
    data = spoil(plain)

    assert check(data, LIMITS) == ImageInfo("jpeg", 60, 80)
    pixels = decode(data, 20, 20, LIMITS).astype(int)
    assert np.abs(pixels - decode(plain, 20, 20, LIMITS)).max() <= 8


def test_exif_in_several_segments_is_joined():
    exif = hostile.orientation(6).tobytes()
    parts = exif[:20], exif[:6] + exif[20:]
    data = _encode(_photo(60, 80), "jpeg")
    for part in reversed(parts):
        data = _with_segment(data, 0xE1, part)

    assert check(data, LIMITS) == ImageInfo("jpeg", 60, 80)


@pytest.mark.parametrize(
    "damage",
    [
        lambda index: index,
        lambda index: index[:70],
        lambda index: index.replace(struct.pack("<I", 2), struct.pack("<I", 900)),
        lambda index: index.replace(b"\1\xb0", b"\x09\xb0"),
        lambda index: index.replace(b"\2\xb0", b"\x09\xb0"),
        lambda index: index.replace(struct.pack("<I", 1000), struct.pack("<I", 1 << 31)),
        lambda index: index.replace(b"\0\0\3\0", b"\0\0\3\7"),
    ],
    ids=["sound", "short", "too many", "no number", "no entries", "far away", "another format"],
)
def test_of_an_mpo_the_first_picture_is_used_whatever_its_index(damage):
    data = _mpo(damage)

    assert check(data, LIMITS) == ImageInfo("jpeg", 60, 80)
    upright = _photo(60, 80).transpose(Image.Transpose.ROTATE_270)
    assert _difference(decode(data, 40, 30, LIMITS), upright) < 5


@pytest.mark.parametrize(
    ("kind", "metadata"),
    [
        ("webp", {"exif": b"Exif\0\0II*\0\xff\xff\xff\xff"}),
        ("webp", {"xmp": b"x" * 200_000, "icc_profile": b"none"}),
        ("tiff", {"icc_profile": b"none"}),
        ("tiff", {"tiffinfo": {700: b"<" * 200_000, 34665: 1 << 30}}),
    ],
)
def test_other_formats_are_used_whatever_their_metadata(kind, metadata):
    assert check(_encode(_photo(), kind, **metadata), LIMITS) == ImageInfo(kind, 50, 40)


def test_short_xmp_still_turns_a_png():
    xmp = '<x xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/>'
    data = _encode(_photo(), "png", **_png_text(**{"XML:com.adobe.xmp": (xmp, False)}))

    assert check(data, LIMITS) == ImageInfo("png", 40, 50)


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("mode", ["L", "CMYK", "RGB"])
def test_jpegs_of_every_colour_space(mode, progressive):
    image = _photo().convert(mode)

    data = _encode(image, "jpeg", progressive=progressive, quality=95)

    assert _difference(decode(data, 20, 20, LIMITS), image.convert("RGB")) < 4
    assert check(data, LIMITS) == ImageInfo("jpeg", 50, 40)


@pytest.mark.parametrize("subsampling", ["444", "422", "420", "440", "411"])
def test_jpegs_of_every_subsampling(subsampling):
    pixels = np.ascontiguousarray(_photo())
    data = simplejpeg.encode_jpeg(pixels, quality=95, colorsubsampling=subsampling)

    assert _difference(decode(data, 20, 20, LIMITS), _photo()) < 4


def test_jpegs_with_extra_bytes_are_used():
    """Cameras and tools leave bytes behind and before markers; the picture is whole."""
    data = _encode(_noise(), "jpeg")
    padded = data[:-2] + b"\0" * 200 + data[-2:]

    assert (decode(data + b"x" * 500, 20, 20, LIMITS) == decode(data, 20, 20, LIMITS)).all()
    assert _difference(decode(padded, 20, 20, LIMITS), _noise()) < 20
    assert check(padded, LIMITS) == ImageInfo("jpeg", 50, 40)


@pytest.mark.parametrize("kind", ["png", "webp", "tiff"])
def test_transparency_is_laid_on_white(kind):
    image = Image.new("RGBA", (8, 8), (200, 0, 0, 0))
    image.paste((200, 0, 0, 128), (0, 0, 4, 8))

    pixels = decode(
        _encode(image, kind, **({"lossless": True} if kind == "webp" else {})), 8, 8, LIMITS
    )

    assert pixels[4, 7].tolist() == [255, 255, 255]
    assert np.abs(pixels[4, 0].astype(int) - [227, 127, 127]).max() <= 2


@pytest.mark.parametrize("kind", ["png", "gif"])
def test_a_transparent_palette_colour_is_white(kind):
    image = Image.new("P", (8, 8), 0)
    image.putpalette([0, 0, 255, 255, 0, 0])
    image.paste(1, (4, 0, 8, 8))

    pixels = decode(_encode(image, kind, transparency=0), 8, 8, LIMITS)

    assert pixels[4, 0].tolist() == [255, 255, 255]
    assert pixels[4, 7].tolist() == [255, 0, 0]


def test_a_transparent_grey_is_white():
    image = Image.new("LA", (8, 8), (0, 0))
    image.paste((0, 255), (0, 0, 4, 8))

    pixels = decode(_encode(image, "png"), 8, 8, LIMITS)

    assert pixels[4, 7].tolist() == [255, 255, 255]
    assert pixels[4, 0].tolist() == [0, 0, 0]


def test_transparency_of_many_palette_colours_is_laid_on_white():
    image = Image.new("P", (8, 8), 0)
    image.putpalette([0, 0, 0, 255, 0, 0])
    image.paste(1, (4, 0, 8, 8))

    pixels = decode(_encode(image, "png", transparency=bytes([128, 255])), 8, 8, LIMITS)

    assert np.abs(pixels[4, 0].astype(int) - 127).max() <= 1
    assert pixels[4, 7].tolist() == [255, 0, 0]


def test_a_first_frame_that_covers_a_part_stands_on_white():
    """What the first frame of a GIF leaves open is transparent, if it has a transparent colour."""
    frame = Image.new("P", (4, 4), 0)
    frame.putpalette([0, 0, 255, 0, 255, 0])
    data = bytearray(_encode(frame, "gif", transparency=1, optimize=False))
    data[6:10] = struct.pack("<2H", 8, 8)

    pixels = decode(bytes(data), 8, 8, LIMITS)

    assert pixels[1, 1].tolist() == [0, 0, 255]
    assert pixels[1, 6].tolist() == [255, 255, 255]
    assert pixels[6, 1].tolist() == [255, 255, 255]


def test_ycck_is_decoded_as_cmyk_is():
    """Photoshop stores print colours so, and inverts them."""
    image = _photo().convert("CMYK")
    cmyk = _encode(image, "jpeg", quality=95)
    adobe = cmyk.index(b"Adobe")
    assert cmyk[adobe + 11] == 0
    c, m, y, k = (np.asarray(band, np.float64) for band in image.split())
    luma = 0.299 * c + 0.587 * m + 0.114 * y
    blue, red = 128 + 0.564 * (y - luma), 128 + 0.713 * (c - luma)
    bands = np.stack([luma, blue, red, 255 - k], axis=-1).clip(0, 255).round().astype(np.uint8)
    ycck = bytearray(_encode(Image.fromarray(255 - bands, "CMYK"), "jpeg", quality=95))
    ycck[ycck.index(b"Adobe") + 11] = 2

    difference = decode(bytes(ycck), 20, 20, LIMITS) - decode(cmyk, 20, 20, LIMITS).astype(int)
    assert np.abs(difference).mean() < 3


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P"])
def test_pngs_of_every_mode(mode):
    pixels = decode(_encode(Image.new("RGB", (9, 9), "white").convert(mode), "png"), 5, 5, LIMITS)

    assert (pixels == 255).all()


@pytest.mark.parametrize("kind", ["gif", "webp", "tiff", "png"])
def test_of_many_frames_the_first_is_taken(kind):
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "green", "blue")]

    data = _encode(frames[0], kind, save_all=True, append_images=frames[1:])

    assert np.abs(decode(data, 4, 4, LIMITS)[0, 0].astype(int) - [255, 0, 0]).max() < 5


@pytest.mark.parametrize("size", [(1, 1), (1, 20000), (20000, 1), (3, 2)])
@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "gif"])
def test_extreme_shapes(kind, size):
    if kind == "webp" and max(size) > 16383:
        pytest.skip("WebP has no pictures of this size")
    data = _encode(Image.new("RGB", size, (0, 0, 0)), kind)

    assert decode(data, 16, 24, LIMITS).max() <= 2
    assert check(data, LIMITS) == ImageInfo(kind, *size)


@pytest.mark.parametrize("kind", SAVED_AS)
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"compression": "tiff_lzw"}])
def test_every_truncation_is_found(kind, options):
    """Wherever a file is cut, it is refused, and alike by decode and check."""
    data = _encode(_noise(), kind, **options)
    for end in range(1, len(data), max(1, len(data) // 150)):
        verdict = _verdict(check, data[:end], LIMITS)

        assert verdict in {"truncated", "unreadable"}
        assert verdict == _verdict(decode, data[:end], 8, 8, LIMITS)
        if kind != "tiff" and end > 32:
            assert verdict == "truncated", end


def test_a_missing_end_marker_is_a_truncation():
    for kind in ("jpeg", "png"):
        assert _verdict(check, _encode(_noise(), kind)[:-1], LIMITS) == "truncated"


@pytest.mark.parametrize(("kind", "damage"), [("jpeg", b"\xff\xd9"), ("png", bytes(40))])
def test_corruption_is_found(kind, damage):
    data = bytearray(_encode(_noise(), kind))
    middle = len(data) // 2
    data[middle : middle + len(damage)] = damage

    assert _verdict(check, bytes(data), LIMITS) == "unreadable"
    assert _verdict(decode, bytes(data), 8, 8, LIMITS) == "unreadable"


@pytest.mark.parametrize("data", [b"", b"\0", b"\0" * 1000, b"hello", b"BM and so on", b"GIF89"])
def test_bytes_that_are_no_image_are_unreadable(data):
    assert _verdict(check, data, LIMITS) == "unreadable"
    assert _verdict(decode, data, 8, 8, LIMITS) == "unreadable"


@pytest.mark.parametrize("kind", SAVED_AS)
def test_too_many_pixels_are_refused_before_decoding(kind):
    data = _encode(Image.new("RGB", (60, 50)), kind)

    assert check(data, LIMITS._replace(max_pixels=3000)).width == 60
    for function, arguments in ((check, ()), (decode, (8, 8))):
        with pytest.raises(
            InvalidImage, match=r"60 x 50 .* HEADSTART_MAX_IMAGE_PIXELS .* 2999"
        ) as e:
            function(data, *arguments, LIMITS._replace(max_pixels=2999))
        assert e.value.verdict == "too large"


def test_a_bomb_takes_no_memory():
    """A header that promises four gigapixels is refused before anything is allocated."""
    header = struct.pack(">IIBBBBB", 65535, 65535, 8, 2, 0, 0, 0)
    chunk = (
        struct.pack(">I", 13) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    )
    data = b"\x89PNG\r\n\x1a\n" + chunk + _encode(_photo(), "png")[33:]

    assert _verdict(check, data, LIMITS) == "too large"


def test_too_many_bytes_are_refused():
    data = _encode(_photo(), "png")

    with pytest.raises(InvalidImage, match="HEADSTART_MAX_IMAGE_BYTES") as caught:
        check(data, LIMITS._replace(max_bytes=len(data) - 1))
    assert caught.value.verdict == "too large"


def test_a_jpeg_with_absurdly_many_scans_is_refused():
    data = _encode(_photo(), "jpeg", progressive=True)
    scan = data[data.rfind(b"\xff\xda") : -2]

    assert _verdict(check, data[:-2] + scan * 600 + data[-2:], LIMITS) == "unreadable"


@given(
    st.binary(max_size=300), st.sampled_from([b"", *(_encode(_photo(4, 5), k) for k in SAVED_AS)])
)
def test_any_bytes_raise_only_invalid_image(tail, start):
    for cut in {len(start), len(start) // 2, min(len(start), 30)}:
        _survives(start[:cut] + tail)


@given(st.sampled_from(sorted(SAVED_AS)), st.data())
def test_any_damage_raises_only_invalid_image(kind, draw):
    data = bytearray(_encode(_noise(size=(9, 8)), kind))
    for _ in range(draw.draw(st.integers(1, 4))):
        data[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    _survives(bytes(data))


def _survives(data):
    """Decode and check agree on whether the bytes are a picture, and raise nothing else."""
    outcomes = [_outcome(check, data, LIMITS), _outcome(decode, data, 8, 8, LIMITS)]

    assert (outcomes[0] == "used") == (outcomes[1] == "used"), outcomes
    assert set(outcomes) <= {"used", "unreadable", "truncated", "too large"}


def _outcome(function, *arguments):
    try:
        function(*arguments)
    except InvalidImage as error:
        return error.verdict
    return "used"


def test_sniff_needs_only_the_first_bytes():
    names = {
        "jpeg": "JPEG",
        "png": "PNG",
        "webp": "WebP",
        "gif": "GIF",
        "bmp": "BMP",
        "tiff": "TIFF",
        "heif": "HEIF",
        "avif": "AVIF",
        "ppm": "PPM",
    }
    assert {kind: sniff(_encode(_photo(), kind)[:32]) for kind in SAVED_AS} == names


@pytest.mark.skipif(
    "HEADSTART_TEST_DATA" not in os.environ, reason="HEADSTART_TEST_DATA is not set"
)
def test_real_photographs_are_decoded_as_by_pillow():
    folder = Path(os.environ["HEADSTART_TEST_DATA"], "cats_vs_dogs")
    limits = ImageLimits(32 << 20, 64_000_000)
    for path in sorted(folder.iterdir())[::50]:
        with Image.open(path) as image:
            assert (
                _difference(decode(path.read_bytes(), 224, 224, limits), image.convert("RGB")) < 10
            )
            assert check(path.read_bytes(), limits)[1:] == image.size
