"""A tuned network answers images of its dataset: from stored rows, or computed from their files."""

import shutil
from dataclasses import replace
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from shared.images.decoding import ImageLimits, decode
from trainer_service.backbones.architectures import find_architecture
from trainer_service.backbones.cut_table import Cut
from trainer_service.backbones.cuts import divide
from trainer_service.backbones.features import FeaturesGone
from trainer_service.backbones.weights import Weights
from trainer_service.errors import TrainingCancelled, TransientFailure
from trainer_service.phases.backbone import Backbone
from trainer_service.phases.head.solved import LinearHead
from trainer_service.phases.tune import activations
from trainer_service.phases.tune.network import TunedNetwork
from trainer_service.phases.tune.parts import PartsComputer, TuneTask
from trainer_service.phases.tune.progress import TuneProgress
from trainer_service.phases.tune.rows import Rows
from trainer_service.phases.views import Views
from trainer_service.requests.tune import TuneRequest
from trainer_service.store.shards import ImagesLost

pytestmark = [pytest.mark.slow, pytest.mark.integration]

SIZE = 8
LIMITS = ImageLimits(1 << 20, 1 << 20)
CUT = Cut("cut", (SIZE, SIZE, 3), 1)
FULL = SimpleNamespace(free=20_000)


@pytest.fixture(scope="module")
def divided():
    keras.utils.set_random_seed(3)
    inputs = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.Conv2D(3, 3, padding="same", name="cut")(inputs)
    x = keras.layers.Conv2D(4, 3, padding="same", name="last", activation="relu")(x)
    network = keras.Model(inputs, keras.layers.GlobalAveragePooling2D(name="output")(x))
    pixels = keras.Input((SIZE, SIZE, 3), dtype="uint8", name="pixels")
    backbone = keras.Model(pixels, network(keras.layers.Rescaling(1 / 255)(pixels)))
    return divide(backbone, "cut")


@pytest.fixture
def work(computing):
    with computing.work() as work:
        yield work


@pytest.fixture
def network(work, divided, tmp_path):
    narrow = {"taps": ("output",), "tap_widths": (4,), "input_size": SIZE}
    architecture = replace(find_architecture("mobilenet_v2"), **narrow)
    weights = Weights("x", tmp_path, "0" * 64)
    backbone = Backbone(work.worker, architecture, weights, "f32", "last", "last", Views(SIZE))
    head = sensitive(divided)
    rows = Rows(work, backbone, CUT, divided, lambda: None)
    return TunedNetwork(["cat", "dog"], backbone, work, divided, head, rows)


def sensitive(divided):
    """Return a head that tells the colours of the pictures apart."""
    colours = np.array([(n, 255 - n, 0) for n in range(70)], np.uint8)
    features = divided.backbone.predict(colours[:, None, None].repeat(SIZE, 1).repeat(SIZE, 2))
    kernel = np.random.default_rng(0).normal(0, 1, (4, 2)) / features.std(axis=0).max()
    return LinearHead(kernel.astype(np.float32), (-features.mean(axis=0) @ kernel).astype("f4"))


@pytest.fixture
def images(computing):
    """Not in the order of their hashes."""
    return computing.images[:70]


def features_of(network, images, files):
    pixels = np.stack(
        [decode(files.read(one.file, one.sha256), SIZE, SIZE, LIMITS) for one in images]
    )
    return network.divided.backbone.predict(pixels, verbose=0)


def answers(network, images, files):
    features = features_of(network, images, files)
    logits = features @ network.head.kernel + network.head.bias
    powers = np.exp(logits)
    return powers / powers.sum(axis=1, keepdims=True)


def test_it_answers_each_image_in_its_place(network, images, computing):
    expected = answers(network, images, computing.files())

    probabilities = network.predict(images)

    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities, expected, atol=2e-3)  # the rows are of float16
    assert np.ptp(expected[:, 0]) > 0.05, "else any order would do"


def test_the_embedding_of_each_image_is_what_the_tuned_backbone_gives(network, images, computing):
    expected = features_of(network, images, computing.files())

    embeddings = network.embeddings(images)

    assert network.embedding_is_learnt
    np.testing.assert_allclose(embeddings, expected, atol=2e-3)
    assert np.ptp(expected[:, 0]) > 0.01, "else any order would do"


def test_what_is_stored_needs_no_file_and_what_is_not_is_computed(network, images, computing):
    first = network.predict(images)
    (computing.pets / images[0].file).unlink()

    np.testing.assert_array_equal(network.predict(images), first)
    shutil.rmtree(computing.settings.store / "activations")
    with pytest.raises(FeaturesGone):
        network.predict(images)
    np.testing.assert_array_equal(network.predict(images[1:]), first[1:])


def test_a_disk_that_is_too_small_is_said_beforehand(network, images, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: FULL)

    with pytest.raises(
        TransientFailure, match=r"70 images from cut on, and .* take 1 MB.*activations.*tune\.views"
    ):
        network.predict(images)
    monkeypatch.undo()
    network.predict(images)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: FULL)
    network.predict(images)  # all is there


def test_too_many_lost_images_end_it_at_the_first_group(network, work, divided, computing):
    """Each try would else compute all the others first, which may take hours."""
    splits = work.split(work.dataset().used_images())
    for image in splits["train"]:
        (computing.pets / image.file).unlink()
    trained = SimpleNamespace(splits=splits, network=network)
    asked = TuneRequest(views=3, augment="none")
    parts = PartsComputer(
        TuneTask(work, trained, asked, CUT), network.rows, divided.tail, TuneProgress(work, 1)
    )
    views = Views.of(SIZE, 3, [], 0)
    reads = []
    read = network.rows.files.read
    network.rows.files.read = lambda *names: (reads.append(names), read(*names))[1]

    with pytest.raises(ImagesLost, match="of the 200 images are gone"):
        parts.compute(network.head)
    assert len(network.rows.missing(splits["train"], views)) == len(splits["train"])
    known = len(splits["validation"]) + len(splits["test"])
    assert known < len(set(reads)) < known + len(splits["train"])


def test_it_answers_to_a_request_to_cancel(network, images, computing):
    from trainer_service.errors import TrainingCancelled

    trainings = computing.worker.stores.trainings
    trainings.ask(computing.id, lambda record: setattr(record, "cancel_requested", True))

    with pytest.raises(TrainingCancelled):
        network.predict(images)


@pytest.mark.parametrize("at", [1, 2])
def test_the_conversion_of_the_body_ends_after_a_step_of_it(network, divided, monkeypatch, at):
    compiled, checks = [], []
    monkeypatch.setattr(activations, "OpenVINOEngine", lambda *_, **__: compiled.append(1))

    def cancel():
        checks.append(1)
        if len(checks) == at:
            raise TrainingCancelled("x")

    with pytest.raises(TrainingCancelled):
        Rows(network.work, network.backbone, CUT, divided, cancel)
    assert not compiled
