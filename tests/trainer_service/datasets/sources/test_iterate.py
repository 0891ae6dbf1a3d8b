"""Which kind a source is, and what is none."""

import gzip

import pytest

from tests.trainer_service.datasets.conftest import picture, write_tar_gz
from trainer_service.errors import InvalidDataset

from .conftest import PETS


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "an empty file"),
        (b"hello", "something else"),
        (picture(1), "a single PNG image"),
        (b"7z\xbc\xaf\x27\x1c" + bytes(99), "a 7z archive"),
        (b"Rar!\x1a\x07", "a RAR archive"),
        (b"\xfd7zXZ\0", "an xz file"),
        (b"PK\x07\x08PK\x03\x04", "a part of a zip archive that was split"),
        (gzip.compress(b"hello" * 1000, mtime=0), "a gzip file that holds something else"),
        (gzip.compress(gzip.compress(b"", mtime=0), mtime=0), "that holds a gzip file"),
        (gzip.compress(picture(1), mtime=0), "a gzip file that holds a single PNG image"),
        (gzip.compress(b"", mtime=0), "a gzip file that holds an empty file"),
        (b"PK\x05\x06" + bytes(10), "is broken"),
        (b"PK\x03\x04" + bytes(100), "is broken"),
    ],
)
def test_what_is_no_archive_is_refused(read, tmp_path, data, what):
    (tmp_path / "pets.zip").write_bytes(data)

    with pytest.raises(InvalidDataset, match=what) as caught:
        read(tmp_path / "pets.zip")
    assert "'pets.zip'" in caught.value.detail


def test_a_source_that_is_not_there_is_refused(read, tmp_path):
    with pytest.raises(InvalidDataset, match=r"'pets\.zip', which does not exist"):
        read(tmp_path / "pets.zip")


def test_the_content_tells_the_kind_of_archive(read, tmp_path):
    assert set(read(write_tar_gz(tmp_path / "pets.zip", PETS))) == set(PETS)
