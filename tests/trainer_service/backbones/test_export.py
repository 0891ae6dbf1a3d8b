"""What the exported formats promise beside their probabilities."""

import gc
import io
import subprocess
import sys
import weakref
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from shared.engines import OpenVINOEngine, TensorFlowEngine
from shared.images.decoding import ImageLimits, decode
from shared.models.model_store import KERAS_MODEL, OPENVINO_MODEL
from tests.support.heat import check_heat
from tests.support.inputs.random_weights import random_pixels, random_weights
from trainer_service.backbones.architectures import find_architecture
from trainer_service.backbones.backbone import backbone_ir, cached_backbone, cached_graph
from trainer_service.backbones.export import Converted, export_version
from trainer_service.phases.head.layers.train import build_head
from trainer_service.requests.training import TrainingRequest

pytestmark = pytest.mark.slow

MOBILENET = find_architecture("mobilenet_v2")
LABELS = 4
EMBEDDING_SIZE = MOBILENET.feature_size


@pytest.fixture(scope="module")
def exported(tmp_path_factory, random_weights_directory):
    """A version with a hidden layer in its head, exported without a cached backbone."""
    directory = tmp_path_factory.mktemp("version")
    weights = random_weights(MOBILENET, random_weights_directory)
    backbone = cached_backbone(MOBILENET, weights)
    head = hidden_head()
    heatmaps = export_version(backbone, head, directory, embedding_size=EMBEDDING_SIZE)
    pixels = random_pixels(MOBILENET, 3)
    return SimpleNamespace(
        weights=weights,
        backbone=backbone,
        head=head,
        directory=directory,
        heatmaps=heatmaps,
        pixels=pixels,
        probabilities=head.predict(backbone.predict(pixels, verbose=0), verbose=0),
    )


def hidden_head():
    import keras

    keras.utils.set_random_seed(1)
    return keras.Sequential(
        [
            keras.Input((MOBILENET.feature_size,)),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(32, activation="relu", bias_initializer="random_normal"),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(LABELS, activation="softmax"),
        ]
    )


def converted_backbone(exported, directory, taps="last"):
    ir = backbone_ir(MOBILENET, exported.weights, directory / "cache", taps=taps)
    return Converted(ir, cached_graph(MOBILENET, exported.weights, taps))


def encoded(pixels, kind="PNG"):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def test_a_backbone_without_a_cached_model_is_converted(exported):
    engine = OpenVINOEngine(exported.directory / OPENVINO_MODEL, precision="f32")

    np.testing.assert_allclose(
        engine.infer(exported.pixels)["probabilities"], exported.probabilities, atol=1e-4
    )


def test_the_cached_backbone_does_not_keep_the_heads_that_were_exported_with_it(exported, tmp_path):
    converted = converted_backbone(exported, tmp_path)
    head = hidden_head()
    export_version(
        exported.backbone, head, tmp_path, embedding_size=EMBEDDING_SIZE, converted=converted
    )
    kept = weakref.ref(head)
    del head
    gc.collect()

    assert kept() is None


def test_a_cached_backbone_gives_the_same_network(exported, tmp_path):
    converted = converted_backbone(exported, tmp_path)

    export_version(
        exported.backbone,
        exported.head,
        tmp_path,
        embedding_size=EMBEDDING_SIZE,
        converted=converted,
    )

    engines = (
        OpenVINOEngine(tmp_path / OPENVINO_MODEL, precision="f32"),
        TensorFlowEngine.from_saved_model(tmp_path),
    )
    whole = TensorFlowEngine.from_saved_model(exported.directory).infer(exported.pixels)
    for engine in engines:
        answers = engine.infer(exported.pixels)
        np.testing.assert_allclose(answers["probabilities"], exported.probabilities, atol=1e-4)
        np.testing.assert_allclose(answers["embedding"], whole["embedding"], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("taps", ["last", "late"])
def test_a_head_on_other_features_is_refused(exported, tmp_path, taps):
    """Whether it is the backbone that does not fit, or only its converted model."""
    converted = converted_backbone(exported, tmp_path, taps="late")
    backbone = cached_backbone(MOBILENET, exported.weights, taps)

    with pytest.raises(ValueError, match=r"backbone's 3200 features\. Received: a head on 1280"):
        export_version(
            backbone,
            exported.head,
            tmp_path,
            embedding_size=EMBEDDING_SIZE,
            converted=converted,
        )


def test_the_keras_model_answers_as_the_backbone_and_the_head_do(exported):
    import keras

    model = keras.saving.load_model(exported.directory / KERAS_MODEL, safe_mode=True)

    answers = model.predict(exported.pixels, verbose=0)
    np.testing.assert_allclose(answers, exported.probabilities, atol=1e-5)


def test_dropout_is_off(exported):
    """The same pixels get the same answer."""
    engine = TensorFlowEngine.from_saved_model(exported.directory)

    np.testing.assert_array_equal(
        engine.infer(exported.pixels)["probabilities"],
        engine.infer(exported.pixels)["probabilities"],
    )


def test_the_files_are_where_a_version_holds_them(exported):
    files = {str(path.relative_to(exported.directory)) for path in exported.directory.rglob("*")}

    assert {
        "saved_model.pb",
        "variables/variables.index",
        "openvino/model.xml",
        "openvino/model.bin",
        "model.keras",
    } <= files


def test_a_saved_model_serves_without_keras(exported):
    """As in TensorFlow Serving: signatures and dtypes, from a process that imports no Keras."""
    code = f"""
import sys
import tensorflow as tf
model = tf.saved_model.load({str(exported.directory)!r})
for name, signature in sorted(model.signatures.items()):
    inputs = {{key: (spec.dtype.name, spec.shape.as_list())
              for key, spec in signature.structured_input_signature[1].items()}}
    outputs = {{key: (spec.dtype.name, spec.shape.as_list())
               for key, spec in sorted(signature.structured_outputs.items())}}
    print(name, inputs, outputs)
"""
    answer = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True
    )

    explain, explain_head, *classify = answer.stdout.splitlines()
    assert explain.startswith("explain {'pixels': ('uint8', [None, 224, 224, 3])} {")
    assert "'map_0': ('float32', [None, 7, 7, 1280])" in explain
    assert explain_head.startswith("explain_head {} {")
    outputs = "'probabilities': ('float32', [None, 4])}"
    assert classify == [
        (
            "pixels {'pixels': ('uint8', [None, 224, 224, 3])} "
            f"{{'embedding': ('float32', [None, 1280]), {outputs}"
        ),
        f"serving_default {{'image_bytes': ('string', [None])}} {{{outputs}",
    ], answer.stderr


@pytest.mark.parametrize("engine", ["openvino", "tensorflow"])
def test_behind_a_hidden_layer_heat_adds_up_near_each_picture(exported, engine):
    explained = check_heat(
        exported.directory, engine, exported.heatmaps, exported.pixels, linear=False
    )

    rests = [one.heat(0).rest for one in explained]
    assert np.ptp(rests) > 0.01, "else it would be linear, and the test say nothing"


@pytest.mark.parametrize("taps", ["last", "late", "all"])
def test_heat_adds_up_to_the_answer_of_layers_on_any_taps(exported, tmp_path, taps):
    """With the normalisation of features in the head, and a converted backbone below it."""
    converted = converted_backbone(exported, tmp_path, taps)
    backbone = cached_backbone(MOBILENET, exported.weights, taps)
    features = backbone.predict(exported.pixels, verbose=0)
    head = build_head(features, LABELS, TrainingRequest(hidden_units=0, seed=1))

    heatmaps = export_version(
        backbone, head, tmp_path, embedding_size=EMBEDDING_SIZE, converted=converted
    )

    check_heat(tmp_path, "openvino", heatmaps, exported.pixels)


def test_the_network_that_is_served_is_not_larger_for_its_heatmaps(exported, tmp_path):
    """What they are made of has names in it; nothing is stored twice."""
    weights = (exported.directory / OPENVINO_MODEL).with_suffix(".bin").stat().st_size
    parameters = exported.backbone.count_params() + exported.head.count_params()

    assert weights < 4.1 * parameters


def test_a_head_of_another_kind_has_no_heatmaps(exported, tmp_path):
    import keras

    head = keras.Sequential(
        [
            keras.Input((MOBILENET.feature_size,)),
            keras.layers.Dense(8, activation="tanh"),
            keras.layers.Dense(LABELS, activation="softmax"),
        ]
    )
    converted = converted_backbone(exported, tmp_path)

    assert (
        export_version(
            exported.backbone, head, tmp_path, embedding_size=EMBEDDING_SIZE, converted=converted
        )
        is None
    )


def test_encoded_images_are_decoded_and_resized_like_elsewhere(exported):
    """Pictures of other sizes and formats, in one batch, against `decoding.decode`."""
    import tensorflow as tf

    smooth = Image.fromarray(exported.pixels[0])
    data = [
        encoded(np.asarray(smooth.resize((640, 400), Image.Resampling.BICUBIC)), "PNG"),
        encoded(np.asarray(smooth.resize((100, 180), Image.Resampling.BICUBIC)), "BMP"),
        encoded(np.asarray(smooth.convert("L")), "PNG"),
    ]
    limits = ImageLimits(max_bytes=2**24, max_pixels=2**24)
    pixels = np.stack([decode(image, 224, 224, limits) for image in data])
    model = tf.saved_model.load(str(exported.directory))

    answers = model.signatures["serving_default"](image_bytes=tf.constant(data))["probabilities"]

    expected = TensorFlowEngine.from_saved_model(exported.directory).infer(pixels)["probabilities"]
    np.testing.assert_allclose(answers, expected, atol=0.02)


def test_every_format_gives_the_last_layers_features_as_the_embedding(exported, tmp_path):
    """Of a head on three layers, the end; whether or not the backbone was converted before."""
    late = cached_backbone(MOBILENET, exported.weights, "late")
    head = keras_head(late.output_shape[1])
    before = converted_backbone(exported, tmp_path, taps="late")
    expected = late.predict(exported.pixels, verbose=0)[:, -EMBEDDING_SIZE:]
    for name, converted in (("grafted", before), ("converted", None)):
        to = tmp_path / name
        to.mkdir()
        export_version(late, head, to, embedding_size=EMBEDDING_SIZE, converted=converted)

    answers = [
        OpenVINOEngine(tmp_path / "grafted" / OPENVINO_MODEL, precision="f32"),
        OpenVINOEngine(tmp_path / "converted" / OPENVINO_MODEL, precision="f32"),
        TensorFlowEngine.from_saved_model(tmp_path / "grafted"),
        TensorFlowEngine.from_saved_model(tmp_path / "converted"),
    ]

    for engine in answers:
        outputs = engine.infer(exported.pixels)
        assert outputs["embedding"].shape == (3, EMBEDDING_SIZE)
        np.testing.assert_allclose(outputs["embedding"], expected, atol=1e-3)
        assert outputs["probabilities"].shape == (3, LABELS)


def keras_head(features):
    import keras

    return keras.Sequential(
        [keras.Input((features,)), keras.layers.Dense(LABELS, activation="softmax")]
    )


def test_openvino_names_its_input_and_outputs(exported):
    from shared.engines.openvino_runtime import load_openvino

    model = load_openvino().Core().read_model(exported.directory / OPENVINO_MODEL)

    assert model.input("pixels").partial_shape.to_string() == "[?,224,224,3]"
    assert model.output("probabilities").partial_shape.to_string() == f"[?,{LABELS}]"
    assert model.output("embedding").partial_shape.to_string() == f"[?,{EMBEDDING_SIZE}]"


def test_an_exported_model_can_be_trained_further(exported):
    """Exporting must leave backbone and head as they were."""
    before = [np.asarray(weight) for weight in exported.head.weights]

    exported.head.compile("sgd", "sparse_categorical_crossentropy")
    features = np.asarray(exported.backbone(exported.pixels))
    exported.head.fit(features, np.array([0, 1, 2]), verbose=0)

    after = [np.asarray(weight) for weight in exported.head.weights]
    assert any(not np.array_equal(one, other) for one, other in zip(before, after, strict=True))
