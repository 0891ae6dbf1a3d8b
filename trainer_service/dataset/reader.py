"""Reads an archive or a folder into a dataset.

One pass over the source: each image is read once, and hashed, checked and stored by a pool of
threads that is never more than a few images behind. What is kept in memory is a small note per
image; the labels are found, and duplicates settled, when all names and hashes are known.
"""

import hashlib
import os
import shutil
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple, cast

from shared.errors import InvalidDataset, InvalidImage
from shared.files import sync_directory
from shared.images import ImageLimits, check, sniff, too_many_bytes
from shared.lease import LeaseLost
from trainer_service.dataset.labels import UNDERSTOOD, Labelled, Labelling, find_labels
from trainer_service.dataset.records import (
    RECORDS_FILE,
    DatasetLimits,
    DatasetSummary,
    ImageRecord,
    RejectedImage,
    Verdict,
    save_images,
)
from trainer_service.dataset.sources import Entry, Source, iterate
from trainer_service.dataset.tables import Row
from trainer_service.dataset.thumbnail_store import THUMBNAILS_FILE, ThumbnailWriter, fits
from trainer_service.dataset.thumbnails import Thumbnail, thumbnail
from trainer_service.dataset.verdicts import Note, settle

Progress = Callable[[int, int], None]

# Those that can't be read are named so that they are reported, not silently left out.
IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff"}
    | {".heic", ".heif", ".avif", ".jp2", ".jxl"}
)
_TABLE_SUFFIXES = frozenset({".csv", ".tsv"})
_HEAD = 32
_MAX_TABLE_BYTES = 64 << 20
_LOOK_AHEAD_BYTES = 64 << 20
_SYNC_THREADS = 16
_SHOWN = 3
_NAMED_MISSING = 100


def read_dataset(  # noqa: PLR0913 - two have a default
    source: Path,
    directory: Path,
    limits: DatasetLimits,
    progress: Progress,
    *,
    threads: int = 0,
    name: str = "",
) -> DatasetSummary:
    """Read all images of a source, settle which are used, and write `<directory>/images.jsonl`.

    The used images of an archive are stored below `<directory>/images`; those of a folder are
    left where they are. Thumbnails of large ones are kept in `<directory>/thumbnails`.

    Args:
        source: a zip, tar or tar.gz archive, told by its content, or a folder.
        directory: where the dataset is to be; made if it is not there.
        limits: the largest dataset and the largest image that are read.
        progress: called with the files done and, for tar an estimate, of how many; if it raises,
            what was written is removed.
        threads: how many check images; 0 means one for each core.
        name: what errors call the source; by default its file's name.

    Raises:
        InvalidDataset: the source is broken, or has no images, or fewer than two labels.
        TooLarge: the source is beyond the limits.
    """
    directory.mkdir(parents=True, exist_ok=True)
    called = Source(source, name or source.name)
    with _afresh(directory):
        found = _scan(called, directory, limits, progress, threads or os.cpu_count() or 1)
        labelling = _label(found.notes, found.tables)
        records = settle(found.notes, labelling.images)
        _check_usable(records, called.name)
        if not source.is_dir():
            _remove_unused(directory, found.notes, records)
            _sync(directory / "images")
        save_images(directory, records)
        tables = 0 if labelling.layout == "csv" else len(found.tables)
        summary = _summarise(records, labelling, found.ignored + tables)
        summary.rejected += [*found.links, *_missing(labelling.missing)]
        return summary


def _label(notes: list[Note], tables: dict[str, bytes]) -> Labelling:
    """Label the images, whatever the names of those that are refused anyway look like."""
    names = [note.name for note in notes]
    usable = [index for index, note in enumerate(notes) if note.verdict == "used"]
    if len(usable) in {0, len(notes)}:
        return find_labels(names, tables)
    labelling = find_labels([names[index] for index in usable], tables)
    with suppress(InvalidDataset):
        of_all = find_labels(names, tables)
        if [of_all.images[index] for index in usable] == labelling.images:
            return of_all
    images = [Labelled("", None)] * len(notes)
    for index, labelled in zip(usable, labelling.images, strict=True):
        images[index] = labelled
    return labelling._replace(images=images)


@contextmanager
def _afresh(directory: Path) -> Iterator[None]:
    """Begin without what a killed worker left, and leave nothing behind on failure."""
    _clear(directory)
    try:
        yield
    except LeaseLost:
        raise  # what lies there is by now another's
    except BaseException:
        _clear(directory)
        raise


def _clear(directory: Path) -> None:
    (directory / RECORDS_FILE).unlink(missing_ok=True)
    (directory / THUMBNAILS_FILE).unlink(missing_ok=True)
    shutil.rmtree(directory / "images", ignore_errors=True)


@dataclass
class _Found:
    """What a pass over the source has found."""

    notes: list[Note] = field(default_factory=list)
    tables: dict[str, bytes] = field(default_factory=dict)
    links: list[RejectedImage] = field(default_factory=list)
    ignored: int = 0
    examples: list[str] = field(default_factory=list)

    def ignore(self, name: str) -> None:
        self.ignored += 1
        if len(self.examples) < _SHOWN:
            self.examples.append(name)


def _scan(
    source: Source, directory: Path, limits: DatasetLimits, progress: Progress, threads: int
) -> _Found:
    store = None if source.path.is_dir() else directory / "images"
    found = _Found()
    with ThumbnailWriter(directory / THUMBNAILS_FILE) as thumbnails, _pool(threads) as pool:
        pending = _Pending(pool, threads, found.notes, thumbnails)
        done = 0
        for step in iterate(source, limits):
            progress(step.done, step.total)
            done = step.done + 1
            if step.entry is not None:
                _take(step.entry, found, pending, limits.image, store)
        pending.drain()
        progress(done, done)
    if not found.notes:
        raise InvalidDataset(_describe_nothing(source.name, done, found))
    found.notes.sort(key=lambda note: note.name)
    return found


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


def _take(
    entry: Entry, found: _Found, pending: _Pending, limits: ImageLimits, store: Path | None
) -> None:
    """Sort a file of the source: an image, a table, or of no interest."""
    path = PurePosixPath(entry.name)
    suffix = path.suffix.lower()
    if not path.parts or any(p.startswith(".") or p == "__MACOSX" for p in path.parts):
        found.ignore(entry.name)
    elif entry.link and suffix in IMAGE_SUFFIXES | {""}:
        link = RejectedImage(name=entry.name, label="", verdict="link", detail=entry.problem)
        found.links.append(link)
    elif suffix in _TABLE_SUFFIXES:
        _take_table(entry, found)
    elif suffix in IMAGE_SUFFIXES and entry.open is None:
        found.notes.append(_refused(entry, "unreadable", entry.problem))
    elif suffix in IMAGE_SUFFIXES and entry.size > limits.max_bytes:
        found.notes.append(_refused(entry, "too large", too_many_bytes(entry.size, limits).detail))
    else:
        _take_image(entry, found, pending, limits, store)


def _take_table(entry: Entry, found: _Found) -> None:
    held = sum(map(len, found.tables.values()))
    data = _read(entry, _MAX_TABLE_BYTES - held, any_file=True)
    if isinstance(data, bytes):
        found.tables[entry.name] = data
    else:
        found.ignore(entry.name)


def _take_image(
    entry: Entry, found: _Found, pending: _Pending, limits: ImageLimits, store: Path | None
) -> None:
    is_named_so = PurePosixPath(entry.name).suffix.lower() in IMAGE_SUFFIXES
    data = _read(entry, limits.max_bytes, any_file=is_named_so)
    if isinstance(data, bytes):
        pending.submit(partial(_inspect, entry.name, entry.path, data, limits, store), len(data))
    elif is_named_so and data is not None:
        found.notes.append(_refused(entry, "unreadable", str(data) or type(data).__name__))
    else:
        found.ignore(entry.name)


def _read(entry: Entry, limit: int, *, any_file: bool) -> bytes | Exception | None:
    """Return a file's bytes; None if it is no image or too large; the error if it is damaged."""
    if entry.open is None or entry.size > limit:
        return None
    try:
        with entry.open() as file:
            head = file.read(_HEAD)
            return head + file.read(limit) if any_file or sniff(head) else None
    except Exception as error:  # noqa: BLE001 - what the archive modules raise is not documented
        return error


def _refused(entry: Entry, verdict: Verdict, detail: str) -> Note:
    return Note(entry.name, entry.path, entry.size, verdict=verdict, detail=detail)


def _inspect(
    name: str, path: str, data: bytes, limits: ImageLimits, store: Path | None
) -> _Inspected:
    """Hash, check and store an image; runs in a thread of the pool."""
    sha256 = hashlib.sha256(data).hexdigest()
    try:
        info = check(data, limits)
    except InvalidImage as error:
        verdict = cast(Verdict, error.verdict)
        return _Inspected(Note(name, path, len(data), sha256, verdict=verdict, detail=error.detail))
    if store is not None:
        path = _store(store, sha256, data)
    small = None if fits(len(data), info.width, info.height) else thumbnail(data, info, limits)
    return _Inspected(Note(name, path, len(data), sha256, *info), small)


def _store(store: Path, sha256: str, data: bytes) -> str:
    """Write an image under its hash and return its path in the dataset's directory."""
    target = store / sha256[:2] / sha256
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{sha256}.{threading.get_ident()}.tmp")
        temporary.write_bytes(data)
        temporary.replace(target)
    return target.relative_to(store.parent).as_posix()


def _remove_unused(directory: Path, notes: list[Note], records: list[ImageRecord]) -> None:
    kept = {record.file for record in records if record.verdict == "used"}
    for file in {note.path for note in notes if note.sha256 and note.path} - kept:
        (directory / file).unlink(missing_ok=True)


def _sync(images: Path) -> None:
    """Fsync what was stored; many at once, since each only waits for the disk."""
    with ThreadPoolExecutor(_SYNC_THREADS) as pool:
        for _ in pool.map(sync_directory, images.rglob("*")):
            pass
    sync_directory(images)


def _check_usable(records: list[ImageRecord], name: str) -> None:
    labels = Counter(record.label for record in records if record.verdict == "used")
    if not labels:
        examples = "; ".join(f"{r.name}: {r.detail}" for r in records[:_SHOWN])
        raise InvalidDataset(
            f"None of the {len(records)} images in {name!r} can be used. E.g. {examples}"
        )
    if len(labels) == 1:
        [(label, count)] = labels.items()
        raise InvalidDataset(
            f"A classifier needs at least two labels. Found in {name!r}: one label, "
            f"{label!r}, with {count} usable images. {UNDERSTOOD}"
        )


def _describe_nothing(name: str, files: int, found: _Found) -> str:
    examples = [*found.examples, *found.tables][:_SHOWN]
    seen = f", e.g. {', '.join(examples)}" if examples else ""
    return f"No images found in {name!r}: {files} files seen{seen}. {UNDERSTOOD}"


def _summarise(records: list[ImageRecord], labelling: Labelling, ignored: int) -> DatasetSummary:
    used = [record for record in records if record.verdict == "used"]
    return DatasetSummary(
        images=len(used),
        labels=dict(sorted(Counter(record.label for record in used).items())),
        rejected=[
            RejectedImage(name=r.name, label=r.label, verdict=r.verdict, detail=r.detail)
            for r in records
            if r.verdict != "used"
        ],
        ignored=ignored,
        layout=labelling.layout,
        has_split=labelling.has_split,
        digest=_digest(used),
    )


def _missing(rows: Sequence[Row]) -> Iterator[RejectedImage]:
    """Name the files that a CSV names and that are not there, many of them by their number."""
    for row in rows[:_NAMED_MISSING]:
        detail = f"{row.table} names it, and there is no such image"
        yield RejectedImage(name=row.file, label=row.label, verdict="missing", detail=detail)
    if len(rows) > _NAMED_MISSING:
        detail = f"names {len(rows) - _NAMED_MISSING} more files that are not there"
        yield RejectedImage(name=rows[-1].table, label="", verdict="missing", detail=detail)


def _digest(used: list[ImageRecord]) -> str:
    """Hash what is learnt from: the pictures, their labels and their split, not their names."""
    digest = hashlib.sha256()
    for sha256, label, split in sorted((r.sha256, r.label, r.split or "") for r in used):
        digest.update(f"{sha256} {split} {label}\n".encode())
    return digest.hexdigest()
