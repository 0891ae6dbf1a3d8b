"""Every architecture with the features of all its taps: on both engines and in every format."""

from types import SimpleNamespace

import numpy as np
import pytest

from shared.engines import FEATURES, OpenVINOEngine, TensorFlowEngine
from shared.model_store import KERAS_MODEL, OPENVINO_MODEL, SAVED_MODEL
from tests.memory import let_networks_go
from tests.random_weights import random_pixels, random_weights, sensitive_head
from trainer_service.backbones.architectures import CATALOGUE
from trainer_service.backbones.backbone import backbone_ir, bottleneck_engine, cached_backbone
from trainer_service.backbones.export import export_version

pytestmark = pytest.mark.slow

#: Largest difference between two ways to compute the same probability in float32.
TOLERANCE = 2e-4


@pytest.fixture(scope="module", params=CATALOGUE)
def case(request, tmp_path_factory):
    """A backbone of random weights, and its features of a few pictures."""
    architecture = CATALOGUE[request.param]
    directory = tmp_path_factory.mktemp(architecture.id)
    weights = random_weights(architecture, directory)
    backbone = cached_backbone(architecture, weights, "all")
    pixels = random_pixels(architecture, 3)
    yield SimpleNamespace(
        architecture=architecture,
        directory=directory,
        weights=weights,
        cache=directory / "cache",
        backbone=backbone,
        pixels=pixels,
        features=backbone.predict(pixels, verbose=0),
    )
    let_networks_go()


@pytest.mark.parametrize("engine", ["openvino", "tensorflow"])
@pytest.mark.parametrize("taps", ["all", "late"])
def test_an_engine_computes_the_features_of_a_tap_set(case, engine, taps):
    """Those of the last three taps are the end of those of all, tap by tap."""
    widths = case.architecture.widths_of(taps)
    expected = case.features[:, -sum(widths) :]

    found = bottleneck_engine(
        case.architecture, case.weights, engine, "f32", case.cache, 2, taps
    ).infer(case.pixels)[FEATURES]

    assert found.shape == expected.shape
    ends = np.cumsum(widths)[:-1]
    for one, other in zip(np.split(found, ends, 1), np.split(expected, ends, 1), strict=True):
        assert np.abs(one - other).max() < 0.01 * other.std(axis=0).mean()


def test_every_format_answers_alike(case):
    """With a head on all taps, as it is published."""
    import keras

    head = sensitive_head(case.features)
    expected = head.predict(case.features, verbose=0)
    ir = backbone_ir(case.architecture, case.weights, case.cache, 2, "all")

    export_version(case.backbone, head, case.directory, backbone_ir=ir)

    model = keras.saving.load_model(case.directory / KERAS_MODEL, safe_mode=True)
    engines = (
        OpenVINOEngine(case.directory / OPENVINO_MODEL, precision="f32", threads=2),
        TensorFlowEngine.from_saved_model(case.directory / SAVED_MODEL, threads=2),
    )
    answers = [engine.infer(case.pixels)["probabilities"] for engine in engines]
    assert np.ptp(expected, axis=0).max() > 0.1, "else the comparison would say nothing"
    for found in (*answers, model.predict(case.pixels, verbose=0)):
        np.testing.assert_allclose(found, expected, atol=TOLERANCE)
