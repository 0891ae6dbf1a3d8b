"""Which formats of images are read, and what they and others are recognised by."""

from pathlib import PurePosixPath

#: What is read.
FORMATS = ("JPEG", "PNG", "WebP", "GIF", "BMP", "TIFF", "HEIF", "AVIF", "PPM")
#: This many bytes from the beginning of a file are enough to recognise its format.
HEAD_BYTES = 1024

_MAGIC = {
    "JPEG": (b"\xff\xd8\xff",),
    "PNG": (b"\x89PNG\r\n\x1a\n",),
    "GIF": (b"GIF87a", b"GIF89a"),
    "TIFF": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
}
_BMP_HEADERS = {12, 16, 40, 52, 56, 64, 108, 124}
_HEIF_BRANDS = frozenset(
    {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
)
_AVIF_BRANDS = frozenset({b"avif", b"avis"})

CAMERA_RAW = "Camera raw"
_PPM_TEXT = "PPM as text"
#: Formats that are not read: the bytes that their files are recognised by, and where these are.
_UNREAD_MAGIC = (
    ("DICOM", 128, b"DICM"),
    ("JPEG XL", 0, b"\xff\x0a"),
    ("JPEG XL", 0, b"\0\0\0\x0cJXL "),
    ("JPEG 2000", 0, b"\0\0\0\x0cjP  "),
    ("JPEG 2000", 0, b"\xff\x4f\xff\x51"),
    ("PSD", 0, b"8BPS"),
    ("EPS", 0, b"%!PS"),
    ("EPS", 0, b"\xc5\xd0\xd3\xc6"),
    ("PDF", 0, b"%PDF-"),
    ("OpenEXR", 0, b"\x76\x2f\x31\x01"),
    ("Radiance HDR", 0, b"#?RADIANCE"),
    ("FITS", 0, b"SIMPLE  ="),
    ("XCF", 0, b"gimp xcf"),
    (CAMERA_RAW, 8, b"CR\x02"),
    (CAMERA_RAW, 4, b"ftypcrx "),
    (CAMERA_RAW, 0, b"FUJIFILMCCD-RAW"),
    (CAMERA_RAW, 0, b"IIRO"),
    (CAMERA_RAW, 0, b"IIRS"),
    (CAMERA_RAW, 0, b"MMOR"),
    (CAMERA_RAW, 0, b"IIU\0"),
    (CAMERA_RAW, 0, b"FOVb"),
    (CAMERA_RAW, 0, b"\0MRM"),
    (CAMERA_RAW, 6, b"HEAPCCDR"),
)
_UNREAD_NAMES = {
    "DICOM": ".dcm .dicom",
    "JPEG XL": ".jxl",
    "JPEG 2000": ".jp2 .j2k .jpf .jpx .jpc .j2c",
    "SVG": ".svg .svgz",
    "PSD": ".psd .psb",
    "EPS": ".eps",
    "OpenEXR": ".exr",
    "Radiance HDR": ".hdr",
    "FITS": ".fits .fit .fts",
    "XCF": ".xcf",
    "NIfTI": ".nii",
    "TGA": ".tga",
    "ICO": ".ico",
    CAMERA_RAW: ".cr2 .cr3 .crw .nef .nrw .arw .srf .sr2 .dng .raf .orf .rw2 .pef .srw .x3f "
    ".mrw .3fr",
}
#: The formats that are not read, by the suffixes of their files.
UNREAD_SUFFIXES = {
    suffix: kind for kind, suffixes in _UNREAD_NAMES.items() for suffix in suffixes.split()
}
#: The media types of what is not read and whose type is not image/…
UNREAD_MEDIA_TYPES = {
    "application/dicom": "DICOM",
    "application/pdf": "PDF",
    "application/postscript": "EPS",
    "application/fits": "FITS",
    "application/photoshop": "PSD",
}
#: The suffixes of what is read.
IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".gif", ".bmp", ".dib"}
    | {".tif", ".tiff", ".heic", ".heif", ".hif", ".avif", ".ppm", ".pgm", ".pbm", ".pnm"}
)
#: The suffixes of all images, whether they are read or not.
KNOWN_SUFFIXES = IMAGE_SUFFIXES | UNREAD_SUFFIXES.keys()


def sniff(head: bytes) -> str | None:
    """Return the format, one of `FORMATS`, that the first bytes of a file announce.

    `HEAD_BYTES` are enough; of most formats 32 are.
    """
    if _unread_by_magic(head):
        return None
    for kind, magic in _MAGIC.items():
        if head.startswith(magic):
            return kind
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BMP_HEADERS:
        return "BMP"
    if head[4:8] == b"ftyp":
        return _sniff_brands(head)
    return "PPM" if _is_portable(head, b"456") else None


def unread_format(head: bytes, name: str | None = None) -> str | None:
    """Return the name of a file's image format if that is not read, else None.

    Args:
        head: the first `HEAD_BYTES` of the file, which decide.
        name: the file's name, which decides if the bytes do not.
    """
    kind = _unread_by_magic(head)
    if kind is not None or name is None:
        return kind
    named = UNREAD_SUFFIXES.get(PurePosixPath(name).suffix.lower())
    if named is None:
        return None
    found = sniff(head)
    # Many cameras' raw files are TIFFs whose first image is a thumbnail.
    return named if found is None or (found == "TIFF" and named == CAMERA_RAW) else None


def not_read(kind: str) -> str:
    """Return the message for a file in a format that is not read."""
    return f"{kind} is not read: convert it to PNG or JPEG"


def _sniff_brands(head: bytes) -> str | None:
    """Recognise HEIF and AVIF by their brands; both consist of boxes, as videos do."""
    end = int.from_bytes(head[:4], "big")
    major = head[8:12]
    brands = {head[start : start + 4] for start in range(16, min(end, len(head)), 4)}
    if major in _AVIF_BRANDS:
        return "AVIF"
    # "mif1" says neither.
    if brands & _AVIF_BRANDS and (major not in _HEIF_BRANDS or major in {b"mif1", b"msf1"}):
        return "AVIF"
    return "HEIF" if major in _HEIF_BRANDS or brands & _HEIF_BRANDS else None


def _is_portable(head: bytes, kinds: bytes) -> bool:
    """Return whether a file is a PBM, PGM or PPM of one of the kinds, each a digit."""
    return (
        len(head) > 3  # noqa: PLR2004 - "P", a digit, a space, and at least one byte
        and head[0] == ord("P")
        and head[1] in kinds
        and head[2:3].isspace()
        and (head[3:4].isdigit() or head[3:4].isspace() or head[3:4] == b"#")
    )


def _unread_by_magic(head: bytes) -> str | None:
    for kind, offset, magic in _UNREAD_MAGIC:
        if head.startswith(magic, offset):
            return kind
    if _is_portable(head, b"123"):
        return _PPM_TEXT
    return "SVG" if _is_svg(head) else None


def _is_svg(head: bytes) -> bool:
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    return start.startswith((b"<?xml", b"<svg", b"<!")) and b"<svg" in start
