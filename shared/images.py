"""Turns the bytes of an image into pixels; training and serving both use this module.

libjpeg-turbo decodes JPEG and scales it down at once. Pillow decodes the other formats, and the
JPEGs that libjpeg-turbo refuses. Both release the GIL, so threads are enough to use all cores.
"""

import io
import math
import os
import struct
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Literal, NamedTuple, Self

import numpy as np
import simplejpeg
from numpy.typing import NDArray

# Pillow imports these when it first needs them. If that fails once, it never tries again.
from PIL import (
    Image,
    MpoImagePlugin,  # noqa: F401
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,  # noqa: F401
)

from shared.errors import InvalidImage
from shared.room import Room

FORMATS = ("JPEG", "PNG", "WebP", "GIF", "BMP", "TIFF")

# A progressive JPEG of a few megabytes can ask for a million passes over its pixels.
MAX_JPEG_SCANS = 500
#: Scans times pixels may be this often `max_pixels`. Encoders make 18 scans at most, of CMYK.
MAX_JPEG_PASSES = 20

#: Memory for all images that are being decoded at once, in bytes for each of `max_pixels`. One WebP
#: of that size needs all of it: twice in its decoder, once as bytes, once as Pillow's image.
ROOM_BYTES_PER_PIXEL = 16
#: An image that takes less does not wait: a PNG of up to 8 megapixels, or a WebP of up to 2.
SMALL_BYTES = 32 << 20

_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
#: The EXIF orientations in which the rows, or columns, of the upright image are stored backwards.
_ROWS_BACKWARDS, _COLUMNS_BACKWARDS = {3, 4, 7, 8}, {2, 3, 6, 7}
_RESAMPLING = Image.Resampling.BILINEAR
#: By the mode of an image in Pillow; in all other modes a pixel takes four bytes.
_BYTES_PER_PIXEL = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2, "I;16N": 2}
#: For each row and column: pointers to the rows, and the rows that a decoder compares.
_LINE_BYTES = 16
#: More bytes that decoders hold for each pixel: libwebp of the image, libtiff of a strip of it.
_WEBP_BYTES, _TIFF_STRIP_BYTES = 12, 16
_TIFF_ROWS_PER_STRIP = 278
_OUT_OF_MEMORY = ("out of memory", "insufficient memory", "memory allocation failure")
_MAGIC = {
    "JPEG": (b"\xff\xd8\xff",),
    "PNG": (b"\x89PNG\r\n\x1a\n",),
    "GIF": (b"GIF87a", b"GIF89a"),
    "TIFF": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
}
_BMP_HEADERS = {12, 16, 40, 52, 56, 64, 108, 124}

#: Pixels that are converted at once; to convert all at once would take several times the memory.
BAND_PIXELS = 1 << 19
#: A side of at least twice this length is averaged down before the image is resized.
LONG_SIDE = 1 << 15

_JPEG_TEM, _JPEG_SOS, _JPEG_FILL = 0x01, 0xDA, 0xFF
_JPEG_SEQUENTIAL, _JPEG_PROGRESSIVE = {0xC0, 0xC1, 0xC9}, {0xC2, 0xCA}

# All threads of the process share it.
_room = Room()

# A TIFF may hold a JPEG with many scans; by default libtiff allows a hundred.
os.environ.setdefault("LIBTIFF_JPEG_MAX_ALLOWED_SCAN_NUMBER", str(MAX_JPEG_PASSES))

# The caller's limit is checked before anything is decoded; Pillow's own limit only warns.
Image.MAX_IMAGE_PIXELS = None
# What Pillow warns about is either refused here or harmless.
warnings.filterwarnings("ignore", module=r"PIL\.")


Conversion = Callable[[Image.Image], Image.Image]


#: A chunk of text in a PNG that has more bytes than this is removed.
_PNG_LONG_TEXT = 1 << 16


class ImageLimits(NamedTuple):
    """The largest image that is decoded.

    Attributes:
        max_bytes: the size of its file.
        max_pixels: width x height.
    """

    max_bytes: int
    max_pixels: int


class ImageInfo(NamedTuple):
    """What `check` found out about an image.

    Attributes:
        format: one of `FORMATS` in lower case.
        width: in pixels, after the EXIF orientation is applied.
        height: in pixels, after the EXIF orientation is applied.
    """

    format: str
    width: int
    height: int


class LargeImage(Exception):
    """The image is large and would have to wait for room, but the caller does not want to wait."""


def decode(
    data: bytes, height: int, width: int, limits: ImageLimits, *, wait: bool = True
) -> NDArray[np.uint8]:
    """Decode the bytes of an image and resize it.

    EXIF orientation is applied, transparent pixels are laid on white, 16-bit samples are scaled to
    8 bits, and an animation gives its first frame. The resize is antialiased and does not keep the
    aspect ratio.

    A large image waits until there is memory for it beside the others that are being decoded.

    Args:
        data: the bytes of the file.
        height: height of the result, in pixels.
        width: width of the result, in pixels.
        limits: the largest image that is decoded.
        wait: whether a large image waits for memory; if not, LargeImage is raised at once.

    Returns:
        Pixels of shape (height, width, 3), uint8, RGB; writable and contiguous.

    Raises:
        InvalidImage: the bytes are not an image that can be used. No other error is about them.
        LargeImage: the image is large and `wait` is False.
        MemoryError, OSError: the machine can't decode anything now; the image may be sound.

    Example:
        pixels = decode(path.read_bytes(), 224, 224, ImageLimits(32 << 20, 64_000_000))
    """
    kind = _recognise(data, limits)
    size = (width, height)
    with _Turn(limits, wait=wait) as turn, _explained(data, kind, turn):
        image = _decode_jpeg(data, size, turn) if kind == "JPEG" else None
        return np.array(image or _decode_with_pillow(data, kind, size, turn))


def check(data: bytes, limits: ImageLimits) -> ImageInfo:
    """Return format and size of an image, after checking that all of it can be decoded.

    Raises:
        InvalidImage, MemoryError, OSError: as `decode`.
    """
    kind = _recognise(data, limits)
    with _Turn(limits) as turn, _explained(data, kind, turn):
        size = _check_jpeg(data, turn) if kind == "JPEG" else None
        return ImageInfo(kind.lower(), *(size or _check_with_pillow(data, kind, turn)))


def sniff(head: bytes) -> str | None:
    """Return the format, one of `FORMATS`, that the first 32 bytes of a file announce."""
    for kind, magic in _MAGIC.items():
        if head.startswith(magic):
            return kind
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BMP_HEADERS:
        return "BMP"
    return None


def _recognise(data: bytes, limits: ImageLimits) -> str:
    if not data:
        raise InvalidImage("unreadable", "the file is empty")
    if len(data) > limits.max_bytes:
        raise too_many_bytes(len(data), limits)
    kind = sniff(data[:32])
    if kind is None:
        raise InvalidImage("unreadable", f"not an image in one of the formats {', '.join(FORMATS)}")
    return kind


def too_many_bytes(size: int, limits: ImageLimits) -> InvalidImage:
    """Return the error for a file of `size` bytes, which is more than `limits` allow."""
    return InvalidImage(
        "too large", f"{size} bytes; HEADSTART_MAX_IMAGE_BYTES allows {limits.max_bytes}"
    )


class _Turn:
    """The memory that decoding one image takes from `_room`, and gives back at the end.

    Attributes:
        bytes: the memory that decoding takes, about; more for an image that takes long to decode.
            0 while it is unknown.
    """

    def __init__(self, limits: ImageLimits, *, wait: bool = True) -> None:
        self.limits = limits
        self.bytes = 0
        self._wait = wait
        self._held = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def take(self, size: int) -> None:
        """Wait until there is room for an image that takes `size` bytes, unless it is small."""
        if self.bytes:
            return
        if size > SMALL_BYTES:
            if not self._wait:
                raise LargeImage
            capacity = self.limits.max_pixels * ROOM_BYTES_PER_PIXEL
            self._held.enter_context(_room.taken(size, capacity))
        self.bytes = size


def _check_pixels(width: int, height: int, limits: ImageLimits) -> None:
    if width * height > limits.max_pixels:
        raise InvalidImage(
            "too large",
            f"{width} x {height} pixels; HEADSTART_MAX_IMAGE_PIXELS allows {limits.max_pixels}",
        )


def _decode_jpeg(data: bytes, size: tuple[int, int], turn: _Turn) -> Image.Image | None:
    """Decode at the smallest of libjpeg's scales that is not below the target size.

    Returns None if libjpeg-turbo refuses the file.
    """
    stored = _jpeg_size(data, turn.limits)
    if stored is None:
        return None
    orientation = _jpeg_orientation(data)
    width, height = size[::-1] if _swaps_axes(orientation) else size
    least = min(width, stored[0]), min(height, stored[1])
    turn.take(_jpeg_bytes(data, stored, least, turn.limits))
    pixels = _decode_with_turbo(data, *least)
    if pixels is None:
        return None
    return _transpose(Image.fromarray(pixels), orientation).resize(size, _RESAMPLING)


def _check_jpeg(data: bytes, turn: _Turn) -> tuple[int, int] | None:
    """Return the upright width and height, or None if libjpeg-turbo refuses the file."""
    size = _jpeg_size(data, turn.limits)
    if size is None:
        return None
    turn.take(_jpeg_bytes(data, size, (1, 1), turn.limits))
    if _decode_with_turbo(data, 1, 1) is None:
        return None
    return size[::-1] if _swaps_axes(_jpeg_orientation(data)) else size


def _jpeg_size(data: bytes, limits: ImageLimits) -> tuple[int, int] | None:
    """Return width and height as stored, or None if Pillow has to read the file."""
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError:
        return None
    _check_pixels(width, height, limits)
    return (width, height) if colours in {"YCbCr", "RGB", "Gray"} else None


def _jpeg_bytes(
    data: bytes, size: tuple[int, int], least: tuple[int, int], limits: ImageLimits
) -> int:
    """Return the bytes that decoding a JPEG takes, scaled down to no less than `least`.

    Raises:
        InvalidImage: the JPEG has too many scans, or its scans have too many pixels together.
    """
    width, height = size
    scans = _jpeg_scans(data)
    if scans > MAX_JPEG_SCANS:
        raise InvalidImage("unreadable", f"a JPEG with more than {MAX_JPEG_SCANS} scans")
    if scans * width * height > MAX_JPEG_PASSES * limits.max_pixels:
        raise InvalidImage(
            "too large",
            f"a JPEG with {scans} scans of {width} x {height} pixels; together they may have "
            f"{MAX_JPEG_PASSES} times HEADSTART_MAX_IMAGE_PIXELS, which is {limits.max_pixels}",
        )
    eighths = max(1, *(math.ceil(8 * to / of) for to, of in zip(least, size, strict=True)))
    scaled = width * height * min(eighths, 8) ** 2 // 64
    # Pixels as decoded, as an image, and turned. A large file counts more, since it takes longer.
    single = max(11 * scaled, 4 * len(data))
    # With more than one scan, the decoder keeps all coefficients.
    return single if scans == 1 else 11 * scaled + width * height * max(8, scans)


def _jpeg_scans(data: bytes) -> int:
    """Return how many scans the decoder reads; sometimes more, never less."""
    components, progressive = 0, False
    for marker, position in _jpeg_markers(data):
        if marker in _JPEG_SEQUENTIAL | _JPEG_PROGRESSIVE:
            components, progressive = data[position + 9], marker in _JPEG_PROGRESSIVE
        elif marker == _JPEG_SOS:
            if not progressive and data[position + 4] >= components:
                return 1  # the image is complete, whatever follows
            return data.count(b"\xff\xda", position)
    return data.count(b"\xff\xda")


def _jpeg_markers(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield the markers of the header and their positions, up to the first malformed one."""
    position = 2
    while position + 10 <= len(data):
        fill, marker, length = struct.unpack_from(">BBH", data, position)
        if fill != _JPEG_FILL or marker in {0, _JPEG_TEM} or 0xD0 <= marker <= 0xD8:  # noqa: PLR2004 - RST, SOI
            return
        if marker == _JPEG_FILL:
            position += 1
            continue
        yield marker, position
        position += 2 + length


def _decode_with_turbo(data: bytes, min_width: int, min_height: int) -> NDArray[np.uint8] | None:
    """Decode to RGB; return None if Pillow has to decide (odd colours, harmless extra bytes)."""
    try:
        pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(
            data, min_height=min_height, min_width=min_width
        )
    except ValueError as error:
        message = str(error)
        _check_memory(message)
        if "Premature end of JPEG file" in message:
            raise InvalidImage("truncated", "the JPEG file ends early") from error
        if "premature end of data segment" in message or "bad Huffman code" in message:
            raise InvalidImage("unreadable", f"corrupt JPEG data: {message}") from error
        return None
    return pixels


def _jpeg_orientation(data: bytes) -> int:
    if b"Exif\0\0" not in data and b"tiff:Orientation" not in data:
        return 1
    with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
        return _orientation(image)


def _orientation(image: Image.Image) -> int:
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - broken metadata is no reason to refuse the pixels
        return 1
    return orientation if orientation in range(1, 9) else 1


def _swaps_axes(orientation: int) -> bool:
    return orientation >= 5  # noqa: PLR2004 - EXIF: 5 to 8 are quarter turns and diagonal flips


def _transpose(image: Image.Image, orientation: int) -> Image.Image:
    method = _TURNS.get(orientation)
    return image if method is None else image.transpose(method)


def _open_with_pillow(data: bytes, kind: str, turn: _Turn) -> Image.Image:
    if kind == "WebP":  # its decoder takes memory as soon as the file is opened
        width, height = _webp_size(data)
        _check_pixels(width, height, turn.limits)
        turn.take(width * height * (4 + _WEBP_BYTES))
    if kind == "PNG":
        data = _png_without_large_text(data)
    image = Image.open(io.BytesIO(data), formats=(kind.upper(),))
    _check_pixels(*image.size, turn.limits)
    if _ends_early(data, kind):
        raise InvalidImage("truncated", f"the {kind} file ends early")
    return image


def _png_without_large_text(data: bytes) -> bytes:
    """Return a PNG without its colour profile and without long or packed texts, such as XMP.

    None of them affects the pixels, and Pillow refuses a sound image for a text or a profile of
    more than a megabyte. XMP with the orientation is used only if it is short and not packed.
    """
    kept, start = [], 0
    for position, end in _png_chunks(data):
        if _is_large_text(data, position, end):
            kept.append(data[start:position])
            start = end
    return b"".join([*kept, data[start:]]) if kept else data


def _png_chunks(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield where each chunk begins, and where it ends or would end in a file that is cut off."""
    position = 8
    while position + 12 <= len(data):
        end = position + 12 + int.from_bytes(data[position : position + 4], "big")
        yield position, end
        position = end


def _is_large_text(data: bytes, position: int, end: int) -> bool:
    kind = data[position + 4 : position + 8]
    if kind in {b"iCCP", b"zTXt"}:
        return True
    if kind not in {b"iTXt", b"tEXt"}:
        return False
    # A keyword, a zero, and in an iTXt whether the text is packed.
    flag = data.find(b"\0", position + 8, end) + 1
    is_packed = kind == b"iTXt" and data[flag : flag + 1] == b"\1"
    return is_packed or end - position > _PNG_LONG_TEXT


def _check_with_pillow(data: bytes, kind: str, turn: _Turn) -> tuple[int, int]:
    with _open_with_pillow(data, kind, turn) as image:
        size = image.size
        turn.take(_pillow_bytes(image, data, (1, 1), turn.limits))
        image.draft(None, (1, 1))  # this changes the size of a JPEG
        image.load()
        if kind == "TIFF":  # load() has turned the image and dropped the tag
            return image.size
        return size[::-1] if _swaps_axes(_orientation(image)) else size


def _decode_with_pillow(data: bytes, kind: str, size: tuple[int, int], turn: _Turn) -> Image.Image:
    with _open_with_pillow(data, kind, turn) as image:
        turn.take(_pillow_bytes(image, data, size, turn.limits))
        image.draft("RGB", (max(size), max(size)))
        image.load()
        # Read the orientation after load(), which turns a TIFF itself and drops the tag.
        return _shrink(image, _orientation(image), size)


def _pillow_bytes(
    image: Image.Image, data: bytes, size: tuple[int, int], limits: ImageLimits
) -> int:
    """Return the bytes that it takes to load an image and to `_shrink` it."""
    if image.format in {"JPEG", "MPO"}:
        return _jpeg_bytes(data, image.size, size, limits)
    held = image.width * image.height * _BYTES_PER_PIXEL.get(image.mode, 4)
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        held += _tiff_decoder_bytes(image)
    return held + _LINE_BYTES * (image.width + image.height)


def _tiff_decoder_bytes(image: TiffImagePlugin.TiffImageFile) -> int:
    rows = image.tag_v2.get(_TIFF_ROWS_PER_STRIP)
    if not isinstance(rows, int) or not 0 < rows < image.height:
        rows = image.height  # in tiles, or in one piece
    if image.info.get("compression") == "raw":
        rows = 0
    copy = 0 if image.tag_v2.get(_ORIENTATION, 1) == 1 else 4 * image.height  # to be turned
    return image.width * (rows * _TIFF_STRIP_BYTES + copy)


def _webp_size(data: bytes) -> tuple[int, int]:
    """Return width and height of the canvas, from the header of a WebP file."""
    if data[12:16] == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if data[12:16] == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    width, height = struct.unpack("<2H", data[26:30].ljust(4, b"\0"))
    return width & 0x3FFF, height & 0x3FFF


def _shrink(image: Image.Image, orientation: int, size: tuple[int, int]) -> Image.Image:
    """Convert, turn and resize an image; a large one in pieces, to save memory."""
    to_rgb = _conversion(image)
    if max(image.size) >= 2 * LONG_SIDE:
        image, to_rgb = _averaged(image, to_rgb), _to_rgb
    if image.width * image.height <= BAND_PIXELS:
        return _transpose(to_rgb(image), orientation).resize(size, _RESAMPLING)
    return _shrink_in_strips(image, to_rgb, orientation, size)


def _shrink_in_strips(
    image: Image.Image, to_rgb: Conversion, orientation: int, size: tuple[int, int]
) -> Image.Image:
    """Resize along one axis strip by strip, then along the other, bit for bit as Pillow does."""
    swapped = _swaps_axes(orientation)
    upright = image.size[::-1] if swapped else image.size
    across, down = upright[0] - size[0], upright[1] - size[1]
    by_rows = down <= max(0, 2 * across)  # the axis that Pillow begins with
    length = upright[by_rows]
    half = Image.new("RGB", (size[0], length) if by_rows else (length, size[1]))
    backwards = orientation in (_ROWS_BACKWARDS if by_rows else _COLUMNS_BACKWARDS)
    step = max(1, BAND_PIXELS // upright[not by_rows])
    for start in range(0, length, step):
        end = min(length, start + step)
        first, last = (length - end, length - start) if backwards else (start, end)
        rows, columns = (0, first, image.width, last), (first, 0, last, image.height)
        box = rows if by_rows != swapped else columns
        strip = _transpose(to_rgb(image.crop(box)), orientation)
        narrow = (size[0], strip.height) if by_rows else (strip.width, size[1])
        half.paste(strip.resize(narrow, _RESAMPLING), (0, start) if by_rows else (start, 0))
    return half.resize(size, _RESAMPLING)


def _averaged(image: Image.Image, to_rgb: Conversion) -> Image.Image:
    """Make the sides shorter than twice LONG_SIDE by taking the means of neighbours."""
    across, down = (max(1, side // LONG_SIDE) for side in image.size)
    small = Image.new("RGB", (-(-image.width // across), -(-image.height // down)))
    for box in _pieces(image.size, across, down):
        piece = to_rgb(image.crop(box)).reduce((across, down))
        small.paste(piece, (box[0] // across, box[1] // down))
    return small


def _pieces(
    size: tuple[int, int], across: int = 1, down: int = 1
) -> Iterator[tuple[int, int, int, int]]:
    """Yield boxes that cover an image, their sides multiples of `across` and `down`."""
    width = across * max(1, min(size[0], LONG_SIDE) // across)
    height = down * max(1, BAND_PIXELS // width // down)
    for top in range(0, size[1], height):
        for left in range(0, size[0], width):
            yield left, top, min(left + width, size[0]), min(top + height, size[1])


def _conversion(image: Image.Image) -> Conversion:
    """Return a function that turns the image, or a piece of it, into RGB."""
    if image.mode.startswith("I;16"):
        return partial(_samples_to_rgb, low=0.0, high=65535.0)
    if image.mode in {"I", "F"}:
        ranges = [_range(image.crop(box)) for box in _pieces(image.size)]
        low, high = min(low for low, _ in ranges), max(high for _, high in ranges)
        return partial(_samples_to_rgb, low=low, high=high)
    return _to_rgb


def _to_rgb(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image.convert("RGB")
    opaque = Image.new("RGBA", image.size, "white")
    opaque.alpha_composite(image.convert("RGBA"))
    return opaque.convert("RGB")


def _samples_to_rgb(image: Image.Image, low: float, high: float) -> Image.Image:
    """Map samples from `low` to `high` to 0 to 255, as RGB; equal samples become black."""
    samples = _samples(image)
    scaled = (samples - low) * (255.0 / (high - low)) if high > low else samples * 0
    return Image.fromarray(np.rint(scaled).astype(np.uint8)).convert("RGB")


def _range(image: Image.Image) -> tuple[float, float]:
    samples = _samples(image)
    return float(samples.min()), float(samples.max())


def _samples(image: Image.Image) -> NDArray[np.float64]:
    return np.nan_to_num(np.asarray(image, np.float64), posinf=0.0, neginf=0.0)


def _ends_early(data: bytes, kind: str) -> bool:
    """Return whether a file is shorter than its structure says, which not every decoder checks."""
    if kind == "PNG":
        return _png_ends_early(data)
    if kind == "WebP":
        return int.from_bytes(data[4:8], "little") + 8 > len(data)
    if kind == "JPEG":
        return _jpeg_header_ends_early(data)
    if kind == "GIF":
        return len(data) < _gif_header_size(data)
    if kind == "TIFF" and data[2:4] in {b"*\0", b"\0*"}:
        order: Literal["little", "big"] = "little" if data[:2] == b"II" else "big"
        offset = int.from_bytes(data[4:8], order)
        return offset + 2 + 12 * int.from_bytes(data[offset : offset + 2], order) > len(data)
    return False


def _png_ends_early(data: bytes) -> bool:
    return all(data[start + 4 : start + 8] != b"IEND" for start, _ in _png_chunks(data))


def _jpeg_header_ends_early(data: bytes) -> bool:
    position = 2
    while position + 4 <= len(data):
        fill, marker, length = struct.unpack_from(">BBH", data, position)
        if fill != 0xFF or marker == 0xDA:  # noqa: PLR2004 - start of scan: the header is complete
            return False
        position += 1 if marker == 0xFF else 2 + length  # noqa: PLR2004 - a fill byte
    return True


def _gif_header_size(data: bytes) -> int:
    """Return the size of the screen descriptor, the palette and one image descriptor, in bytes."""
    flags = data[10] if len(data) > 10 else 0  # noqa: PLR2004 - this byte has the palette's size
    palette = 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0
    return 13 + palette + 10


@contextmanager
def _explained(data: bytes, kind: str, turn: _Turn) -> Iterator[None]:
    """Turn a decoder's error about the bytes into InvalidImage; let other errors through."""
    try:
        yield
    except (InvalidImage, LargeImage, MemoryError, ImportError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        _check_memory(str(error))
        invalid = _explain(data, kind, error)
        if invalid.verdict == "unreadable":
            # Not every decoder reports that it got no memory. This raises if there is none.
            bytearray(turn.bytes)
        raise invalid from error


def _check_memory(message: str) -> None:
    """Raise MemoryError if a decoder's message says that there is no memory."""
    if any(words in message.lower() for words in _OUT_OF_MEMORY):
        raise MemoryError(message)


def _explain(data: bytes, kind: str, error: Exception) -> InvalidImage:
    message = str(error).lower()
    if "truncated" in message or isinstance(error, EOFError) or _ends_early(data, kind):
        return InvalidImage("truncated", f"the {kind} file ends early")
    if isinstance(error, UnidentifiedImageError):
        return InvalidImage("unreadable", f"the {kind} file's header is broken")
    return InvalidImage("unreadable", f"broken {kind} file: {error or type(error).__name__}"[:300])
