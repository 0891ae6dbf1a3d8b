"""The one way from the bytes of a picture to pixels, in training and serving alike.

JPEG goes through libjpeg-turbo, scaled down while it is decoded; the other formats, and the JPEGs
that it refuses, go through Pillow. Both release the GIL, so threads are enough to use all cores.
"""

import io
import struct
import warnings
from typing import Literal, NamedTuple

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from shared.errors import InvalidImage

FORMATS = ("JPEG", "PNG", "WebP", "GIF", "BMP", "TIFF")

# A progressive JPEG of a few megabytes can ask for a million passes over its pixels.
MAX_JPEG_SCANS = 500

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
_MAGIC = {
    "JPEG": (b"\xff\xd8\xff",),
    "PNG": (b"\x89PNG\r\n\x1a\n",),
    "GIF": (b"GIF87a", b"GIF89a"),
    "TIFF": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
}
_BMP_HEADERS = {12, 16, 40, 52, 56, 64, 108, 124}

# The cap is the caller's and is checked before anything is decoded; Pillow's own only warns.
Image.MAX_IMAGE_PIXELS = None
# What Pillow warns of is either refused here or harmless.
warnings.filterwarnings("ignore", module=r"PIL\.")


class ImageLimits(NamedTuple):
    """The largest picture that is touched: the size of its file, and width x height."""

    max_bytes: int
    max_pixels: int


class ImageInfo(NamedTuple):
    """What a picture is; width and height are those of the upright picture."""

    format: str
    width: int
    height: int


def decode(data: bytes, height: int, width: int, limits: ImageLimits) -> NDArray[np.uint8]:
    """Decode the bytes of a picture and resize it.

    EXIF orientation is applied, transparency is laid on white, 16-bit samples are scaled to 8,
    and of an animation the first frame is taken. The resize is antialiased and does not keep the
    aspect ratio.

    Returns:
        Pixels of shape (height, width, 3), uint8, RGB; writable and contiguous.

    Raises:
        InvalidImage: whatever the bytes are.
        MemoryError: the machine has too little memory now, which says nothing of the picture.
    """
    kind = _recognise(data, limits)
    try:
        image = _open_jpeg(data, height, width, limits) if kind == "JPEG" else None
        image = image or _open_upright(data, kind, limits, (width, height))
        return np.array(image.resize((width, height), Image.Resampling.BILINEAR))
    except (InvalidImage, MemoryError):
        raise
    except Exception as error:
        raise _explain(data, kind, error) from error


def check(data: bytes, limits: ImageLimits) -> ImageInfo:
    """Find out what a picture is and that all of it can be decoded, at the least cost.

    Raises:
        InvalidImage: as `decode`.
    """
    kind = _recognise(data, limits)
    try:
        size = _check_jpeg(data, limits) if kind == "JPEG" else None
        return ImageInfo(kind.lower(), *(size or _check_with_pillow(data, kind, limits)))
    except (InvalidImage, MemoryError):
        raise
    except Exception as error:
        raise _explain(data, kind, error) from error


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
    if kind == "JPEG" and data.count(b"\xff\xda") > MAX_JPEG_SCANS:
        raise InvalidImage("unreadable", f"a JPEG with more than {MAX_JPEG_SCANS} scans")
    return kind


def too_many_bytes(size: int, limits: ImageLimits) -> InvalidImage:
    return InvalidImage(
        "too large", f"{size} bytes; HEADSTART_MAX_IMAGE_BYTES allows {limits.max_bytes}"
    )


def _check_pixels(width: int, height: int, limits: ImageLimits) -> None:
    if width * height > limits.max_pixels:
        raise InvalidImage(
            "too large",
            f"{width} x {height} pixels; HEADSTART_MAX_IMAGE_PIXELS allows {limits.max_pixels}",
        )


def _open_jpeg(data: bytes, height: int, width: int, limits: ImageLimits) -> Image.Image | None:
    """Decode at the smallest of libjpeg's scales that is not below the target; None: refused."""
    size = _jpeg_size(data, limits)
    if size is None:
        return None
    orientation = _jpeg_orientation(data)
    if _swaps_axes(orientation):
        height, width = width, height
    pixels = _turbo(data, min(height, size[0]), min(width, size[1]))
    if pixels is None:
        return None
    return _transpose(Image.fromarray(pixels), orientation)


def _check_jpeg(data: bytes, limits: ImageLimits) -> tuple[int, int] | None:
    """Return the upright width and height; None: libjpeg-turbo refuses the file."""
    size = _jpeg_size(data, limits)
    if size is None or _turbo(data, 1, 1) is None:
        return None
    height, width = size
    return (height, width) if _swaps_axes(_jpeg_orientation(data)) else (width, height)


def _jpeg_size(data: bytes, limits: ImageLimits) -> tuple[int, int] | None:
    """Return height and width as stored; None where Pillow is to read the file."""
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError:
        return None
    _check_pixels(width, height, limits)
    return (height, width) if colours in {"YCbCr", "RGB", "Gray"} else None


def _turbo(data: bytes, min_height: int, min_width: int) -> NDArray[np.uint8] | None:
    """Decode to RGB; None where Pillow is to decide: odd colour spaces, harmless extra bytes."""
    try:
        pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(
            data, min_height=min_height, min_width=min_width
        )
    except ValueError as error:
        message = str(error)
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
    except Exception:  # noqa: BLE001 - broken metadata is no reason to refuse the pixels
        return 1
    return orientation if orientation in range(1, 9) else 1


def _swaps_axes(orientation: int) -> bool:
    return orientation >= 5  # noqa: PLR2004 - EXIF: 5 to 8 are quarter turns and diagonal flips


def _transpose(image: Image.Image, orientation: int) -> Image.Image:
    method = _TURNS.get(orientation)
    return image if method is None else image.transpose(method)


def _open_with_pillow(data: bytes, kind: str, limits: ImageLimits) -> Image.Image:
    image = Image.open(io.BytesIO(data), formats=(kind.upper(),))
    _check_pixels(*image.size, limits)
    if _ends_early(data, kind):
        raise InvalidImage("truncated", f"the {kind} file ends early")
    return image


def _check_with_pillow(data: bytes, kind: str, limits: ImageLimits) -> tuple[int, int]:
    with _open_with_pillow(data, kind, limits) as image:
        image.load()
        width, height = image.size
        return (height, width) if _swaps_axes(_orientation(image)) else (width, height)


def _open_upright(
    data: bytes, kind: str, limits: ImageLimits, size: tuple[int, int]
) -> Image.Image:
    with _open_with_pillow(data, kind, limits) as image:
        image.draft("RGB", (max(size), max(size)))
        image.load()
        # Only now: of a TIFF, loading has already turned the picture and dropped the tag.
        return _transpose(_to_rgb(image), _orientation(image))


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in {"I", "F"} or image.mode.startswith("I;16"):
        return _to_8_bits(image).convert("RGB")
    if not image.has_transparency_data:
        return image.convert("RGB")
    opaque = Image.new("RGBA", image.size, "white")
    opaque.alpha_composite(image.convert("RGBA"))
    return opaque.convert("RGB")


def _to_8_bits(image: Image.Image) -> Image.Image:
    """Scale 16-bit samples by 1/257; stretch 32-bit ones, which have no known range, over 0-255."""
    samples = np.nan_to_num(np.asarray(image, np.float64), posinf=0.0, neginf=0.0)
    low, high = (0.0, 65535.0) if image.mode.startswith("I;16") else (samples.min(), samples.max())
    scaled = (samples - low) * (255.0 / (high - low)) if high > low else samples * 0
    return Image.fromarray(np.rint(scaled).astype(np.uint8))


def _ends_early(data: bytes, kind: str) -> bool:
    """Tell whether a file's own structure reaches beyond its end, where the decoder may not say."""
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
    position = 8
    while position + 12 <= len(data):
        if data[position + 4 : position + 8] == b"IEND":
            return False
        position += 12 + int.from_bytes(data[position : position + 4], "big")
    return True


def _jpeg_header_ends_early(data: bytes) -> bool:
    position = 2
    while position + 4 <= len(data):
        fill, marker, length = struct.unpack_from(">BBH", data, position)
        if fill != 0xFF or marker == 0xDA:  # noqa: PLR2004 - start of scan: the header is complete
            return False
        position += 1 if marker == 0xFF else 2 + length  # noqa: PLR2004 - a fill byte
    return True


def _gif_header_size(data: bytes) -> int:
    """Return the bytes of screen descriptor, palette and one image descriptor."""
    flags = data[10] if len(data) > 10 else 0  # noqa: PLR2004 - where the palette's size stands
    palette = 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0
    return 13 + palette + 10


def _explain(data: bytes, kind: str, error: Exception) -> InvalidImage:
    message = str(error).lower()
    if "truncated" in message or isinstance(error, EOFError) or _ends_early(data, kind):
        return InvalidImage("truncated", f"the {kind} file ends early")
    if isinstance(error, UnidentifiedImageError):
        return InvalidImage("unreadable", f"the {kind} file's header is broken")
    return InvalidImage("unreadable", f"broken {kind} file: {error or type(error).__name__}"[:300])
