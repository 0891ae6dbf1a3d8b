"""The files of a tar archive, packed with gzip or not."""

import gzip
import tarfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import IO, cast

from trainer_service.datasets.records import DatasetLimits
from trainer_service.datasets.sources.archive import (
    MORE_BEHIND,
    Archive,
    describe,
    entry_of,
    link_of,
    member_judged,
)
from trainer_service.datasets.sources.raw_file import BUFFER, RawFile
from trainer_service.datasets.sources.source import EXPECTED, NO_FILE, Entry, Step
from trainer_service.datasets.sources.tally import Tally, too_many_bytes
from trainer_service.errors import InvalidDataset

_SPARSE = "it is packed as a sparse file; pack it without the option --sparse"
_ESTIMATE_EVERY = 32

# The extended headers of one tar member may take this much, far more than any real one does.
_MAX_TAR_HEADER = 1 << 20
# Python before 3.11.10 and 3.12.6 looks through a header in time quadratic in its longest run of
# digits (CVE-2024-6232).
_MAX_TAR_DIGITS = 128
_TOO_MANY_DIGITS = b"0" * (_MAX_TAR_DIGITS + 1)
_DIGITS_TO_ZEROS = bytes.maketrans(b"123456789", b"0" * 9)
# The headers of a real member have a dozen records. Each of these ends with a new line.
_MAX_TAR_RECORDS = 10_000


def is_tar(head: bytes) -> bool:
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


def iterate_tar(source: Archive, limits: DatasetLimits) -> Iterator[Step]:
    """Yield every file of a tar; see `iterate`."""
    yield from _iterate_members(source.file, source, limits)
    while rest := source.file.read(BUFFER):
        _require_padding(rest)


def iterate_tar_gz(source: Archive, limits: DatasetLimits) -> Iterator[Step]:
    """Yield every file of a tar that gzip has packed; see `iterate`."""
    with gzip.GzipFile(fileobj=source.file, mode="rb") as unpacked:
        head = unpacked.read(tarfile.BLOCKSIZE)
        if not is_tar(head):
            inside = f"a gzip file that holds {describe(head)}"
            raise InvalidDataset(f"{EXPECTED}. Received: {source.name!r}, {inside}")
        unpacked.seek(0)
        yield from _iterate_members(unpacked, source, limits)
        # The checksum of the whole stands at the end, behind what tarfile reads.
        while rest := unpacked.read(BUFFER):
            _require_padding(rest)
            if unpacked.tell() > limits.max_bytes:
                raise too_many_bytes(limits)


def _require_padding(rest: bytes) -> None:
    """Refuse files behind the end of a tar, which tarfile would leave out without a word."""
    if rest.strip(b"\0"):
        raise tarfile.ReadError(MORE_BEHIND)


def _iterate_members(
    file: IO[bytes] | gzip.GzipFile, source: Archive, limits: DatasetLimits
) -> Iterator[Step]:
    stream = _Metered(file)
    tally = Tally(limits)
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
    if member is not None and member.size < 0:  # tarfile would go back, in an endless loop
        raise tarfile.ReadError(f"the size of a file in it is {member.size}")
    # It also copies the headers of all earlier members to each; those that it uses are enough.
    known = {k: v for k, v in archive.pax_headers.items() if k in tarfile.PAX_FIELDS}
    archive.pax_headers = known
    return member


def _tar_entry(
    archive: tarfile.TarFile, member: tarfile.TarInfo, stream: "_Metered", raw: RawFile
) -> Entry | None:
    if member.issym() or member.islnk():
        return link_of(member.name)
    if member.isdir():
        return None
    if member.issparse():
        return entry_of(member.name, member.size, None, _SPARSE)
    if not member.isreg():
        return entry_of(member.name, member.size, None, NO_FILE)

    def extract() -> AbstractContextManager[IO[bytes]]:
        stream.allow(member.size)
        return cast(IO[bytes], archive.extractfile(member))

    return entry_of(member.name, member.size, lambda: member_judged(extract, raw))


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
