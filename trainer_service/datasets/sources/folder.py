"""The files of a folder and of the folders in it."""

import io
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, BinaryIO, NamedTuple

from shared.files import is_fault_of_the_file, open_file, open_folder
from trainer_service.datasets.records import DatasetLimits
from trainer_service.datasets.sources.hang_guard import HangGuard
from trainer_service.datasets.sources.names import (
    clean_name,
    fault_of,
    fault_of_depth,
    is_hidden,
    shown,
)
from trainer_service.datasets.sources.raw_file import RawFile
from trainer_service.datasets.sources.source import (
    NO_FILE,
    Damaged,
    Entry,
    Source,
    Step,
    changed,
    this_user,
)
from trainer_service.datasets.sources.tally import Tally, too_many_files
from trainer_service.errors import InvalidDataset

_LEADS_OUT = "a link that leads out of the folder"


def iterate_folder(source: Source, limits: DatasetLimits, hang_guard: HangGuard) -> Iterator[Step]:
    """Yield every file of a folder, in the order of their names; see `iterate`."""
    with ExitStack() as stack:
        with hang_guard.system_call(source.name):
            top = stack.enter_context(open_folder(source.root, source.path))
            walk = _Walk(source, top, limits, hang_guard)
        found = sorted(walk.items())
        for done, item in enumerate(found):
            yield Step(done, len(found), _folder_entry(top, item, hang_guard))


class _Item(NamedTuple):
    """What was found in a folder: its name below the root, and the file that it leads to."""

    name: str
    path: str = ""
    size: int = 0
    problem: str = ""
    link: bool = False
    folder: bool = False


class _Walk:
    """Finds what lies below an open folder, without following links."""

    def __init__(
        self, source: Source, top: int, limits: DatasetLimits, hang_guard: HangGuard
    ) -> None:
        self._source = source
        self._resolved = (source.root / source.path).resolve()
        self._top = top
        self._tally = Tally(limits)
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
            return _Item(name, problem=fault_of_depth(name.count("/") + 1), folder=True)
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


def _describe_closed(folder: str) -> str:
    return (
        f"The folder {clean_name(shown(folder))!r} can't be read: permission denied{this_user()}. "
        "Without it the dataset would lack a part of its images. Expected a folder that this user "
        "may list and enter; let it, or move the folder out of the dataset"
    )


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
    if fault := fault_of(name):
        return Entry(shown(name), "", item.size, None, fault)
    return Entry(name, item.path, item.size, lambda: _open_judged(top, item.path, hang_guard))


@contextmanager
def _open_judged(top: int, path: str, hang_guard: HangGuard) -> Iterator[IO[bytes]]:
    """Open a file of a folder; turn what is wrong with it into Damaged."""
    try:
        with hang_guard.system_call(path):
            file = _open_listed(top, path)
        with file, io.BufferedReader(RawFile(file, path, hang_guard)) as buffered:
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
