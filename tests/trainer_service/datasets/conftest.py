"""Makes small datasets of real image files, as folders and as archives."""

import io
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from shared.images.decoding import ImageLimits
from tests.support.inputs import hostile_images as hostile
from trainer_service.datasets.records import DatasetLimits


def picture(seed, kind="PNG", size=(8, 8)):
    """The bytes of a picture that is another one for every seed."""
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    return hostile.saved(Image.fromarray(pixels), kind)


def write_zip(path, files, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def write_tar(path, files, mode="w"):
    with tarfile.open(path, mode) as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def write_tar_gz(path, files):
    return write_tar(path, files, "w:gz")


def write_folder(path, files):
    path.mkdir()
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


WRITERS = {"zip": write_zip, "tar": write_tar, "tar.gz": write_tar_gz, "folder": write_folder}


@pytest.fixture(params=WRITERS)
def write(request, tmp_path):
    """Writes files, a mapping of names to bytes, as a source of each kind; returns its path."""
    return lambda files: WRITERS[request.param](tmp_path / "pets.bin", files)


@pytest.fixture
def limits():
    return DatasetLimits(1 << 24, 1000, ImageLimits(1 << 20, 1_000_000))
