"""Networks with their own classifiers, with random weights in files as Keras has them."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from shared.engines import OpenVINOEngine
from shared.models.model_store import OPENVINO_MODEL
from tests.support.inputs.random_weights import GAINS, random_pixels, randomise
from trainer_service.backbones import weights
from trainer_service.backbones.architectures import CATALOGUE, find_architecture
from trainer_service.backbones.backbone import normalised
from trainer_service.backbones.export import export_version
from trainer_service.backbones.imagenet import Selection
from trainer_service.backbones.top import _head, build_pretrained, build_with_top
from trainer_service.errors import WeightsUnavailable
from trainer_service.settings import TrainerSettings

pytestmark = pytest.mark.slow

#: Those whose classifiers don't see averages over the places of a picture.
NO_HEATMAPS = {"vgg16", "mobilenet_v3_large"}


def saved(network, architecture, directory):
    """Write the weights as Keras' file has them, and return what the trainer finds."""
    from keras.src.legacy.saving import legacy_h5_format

    directory.mkdir()
    with h5py.File(directory / Path(architecture.top_download).name, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, network)
    settings = TrainerSettings(weights=directory, weights_url="http://127.0.0.1:1")
    return weights.resolve(architecture, settings, top=True)


def answered(name, directory):
    """Return pictures, what a network answers to them, and the same network in two parts."""
    import keras

    architecture = find_architecture(name)
    network = build_with_top(architecture)
    randomise(network, GAINS.get(name, 1.4))
    found = saved(network, architecture, directory / "weights")
    pixels = random_pixels(architecture, 2)
    logits = np.asarray(network(normalised(pixels, architecture.preprocessing), training=False))
    expected = np.asarray(keras.ops.softmax(logits))
    assert expected.max(axis=1).min() > 0.002  # or all networks would look alike
    return pixels, expected, build_pretrained(architecture, found, Selection.of(None, None))


def test_a_network_answers_as_it_does_with_its_own_classifier(tmp_path):
    """Its classifier is a convolution; a dense one is tested with efficientnet_lite0."""
    pixels, expected, (backbone, head) = answered("mobilenet_v3_large", tmp_path)

    np.testing.assert_allclose(np.asarray(head(backbone(pixels))), expected, atol=2e-4)


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", [name for name, row in CATALOGUE.items() if row.builder])
def test_every_network_is_exported_with_its_own_classifier(name, tmp_path):
    pixels, expected, (backbone, head) = answered(name, tmp_path)
    size = backbone.output_shape[1]

    heatmaps = export_version(backbone, head, tmp_path, embedding_size=size)

    outputs = OpenVINOEngine(tmp_path / OPENVINO_MODEL, precision="f32").infer(pixels)
    np.testing.assert_allclose(outputs["probabilities"], expected, atol=2e-4)
    assert outputs["embedding"].shape == (2, size)
    assert (heatmaps is None) == (name in NO_HEATMAPS)


def test_without_a_rest_the_probabilities_of_the_chosen_are_divided_by_their_sum():
    random = np.random.default_rng(0)
    kernel, bias = random.normal(0, 0.3, (20, 1000)), random.normal(0, 1, 1000)
    features = random.normal(0, 1, (3, 20))
    exponents = np.exp(features @ kernel + bias)
    whole = exponents / exponents.sum(axis=1, keepdims=True)
    chosen = np.stack([whole[:, 281:283].sum(axis=1), whole[:, 340]], axis=1)
    groups = {"cat": ["tabby cat", "tiger cat"], "zebra": ["zebra"]}

    def answered(rest):
        return np.asarray(_head(kernel, bias, Selection.of(groups, rest))(features))

    expected = chosen / chosen.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(answered(None), expected, atol=1e-6)
    rest = 1 - chosen.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(answered("other"), np.hstack([chosen, rest]), atol=1e-6)


@pytest.mark.exhaustive
def test_weights_without_the_classifier_are_refused_by_name(tmp_path):
    import keras

    architecture = find_architecture("mobilenet_v2")
    network = keras.applications.MobileNetV2(weights=None, include_top=False)
    found = saved(network, architecture, tmp_path / "weights")

    with pytest.raises(WeightsUnavailable, match=r"damaged or not of mobilenet_v2"):
        build_pretrained(architecture, found, Selection.of(None, None))
