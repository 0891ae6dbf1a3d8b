"""How well a version tells which pictures are unknown, seen by pictures that it never saw."""

import hashlib
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from shared.models.manifest import Share, UnknownInfo
from shared.models.unknown import KnownImages, scaled
from tests.support.inputs.bottleneck_training import BottleneckTraining
from tests.support.inputs.tiny_model import picture
from tests.support.trainer.builders import new_dataset_record
from trainer_service.backbones.architectures import find_architecture
from trainer_service.backbones.weights import Weights
from trainer_service.datasets.records import save_images
from trainer_service.errors import TrainingCancelled
from trainer_service.phases.evaluate.unknown import Familiar
from trainer_service.phases.publish import known_embeddings, others
from trainer_service.phases.publish.explain_unknown import explained
from trainer_service.phases.publish.golden import Written
from trainer_service.phases.publish.probes import draw_probes
from trainer_service.phases.publish.unknown import measure_unknown

SIZE = 32
LITE = find_architecture("efficientnet_lite0")
OWN = np.full((2, SIZE, SIZE, 3), 200, np.uint8)
OWN[:, ::2, :, 0] = 50  # stripes
#: Two pictures of the training's kind.
GOLDEN = np.broadcast_to(np.array([104, 151, 12], np.uint8), (2, SIZE, SIZE, 3))
#: Reddish to greenish, as the pictures of the training are.
COLOURS = np.array([(number, 255 - number, 0) for number in range(0, 200, 10)])


class MeanColour:
    """An engine whose embedding of a picture is its mean colour; `turned` makes it inexact."""

    name = "openvino"
    precision = "f32"

    def __init__(self, turned=0.0):
        self.seen = 0
        self._turned = turned

    def infer(self, pixels):
        self.seen += len(pixels)
        colour = pixels.mean(axis=(1, 2), dtype=np.float32)
        return {"embedding": colour + self._turned * colour[:, ::-1]}

    def infer_batches(self, batches):
        return map(self.infer, batches)


@pytest.fixture(autouse=True)
def _nothing_is_remembered():
    known_embeddings._known.clear()


@pytest.fixture
def trained(tmp_path, redis_url):
    return BottleneckTraining(tmp_path, redis_url)


@pytest.fixture
def evaluated():
    known = KnownImages(
        scaled(COLOURS).astype(np.float16),
        tuple(f"{number:064x}" for number in range(len(COLOURS))),
        np.linspace(0, 0.02, 39, dtype=np.float32),
    )
    share = Share(count=1, pictures=30, low=0, high=0.2)
    info = UnknownInfo(
        images=20, distances=39, compared="validation", rate=0.05, false_alarms=share
    )
    architecture = replace(LITE, input_size=SIZE)
    network = SimpleNamespace(
        architecture=architecture,
        weights=Weights("made up", Path("weights"), "abc"),
        embedding_is_learnt=False,
    )
    return SimpleNamespace(familiar=Familiar(known, info), network=network, labels=["cat", "dog"])


def measured(trained, evaluated, **engines):
    engines = engines or {"f32": MeanColour()}
    golden = Written({}, GOLDEN, {name: one.infer(GOLDEN) for name, one in engines.items()})
    with trained.work() as work:
        return measure_unknown(work, evaluated, engines, golden)


def add_dataset(trained, number, colours, labels=("sea", "sky")):
    """Add a dataset of pictures of these colours to the store."""
    folder = trained.settings.datasets / f"other{number}"
    folder.mkdir()
    images = []
    for place, colour in enumerate(colours):
        file = folder / f"{place}.png"
        file.write_bytes(picture(tuple(int(one) for one in colour)))
        sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
        changed = {"name": file.name, "file": file.name, "label": labels[place % 2]}
        images.append(replace(trained.images[0], sha256=sha256, **changed))
    dataset = f"2026020{number}-000000-cccccc"
    record = new_dataset_record(
        at=datetime(2026, 2, number, tzinfo=UTC), record_id=dataset, source=folder.name,
        path=True, in_place=True, images=len(images),
    )  # fmt: skip
    datasets = trained.worker.stores.datasets
    datasets.create(record)
    save_images(datasets.directory(dataset), images)
    return folder


@pytest.mark.integration
def test_no_embedding_is_computed_twice_unless_the_network_has_learnt_it(trained, evaluated):
    add_dataset(trained, 1, blues(30))
    engines = [MeanColour() for _ in range(4)]
    first, again = (measured(trained, evaluated, f32=engine) for engine in engines[:2])
    assert engines[0].seen > 2 + 30
    assert engines[1].seen == 2, "only the golden ones are new"
    assert again == first

    evaluated.network.weights = replace(evaluated.network.weights, sha256="def")
    measured(trained, evaluated, f32=engines[2])
    assert engines[2].seen == engines[0].seen

    evaluated.network.embedding_is_learnt = True
    for _ in range(2):
        engines[3].seen = 0
        measured(trained, evaluated, f32=engines[3])
        assert engines[3].seen == engines[0].seen


def test_no_more_embeddings_are_kept_than_may_be():
    known = known_embeddings._Known(100)
    for number in range(10):
        known.keep(bytes([number]), np.full((2, 10), number, np.float32)[0])
        assert known.get(bytes([0])) is not None, "what is needed stays"
    assert known.get(bytes([9])) is not None
    assert known.get(bytes([8])) is None


def blues(count, shift=0):
    return [(shift, number % 9, 255 - number) for number in range(count)]


@pytest.mark.integration
def test_pictures_of_other_datasets_are_looked_at(trained, evaluated):
    add_dataset(trained, 1, blues(30))

    info = measured(trained, evaluated)

    assert (info.other_datasets.count, info.other_datasets.pictures) == (30, 30)
    assert "30 of 30 pictures of other datasets in the store" in info.detail


@pytest.mark.integration
def test_no_more_of_them_than_the_network_can_look_at_in_seconds(trained, evaluated):
    for number in (1, 2):
        add_dataset(trained, number, blues(90, shift=number))
    engine = MeanColour()
    heavy = replace(evaluated.network.architecture, multiply_adds=2_000_000_000)

    assert measured(trained, evaluated).other_datasets.pictures == 100
    evaluated.network.architecture = heavy
    assert measured(trained, evaluated, f32=engine).other_datasets.pictures == 20
    assert engine.seen < 40


@pytest.mark.integration
def test_datasets_that_may_be_of_the_same_kind_are_left_out(trained, evaluated):
    """They have a label or an image of the training, or can't be told from it."""
    add_dataset(trained, 1, blues(10), labels=("sea", "dog"))
    add_dataset(trained, 2, [*blues(9), (6, 249, 0)])
    shutil.rmtree(add_dataset(trained, 3, blues(10, shift=3)))

    info = measured(trained, evaluated)

    assert info.other_datasets is None
    assert "No dataset of other labels could be tried." in info.detail
    assert set(info.probes) == {"plain", "noise", "blur", "text"}


@pytest.mark.integration
def test_datasets_whose_record_tells_that_they_are_of_the_same_kind_are_not_read(
    trained, evaluated, monkeypatch
):
    """A line of corrected datasets grows, and each of them has all images."""
    add_dataset(trained, 1, blues(10))
    datasets = trained.worker.stores.datasets
    datasets.update(
        "20260201-000000-cccccc", lambda record: record.count_labels({"sea": 5, "cat": 5})
    )
    read = []
    monkeypatch.setattr(others, "iterate_images", lambda directory: read.append(directory) or ())

    assert measured(trained, evaluated).other_datasets is None
    assert read == []


@pytest.mark.integration
def test_a_cancel_is_heeded_while_others_are_looked_at(trained, evaluated):
    add_dataset(trained, 1, blues(10))
    trainings = trained.worker.stores.trainings
    trainings.ask(trained.id, lambda record: setattr(record, "cancel_requested", True))

    with pytest.raises(TrainingCancelled):
        measured(trained, evaluated)


@pytest.mark.integration
def test_how_much_lower_precisions_change_is_told(trained, evaluated):
    info = measured(trained, evaluated, int8=MeanColour(0.05), bf16=MeanColour(), f32=MeanColour())

    assert info.change.keys() == {"int8", "bf16"}
    assert info.change["bf16"] == 0
    assert 0 < info.change["int8"] < 1


@pytest.mark.integration
def test_without_a_verdict_nothing_is_measured_and_the_reason_is_told(trained, evaluated):
    known, info = evaluated.familiar.known, evaluated.familiar.info
    evaluated.familiar = Familiar(
        replace(known, distances=known.distances[:12]),
        info.model_copy(update={"distances": 12, "false_alarms": None}),
    )

    info = measured(trained, evaluated)

    assert info.probes == {}
    assert info.detail.startswith(
        "Too few images for a verdict: to call pictures unknown with 5 % false alarms takes the "
        "distances of 19 known pictures from the training images; there are 12."
    )


def test_probes_are_what_they_are_called_and_the_same_each_time():
    drawn, again = (dict(draw_probes(SIZE, 5, OWN, seed=3)) for _ in range(2))

    for name, pixels in drawn.items():
        assert (pixels.shape[1:], pixels.dtype) == ((SIZE, SIZE, 3), np.uint8)
        np.testing.assert_array_equal(pixels, again[name])
    assert {name: len(pixels) for name, pixels in drawn.items()} == {
        "plain": 5, "noise": 5, "blur": 2, "text": 5,
    }  # fmt: skip
    assert np.ptp(drawn["plain"], axis=(1, 2)).max() == 0
    assert drawn["noise"].std() > 60
    assert OWN[..., 0].std() > 5 * drawn["blur"][..., 0].std()
    text = drawn["text"]
    assert (text == 255).mean() > 0.5
    assert (text < 100).mean() > 0.02
    assert len({page.tobytes() for page in text}) == 5


def test_what_is_told_keeps_far_and_near_pictures_apart():
    share = Share(count=9, pictures=10, low=0.6, high=0.98)
    info = UnknownInfo(
        images=20,
        distances=40,
        compared="validation",
        rate=0.05,
        false_alarms=Share(count=3, pictures=100, low=0.01, high=0.085),
        other_datasets=share,
        probes={"plain": share, "noise": share},
        left_out=Share(count=30, pictures=100, low=0.2, high=0.4),
    )

    assert explained(info, labels=3) == (
        "Of 100 test images, 3 % are called unknown (between 1 % and 8.5 % with 95 % confidence), "
        "where 5 % are allowed. Of pictures of quite another kind, these are caught: 9 of 10 "
        "pictures of other datasets in the store and 18 of 20 drawn ones (plain 9 of 10, noise 9 "
        "of 10). Pictures of a kind close to the labels are another matter, and nothing is "
        "promised there: with each label left out in turn, 30 % of its test images are caught "
        "(between 20 % and 40 % with 95 % confidence)."
    )
    assert "With two labels" in explained(info, labels=2)
