"""The files of a zip archive."""

import bz2
import copy
import io
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, NamedTuple

from trainer_service.datasets.records import DatasetLimits
from trainer_service.datasets.sources.archive import (
    AS_JOINED,
    MORE_BEHIND,
    Archive,
    entry_of,
    link_of,
    member_judged,
)
from trainer_service.datasets.sources.names import shown
from trainer_service.datasets.sources.raw_file import RawFile
from trainer_service.datasets.sources.source import NO_FILE, Entry, Step
from trainer_service.datasets.sources.tally import Tally, too_many_files

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

#: What a zip begins with that was to be split and fitted into one part.
SPLIT_MARK = b"PK00"

# Of the central directory of a zip, per file: 46 bytes, its name, and a few extra fields.
_MAX_ZIP_HEADER = 512
# What the central directory may take even with few files in it.
_MIN_ZIP_DIRECTORY = 1 << 20
_ZIP_HEADER = struct.Struct("<4s24x3H12x")
_ZIP_END_BYTES = 22
# zipfile looks for the end of a zip in no more bytes.
_MOST_BEHIND_ZIP = 1 << 16
_LOCAL_HEADER_BYTES = 30
_ZIP64_RECORDS_BYTES = 56 + 20

#: The bit of a zip's flags that says that a name is UTF-8.
_ZIP_UTF8 = 0x800
#: Unix and macOS.
_ZIP_UNIX = {3, 19}
_OTHER_METHODS = {9: "Deflate64", 14: "LZMA", 93: "Zstandard", 95: "XZ", 98: "PPMd"}
_ZIP_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2}


def iterate_zip(source: Archive, limits: DatasetLimits) -> Iterator[Step]:
    """Yield every file of a zip; see `iterate`."""
    _check_central_directory(source, limits)
    with zipfile.ZipFile(source.file) as archive:
        members = archive.infolist()
        tally = Tally(limits)
        for member in members:
            tally.add(member.file_size)
        _check_positions(members)
        for done, member in enumerate(members):
            yield Step(done, len(members), _zip_entry(archive, member, source.raw))


class _ZipEnd(NamedTuple):
    """What the end of a zip says: of how many files its list is, its bytes, and where it begins.

    `found` is where the list has to begin to end where the end begins, which is where zipfile looks
    for it; `behind` is where the end itself ends.
    """

    files: int
    size: int
    position: int
    found: int
    behind: int


def _end_of_zip(file: IO[bytes]) -> _ZipEnd:
    # zipfile's own function, so that both look at the same list whatever else is in the file.
    end = zipfile._EndRecData(file)  # type: ignore[attr-defined] # noqa: SLF001
    if end is None:
        raise zipfile.BadZipFile("it has no list of its files")
    signature, _, _, _, files, size, position, comment, _, location = end
    found = location - size
    if signature == b"PK\x06\x06":
        found -= _ZIP64_RECORDS_BYTES
    return _ZipEnd(files, size, position, found, location + _ZIP_END_BYTES + comment)


def _check_central_directory(archive: Archive, limits: DatasetLimits) -> None:
    """Refuse a zip whose list of files leaves out some of them, or would not fit into memory.

    zipfile reads all of the list at once, and believes it whatever lies before and behind.
    """
    file, end = archive.file, _end_of_zip(archive.file)
    if end.size > max(_MAX_ZIP_HEADER * limits.max_files, _MIN_ZIP_DIRECTORY):
        raise too_many_files(limits)
    file.seek(max(end.found, 0))
    files, left = 0, end.size
    while left >= _ZIP_HEADER.size:
        _, *lengths = _ZIP_HEADER.unpack(file.read(_ZIP_HEADER.size))
        files += 1
        if files > limits.max_files:
            raise too_many_files(limits)
        file.seek(sum(lengths), os.SEEK_CUR)
        left -= _ZIP_HEADER.size + sum(lengths)
    if end.size > max(_MAX_ZIP_HEADER * files, _MIN_ZIP_DIRECTORY):
        raise zipfile.BadZipFile(
            f"its list of {files} files takes {end.size} bytes, {_MAX_ZIP_HEADER} a file are the "
            "most"
        )
    _check_whole(file, end, files)


def _check_whole(file: IO[bytes], end: _ZipEnd, files: int) -> None:
    """Refuse a zip that holds more than it lists, such as another one in front of it."""
    if end.found != end.position:
        raise zipfile.BadZipFile(
            f"its list of files begins at byte {end.found}, and its end says {end.position}, "
            f"{AS_JOINED}"
        )
    # Many write the lowest 16 bits of the number of files, whatever the rest is.
    if (end.files - files) % (1 << 16):
        raise zipfile.BadZipFile(f"it lists {files} files, and its end says {end.files}")
    file.seek(end.behind)
    if file.read(_MOST_BEHIND_ZIP).strip(b"\0\r\n"):
        raise zipfile.BadZipFile(MORE_BEHIND)


def _check_positions(members: list[zipfile.ZipInfo]) -> None:
    """Refuse a zip whose files share their bytes, by which kilobytes unpack to terabytes.

    So is one refused that begins with a file that is not among its members.
    """
    end = 0
    ordered = sorted(members, key=lambda member: member.header_offset)
    if ordered and ordered[0].header_offset > len(SPLIT_MARK):
        raise zipfile.BadZipFile(f"it begins with a file that it does not list, {AS_JOINED}")
    for member in ordered:
        if member.header_offset < end:
            raise zipfile.BadZipFile(f"files in it overlap, e.g. {shown(member.filename)!r}")
        end = member.header_offset + _LOCAL_HEADER_BYTES + member.compress_size


def _zip_entry(archive: zipfile.ZipFile, member: zipfile.ZipInfo, raw: RawFile) -> Entry | None:
    # What other systems write there has no meaning.
    on_unix = member.create_system in _ZIP_UNIX
    kind = stat.S_IFMT(member.external_attr >> 16) if on_unix else 0
    name, size = _zip_name(member), member.file_size
    if kind == stat.S_IFLNK:
        return link_of(name)
    if name.endswith("/") or kind == stat.S_IFDIR:
        return None
    if kind not in {0, stat.S_IFREG}:
        return entry_of(name, size, None, NO_FILE)
    if member.flag_bits & 1:
        return entry_of(name, size, None, "it is encrypted in the archive")
    if member.compress_type not in _ZIP_METHODS:
        method = _OTHER_METHODS.get(member.compress_type, f"method {member.compress_type}")
        problem = f"its compression in the archive, {method}, is not supported; expected Deflate"
        return entry_of(name, size, None, problem)
    opener = _open_bzip2 if member.compress_type == zipfile.ZIP_BZIP2 else zipfile.ZipFile.open
    return entry_of(name, size, lambda: member_judged(lambda: opener(archive, member), raw))


def _zip_name(member: zipfile.ZipInfo) -> str:
    """Return the name of a file; without the flag for UTF-8 it may be UTF-8 all the same.

    macOS and many libraries set no flag, and zipfile takes such a name for the code page of DOS.
    """
    if member.flag_bits & _ZIP_UTF8:
        return member.filename
    try:
        return member.filename.encode("cp437").decode()
    except UnicodeError:
        return member.filename


@contextmanager
def _open_bzip2(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Iterator[IO[bytes]]:
    """Open a file that bzip2 has packed, to be unpacked no further than it is read.

    zipfile unpacks all that a piece of the archive holds: of four kilobytes that may be gigabytes.
    """
    packed = copy.copy(member)
    packed.compress_type, packed.file_size = zipfile.ZIP_STORED, member.compress_size
    del packed.CRC  # is that of what is unpacked
    with archive.open(packed) as stored, bz2.BZ2File(stored) as file:
        yield io.BufferedReader(_Unpacked(file, member))


class _Unpacked(io.RawIOBase):
    """What a file of a zip is said to hold, and no more, checked at its end as zipfile does it."""

    def __init__(self, file: bz2.BZ2File, member: zipfile.ZipInfo) -> None:
        super().__init__()
        self._file = file
        self._member = member
        self._left = member.file_size
        self._crc = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        data = self._file.read(min(len(memoryview(buffer)), self._left))
        memoryview(buffer)[: len(data)] = data
        self._left -= len(data)
        self._crc = zlib.crc32(data, self._crc)
        if not data and self._crc != self._member.CRC:
            raise zipfile.BadZipFile(f"Bad CRC-32 for file {shown(self._member.filename)!r}")
        return len(data)
