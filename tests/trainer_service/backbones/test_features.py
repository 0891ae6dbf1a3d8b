"""The feature store, with real files."""

import errno
import hashlib
import json
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from shared.documents import read_small
from tests.support.ordinary_user import ordinary_user, reachable_directory
from trainer_service.backbones import features as features_module
from trainer_service.backbones.features import BrokenFeatures, FeaturesGone, FeatureStore


def rows(*values):
    return np.array([[value, value + 0.5] for value in values], np.float32)


@pytest.fixture
def features(tmp_path):
    return FeatureStore(tmp_path, "space")


def test_features_come_back_in_the_order_asked_for_across_shards(features):
    features.write(["a", "b"], rows(1, 2), seconds=4.0)
    features.write(["c"], rows(3), seconds=1.0)

    np.testing.assert_array_equal(features.read(["c", "a", "b", "a"]), rows(3, 1, 2, 1))


def test_each_row_carries_its_share_of_the_seconds(features):
    features.write(["a", "b"], rows(1, 2), seconds=4.0)

    assert features.locate()["b"].seconds == 2.0


def test_a_shard_is_known_by_all_its_images(features):
    assert not features.holds(["a", "b"])
    features.write(["a", "b"], rows(1, 2), seconds=4.0)

    assert features.holds(["a", "b"])
    assert not features.holds(["a"])
    assert not features.holds(["b", "a"])


def test_writing_a_shard_again_replaces_it(features, tmp_path):
    features.write(["a", "b"], rows(1, 2), seconds=4.0)
    features.write(["a", "b"], rows(5, 6), seconds=4.0)

    np.testing.assert_array_equal(features.read(["a", "b"]), rows(5, 6))
    assert len(list((tmp_path / "features" / "space").iterdir())) == 2


def test_a_shard_without_its_index_does_not_exist(features, tmp_path):
    features.write(["a"], rows(1), seconds=1.0)
    for index in (tmp_path / "features" / "space").glob("*.json"):
        index.unlink()

    assert features.locate() == {}
    with pytest.raises(FeaturesGone):
        features.read(["a"])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make what belongs to another user")
def test_what_is_in_the_place_of_their_folder_is_named_when_they_are_written(features, tmp_path):
    """Whether they are there is asked first, by marking them as used: that has no name to tell."""
    (tmp_path / "features").touch()

    assert not features.holds(["a"])
    with pytest.raises(OSError, match=f"{tmp_path}/features/space"):
        features.write(["a"], rows(1), seconds=1.0)


def test_those_of_another_user_are_used_as_they_are():
    with reachable_directory() as directory:
        features = FeatureStore(directory, "space")
        features.write(["a"], rows(1), seconds=1.0)
        [index] = directory.rglob("*.json")
        os.utime(index, (0, 0))
        with ordinary_user():
            assert features.holds(["a"])
            features.use([index.stem])
            np.testing.assert_array_equal(features.read(["a"]), rows(1))
        assert index.stat().st_mtime == 0


def test_spaces_do_not_share_features(features, tmp_path):
    features.write(["a"], rows(1), seconds=1.0)

    assert FeatureStore(tmp_path, "another").locate() == {}


def test_a_shard_that_is_removed_while_they_are_located_is_left_out(features, tmp_path):
    features.write(["a"], rows(1), seconds=1.0)
    # Listed, and gone when it is opened.
    (tmp_path / "features/space/gone.json").symlink_to(tmp_path / "nothing")

    assert set(features.locate()) == {"a"}


def test_features_are_stored_in_half_the_bytes(features, tmp_path):
    """Float16 keeps eleven bits: the relative error is at most 2 to the power of -11."""
    values = np.random.default_rng(0).uniform(0.01, 100, (3, 50)).astype(np.float32)
    features.write(["a", "b", "c"], values, seconds=1.0)
    (file,) = (tmp_path / "features/space").glob("*.npy")

    assert np.load(file).dtype == np.dtype("<f2")
    read = features.read(["a", "b", "c"])
    assert read.dtype == np.float32
    np.testing.assert_allclose(read, values, rtol=2**-11)


def test_features_of_earlier_releases_are_read_beside_those_of_today(features, shards):
    index, data = shards
    forget_hash(index)
    old = np.array([[1.0001, 7e7]], np.float32)
    np.save(data, old)

    assert set(features.locate(["a", "b"])) == {"a", "b"}
    np.testing.assert_array_equal(features.read(["b", "a"]), np.concatenate([rows(2), old]))


def test_what_float16_can_not_hold_is_kept_in_float32(features, tmp_path):
    large = np.array([[1e6, -1e6], [65504, 1 / 3]], np.float32)
    features.write(["a", "b"], large, seconds=1.0)
    features.write(["c"], rows(3), seconds=1.0)

    np.testing.assert_array_equal(features.read(["a", "c", "b"]), [large[0], *rows(3), large[1]])
    kinds = {np.load(file).dtype for file in tmp_path.rglob("*.npy")}
    assert kinds == {np.dtype("<f2"), np.dtype("<f4")}


@pytest.mark.parametrize("value", [1e6, -1e6])
def test_a_single_feature_that_float16_can_not_hold_is_enough(features, value):
    large = np.array([[1, 2], [3, value]], np.float32)
    features.write(["a", "b"], large, seconds=1.0)

    np.testing.assert_array_equal(features.read(["a", "b"]), large)


@pytest.mark.parametrize("place", [1, (1, 0)], ids=["all features", "one feature"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_features_that_are_no_numbers_are_not_stored(features, tmp_path, value, place):
    broken = rows(1, 2, 3)
    broken[place] = value

    with pytest.raises(BrokenFeatures, match="features of 1 of 3 images are infinite or not a"):
        features.write(["a", "b", "c"], broken, seconds=1.0)
    assert not features.holds(["a", "b", "c"])
    assert list(tmp_path.rglob("*.npy")) == []


def test_the_last_features_of_each_image_are_read_alone(features):
    features.write(["a", "b"], rows(1, 2), seconds=1.0)
    features.write(["c"], rows(3), seconds=1.0)

    np.testing.assert_array_equal(features.read(["c", "a"], last=1), rows(3, 1)[:, 1:])
    np.testing.assert_array_equal(features.read(["c", "a"], last=2), rows(3, 1))
    assert features.read([], last=2).shape == (0, 2)


@pytest.mark.parametrize("last", [0, 3, -1])
def test_more_features_than_there_are_can_not_be_read(features, last):
    """And nothing is taken for damaged because of it."""
    features.write(["a"], rows(1), seconds=1.0)

    with pytest.raises(ValueError, match=f"`last` should be from 1 to 2.* Received: {last}"):
        features.read(["a"], last=last)
    np.testing.assert_array_equal(features.read(["a"]), rows(1))


def test_reading_takes_little_more_memory_than_what_is_read(features):
    """Beside it one shard of 0.5 MB: twelve of them are not in memory at once, nor their rest."""
    shards = [[f"{number}-{row}" for row in range(256)] for number in range(12)]
    for shard in shards:
        features.write(shard, np.ones((256, 1024), np.float32), seconds=1.0)
    images = [image for shard in shards for image in shard]

    for last in (1024, 128):
        tracemalloc.start()
        read = features.read(images, last=last)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert read.shape == (3072, last)
        assert peak < read.nbytes + 3 * 2**20


@pytest.fixture
def shards(features, tmp_path):
    """Two shards; return the files of the one that holds "a"."""
    features.write(["b"], rows(2), seconds=1.0)
    others = set((tmp_path / "features/space").iterdir())
    features.write(["a"], rows(1), seconds=1.0)
    index, data = sorted(set((tmp_path / "features/space").iterdir()) - others)
    assert (index.suffix, data.suffix) == (".json", ".npy")
    return index, data


def truncate(file):
    file.write_bytes(file.read_bytes()[:-1])


def flip_a_bit(file):
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)


def make_folder(file):
    file.unlink(missing_ok=True)
    file.mkdir()
    (file / "inner").write_bytes(b"")


def make_pipe(file):
    file.unlink(missing_ok=True)
    os.mkfifo(file)


DAMAGE = {
    "truncated": truncate,
    "flipped": flip_a_bit,
    "empty": lambda file: file.write_bytes(b""),
    "noise": lambda file: file.write_bytes(os.urandom(200)),
    "a zip": lambda file: file.write_bytes(b"PK\x03\x04" + bytes(100)),
    "of objects": lambda file: np.save(file, np.array([{}]), allow_pickle=True),
    "flat": lambda file: np.save(file, np.zeros(2, np.float32)),
    "of doubles": lambda file: np.save(file, np.zeros((1, 2))),
    "without rows": lambda file: np.save(file, np.zeros((0, 2), np.float32)),
    "gone": Path.unlink,
    "a folder": make_folder,
    "a pipe": make_pipe,
}


#: What the hash of an index agrees with, but no head can be learned from.
USELESS = {
    "not a number": np.array([[np.nan, 1]], np.float16),
    "infinite": np.array([[1, -np.inf]], np.float32),
    "too few": np.array([[1]], np.float16),
    "too many": np.array([[1, 2, 3]], np.float16),
}


@pytest.mark.parametrize("hashed", [True, False])
@pytest.mark.parametrize("kind", USELESS)
def test_features_that_no_head_can_learn_from_are_computed_again(tmp_path, shards, kind, hashed):
    """As an earlier release may have stored them."""
    features = FeatureStore(tmp_path, "space", width=2)
    index, data = shards
    np.save(data, USELESS[kind])
    if hashed:
        sha256 = hashlib.sha256(data.read_bytes()).hexdigest()
        index.write_text(json.dumps(json.loads(index.read_bytes()) | {"sha256": sha256}))
    else:
        forget_hash(index)

    assert set(features.locate(["a", "b"])) == {"b"}
    assert not features.holds(["a"])
    assert not data.exists()
    features.write(["a"], rows(1), seconds=1.0)
    np.testing.assert_array_equal(features.read(["a", "b"]), rows(1, 2))


def test_sound_features_are_not_measured_by_those_of_another_width(tmp_path):
    features = FeatureStore(tmp_path, "space", width=2)
    features.write(["a"], np.zeros((1, 7), np.float32), seconds=1.0)
    features.write(["b"], rows(2), seconds=1.0)

    with pytest.raises(FeaturesGone, match="1 image"):
        features.read(["a", "b"])
    assert set(features.locate()) == {"b"}


@pytest.mark.parametrize("hashed", [True, False])
@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_features_are_missing_and_computed_again(features, shards, damage, hashed):
    index, data = shards
    if not hashed:
        forget_hash(index)
        if damage == "flipped":
            pytest.skip("only a hash tells")
    DAMAGE[damage](data)

    assert set(features.locate(["a", "b"])) == {"b"}
    assert not index.exists()
    assert not data.exists()
    features.write(["a"], rows(1), seconds=1.0)
    np.testing.assert_array_equal(features.read(["a", "b"]), rows(1, 2))


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"images": 3, "seconds": 1}', b'{"images": ["a"]}', b"\xff"]
)
def test_a_damaged_index_counts_as_missing(features, shards, content):
    shards[0].write_bytes(content)

    assert set(features.locate(["b"])) == set(features.locate()) == {"b"}
    np.testing.assert_array_equal(features.read(["b"]), rows(2))
    assert not shards[0].exists()


@pytest.mark.parametrize("damage", [make_folder, make_pipe])
def test_anything_in_place_of_an_index_counts_as_missing(features, shards, damage):
    damage(shards[0])

    assert set(features.locate(["a", "b"])) == {"b"}
    features.write(["a"], rows(1), seconds=1.0)
    np.testing.assert_array_equal(features.read(["a", "b"]), rows(1, 2))


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_shard_is_not_held(features, shards, damage):
    DAMAGE[damage](shards[1])

    assert not features.holds(["a"])
    assert features.holds(["b"])


def test_a_shard_that_can_not_be_read_now_is_not_held_and_is_written_again(
    features, shards, monkeypatch
):
    """Else a training would count on it, and fail at its end, as often as it is submitted."""
    with monkeypatch.context() as patch:
        patch.setattr(features_module, "read_small", failing_at(".npy"))
        assert not features.holds(["a"])

    features.write(["a"], rows(7), seconds=1.0)
    np.testing.assert_array_equal(features.read(["a"]), rows(7))


def failing_at(suffix):
    def read(file, most):
        if file.suffix == suffix:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return read_small(file, most)

    return read


@pytest.mark.parametrize("suffix", [".npy", ".json"])
def test_features_that_only_can_not_be_read_now_are_kept(features, shards, monkeypatch, suffix):
    monkeypatch.setattr(features_module, "read_small", failing_at(suffix))

    assert features.locate(["a", "b"]) == {}
    assert not features.holds(["a"])
    with pytest.raises(OSError, match="Input/output"):
        features.read(["a"])
    assert all(file.exists() for file in shards)


def test_an_index_that_can_only_not_be_read_now_is_not_gone(features, shards, monkeypatch):
    """Otherwise a short fault of the disk would end a training."""

    def fail(file, most):
        if file == shards[0]:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return read_small(file, most)

    with monkeypatch.context() as patch:
        patch.setattr(features_module, "read_small", fail)
        with pytest.raises(OSError, match="Stale file handle"):
            features.read(["a", "b"])
        assert set(features.locate(["a", "b"])) == {"b"}
    np.testing.assert_array_equal(features.read(["a", "b"]), rows(1, 2))


def test_features_without_a_hash_are_used(features, shards):
    """Those that an earlier version of Headstart has stored."""
    forget_hash(shards[0])

    assert set(features.locate(["a", "b"])) == {"a", "b"}
    np.testing.assert_array_equal(features.read(["a", "b"]), rows(1, 2))


@pytest.mark.parametrize("damage", ["truncated", "noise", "without rows", "gone", "a pipe"])
def test_features_that_are_damaged_once_the_training_runs_fail_it_once(features, shards, damage):
    DAMAGE[damage](shards[1])

    with pytest.raises(FeaturesGone, match="Submit the training again"):
        features.read(["a", "b"])
    assert set(features.locate()) == {"b"}


@pytest.mark.parametrize("damage", ["a folder", "a pipe", "endless"])
def test_what_lies_in_the_features_place_once_the_training_runs_fails_it_once(
    features, shards, damage
):
    (DAMAGE | {"endless": lambda file: os.truncate(file, 2**40)})[damage](shards[1])

    with pytest.raises(FeaturesGone, match="Submit the training again"):
        features.read(["a", "b"])
    assert set(features.locate()) == {"b"}


CUT_OFF_WHILE_THEY_ARE_READ = """
import sys
from pathlib import Path
import numpy as np
from trainer_service.backbones.features import FeatureStore

images = [f"{number:064}" for number in range(256)]
store = FeatureStore(Path(sys.argv[1]), "space")
store.write(images, np.ones((256, 1280), np.float32), 1.0)
(file,) = Path(sys.argv[1]).rglob("*.npy")
make = np.empty

def cut_off(*arguments):
    file.write_bytes(b"")
    return make(*arguments)

np.empty = cut_off
assert store.read(images).sum() == 256 * 1280
"""


@pytest.mark.process
def test_a_file_that_is_cut_off_while_it_is_read_ends_no_process(tmp_path):
    """With a mapped file, reading a page that is gone raises SIGBUS."""
    command = [sys.executable, "-c", CUT_OFF_WHILE_THEY_ARE_READ, tmp_path]
    assert subprocess.run(command, check=False, timeout=60).returncode == 0


def test_features_of_another_length_are_damaged(features, tmp_path):
    features.write(["a"], rows(1), seconds=1.0)
    features.write(["b"], np.zeros((1, 7), np.float32), seconds=1.0)

    with pytest.raises(FeaturesGone):
        features.read(["a", "b"])


def forget_hash(index):
    content = json.loads(index.read_bytes())
    del content["sha256"]
    index.write_text(json.dumps(content))


def test_a_shard_with_fewer_rows_than_images_is_not_read_as_it_lies(features, tmp_path):
    features.write(["a", "b"], rows(1, 2), seconds=1.0)
    np.testing.assert_array_equal(features.read_shard(["a", "b"]), rows(1, 2))
    [file] = tmp_path.rglob("*.npy")
    np.save(file, np.load(file)[:1])

    with pytest.raises(FeaturesGone, match="2 images"):
        features.read_shard(["a", "b"])
    assert not file.exists()
