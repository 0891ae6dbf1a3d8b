"""The bottleneck phase, with a real OpenVINO network that answers the mean colour."""

import errno
import hashlib
import os

import numpy as np
import openvino as ov
import PIL.Image
import pytest
import simplejpeg
from openvino import opset13 as ops

from shared.engines import OpenVINOEngine
from shared.images.decoding import ImageLimits
from tests.support.inputs.tiny_model import picture
from trainer_service.datasets.image_files import ImageFiles, NotSeenHere, Place
from trainer_service.errors import TrainingCancelled
from trainer_service.phases.bottleneck.feature_computer import FeatureComputer
from trainer_service.store.shards import ShardImage, plan_shards

COLORS = ["red", "green", "blue"]


@pytest.fixture(scope="module")
def engine():
    pixels = ops.parameter([-1, 8, 8, 3], np.uint8)
    mean = ops.reduce_mean(ops.convert(pixels, np.float32), ops.constant([1, 2]))
    return OpenVINOEngine(ov.Model([mean], [pixels]), outputs=("features",), precision="f32")


@pytest.fixture
def computer(engine):
    return FeatureComputer(
        engine,
        output="features",
        input_size=8,
        batch_size=4,
        threads=2,
        limits=ImageLimits(1 << 20, 1 << 20),
    )


@pytest.fixture
def images(tmp_path):
    """Ten different pictures: their paths and hashes."""
    found = []
    for number in range(10):
        file = tmp_path / f"{number}.png"
        file.write_bytes(picture(COLORS[number % 3], size=8 + number))
        found.append(shard_image(file))
    return found


@pytest.fixture
def files(tmp_path):
    return ImageFiles({"": Place(tmp_path, "HEADSTART_DATASETS", tmp_path)}, max_bytes=1 << 20)


def shard_image(file):
    return ShardImage(sha256=hashlib.sha256(file.read_bytes()).hexdigest(), path=file.name)


def test_features_are_in_the_order_of_the_images(computer, images, files):
    used, features, result = computer.compute(images, files, lambda done: None)

    assert used == [image.sha256 for image in images]
    assert features.shape == (10, 3)
    assert features.argmax(axis=1).tolist() == [number % 3 for number in range(10)]
    assert (result.computed, result.rejected) == (10, {})


def test_a_fault_of_the_disk_is_no_fault_of_the_image(computer, images, files, monkeypatch):
    def fail(_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(files, "_read", fail)
    with pytest.raises(OSError, match="Input/output error"):
        computer.compute(images, files, lambda done: None)


def test_an_image_that_is_gone_changed_or_damaged_is_rejected_and_the_others_go_on(
    computer, images, files, tmp_path
):
    (tmp_path / "1.png").unlink()
    (tmp_path / "2.png").write_bytes(picture("red"))
    (tmp_path / "3.png").write_bytes((tmp_path / "3.png").read_bytes()[:40])
    images[3] = shard_image(tmp_path / "3.png")

    used, features, result = computer.compute(images, files, lambda done: None)

    assert len(used) == len(features) == result.computed == 7
    assert "can't be read" in result.rejected[images[1].sha256]
    assert "has changed" in result.rejected[images[2].sha256]
    assert images[3].sha256 in result.rejected
    assert result.lost == [images[1].sha256, images[2].sha256]


def test_images_that_are_away_for_a_moment_are_used(computer, images, files, tmp_path):
    """What is missing is looked for once more, after all others."""
    (tmp_path / "away").mkdir()
    (tmp_path / "9.png").rename(tmp_path / "away/9.png")
    read = files._read

    def _read(name):
        if name == "8.png":
            (tmp_path / "away/9.png").rename(tmp_path / "9.png")
        return read(name)

    files._read = _read
    images.insert(0, images.pop())
    used, _, result = computer.compute(images, files, lambda done: None)

    assert sorted(used) == sorted(image.sha256 for image in images)
    assert (result.rejected, result.lost) == ({}, [])


def test_a_folder_that_is_gone_says_nothing_of_its_images(computer, images, files, tmp_path):
    tmp_path.rename(tmp_path.with_name("away"))

    with pytest.raises(NotSeenHere, match=f"HEADSTART_DATASETS.*{tmp_path.name}.*No such file"):
        computer.compute(images, files, lambda done: None)


def test_memory_that_ran_out_is_no_fault_of_the_image(computer, images, files, monkeypatch):
    def fail(*_):
        raise MemoryError

    monkeypatch.setattr(simplejpeg, "decode_jpeg", fail)
    monkeypatch.setattr(PIL.Image.Image, "load", fail)
    with pytest.raises(MemoryError):
        computer.compute(images, files, lambda done: None)


def test_a_shard_of_bad_images_only_has_no_features(computer, tmp_path, files):
    file = tmp_path / "bad.png"
    file.write_bytes(b"nothing")

    used, features, result = computer.compute([shard_image(file)], files, lambda done: None)

    assert (used, len(features), len(result.rejected)) == ([], 0, 1)


def test_progress_counts_up_to_all_images(computer, images, files):
    seen = []
    computer.compute(images, files, seen.append)

    assert seen == sorted(seen)
    assert seen[-1] == 10


def test_what_progress_raises_ends_the_shard(computer, images, files):
    def cancel(done):
        raise TrainingCancelled("enough")

    with pytest.raises(TrainingCancelled):
        computer.compute(images, files, cancel)


@pytest.mark.parametrize(
    ("images", "sizes"),
    [(0, []), (1, [1]), (100, [32, 32, 32, 4]), (1399, [175] * 7 + [174])],
)
def test_shards_are_many_enough_to_share_and_large_enough_to_be_worth_it(images, sizes):
    plan = plan_shards([ShardImage(sha256=str(number), path="") for number in range(images)])
    assert [len(shard) for shard in plan] == sizes


def test_no_shard_holds_more_than_256_images():
    plan = plan_shards([ShardImage(sha256="", path="")] * 23_262)
    assert max(map(len, plan)) == 256
