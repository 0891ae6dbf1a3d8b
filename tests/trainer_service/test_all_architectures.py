"""Every row of the catalogue builds, extracts, exports and reloads, alike on both engines."""

from types import SimpleNamespace

import numpy as np
import pytest

from shared.architectures import CATALOGUE
from shared.engines import OpenVINOEngine, TensorFlowEngine
from shared.model_store import KERAS_MODEL, OPENVINO_MODEL
from tests.random_weights import random_pixels, random_weights, sensitive_head
from trainer_service.backbones import backbone_ir, cached_backbone
from trainer_service.export import export_version

pytestmark = pytest.mark.slow

#: Largest difference between two ways to compute the same probability in float32.
TOLERANCE = 2e-4


@pytest.fixture(scope="module", params=CATALOGUE)
def case(request, tmp_path_factory):
    """An architecture with random weights, its features on both engines, and its export."""
    architecture = CATALOGUE[request.param]
    directory = tmp_path_factory.mktemp(architecture.id)
    weights = random_weights(architecture, directory)
    backbone = cached_backbone(architecture, weights)
    pixels = random_pixels(architecture, 3)
    ir = backbone_ir(architecture, weights, directory / "cache")
    tensorflow = np.asarray(backbone(pixels, training=False))
    head = sensitive_head(tensorflow)
    export_version(backbone, head, directory, backbone_ir=ir)
    return SimpleNamespace(
        architecture=architecture,
        backbone=backbone,
        directory=directory,
        pixels=pixels,
        tensorflow=tensorflow,
        openvino=OpenVINOEngine(ir, precision="f32").infer(pixels),
        probabilities=head.predict(tensorflow, verbose=0),
    )


def test_the_catalogue_states_size_and_parameters(case):
    size = case.architecture.input_size

    assert case.backbone.input_shape == (None, size, size, 3)
    assert case.backbone.output_shape == (None, case.architecture.feature_size)
    assert case.backbone.count_params() == case.architecture.parameters


def test_openvino_computes_the_features_of_keras(case):
    spread = case.tensorflow.std(axis=0).mean()

    assert case.openvino.dtype == case.tensorflow.dtype == np.float32
    assert np.abs(case.openvino - case.tensorflow).max() < 0.01 * spread


def test_the_pictures_get_different_probabilities(case):
    """Otherwise the comparisons below would say nothing."""
    assert np.ptp(case.probabilities, axis=0).max() > 0.2


def test_saved_model_answers_like_keras(case):
    saved_model = TensorFlowEngine.from_saved_model(case.directory)

    np.testing.assert_allclose(saved_model.infer(case.pixels), case.probabilities, atol=TOLERANCE)


def test_openvino_answers_like_keras(case):
    openvino = OpenVINOEngine(case.directory / OPENVINO_MODEL, precision="f32")

    np.testing.assert_allclose(openvino.infer(case.pixels), case.probabilities, atol=TOLERANCE)


def test_keras_model_loads_in_safe_mode(case):
    import keras

    model = keras.saving.load_model(case.directory / KERAS_MODEL, safe_mode=True)

    answers = model(case.pixels, training=False)
    np.testing.assert_allclose(answers, case.probabilities, atol=TOLERANCE)
