"""What no archive may do, of whatever kind it is."""

import hashlib
import tarfile
import zipfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.errors import HeadstartError
from tests.support.inputs.hostile_archives import add
from tests.trainer_service.datasets.conftest import picture, write_tar, write_tar_gz, write_zip
from trainer_service.datasets.records import load_images
from trainer_service.datasets.scan.reader import read_dataset
from trainer_service.errors import InvalidDataset

from .conftest import PETS


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
