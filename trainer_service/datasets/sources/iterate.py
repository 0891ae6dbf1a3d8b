"""Finds the files of a source, whatever it is."""

import io
import os
from collections.abc import Callable, Iterator

from shared.files import open_below
from trainer_service.datasets.records import DatasetLimits
from trainer_service.datasets.sources.archive import Archive, archive_judged, describe
from trainer_service.datasets.sources.folder import iterate_folder
from trainer_service.datasets.sources.hang_guard import HangGuard
from trainer_service.datasets.sources.raw_file import BUFFER, RawFile
from trainer_service.datasets.sources.source import EXPECTED, Source, Step, not_opened
from trainer_service.datasets.sources.tar import is_tar, iterate_tar, iterate_tar_gz
from trainer_service.datasets.sources.zip import SPLIT_MARK, iterate_zip
from trainer_service.errors import InvalidDataset


def iterate(source: Source, limits: DatasetLimits, hang_guard: HangGuard) -> Iterator[Step]:
    """Yield every file of an archive or a folder.

    `total` is an estimate for tar archives, whose number of files is known only at their end.

    Raises:
        InvalidDataset: it is not an archive, is broken, or has a folder that may not be read.
        TooLarge: there are more files or bytes in it than the limits allow.
        OSError: it can't be read now.
    """
    if source.is_folder:
        return iterate_folder(source, limits, hang_guard)
    return _iterate_archive(source, limits, hang_guard)


def _iterate_archive(
    source: Source, limits: DatasetLimits, hang_guard: HangGuard
) -> Iterator[Step]:
    try:
        with hang_guard.system_call(source.name):
            file = open_below(source.root, source.path)
    except PermissionError as error:
        raise not_opened(source.name, error) from None
    with file:
        raw = RawFile(file, source.name, hang_guard)
        with io.BufferedReader(raw, BUFFER) as buffered, archive_judged(source.name, raw):
            archive = Archive(source.name, buffered, raw, os.fstat(file.fileno()).st_size)
            yield from _archive_reader(archive)(archive, limits)
            if raw.failed is not None:
                raise raw.failed  # whatever the archive modules made of it


def _archive_reader(archive: Archive) -> Callable[[Archive, DatasetLimits], Iterator[Step]]:
    head = archive.file.read(1024)
    archive.file.seek(0)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06", SPLIT_MARK + b"PK\x03\x04")):
        return iterate_zip
    if head.startswith(b"\x1f\x8b"):
        return iterate_tar_gz
    if is_tar(head):
        return iterate_tar
    raise InvalidDataset(f"{EXPECTED}. Received: {archive.name!r}, {describe(head)}")
