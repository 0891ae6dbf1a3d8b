"""The names of files in zips of all systems."""

import io
import struct
import zipfile
import zlib

import pytest

from tests.trainer_service.datasets.conftest import picture, write_zip
from trainer_service.datasets.records import load_images
from trainer_service.datasets.scan.reader import read_dataset
from trainer_service.datasets.sources.zip_names import ZipNames

from .conftest import PETS

KITTEN, CAT, DOG = "K\u00e4tzchen", "\u732b", "\u72d7"


@pytest.fixture
def summarise(tmp_path, limits):
    """Reads the bytes of a zip; returns the summary and the records by name."""

    def summarise(data):
        (tmp_path / "a.zip").write_bytes(data)
        directory = tmp_path / "dataset"
        summary = read_dataset(tmp_path / "a.zip", directory, limits, lambda done, total: None)
        return summary, {record.name: record for record in load_images(directory)}

    return summarise


def renamed(data, old, new):
    """Return a zip in which the bytes of a name are others, of the same length."""
    assert len(old) == len(new)
    return data.replace(old, new)


def legacy_zip(names, encoding):
    """Return a zip of names of which zipfile has written stand-ins of the same length."""
    stand_ins = {
        name: f"{number:04}".ljust(len(name.encode(encoding)), "x")
        for number, name in enumerate(names)
    }
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for number, stand_in in enumerate(stand_ins.values()):
            archive.writestr(zipfile.ZipInfo(stand_in), picture(number))
    raw = data.getvalue()
    for name, stand_in in stand_ins.items():
        raw = renamed(raw, stand_in.encode(), name.encode(encoding))
    return raw


@pytest.mark.parametrize(
    ("encoding", "labels", "note"),
    [
        ("cp850", (KITTEN, "V\u00f6gel"), "cp437"),
        ("gbk", (CAT, DOG), "gb18030"),
        ("utf-8", (KITTEN, CAT), ""),
    ],
)
def test_labels_of_a_zip_that_does_not_say_how_its_names_are_written(
    summarise, encoding, labels, note
):
    names = [f"{label}/{number}.png" for label in labels for number in range(4)]

    summary, _ = summarise(legacy_zip(names, encoding))

    assert summary.labels == dict.fromkeys(sorted(labels), 4)
    notes = [n.text for n in summary.interpretation.notes if n.kind == "guess"]
    assert [note in text for text in notes] == ([True] if note else [])


def test_a_name_that_only_the_list_has_is_used(summarise):
    """As where a tool has renamed a file in the zip, and left its header alone."""
    names = [f"{label}/{number}.png" for label in ("cat", "dog") for number in range(4)]
    raw = legacy_zip(names, "ascii")
    head, listed = raw[: raw.index(b"PK\1\2")], raw[raw.index(b"PK\1\2") :]

    summary, records = summarise(head + listed.replace(b"cat/0", b"cow/0"))

    assert records["cow/0.png"].verdict == "used"
    assert summary.rejected == []
    assert "1 files have another name" in " ".join(n.text for n in summary.interpretation.notes)


def test_a_name_in_the_field_for_it_counts_if_it_is_of_that_name():
    legacy = "K?tzchen.png"
    for crc, name in ((zlib.crc32(legacy.encode()), f"{KITTEN}.png"), (7, legacy)):
        member = zipfile.ZipInfo(legacy)
        data = struct.pack("<BI", 1, crc) + f"{KITTEN}.png".encode()
        member.extra = struct.pack("<HH", 0x7075, len(data)) + data

        assert ZipNames([member]).name(member) == name


@pytest.mark.parametrize(
    ("version", "of", "name", "used"),
    [
        (1, b"ko_ka.9.png", "ko\u010dka.9.png".encode(), "ko\u010dka.9.png"),
        (1, b"renamed.9.png", "ko\u010dka.9.png".encode(), "ko_ka.9.png"),
        (2, b"ko_ka.9.png", "ko\u010dka.9.png".encode(), "ko_ka.9.png"),
        (1, b"ko_ka.9.png", b"ko\xe8ka.9.png", "ko_ka.9.png"),
        (1, b"ko_ka.9.png", b"", "ko_ka.9.png"),
        (1, b"ko_ka.9.png", b"../../cat.9.png", "cat.9.png"),
    ],
)
def test_info_zip_s_field_for_names_in_utf_8_is_read(read, tmp_path, version, of, name, used):
    """If it is about the name that the file has now."""
    field = struct.pack("<BI", version, zlib.crc32(of)) + name
    times = struct.pack("<HHI", 0x5455, 4, 0)
    member = zipfile.ZipInfo("ko_ka.9.png")
    member.extra = times + struct.pack("<HH", 0x7075, len(field)) + field
    source = write_zip(tmp_path / "pets.zip", PETS)
    with zipfile.ZipFile(source, "a") as archive:
        archive.writestr(member, picture(9))

    assert read(source).keys() - PETS.keys() == {used}
