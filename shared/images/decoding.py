"""Turns the bytes of an image into pixels; training and serving both use this module.

libjpeg-turbo decodes JPEG and scales it down at once, libheif decodes HEIF. Pillow decodes the
other formats, and the JPEGs that libjpeg-turbo refuses. All release the GIL, so threads are enough
to use all cores.
"""

import io
import math
import os
import struct
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Literal, NamedTuple, Self

import numpy as np
import simplejpeg
from numpy.typing import NDArray

# Pillow imports these when it first needs them. If that fails once, it never tries again.
from PIL import (
    AvifImagePlugin,
    Image,
    ImageFile,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,  # noqa: F401
)

from shared.errors import InvalidImage
from shared.images import avif, boxes, heif, jpeg, png, ppm, samples, tiff
from shared.images.formats import FORMATS, HEAD_BYTES, not_read, sniff, unread_format
from shared.images.samples import Picture
from shared.room import Room

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
#: What decoders add for each pixel: libwebp of the whole image, libtiff of a strip of it.
_WEBP_BYTES, _TIFF_STRIP_BYTES = 12, 16
#: What other libraries need for each pixel before the image is handed to Pillow.
_HEIF_BYTES, _AVIF_BYTES = 12, 16
_TIFF_ROWS_PER_STRIP = 278
_OUT_OF_MEMORY = ("out of memory", "insufficient memory", "memory allocation failure")

#: The least side of a copy that `check_with_copy` makes of a JPEG.
COPY_SIDE = 64
#: Of other images a copy is kept if they have no more pixels, and these are shades or colours.
_COPIED_PIXELS = 320 * 320
_PLAIN_MODES = frozenset({"L", "RGB"})

# All threads of the process share it.
_room = Room()

# Many images are decoded at once, each in one thread.
AvifImagePlugin.DEFAULT_MAX_THREADS = 1

# A TIFF may hold a JPEG with many scans; by default libtiff allows a hundred.
os.environ.setdefault("LIBTIFF_JPEG_MAX_ALLOWED_SCAN_NUMBER", str(MAX_JPEG_PASSES))

# The caller's limit is checked before anything is decoded; Pillow's own limit only warns.
Image.MAX_IMAGE_PIXELS = None
# What Pillow warns about is either refused here or harmless.
warnings.filterwarnings("ignore", module=r"PIL\.")


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


class Checked(NamedTuple):
    """An image that can be decoded.

    Attributes:
        info: its format and size.
        copy: a smaller upright copy, of no less than `COPY_SIDE` pixels a side where the image has
            as many; None if the check has made none.
    """

    info: ImageInfo
    copy: Image.Image | None


class LargeImage(Exception):
    """The image is large and would have to wait for room, but the caller does not want to wait."""


def decode(
    data: bytes, height: int, width: int, limits: ImageLimits, *, wait: bool = True
) -> NDArray[np.uint8]:
    """Decode the bytes of an image and resize it.

    The orientation is applied, transparent pixels are laid on white, samples of more than 8 bits
    are stretched as `shared.images.samples` says, and an animation gives its first frame. The
    resize is antialiased and does not keep the aspect ratio.

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
    return check_with_copy(data, limits).info


def check_with_copy(data: bytes, limits: ImageLimits) -> Checked:
    """Check an image as `check` does, and keep what was decoded of it, if that is little.

    Raises:
        InvalidImage, MemoryError, OSError: as `decode`.
    """
    kind = _recognise(data, limits)
    with _Turn(limits) as turn, _explained(data, kind, turn):
        found = _check_jpeg(data, turn) if kind == "JPEG" else None
        size, copy = found or _check_with_pillow(data, kind, turn)
        return Checked(ImageInfo(kind.lower(), *size), copy)


def _recognise(data: bytes, limits: ImageLimits) -> str:
    if not data:
        raise InvalidImage("unreadable", "the file is empty")
    if len(data) > limits.max_bytes:
        raise too_many_bytes(len(data), limits.max_bytes)
    head = data[:HEAD_BYTES]
    if kind := sniff(head):
        return kind
    if unread := unread_format(head):
        raise InvalidImage("unreadable", not_read(unread))
    raise InvalidImage("unreadable", f"not an image in one of the formats {', '.join(FORMATS)}")


def too_many_bytes(size: int, allowed: int) -> InvalidImage:
    """Return the error for a file of `size` bytes where fewer are `allowed`."""
    return InvalidImage("too large", f"{size} bytes; HEADSTART_MAX_IMAGE_BYTES allows {allowed}")


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


def _check_jpeg(data: bytes, turn: _Turn) -> tuple[tuple[int, int], Image.Image] | None:
    """Return the upright size and copy, or None if libjpeg-turbo refuses the file."""
    size = _jpeg_size(data, turn.limits)
    if size is None:
        return None
    least = min(COPY_SIDE, size[0]), min(COPY_SIDE, size[1])
    turn.take(_jpeg_bytes(data, size, least, turn.limits))
    pixels = _decode_with_turbo(data, *least)
    if pixels is None:
        return None
    orientation = _jpeg_orientation(data)
    copy = _transpose(Image.fromarray(pixels), orientation)
    return size[::-1] if _swaps_axes(orientation) else size, copy


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
    scans = jpeg.count_scans(data)
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
    """Return the orientation of a JPEG; 1 if its metadata are broken.

    Pillow does not open the file for it: it would refuse a sound image for broken metadata.
    """
    bare = Image.new("1", (1, 1))
    bare.info.update(jpeg.exif_and_xmp(data).items())
    return _orientation(bare)


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


def _open(data: bytes, kind: str, turn: _Turn) -> Image.Image:
    """Open an image; one that Pillow does not decode itself is loaded, too."""
    if kind == "HEIF":
        return _open_heif(data, turn)
    if kind == "PPM":
        return _open_ppm(data, turn)
    return _open_with_pillow(data, kind, turn)


def _open_heif(data: bytes, turn: _Turn) -> Image.Image:
    image = heif.open_heif(data)
    _check_pixels(*image.size, turn.limits)
    turn.take(image.size[0] * image.size[1] * _HEIF_BYTES)
    return heif.read_pixels(image)


def _open_ppm(data: bytes, turn: _Turn) -> Image.Image:
    header = ppm.read_header(data)
    _check_pixels(header.width, header.height, turn.limits)
    turn.take(header.width * header.height * 4)
    return ppm.read_pixels(data, header)


def _open_with_pillow(data: bytes, kind: str, turn: _Turn) -> ImageFile.ImageFile:
    if kind == "AVIF":
        frame = avif.largest_frame(data)
        _check_pixels(frame.width, frame.height, turn.limits)
        turn.take(frame.most_pixels * _AVIF_BYTES)
        data = avif.without_metadata(data)
    if kind == "TIFF":
        tiff.check(data)
    if kind == "WebP":  # its decoder takes memory as soon as the file is opened
        width, height = _webp_size(data)
        _check_pixels(width, height, turn.limits)
        turn.take(width * height * (4 + _WEBP_BYTES))
    if kind == "PNG":
        data = png.without_large_text(data)
    if kind == "JPEG":
        data = jpeg.without_metadata(data)
    image = Image.open(io.BytesIO(data), formats=(kind.upper(),))
    _check_pixels(*image.size, turn.limits)
    if kind != "AVIF" and _ends_early(data, kind):  # libavif finds it out itself
        raise InvalidImage("truncated", f"the {kind} file ends early")
    return image


def _check_with_pillow(
    data: bytes, kind: str, turn: _Turn
) -> tuple[tuple[int, int], Image.Image | None]:
    with _open(data, kind, turn) as image:
        size = image.size
        turn.take(_pillow_bytes(image, data, (1, 1), turn.limits))
        image.draft(None, (1, 1))  # this changes the size of a JPEG
        image.load()
        if kind == "TIFF":  # load() has turned the image and dropped the tag
            return image.size, None
        orientation = _orientation_of(image, data, kind)
        little = image.mode in _PLAIN_MODES and math.prod(image.size) <= _COPIED_PIXELS
        copy = _transpose(image.copy(), orientation) if little else None
        return size[::-1] if _swaps_axes(orientation) else size, copy


def _decode_with_pillow(data: bytes, kind: str, size: tuple[int, int], turn: _Turn) -> Image.Image:
    with ExitStack() as opened:
        image = opened.enter_context(_open(data, kind, turn))
        turn.take(_pillow_bytes(image, data, size, turn.limits))
        low = None
        if samples.has_low_bytes(image):
            low = opened.enter_context(_open_with_pillow(data, kind, turn))
            samples.low_bytes(low).load()
        image.draft("RGB", (max(size), max(size)))
        image.load()
        # Read the orientation after load(), which turns a TIFF itself and drops the tag.
        orientation = _orientation_of(image, data, kind)
        return _shrink(samples.picture(image, low), orientation, size)


def _orientation_of(image: Image.Image, data: bytes, kind: str) -> int:
    return _jpeg_orientation(data) if kind == "JPEG" else _orientation(image)


def _pillow_bytes(
    image: Image.Image, data: bytes, size: tuple[int, int], limits: ImageLimits
) -> int:
    """Return the bytes that it takes to load an image and to `_shrink` it."""
    if image.format == "JPEG":
        return _jpeg_bytes(data, image.size, size, limits)
    held = image.width * image.height * _BYTES_PER_PIXEL.get(image.mode, 4)
    if samples.has_low_bytes(image):
        held *= 2
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


def _shrink(picture: Picture, orientation: int, size: tuple[int, int]) -> Image.Image:
    """Convert, turn and resize an image; a large one in pieces, to save memory."""
    if max(picture.size) >= 2 * samples.LONG_SIDE:
        picture = samples.plain(_averaged(picture))
    if math.prod(picture.size) <= samples.BAND_PIXELS:
        whole = picture.piece((0, 0, *picture.size))
        return _transpose(whole, orientation).resize(size, _RESAMPLING)
    return _shrink_in_strips(picture, orientation, size)


def _shrink_in_strips(picture: Picture, orientation: int, size: tuple[int, int]) -> Image.Image:
    """Resize along one axis strip by strip, then along the other, bit for bit as Pillow does."""
    swapped = _swaps_axes(orientation)
    upright = picture.size[::-1] if swapped else picture.size
    across, down = upright[0] - size[0], upright[1] - size[1]
    by_rows = down <= max(0, 2 * across)  # the axis that Pillow begins with
    length = upright[by_rows]
    half = Image.new("RGB", (size[0], length) if by_rows else (length, size[1]))
    backwards = orientation in (_ROWS_BACKWARDS if by_rows else _COLUMNS_BACKWARDS)
    step = max(1, samples.BAND_PIXELS // upright[not by_rows])
    for start in range(0, length, step):
        end = min(length, start + step)
        first, last = (length - end, length - start) if backwards else (start, end)
        rows, columns = (0, first, picture.size[0], last), (first, 0, last, picture.size[1])
        strip = _transpose(picture.piece(rows if by_rows != swapped else columns), orientation)
        narrow = (size[0], strip.height) if by_rows else (strip.width, size[1])
        half.paste(strip.resize(narrow, _RESAMPLING), (0, start) if by_rows else (start, 0))
    return half.resize(size, _RESAMPLING)


def _averaged(picture: Picture) -> Image.Image:
    """Make the sides shorter than twice LONG_SIDE by taking the means of neighbours."""
    across, down = (max(1, side // samples.LONG_SIDE) for side in picture.size)
    small = Image.new("RGB", (-(-picture.size[0] // across), -(-picture.size[1] // down)))
    for box in samples.pieces(picture.size, across, down):
        small.paste(picture.piece(box).reduce((across, down)), (box[0] // across, box[1] // down))
    return small


def _ends_early(data: bytes, kind: str) -> bool:
    """Return whether a file is shorter than its structure says, which not every decoder checks."""
    ends_early = _ENDS_EARLY.get(kind)
    return ends_early is not None and ends_early(data)


def _webp_ends_early(data: bytes) -> bool:
    return int.from_bytes(data[4:8], "little") + 8 > len(data)


def _tiff_ends_early(data: bytes) -> bool:
    if data[2:4] not in {b"*\0", b"\0*"}:
        return False
    order: Literal["little", "big"] = "little" if data[:2] == b"II" else "big"
    offset = int.from_bytes(data[4:8], order)
    return offset + 2 + 12 * int.from_bytes(data[offset : offset + 2], order) > len(data)


def _gif_ends_early(data: bytes) -> bool:
    """Return whether the screen descriptor, the palette or an image descriptor is cut off."""
    flags = data[10] if len(data) > 10 else 0  # noqa: PLR2004 - this byte has the palette's size
    palette = 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0
    return len(data) < 13 + palette + 10


_ENDS_EARLY: dict[str, Callable[[bytes], bool]] = {
    "PNG": png.ends_early,
    "WebP": _webp_ends_early,
    "JPEG": jpeg.header_ends_early,
    "GIF": _gif_ends_early,
    "TIFF": _tiff_ends_early,
    "HEIF": boxes.ends_early,
    "AVIF": boxes.ends_early,
}


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
        if kind == "TIFF" and (described := tiff.describe(data)):
            return InvalidImage("unreadable", described)
        return InvalidImage("unreadable", f"the {kind} file's header is broken")
    return InvalidImage(
        "unreadable", f"broken {kind} file: {str(error).strip() or type(error).__name__}"[:300]
    )
