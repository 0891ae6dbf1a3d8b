"""Folders and archives as they are sent."""

import errno
import io
import os
import tarfile
import tracemalloc

import pytest
from typer.testing import CliRunner

from client.app import app
from client.errors import ClientError
from client.training import uploads
from client.training.uploads import CHUNK_BYTES, MAX_FOLDERS, open_upload
from tests.support.inputs.odd_files import make_deep
from tests.support.ordinary_user import closed, ordinary_user, reachable_directory
from trainer_service.datasets import records
from trainer_service.store.files.removal import remove_tree


@pytest.fixture
def folder(tmp_path):
    for name, data in {
        "cat/1.jpg": b"\xff\xd8cat",
        "cat/2.jpg": b"x" * 512,
        "dög 🐕/a,b.png": b"y" * 1000,
        "labels.csv": b"file,label\n",
        ".hidden/3.jpg": b"no",
        "cat/.DS_Store": b"no",
        f"{'deep/' * 30}{'long' * 30}.jpg": b"deep",
    }.items():
        path = tmp_path / "pets" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return tmp_path / "pets"


def everything(upload):
    return b"".join(iter(upload.read, b""))


def test_a_folder_is_sent_as_a_tar_of_its_files_but_the_hidden(folder):
    upload = open_upload(folder)
    with tarfile.open(fileobj=io.BytesIO(everything(upload))) as archive:
        files = {member.name: archive.extractfile(member).read() for member in archive}

    assert upload.name == "pets.tar"
    expected = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "/." not in path.as_posix()
    }
    assert files == expected
    assert len(files) == 5


def test_the_sample_is_an_image(folder):
    assert open_upload(folder).sample == folder / "cat" / "1.jpg"


def test_an_archive_is_sent_as_it_is(tmp_path):
    data = os.urandom(3 * CHUNK_BYTES + 17)
    (tmp_path / "pets.zip").write_bytes(data)
    upload = open_upload(tmp_path / "pets.zip")
    sent = []
    upload.sent = sent.append

    assert everything(upload) == data
    assert (upload.name, upload.bytes, max(sent)) == ("pets.zip", len(data), len(data))


def test_memory_stays_flat_however_much_is_sent(tmp_path):
    (tmp_path / "pets").mkdir()
    for number in range(3):
        with (tmp_path / "pets" / f"{number}.jpg").open("wb") as file:
            file.truncate(30_000_000)
    upload = open_upload(tmp_path / "pets")
    tracemalloc.start()
    sent = sum(len(chunk) for chunk in iter(upload.read, b""))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert sent > 90_000_000
    assert peak < 4 * CHUNK_BYTES


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(ClientError, match="There are no files"):
        open_upload(tmp_path)


def test_a_file_that_became_shorter_is_named(folder):
    big = folder / "aaa.jpg"
    big.write_bytes(b"z" * 3 * CHUNK_BYTES)
    upload = open_upload(folder)
    upload.read()
    upload.read()
    big.write_bytes(b"z")

    with pytest.raises(ClientError, match=r"aaa\.jpg became shorter"):
        everything(upload)


def test_a_file_that_is_gone_is_named(folder):
    upload = open_upload(folder)
    (folder / "cat" / "2.jpg").unlink()

    with pytest.raises(ClientError, match=r"2\.jpg can't be read: No such file"):
        everything(upload)


def test_the_same_is_sent_again_from_the_beginning(folder):
    upload = open_upload(folder)
    first = everything(upload)
    upload.seek(0)
    upload.read()
    upload.seek(0)
    sent = []
    upload.sent = sent.append

    assert everything(upload) == first
    assert sent[-1] == len(first)


def test_links_to_folders_and_what_is_no_file_are_told_by_name(folder):
    (folder / "bird").symlink_to(folder / "cat")
    (folder / "cat" / "3.jpg").symlink_to("nowhere.jpg")
    (folder / "cat" / "4.jpg").symlink_to("1.jpg")
    os.mkfifo(folder / "dog")
    upload = open_upload(folder)

    assert upload.left_out == [
        f"{folder / 'bird'}: a link to a folder",
        f"{folder / 'dog'}: not a regular file",
        f"{folder / 'cat' / '3.jpg'}: a link that leads nowhere",
    ]
    with tarfile.open(fileobj=io.BytesIO(everything(upload))) as archive:
        assert "cat/4.jpg" in archive.getnames()


def test_folders_that_lie_deeper_than_the_trainer_reads_are_told(tmp_path):
    top = deepest = tmp_path / "pets"
    for number in range(MAX_FOLDERS):
        deepest = deepest / f"{number}"
    deepest.mkdir(parents=True)
    (deepest / "1.jpg").write_bytes(b"picture")
    make_deep(deepest, name="in")
    upload = open_upload(top)

    [left_out] = upload.left_out
    assert left_out == (
        f"{deepest / 'in'}: "
        f"nested too deeply: at most {MAX_FOLDERS} folders may lie inside each other"
    )
    with tarfile.open(fileobj=io.BytesIO(everything(upload))) as archive:
        [name] = archive.getnames()
    assert name.count("/") == MAX_FOLDERS
    remove_tree(top)


def test_client_and_trainer_agree_on_the_depth_of_folders():
    assert MAX_FOLDERS == records.MAX_FOLDERS


@pytest.fixture
def labels():
    """A folder of labels where other users than root get to, unlike pytest's."""
    with reachable_directory() as top:
        for label in ("bird", "cat"):
            (top / label).mkdir()
            (top / label / "1.jpg").write_bytes(b"picture")
        yield top


@pytest.mark.parametrize(
    ("mode", "named"), [(0o000, "bird"), (0o111, "bird"), (0o444, "bird/1.jpg")]
)
def test_a_folder_that_may_not_be_read_is_named_and_nothing_is_sent(labels, mode, named):
    with closed(labels / "bird", mode), ordinary_user():
        done = CliRunner().invoke(app, ["train", str(labels), "--trainer", "http://127.0.0.1:1"])

    assert done.exit_code == 1, done.output
    assert done.stderr == f"{labels / named} can't be read: Permission denied.\n"


def test_what_is_left_out_is_told(labels):
    for number in range(12):
        (labels / f"dog{number:02}").symlink_to(labels / "cat")
    done = CliRunner().invoke(app, ["train", str(labels), "--trainer", "http://127.0.0.1:1"])
    lines = done.stderr.splitlines()

    assert lines[0] == f"left out: {labels / 'dog00'}: a link to a folder"
    assert lines[10] == "left out: 2 more"
    assert len(lines) == 12


def test_a_folder_of_links_is_no_empty_one(tmp_path):
    (tmp_path / "cat").symlink_to("/")
    with pytest.raises(ClientError, match=r"The first that can't is .*/cat: a link to a folder\.$"):
        open_upload(tmp_path)


def test_a_disk_that_fails_is_told_with_the_file(folder, monkeypatch):
    """Errors of reading name no file."""
    upload = open_upload(folder)
    monkeypatch.setattr(uploads, "_exactly", broken)

    with pytest.raises(ClientError, match=r"labels\.csv can't be read: Input/output error"):
        everything(upload)


def broken(*_):
    raise OSError(errno.EIO, os.strerror(errno.EIO))
