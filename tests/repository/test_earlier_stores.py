"""A store of an earlier release can still be read.

`support/inputs/store-2026-11.zip` holds what Headstart wrote in November 2026: a dataset of small
pictures, trainings of every outcome, their events, features, the key of a request, and a model
with two versions of which the first is pinned. The networks in it are those of `tiny_model`.
"""

import asyncio
import json
import zipfile
from pathlib import Path

import httpx
import numpy as np
import pytest

from shared.models.model_store import ModelStore
from tests.support.inputs.tiny_model import picture
from tests.support.processes.predictor_process import running_predictor
from trainer_service import training
from trainer_service.app import create_app
from trainer_service.backbones.features import FeatureStore
from trainer_service.inline import InlineQueue
from trainer_service.phases.work import Worker
from trainer_service.settings import TrainerSettings
from trainer_service.store.events.progress import ProgressBoard
from trainer_service.store.stores import Stores

ARCHIVE = Path(__file__).parents[1] / "support/inputs/store-2026-11.zip"
NOWHERE = "http://127.0.0.1:1"


@pytest.fixture
def store(tmp_path):
    directory = tmp_path / "store"
    with zipfile.ZipFile(ARCHIVE) as archive:
        archive.extractall(directory)
    return directory


@pytest.fixture
def ids(store):
    """The ids of the trainings, by their state."""
    return json.loads((store / "ids.json").read_text())


@pytest.fixture
def settings(store):
    return TrainerSettings(store=store, redis_url="redis://127.0.0.1:1/0", weights_url=NOWHERE)


@pytest.fixture
def get(settings):
    """Ask the trainer API for a path and return the answer."""
    transport = httpx.ASGITransport(create_app(settings))

    async def ask(path):
        async with httpx.AsyncClient(transport=transport, base_url="http://trainer") as client:
            return await client.get(path, headers={"Accept": "application/json"})

    return lambda path: asyncio.run(ask(path))


def test_every_training_is_listed_in_its_state(get, ids):
    for state, training_id in ids.items():
        record = get(f"/v1/trainings/{training_id}").json()

        assert record["state"] == state


def test_a_training_tells_what_it_was_made_of_and_how_good_it_is(get, ids):
    record = get(f"/v1/trainings/{ids['succeeded']}").json()

    assert record["dataset"]["labels"] == {"blue": 6, "green": 7, "red": 7}
    assert record["metrics"]["test"]["accuracy"] == 1.0
    assert record["version"] == 1


def test_the_events_of_a_training_are_whole(get, ids):
    page = get(f"/v1/trainings/{ids['succeeded']}/events").json()

    assert page["ended"]
    assert [event["id"] for event in page["events"]] == list(range(1, len(page["events"]) + 1))


def test_the_reports_are_there(get, ids):
    assert get(f"/v1/trainings/{ids['succeeded']}/report").json()["history"]
    assert "<html" in get(f"/v1/trainings/{ids['succeeded']}/report?format=html").text


def test_a_dataset_shows_its_images_and_what_was_rejected(get, ids):
    dataset = f"/v1/datasets/{ids['succeeded']}"
    images = get(f"{dataset}/images").json()["images"]
    rejected = [image for image in images if image["verdict"] != "used"]
    used = next(image for image in images if image["verdict"] == "used")

    assert get(dataset).json()["images"] == 20
    assert [image["name"] for image in rejected] == ["red/broken.jpg"]
    assert get(f"{dataset}/images/{used['sha256']}/thumbnail").status_code == 200


def test_a_renamed_verdict_is_shown_under_its_new_name(store, get, ids):
    """In records, lists and events; and no event is told again for its new words."""
    before, today = (f"same {word} under two labels" for word in ("picture", "image"))
    for path in (*store.glob("*/*/*.json"), *store.glob("*/*/*.jsonl")):
        path.write_text(path.read_text().replace("truncated", before))
    training, dataset = (f"/v1/{kind}/{ids['succeeded']}" for kind in ("trainings", "datasets"))
    last = (store / "trainings" / ids["succeeded"] / "events.jsonl").read_text().splitlines()[-1]
    events = get(f"{training}/events").json()["events"]
    [warning] = [event for event in events if event.get("code") == "rejected_images"]

    assert warning["detail"] == f"1 files were rejected: 1 {today}."
    assert events[-1]["id"] == json.loads(last)["id"]
    assert get(training).json()["dataset"]["verdicts"] == {today: 1}
    assert get(dataset).json()["verdicts"] == {today: 1}
    assert get(f"{dataset}/rejected").json()["rejected"][0]["verdict"] == today
    for name in (before, today):
        [image] = get(f"{dataset}/images?verdict={name}").json()["images"]
        assert image["verdict"] == today


def test_a_model_lists_its_versions_and_its_pin(get):
    model = get("/v1/models/colours").json()

    assert model["pinned"] == 1
    assert [version["version"] for version in model["versions"]] == [2, 1]


def test_the_formats_of_a_version_are_found_among_its_files(store):
    manifest = ModelStore(store).manifest("colours", 1)

    assert manifest.outputs == ["probabilities"]
    assert {kind: artifact.path for kind, artifact in manifest.artifacts.items()} == {
        "openvino": "openvino/model.xml"
    }


def test_features_are_read_as_they_were_written(store):
    """In float32; today they are stored in float16."""
    [space] = (store / "features").iterdir()
    [file] = space.glob("*.npy")
    images = json.loads(file.with_suffix(".json").read_text())["images"]
    written = np.load(file)

    assert written.dtype == np.float32
    np.testing.assert_array_equal(FeatureStore(store, space.name).read(images), written)


@pytest.mark.integration
def test_the_pinned_version_is_served(store, tmp_path):
    with running_predictor(store, tmp_path / "log") as predictor:
        predictor.wait_until_ready()
        [prediction] = predictor.predict(picture("green")).json()["predictions"]

    assert prediction["version"] == 1
    assert prediction["label"] == "green"


@pytest.mark.slow
def test_a_training_that_was_queued_is_trained(settings, ids):
    stores, queue = Stores.open(settings), InlineQueue()
    worker = Worker(settings, stores, ProgressBoard(stores.events), queue)
    training.prepare(worker, ids["queued"])
    queue.run(worker)

    record = stores.trainings.get(ids["queued"])
    assert record.state == "succeeded", record.error
    assert record.dataset.images == 20
