"""Every architecture: built, trained on its features, exported, published and served."""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from shared.engines import EMBEDDING, FEATURES, PROBABILITIES, load_version_engine
from shared.models.model_store import KERAS_MODEL, ModelStore, read_manifest
from tests.support.heat import check_heat
from tests.support.inputs.random_weights import (
    ARCHITECTURES,
    random_pixels,
    random_weights,
    sensitive_head,
)
from tests.support.loaded import with_loaded
from tests.support.memory import let_networks_go
from trainer_service.backbones.architectures import CATALOGUE
from trainer_service.backbones.backbone import bottleneck_engine, build_backbone
from trainer_service.backbones.cut_table import CUTS
from trainer_service.backbones.cuts import divide
from trainer_service.backbones.features import FeatureStore
from trainer_service.inline import train_inline
from trainer_service.phases.head.regression.solver import softmax
from trainer_service.phases.head.solved import LinearHead
from trainer_service.phases.tune.activations import Activations, body_engine
from trainer_service.phases.tune.network import TunedNetwork
from trainer_service.phases.tune.settings import TuneSettings
from trainer_service.phases.tune.tail_data import TailAnswers, TailData
from trainer_service.settings import TrainerSettings
from trainer_service.store.stores import BACKBONES

pytestmark = [pytest.mark.slow, pytest.mark.integration]

#: Largest difference between two ways to compute the same probability in float32.
TOLERANCE = 2e-4

#: Pictures of each label; the smallest number that leaves one for validation and for the test.
EACH = 4


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    """Pictures of three labels: coarse blocks of all colours, one channel of them bright.

    The labels differ strongly, so that their features differ by more than rounding errors. Random
    networks answer fine noise with almost equal features, and a head would learn rounding errors.
    """
    directory = tmp_path_factory.mktemp("datasets")
    (directory / "colours").mkdir()
    random = np.random.default_rng(0)
    for channel, label in enumerate(("red", "green", "blue")):
        for number in range(EACH):
            blocks = random.integers(0, 256, (6, 6, 3), dtype=np.uint8)
            blocks[..., channel] |= 0xC0
            picture = Image.fromarray(blocks).resize((300, 300), Image.Resampling.NEAREST)
            picture.save(directory / "colours" / f"{label}.{number}.png")
    return directory


@pytest.fixture(scope="module", params=ARCHITECTURES)
def case(request, tmp_path_factory, random_weights_directory, datasets, redis_url):
    """A training on random weights, with all taps, from the request to the published version."""
    architecture = CATALOGUE[request.param]
    weights = random_weights(architecture, random_weights_directory)
    settings = TrainerSettings(
        store=tmp_path_factory.mktemp(architecture.id) / "store",
        weights=random_weights_directory,
        datasets=datasets,
        redis_url=redis_url,
        engine="openvino",
        precision="f32",
    )
    record = train_inline(
        settings,
        architecture=architecture.id,
        dataset={"path": "colours"},
        epochs=5,
        taps="all",
        promote="always",
    )
    assert record.state == "succeeded", record.error
    version = ModelStore(settings.store).directory("colours", 1)
    yield SimpleNamespace(
        architecture=architecture,
        weights=weights,
        record=record,
        settings=settings,
        version=version,
        pixels=random_pixels(architecture, 3),
    )
    let_networks_go()


def test_the_record_names_what_was_done(case):
    assert case.record.architecture == case.architecture.id
    assert case.record.cache.computed == 3 * EACH
    assert set(case.record.metrics) == {"validation", "test", "suspects"}


def test_both_engines_compute_the_same_features(case):
    """Tap by tap, as some have much larger features than others."""
    expected, found = features(case, "tensorflow"), features(case, "openvino")

    assert found.shape == (3, case.architecture.feature_size_of("all"))
    assert found.dtype == expected.dtype == np.float32
    ends = np.cumsum(case.architecture.widths_of("all"))[:-1]
    for one, other in zip(np.split(found, ends, 1), np.split(expected, ends, 1), strict=True):
        assert np.abs(one - other).max() < 0.01 * other.std(axis=0).mean()


def features(case, engine):
    """Compute the features of the case's pictures as a worker does."""
    cache = case.settings.store / BACKBONES
    made = bottleneck_engine(case.architecture, case.weights, engine, "f32", cache, 2, "all")
    assert made.outputs == (FEATURES,)
    return made.infer(case.pixels)[FEATURES]


def test_the_predictor_answers_alike_on_both_engines(case, datasets):
    """From the OpenVINO model, which has the backbone of the cache in it, and the SavedModel."""
    files = [file.read_bytes() for file in sorted((datasets / "colours").iterdir())[::2]]

    answers, others = (served(case, engine, files) for engine in ("openvino", "tensorflow"))

    assert np.ptp(answers, axis=0).max() > 0.1, "else the comparison would say nothing"
    np.testing.assert_allclose(answers, others, atol=TOLERANCE)


@pytest.mark.parametrize("engine", ["openvino", "tensorflow"])
def test_heat_adds_up_to_the_answer(case, engine):
    manifest = read_manifest(case.version)

    check_heat(case.version, engine, manifest.heatmaps, case.pixels)

    channels = tuple(one.channels for one in manifest.heatmaps.maps)
    assert channels == case.architecture.widths_of(manifest.head.taps)


def test_tuned_it_answers_alike_in_every_format(case, tmp_path):
    """What was learnt in the tail is in each of them; the last block stands for any tail."""
    import keras

    pixels = random_pixels(case.architecture, 4)
    divided = divide(
        build_backbone(case.architecture, case.weights, "all"), CUTS[case.architecture.id][-1].layer
    )
    before = divided.backbone.predict(pixels, verbose=0)
    rows = tune_a_step(case.architecture, divided, pixels, before, tmp_path)
    after = divided.backbone.predict(pixels, verbose=0)
    head = LinearHead(*sensitive_head(after).layers[-1].get_weights())
    began = SimpleNamespace(architecture=case.architecture)
    tuned = TunedNetwork(list("abc"), began, None, divided, head, None)
    heatmaps = tuned.export(tmp_path, lambda: None)

    model = keras.saving.load_model(tmp_path / KERAS_MODEL, safe_mode=True)
    # Called eagerly, its operators would keep a gigabyte of scratch memory each time.
    expected = model.predict(pixels, verbose=0)
    size = case.architecture.input_size
    assert model.input_shape == (None, size, size, 3)
    spread = before.std(axis=0).mean()
    assert np.abs(after - before).max() > 0.01 * spread
    assert np.ptp(expected, axis=0).max() > 0.1, "else the comparison would say nothing"
    for engine in ("openvino", "tensorflow"):
        exported = load_version_engine(tmp_path, engine, "f32", 2)
        answers = exported.infer(pixels)
        np.testing.assert_allclose(answers[PROBABILITIES], expected, atol=TOLERANCE)
        embeddings = after[:, -case.architecture.feature_size :]
        np.testing.assert_allclose(answers[EMBEDDING], embeddings, atol=0.02 * spread)
        check_heat(tmp_path, engine, heatmaps, pixels[:3])
    logits = TailAnswers(divided.tail).logits(head, rows, lambda: None)
    # The stored rows are of float16.
    np.testing.assert_allclose(softmax(logits.T).T, expected, atol=0.02)


def tune_a_step(architecture, divided, pixels, before, directory):
    """Train a tail for one step from these features on; return the stored rows of the pictures."""
    from trainer_service.phases.tune.tail_loop import TailLoop

    hashes = [f"{number:064x}" for number in range(len(pixels))]
    rows = body_engine(divided, "openvino", "f32", 2, lambda: None).infer(pixels)[FEATURES]
    store = FeatureStore(directory, "rows", "activations")
    store.write([f"{one}.0" for one in hashes], rows, 1.0)
    truth = {one: number % 3 for number, one in enumerate(hashes)}
    data = TailData(Activations(store, [hashes]), truth)
    start = sensitive_head(before).layers[-1].get_weights()
    settings = TuneSettings(epochs=1, learning_rate=2e-5)
    weights = np.ones(3, np.float32)
    loop = TailLoop(
        divided.tail,
        architecture.tap_widths,
        LinearHead(*start),
        data,
        weights,
        settings,
        lambda: None,
    )
    loop.run(1, lambda _: None)
    return data.activations.rows(0, 0)


def served(case, engine, pictures):
    """Load the version as the predictor does, golden images and all, and classify pictures."""

    async def predict(version):
        assert version.engine.name == engine
        answers = await version.batcher.predict(pictures)
        return [answer[PROBABILITIES] for answer in answers]

    # Tens of pictures at once would only warm more of the engine.
    settings = {"engine": engine, "precision": "f32", "max_batch": 2}
    return with_loaded(predict, case.version, case.settings.store, **settings)
