"""What a phase is going to write is compared with what the disk has left."""

import shutil
from types import SimpleNamespace

import pytest

from trainer_service.errors import TransientFailure
from trainer_service.phases.disk_room import Demand, megabytes


@pytest.fixture
def demand(tmp_path, monkeypatch):
    """Return a demand of so many megabytes, on a disk with a hundred left."""

    def of(directory):
        assert directory == tmp_path, "a folder that is not there yet has no disk"
        return SimpleNamespace(free=100_000_000)

    monkeypatch.setattr(shutil, "disk_usage", of)
    folder = tmp_path / "features" / "space"
    return lambda count: Demand(folder, count * 10**6, "Three rows", "Make room.")


def test_what_does_not_fit_is_refused_with_both_numbers_and_the_place(demand, tmp_path):
    with pytest.raises(TransientFailure) as refused:
        demand(101).require_room()

    assert refused.value.detail == (
        "Three rows take 101 MB. Expected that much room in "
        f"{tmp_path}/features/space. Received: 100 MB. Make room."
    )


def test_what_leaves_little_is_warned_of(demand, tmp_path):
    demand(90).require_room()

    said = f"Three rows may take 90 MB, and {tmp_path}/features/space has 100 MB left. Make room."
    assert demand(90).warning == said
    assert demand(80).warning is None


def test_a_part_of_a_megabyte_counts_as_one():
    assert [megabytes(count) for count in (0, 1, 10**6, 1_234_000_001)] == [
        "0 MB",
        "1 MB",
        "1 MB",
        "1,235 MB",
    ]
