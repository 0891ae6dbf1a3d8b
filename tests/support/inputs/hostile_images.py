"""Pictures as strangers send them: odd ones, broken ones, and ones that mean harm."""

import io
import struct
import zlib
from collections.abc import Callable, Iterator

import numpy as np
import pillow_heif
from PIL import Image, ImageCms

# So that Pillow writes HEIF.
pillow_heif.register_heif_opener()

MAGICS = {
    "jpeg": b"\xff\xd8\xff\xe0",
    "png": b"\x89PNG\r\n\x1a\n",
    "gif": b"GIF89a",
    "webp": b"RIFF\x24\0\0\0WEBPVP8 ",
    "bmp": b"BM\x36\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0",
    "tiff": b"II*\0\x08\0\0\0",
    "heif": b"\0\0\0\x1cftypheic\0\0\0\0mif1heicmiaf",
    "avif": b"\0\0\0\x1cftypavif\0\0\0\0mif1avifmiaf",
    "ppm": b"P6\n40 30\n255\n",
}


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def photo(seed: int = 0, size: tuple[int, int] = (40, 30)) -> Image.Image:
    """A picture of noise, (width, height), RGB: another one for every seed."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def odd() -> Iterator[tuple[str, bytes]]:
    """Yield pictures that are unusual, but can be answered."""
    yield "cmyk.jpg", saved(photo(2).convert("CMYK"), "JPEG")
    yield "grey.jpg", saved(photo(3).convert("L"), "JPEG")
    yield "progressive.jpg", saved(photo(4, (200, 150)), "JPEG", progressive=True)
    steps = np.arange(1200).reshape(30, 40)
    yield "16-bit.png", saved(Image.fromarray(steps.astype(np.uint16)), "PNG")
    yield "16-bit.tif", saved(Image.fromarray(steps.astype(np.uint16)), "TIFF")
    yield "float.tif", saved(Image.fromarray(steps.astype(np.float32) - 7), "TIFF")
    yield "nan.tif", saved(Image.fromarray(np.full((30, 40), np.nan, np.float32)), "TIFF")
    yield "palette.png", saved(photo(5).convert("P"), "PNG", transparency=0)
    yield "palette.gif", saved(photo(6).convert("P"), "GIF", transparency=3)
    yield "alpha.png", saved(photo(7).convert("RGBA"), "PNG")
    yield "alpha.webp", saved(photo(8).convert("RGBA"), "WEBP")
    yield "phone.heic", saved(photo(43), "HEIF", exif=orientation(6).tobytes())
    yield "alpha.heic", saved(photo(44).convert("RGBA"), "HEIF")
    yield "photo.avif", saved(photo(45), "AVIF", exif=orientation(6))
    yield "grey.pgm", saved(photo(46).convert("L"), "PPM")
    yield "one-bit.tif", saved(photo(9).convert("1"), "TIFF", compression="group4")
    frames = [photo(seed) for seed in (10, 11, 12)]
    for kind in ("GIF", "WEBP", "PNG", "TIFF"):
        name = f"animated.{kind.lower()}"
        yield name, saved(frames[0], kind, save_all=True, append_images=frames[1:])
    text = b"k\0\0" + zlib.compress(bytes(1 << 24))
    yield "text-bomb.png", with_chunk(saved(photo(1), "PNG"), b"zTXt", text)
    yield "1x1.png", saved(photo(13, (1, 1)), "PNG")
    yield "1x1.jpg", saved(photo(14, (1, 1)), "JPEG")
    yield "1x20000.png", saved(photo(15, (1, 20_000)), "PNG")
    yield "20000x1.jpg", saved(photo(16, (20_000, 1)), "JPEG")
    for number in range(1, 9):
        yield f"exif-{number}.jpg", saved(photo(20 + number), "JPEG", exif=orientation(number))
    for name, exif in {
        "nonsense": b"Exif\0\0" + bytes(range(256)),
        "endless": b"Exif\0\0II*\0\xff\xff\xff\xff",
        "circular": b"Exif\0\0II*\0\x08\0\0\0\0\0\x08\0\0\0",
        "huge-count": b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\xff\xff\xff\x7f\x06\0\0\0",
        "orientation-99": b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x63\0\0\0",
    }.items():
        yield f"exif-{name}.jpg", saved(photo(hash_of(name)), "JPEG", exif=exif)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    yield "icc.jpg", saved(photo(40), "JPEG", icc_profile=profile)
    yield "icc-nonsense.png", saved(photo(41), "PNG", icc_profile=bytes(range(256)) * 40)
    yield "wrong-suffix.png", saved(photo(42), "JPEG")


def orientation(number: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = number
    return exif


def hash_of(name: str) -> int:
    return zlib.crc32(name.encode())


def bad() -> Iterator[tuple[str, bytes]]:
    """Yield what must be refused."""
    yield "empty.jpg", b""
    yield "text.jpg", b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>"
    yield "zip.png", b"PK\x03\x04" + bytes(100)
    yield "one-byte.png", b"\x89"
    for kind, magic in MAGICS.items():
        yield f"magic-only.{kind}", magic
        yield f"noise.{kind}", magic + np.random.default_rng(0).bytes(3000)
        yield f"zeros.{kind}", magic + bytes(3000)
    yield "bomb.png", png_of(50_000, 50_000)
    yield "bomb-30000.png", png_of(30_000, 30_000, zlib.compress(bytes(1 << 20)))
    yield "widest.png", png_of(2**31 - 1, 2**31 - 1)
    yield "no-width.png", png_of(0, 10)
    yield "bomb.gif", b"GIF89a" + struct.pack("<2H", 65_535, 65_535) + b"\0\0\0" + gif_frame(65_535)
    yield "bomb.bmp", bmp_of(60_000, 60_000)
    yield "negative.bmp", bmp_of(-5, 2**31 - 1)
    yield "bomb.tif", tiff_of(100_000, 100_000)
    yield "scans.jpg", many_scans()
    yield "bomb.jpg", jpeg_of(65_500, 65_500)
    yield "bomb.ppm", b"P6\n60000 60000\n255\n" + bytes(100)
    yield "bomb.heic", with_size(saved(photo(53), "HEIF"), 60_000, 60_000)
    yield "bomb.avif", with_size(saved(photo(54), "AVIF"), 60_000, 60_000)
    yield "frame.heic", with_size(saved(photo(55, (400, 300)), "HEIF"), 8, 8)
    yield "dicom.png", bytes(128) + b"DICM" + bytes(300)


def truncated(step: int = 64) -> Iterator[tuple[str, bytes]]:
    """Yield a picture of every format, cut off at every `step`th byte."""
    image = photo(50, (32, 24))
    for kind, options in {
        "JPEG": {}, "PNG": {}, "GIF": {}, "BMP": {}, "TIFF": {}, "WEBP": {"lossless": True},
        "HEIF": {}, "AVIF": {}, "PPM": {}
    }.items():  # fmt: skip
        whole = saved(image, kind, **options)
        for end in range(step, len(whole), step):
            yield f"cut-{end}.{kind.lower()}", whole[:end]


def flat(mode: str, side: int, kind: str, **options: object) -> bytes:
    return saved(Image.new(mode, (side, side)), kind, **options)


def flat_png(side: int, depth: int, colours: int, channels: int) -> bytes:
    rows = zlib.compress(bytes((side * channels * depth // 8 + 1) * side), 1)
    return png_of(side, side, rows, depth=depth, colours=colours)


#: Small files of `side` x `side` pixels, each of which decoders make a lot of.
LARGE: dict[str, Callable[[int], bytes]] = {
    "flat.jpg": lambda side: flat("RGB", side, "JPEG"),
    "progressive.jpg": lambda side: flat("RGB", side, "JPEG", progressive=True),
    "cmyk.jpg": lambda side: flat("CMYK", side, "JPEG"),
    "palette.png": lambda side: flat("P", side, "PNG", transparency=0),
    "16-bit-grey.png": lambda side: flat_png(side, 16, 0, 1),
    "16-bit-alpha.png": lambda side: flat_png(side, 16, 6, 4),
    "8-bit.png": lambda side: flat_png(side, 8, 2, 3),
    "8-bit-grey-alpha.png": lambda side: flat_png(side, 8, 4, 2),
    "16-bit-row.png": lambda side: png_of(
        side * side, 1, zlib.compress(bytes(2 * side * side + 1), 1), depth=16, colours=0
    ),
    "flat.gif": lambda side: flat("P", side, "GIF"),
    "float.tif": lambda side: flat("F", side, "TIFF", compression="tiff_adobe_deflate"),
    "32-bit.tif": lambda side: flat("I", side, "TIFF", compression="tiff_adobe_deflate"),
    "16-bit.tif": lambda side: flat("I;16", side, "TIFF", compression="tiff_adobe_deflate"),
    "alpha.tif": lambda side: flat("RGBA", side, "TIFF", compression="tiff_adobe_deflate"),
    "flat.webp": lambda side: flat("RGBA", side, "WEBP", lossless=True, method=0),
    "flat.heic": lambda side: flat("RGB", side, "HEIF", enc_params={"preset": "ultrafast"}),
    "flat.avif": lambda side: flat("RGB", side, "AVIF", speed=10),
    "flat.ppm": lambda side: flat("RGB", side, "PPM"),
}


def scans(side: int, number: int) -> bytes:
    """Return a progressive JPEG of black, most of whose scans say nothing."""
    data = saved(Image.new("RGB", (side, side)), "JPEG", progressive=True)
    last = data.rfind(b"\xff\xda")
    more = number - data.count(b"\xff\xda")
    return data[:-2] + data[last:-2] * more + data[-2:]


def png_of(
    width: int, height: int, data: bytes = b"", *, depth: int = 8, colours: int = 2
) -> bytes:
    header = struct.pack(">2I5B", width, height, depth, colours, 0, 0, 0)
    return MAGICS["png"] + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def with_chunk(png: bytes, kind: bytes, data: bytes) -> bytes:
    return png[:33] + chunk(kind, data) + png[33:]


def with_size(boxes: bytes, width: int, height: int) -> bytes:
    """Return a HEIF or AVIF whose boxes tell another size than its data have."""
    changed, position = bytearray(boxes), 0
    while (position := changed.find(b"ispe", position + 1)) > 0:
        changed[position + 8 : position + 16] = struct.pack(">2I", width, height)
    return bytes(changed)


def gif_frame(side: int) -> bytes:
    return b"," + struct.pack("<4HB", 0, 0, side, side, 0) + b"\x08\x01\x00\x00;"


def bmp_of(width: int, height: int) -> bytes:
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + header


def tiff_of(width: int, height: int) -> bytes:
    tags = [(256, 4, width), (257, 4, height), (258, 3, 8), (259, 3, 5), (262, 3, 1)]
    tags += [(273, 4, 8), (277, 3, 1), (278, 4, height), (279, 4, 10)]
    entries = b"".join(struct.pack("<2HII", tag, kind, 1, value) for tag, kind, value in tags)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + bytes(4)


def jpeg_of(width: int, height: int) -> bytes:
    data = bytearray(saved(photo(51), "JPEG"))
    frame = data.find(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">2H", height, width)
    return bytes(data)


def many_scans() -> bytes:
    """A progressive JPEG that asks for ten thousand passes."""
    data = saved(photo(52, (64, 64)), "JPEG", progressive=True)
    last = data.rfind(b"\xff\xda")
    return data[:last] + data[last:-2] * 10_000 + data[-2:]
