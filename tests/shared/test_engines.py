"""Engines: which is chosen, and that they answer for any batch, from any thread, in order."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from shared.engines import (
    PROBABILITIES,
    OpenVINOEngine,
    TensorFlowEngine,
    load_version_engine,
    select_engine,
    selection,
    serving_precisions,
)
from shared.engines.cpu import precision_of
from shared.engines.memory import memory_errors
from shared.engines.openvino_runtime import load_openvino
from shared.engines.selection import has_nvidia_gpu
from shared.errors import InvalidRequest
from shared.models.model_store import OPENVINO_INT8_MODEL, OPENVINO_MODEL
from tests.support.inputs.tiny_model import LABELS, SIZE, save_network

BOTH = ["engine", pytest.param("tensorflow_engine", marks=pytest.mark.slow)]
RED, GREEN, BLUE = np.eye(3, dtype=np.uint8) * 200


@pytest.fixture(scope="module")
def version_directory(tmp_path_factory):
    directory = tmp_path_factory.mktemp("version")
    save_network(directory / OPENVINO_MODEL)
    return directory


@pytest.fixture(scope="module")
def engine(version_directory):
    return OpenVINOEngine(version_directory / OPENVINO_MODEL, precision="f32")


@pytest.fixture(scope="module")
def tensorflow_engine():
    """The same network in TensorFlow."""
    tf = pytest.importorskip("tensorflow")

    def function(pixels):
        means = tf.reduce_mean(tf.cast(pixels, tf.float32), (1, 2))
        return {PROBABILITIES: tf.nn.softmax(means * 0.05)}

    return TensorFlowEngine(function, outputs=(PROBABILITIES,), size=(SIZE, SIZE))


def pictures(*colors):
    return np.stack([np.full((SIZE, SIZE, 3), color, np.uint8) for color in colors])


@pytest.mark.parametrize("count", [1, 2, 31, 32, 33, 100])
def test_any_number_of_images_is_answered(engine, count):
    """More images than one forward pass takes are answered in chunks, in order."""
    colors = [(RED, GREEN, BLUE)[index % 3] for index in range(count)]

    assert engine.outputs == (PROBABILITIES,)
    answers = engine.infer(pictures(*colors))[PROBABILITIES]

    assert answers.shape == (count, len(LABELS))
    assert answers.dtype == np.float32
    assert answers.argmax(axis=1).tolist() == [index % 3 for index in range(count)]


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((0, SIZE, SIZE, 3), np.uint8),
        np.zeros((SIZE, SIZE, 3), np.uint8),
        np.zeros((1, SIZE, SIZE, 3), np.float32),
        np.zeros((1, SIZE, SIZE, 4), np.uint8),
        np.zeros((1, SIZE + 1, SIZE, 3), np.uint8),
        np.zeros((1, SIZE, SIZE - 1, 3), np.uint8),
    ],
    ids=lambda pixels: f"{pixels.dtype}-{pixels.shape}",
)
@pytest.mark.parametrize("name", BOTH)
def test_other_arrays_are_refused(request, name, pixels):
    expected = rf"uint8 of shape \(n, {SIZE}, {SIZE}, 3\).*Received: {pixels.dtype} of shape"

    with pytest.raises(ValueError, match=expected):
        request.getfixturevalue(name).infer(pixels)


def test_arrays_that_are_not_contiguous_are_taken(engine):
    pixels = pictures(RED, GREEN, BLUE, RED)[::2]

    assert engine.infer(pixels)[PROBABILITIES].argmax(axis=1).tolist() == [0, 2]


def test_answers_are_not_overwritten_by_the_next_call(engine):
    first = engine.infer(pictures(RED))[PROBABILITIES]
    kept = first.copy()

    engine.infer(pictures(BLUE))

    np.testing.assert_array_equal(first, kept)


@pytest.mark.parametrize("name", BOTH)
def test_threads_get_their_own_answers(request, name):
    engine = request.getfixturevalue(name)
    colors = [0, 1, 2] * 40

    def answer(color):
        return engine.infer(pictures((RED, GREEN, BLUE)[color]))[PROBABILITIES].argmax()

    with ThreadPoolExecutor(8) as executor:
        assert list(executor.map(answer, colors)) == colors


@pytest.mark.parametrize("hint", ["latency", "throughput"])
def test_batches_are_answered_in_order(version_directory, hint):
    """Batches may differ in size; the last one usually does."""
    engine = OpenVINOEngine(version_directory / OPENVINO_MODEL, hint=hint)
    batches = [pictures(*[(RED, GREEN, BLUE)[index % 3]] * (1 + index % 4)) for index in range(20)]

    answers = [outputs[PROBABILITIES] for outputs in engine.infer_batches(iter(batches))]

    assert [len(answer) for answer in answers] == [len(batch) for batch in batches]
    assert [answer.argmax(axis=1)[0] for answer in answers] == [index % 3 for index in range(20)]


@pytest.mark.parametrize("name", BOTH)
def test_the_next_batch_is_taken_before_the_first_is_answered(request, name):
    taken = []

    def batches():
        for index in range(50):
            taken.append(index)
            yield pictures(RED)

    answers = request.getfixturevalue(name).infer_batches(batches())
    next(answers)

    assert 2 <= len(taken) < 50
    answers.close()


def test_no_batches_give_no_answers(engine):
    assert list(engine.infer_batches([])) == []


def test_an_error_of_the_batches_reaches_the_caller(engine):
    def batches():
        yield pictures(RED)
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        list(engine.infer_batches(batches()))


def test_batches_left_half_way_leave_no_threads_behind(engine):
    answers = engine.infer_batches(pictures(RED) for _ in range(1000))
    next(answers)
    answers.close()

    assert not [thread for thread in threading.enumerate() if thread.name.startswith("infer")]


@pytest.mark.slow
def test_the_engines_agree(engine, tensorflow_engine):
    pixels = np.random.default_rng(0).integers(0, 256, (5, SIZE, SIZE, 3), dtype=np.uint8)

    np.testing.assert_allclose(
        tensorflow_engine.infer(pixels)[PROBABILITIES],
        engine.infer(pixels)[PROBABILITIES],
        atol=1e-6,
        rtol=1e-5,
    )


def test_every_output_is_answered_by_its_name(tmp_path):
    from openvino import opset13 as ops

    pixels = ops.parameter([-1, SIZE, SIZE, 3], np.uint8)
    values = ops.convert(pixels, np.float32)
    axes = np.array([1, 2])
    means = ops.reduce_mean(values, axes, keep_dims=False)
    brightest = ops.reduce_max(values, axes, keep_dims=False)
    means.output(0).get_tensor().set_names({"means"})
    brightest.output(0).get_tensor().set_names({"brightest"})
    load_openvino().save_model(
        load_openvino().Model([means, brightest], [pixels]), tmp_path / "model.xml"
    )
    engine = OpenVINOEngine(tmp_path / "model.xml", precision="f32")
    answers = engine.infer(pictures(*[RED] * 40))  # more than one chunk

    assert engine.outputs == ("means", "brightest")
    assert {name: answer.shape for name, answer in answers.items()} == dict.fromkeys(
        engine.outputs, (40, 3)
    )
    np.testing.assert_array_equal(answers["brightest"], np.stack([RED] * 40))


def test_a_version_is_loaded_with_openvino(version_directory):
    engine = load_version_engine(version_directory, "openvino", "f32", threads=1)

    assert engine.name == "openvino"
    assert engine.infer(pictures(GREEN))[PROBABILITIES].argmax() == 1


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({"avx2", "avx512f"}, "f32"),
        ({"avx512f", "avx512_bf16"}, "bf16"),
        ({"amx_tile", "amx_bf16"}, "bf16"),
        (set(), "f32"),
    ],
)
def test_precision_follows_the_cpu(flags, expected):
    assert precision_of(flags) == expected


@pytest.mark.parametrize(
    ("engine", "choice", "cpu", "expected"),
    [
        ("openvino", "auto", "bf16", ["bf16", "f32"]),
        ("openvino", "auto", "f32", ["f32"]),
        ("openvino", "f32", "bf16", ["f32"]),
        ("tensorflow", "auto", "bf16", ["f32"]),
    ],
)
def test_versions_are_served_in_the_fastest_precision_first(
    monkeypatch, engine, choice, cpu, expected
):
    monkeypatch.setattr(selection, "cpu_precision", lambda: cpu)

    assert serving_precisions(engine, choice) == expected


def test_int8_takes_the_graph_that_was_quantized(tmp_path):
    save_network(tmp_path / OPENVINO_MODEL)
    save_network(tmp_path / OPENVINO_INT8_MODEL, contrast=0.001)
    pixels = np.zeros((1, SIZE, SIZE, 3), np.uint8)
    pixels[..., 0] = 255

    exact, quantized = (
        load_version_engine(tmp_path, "openvino", precision).infer(pixels)[PROBABILITIES][0, 0]
        for precision in ("f32", "int8")
    )
    assert exact > 0.99
    assert quantized < 0.5


@pytest.mark.parametrize("file", ["dev/nvidia0", "proc/driver/nvidia/gpus/0000:01:00.0"])
def test_a_gpu_is_seen_by_what_its_driver_shows(tmp_path, monkeypatch, file):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "nvidiactl").touch()
    assert not has_nvidia_gpu(tmp_path)

    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).touch()

    assert has_nvidia_gpu(tmp_path)


@pytest.mark.parametrize("hidden", ["", "-1"])
def test_a_hidden_gpu_is_not_seen(tmp_path, monkeypatch, hidden):
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "nvidia0").touch()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)

    assert not has_nvidia_gpu(tmp_path)


@pytest.mark.parametrize(("gpu", "expected"), [(True, "tensorflow"), (False, "openvino")])
def test_auto_takes_tensorflow_where_there_is_a_gpu(monkeypatch, gpu, expected):
    if find_spec("tensorflow") is None:
        pytest.skip("TensorFlow is not installed")
    monkeypatch.setattr(selection, "can_use_gpu", lambda: gpu)

    assert select_engine("auto") == expected


def test_a_missing_library_is_named(monkeypatch):
    monkeypatch.setattr(selection, "find_spec", lambda _: None)

    with pytest.raises(InvalidRequest, match="tensorflow is not"):
        select_engine("tensorflow")


@pytest.mark.process
def test_openvino_is_used_without_tensorflow_telemetry_or_network(version_directory, tmp_path):
    """Whatever the consent file in the user's home says."""
    consent = tmp_path / "intel" / "openvino_telemetry"
    consent.parent.mkdir()
    consent.write_text("1")
    code = f"""
import socket, sys
def refuse(*arguments, **options): raise AssertionError(f"network: {{arguments}}")
socket.socket.connect = socket.getaddrinfo = socket.create_connection = refuse
from pathlib import Path
from shared.engines import load_version_engine
load_version_engine(Path({str(version_directory)!r}), "openvino", "f32")
import openvino
assert openvino.tools.ovc.telemetry.__class__.__module__.endswith("telemetry_stub")
print({{"tensorflow", "keras"}} & set(sys.modules))
"""
    environment = {"HOME": str(tmp_path), "PATH": "", "PYTHONPATH": str(Path.cwd())}

    answer = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, env=environment
    )

    assert answer.stdout.strip() == "set()", answer.stderr
    assert sorted(path.name for path in consent.parent.iterdir()) == ["openvino_telemetry"]


LACKS_MEMORY = """
import resource
import sys

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from shared.engines.openvino_engine import OpenVINOEngine

pixels = ops.parameter([-1, 8, 8, 3], np.uint8)
wide = ops.tile(ops.convert(pixels, np.float32), np.array([1, 500, 500, 1]))
network = ov.Model([ops.reduce_mean(wide, ops.constant([1, 2]))], [pixels])
images = np.zeros((1, 8, 8, 3), np.uint8)

engine = OpenVINOEngine(network, precision="f32")
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (50 << 20), resource.RLIM_INFINITY))
try:
    engine.infer(images)
except MemoryError as error:
    assert "allocate" in str(error), error
else:
    sys.exit("it needed no memory")
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert engine.infer(images)["probabilities"].tolist() == [[0, 0, 0]]
"""


@pytest.mark.process
def test_a_network_that_gets_no_memory_is_not_at_fault():
    command = [sys.executable, "-c", LACKS_MEMORY]
    ended = subprocess.run(command, check=False, timeout=120, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize(
    "message",
    [
        "std::bad_alloc",
        "Exception from node.cpp:794:\nFailed to allocate 12288000000 bytes of memory\n\n",
        "OOM when allocating tensor with shape[32,112,112,64]",
    ],
)
def test_what_engines_say_of_memory_is_understood(message):
    with pytest.raises(MemoryError, match=message.strip().splitlines()[-1][:10]), memory_errors():
        raise RuntimeError(message)


def test_other_errors_of_engines_stay_as_they_are():
    with pytest.raises(RuntimeError, match="unsupported"), memory_errors():
        raise RuntimeError("unsupported operation")


@pytest.mark.slow
def test_tensorflow_is_imported_without_scikit_learn_which_may_be_imported_afterwards():
    """Several threads may ask for it at once, as a worker's first task and its preloading do."""
    code = """
import gc, sys
from concurrent.futures import ThreadPoolExecutor
from shared.engines.tensorflow_engine import import_tensorflow
with ThreadPoolExecutor(2) as pool:
    one, other = pool.map(lambda _: import_tensorflow(), range(2))
import keras
print(one is other, "sklearn" in sys.modules, gc.isenabled())
import sklearn
"""
    answer = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True
    )

    assert answer.stdout == "True False True\n", answer.stderr
    assert answer.returncode == 0, answer.stderr
