"""The state of tuning on disk: whatever happens to its file, it is what was saved, or missing."""

import os
import random

import numpy as np
import pytest

from trainer_service.phases.tune import checkpoint
from trainer_service.phases.tune.checkpoint import Checkpoint

KEY = "k" * 64


@pytest.fixture
def file(tmp_path):
    """Where a checkpoint is saved."""
    path = tmp_path / "shards" / "tune.npz"
    state = [np.arange(30, dtype=np.float32), np.float32(3)]
    epochs = [{"loss": 1.0, "val_loss": float("nan")}]
    best = [np.ones((3, 4), np.float32)]
    checkpoint.save(path, Checkpoint(KEY, epochs, 1, (0.25, 0.125), state, best))
    return path


def test_what_was_saved_is_loaded(file):
    found = checkpoint.load(file, KEY)

    assert (found.best_epoch, found.history[0]["loss"]) == (1, 1.0)
    assert tuple(found.gain) == (0.25, 0.125)
    assert np.isnan(found.history[0]["val_loss"])
    np.testing.assert_array_equal(found.state[0], np.arange(30))
    assert found.state[1] == 3
    np.testing.assert_array_equal(found.best[0], np.ones((3, 4)))


def test_that_of_another_training_is_missing_and_stays(file):
    assert checkpoint.load(file, "other") is None
    assert checkpoint.load(file, KEY) is not None


def test_one_with_any_flipped_bit_is_missing(file):
    """A zip alone fails on some in odd ways, and does not notice a changed name of an array."""
    data = file.read_bytes()
    flip = random.Random(0)
    for place in range(0, len(data), 2):
        damaged = bytearray(data)
        damaged[place] ^= 1 << flip.randrange(8)
        file.write_bytes(damaged)
        assert checkpoint.load(file, KEY) is None, place
        assert not file.exists()


@pytest.mark.parametrize("length", [0, 1, 32, 33, 500, -1])
def test_one_that_was_cut_off_is_missing(file, length):
    file.write_bytes(file.read_bytes()[:length])
    assert checkpoint.load(file, KEY) is None


@pytest.mark.parametrize("make", ["mkdir", "pipe", "loop", "nothing"])
def test_whatever_is_in_its_place_does_not_keep_the_next_one_away(file, make):
    saved = checkpoint.load(file, KEY)
    file.unlink()
    match make:
        case "mkdir":
            (file / "folder").mkdir(parents=True)
        case "pipe":
            os.mkfifo(file)
        case "loop":
            file.symlink_to(file.name)
    assert checkpoint.load(file, KEY) is None

    checkpoint.save(file, saved)
    assert checkpoint.load(file, KEY) is not None
