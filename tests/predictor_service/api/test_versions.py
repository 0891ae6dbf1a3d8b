"""`version`, and `model` with a version, in requests; within this process, with real networks."""

import asyncio

import httpx
import pytest

from predictor_service.app import create_app
from shared.models.annotations import ANNOTATIONS_FILE
from tests.support.inputs.tiny_model import picture, publish_tiny_model

SAID = """{"note": "Colours of parts.", "versions": {
    "1": {"alias": "champion", "note": "Good for the shop."}, "3": {"note": "New camera."}}}"""


@pytest.fixture
def answers(settings):
    """Return the answers to some requests of a predictor with three versions of `colours`."""

    def ask(*asked: tuple[str, str]) -> list[httpx.Response]:
        async def main() -> list[httpx.Response]:
            app = create_app(settings)
            transport = httpx.ASGITransport(app)
            async with (
                app.router.lifespan_context(app),
                httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client,
            ):
                while (await client.get("/readyz")).is_error:  # noqa: ASYNC110 - over HTTP
                    await asyncio.sleep(0.02)
                return [
                    await client.request(
                        method, url, content=picture("green") if method == "POST" else None
                    )
                    for method, url in asked
                ]

        for _ in range(3):
            publish_tiny_model(settings.store)
        (settings.store / "models/colours" / ANNOTATIONS_FILE).write_text(SAID)
        return asyncio.run(main())

    return ask


def test_a_request_chooses_its_version_by_number_or_alias(answers):
    queries = ["", "version=2", "version=champion", "model=colours@champion", "model=colours@3"]
    posts = [("POST", f"/v1/predict?{query}") for query in queries]

    *predicted, listed, one = answers(*posts, ("GET", "/v1/models"), ("GET", "/v1/models/colours"))

    found = [answer.json()["predictions"][0] for answer in predicted]
    assert [(each["version"], each["alias"], each["note"]) for each in found] == [
        (3, None, "New camera."),
        (2, None, None),
        (1, "champion", "Good for the shop."),
        (1, "champion", "Good for the shop."),
        (3, None, "New camera."),
    ]
    [model] = listed.json()["models"]
    assert model == one.json()
    assert model["aliases"] == {"champion": 1}
    assert (model["note"], model["version_note"]) == ("Colours of parts.", "New camera.")
    assert [loaded["version"] for loaded in model["on_demand"]] == [1, 2]


REFUSED = {
    "version=7": (404, "Versions: 1, 2, 3"),
    "version=staging": (404, "Aliases: champion"),
    "model=colours@7": (404, "Versions: 1, 2, 3"),
    "model=nobody@3": (404, "no model 'nobody'"),
    "version=": (422, "number or the alias"),
    "version=latest": (422, "number or the alias"),
    "version=-1": (422, "number or the alias"),
    "model=colours@": (422, "number or the alias of a version after @"),
    "model=colours@1&version=2": (422, "a version once"),
    "verson=2": (422, "perhaps version is meant"),
}


def test_a_version_that_is_none_is_refused_with_what_there_is(answers):
    refused = answers(*(("POST", f"/v1/predict?{query}") for query in REFUSED))

    for (query, (status, words)), answer in zip(REFUSED.items(), refused, strict=True):
        assert answer.status_code == status, (query, answer.text)
        assert words in answer.json()["detail"], query


def test_a_version_that_can_not_be_loaded_is_a_conflict(answers, settings):
    publish_tiny_model(settings.store)
    weights = settings.store / "models/colours/1/openvino/model.bin"
    weights.write_bytes(bytes(weights.stat().st_size))

    [answer] = answers(("POST", "/v1/predict?version=1"))

    assert answer.status_code == 409
    assert "Version 1 of model 'colours' is refused" in answer.json()["detail"]
