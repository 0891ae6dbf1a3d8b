"""Reads hostile and broken sources, and sees what that leaves and costs."""

import tracemalloc

import pytest

from shared.errors import HeadstartError
from tests.trainer_service.datasets.conftest import picture
from trainer_service.datasets.records import load_images
from trainer_service.datasets.scan.reader import read_dataset

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


def refusal_of(read, source, **changed):
    """Return the most bytes of memory that reading a source has taken, and what refused it."""
    tracemalloc.start()
    try:
        with pytest.raises(HeadstartError) as caught:
            read(source, **changed)
        return tracemalloc.get_traced_memory()[1], caught.value
    finally:
        tracemalloc.stop()
