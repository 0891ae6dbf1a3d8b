"""A reader that was taken for dead and wakes up does no harm to what another has read since."""

import zipfile

import pytest

from shared.errors import InvalidDataset
from shared.lease import LeaseLost
from tests.tiny_model import picture
from trainer_service import reading
from trainer_service.datasets import UPLOAD_FILE, new_dataset
from trainer_service.schemas import DatasetState
from trainer_service.settings import TrainerSettings
from trainer_service.stores import Stores


@pytest.fixture
def settings(tmp_path, redis_url):
    return TrainerSettings(store=tmp_path / "store", redis_url=redis_url)


@pytest.fixture
def datasets(settings):
    return Stores.open(settings).datasets


@pytest.fixture
def uploaded(datasets):
    """A dataset of two labels with ten pictures each, not read yet."""
    record = new_dataset("pets.zip", path=False, submitted=True)
    directory = datasets.create(record)
    with zipfile.ZipFile(directory / UPLOAD_FILE, "w") as archive:
        for number in range(10):
            archive.writestr(f"cat/{number}.png", picture((200, number, 0)))
            archive.writestr(f"dog/{number}.png", picture((0, number, 200)))
    return record.id


@pytest.mark.integration
@pytest.mark.parametrize("error", [None, OSError("stale"), InvalidDataset("odd")])
def test_a_reader_that_has_lost_its_lease_leaves_all_as_it_is(datasets, settings, uploaded, error):
    steps = []

    def progress(done: int, _: int) -> None:
        steps.append(done)
        if len(steps) == 1:
            datasets.lease_file(uploaded).unlink()
            reading.read(datasets, settings, uploaded)
            if error is not None:
                raise error

    with pytest.raises(LeaseLost):
        reading.read(datasets, settings, uploaded, progress)

    assert steps == [0]  # it ends at the next step, not with the last one
    assert datasets.get(uploaded).state == DatasetState.READY
    assert datasets.get(uploaded).images == 20
    if error is None:
        assert len(reading.used_images(datasets, uploaded)) == 20
    assert not (datasets.directory(uploaded) / UPLOAD_FILE).exists()
