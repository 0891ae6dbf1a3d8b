"""The heat of a version's mistakes, as its report shows it."""

import base64
import hashlib
import io
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from shared.engines import load_version_engine
from shared.images.decoding import ImageLimits
from shared.models.model_store import ModelStore, read_manifest
from tests.support.inputs.explainable_model import halves, publish_explainable_model
from tests.support.inputs.tiny_model import LABELS
from trainer_service.datasets.image_files import ImageFiles, Place
from trainer_service.phases.publish.heat import heat_of_mistakes
from trainer_service.report.thumbnails import embedded

LIMITS = ImageLimits(1 << 20, 1 << 20)


@pytest.fixture
def version(tmp_path):
    """A version of the classifier of colours, its engine and what its heatmaps are made of."""
    publish_explainable_model(tmp_path)
    directory = ModelStore(tmp_path).directory("colours", 1)
    engine = load_version_engine(directory, "openvino", "f32", 2)
    return directory, engine, read_manifest(directory).heatmaps


@pytest.fixture
def mistakes(tmp_path):
    """Three pictures, half red and half blue, of which the last one was answered right."""
    images = []
    for number, name in enumerate(("left.png", "right.png", "fine.png")):
        data = halves("red", "blue") if number != 1 else halves("blue", "red")
        (tmp_path / name).write_bytes(data)
        sha256 = hashlib.sha256(data).hexdigest()
        images.append(SimpleNamespace(file=name, name=name, sha256=sha256, label="blue"))
    red, blue = np.eye(len(LABELS), dtype=np.float32)[[0, 2]]
    evaluated = SimpleNamespace(
        network=SimpleNamespace(architecture=SimpleNamespace(input_size=8)),
        test_images=images,
        test_truth=np.array([2, 2, 2]),
        test_probabilities=np.stack([red, red, blue]),
    )
    files = ImageFiles({"": Place(tmp_path, "HEADSTART_STORE", tmp_path)}, 1 << 20)
    work = SimpleNamespace(
        dataset=lambda: SimpleNamespace(files=lambda: files),
        worker=SimpleNamespace(threads=2, image_limits=LIMITS),
    )
    return work, evaluated


def pixels(picture):
    data = base64.b64decode(picture.url.partition(",")[2])
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), np.int32)


def test_what_spoke_for_the_wrong_answer_is_painted_over_the_picture(version, mistakes, tmp_path):
    found = heat_of_mistakes(*mistakes, *version)

    assert set(found) == {0, 1}, "the third is no mistake"
    for at, name, half in ((0, "left.png", slice(0, 70)), (1, "right.png", slice(90, 160))):
        plain = embedded((tmp_path / name).read_bytes(), LIMITS)
        assert (found[at].width, found[at].height) == (4 * plain.width, 4 * plain.height)
        before = pixels(plain).repeat(4, axis=0).repeat(4, axis=1)
        changed = np.abs(pixels(found[at]) - before).sum(axis=2)
        other = slice(90, 160) if half.start == 0 else slice(0, 70)
        assert changed[:, half].mean() > 10 * max(1, changed[:, other].mean())


def test_an_image_that_is_gone_has_none(version, mistakes, tmp_path):
    (tmp_path / "left.png").unlink()
    (tmp_path / "right.png").write_bytes(b"other")

    assert heat_of_mistakes(*mistakes, *version) == {}


def test_without_heatmaps_or_if_they_fail_there_are_none(version, mistakes, caplog):
    directory, engine, info = version
    wrong = info.maps[0].model_copy(update={"channels": 7})

    assert heat_of_mistakes(*mistakes, directory, engine, None) == {}
    assert not caplog.records
    broken = info.model_copy(update={"maps": [wrong]})
    assert heat_of_mistakes(*mistakes, directory, engine, broken) == {}
    assert "the report shows no heat" in caplog.text
