"""Folders with links, pipes and odd names."""

import os
import tarfile

import pytest

from tests.trainer_service.datasets.conftest import picture, write_folder
from trainer_service.datasets.records import load_images
from trainer_service.datasets.scan.reader import read_dataset

from .conftest import PETS


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


def test_files_of_a_folder_that_are_shown_under_one_name_are_used(tmp_path, limits):
    files = {**PETS, "cat.\1.7.png": picture(7), "cat.\2.7.png": picture(8)}
    source = write_folder(tmp_path / "pets", files)

    read_dataset(source, tmp_path / "dataset", limits, lambda done, total: None)

    records = load_images(tmp_path / "dataset")
    assert [(r.name, r.verdict) for r in records].count(("cat.\ufffd.7.png", "used")) == 2


def test_backslashes_in_a_name_count_as_folders(read, tmp_path):
    """As they do in an archive: a name is shown, and its folders are counted, with slashes."""
    deep = "a\\" * 40 + "cat.7.png"
    folder = write_folder(tmp_path / "pets", {**PETS, deep: picture(999)})

    [refused] = [record for name, record in read(folder).items() if name not in PETS]

    assert refused.verdict == "unreadable"
    assert refused.detail == "it lies in 40 folders, one in the other; 32 are the most"
