"""Hostile and broken archives."""

import gzip
import hashlib
import io
import os
import struct
import tarfile
import tracemalloc
import zipfile
import zlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.errors import HeadstartError, TooLarge
from tests.hostile_archives import add
from trainer_service.datasets.reader import read_dataset
from trainer_service.datasets.records import load_images
from trainer_service.errors import InvalidDataset

from .conftest import picture, write_folder, write_tar, write_tar_gz, write_zip

PETS = {f"{'cat' if i < 3 else 'dog'}.{i}.png": picture(i) for i in range(6)}


@pytest.fixture
def read(tmp_path, limits):
    def read(source, **changed):
        directory = tmp_path / "inner/dataset"
        read_dataset(source, directory, limits._replace(**changed), lambda done, total: None)
        return {record.name: record for record in load_images(directory)}

    return read


@pytest.fixture
def inside(tmp_path):
    """Checks that nothing but the source and the dataset has come into being."""

    def inside(source):
        found = {path for path in tmp_path.rglob("*") if path.is_file()} - {source}
        dataset = tmp_path / "inner/dataset"
        assert all(path.is_relative_to(dataset) for path in found)

    return inside


@pytest.mark.parametrize("writer", [write_zip, write_tar, write_tar_gz])
@pytest.mark.parametrize(
    "names",
    [
        ("../../cat.7.png", "cat.7.png"),
        ("/cat.7.png", "cat.7.png"),
        ("..\\..\\cat.7.png", "cat.7.png"),
        ("./.././/cat.7.png", "cat.7.png"),
        ("cat\n\x1b[2J.7.png", "cat\ufffd\ufffd[2J.7.png"),
    ],
)
def test_names_are_only_data(writer, read, inside, tmp_path, names):
    hostile, clean = names
    source = writer(tmp_path / "pets", {**PETS, hostile: picture(999)})

    records = read(source)

    assert set(records) == {*PETS, clean}
    assert records[clean].verdict == "used"
    inside(source)


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


@pytest.mark.parametrize(
    ("version", "of", "name", "used"),
    [
        (1, b"ko_ka.9.png", "kočka.9.png".encode(), "kočka.9.png"),
        (1, b"renamed.9.png", "kočka.9.png".encode(), "ko_ka.9.png"),
        (2, b"ko_ka.9.png", "kočka.9.png".encode(), "ko_ka.9.png"),
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


def test_links_in_a_zip_are_ignored(read, tmp_path):
    source = write_zip(tmp_path / "pets.zip", PETS)
    with zipfile.ZipFile(source, "a") as archive:
        link = zipfile.ZipInfo("cat.100.png")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")

    assert set(read(source)) == set(PETS)


def test_links_in_a_folder_are_followed_only_inside_of_it(read, tmp_path):
    folder = write_folder(tmp_path / "pets", PETS)
    (tmp_path / "secret.png").write_bytes(picture(999))
    (folder / "cat.100.png").symlink_to(tmp_path / "secret.png")
    (folder / "cat.101.png").symlink_to(folder / "cat.0.png")
    (folder / "cat.102.png").symlink_to(folder / "nowhere.png")
    (folder / "loop").symlink_to(folder)

    records = read(folder)

    assert set(records) == {*PETS, "cat.101.png"}
    assert records["cat.101.png"].verdict == "duplicate"


def test_a_pipe_in_a_folder_is_told_and_nobody_waits_for_it(read, tmp_path):
    folder = write_folder(tmp_path / "pets", PETS)
    os.mkfifo(folder / "cat.103.png")
    (folder / "cat.104.png").symlink_to("cat.103.png")

    records = read(folder)

    for name in ("cat.103.png", "cat.104.png"):
        assert records[name].verdict == "unreadable"
        assert "a device, a pipe" in records[name].detail


def test_links_that_are_not_followed_are_told(tmp_path, limits):
    folder = write_folder(tmp_path / "pets", PETS)
    (tmp_path / "outside").mkdir()
    (tmp_path / "secret.png").write_bytes(picture(999))
    for name, target in {
        "cat.100.png": tmp_path / "secret.png",
        "cat.101.png": folder / "nowhere.png",
        "cat.102.png": "cat.102.png",
        "birds": tmp_path / "outside",
        "loop": folder,
        "notes.txt": tmp_path / "secret.png",
    }.items():
        (folder / name).symlink_to(target)
    tar = tmp_path / "pets.tar"
    with tarfile.open(tar, "w") as archive:
        archive.add(folder, "pets")

    def told(source):
        summary = read_dataset(source, tmp_path / "dataset", limits, lambda done, total: None)
        return summary.ignored, [tuple(image.model_dump().values()) for image in summary.rejected]

    assert told(folder) == (
        1,
        [
            ("birds", "", "link", "a link that leads out of the folder"),
            ("cat.100.png", "", "link", "a link that leads out of the folder"),
            ("cat.101.png", "", "link", "a link that leads nowhere"),
            ("cat.102.png", "", "link", "a link that leads nowhere"),
            ("loop", "", "link", "a link to another folder"),
        ],
    )
    ignored, links = told(tar)
    assert (ignored, len(links)) == (1, 5)
    assert links[0][2:] == ("link", "a link, not a file of its own")


def test_a_file_of_a_folder_that_is_not_utf_8_is_reported(read, tmp_path):
    folder = write_folder(tmp_path / "pets", PETS)
    try:
        (folder / os.fsdecode(b"cat.\xff7.png")).write_bytes(picture(999))
    except OSError:
        pytest.skip("this file system has only UTF-8 names")

    [bad] = [record for name, record in read(folder).items() if name not in PETS]

    assert (bad.verdict, bad.detail) == ("unreadable", "its name is not valid UTF-8")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_of_several_files_of_one_name_the_last_is_used(kind, tmp_path, limits):
    """As who unpacks the archive gets that one, e.g. after `tar --append`."""
    source = tmp_path / "pets"
    files = [*PETS.items(), ("cat.1.png", picture(7)), ("./cat.1.png", picture(8))]
    if kind == "zip":
        with zipfile.ZipFile(source, "w") as archive:
            for name, data in files:
                archive.writestr(name, data)
    else:
        with tarfile.open(source, "w") as archive:
            for name, data in files:
                add(archive, name, data)

    read_dataset(source, tmp_path / "dataset", limits, lambda done, total: None)
    records = load_images(tmp_path / "dataset")

    called_so = [record for record in records if record.name == "cat.1.png"]
    assert [record.verdict for record in called_so] == ["duplicate", "duplicate", "used"]
    assert called_so[-1].sha256 == hashlib.sha256(picture(8)).hexdigest()
    assert called_so[0].detail == "a later file of the archive has the same name"
    assert len([path for path in (tmp_path / "dataset/images").rglob("*") if path.is_file()]) == 6


def test_files_of_a_folder_that_are_shown_under_one_name_are_used(tmp_path, limits):
    files = {**PETS, "cat.\1.7.png": picture(7), "cat.\2.7.png": picture(8)}
    source = write_folder(tmp_path / "pets", files)

    read_dataset(source, tmp_path / "dataset", limits, lambda done, total: None)

    records = load_images(tmp_path / "dataset")
    assert [(r.name, r.verdict) for r in records].count(("cat.\ufffd.7.png", "used")) == 2


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


@pytest.mark.parametrize("writer", [write_zip, write_tar, write_tar_gz])
def test_a_truncated_archive_is_refused(writer, read, tmp_path):
    """Wherever an archive is cut, it is not read as if it were whole."""
    whole = writer(tmp_path / "pets", PETS).read_bytes()
    end_of_data = len(whole.rstrip(b"\0"))
    for end in range(0, end_of_data, max(1, end_of_data // 60)):
        source = tmp_path / "cut"
        source.write_bytes(whole[:end])

        with pytest.raises(InvalidDataset):
            read(source)


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


@pytest.mark.parametrize("write", [write_zip, write_tar, write_tar_gz])
def test_of_two_archives_that_were_joined_none_is_left_out_in_silence(read, tmp_path, write):
    names = sorted(PETS)
    parts = [
        write(tmp_path / f"part{index}", {name: PETS[name] for name in names[index::2]})
        for index in range(2)
    ]
    source = tmp_path / "joined"
    source.write_bytes(b"".join(part.read_bytes() for part in parts))

    with pytest.raises(InvalidDataset, match="two archives were joined: pack them as one"):
        read(source)


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


def _peak(call, *arguments, **changed):
    tracemalloc.start()
    try:
        with pytest.raises(HeadstartError) as caught:
            call(*arguments, **changed)
        return tracemalloc.get_traced_memory()[1], caught.value
    finally:
        tracemalloc.stop()


def test_a_zip_bomb_is_refused_before_it_is_unpacked(read, tmp_path):
    source = write_zip(tmp_path / "pets.zip", {f"cat.{i}.png": bytes(1 << 20) for i in range(40)})

    peak, error = _peak(read, source)

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

    peak, error = _peak(read, source, max_files=10)

    assert "HEADSTART_MAX_DATASET_FILES" in error.detail
    assert peak < 2_000_000


def test_a_tar_bomb_is_refused_before_it_is_unpacked(read, tmp_path):
    source = write_tar_gz(
        tmp_path / "pets.tgz", {f"cat.{i}.png": bytes(1 << 20) for i in range(40)}
    )

    peak, error = _peak(read, source)

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

    peak, error = _peak(read, source, max_bytes=1 << 40)

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


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None
)
@given(st.sampled_from(["zip", "tar", "tgz"]), st.data())
def test_no_damage_raises_anything_unexpected(read, tmp_path, kind, draw):
    writer = {"zip": write_zip, "tar": write_tar, "tgz": write_tar_gz}[kind]
    data = bytearray(writer(tmp_path / "whole", PETS).read_bytes())
    for _ in range(draw.draw(st.integers(1, 5))):
        data[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    (tmp_path / "damaged").write_bytes(data)

    try:
        records = read(tmp_path / "damaged")
    except HeadstartError:
        return
    assert records
