"""Hostile and broken zip archives."""

import io
import struct
import zipfile

import pytest

from shared.errors import TooLarge
from tests.trainer_service.datasets.conftest import picture, write_tar, write_zip
from trainer_service.errors import InvalidDataset

from .conftest import PETS, refusal_of


def test_links_in_a_zip_are_ignored(read, tmp_path):
    source = write_zip(tmp_path / "pets.zip", PETS)
    with zipfile.ZipFile(source, "a") as archive:
        link = zipfile.ZipInfo("cat.100.png")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")

    assert set(read(source)) == set(PETS)


def test_only_unix_says_in_a_zip_what_kind_a_file_is(read, tmp_path):
    source = tmp_path / "pets.zip"
    with zipfile.ZipFile(source, "w") as archive:
        for name, data in PETS.items():
            member = zipfile.ZipInfo(name)
            member.create_system, member.external_attr = 0, 0x1234 << 16 | 0x20
            archive.writestr(member, data)

    assert {record.verdict for record in read(source).values()} == {"used"}


def test_encrypted_members_are_unreadable(read, tmp_path):
    source = write_zip(tmp_path / "pets.zip", {**PETS, "cat.100.png": picture(999)})
    data = bytearray(source.read_bytes())
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.rfind(signature) + flags] |= 1
    source.write_bytes(data)

    record = read(source)["cat.100.png"]

    assert (record.verdict, record.detail) == ("unreadable", "it is encrypted in the archive")


def test_a_member_with_a_wrong_checksum_is_unreadable(read, tmp_path):
    source = write_zip(tmp_path / "pets.zip", PETS, zipfile.ZIP_STORED)
    data = source.read_bytes()
    source.write_bytes(data.replace(PETS["cat.1.png"], PETS["cat.1.png"][:-1] + b"x"))

    records = read(source)

    assert records["cat.1.png"].verdict == "unreadable"
    assert "CRC" in records["cat.1.png"].detail
    assert [record.verdict for record in records.values()].count("used") == 5


def test_unusual_compression_is_read_or_reported(read, tmp_path):
    with zipfile.ZipFile(tmp_path / "pets.zip", "w") as archive:
        for number, (name, data) in enumerate(PETS.items()):
            methods = [zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
            archive.writestr(name, data, methods[number % 3])

    records = read(tmp_path / "pets.zip")

    verdicts = [records[name].verdict for name in PETS]
    assert verdicts == ["used", "used", "unreadable"] * 2
    assert "its compression in the archive, LZMA, is not supported" in records["cat.2.png"].detail


@pytest.mark.parametrize("behind", [b"PK\x03\x04" + bytes(26), write_tar])
def test_what_lies_behind_a_zip_is_not_left_out_in_silence(read, tmp_path, behind):
    source = write_zip(tmp_path / "pets.zip", PETS)
    if callable(behind):
        behind = behind(tmp_path / "more", {"dog.9.png": picture(9)}).read_bytes()
    source.write_bytes(source.read_bytes() + behind)

    with pytest.raises(InvalidDataset, match="broken: more follows behind its end"):
        read(source)


def test_a_zip_that_begins_with_a_file_that_it_does_not_list_is_refused(read, tmp_path):
    """As two that were joined, whose list was then put in order."""
    source = write_zip(tmp_path / "pets.zip", {"dog.9.png": picture(9)})
    with source.open("r+b") as file:
        file.seek(0, io.SEEK_END)
        with zipfile.ZipFile(file, "w") as archive:
            for name, data in PETS.items():
                archive.writestr(name, data)

    with pytest.raises(InvalidDataset, match="it begins with a file that it does not list"):
        read(source)


@pytest.mark.parametrize(("before", "behind"), [(b"", b"\r\n"), (b"", bytes(1000)), (b"PK00", b"")])
def test_what_is_harmless_beside_a_zip_is_passed_over(read, tmp_path, before, behind):
    source = tmp_path / "pets.zip"
    with source.open("wb") as file:
        file.write(before)
        with zipfile.ZipFile(file, "w") as archive:
            archive.comment = b"Pets of the neighbourhood"
            for name, data in PETS.items():
                archive.writestr(name, data)
        file.seek(0, io.SEEK_END)
        file.write(behind)

    assert set(read(source)) == set(PETS)


def test_a_zip_that_lists_fewer_files_than_it_says_is_refused(read, tmp_path):
    """Such as one whose list has lost its first half, and is where its end says."""
    source = write_zip(tmp_path / "pets.zip", PETS)
    data = source.read_bytes()
    end, listed = data.rfind(b"PK\x05\x06"), data.find(b"PK\x01\x02")
    size = (end - listed) // len(PETS) * 3
    lying = struct.pack("<2L", size, end - size)
    source.write_bytes(data[: end + 12] + lying + data[end + 20 :])

    with pytest.raises(InvalidDataset, match="broken: it lists 3 files, and its end says 6"):
        read(source)


def test_a_zip_bomb_is_refused_before_it_is_unpacked(read, tmp_path):
    source = write_zip(tmp_path / "pets.zip", {f"cat.{i}.png": bytes(1 << 20) for i in range(40)})

    peak, error = refusal_of(read, source)

    assert isinstance(error, TooLarge)
    assert "HEADSTART_MAX_DATASET_BYTES" in error.detail
    assert peak < 2_000_000


def test_a_zip_that_lies_about_its_sizes_is_cut_off(read, tmp_path):
    """The declared size bounds what is read, whatever the compressed data hold."""
    source = write_zip(tmp_path / "pets.zip", {**PETS, "cat.100.png": bytes(1 << 22)})
    data = source.read_bytes()
    source.write_bytes(data.replace(struct.pack("<I", 1 << 22), struct.pack("<I", 1000)))

    assert read(source)["cat.100.png"].verdict == "unreadable"


def test_a_zip_with_a_huge_directory_is_refused_unread(read, tmp_path):
    source = write_zip(tmp_path / "pets.zip", {f"{'x' * 200}{i}.txt": b"" for i in range(4000)})

    peak, error = refusal_of(read, source, max_files=10)

    assert "HEADSTART_MAX_DATASET_FILES" in error.detail
    assert peak < 2_000_000
