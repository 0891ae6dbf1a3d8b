"""Which pictures a version is published with, when some of the test images are gone by then."""

import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from tests.support.inputs.bottleneck_training import BottleneckTraining
from trainer_service.backbones.architectures import find_architecture
from trainer_service.datasets.image_files import NotSeenHere
from trainer_service.phases.publish.golden import GOLDEN_IMAGES, _read_golden
from trainer_service.phases.publish.quantization import _calibration_pixels
from trainer_service.store.shards import ImagesLost

pytestmark = pytest.mark.integration

LITE = find_architecture("efficientnet_lite0")


@pytest.fixture
def trained(tmp_path, redis_url):
    return BottleneckTraining(tmp_path, redis_url)


@pytest.fixture
def evaluated(trained):
    images = trained.images[:20]
    truth = np.array([("cat", "dog").index(image.label) for image in images])
    return SimpleNamespace(
        network=SimpleNamespace(architecture=LITE),
        trained=SimpleNamespace(splits={"train": images}),
        test_images=images,
        test_truth=truth,
        test_probabilities=np.arange(len(images), dtype=np.float32)[:, None],
    )


def golden(trained, evaluated):
    with trained.work() as work:
        return [int(image.trained[0]) for image in _read_golden(work, evaluated)]


def test_another_test_image_takes_the_place_of_one_that_is_gone_or_has_changed(trained, evaluated):
    assert golden(trained, evaluated) == list(range(GOLDEN_IMAGES))

    (trained.pets / "cat/0.png").unlink()
    (trained.pets / "dog/3.png").write_bytes(b"other")
    assert golden(trained, evaluated) == [1, 2, 4, 5, 6, 7, 8, 9]


def test_the_few_that_are_left_are_enough(trained, evaluated):
    for number in range(0, 20, 2):
        (trained.pets / f"cat/{number}.png").unlink()
    for number in range(3, 20, 2):
        (trained.pets / f"dog/{number}.png").unlink()
    assert golden(trained, evaluated) == [1]


def test_when_none_is_left_or_the_folder_is_gone_it_is_told(trained, evaluated):
    shutil.rmtree(trained.pets / "cat")
    (trained.pets / "dog").rename(trained.pets / "dogs")
    with pytest.raises(ImagesLost, match=r"All 20 images .* are gone"):
        golden(trained, evaluated)

    shutil.rmtree(trained.pets)
    with pytest.raises(NotSeenHere, match="HEADSTART_DATASETS"):
        golden(trained, evaluated)


def test_int8_is_calibrated_with_the_images_that_are_left(trained, evaluated):
    files = trained.files()
    (trained.pets / "cat/0.png").unlink()
    with trained.work() as work:
        assert len(_calibration_pixels(work, evaluated, files)) == 19

    for image in trained.images[:20]:
        (trained.pets / image.file).unlink(missing_ok=True)
    with trained.work() as work, pytest.raises(ImagesLost):
        _calibration_pixels(work, evaluated, files)
