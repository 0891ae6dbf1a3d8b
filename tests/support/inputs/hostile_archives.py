"""Archives that mean harm, each written in a second or two."""

import bz2
import gzip
import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path

ZEROS = 10 << 30
_MEGABYTE = bytes(1 << 20)


def zip_of(path: Path, files: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)


def tar_gz_of(path: Path, files: dict[str, bytes]) -> None:
    path.write_bytes(gzip.compress(tarred(files)))


def packed_zeros(size: int = ZEROS) -> bytes:
    """Return megabytes of zeros, deflated: a flushed block can be repeated as it is."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(_MEGABYTE) + packer.flush(zlib.Z_FULL_FLUSH)
    return block * (size // len(_MEGABYTE)) + packer.flush()


def local_header(name: bytes, packed: int, size: int, crc: int = 0, method: int = 8) -> bytes:
    fields = (20, 0, method, 0, 0x21, crc, packed, size, len(name), 0)
    return b"PK\x03\x04" + struct.pack("<5H3L2H", *fields) + name


def directory_entry(
    name: bytes, packed: int, size: int, offset: int, crc: int = 0, method: int = 8
) -> bytes:
    fields = (20, 20, 0, method, 0, 0x21, crc, packed, size, len(name), 0, 0, 0, 0, 0, offset)
    return b"PK\x01\x02" + struct.pack("<6H3L5H2L", *fields) + name


def end_of_zip(files: int, size: int, offset: int) -> bytes:
    fields = (0, 0, min(files, 0xFFFF), min(files, 0xFFFF), size, offset, 0)
    return b"PK\x05\x06" + struct.pack("<4H2LH", *fields)


def write_zip(path: Path, data: bytes, entries: Iterable[bytes]) -> None:
    """Write a zip of the bytes of its files and the entries of its directory."""
    listed = list(entries)
    directory = b"".join(listed)
    path.write_bytes(data + directory + end_of_zip(len(listed), len(directory), len(data)))


def ten_gigabytes_in_a_zip(path: Path) -> None:
    """One picture of 10 GB of zeros, in 10 MB; so large a file needs the fields of zip64."""
    packed, name = packed_zeros(), b"cat.1.png"
    wide = struct.pack("<2H2Q", 1, 16, ZEROS, len(packed))
    whole = 0xFFFFFFFF
    local = local_header(name, whole, whole)[: -len(name) - 2] + struct.pack("<H", 20) + name + wide
    entry = directory_entry(name, whole, whole, 0)
    entry = entry[:30] + struct.pack("<H", 20) + entry[32:] + wide
    write_zip(path, local + packed, [entry])


def lying_zip(path: Path) -> None:
    """Pictures that claim a kilobyte and unpack to a gigabyte."""
    packed, data, entries = packed_zeros(1 << 30), b"", []
    for number in range(3):
        name = b"cat.%d.png" % number
        entries.append(directory_entry(name, len(packed), 1000, len(data)))
        data += local_header(name, len(packed), 1000) + packed
    write_zip(path, data, entries)


def overlapping_zip(path: Path, files: int = 2000, kernel: int = 20 << 20) -> None:
    """Fifield's: each file quotes the header of the next one and then is that one."""
    inner = packed_zeros(kernel)
    names = [b"cat.%d.png" % number for number in range(files)]
    data, size = inner, kernel
    headers, sizes = [], []
    for name in reversed(names):
        header = local_header(name, len(data), size)
        headers.append(header)
        sizes.append((len(data), size))
        quote = b"\0" + struct.pack("<2H", len(header), len(header) ^ 0xFFFF)
        data, size = quote + header + data, size + len(header)
    whole = data[5:]  # the first file's header is quoted by none
    offsets, offset = [], 0
    for header in reversed(headers):
        offsets.append(offset)
        offset += len(header) + 5
    listed = zip(names, reversed(sizes), offsets, strict=True)
    write_zip(path, whole, [directory_entry(n, p, s, o) for n, (p, s), o in listed])


def one_file_listed_often(path: Path, files: int = 5000) -> None:
    """The older kind of overlap: all entries are the same file."""
    packed, name = packed_zeros(20 << 20), b"cat.1.png"
    entry = directory_entry(name, len(packed), 20 << 20, 0)
    write_zip(path, local_header(name, len(packed), 20 << 20) + packed, [entry] * files)


def much_in_little_of_bzip2(path: Path, megabytes: int = 256) -> None:
    """Two files said to hold a thousand bytes, whose few hundred unpack to a lot."""
    packer = bz2.BZ2Compressor()
    packed = b"".join(packer.compress(_MEGABYTE) for _ in range(megabytes)) + packer.flush()
    data, entries = b"", []
    for name in (b"cat/1.png", b"table.csv"):
        entries.append(directory_entry(name, len(packed), 1000, len(data), method=12))
        data += local_header(name, len(packed), 1000, method=12) + packed
    write_zip(path, data, entries)


def nested_zip(path: Path, pictures: dict[str, bytes], depth: int = 6) -> None:
    """Ten archives in each of ten, and so on."""
    inner = zipped({f"cat.{number}.png": _MEGABYTE for number in range(10)})
    for _ in range(depth):
        inner = zipped({f"{number}.zip": inner for number in range(10)})
    zip_of(path, {**pictures, "inner.zip": inner, "cat.100.png": inner})


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def zip_of_many(path: Path, files: int) -> None:
    """A million files and more that are empty, in 60 bytes each."""
    data = local_header(b"1.png", 0, 0, method=0)
    entries = (directory_entry(b"%x.png" % n, 0, 0, 0, method=0) for n in range(files))
    write_zip(path, data, entries)


def tar_of_many(path: Path, files: int) -> None:
    """As many in a tar, which packs to next to nothing."""
    block = tarfile.TarInfo("cat.1.png").tobuf()
    with gzip.open(path, "wb", compresslevel=1) as file:
        for _ in range(0, files, 2000):
            file.write(block * 2000)
        file.write(bytes(1024))


def ten_gigabytes_in_a_tar(path: Path) -> None:
    member = tarfile.TarInfo("cat.1.png")
    member.size = ZEROS
    write_gzip(path, member.tobuf(), packed_zeros())


def zeros_behind_a_tar(path: Path, pictures: dict[str, bytes]) -> None:
    """A tar.gz that has ended, and goes on with 10 GB of zeros."""
    write_gzip(path, tarred(pictures), packed_zeros())


def tarred(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def write_gzip(path: Path, data: bytes, packed: bytes) -> None:
    """Write a gzip of `data` and then of what `packed` unpacks to; its checksum is wrong."""
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    head = packer.compress(data) + packer.flush(zlib.Z_FULL_FLUSH)
    path.write_bytes(b"\x1f\x8b\x08" + bytes(5) + b"\0\x03" + head + packed + bytes(8))


def names_of_a_megabyte(path: Path, pictures: dict[str, bytes], files: int = 100) -> None:
    """Each picture under a name that is longer than the picture, by far."""
    with tarfile.open(path, "w:gz", format=tarfile.PAX_FORMAT, compresslevel=1) as archive:
        for name, data in pictures.items():
            add(archive, name, data)
        for number in range(files):
            add(archive, f"cat/{'x' * (1_000_000)}.{number:03}.png", b"\x89PNG")


def add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))


def header_in_a_bz2(path: Path) -> None:
    """One header of a tar that claims a gigabyte; 64 MB of it follow, in a few hundred bytes."""
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, 1 << 30
    packer, packed = bz2.BZ2Compressor(), b""
    packed += packer.compress(header.tobuf(tarfile.USTAR_FORMAT))
    for _ in range(1 << 6):
        packed += packer.compress(_MEGABYTE)
    path.write_bytes(packed + packer.flush())


def tar_of_records(path: Path, members: int = 12_000) -> None:
    """A tar that says something new of all its members again and again."""
    buffer = io.BytesIO()
    for number in range(members):
        record = f"X{number}".encode()
        line = b"%d X%d=%s\n" % (len(record) * 2 + 5, number, record[1:])
        while int(line.split()[0]) != len(line):
            line = b"%d X%d=%s\n" % (len(line), number, record[1:])
        header = tarfile.TarInfo(f"g{number}")
        header.type, header.size = tarfile.XGLTYPE, len(line)
        buffer.write(header.tobuf(tarfile.USTAR_FORMAT) + line.ljust(512, b"\0"))
        buffer.write(tarfile.TarInfo(f"a/{number}.txt").tobuf(tarfile.USTAR_FORMAT))
    path.write_bytes(gzip.compress(buffer.getvalue() + bytes(1024)))


def tar_of_digits(path: Path, members: int = 12, digits: int = 100_000) -> None:
    """A tar of 1.2 MB whose members belong to users with ids of a hundred thousand digits."""
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        for number in range(members):
            member = tarfile.TarInfo(f"cat.{number}.png")
            member.pax_headers = {"uid": "1" * digits}
            archive.addfile(member)


def pax_header(data: bytes) -> bytes:
    header = tarfile.TarInfo("pax")
    header.type, header.size = tarfile.XHDTYPE, len(data)
    return header.tobuf(tarfile.USTAR_FORMAT) + data + bytes(-len(data) % 512)


def tar_of_holes(path: Path, members: int = 200) -> None:
    """Sparse files with four hundred thousand holes each, in a kilobyte."""
    holes = b"200000\n" + b"0\n" * 400_000
    records = b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n27 GNU.sparse.name=a/1.log\n"
    member = tarfile.TarInfo("a/1.log")
    member.size = len(holes)
    block = pax_header(records) + member.tobuf(tarfile.USTAR_FORMAT) + holes
    block += bytes(-len(holes) % 512)
    path.write_bytes(gzip.compress(block * members + bytes(1024)))


def tar_of_small_records(path: Path, members: int = 200) -> None:
    """Headers of twenty times nine thousand records, in half a kilobyte each."""
    headers = pax_header(b"5 a=\n" * 9_000) * 20
    block = headers + tarfile.TarInfo("a/1.log").tobuf(tarfile.USTAR_FORMAT)
    path.write_bytes(gzip.compress(block * members + bytes(1024)))


def zip_of_wrong_names(path: Path, files: int = 2000) -> None:
    """Files whose own headers say that their names have 60 KB, which are those of others."""
    data, entries = b"", []
    for number in range(files):
        name = b"cat/%d.png" % number
        header = bytearray(local_header(name, 0, 0, method=0))
        header[26:28] = struct.pack("<H", 60_000)
        entries.append(directory_entry(name, 0, 0, len(data), method=0))
        data += bytes(header)
    write_zip(path, data + bytes(60_000), entries)


def zip_of_large_headers(path: Path, part: str, files: int = 3000) -> None:
    """A zip whose list of files has 60 KB for each: of extra fields, of a comment, or of a name."""
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(files):
            name = f"cat/{number}.png"
            member = zipfile.ZipInfo(name if part != "name" else f"{'x' * 60_000}/{name}")
            if part == "extra":
                member.extra = struct.pack("<HH", 0xCAFE, 0) * 15_000
            if part == "comment":
                member.comment = b"x" * 60_000
            archive.writestr(member, b"")


def tar_that_goes_back(path: Path) -> None:
    """A tar whose member has a negative size."""
    header = bytearray(tarfile.TarInfo("cat/1.png").tobuf(tarfile.USTAR_FORMAT))
    header[124:136] = (-512).to_bytes(12, "big", signed=True)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    path.write_bytes(bytes(header) + bytes(1024))
