"""Reads an archive or a folder into a dataset.

One pass over the source: each image is read once, and hashed, checked and stored by a pool of
threads that is never more than a few images behind. What is kept in memory is a small note per
image; the labels are found, and duplicates settled, when all names and hashes are known.
"""

import errno
import hashlib
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple, cast

from shared.errors import InvalidImage
from shared.files import sync_directory
from shared.images.decoding import ImageLimits, check_with_copy, too_many_bytes
from shared.images.formats import (
    HEAD_BYTES,
    IMAGE_SUFFIXES,
    KNOWN_SUFFIXES,
    not_read,
    sniff,
    unread_format,
)
from trainer_service.datasets.interpretation.describe import UNDERSTOOD
from trainer_service.datasets.interpretation.tables.columns import labels_images
from trainer_service.datasets.interpretation.words import lists_images
from trainer_service.datasets.records import (
    IMAGES_FOLDER,
    DatasetLimits,
    DatasetSummary,
    Verdict,
)
from trainer_service.datasets.scan.conclude import MAX_TABLE_BYTES, Origin, conclude
from trainer_service.datasets.scan.found import Found
from trainer_service.datasets.scan.likeness import group_doubles, look_of
from trainer_service.datasets.scan.looks import save_looks
from trainer_service.datasets.scan.scans import keep, staging
from trainer_service.datasets.scan.verdicts import Note
from trainer_service.datasets.sources.hang_guard import HangGuard
from trainer_service.datasets.sources.iterate import iterate
from trainer_service.datasets.sources.names import is_hidden, suffix_of
from trainer_service.datasets.sources.source import Damaged, Entry, Source, changed
from trainer_service.datasets.splits import stand_in
from trainer_service.datasets.thumbnails.store import THUMBNAILS_FILE, ThumbnailWriter, fits
from trainer_service.datasets.thumbnails.thumbnail import Thumbnail, encoded, small_copy
from trainer_service.errors import InvalidDataset
from trainer_service.requests.reading import ReadingRequest
from trainer_service.store.records.parts import crowd_of

Progress = Callable[[int, int], None]

_TABLE_SUFFIXES = frozenset({".csv", ".tsv", ".tab", ".psv", ".jsonl", ".ndjson"})
_LOOK_AHEAD_BYTES = 64 << 20
_TABLE_HEAD = 1 << 16
_MOST_TEXTS = 32
_MOST_VANISHED = 3
_SHARE_VANISHED = 0.01
_SYNC_THREADS = 16
_SUPERSEDED = "a later file of the archive has the same name"
_SHOWN = 3


def read_dataset(  # noqa: PLR0913 - four have a default
    source: Path,
    directory: Path,
    limits: DatasetLimits,
    progress: Progress,
    *,
    threads: int = 0,
    name: str = "",
    root: Path | None = None,
    hang_guard: HangGuard | None = None,
    reading: ReadingRequest | None = None,
) -> DatasetSummary:
    """Read all images of a source, settle which are used, and write `<directory>/images.jsonl`.

    The sound images of an archive are stored below `<directory>/images`; those of a folder are
    left where they are. Thumbnails of large ones are kept in `<directory>/thumbnails`. What was
    found is kept even if no labels are found for it, for `scans.is_kept` and `found.load_found`.

    Args:
        source: a zip, tar or tar.gz archive, recognised by its content, or a folder.
        directory: where the dataset is to be; made if it is not there.
        limits: the largest dataset and the largest image that are read.
        progress: called with the files done and, for tar an estimate, of how many; if it raises,
            the directory stays as it was.
        threads: how many check images; 0 means one for each core.
        name: what errors call the source; by default its file's name.
        root: what the source lies below; no link is followed from there to it. By default the
            folder that it lies in.
        hang_guard: tells from another thread that the reading is to end.
        reading: what the user has decided on how it is read.

    Raises:
        InvalidDataset: the source is broken, or has no images, or fewer than two labels.
        TooLarge: the source is beyond the limits.
        OSError: it could not be read now; that says nothing of the source.
    """
    hang_guard = hang_guard or HangGuard()
    passed = scanned(
        source,
        directory,
        limits,
        progress,
        threads=threads,
        name=name,
        root=root,
        hang_guard=hang_guard,
    )
    with passed as (staged, found):
        try:
            return conclude(staged, found, Origin(name or source.name, limits.max_files), reading)
        finally:
            hang_guard.check()
            if any(note.verdict == "used" for note in found.notes):  # else no reading can help
                keep(staged, directory, found)


@contextmanager
def scanned(  # noqa: PLR0913 - three have a default
    source: Path,
    directory: Path,
    limits: DatasetLimits,
    progress: Progress,
    *,
    hang_guard: HangGuard,
    threads: int = 0,
    name: str = "",
    root: Path | None = None,
) -> Iterator[tuple[Path, Found]]:
    """Read all images of a source once; the arguments are those of `read_dataset`.

    Yields:
        A directory that is removed at the end, with the sound images of an archive and with
        thumbnails; and what was found.
    """
    directory.mkdir(parents=True, exist_ok=True)
    if root is None:
        source = source.resolve()
        root = source.parent
    with staging(directory) as staged:
        with hang_guard.system_call(name or source.name):
            found_source = Source.find(source, name or source.name, root)
        scan = _Scan(found_source, staged, limits, hang_guard)
        found = scan.run(progress, threads or os.cpu_count() or 1)
        hang_guard.check()
        if not found_source.is_folder:
            _sync(staged / IMAGES_FOLDER)
        hang_guard.check()
        yield staged, found


class _Scan:
    """A pass over a source."""

    def __init__(
        self, source: Source, directory: Path, limits: DatasetLimits, hang_guard: HangGuard
    ) -> None:
        self._source = source
        self._directory = directory
        self._limits = limits
        self._hang_guard = hang_guard
        self._found = Found(in_place=source.is_folder)

    def run(self, progress: Progress, threads: int) -> Found:
        found, thumbnails = self._found, self._directory / THUMBNAILS_FILE
        with ThumbnailWriter(thumbnails) as writer, _pool(threads) as pool:
            pending = _Pending(pool, threads, found.notes, writer)
            done = 0
            for step in iterate(self._source, self._limits, self._hang_guard):
                progress(step.done, step.total)
                done = step.done + 1
                if step.entry is not None:
                    self._take(step.entry, pending)
                if step.note:
                    found.guesses.append(step.note)
            pending.drain()
            progress(done, done)
        _require_still(found, self._source.name)
        if not found.notes:
            raise InvalidDataset(_describe_nothing(self._source.name, done, found))
        found.notes.sort(key=lambda note: note.name)
        if not self._source.is_folder:
            _supersede(found.notes, self._directory)
        save_looks(self._directory, _mark_doubles(found))
        return found

    def _take(self, entry: Entry, pending: "_Pending") -> None:
        """Sort a file of the source: an image, a table, or of no interest.

        What is named like an image is reported if it is not used, not silently left out.
        """
        found, limits = self._found, self._limits.image
        suffix = suffix_of(entry.name)
        if not entry.name or is_hidden(entry.name):
            found.ignore(entry.name)
        elif entry.folder or (entry.link and suffix in KNOWN_SUFFIXES | {""}):
            verdict: Verdict = "link" if entry.link else "unreadable"
            found.tell(entry.name, verdict, entry.problem)
        elif suffix in _TABLE_SUFFIXES or (suffix == ".txt" and _may_list(entry.name, found)):
            _take_table(entry, found)
        elif suffix in KNOWN_SUFFIXES and entry.open is None:
            found.notes.append(_refused(entry, "unreadable", entry.problem))
        elif suffix in IMAGE_SUFFIXES and entry.size > limits.max_bytes:
            detail = too_many_bytes(entry.size, limits.max_bytes).detail
            found.notes.append(_refused(entry, "too large", detail))
        else:
            self._take_image(entry, suffix, pending)

    def _take_image(self, entry: Entry, suffix: str, pending: "_Pending") -> None:
        limits, store = self._limits.image, None
        if not self._source.is_folder:
            store = self._directory / IMAGES_FOLDER
        data = _read(entry, limits.max_bytes, any_file=suffix in IMAGE_SUFFIXES)
        if isinstance(data, _Refusal):
            self._found.notes.append(_refused(entry, *data))
        elif isinstance(data, bytes):
            inspect = partial(_inspect, entry.name, entry.path, data, limits, store)
            pending.submit(inspect, len(data))
        elif data is None:
            self._found.pass_over(entry.name)
        elif suffix in KNOWN_SUFFIXES:
            self._found.vanished += data.vanished
            self._found.notes.append(_refused(entry, "unreadable", str(data)))
        else:  # nobody knows whether it is an image
            self._found.vanished += data.vanished
            self._found.tell(entry.name, "unreadable", str(data))


def _mark_doubles(found: Found) -> dict[str, bytes]:
    """Note which images are nearly equal; return their looks, which the notes forget."""
    notes = found.notes
    looks: dict[str, bytes] = {}
    for note in notes:
        if note.verdict == "used":
            looks.setdefault(note.sha256, note.look)
    hashes = list(looks)
    of: dict[str, str] = {}
    alike = group_doubles(list(looks.values()))
    names = {note.sha256: note.name for note in reversed(notes) if note.verdict == "used"}
    for crowd in alike.crowds:
        found.crowds = found.crowds.with_more(crowd_of([names[hashes[at]] for at in crowd]))
    for group in alike.groups:
        members = [hashes[place] for place in group]
        of |= dict.fromkeys(members, stand_in(members))
    for place, note in enumerate(notes):
        notes[place] = replace(note, double_of=of.get(note.sha256, ""), look=b"")
    return looks


def _supersede(notes: list[Note], directory: Path) -> None:
    """Use only the last of the images of one name, as whoever unpacks an archive gets that one."""
    later = ""
    superseded: set[str] = set()
    for index in range(len(notes) - 1, -1, -1):
        note = notes[index]
        if note.verdict != "used":
            continue
        if note.name == later:
            notes[index] = replace(note, path="", verdict="duplicate", detail=_SUPERSEDED)
            superseded.add(note.path)
        later = note.name
    for file in superseded - {note.path for note in notes}:
        (directory / file).unlink(missing_ok=True)


def _require_still(found: Found, name: str) -> None:
    """Raise OSError if so many files went away meanwhile that it can't be by chance."""
    if found.vanished > max(_MOST_VANISHED, len(found.notes) * _SHARE_VANISHED):
        reason = f"{found.vanished} files of it vanished while it was read"
        raise OSError(errno.ESTALE, reason, name)


@contextmanager
def _pool(threads: int) -> Iterator[ThreadPoolExecutor]:
    pool = ThreadPoolExecutor(threads, thread_name_prefix="images")
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


class _Inspected(NamedTuple):
    note: Note
    thumbnail: Thumbnail | None = None


class _Pending:
    """The images that are being checked, few enough to be held in memory, in their order."""

    def __init__(
        self,
        pool: ThreadPoolExecutor,
        threads: int,
        notes: list[Note],
        thumbnails: ThumbnailWriter,
    ) -> None:
        self._pool = pool
        self._most = 4 * threads
        self._notes = notes
        self._thumbnails = thumbnails
        self._futures: deque[tuple[Future[_Inspected], int]] = deque()
        self._bytes = 0

    def submit(self, inspect: Callable[[], _Inspected], size: int) -> None:
        self._futures.append((self._pool.submit(inspect), size))
        self._bytes += size
        while len(self._futures) > self._most or self._bytes > _LOOK_AHEAD_BYTES:
            self._collect()

    def drain(self) -> None:
        while self._futures:
            self._collect()

    def _collect(self) -> None:
        future, size = self._futures.popleft()
        self._bytes -= size
        note, small = future.result()
        self._notes.append(note)
        if small is not None:
            self._thumbnails.add(note.sha256, small)


def _may_list(name: str, found: Found) -> bool:
    """Return whether a text file may be a table: of a text for each image there are too many."""
    if not lists_images(PurePosixPath(name).stem):
        return False
    return sum(table.endswith(".txt") for table in found.tables) < _MOST_TEXTS


def _take_table(entry: Entry, found: Found) -> None:
    left = MAX_TABLE_BYTES - found.table_bytes
    if entry.size > left and labels_images(entry.name, _head(entry)):
        found.large_tables.append(entry.name)
    data = _read(entry, left, any_file=True)
    if isinstance(data, bytes):
        found.tables[entry.name] = data
        found.table_bytes += len(data)
    elif isinstance(data, Damaged) and data.vanished:
        raise changed(entry.name)  # whatever it labels
    elif isinstance(data, Damaged) or entry.problem:
        found.closed_tables[entry.name] = entry.problem or str(data)
        found.tell(entry.name, "unreadable", found.closed_tables[entry.name])
    else:
        found.pass_over(entry.name)


def _head(entry: Entry) -> bytes:
    if entry.open is None:
        return b""
    try:
        with entry.open() as file:
            return file.read(_TABLE_HEAD)
    except Damaged:
        return b""


class _Refusal(NamedTuple):
    """Why an image is not used that was not read to its end."""

    verdict: Verdict
    detail: str


def _read(entry: Entry, limit: int, *, any_file: bool) -> bytes | Damaged | _Refusal | None:
    """Return a file's bytes, or the reason why an image can't be used, or None if it is none.

    Any file is returned if it is no larger than the limit, or only those that are images.
    """
    if entry.open is None or (any_file and entry.size > limit):
        return None
    try:
        with entry.open() as file:
            head = file.read(HEAD_BYTES)
            if not any_file and (refusal := _judge(entry, head, limit)):
                return refusal
            if not any_file and not sniff(head):
                return None
            # A shorter one is the whole file.
            return head if len(head) < HEAD_BYTES else head + file.read(limit)
    except Damaged as damaged:
        return damaged


def _judge(entry: Entry, head: bytes, limit: int) -> _Refusal | None:
    """Return why an image can't be used, as far as its beginning tells."""
    if unread := unread_format(head, entry.name):
        return _Refusal("unreadable", not_read(unread))
    if entry.size > limit and sniff(head):
        return _Refusal("too large", too_many_bytes(entry.size, limit).detail)
    return None


def _refused(entry: Entry, verdict: Verdict, detail: str) -> Note:
    return Note(entry.name, entry.path, entry.size, verdict=verdict, detail=detail)


def _inspect(
    name: str, path: str, data: bytes, limits: ImageLimits, store: Path | None
) -> _Inspected:
    """Hash, check and store an image; runs in a thread of the pool."""
    sha256 = hashlib.sha256(data).hexdigest()
    try:
        info, copy = check_with_copy(data, limits)
    except InvalidImage as error:
        verdict = cast(Verdict, error.verdict)
        return _Inspected(Note(name, path, len(data), sha256, verdict=verdict, detail=error.detail))
    if store is not None:
        path = _store(store, sha256, data)
    is_small = fits(len(data), *info)
    small = None if is_small and copy else small_copy(data, info, limits)
    seen = copy or small
    note = Note(name, path, len(data), sha256, *info, look=b"" if seen is None else look_of(seen))
    return _Inspected(note, None if is_small or small is None else encoded(small))


def _store(store: Path, sha256: str, data: bytes) -> str:
    """Write an image under its hash and return its path in the dataset's directory."""
    target = store / sha256[:2] / sha256
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{sha256}.{threading.get_ident()}.tmp")
        temporary.write_bytes(data)
        temporary.replace(target)
    return target.relative_to(store.parent).as_posix()


def _sync(images: Path) -> None:
    """Fsync what was stored; many at once, since each only waits for the disk."""
    if not images.exists():
        return  # none of them is sound
    with ThreadPoolExecutor(_SYNC_THREADS) as pool:
        for _ in pool.map(_sync_folder, images.iterdir()):
            pass
    sync_directory(images)


def _sync_folder(folder: Path) -> None:
    for path in folder.iterdir():
        sync_directory(path)
    sync_directory(folder)


def _describe_nothing(name: str, files: int, found: Found) -> str:
    named = [name for names in found.examples.values() for name in names]
    examples = [*named, *found.tables][:_SHOWN]
    seen = f", e.g. {', '.join(examples)}" if examples else ""
    counted = "1 file" if files == 1 else f"{files} files"
    return f"No images found in {name!r}: {counted} seen{seen}. {UNDERSTOOD}"
