"""Unknown query parameters are refused on every route of both services."""

import asyncio
import re

import httpx
import pytest

from predictor_service.app import create_app as create_predictor
from predictor_service.settings import PredictorSettings
from trainer_service.app import create_app as create_trainer
from trainer_service.settings import TrainerSettings

LOCAL = "http://127.0.0.1"
#: Routes that are not strict, and what they answer without a store.
LENIENT = {"/": 200, "/docs": 200, "/metrics": 200, "/healthz": 200, "/openapi.json": 200}


@pytest.fixture(scope="module")
def services(tmp_path_factory):
    store = tmp_path_factory.mktemp("store")
    trainer = create_trainer(TrainerSettings(store=store, redis_url="redis://127.0.0.1:1/0"))
    predictor = create_predictor(PredictorSettings(store=store))
    return {"trainer": trainer, "predictor": predictor}


@pytest.fixture(params=["trainer", "predictor"])
def service(request, services):
    return services[request.param]


class Client:
    """Asks a service within this process."""

    def __init__(self, service) -> None:
        self._transport = httpx.ASGITransport(service)

    def request(self, method: str, url: str, **options) -> httpx.Response:
        async def ask() -> httpx.Response:
            async with httpx.AsyncClient(transport=self._transport, base_url=LOCAL) as client:
                return await client.request(method, url, **options)

        return asyncio.run(ask())

    def get(self, url: str, **options) -> httpx.Response:
        return self.request("GET", url, **options)


def test_every_documented_route_refuses_a_parameter_that_it_does_not_have(service):
    client = Client(service)
    paths = service.openapi()["paths"]
    asked = [(method, path) for path, methods in paths.items() for method in methods]
    strict = [(method, path) for method, path in asked if path not in {"/healthz", "/readyz"}]

    answers = {
        (method, path): client.request(method, re.sub(r"{\w+}", "1", path), params={"colour": 7})
        for method, path in strict
    }

    assert len(answers) > 5
    for asked, answer in answers.items():
        assert answer.status_code == 422, (asked, answer.text)
        assert [error["field"] for error in answer.json()["errors"]] == ["colour"], asked


def test_a_misspelt_parameter_is_answered_with_the_nearest_and_all_others(services):
    answer = Client(services["predictor"]).request("POST", "/v1/predict?topp=3&model=pets&topp=4")

    assert answer.status_code == 422
    [error] = answer.json()["errors"]
    assert error["field"] == "topp"
    assert "perhaps top is meant" in error["detail"]
    for known in ("coverage", "explain", "false_alarms", "model"):
        assert known in error["detail"]


def test_parameters_by_another_name_and_of_models_are_known(services):
    client = Client(services["trainer"])

    for url in ("/v1/trainings/x/report?format=json", "/v1/datasets?limit=2", "/v1/models"):
        answer = client.get(url)
        assert "query parameter" not in answer.text, url
    assert "This route takes none" in client.get("/v1/models?limit=3").json()["detail"]


def test_pages_and_probes_take_what_proxies_and_monitors_add(service):
    client = Client(service)

    answers = {path: client.get(path, params={"_": 1}).status_code for path in LENIENT}

    assert answers == LENIENT
    assert client.get("/web/base.css?v=3").status_code == 200
    assert client.get("/readyz?t=1").status_code == 503  # for other reasons


def test_a_long_query_gets_a_short_answer(services):
    params = {f"{'x' * 1000}{number}": 1 for number in range(40)}

    answer = Client(services["trainer"]).get("/v1/models", params=params)

    assert answer.status_code == 422
    assert len(answer.content) < 30_000
