"""Folders and archives as they are sent."""

import io
import os
import tarfile
import tracemalloc

import pytest

from client.errors import ClientError
from client.uploads import CHUNK_BYTES, open_upload


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
    assert (upload.name, upload.bytes, sum(sent)) == ("pets.zip", len(data), len(data))


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
