"""What zip and tar archives have in common."""

import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import IO, NamedTuple

from shared.images.formats import sniff
from trainer_service.datasets.sources.names import clean_name, fault_of, shown
from trainer_service.datasets.sources.raw_file import RawFile
from trainer_service.datasets.sources.source import Damaged, Entry
from trainer_service.errors import InvalidDataset

_IN_ARCHIVE = "a link, not a file of its own"
AS_JOINED = "as where two archives were joined: pack them as one"
MORE_BEHIND = f"more follows behind its end, {AS_JOINED}"
_SHOWN_REASON = 200

# What the archive modules raise on what is broken. OSError is what bz2, gzip and a jump out of the
# file raise; what the system raises while the archive is read is kept apart, by `RawFile`.
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


class Archive(NamedTuple):
    """An open archive, its name for people, and its size in bytes."""

    name: str
    file: "io.BufferedReader[RawFile]"
    raw: RawFile
    size: int


@contextmanager
def archive_judged(name: str, raw: RawFile) -> Iterator[None]:
    """Turn what the archive modules raise on broken archives into InvalidDataset."""
    try:
        yield
    except _FORMAT_ERRORS as error:
        if raw.failed is not None:
            raise raw.failed from error
        raise InvalidDataset(f"The archive {name!r} is broken: {_reason(error)}") from error


@contextmanager
def member_judged(
    opener: Callable[[], AbstractContextManager[IO[bytes]]], raw: RawFile
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


def describe(head: bytes) -> str:
    """Return in words what a file is that is no archive which can be read, by its first bytes."""
    if not head:
        return "an empty file"
    if kind := sniff(head[:32]):
        return f"a single {kind} image"
    for magic, kind in _OTHER_ARCHIVES.items():
        if head.startswith(magic):
            return kind
    return "something else"


def link_of(name: str) -> Entry:
    """Return a link of an archive, which is not followed."""
    return Entry(clean_name(shown(name)), "", 0, None, _IN_ARCHIVE, link=True)


def entry_of(
    name: str,
    size: int,
    opener: Callable[[], AbstractContextManager[IO[bytes]]] | None,
    problem: str = "",
) -> Entry:
    """Return a file of an archive; `opener` is None for a `problem`."""
    if fault := fault_of(name):
        return Entry(clean_name(shown(name)), "", size, None, fault)
    return Entry(clean_name(name), "", size, opener, problem)
