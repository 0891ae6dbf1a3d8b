"""What a pass has found is known as a whole, or not at all."""

import errno

import pytest

from trainer_service.datasets.records import IMAGES_FOLDER, RECORDS_FILE, load_images
from trainer_service.datasets.scan import scans
from trainer_service.datasets.scan.found import OTHERS_FILE, Found, load_found
from trainer_service.datasets.scan.verdicts import Note
from trainer_service.datasets.thumbnails.store import THUMBNAILS_FILE


def keep(directory, *names, files=()):
    """Keep that a pass has found these images, and has put these files beside them."""
    with scans.staging(directory) as staged:
        for file in files:
            (staged / file).parent.mkdir(exist_ok=True)
            (staged / file).write_bytes(b"x")
        notes = [Note(name, name, 1, f"{number:064}") for number, name in enumerate(names)]
        scans.keep(staged, directory, Found(notes=notes, ignored=len(names)))


def names(directory):
    return [image.name for image in load_images(directory)]


def test_a_pass_that_was_kept_is_known(tmp_path):
    assert not scans.is_kept(tmp_path)

    keep(tmp_path, "a.png", "b.png", files=[THUMBNAILS_FILE, f"{IMAGES_FOLDER}/a"])

    assert scans.is_kept(tmp_path)
    assert names(tmp_path) == ["a.png", "b.png"]
    assert load_found(tmp_path, []).ignored == 2
    assert (tmp_path / IMAGES_FOLDER / "a").exists()
    assert not list(tmp_path.glob(".staging*"))


def test_nothing_is_left_of_what_was_found_before(tmp_path):
    keep(tmp_path, "a.png", "b.png", files=[THUMBNAILS_FILE, f"{IMAGES_FOLDER}/a"])
    keep(tmp_path, "c.png")

    assert names(tmp_path) == ["c.png"]
    assert load_found(tmp_path, []).ignored == 1
    assert not (tmp_path / THUMBNAILS_FILE).exists()
    assert not (tmp_path / IMAGES_FOLDER).exists()


@pytest.mark.parametrize("file", [OTHERS_FILE, RECORDS_FILE])
def test_a_part_of_a_pass_does_not_count_as_kept(tmp_path, file):
    keep(tmp_path, "a.png")
    (tmp_path / file).unlink()

    assert not scans.is_kept(tmp_path)


def test_if_only_a_part_was_put_in_place_it_is_read_again(tmp_path, monkeypatch):
    """Else the images of one pass would be taken together with the tables of another."""
    keep(tmp_path, "a.png")

    def fail(_):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(scans, "sync_directory", fail)
        with pytest.raises(OSError, match="Input/output error"):
            keep(tmp_path, "b.png")

    assert not scans.is_kept(tmp_path)
    keep(tmp_path, "b.png")
    assert scans.is_kept(tmp_path)
