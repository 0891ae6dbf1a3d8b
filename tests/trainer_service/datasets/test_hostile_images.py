"""Strangers' pictures through an uploaded dataset: each is used or told of."""

import asyncio

import httpx
import pytest

from tests.end_to_end.stack import zipped
from tests.support.inputs import hostile_images as hostile
from trainer_service.app import create_app
from trainer_service.datasets import reading
from trainer_service.datasets.records import load_images
from trainer_service.settings import TrainerSettings
from trainer_service.store.events.event_log import connect
from trainer_service.store.stores import Stores

pytestmark = pytest.mark.integration

ODD, BAD, TRUNCATED = dict(hostile.odd()), dict(hostile.bad()), dict(hostile.truncated())
GOOD = {f"good-{seed}.png": hostile.saved(hostile.photo(900 + seed), "PNG") for seed in range(6)}


@pytest.fixture(scope="module")
def records(tmp_path_factory, redis_url):
    """The dataset's record and its images by name, from upload to what the API tells."""
    connect(redis_url).flushall()
    settings = TrainerSettings(store=tmp_path_factory.mktemp("store"), redis_url=redis_url)
    files = GOOD | ODD | BAD | TRUNCATED
    tree = {f"{'ab'[number % 2]}/{name}": data for number, (name, data) in enumerate(files.items())}
    app, stores = create_app(settings), Stores.open(settings)

    async def call(method, path, **options):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as http:
            return await http.request(method, path, **options)

    posted = asyncio.run(call("POST", "/v1/datasets", files={"archive": ("x.zip", zipped(tree))}))
    assert posted.status_code == 202, posted.text
    dataset_id = posted.json()["id"]
    reading.read(stores.datasets, settings, dataset_id, lambda done, total: None)
    told = asyncio.run(call("GET", f"/v1/datasets/{dataset_id}"))
    assert told.status_code == 200
    images = load_images(stores.datasets.directory(dataset_id))
    return told.json(), {image.name.partition("/")[2]: image for image in images}


def test_every_picture_is_used_or_told_of(records):
    dataset, images = records

    assert dataset["state"] == "ready"
    assert set(images) == {*GOOD, *ODD, *BAD, *TRUNCATED}
    assert dataset["images"] + dataset["rejected_count"] == len(images)
    assert all(image["detail"] for image in dataset["rejected"])


def test_good_and_odd_ones_are_used(records):
    _, images = records

    refused = {name: images[name].detail for name in GOOD | ODD if not images[name].file}
    assert refused == {}


def test_bad_ones_are_not(records):
    _, images = records

    assert {name for name in BAD if images[name].verdict == "used"} == set()
    assert images["bomb.png"].verdict == "too large"
    assert "HEADSTART_MAX_IMAGE_PIXELS" in images["bomb.png"].detail


def test_most_that_end_early_are_told_to_be_truncated(records):
    _, images = records
    verdicts = [images[name].verdict for name in TRUNCATED]

    assert verdicts.count("truncated") > 0.8 * len(verdicts)
    assert set(verdicts) <= {"truncated", "unreadable", "used", "too large"}
