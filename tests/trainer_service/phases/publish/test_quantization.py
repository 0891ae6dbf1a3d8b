"""INT8 graphs: what they are, and when a version may have one."""

import numpy as np
import pytest

from shared.engines import OpenVINOEngine, cpu_precision, serving_precisions
from shared.engines.openvino_runtime import load_openvino
from shared.models.model_store import OPENVINO_INT8_MODEL, read_golden
from tests.end_to_end.stack import digits
from tests.support.clock import Clock
from tests.support.loaded import loaded
from trainer_service.errors import TrainingCancelled
from trainer_service.inline import train_inline
from trainer_service.phases.publish import quantization
from trainer_service.phases.publish.quantization import judge, quantize, speedup
from trainer_service.settings import TrainerSettings
from trainer_service.store.publishing import WritableModelStore
from trainer_service.store.stores import Stores

EACH = 20


@pytest.mark.parametrize(
    ("accuracy", "speed", "accepted"),
    [
        (0.99, 1.26, True),
        (0.987, 1.26, True),
        (1.0, 3.0, True),
        (0.98, 3.0, False),
        (0.99, 1.24, False),
    ],
)
def test_int8_has_to_be_faster_and_as_accurate(accuracy, speed, accepted):
    verdict = judge(accuracy=accuracy, reference_accuracy=0.99, speedup=speed)
    assert verdict.accepted is accepted
    assert ("Not served" in verdict.detail) is not accepted
    assert f"{accuracy:.4f} instead of 0.9900" in verdict.detail
    assert f"{speed:.2f} times" in verdict.detail


def test_only_openvino_serves_int8_and_only_if_it_may_choose():
    native = serving_precisions("openvino")
    assert serving_precisions("openvino", quantized=True) == ["int8", *native]
    assert serving_precisions("openvino", "f32", quantized=True) == ["f32"]
    assert serving_precisions("tensorflow", quantized=True) == ["f32"]


@pytest.fixture(scope="module")
def convolution(tmp_path_factory):
    """A network of one convolution: uint8 (n, 64, 64, 3) to probabilities (n, 4)."""
    ov = load_openvino()
    from openvino import opset13 as ops

    random = np.random.default_rng(0)
    pixels = ops.parameter([-1, 64, 64, 3], np.uint8, name="pixels")
    scaled = ops.multiply(ops.convert(pixels, np.float32), ops.constant(np.float32(1 / 255)))
    channels = ops.transpose(scaled, ops.constant(np.array([0, 3, 1, 2])))
    kernel = ops.constant(random.normal(size=(16, 3, 5, 5)).astype(np.float32))
    filtered = ops.relu(ops.convolution(channels, kernel, [2, 2], [0, 0], [0, 0], [1, 1]))
    mean = ops.reduce_mean(filtered, np.array([2, 3]), keep_dims=False)
    weights = ops.constant(random.normal(size=(16, 4)).astype(np.float32))
    probabilities = ops.softmax(ops.matmul(mean, weights, False, False), 1)
    network = ov.Model([probabilities], [pixels])
    path = tmp_path_factory.mktemp("convolution") / "model.xml"
    ov.save_model(network, path, compress_to_fp16=False)
    return path


@pytest.mark.slow
def test_a_quantized_graph_answers_nearly_the_same_with_weights_of_one_byte(convolution, tmp_path):
    images = np.random.default_rng(1).integers(0, 256, (24, 64, 64, 3), dtype=np.uint8)
    looks = []

    quantize(convolution, tmp_path / "int8.xml", images[:16], lambda: looks.append(1))

    assert len(looks) >= 16
    exact = OpenVINOEngine(convolution, precision="f32").infer(images)["probabilities"]
    eight = OpenVINOEngine(tmp_path / "int8.xml", precision="int8").infer(images)["probabilities"]
    assert 0 < np.abs(exact - eight).max() < 0.05
    network = load_openvino().Core().read_model(tmp_path / "int8.xml")
    constants = [node for node in network.get_ops() if node.get_type_name() == "Constant"]
    assert any(node.get_element_type().to_string() == "i8" for node in constants)


def test_calibration_can_be_ended(convolution, tmp_path):
    class Ended(Exception):
        pass

    def end():
        raise Ended

    with pytest.raises(Ended):
        quantize(convolution, tmp_path / "a.xml", np.zeros((8, 64, 64, 3), np.uint8), end)
    assert not list(tmp_path.iterdir())


class Slow:
    """An engine that takes so many seconds for a batch, by a clock of the test's own."""

    def __init__(self, seconds, clock):
        self.seconds = seconds
        self.clock = clock
        self.batches = 0

    def infer(self, pixels):
        self.clock.now += self.seconds
        self.batches += 1


BATCH = np.zeros((1, 8, 8, 3), np.uint8)


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(quantization.time, "perf_counter", clock)
    return clock


def test_speed_is_how_many_times_as_fast(clock):
    engine, reference = Slow(0.01, clock), Slow(0.03, clock)
    assert speedup(engine, reference, BATCH, lambda: None) == pytest.approx(3)


def test_timing_can_be_ended_between_batches(clock):
    engine, reference = Slow(0, clock), Slow(0, clock)

    def end():
        if reference.batches == 2:
            raise TrainingCancelled

    with pytest.raises(TrainingCancelled):
        speedup(engine, reference, BATCH, end)
    assert (engine.batches, reference.batches) == (2, 2)


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    directory = tmp_path_factory.mktemp("datasets")
    (directory / "few").mkdir()
    for name, data in digits(directory, "01", EACH).items():
        (directory / "few" / name).write_bytes(data)
    return directory


@pytest.fixture(scope="module")
def store(tmp_path_factory, share_backbones):
    directory = tmp_path_factory.mktemp("quantization") / "store"
    share_backbones(directory)
    return directory


@pytest.fixture
def train(datasets, store, redis_url):
    def train(**request):
        settings = TrainerSettings(store=store, datasets=datasets, redis_url=redis_url)
        record = train_inline(
            settings,
            architecture="efficientnet_lite0",
            dataset={"path": "few"},
            epochs=10,
            **request,
        )
        assert record.state == "succeeded", record.error
        events = Stores.open(settings).events.read(record.id)
        warnings = [event for event in events if event.type == "warning"]
        # The test part is small on purpose.
        return record, [event for event in warnings if event.code != "few_test_images"]

    return train


@pytest.mark.slow
@pytest.mark.integration
def test_a_version_that_may_is_served_in_int8(train, store, monkeypatch):
    """What is accepted does not hang on this machine's speed and on six validation images."""
    monkeypatch.setattr(quantization, "LEAST_SPEEDUP", 0)
    monkeypatch.setattr(quantization, "LARGEST_LOSS", 1)

    record, warnings = train(model="exact", quantize="int8")

    assert record.quantization.accepted
    assert record.quantization.accuracy > 0.8
    assert record.quantization.speedup > 0
    assert warnings == []
    models = WritableModelStore(store)
    directory, manifest = models.directory("exact", 1), models.manifest("exact", 1)
    assert (directory / OPENVINO_INT8_MODEL).is_file()
    assert all("int8" in image.reduced for image in read_golden(directory, manifest))
    assert list(manifest.artifacts) == ["saved_model", "keras", "openvino", "openvino_int8"]
    assert manifest.artifacts["openvino"].difference < 0.1
    assert manifest.artifacts["openvino_int8"].difference < 0.3
    assert manifest.artifacts["keras"].difference is None
    assert manifest.outputs == ["probabilities", "embedding"]
    assert "int8" in manifest.unknown.change
    assert record.unknown == manifest.unknown
    served = loaded(directory, store)
    assert served.engine.precision == "int8"
    assert served.engine.outputs == ("probabilities", "embedding")
    assert len(served.known.images) == manifest.unknown.images > 0
    assert len(served.doubts) == manifest.coverage.images > 0
    assert loaded(directory, store, precision="f32").engine.precision == "f32"


@pytest.mark.slow
@pytest.mark.integration
def test_a_version_that_loses_accuracy_has_no_int8_graph_and_says_so(train, store, monkeypatch):
    monkeypatch.setattr(quantization, "LARGEST_LOSS", -2)

    record, warnings = train(model="worse", quantize="int8")

    assert not record.quantization.accepted
    assert [warning.code for warning in warnings] == ["int8_refused"]
    assert "Not served in int8" in warnings[0].detail
    models = WritableModelStore(store)
    directory, manifest = models.directory("worse", 1), models.manifest("worse", 1)
    assert not list(directory.rglob("int8.*"))
    assert list(manifest.artifacts) == ["saved_model", "keras", "openvino"]
    assert loaded(directory, store).engine.precision == cpu_precision()
