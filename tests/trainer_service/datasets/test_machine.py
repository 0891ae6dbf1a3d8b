"""An error of the machine is not a verdict on a file, and no file is left out silently."""

import errno
import io
import os
import zipfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.ordinary_user import ordinary_user, reachable_directory
from trainer_service.datasets.records import MAX_FOLDERS, load_images
from trainer_service.datasets.scan import reader
from trainer_service.datasets.scan.reader import read_dataset
from trainer_service.datasets.sources import folder, iterate
from trainer_service.datasets.thumbnails.store import THUMBNAILS_FILE, ThumbnailWriter
from trainer_service.errors import InvalidDataset

from .conftest import WRITERS, picture, write_folder, write_tar_gz, write_zip

PETS = {
    f"{label}/{i}.png": picture(f)
    for f, (label, i) in enumerate((label, i) for label in ("cat", "dog") for i in range(5))
}
#: Archives are read a megabyte at a time.
HEAVY = {name: data + os.urandom(300_000) for name, data in PETS.items()}


def _quiet(done, total):
    pass


@pytest.fixture
def read(tmp_path, limits):
    def read(source, progress=_quiet):
        summary = read_dataset(source, tmp_path / "dataset", limits, progress, threads=2)
        return summary, {record.name: record for record in load_images(tmp_path / "dataset")}

    return read


@pytest.fixture
def left(tmp_path):
    return lambda: list((tmp_path / "dataset").iterdir())


class _Failing(io.FileIO):
    """A file of which one piece can't be read for a moment."""

    def __init__(self, file, pieces, error):
        super().__init__(os.dup(file.fileno()), "rb")
        file.close()
        self._pieces = pieces
        self._error = error

    def readinto(self, buffer):
        self._pieces -= 1
        if self._pieces == -1:
            raise self._error
        return super().readinto(buffer)


@pytest.fixture
def fail(monkeypatch):
    """Makes reading fail once, after some pieces of the files whose names end so."""

    def fail(error, pieces=0, end=""):
        for module, name in ((folder, "open_file"), (iterate, "open_below")):
            opener = getattr(module, name)

            def failing(root, path, opener=opener):
                file = opener(root, path)
                if not path.endswith(end):
                    return file
                return io.BufferedReader(_Failing(file, pieces, error))

            monkeypatch.setattr(module, name, failing)

    return fail


FAULTS = [
    OSError(errno.ESTALE, "Stale file handle"),
    OSError(errno.EIO, "Input/output error"),
    OSError(errno.ETIMEDOUT, "Connection timed out"),
]


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("pieces", [0, 1, 2])
@pytest.mark.parametrize("error", [*FAULTS, MemoryError()], ids=repr)
def test_a_disk_that_fails_ends_the_reading(kind, pieces, error, tmp_path, fail, read, left):
    source = WRITERS[kind](tmp_path / "pets", HEAVY)
    if kind == "folder":  # a file is one piece, and then its end
        fail(error, min(pieces, 1), end="1.png")
    else:
        fail(error, pieces, end="pets")

    with pytest.raises(type(error)) as caught:
        read(source)

    assert not isinstance(caught.value, InvalidDataset)
    assert getattr(caught.value, "errno", None) == getattr(error, "errno", None)
    assert left() == []


@pytest.mark.parametrize("error", FAULTS, ids=repr)
@pytest.mark.parametrize("times", [1, 2])
def test_a_folder_that_can_not_be_opened_for_a_moment_is_not_left_out(
    error, times, tmp_path, monkeypatch, read, left
):
    """It is opened to be listed, and again for each file of it."""
    source = write_folder(tmp_path / "pets", PETS)
    opener, opened = folder.open_folder, []

    @contextmanager
    def failing(root, name=""):
        if name == "cat":
            opened.append(name)
            if len(opened) == times:
                raise error
        with opener(root, name) as folder:
            yield folder

    monkeypatch.setattr(folder, "open_folder", failing)

    with pytest.raises(OSError, match=error.strerror):
        read(source)
    assert left() == []
    assert read(source)[0].labels == {"cat": 5, "dog": 5}


@pytest.mark.parametrize("kind", WRITERS)
def test_a_bug_in_the_reader_is_not_a_verdict_on_a_file(kind, tmp_path, monkeypatch, read, left):
    def broken(*_):
        raise KeyError("a mistake")

    monkeypatch.setattr(reader, "check_with_copy", broken)

    with pytest.raises(KeyError):
        read(WRITERS[kind](tmp_path / "pets", PETS))
    assert left() == []


def once(change):
    """A progress that changes something when the files are known, and before one is read."""
    changes = [change]

    def progress(done, total):
        if changes:
            changes.pop()()

    return progress


def test_a_file_that_vanishes_while_its_folder_is_read_is_told(tmp_path, read):
    source = write_folder(tmp_path / "pets", PETS)

    summary, records = read(source, once((source / "cat/0.png").unlink))

    assert summary.labels == {"cat": 4, "dog": 5}
    assert records["cat/0.png"].verdict == "unreadable"
    assert records["cat/0.png"].detail == "No such file or directory"


def test_a_table_that_vanishes_while_its_folder_is_read_ends_the_reading(tmp_path, read, left):
    source = write_folder(tmp_path / "pets", {**PETS, "labels.csv": b"file,label\n"})

    with pytest.raises(OSError, match=r"It changed while it was read: 'labels\.csv'"):
        read(source, once((source / "labels.csv").unlink))
    assert left() == []


@pytest.mark.parametrize("name", ["cat", "."])
def test_a_folder_that_vanishes_while_it_is_read_ends_the_reading(name, tmp_path, read, left):
    source = write_folder(tmp_path / "pets", PETS)

    def vanish():
        for file in list((source / name).rglob("*.png")):
            file.unlink()

    with pytest.raises(OSError, match=r"vanished while it was read: 'pets'"):
        read(source, once(vanish))
    assert left() == []


def test_a_folder_that_is_moved_away_for_a_moment_is_read_all_the_same(tmp_path, read):
    source = write_folder(tmp_path / "pets", PETS)

    assert read(source, once(lambda: source.rename(tmp_path / "away")))[0].images == 10


def test_a_folder_whose_label_is_moved_away_ends_the_reading(tmp_path, read, left):
    source = write_folder(tmp_path / "pets", PETS)

    with pytest.raises(OSError, match=r"It changed while it was read: 'cat'"):
        read(source, once(lambda: (source / "cat").rename(tmp_path / "away")))
    assert left() == []


def test_a_link_that_is_put_in_place_of_a_file_is_not_followed(tmp_path, read):
    source = write_folder(tmp_path / "pets", PETS)
    secret = tmp_path / "secret.png"
    secret.write_bytes(picture(999))

    def swap():
        (source / "cat/0.png").unlink()
        (source / "cat/0.png").symlink_to(secret)

    _, records = read(source, once(swap))

    assert records["cat/0.png"].verdict == "unreadable"
    assert records["cat/0.png"].sha256 == ""


def test_a_link_that_is_put_in_place_of_a_folder_is_not_followed(tmp_path, read, left):
    source = write_folder(tmp_path / "pets", PETS)
    outside = write_folder(tmp_path / "outside", {f"{i}.png": picture(900 + i) for i in range(5)})

    def swap():
        (source / "cat").rename(tmp_path / "away")
        (source / "cat").symlink_to(outside)

    with pytest.raises(OSError, match=r"It changed while it was read: 'cat'"):
        read(source, once(swap))
    assert left() == []


def test_a_link_that_is_put_in_place_of_the_source_is_not_followed(tmp_path, limits):
    for write in (write_folder, write_zip):
        root = tmp_path / write.__name__
        root.mkdir()
        write(tmp_path / f"{write.__name__}.secret", PETS)
        (root / "pets").symlink_to(tmp_path / f"{write.__name__}.secret")

        with pytest.raises(OSError, match=r"symbolic|Not a directory"):
            read_dataset(root / "pets", tmp_path / "dataset", limits, _quiet, root=root)


def test_a_pipe_that_is_put_in_place_of_a_file_keeps_nobody_waiting(tmp_path, read):
    source = write_folder(tmp_path / "pets", PETS)

    def swap():
        (source / "cat/0.png").unlink()
        os.mkfifo(source / "cat/0.png")

    _, records = read(source, once(swap))

    assert records["cat/0.png"].verdict == "unreadable"
    assert records["cat/0.png"].detail == "it is not a plain file"


@pytest.fixture
def shared():
    with reachable_directory() as directory:
        yield directory


@pytest.mark.parametrize("mode", [0o000, 0o700, 0o644])
@pytest.mark.parametrize("name", ["bird", "bird/young", "."])
def test_a_folder_that_may_not_be_read_is_refused_by_name(shared, limits, mode, name):
    folder = write_folder(shared / "pets", {**PETS, "bird/young/1.png": picture(50)})
    read_dataset(folder, shared / "before", limits, _quiet)
    if os.geteuid() != 0:
        mode &= 0o477
    (folder / name).chmod(mode)

    try:
        with ordinary_user() as user, pytest.raises(InvalidDataset) as caught:
            read_dataset(folder, shared / "dataset", limits, _quiet)
    finally:
        (folder / name).chmod(0o755)

    named = "pets" if name == "." else name
    assert f"The folder '{named}' can't be read: permission denied" in caught.value.detail
    assert f"the user with the id {user}" in caught.value.detail


def test_an_archive_that_may_not_be_read_is_refused_by_name(shared, limits):
    archive = shared / "pets.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("cat/1.png", picture(1))
    archive.chmod(0o000)

    with ordinary_user() as user, pytest.raises(InvalidDataset) as caught:
        read_dataset(archive, shared / "dataset", limits, _quiet)

    assert "Received: 'pets.zip', Permission denied" in caught.value.detail
    assert f"the user with the id {user}" in caught.value.detail


def test_a_closed_folder_that_holds_nothing_of_interest_is_passed_over(shared, limits):
    folder = write_folder(shared / "pets", {**PETS, "lost+found/1.png": b"", ".git/1.png": b""})
    read_dataset(folder, shared / "before", limits, _quiet)
    for name in ("lost+found", ".git"):
        (folder / name).chmod(0)

    try:
        with ordinary_user():
            assert read_dataset(folder, shared / "dataset", limits, _quiet).images == 10
    finally:
        for name in ("lost+found", ".git"):
            (folder / name).chmod(0o755)


def test_files_that_may_not_be_read_are_told(shared, limits):
    folder = write_folder(shared / "pets", {**PETS, "cat/unnamed": picture(50)})
    closed = ("cat/0.png", "cat/unnamed")
    for name in closed:
        (folder / name).chmod(0)

    with ordinary_user():
        summary = read_dataset(folder, shared / "dataset", limits, _quiet)

    told = {image.name: (image.verdict, image.detail) for image in summary.rejected}
    assert told == dict.fromkeys(closed, ("unreadable", "Permission denied"))


def test_without_a_table_that_may_not_be_read_no_labels_are_made_up(shared, limits):
    table = b"file,label\ncat/0.png,x\n"
    folder = write_folder(shared / "pets", {**PETS, "labels.csv": table})
    (folder / "labels.csv").chmod(0)

    with ordinary_user(), pytest.raises(InvalidDataset, match=r"labels\.csv can't be read"):
        read_dataset(folder, shared / "dataset", limits, _quiet)


def test_links_to_folders_are_told_whatever_their_names_look_like(tmp_path, read):
    source = write_folder(tmp_path / "pets", PETS)
    (source / "bird.v2").symlink_to(tmp_path)

    [told] = read(source)[0].rejected

    assert (told.name, told.verdict) == ("bird.v2", "link")


def test_folders_that_are_too_deep_are_told(tmp_path, read):
    deep = "/".join("a" * (MAX_FOLDERS + 2))
    source = write_folder(tmp_path / "pets", {**PETS, f"{deep}/1.png": picture(50)})

    summary, _ = read(source)

    [told] = summary.rejected
    assert told.name == "/".join("a" * (MAX_FOLDERS + 1))
    assert told.detail == "it lies in 33 folders, one in the other; 32 are the most"


def test_images_of_an_archive_that_lie_too_deep_are_told(tmp_path, read):
    deep = "/".join("a" * (MAX_FOLDERS + 1))
    source = write_tar_gz(tmp_path / "pets", {**PETS, f"{deep}/1.png": picture(50)})

    [told] = read(source)[0].rejected

    assert told.detail == "it lies in 33 folders, one in the other; 32 are the most"


def test_a_full_disk_is_told_where_thumbnails_are_written(tmp_path, monkeypatch, read, left):
    """SQLite itself finds no more room, as on a full disk, after some pages."""
    entering = ThumbnailWriter.__enter__

    def full(self):
        writer = entering(self)
        self._database.execute("PRAGMA max_page_count = 3")
        return writer

    monkeypatch.setattr(ThumbnailWriter, "__enter__", full)
    files = {name: picture(number, "JPEG", (400, 400)) for number, name in enumerate(PETS)}
    source = write_folder(tmp_path / "pets", files)

    with pytest.raises(OSError, match="No space left on device") as caught:
        read(source)

    assert caught.value.errno == errno.ENOSPC
    assert Path(caught.value.filename).name == THUMBNAILS_FILE
    assert left() == []


def test_what_else_sqlite_can_not_do_is_an_error_of_the_system(tmp_path):
    with pytest.raises(OSError, match=r"Is a directory|unable to open"):
        ThumbnailWriter(tmp_path)
