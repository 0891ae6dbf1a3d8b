"""What the tables say of each network, and that where it is divided, its parts are the whole."""

import math

import keras
import numpy as np
import pytest

from shared.errors import InvalidRequest
from tests.support.inputs.random_weights import ARCHITECTURES, random_pixels, random_weights
from trainer_service.backbones.architectures import CATALOGUE, OUTPUT
from trainer_service.backbones.backbone import build_backbone
from trainer_service.backbones.cut_table import (
    CUTS,
    PIXELS,
    TAILS,
    cut_before,
    find_cut,
    tail_cut,
)
from trainer_service.backbones.cuts import divide, find_cuts, separating_layers

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=ARCHITECTURES)
def backbone(request, random_weights_directory):
    """A backbone with all its taps, in which every layer matters to the features."""
    architecture = CATALOGUE[request.param]
    weights = random_weights(architecture, random_weights_directory)
    return build_backbone(architecture, weights, "all")


@pytest.fixture
def mobilenet(random_weights_directory):
    """A backbone that a test may change."""
    architecture = CATALOGUE["mobilenet_v2"]
    return build_backbone(architecture, random_weights(architecture, random_weights_directory))


def test_sizes_are_those_of_the_network(backbone):
    architecture = CATALOGUE[backbone.name]

    assert backbone.input_shape == (None, architecture.input_size, architecture.input_size, 3)
    assert inner(backbone).get_layer(OUTPUT).output.shape == (None, architecture.feature_size)
    assert backbone.count_params() == architecture.parameters
    assert multiply_adds(backbone) == architecture.multiply_adds


def test_taps_are_layers_of_the_network(backbone):
    architecture = CATALOGUE[backbone.name]
    layers = [inner(backbone).get_layer(name) for name in architecture.taps]
    widths = tuple(layer.output.shape[-1] for layer in layers)
    places = [inner(backbone).layers.index(layer) for layer in layers]

    assert widths == architecture.tap_widths
    assert places == sorted(places), "early to late"
    assert backbone.output_shape == (None, sum(widths))


def inner(network):
    return next(layer for layer in network.layers if hasattr(layer, "layers"))


def multiply_adds(network):
    """Count those of every layer that has a kernel: each position of its output applies it once."""
    count = 0
    for layer in network.layers:
        if isinstance(layer, keras.Model):
            count += multiply_adds(layer)
        elif hasattr(layer, "kernel"):
            count += math.prod(layer.output.shape[1:-1]) * math.prod(layer.kernel.shape)
    return count


def test_the_table_has_the_cuts_of_the_network(backbone):
    assert find_cuts(backbone) == CUTS[backbone.name]


def test_body_and_tail_together_are_the_whole(backbone):
    pixels = random_pixels(CATALOGUE[backbone.name], 2)
    expected = features_of(backbone, pixels)
    cuts = CUTS[backbone.name]

    for layer in {TAILS[backbone.name], cuts[1].layer, cuts[len(cuts) // 2].layer}:
        divided = divide(backbone, layer)
        features = features_of(divided.tail, divided.body(pixels))

        np.testing.assert_allclose(features, expected, rtol=1e-3, atol=1e-4 * expected.std())


def features_of(model, inputs):
    """Call a model layer by layer: for a few pictures, to make a graph of it takes longer."""
    return model(inputs).numpy()


def test_the_tail_from_the_pixels_is_the_whole(mobilenet):
    divided = divide(mobilenet, PIXELS)
    pixels = random_pixels(CATALOGUE["mobilenet_v2"], 2)

    features = features_of(divided.tail, pixels.reshape(2, -1).astype(np.float32))

    assert divided.body is None
    np.testing.assert_array_equal(features, features_of(divided.backbone, pixels))


def test_to_train_the_tail_is_to_train_the_backbone(mobilenet):
    """No copy of a layer is made, so what is learnt is in the network that is published."""
    pixels = random_pixels(CATALOGUE["mobilenet_v2"], 2)
    divided = divide(mobilenet, TAILS["mobilenet_v2"])
    before = features_of(mobilenet, pixels)

    for variable in divided.tail.trainable_variables:
        variable.assign(variable * 1.5)

    after = features_of(mobilenet, pixels)
    tolerance = 1e-4 * before.std()
    rows = divided.body(pixels)
    np.testing.assert_allclose(features_of(divided.tail, rows), after, atol=tolerance)
    assert np.abs(after - before).max() > before.std()


def test_only_the_tail_without_its_normalisations_is_trained():
    divided = divide(build_backbone(CATALOGUE["mobilenet_v2"], None), TAILS["mobilenet_v2"])

    paths = {variable.path for variable in divided.backbone.trainable_variables}
    assert paths == {variable.path for variable in divided.tail.trainable_variables}
    assert paths
    assert not any("gamma" in path or "beta" in path or "_12_" in path for path in paths)


def test_from_the_pixels_on_all_but_normalisations_is_trained():
    divided = divide(build_backbone(CATALOGUE["mobilenet_v2"], None), PIXELS)

    paths = {variable.path for variable in divided.backbone.trainable_variables}
    assert paths == {variable.path for variable in divided.tail.trainable_variables}
    assert any(path.endswith("Conv1/kernel") for path in paths)
    assert not any("gamma" in path or "beta" in path for path in paths)


@pytest.mark.parametrize("layer", ["block_14_project_BN", "block_99_add", "output"])
def test_a_layer_that_paths_lead_past_is_refused(layer):
    backbone = build_backbone(CATALOGUE["mobilenet_v2"], None)

    with pytest.raises(ValueError, match=f"Received: '{layer}'"):
        divide(backbone, layer)


def test_separating_layers_lie_on_every_path():
    """Two paths that meet again: the layers on one of them do not separate, those after do."""
    x = inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 1, name="first")(x)
    left, right = (keras.layers.Conv2D(4, 1, name=name)(x) for name in ("left", "right"))
    x = keras.layers.Add(name="joined")([left, right])
    network = keras.Model(inputs, keras.layers.GlobalAveragePooling2D(name="end")(x))
    pixels = keras.Input((8, 8, 3), dtype="uint8")
    backbone = keras.Model(pixels, network(keras.layers.Rescaling(1.0)(pixels)))

    assert separating_layers(backbone)[1:] == ["first", "joined", "end"]


@pytest.mark.parametrize("architecture", CATALOGUE)
def test_tail_leaves_a_part_of_the_network(architecture):
    share = tail_cut(architecture).multiply_adds / CATALOGUE[architecture].multiply_adds

    assert 0.06 < share < 0.31
    assert CUTS[architecture][0].multiply_adds == CATALOGUE[architecture].multiply_adds


def test_blocks_are_counted_from_the_end():
    assert cut_before("mobilenet_v2", 1).layer == "block_16_project_BN"
    assert cut_before("mobilenet_v2", 4).layer == "block_13_project_BN"
    assert cut_before("vgg16", 5).layer == PIXELS


def test_other_cuts_are_refused_with_those_there_are():
    with pytest.raises(InvalidRequest, match=r"block5_conv2\. Received: 'fc1'"):
        find_cut("vgg16", "fc1")
    with pytest.raises(InvalidRequest, match=r"at most 5, as vgg16 has no more\. Received: 6"):
        cut_before("vgg16", 6)
