"""Reads the files of untrusted archives and folders, one after the other, without unpacking them.

A name in an archive is only data here: nothing is ever written under it. Devices and
links are not followed but reported; in a folder, a link to a file of that folder is read.

What is wrong with a file is a verdict on it, `Damaged`, or on its archive, InvalidDataset. What
the system could not do just now, such as read from a disk that fails, says nothing of either and
is raised as it is.
"""

import bz2
import copy
import errno
import gzip
import io
import os
import stat
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, BinaryIO, NamedTuple, cast

from shared.errors import TooLarge
from shared.files import is_fault_of_the_file, open_below, open_file, open_folder
from shared.image_formats import sniff
from trainer_service.datasets.hang_guard import HangGuard
from trainer_service.datasets.records import MAX_FOLDERS, MAX_NAME, DatasetLimits
from trainer_service.errors import InvalidDataset

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

IN_ARCHIVE = "a link, not a file of its own"
NO_FILE = "it is a device, a pipe or another thing that is no plain file"
_SPARSE = "it is packed as a sparse file; pack it without the option --sparse"
EXPECTED = "Expected a zip, tar or tar.gz archive, or a folder"

# The extended headers of one tar member may take this much, far more than any real one does.
_MAX_TAR_HEADER = 1 << 20
# Python before 3.11.10 and 3.12.6 looks through a header in time quadratic in its longest run of
# digits (CVE-2024-6232).
_MAX_TAR_DIGITS = 128
_TOO_MANY_DIGITS = b"0" * (_MAX_TAR_DIGITS + 1)
_DIGITS_TO_ZEROS = bytes.maketrans(b"123456789", b"0" * 9)
# The headers of a real member have a dozen records. Each of these ends with a new line.
_MAX_TAR_RECORDS = 10_000
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

_SHOWN_NAME = 100
_SHOWN_REASON = 200

_AS_JOINED = "as where two archives were joined: pack them as one"
_MORE_BEHIND = f"more follows behind its end, {_AS_JOINED}"

# Fewer system calls mean fewer times that the reading thread has to wait for the GIL.
_BUFFER = 1 << 20
_ESTIMATE_EVERY = 32

# What the archive modules raise on what is broken. OSError is what bz2, gzip and a jump out of the
# file raise; what the system raises while the archive is read is kept apart, by `_Raw`.
_FORMAT_ERRORS = (
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
)

#: The bit of a zip's flags that says that a name is UTF-8.
_ZIP_UTF8 = 0x800
#: Unix and macOS.
_ZIP_UNIX = {3, 19}
#: What a zip begins with that was to be split and fitted into one part.
_SPLIT_MARK = b"PK00"
_OTHER_METHODS = {9: "Deflate64", 14: "LZMA", 93: "Zstandard", 95: "XZ", 98: "PPMd"}
_ZIP_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2}
_OTHER_ARCHIVES = {
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"BZh": "a bzip2 file",
    b"\xfd7zXZ\0": "an xz file",
    b"\x28\xb5\x2f\xfd": "a zstd file",
    b"\x1f\x8b": "a gzip file",
    b"PK\x03\x04": "a zip archive",
    b"PK\x07\x08": "a part of a zip archive that was split",
}


class Damaged(Exception):
    """A verdict on a file of a source; `vanished` if it was there when its folder was listed."""

    def __init__(self, detail: str, *, vanished: bool = False) -> None:
        super().__init__(detail)
        self.vanished = vanished


class Source(NamedTuple):
    """An archive or a folder.

    `name` is what errors call it; from `root`, which is trusted, it is found without following
    links under `path`, a relative one; empty for the root itself.
    """

    root: Path
    path: str
    name: str
    is_folder: bool

    @classmethod
    def find(cls, path: Path, name: str, root: Path) -> "Source":
        """Look at what lies at `path`, below `root`.

        Raises:
            InvalidDataset: neither a file nor a folder lies there.
            OSError: it can't be looked at now.
        """
        try:
            mode = path.stat().st_mode
        except OSError as error:
            if not is_fault_of_the_file(error):
                raise
            raise _not_opened(name, error) from None
        if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
            raise InvalidDataset(f"{EXPECTED}. Received: {name!r}; {NO_FILE}")
        below = path.relative_to(root).as_posix()
        return cls(root, "" if below == "." else below, name, stat.S_ISDIR(mode))


class Entry(NamedTuple):
    """A regular file of a source.

    `name` is a clean relative path for people and labels, `path` the true one below a folder.
    `open` works until the next entry is asked for, and it and what is read raise Damaged; None if
    the file can't be read, or is a `link` that is not followed, or a `folder` that is not read, and
    `problem` says why.
    """

    name: str
    path: str
    size: int
    open: Callable[[], AbstractContextManager[IO[bytes]]] | None
    problem: str = ""
    link: bool = False
    folder: bool = False


class Step(NamedTuple):
    """How far a source has been read, and the file found there; None for a directory."""

    done: int
    total: int
    entry: Entry | None


def iterate(source: Source, limits: DatasetLimits, hang_guard: HangGuard) -> Iterator[Step]:
    """Yield every file of an archive or a folder.

    `total` is an estimate for tar archives, whose number of files is known only at their end.

    Raises:
        InvalidDataset: it is not an archive, is broken, or has a folder that may not be read.
        TooLarge: there are more files or bytes in it than the limits allow.
        OSError: it can't be read now.
    """
    if source.is_folder:
        return _iterate_folder(source, limits, hang_guard)
    return _iterate_archive(source, limits, hang_guard)


def clean_name(name: str) -> str:
    """Return a path as it is shown: relative, without `..`, printable, with forward slashes.

    Its letters are composed (Unicode's NFC), as macOS writes `é` as two and others as one.
    """
    name = unicodedata.normalize("NFC", name)
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


class _Raw(io.RawIOBase):
    """A file of which is read a piece at a time, and remembered if the system failed to."""

    def __init__(self, file: IO[bytes], name: str, hang_guard: HangGuard) -> None:
        super().__init__()
        self.failed: OSError | None = None
        self._file = cast(io.BufferedReader, file).raw
        self._name = name
        self._hang_guard = hang_guard

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def readinto(self, buffer: "WriteableBuffer") -> int | None:
        with self._hang_guard.system_call(self._name):
            try:
                return self._file.readinto(memoryview(buffer)[:_BUFFER])
            except OSError as error:
                self.failed = OSError(error.errno, error.strerror, self._name)
                raise self.failed from error


def _iterate_archive(
    source: Source, limits: DatasetLimits, hang_guard: HangGuard
) -> Iterator[Step]:
    try:
        with hang_guard.system_call(source.name):
            file = open_below(source.root, source.path)
    except PermissionError as error:
        raise _not_opened(source.name, error) from None
    with file:
        raw = _Raw(file, source.name, hang_guard)
        with io.BufferedReader(raw, _BUFFER) as buffered, _archive_judged(source.name, raw):
            archive = _Archive(source.name, buffered, raw, os.fstat(file.fileno()).st_size)
            yield from _archive_reader(archive)(archive, limits)
            if raw.failed is not None:
                raise raw.failed  # whatever the archive modules made of it


class _Archive(NamedTuple):
    """An open archive, its name for people, and its size in bytes."""

    name: str
    file: "io.BufferedReader[_Raw]"
    raw: _Raw
    size: int


def _archive_reader(archive: _Archive) -> Callable[[_Archive, DatasetLimits], Iterator[Step]]:
    head = archive.file.read(1024)
    archive.file.seek(0)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06", _SPLIT_MARK + b"PK\x03\x04")):
        return _iterate_zip
    if head.startswith(b"\x1f\x8b"):
        return _iterate_tar_gz
    if _is_tar(head):
        return _iterate_tar
    raise InvalidDataset(f"{EXPECTED}. Received: {archive.name!r}, {_describe(head)}")


def _is_tar(head: bytes) -> bool:
    """Tell it by the first header alone.

    `tarfile.is_tarfile` unpacks whatever it can, and reads headers of any size into memory.
    """
    try:
        tarfile.TarInfo.frombuf(head[: tarfile.BLOCKSIZE], "utf-8", "surrogateescape")
    except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
        return True
    except tarfile.HeaderError:
        return False
    return True


def _describe(head: bytes) -> str:
    if not head:
        return "an empty file"
    if kind := sniff(head[:32]):
        return f"a single {kind} image"
    for magic, kind in _OTHER_ARCHIVES.items():
        if head.startswith(magic):
            return kind
    return "something else"


@contextmanager
def _archive_judged(name: str, raw: _Raw) -> Iterator[None]:
    """Turn what the archive modules raise on broken archives into InvalidDataset."""
    try:
        yield
    except _FORMAT_ERRORS as error:
        if raw.failed is not None:
            raise raw.failed from error
        raise InvalidDataset(f"The archive {name!r} is broken: {_reason(error)}") from error


@contextmanager
def _member_judged(
    opener: Callable[[], AbstractContextManager[IO[bytes]]], raw: _Raw
) -> Iterator[IO[bytes]]:
    """Turn what the archive modules raise on a broken file of an archive into Damaged."""
    try:
        with opener() as file:
            yield file
    except _FORMAT_ERRORS as error:
        if raw.failed is not None:
            raise raw.failed from error
        raise Damaged(_reason(error)) from error


def _reason(error: Exception) -> str:
    """Return what an archive module says, which may quote all that it has read."""
    reason = str(error) or type(error).__name__
    return reason if len(reason) <= _SHOWN_REASON else f"{reason[:_SHOWN_REASON]}…"


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


class _Item(NamedTuple):
    """What was found in a folder: its name below the root, and the file that it leads to."""

    name: str
    path: str = ""
    size: int = 0
    problem: str = ""
    link: bool = False
    folder: bool = False


def _iterate_folder(source: Source, limits: DatasetLimits, hang_guard: HangGuard) -> Iterator[Step]:
    with ExitStack() as stack:
        with hang_guard.system_call(source.name):
            top = stack.enter_context(open_folder(source.root, source.path))
            walk = _Walk(source, top, limits, hang_guard)
        found = sorted(walk.items())
        for done, item in enumerate(found):
            yield Step(done, len(found), _folder_entry(top, item, hang_guard))


class _Walk:
    """Finds what lies below an open folder, without following links."""

    def __init__(
        self, source: Source, top: int, limits: DatasetLimits, hang_guard: HangGuard
    ) -> None:
        self._source = source
        self._resolved = (source.root / source.path).resolve()
        self._top = top
        self._tally = _Tally(limits)
        self._hang_guard = hang_guard

    def items(self) -> Iterator[_Item]:
        folders, seen = [""], 1
        while folders:
            folder = folders.pop()
            for item in self._listed(folder):
                if item.folder and not item.problem:
                    folders.append(item.name)
                    seen += 1
                    if seen > self._tally.limits.max_files:
                        raise too_many_files(self._tally.limits)
                else:
                    self._tally.add(item.size)
                    yield item

    def _listed(self, folder: str) -> Iterator[_Item]:
        try:
            yield from self._list(folder)
        except OSError as error:
            if not is_fault_of_the_file(error):
                raise
            if is_hidden(folder):
                return
            if not isinstance(error, PermissionError):
                raise changed(folder or self._source.name) from error
            raise InvalidDataset(_describe_closed(folder or self._source.name)) from None

    def _list(self, folder: str) -> Iterator[_Item]:
        with open_folder(self._top, folder) as opened, ExitStack() as stack:
            # A descriptor opened with O_PATH can't be used to list the folder.
            readable = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=opened)
            stack.callback(os.close, readable)
            entries = stack.enter_context(os.scandir(readable))
            for entry in self._hang_guard.each(folder or self._source.name, entries):
                item = self._item(f"{folder}/{entry.name}" if folder else entry.name, entry)
                if item is not None:
                    yield item

    def _item(self, name: str, entry: os.DirEntry[str]) -> _Item | None:
        with self._hang_guard.system_call(name):
            try:
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                if is_hidden(name):
                    return None
                raise
            mode = status.st_mode
            if stat.S_ISLNK(mode):
                return self._link(name)
        if stat.S_ISDIR(mode):
            folders = name.count("/") + 1
            problem = _too_deep(folders) if folders > MAX_FOLDERS else ""
            return _Item(name, problem=problem, folder=True)
        if not stat.S_ISREG(mode):
            return _Item(name, problem=NO_FILE)
        return _Item(name, name, status.st_size)

    def _link(self, name: str) -> _Item:
        """Return the file below the root that a link leads to, or why it is not followed."""
        target = Path(os.path.realpath(self._resolved / name))
        inside = target.is_relative_to(self._resolved)
        try:
            status = target.stat()
        except OSError as error:
            if inside and not is_fault_of_the_file(error):
                raise
            problem = "a link that leads nowhere" if inside else _LEADS_OUT
            return _Item(name, problem=problem, link=True)
        is_folder = stat.S_ISDIR(status.st_mode)
        if not inside or is_folder:
            problem = "a link to another folder" if inside else _LEADS_OUT
            return _Item(name, problem=problem, link=True, folder=is_folder)
        if not stat.S_ISREG(status.st_mode):
            return _Item(name, problem=NO_FILE)
        return _Item(name, target.relative_to(self._resolved).as_posix(), status.st_size)


_LEADS_OUT = "a link that leads out of the folder"


def changed(name: str) -> OSError:
    return OSError(errno.ESTALE, "It changed while it was read", name)


def _describe_closed(folder: str) -> str:
    return (
        f"The folder {clean_name(shown(folder))!r} can't be read: permission denied{_reader()}. "
        "Without it the dataset would lack a part of its images. Expected a folder that this user "
        "may list and enter; let it, or move the folder out of the dataset"
    )


def _not_opened(name: str, error: OSError) -> InvalidDataset:
    missing = isinstance(error, FileNotFoundError)
    reason = "which does not exist" if missing else f"{error.strerror}{_reader()}"
    return InvalidDataset(f"{EXPECTED}. Received: {name!r}, {reason}")


def _reader() -> str:
    return f" for the user with the id {os.geteuid()}, as which the worker runs"


def is_hidden(name: str) -> bool:
    """Return whether a file is of no interest for its name, or that of one of its folders."""
    parts = PurePosixPath(name).parts
    return any(part.startswith(".") or part.lower() in _NO_INTEREST for part in parts)


#: What systems, network storage and archivers leave beside the files of people.
_NO_INTEREST = {
    "$recycle.bin",
    "#recycle",
    "#snapshot",
    "@eadir",
    "__macosx",
    "desktop.ini",
    "lost+found",
    "system volume information",
    "thumbs.db",
}


def _folder_entry(top: int, item: _Item, hang_guard: HangGuard) -> Entry:
    if item.problem:
        name = clean_name(shown(item.name))
        return Entry(name, "", item.size, None, item.problem, item.link, item.folder)
    name = clean_name(item.name)
    try:
        item.path.encode()
        item.name.encode()
    except UnicodeEncodeError:
        return Entry(name, item.path, item.size, None, "its name is not valid UTF-8")
    if len(name) > MAX_NAME:
        return _entry(name, item.path, item.size, None)
    return Entry(name, item.path, item.size, lambda: _open_judged(top, item.path, hang_guard))


@contextmanager
def _open_judged(top: int, path: str, hang_guard: HangGuard) -> Iterator[IO[bytes]]:
    """Open a file of a folder; turn what is wrong with it into Damaged."""
    try:
        with hang_guard.system_call(path):
            file = _open_listed(top, path)
        with file, io.BufferedReader(_Raw(file, path, hang_guard)) as buffered:
            yield buffered
    except OSError as error:
        if not is_fault_of_the_file(error):
            raise
        vanished = isinstance(error, FileNotFoundError)
        raise Damaged(error.strerror or str(error), vanished=vanished) from error


def _open_listed(top: int, path: str) -> BinaryIO:
    """Open a file whose folder was listed; that this is gone is no fault of the file."""
    folder, _, name = path.rpartition("/")
    with ExitStack() as stack:
        try:
            opened = stack.enter_context(open_folder(top, folder))
        except OSError as error:
            raise (changed(folder) if is_fault_of_the_file(error) else error) from error
        return open_file(opened, name)


def _iterate_zip(source: _Archive, limits: DatasetLimits) -> Iterator[Step]:
    _check_central_directory(source, limits)
    with zipfile.ZipFile(source.file) as archive:
        members = archive.infolist()
        tally = _Tally(limits)
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


def _check_central_directory(archive: _Archive, limits: DatasetLimits) -> None:
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
            f"{_AS_JOINED}"
        )
    # Many write the lowest 16 bits of the number of files, whatever the rest is.
    if (end.files - files) % (1 << 16):
        raise zipfile.BadZipFile(f"it lists {files} files, and its end says {end.files}")
    file.seek(end.behind)
    if file.read(_MOST_BEHIND_ZIP).strip(b"\0\r\n"):
        raise zipfile.BadZipFile(_MORE_BEHIND)


def _check_positions(members: list[zipfile.ZipInfo]) -> None:
    """Refuse a zip whose files share their bytes, by which kilobytes unpack to terabytes.

    So is one refused that begins with a file that is not among its members.
    """
    end = 0
    ordered = sorted(members, key=lambda member: member.header_offset)
    if ordered and ordered[0].header_offset > len(_SPLIT_MARK):
        raise zipfile.BadZipFile(f"it begins with a file that it does not list, {_AS_JOINED}")
    for member in ordered:
        if member.header_offset < end:
            raise zipfile.BadZipFile(f"files in it overlap, e.g. {shown(member.filename)!r}")
        end = member.header_offset + _LOCAL_HEADER_BYTES + member.compress_size


def _zip_entry(archive: zipfile.ZipFile, member: zipfile.ZipInfo, raw: _Raw) -> Entry | None:
    # What other systems write there has no meaning.
    on_unix = member.create_system in _ZIP_UNIX
    kind = stat.S_IFMT(member.external_attr >> 16) if on_unix else 0
    name, size = _zip_name(member), member.file_size
    if kind == stat.S_IFLNK:
        return _link(name)
    if name.endswith("/") or kind == stat.S_IFDIR:
        return None
    if kind not in {0, stat.S_IFREG}:
        return _entry(name, "", size, None, NO_FILE)
    if member.flag_bits & 1:
        return _entry(name, "", size, None, "it is encrypted in the archive")
    if member.compress_type not in _ZIP_METHODS:
        method = _OTHER_METHODS.get(member.compress_type, f"method {member.compress_type}")
        problem = f"its compression in the archive, {method}, is not supported; expected Deflate"
        return _entry(name, "", size, None, problem)
    opener = _open_bzip2 if member.compress_type == zipfile.ZIP_BZIP2 else zipfile.ZipFile.open
    return _entry(name, "", size, lambda: _member_judged(lambda: opener(archive, member), raw))


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


def _link(name: str) -> Entry:
    return Entry(clean_name(shown(name)), "", 0, None, IN_ARCHIVE, link=True)


def _entry(
    name: str,
    path: str,
    size: int,
    opener: Callable[[], AbstractContextManager[IO[bytes]]] | None,
    problem: str = "",
) -> Entry:
    if len(name) > MAX_NAME:
        problem = f"its name has {len(name)} characters, {MAX_NAME} are the most"
        return Entry(clean_name(shown(name)), "", size, None, problem)
    clean = clean_name(name)
    if clean.count("/") > MAX_FOLDERS:
        return Entry(clean_name(shown(name)), "", size, None, _too_deep(clean.count("/")))
    return Entry(clean, path, size, opener, problem)


def _too_deep(folders: int) -> str:
    return f"it lies in {folders} folders, one in the other; {MAX_FOLDERS} are the most"


def shown(name: str) -> str:
    """Return a name, or if it is long its beginning and its suffix."""
    if len(name) <= _SHOWN_NAME:
        return name
    suffix = os.path.splitext(name)[1][:8]  # noqa: PTH122 - this is no path
    return f"{name[:_SHOWN_NAME]}…{suffix}"


def _iterate_tar(source: _Archive, limits: DatasetLimits) -> Iterator[Step]:
    yield from _iterate_members(source.file, source, limits)
    while rest := source.file.read(_BUFFER):
        _require_padding(rest)


def _iterate_tar_gz(source: _Archive, limits: DatasetLimits) -> Iterator[Step]:
    with gzip.GzipFile(fileobj=source.file, mode="rb") as unpacked:
        head = unpacked.read(tarfile.BLOCKSIZE)
        if not _is_tar(head):
            inside = f"a gzip file that holds {_describe(head)}"
            raise InvalidDataset(f"{EXPECTED}. Received: {source.name!r}, {inside}")
        unpacked.seek(0)
        yield from _iterate_members(unpacked, source, limits)
        # The checksum of the whole stands at the end, behind what tarfile reads.
        while rest := unpacked.read(_BUFFER):
            _require_padding(rest)
            if unpacked.tell() > limits.max_bytes:
                raise too_many_bytes(limits)


def _require_padding(rest: bytes) -> None:
    """Refuse files behind the end of a tar, which tarfile would leave out without a word."""
    if rest.strip(b"\0"):
        raise tarfile.ReadError(_MORE_BEHIND)


def _iterate_members(
    file: IO[bytes] | gzip.GzipFile, source: _Archive, limits: DatasetLimits
) -> Iterator[Step]:
    stream = _Metered(file)
    tally = _Tally(limits)
    total = 1
    with ExitStack() as stack:
        with _headers_judged():
            archive = stack.enter_context(
                tarfile.open(fileobj=stream, mode="r:", tarinfo=_Member)  # type: ignore[call-overload]
            )
        while (member := _next_member(archive, stream)) is not None:
            tally.add(member.size)
            if tally.files % _ESTIMATE_EVERY == 0:
                total = round(tally.files * source.size / max(source.file.tell(), 1))
            done = tally.files - 1
            entry = _tar_entry(archive, member, stream, source.raw)
            yield Step(done, max(total, tally.files), entry)
        # tarfile takes a damaged header, and a missing one, for the end of the archive.
        if stream.last.strip(b"\0") or not stream.last:
            raise tarfile.ReadError("it ends early, or a header in it is damaged")


@contextmanager
def _headers_judged() -> Iterator[None]:
    try:
        yield
    except RecursionError as error:
        raise tarfile.ReadError("a file in it has too many headers") from error
    except (tarfile.HeaderError, ValueError) as error:
        raise tarfile.ReadError(f"a header in it is damaged: {error}") from error


class _Member(tarfile.TarInfo):
    """A member of a tar. If it is sparse, the map of its holes is not read: it may be endless."""

    def _is_sparse(self, member: tarfile.TarInfo, *_: object) -> None:
        member.sparse = b""  # any but None says so

    _proc_gnusparse_00 = _proc_gnusparse_01 = _proc_gnusparse_10 = _is_sparse


def _next_member(archive: tarfile.TarFile, stream: "_Metered") -> tarfile.TarInfo | None:
    # tarfile remembers every member, for look-ups by name that are not needed here.
    archive.members = []  # type: ignore[attr-defined]
    stream.allow(_MAX_TAR_HEADER, header=True)
    with _headers_judged():
        member = archive.next()
    if member is not None and member.size < 0:  # tarfile would go back, and round in circles
        raise tarfile.ReadError(f"the size of a file in it is {member.size}")
    # It also copies all that was ever said of all members to each: what it makes use of is enough.
    known = {k: v for k, v in archive.pax_headers.items() if k in tarfile.PAX_FIELDS}
    archive.pax_headers = known
    return member


def _tar_entry(
    archive: tarfile.TarFile, member: tarfile.TarInfo, stream: "_Metered", raw: _Raw
) -> Entry | None:
    if member.issym() or member.islnk():
        return _link(member.name)
    if member.isdir():
        return None
    if member.issparse():
        return _entry(member.name, "", member.size, None, _SPARSE)
    if not member.isreg():
        return _entry(member.name, "", member.size, None, NO_FILE)

    def extract() -> AbstractContextManager[IO[bytes]]:
        stream.allow(member.size)
        return cast(IO[bytes], archive.extractfile(member))

    return _entry(member.name, "", member.size, lambda: _member_judged(extract, raw))


class _Metered:
    """The part of a file that tarfile needs, with a budget of bytes that it may read.

    Without it a few kilobytes of gzip can make tarfile read gigabytes of headers into memory.
    """

    def __init__(self, file: IO[bytes] | gzip.GzipFile) -> None:
        self._file = file
        self._left = _MAX_TAR_HEADER
        self._in_header = True
        self._records = 0
        self.last = b""
        self.tell = file.tell
        self.seek = file.seek

    def allow(self, size: int, *, header: bool = False) -> None:
        self._left = size
        self._in_header = header
        self._records = 0

    def read(self, size: int) -> bytes:
        if size > self._left:
            raise tarfile.ReadError("a header is implausibly large")
        self._left -= size
        self.last = self._file.read(size)
        if self._in_header:
            self._check_header()
        return self.last

    def _check_header(self) -> None:
        if _TOO_MANY_DIGITS in self.last.translate(_DIGITS_TO_ZEROS):
            raise tarfile.ReadError(f"a header has more than {_MAX_TAR_DIGITS} digits in a row")
        self._records += self.last.count(b"\n")
        if self._records > _MAX_TAR_RECORDS:
            raise tarfile.ReadError(f"a file in it has more than {_MAX_TAR_RECORDS} records")
