"""Backbones: their weights, their cache on disk, and their features of real pictures."""

import errno
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as ops
from PIL import Image

from tests.support.inputs.odd_files import make_deep
from tests.support.inputs.random_weights import random_pixels, random_weights
from trainer_service.backbones import backbone as backbones
from trainer_service.backbones.architectures import CATALOGUE, find_architecture
from trainer_service.backbones.backbone import (
    backbone_ir,
    bottleneck_engine,
    bottleneck_precision,
    build_backbone,
    cached_backbone,
    feature_space,
)
from trainer_service.backbones.weights import Weights, resolve
from trainer_service.errors import WeightsUnavailable
from trainer_service.settings import TrainerSettings

MOBILENET = find_architecture("mobilenet_v2")
LITE = find_architecture("efficientnet_lite0")
VGG = find_architecture("vgg16")

needs_data = pytest.mark.skipif(
    "HEADSTART_TEST_DATA" not in os.environ,
    reason="HEADSTART_TEST_DATA does not name a directory of pictures",
)


@pytest.fixture(scope="module")
def weights(random_weights_directory):
    return random_weights(MOBILENET, random_weights_directory)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.mark.slow
@pytest.mark.parametrize("taps", ["last", "late", "all"])
@pytest.mark.parametrize("choice", ["openvino", "tensorflow"])
def test_the_engine_computes_what_the_backbone_computes(weights, cache, choice, taps):
    pixels = random_pixels(MOBILENET, 3)
    expected = cached_backbone(MOBILENET, weights, taps).predict(pixels, verbose=0)

    precision = bottleneck_precision(choice)
    engine = bottleneck_engine(MOBILENET, weights, choice, precision, cache, taps=taps)

    # bf16 where the CPU has it: eight bits of mantissa.
    tolerance = {"f32": 1e-3, "bf16": 0.1, "mixed": 0.02}[engine.precision]
    assert (engine.name, engine.precision) == (choice, precision)
    features = engine.infer(pixels)["features"]
    np.testing.assert_allclose(features, expected, atol=tolerance * expected.max())


@pytest.mark.slow
def test_features_are_the_averages_of_each_tap(weights):
    """Computed here from the layers' outputs; a smaller tap set gives the end of it."""
    import keras

    pixels = random_pixels(MOBILENET, 2)
    backbone = cached_backbone(MOBILENET, weights, "all")
    inner = next(layer for layer in backbone.layers if hasattr(layer, "layers"))
    names = (*MOBILENET.taps[:-1], "out_relu")
    maps = keras.Model(inner.input, [inner.get_layer(name).output for name in names])
    expected = [np.mean(one, axis=(1, 2)) for one in maps(pixels / np.float32(127.5) - 1)]

    features = np.asarray(backbone(pixels))

    np.testing.assert_allclose(features, np.concatenate(expected, axis=1), atol=1e-4)
    for taps in ("late", "last"):
        part = np.asarray(cached_backbone(MOBILENET, weights, taps)(pixels))
        assert part.shape == (2, MOBILENET.feature_size_of(taps))
        np.testing.assert_allclose(part, features[:, -part.shape[1] :], atol=1e-5)


@pytest.mark.slow
def test_a_later_process_needs_no_tensorflow(weights, cache):
    """What one worker has converted, the next one only reads."""
    backbone_ir(MOBILENET, weights, cache)
    code = f"""
import sys
from pathlib import Path
from trainer_service.backbones.architectures import find_architecture
from trainer_service.backbones.backbone import bottleneck_engine
from trainer_service.backbones.weights import Weights
weights = Weights("x", Path({str(weights.path)!r}), {weights.sha256!r})
engine = bottleneck_engine(find_architecture("mobilenet_v2"), weights, "openvino",
                           "f32", Path({str(cache)!r}), 0)
print(engine.name, {{"tensorflow", "keras"}} & set(sys.modules))
"""
    answer = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True
    )

    assert answer.stdout.strip() == "openvino set()", answer.stderr


@pytest.mark.slow
def test_the_cache_holds_complete_models_only(weights, cache, monkeypatch, tmp_path):
    """A conversion that fails leaves nothing that a later one could take for a model."""
    backbone_ir(MOBILENET, weights, cache)

    assert [path.name for path in cache.iterdir() if path.name.startswith(".")] == []

    def fail(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr(backbones, "sync_tree", fail)
    with pytest.raises(OSError, match="No space left"):
        backbone_ir(MOBILENET, weights, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def conversions(monkeypatch):
    """Convert to a tiny network instead; return a list that grows with every conversion."""
    done = []

    def convert(_):
        done.append(1)
        pixels = ops.parameter([-1, 8, 8, 3], np.uint8)
        mean = ops.reduce_mean(ops.convert(pixels, np.float32), ops.constant([1, 2]))
        return ov.Model([ops.multiply(mean, ops.constant(np.full(3, 2.0, np.float32)))], [pixels])

    monkeypatch.setattr(backbones, "cached_backbone", lambda *_: None)
    monkeypatch.setattr(backbones, "convert", convert)
    return done


def test_a_conversion_as_the_first_use_of_tensorflow_is_given_its_threads(
    conversions, tmp_path, monkeypatch
):
    given = []
    monkeypatch.setattr(backbones, "load_tensorflow", given.append)
    weights = Weights("x", tmp_path / "x", "0" * 64)

    backbone_ir(MOBILENET, weights, tmp_path / "cache", 3)

    assert given == [3]


def flip_a_bit(file):
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)


def replace_by_a_file(folder, mode=0o644):
    shutil.rmtree(folder)
    folder.write_bytes(b"mine")
    folder.chmod(mode)


@pytest.mark.slow
@pytest.mark.parametrize(
    "damage",
    [
        lambda model: flip_a_bit(model.with_suffix(".bin")),
        flip_a_bit,
        lambda model: model.with_suffix(".bin").write_bytes(b""),
        lambda model: model.with_suffix(".bin").unlink(),
        lambda model: model.unlink(),
        lambda model: model.with_name("sha256.json").unlink(),
        lambda model: model.with_name("sha256.json").write_bytes(b"{"),
        lambda model: model.with_name("sha256.json").write_bytes(b"{}"),
        lambda model: shutil.rmtree(model.parent),
        lambda model: replace_by_a_file(model.parent),
        lambda model: replace_by_a_file(model.parent, 0),
        lambda model: (model.unlink(), model.mkdir(), make_deep(model)),
    ],
)
def test_a_damaged_backbone_is_converted_again(conversions, tmp_path, damage):
    weights = Weights("x", tmp_path / "x", "0" * 64)
    cache = tmp_path / "cache"
    model = backbone_ir(MOBILENET, weights, cache)
    whole = model.with_suffix(".bin").read_bytes()
    assert backbone_ir(MOBILENET, weights, cache) == model
    assert len(conversions) == 1

    damage(model)

    assert backbone_ir(MOBILENET, weights, cache) == model
    assert model.with_suffix(".bin").read_bytes() == whole
    assert len(conversions) == 2
    assert [path.name for path in cache.iterdir()] == [model.parent.name]


@pytest.mark.parametrize("error", [MemoryError(), OSError(errno.EIO, "Input/output error")])
def test_an_error_of_the_machine_does_not_make_weights_damaged(error, tmp_path):
    class Network:
        def load_weights(self, _):
            raise error

    with pytest.raises(type(error)):
        backbones.load_weights(Network(), MOBILENET, Weights("x", tmp_path / "x.h5", "0" * 64))


@pytest.mark.slow
def test_two_workers_may_convert_at_once(weights, tmp_path, monkeypatch):
    """The second finds the first's result where it wanted to put its own."""
    own = backbones.sync_tree

    def overtaken(staging):
        own(staging)
        monkeypatch.setattr(backbones, "sync_tree", own)
        backbone_ir(MOBILENET, weights, tmp_path)

    monkeypatch.setattr(backbones, "sync_tree", overtaken)

    model = backbone_ir(MOBILENET, weights, tmp_path)

    assert model.is_file()
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "content", [b"", b"not HDF5", b"\x89HDF\r\n\x1a\n" + bytes(100)], ids=["empty", "text", "cut"]
)
def test_a_damaged_weights_file_is_named(tmp_path, content):
    path = tmp_path / "mobilenet_v2.weights.h5"
    path.write_bytes(content)

    with pytest.raises(WeightsUnavailable, match=f"{path} is damaged or not of mobilenet_v2"):
        build_backbone(MOBILENET, Weights(path.name, path, "0" * 64))


@pytest.mark.slow
def test_weights_of_another_architecture_are_named(weights):
    with pytest.raises(WeightsUnavailable, match=r"mobilenet_v2\.weights\.h5 is damaged or not of"):
        build_backbone(VGG, weights)


@pytest.mark.slow
def test_weights_as_keras_2_wrote_them_are_read(tmp_path):
    """Keras' own downloads are of that format."""
    import h5py
    from keras.src.legacy.saving import legacy_h5_format

    source = build_backbone(LITE, None)
    network = next(layer for layer in source.layers if hasattr(layer, "layers"))
    path = tmp_path / "efficientnet_lite0_notop.h5"
    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, network)
    pixels = random_pixels(LITE, 1)

    loaded = build_backbone(LITE, Weights(path.name, path, "0" * 64))

    np.testing.assert_array_equal(loaded(pixels), source(pixels))


@pytest.mark.slow
@pytest.mark.parametrize("architecture", CATALOGUE.values(), ids=lambda row: row.id)
def test_normalisation_is_that_of_keras(architecture):
    """The graph's own preprocessing equals `preprocess_input` of keras.applications."""
    import keras

    pixels = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)

    normalised = np.asarray(backbones.normalised(pixels, architecture.preprocessing))

    if architecture.builder is None:
        expected = (pixels - 127.0) / 128
    else:
        builder = getattr(keras.applications, architecture.builder)
        module = sys.modules[builder.__module__]
        expected = module.preprocess_input(pixels.astype(np.float32))
    np.testing.assert_allclose(normalised, expected, atol=1e-4)


@pytest.mark.slow
def test_in_mixed_precision_the_engine_computes_all_taps(weights, cache, monkeypatch):
    """As a GPU would; a CPU computes the same, but slowly."""
    monkeypatch.setattr(backbones, "can_use_gpu", lambda: True)
    pixels = random_pixels(MOBILENET, 2)
    expected = cached_backbone(MOBILENET, weights, "all").predict(pixels, verbose=0)

    make = bottleneck_engine.__wrapped__  # without its cache, as this is no real GPU
    engine = make(MOBILENET, weights, "tensorflow", "mixed", cache, taps="all")

    features = engine.infer(pixels)["features"]
    assert engine.precision == "mixed"
    np.testing.assert_allclose(features, expected, atol=0.02 * expected.max())


@pytest.mark.slow
@pytest.mark.parametrize("taps", ["last", "all"])
def test_mixed_precision_leaves_variables_in_float32(weights, taps):
    """And the policy of the process as it was."""
    import keras

    pixels = random_pixels(MOBILENET, 2)
    expected = np.asarray(cached_backbone(MOBILENET, weights, taps)(pixels))

    half = build_backbone(MOBILENET, weights, taps, dtype_policy="mixed_float16")

    features = np.asarray(half(pixels))
    assert features.dtype == np.float16
    assert {variable.dtype for variable in half.variables} == {"float32"}
    assert keras.config.dtype_policy().name == "float32"
    np.testing.assert_allclose(features, expected, atol=0.02 * expected.max())


def test_feature_spaces_differ_by_what_changes_features(tmp_path, monkeypatch):
    one, other = (Weights("x", tmp_path / "x", digit * 64) for digit in "01")
    spaces = {
        feature_space(MOBILENET, one, "f32"),
        feature_space(MOBILENET, one, "bf16"),
        feature_space(MOBILENET, other, "f32"),
        feature_space(VGG, one, "f32"),
        feature_space(MOBILENET, one, "f32", "late"),
        feature_space(MOBILENET, one, "f32", "all"),
    }
    monkeypatch.setattr(backbones, "PREPROCESSING_VERSION", 1_000)
    spaces.add(feature_space(MOBILENET, one, "f32"))

    assert len(spaces) == 7
    assert feature_space(MOBILENET, one, "f32") in spaces


def test_other_taps_are_another_feature_space(tmp_path):
    weights = Weights("x", tmp_path / "x", "0" * 64)
    other = replace(MOBILENET, taps=("block_1_expand_relu", *MOBILENET.taps[1:]))

    assert feature_space(MOBILENET, weights, "f32", "all") != feature_space(
        other, weights, "f32", "all"
    )
    assert feature_space(MOBILENET, weights, "f32", "late") == feature_space(
        other, weights, "f32", "late"
    )


def test_features_from_before_there_were_taps_keep_their_key(conversions, tmp_path, monkeypatch):
    """These names were written down before features could be taken from several layers."""
    monkeypatch.setattr(backbones, "version", lambda _: "1.0")
    monkeypatch.setattr(backbones, "load_tensorflow", lambda _: None)
    weights = Weights("x", tmp_path / "x", "0" * 64)

    assert feature_space(MOBILENET, weights, "f32") == "mobilenet_v2-70097898ff1a53be"
    assert feature_space(VGG, weights, "f32") == "vgg16-1a38b3705f170112"
    ir = backbone_ir(MOBILENET, weights, tmp_path / "cache")
    assert ir.parent.name == "mobilenet_v2-64025e899aedf70d"
    assert backbone_ir(MOBILENET, weights, tmp_path / "cache", taps="late").parent != ir.parent


def test_a_feature_space_is_not_bound_to_where_the_weights_lie(tmp_path):
    here, there = (Weights(name, tmp_path / name, "0" * 64) for name in ("here", "there"))

    assert feature_space(VGG, here, "f32") == feature_space(VGG, there, "f32")


@pytest.mark.parametrize("engine", ["openvino", "tensorflow"])
def test_float32_is_what_the_setting_asks_for(engine):
    assert bottleneck_precision(engine, "f32") == "f32"


@pytest.mark.slow
def test_a_precision_that_the_cpu_is_slow_at_becomes_float32(weights, cache, monkeypatch):
    """Another worker may have planned it; emulating it would take many times as long."""
    monkeypatch.setattr(backbones, "cpu_precision", lambda: "f32")
    bottleneck_engine.cache_clear()

    engine = bottleneck_engine(MOBILENET, weights, "openvino", "bf16", cache)

    assert engine.precision == "f32"


@pytest.mark.slow
@needs_data
def test_features_of_real_pictures_tell_cats_from_dogs():
    """The nearest of two class means, learned from 20 pictures, answers 20 others."""
    pixels, truth = cats_and_dogs(40, LITE.input_size)
    backbone = build_backbone(LITE, resolve(LITE, TrainerSettings()))
    features = backbone.predict(pixels, verbose=0)
    features = features / np.linalg.norm(features, axis=1, keepdims=True)
    learned, asked = features[::2], features[1::2]
    means = np.stack([learned[truth[::2] == label].mean(axis=0) for label in (0, 1)])

    answers = np.linalg.norm(asked[:, None] - means, axis=2).argmin(axis=1)

    assert (answers == truth[1::2]).sum() >= 19


def cats_and_dogs(count, size):
    """Return pictures, cats and dogs in turn by twos, and their truth (0 cat, 1 dog)."""
    folder = Path(os.environ["HEADSTART_TEST_DATA"])
    files = sorted(folder.rglob("*.jpg"))
    kinds = [[file for file in files if file.name.startswith(kind)] for kind in KINDS]
    truth = np.arange(count) // 2 % 2
    queues = [iter(kind) for kind in kinds]
    images = [Image.open(next(queues[label])).convert("RGB") for label in truth]
    return np.stack([np.asarray(image.resize((size, size))) for image in images]), truth


KINDS = ("cat.", "dog.")
