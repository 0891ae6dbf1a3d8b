"""Hostile and broken tar archives, packed with gzip or not."""

import gzip
import io
import tarfile

import pytest

from tests.trainer_service.datasets.conftest import picture, write_tar, write_tar_gz
from trainer_service.errors import InvalidDataset

from .conftest import PETS, refusal_of


def test_a_name_of_dots_alone_is_ignored(read, inside, tmp_path):
    source = write_tar(tmp_path / "pets", {**PETS, "../..": picture(999)})

    assert set(read(source)) == set(PETS)
    inside(source)


def test_links_and_devices_in_a_tar_are_not_followed(read, inside, tmp_path):
    kinds = [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE]
    source = write_tar(tmp_path / "pets.tar", PETS)
    with tarfile.open(source, "a") as archive:
        for number, kind in enumerate(kinds):
            member = tarfile.TarInfo(f"cat.{number + 100}.png")
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)

    records = read(source)
    refused = {name: record for name, record in records.items() if name not in PETS}

    assert set(refused) == {"cat.102.png", "cat.103.png"}
    assert {record.verdict for record in refused.values()} == {"unreadable"}
    assert all("a device, a pipe" in record.detail for record in refused.values())
    inside(source)


def test_a_file_behind_a_link_to_a_folder_is_not_written_there(read, inside, tmp_path):
    source = tmp_path / "pets.tar"
    with tarfile.open(source, "w") as archive:
        link = tarfile.TarInfo("out")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path)
        archive.addfile(link)
        for name, data in {**PETS, "out/cat.9.png": picture(999)}.items():
            member = tarfile.TarInfo(name if "/" in name else f"out/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))

    read(source)

    inside(source)


def test_sparse_files_of_a_tar_are_reported_as_such(read, tmp_path):
    source = write_tar(tmp_path / "pets.tar", PETS)
    with tarfile.open(source, "a", format=tarfile.PAX_FORMAT) as archive:
        member = tarfile.TarInfo("cat.7.png")
        member.size = len(picture(7))
        member.pax_headers = {"GNU.sparse.map": "0,1", "GNU.sparse.size": "1"}
        archive.addfile(member, io.BytesIO(picture(7)))

    records = read(source)

    assert records["cat.7.png"].detail.startswith("it is packed as a sparse file; pack it without")
    assert {name for name, record in records.items() if record.verdict == "used"} == set(PETS)


@pytest.mark.parametrize(
    ("size", "reason"),
    [(0, "a file in it has too many headers"), (-512, "a header in it is damaged: read length")],
)
def test_what_is_wrong_with_the_headers_of_a_tar_is_told(read, tmp_path, size, reason):
    member = tarfile.TarInfo("long")
    member.type, member.size = tarfile.GNUTYPE_LONGNAME, size
    data = member.tobuf(tarfile.GNU_FORMAT) * 2000
    (tmp_path / "pets.tar").write_bytes(data + bytes(1024))

    with pytest.raises(InvalidDataset, match=f"is broken: {reason}"):
        read(tmp_path / "pets.tar")


def test_a_tar_cut_between_two_members_is_refused(read, tmp_path):
    source = write_tar(tmp_path / "pets.tar", PETS)
    size = sum(512 + -(-len(data) // 512) * 512 for data in PETS.values())
    source.write_bytes(source.read_bytes()[:size])

    with pytest.raises(InvalidDataset, match=r"broken: it ends early"):
        read(source)


def test_zeros_in_the_middle_of_a_tar_are_no_end_of_it(read, tmp_path):
    """Tarfile would take the zeros for the end, and leave out three of the dogs."""
    source = write_tar(tmp_path / "pets.tar", PETS)
    data = source.read_bytes()
    half = data.find(b"dog.3.png")
    source.write_bytes(data[:half] + bytes(1024) + data[half:])

    with pytest.raises(InvalidDataset, match="broken: more follows behind its end"):
        read(source)


@pytest.mark.parametrize("behind", [0, 1, 512, 1 << 20])
def test_zeros_behind_a_tar_are_its_padding(read, tmp_path, behind):
    source = write_tar(tmp_path / "pets.tar", PETS)
    source.write_bytes(source.read_bytes() + bytes(behind))

    assert set(read(source)) == set(PETS)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_a_link_in_place_of_the_table_is_refused_not_done_without(read, tmp_path, kind):
    """The labels would be made up from the names instead."""
    source = write_tar(tmp_path / "pets.tar", PETS)
    with tarfile.open(source, "a") as archive:
        link = tarfile.TarInfo("labels.csv")
        link.type, link.linkname = kind, "elsewhere.csv"
        archive.addfile(link)

    with pytest.raises(InvalidDataset, match=r"labels\.csv can't be read.*a link, not a file"):
        read(source)


def test_a_tar_with_a_damaged_header_in_the_middle_is_refused(read, tmp_path):
    source = write_tar(tmp_path / "pets.tar", PETS)
    data = bytearray(source.read_bytes())
    data[data.find(b"dog.4.png") + 150] ^= 0xFF
    source.write_bytes(data)

    with pytest.raises(InvalidDataset, match="broken"):
        read(source)


def test_a_tar_bomb_is_refused_before_it_is_unpacked(read, tmp_path):
    source = write_tar_gz(
        tmp_path / "pets.tgz", {f"cat.{i}.png": bytes(1 << 20) for i in range(40)}
    )

    peak, error = refusal_of(read, source)

    assert "HEADSTART_MAX_DATASET_BYTES" in error.detail
    assert peak < 16_000_000


@pytest.mark.parametrize("kind", [b"x", b"L", b"g"])
def test_a_tar_header_that_unpacks_to_gigabytes_is_refused(read, tmp_path, kind):
    member = tarfile.TarInfo("header")
    member.type, member.size = kind, 1 << 32
    source = tmp_path / "pets.tgz"
    with gzip.open(source, "wb") as file:
        file.write(member.tobuf())
        for _ in range(64):
            file.write(bytes(1 << 20))

    peak, error = refusal_of(read, source, max_bytes=1 << 40)

    assert "broken: a header is implausibly large" in error.detail
    assert peak < 8_000_000


def test_endless_headers_are_refused(read, tmp_path):
    member = tarfile.TarInfo("header")
    member.type, member.size = b"x", 0
    source = tmp_path / "pets.tgz"
    with gzip.open(source, "wb") as file:
        for _ in range(5000):
            file.write(member.tobuf())

    with pytest.raises(InvalidDataset, match="broken"):
        read(source)
