"""A pre-trained network is published as it is, from the request to what the predictor loads."""

import asyncio
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from predictor_service.models.loading import VersionLoader
from predictor_service.settings import PredictorSettings
from shared.engines import PROBABILITIES, load_version_engine
from shared.errors import Conflict, InvalidRequest
from shared.images.decoding import ImageLimits, decode
from shared.models.model_store import REPORT_PAGE, read_golden, verify
from tests.support.heat import check_heat
from trainer_service.backbones.imagenet import classes
from trainer_service.inline import publish_pretrained_inline
from trainer_service.settings import TrainerSettings
from trainer_service.store.publishing import WritableModelStore

pytestmark = pytest.mark.slow

#: All kinds of dogs that ImageNet has, but for wild ones.
DOGS = classes()[151:269]
#: Photographs of each kind.
EACH = 25
CATS = ["tabby cat", "tiger cat", "Persian cat", "Siamese cat", "Egyptian Mau"]


def publish(directory, **fields):
    """Publish a version; returns what is known of it."""
    settings = TrainerSettings(
        store=directory, weights=directory / "weights", redis_url="redis://127.0.0.1:1/0"
    )
    record = publish_pretrained_inline(settings, pretrained="efficientnet_lite0", **fields)
    assert record.state == "succeeded", record.error
    version = WritableModelStore(directory).directory(record.model, record.version)
    return SimpleNamespace(record=record, directory=version, manifest=verify(version))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def whole(store):
    return publish(store, name="imagenet")


@pytest.fixture(scope="module")
def grouped(store, whole):
    """The next version of the same model."""
    return publish(store, name=whole.record.model, classes={"cat": CATS, "zebra": ["zebra"]})


def answers(version, pixels):
    return load_version_engine(version.directory, "openvino", "f32", 2).infer(pixels)[PROBABILITIES]


def golden_pixels(version):
    return decoded(version.directory / "golden" / f"{number}.png" for number in range(8))


def decoded(files):
    limits = ImageLimits(1 << 20, 1 << 24)
    return np.stack([decode(file.read_bytes(), 224, 224, limits) for file in files])


def test_it_has_all_classes_and_says_what_it_is(whole):
    record, manifest = whole.record, whole.manifest

    assert [one.state for one in record.transitions] == [
        "queued", "preparing", "publishing", "succeeded",
    ]  # fmt: skip
    assert manifest.labels == list(classes())
    assert (manifest.dataset, manifest.metrics, record.metrics) == (None, {}, {})
    assert "nothing was trained" in manifest.pretrained.detail
    assert record.head.kind == "pretrained"
    assert record.unknown.detail.startswith("No verdict: ")
    assert manifest.heatmaps is not None
    assert manifest.pretrained.no_heatmaps == ""


def test_each_format_answers_the_drawn_pictures_as_the_network_does(whole):
    assert {"saved_model", "keras", "openvino"} == set(whole.manifest.artifacts)
    assert whole.manifest.artifacts["openvino"].difference < 1e-3
    golden = read_golden(whole.directory, whole.manifest)
    assert len(golden) == 8
    sure = [max(image.probabilities) for image in golden]
    assert min(sure) > 0.3
    assert [classes()[int(np.argmax(one.probabilities))] for one in golden] == [
        one.label for one in golden
    ]


def test_the_drawn_pictures_show_when_colours_are_swapped(whole):
    pixels = golden_pixels(whole)
    changes = np.abs(answers(whole, pixels) - answers(whole, pixels[..., ::-1])).max(axis=1)

    assert (changes > whole.manifest.golden_tolerance).sum() >= 4


def test_heat_adds_up_to_the_answer(whole):
    check_heat(whole.directory, "openvino", whole.manifest.heatmaps, golden_pixels(whole)[:2])


def test_groups_are_sums_and_the_rest_has_what_is_left(whole, grouped):
    pixels = golden_pixels(whole)
    all_of_them, summed = answers(whole, pixels), answers(grouped, pixels)

    assert grouped.manifest.labels == ["cat", "zebra", "other"]
    cats, zebra = all_of_them[:, 281:286].sum(axis=1), all_of_them[:, 340]
    expected = np.stack([cats, zebra, 1 - cats - zebra], axis=1)
    np.testing.assert_allclose(summed, expected, atol=1e-5)
    assert grouped.manifest.pretrained.classes == {"cat": CATS, "zebra": ["zebra"]}
    assert grouped.manifest.pretrained.rest == "other"
    assert "stands for several classes" in grouped.manifest.pretrained.no_heatmaps


def test_the_predictor_serves_it_and_says_what_it_can_not_do(whole, grouped):
    async def load(version):
        with ThreadPoolExecutor(1) as pool:
            loader = VersionLoader(PredictorSettings(precision="f32", max_batch=2), pool)
            served = await loader.load(version.directory)
            loader.close()
            return served

    served = asyncio.run(load(grouped))

    assert served.known is None
    with pytest.raises(Conflict, match="stands for several classes"):
        served.explainer.check("cat")


def test_its_report_has_no_figures_of_a_test(whole, grouped):
    page = (whole.directory / REPORT_PAGE).read_text()
    report = json.loads((whole.directory / "report/evaluation.json").read_text())

    assert "A pre-trained network, as it is" in page
    assert "Accuracy" not in page
    assert report["metrics"] == {}
    assert "Persian cat" in (grouped.directory / REPORT_PAGE).read_text()


def test_a_model_that_is_there_gets_another_version_that_is_not_served(store, grouped):
    models = WritableModelStore(store)

    assert grouped.record.version == 2
    assert models.to_serve(models.state("imagenet")) == 1
    first, second = models.decisions("imagenet")
    assert [(one.version, one.served) for one in (first, second)] == [(1, True), (2, False)]
    assert "nothing says that it is better than version 1" in second.reason
    assert second.reason in (grouped.directory / REPORT_PAGE).read_text()


def test_photographs_of_cats_and_dogs_are_taken_for_cats_and_dogs(whole):
    """Of all 1,399, 92.4 % are: a list of classes in another order would not be right so often."""
    if "HEADSTART_TEST_DATA" not in os.environ:
        pytest.skip("HEADSTART_TEST_DATA is not set: it names data that is not in the repository")
    folder = Path(os.environ["HEADSTART_TEST_DATA"]) / "cats_vs_dogs"
    files = {kind: sorted(folder.glob(f"{kind}.*.jpg"))[:EACH] for kind in ("cat", "dog")}
    top = {kind: answers(whole, decoded(each)).argmax(axis=1) for kind, each in files.items()}

    cats, dogs = ({classes().index(name) for name in names} for names in (CATS, DOGS))
    shares = {
        (kind, name): np.mean([index in among for index in found])
        for kind, found in top.items()
        for name, among in (("cat", cats), ("dog", dogs))
    }
    assert shares["cat", "cat"] > 0.55
    assert shares["dog", "dog"] > 0.9
    assert shares["dog", "cat"] < 0.05


def test_a_damaged_request_ends_before_anything_is_written(store):
    with pytest.raises(InvalidRequest):
        publish(store, name="nothing", classes=["cats"])

    assert not (store / "models" / "nothing").exists()
