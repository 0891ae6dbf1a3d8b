"""Reads the files of untrusted archives and folders, one after the other, without unpacking them.

A name in an archive is only data here: nothing is ever written under it. Devices and
links are not followed but told; of a folder, a link to a file inside of it is read as that file.
"""

import gzip
import os
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, NamedTuple, cast

from shared.errors import InvalidDataset, TooLarge
from shared.images import sniff
from trainer_service.dataset.records import DatasetLimits

IN_ARCHIVE = "a link, not a file of its own"
NO_FILE = "it is a device, a pipe or another thing that is no plain file"
EXPECTED = "Expected a zip, tar or tar.gz archive, or a folder"

# The extended headers of one tar member may take this much, far more than any real one does.
_MAX_TAR_HEADER = 1 << 20
# Of the central directory of a zip, per file: 46 bytes, its name, and a few extra fields.
_MAX_ZIP_HEADER = 512
_ZIP_HEADER = struct.Struct("<4s24x3H12x")
_LOCAL_HEADER_BYTES = 30
_ZIP64_RECORDS_BYTES = 56 + 20

# A million pictures with names of a megabyte each pack well, and unpack to a terabyte.
MAX_NAME = 1024
_SHOWN_NAME = 100

# Fewer system calls mean fewer times that the reading thread has to wait for the GIL.
_BUFFER = 1 << 20
_ESTIMATE_EVERY = 32

_ZIP_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2}
_OTHER_ARCHIVES = {
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"BZh": "a bzip2 file",
    b"\xfd7zXZ\0": "an xz file",
    b"\x28\xb5\x2f\xfd": "a zstd file",
}


class Source(NamedTuple):
    """An archive or a folder, and what errors call it."""

    path: Path
    name: str


class Entry(NamedTuple):
    """A regular file of a source.

    `name` is a clean relative path for people and labels, `path` the true one below a folder.
    `open` works until the next entry is asked for; None if the file can't be read, or is a `link`
    that is not followed, and `problem` says why.
    """

    name: str
    path: str
    size: int
    open: Callable[[], AbstractContextManager[IO[bytes]]] | None
    problem: str = ""
    link: bool = False


class Step(NamedTuple):
    """How far a source has been read, and the file found there; None for a directory."""

    done: int
    total: int
    entry: Entry | None


def iterate(source: Source, limits: DatasetLimits) -> Iterator[Step]:
    """Yield every file of an archive or a folder.

    `total` is an estimate for tar archives, whose number of files is known only at their end.

    Raises:
        InvalidDataset: it is none, or is broken.
        TooLarge: there are more files or bytes in it than the limits allow.
    """
    path, name = source
    if path.is_dir():
        return _iterate_folder(path, limits)
    if not path.is_file():
        raise InvalidDataset(f"{EXPECTED}. Received: {name!r}, which does not exist")
    return _translate(name, _archive_reader(source)(path, limits))


def clean_name(name: str) -> str:
    """Return a path as it is shown: relative, without `..`, printable, with forward slashes."""
    printable = "".join(c if c.isprintable() else "\ufffd" for c in name)
    parts = printable.encode("utf-8", "replace").decode().replace("\\", "/").split("/")
    return "/".join(part for part in parts if part not in {"", ".", ".."})


def too_many_files(limits: DatasetLimits) -> TooLarge:
    return TooLarge(
        "The dataset has more files than HEADSTART_MAX_DATASET_FILES allows. "
        f"Expected at most {limits.max_files}"
    )


def too_many_bytes(limits: DatasetLimits) -> TooLarge:
    return TooLarge(
        "The dataset is larger, unpacked, than HEADSTART_MAX_DATASET_BYTES allows. "
        f"Expected at most {limits.max_bytes} bytes"
    )


def _archive_reader(source: Source) -> Callable[[Path, DatasetLimits], Iterator[Step]]:
    with source.path.open("rb") as file:
        head = file.read(1024)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _iterate_zip
    if head.startswith(b"\x1f\x8b"):
        return _iterate_tar_gz
    if tarfile.is_tarfile(source.path):
        return _iterate_tar
    raise InvalidDataset(f"{EXPECTED}. Received: {source.name!r}, {_describe(head)}")


def _describe(head: bytes) -> str:
    if not head:
        return "an empty file"
    if kind := sniff(head[:32]):
        return f"a single {kind} image"
    for magic, kind in _OTHER_ARCHIVES.items():
        if head.startswith(magic):
            return kind
    return "which is none of these"


def _translate(name: str, steps: Iterator[Step]) -> Iterator[Step]:
    """Turn what the archive modules raise on broken archives into InvalidDataset."""
    try:
        yield from steps
    except (
        tarfile.TarError,
        zipfile.BadZipFile,
        zlib.error,
        struct.error,
        ArithmeticError,
        EOFError,
        NotImplementedError,
        OSError,
        RecursionError,
        ValueError,
    ) as error:
        reason = str(error) or type(error).__name__
        raise InvalidDataset(f"The archive {name!r} is broken: {reason}") from error


class _Tally:
    """Counts the files and bytes of a source against its limits."""

    def __init__(self, limits: DatasetLimits) -> None:
        self.limits = limits
        self.files = 0
        self.bytes = 0

    def add(self, size: int) -> None:
        self.files += 1
        self.bytes += max(size, 0)
        if self.files > self.limits.max_files:
            raise too_many_files(self.limits)
        if self.bytes > self.limits.max_bytes:
            raise too_many_bytes(self.limits)


def _iterate_folder(folder: Path, limits: DatasetLimits) -> Iterator[Step]:
    tally = _Tally(limits)
    found = []
    for path, problem in _walk(folder):
        size = 0 if problem else path.stat().st_size
        tally.add(size)
        found.append((path.relative_to(folder).as_posix(), size, problem))
    found.sort()
    for done, (name, size, problem) in enumerate(found):
        entry = _link(name, problem) if problem else _folder_entry(folder, name, size)
        yield Step(done, len(found), entry)


def _walk(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield the regular files below a folder; of links that are not followed, say why."""
    root = folder.resolve()
    for directory, folders, names in os.walk(folder):
        for name in [*folders, *names]:
            path = Path(directory, name)
            problem = _unfollowed(path, root) if path.is_symlink() else ""
            if problem or path.is_file():
                yield path, problem


def _unfollowed(link: Path, root: Path) -> str:
    """Return why a link is not followed, nothing if it is: it leads to a file below the root."""
    target = Path(os.path.realpath(link))
    if not target.is_relative_to(root):
        return "a link that leads out of the folder"
    if target.is_dir():
        return "a link to another folder"
    return "" if target.exists() else "a link that leads nowhere"


def _link(name: str, problem: str) -> Entry:
    return Entry(clean_name(_shown(name)), "", 0, None, problem, link=True)


def _folder_entry(folder: Path, name: str, size: int) -> Entry:
    try:
        name.encode()
    except UnicodeEncodeError:
        return Entry(clean_name(name), name, size, None, "its name is not valid UTF-8")
    return Entry(clean_name(name), name, size, lambda: (folder / name).open("rb"))


def _iterate_zip(source: Path, limits: DatasetLimits) -> Iterator[Step]:
    with source.open("rb", _BUFFER) as raw:
        _check_central_directory(raw, limits)
        with zipfile.ZipFile(raw) as archive:
            members = archive.infolist()
            tally = _Tally(limits)
            for member in members:
                tally.add(member.file_size)
            _check_overlaps(members)
            for done, member in enumerate(members):
                yield Step(done, len(members), _zip_entry(archive, member))


def _check_central_directory(file: IO[bytes], limits: DatasetLimits) -> None:
    """Refuse a list of files that would not fit into memory, before zipfile reads all of it."""
    # zipfile's own function, so that both look at the same list whatever else is in the file.
    end = zipfile._EndRecData(file)  # type: ignore[attr-defined] # noqa: SLF001
    if end is None:
        raise zipfile.BadZipFile("it has no list of its files")
    size, position = end[5], end[9] - end[5]
    if end[0] == b"PK\x06\x06":
        position -= _ZIP64_RECORDS_BYTES
    if size > _MAX_ZIP_HEADER * max(limits.max_files, 1024):
        raise too_many_files(limits)
    file.seek(max(position, 0))
    files = 0
    while size >= _ZIP_HEADER.size:
        _, *lengths = _ZIP_HEADER.unpack(file.read(_ZIP_HEADER.size))
        files += 1
        if files > limits.max_files:
            raise too_many_files(limits)
        file.seek(sum(lengths), os.SEEK_CUR)
        size -= _ZIP_HEADER.size + sum(lengths)


def _check_overlaps(members: list[zipfile.ZipInfo]) -> None:
    """Refuse a zip whose files share their bytes, by which kilobytes unpack to terabytes."""
    end = 0
    for member in sorted(members, key=lambda member: member.header_offset):
        if member.header_offset < end:
            raise zipfile.BadZipFile(f"files in it overlap, e.g. {_shown(member.filename)!r}")
        end = member.header_offset + _LOCAL_HEADER_BYTES + member.compress_size


def _zip_entry(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Entry | None:
    kind = stat.S_IFMT(member.external_attr >> 16)
    name, size = member.filename, member.file_size
    if kind == stat.S_IFLNK:
        return _link(name, IN_ARCHIVE)
    if name.endswith("/") or kind == stat.S_IFDIR:
        return None
    if kind not in {0, stat.S_IFREG}:
        return _entry(name, "", size, None, NO_FILE)
    if member.flag_bits & 1:
        return _entry(name, "", size, None, "it is encrypted in the archive")
    if member.compress_type not in _ZIP_METHODS:
        method = f"compression method {member.compress_type} of the archive is not supported"
        return _entry(name, "", size, None, method)
    return _entry(name, "", size, lambda: archive.open(member))


def _entry(
    name: str,
    path: str,
    size: int,
    opener: Callable[[], AbstractContextManager[IO[bytes]]] | None,
    problem: str = "",
) -> Entry:
    if len(name) > MAX_NAME:
        problem = f"its name has {len(name)} characters, {MAX_NAME} are the most"
        return Entry(clean_name(_shown(name)), "", size, None, problem)
    return Entry(clean_name(name), path, size, opener, problem)


def _shown(name: str) -> str:
    """Return a name, or if it is long its beginning and its suffix."""
    if len(name) <= _SHOWN_NAME:
        return name
    suffix = os.path.splitext(name)[1][:8]  # noqa: PTH122 - this is no path
    return f"{name[:_SHOWN_NAME]}…{suffix}"


def _iterate_tar(source: Path, limits: DatasetLimits) -> Iterator[Step]:
    with source.open("rb", _BUFFER) as raw:
        yield from _iterate_members(raw, raw, source.stat().st_size, limits)


def _iterate_tar_gz(source: Path, limits: DatasetLimits) -> Iterator[Step]:
    size = source.stat().st_size
    with source.open("rb", _BUFFER) as raw, gzip.GzipFile(fileobj=raw, mode="rb") as unpacked:
        yield from _iterate_members(unpacked, raw, size, limits)
        # The checksum of the whole stands at the end, behind what tarfile reads.
        while unpacked.read(_BUFFER):
            if unpacked.tell() > limits.max_bytes:
                raise too_many_bytes(limits)


def _iterate_members(
    file: IO[bytes] | gzip.GzipFile, raw: IO[bytes], size: int, limits: DatasetLimits
) -> Iterator[Step]:
    stream = _Metered(file)
    tally = _Tally(limits)
    total = 1
    with tarfile.open(fileobj=stream, mode="r:") as archive:  # type: ignore[call-overload]
        while (member := _next_member(archive, stream)) is not None:
            tally.add(member.size)
            if tally.files % _ESTIMATE_EVERY == 0:
                total = round(tally.files * size / max(raw.tell(), 1))
            done = tally.files - 1
            yield Step(done, max(total, tally.files), _tar_entry(archive, member, stream))
        # tarfile takes a damaged header, and a missing one, for the end of the archive.
        if stream.last.strip(b"\0") or not stream.last:
            raise tarfile.ReadError("it ends early, or a header in it is damaged")


def _next_member(archive: tarfile.TarFile, stream: "_Metered") -> tarfile.TarInfo | None:
    # tarfile remembers every member, for look-ups by name that are not needed here.
    archive.members = []  # type: ignore[attr-defined]
    stream.allow(_MAX_TAR_HEADER)
    return archive.next()


def _tar_entry(
    archive: tarfile.TarFile, member: tarfile.TarInfo, stream: "_Metered"
) -> Entry | None:
    if member.issym() or member.islnk():
        return _link(member.name, IN_ARCHIVE)
    if member.isdir():
        return None
    if not member.isreg() or member.issparse():
        return _entry(member.name, "", member.size, None, NO_FILE)

    def extract() -> AbstractContextManager[IO[bytes]]:
        stream.allow(member.size)
        return cast(IO[bytes], archive.extractfile(member))

    return _entry(member.name, "", member.size, extract)


class _Metered:
    """The part of a file that tarfile needs, with a budget of bytes that it may read.

    Without it a few kilobytes of gzip can make tarfile read gigabytes of headers into memory.
    """

    def __init__(self, file: IO[bytes] | gzip.GzipFile) -> None:
        self._file = file
        self._left = _MAX_TAR_HEADER
        self.last = b""
        self.tell = file.tell
        self.seek = file.seek

    def allow(self, size: int) -> None:
        self._left = size

    def read(self, size: int) -> bytes:
        if size > self._left:
            raise tarfile.ReadError("a header is implausibly large")
        self._left -= size
        self.last = self._file.read(size)
        return self.last
