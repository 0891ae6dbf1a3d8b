"""Every request has an id, and a line in the log that bears it."""

import asyncio
import logging
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from prometheus_client import CollectorRegistry

from shared.errors import NotFound
from shared.http.metrics import HttpMetrics
from shared.http.problems import add_problem_handlers
from shared.http.requests import Requests
from shared.logs import bind, get_logger

log = get_logger(__name__)


def create_app() -> FastAPI:
    app = FastAPI()
    add_problem_handlers(app)
    app.add_middleware(Requests, metrics=HttpMetrics(CollectorRegistry()))

    @app.get("/pets/{name}")
    async def pets(name: str) -> str:
        bind(model=name)
        log.info("looked")
        await asyncio.sleep(0.01)
        return name

    @app.get("/missing")
    def missing() -> None:
        raise NotFound("There is none.")

    @app.get("/bug")
    def bug() -> None:
        raise ZeroDivisionError("secret of the implementation")

    @app.get("/broken")
    async def broken() -> StreamingResponse:
        async def body() -> Any:
            yield b"half"
            raise ZeroDivisionError("secret of the implementation")

        return StreamingResponse(body())

    @app.get("/healthz")
    async def healthz() -> str:
        return "ok"

    return app


async def get(*paths: str, **options: Any) -> list[httpx.Response]:
    transport = httpx.ASGITransport(create_app())
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        return list(await asyncio.gather(*(client.get(path, **options) for path in paths)))


def request(path: str, **options: Any) -> httpx.Response:
    return asyncio.run(get(path, **options))[0]


@pytest.fixture
def lines(caplog):
    """Return the events that were logged with their fields."""
    caplog.set_level(logging.INFO)
    return lambda: [record.msg for record in caplog.records if isinstance(record.msg, dict)]


@pytest.mark.parametrize("own", ["a1", "0af7651916cd43dd8448eb211c80319c", "edge:7/x=1@eu+b_c.d-e"])
def test_a_sane_id_is_kept_and_returned(own, lines):
    response = request("/pets/cats", headers={"X-Request-ID": own})

    assert response.headers["x-request-id"] == own
    assert [line["request_id"] for line in lines()] == [own, own]


@pytest.mark.parametrize("own", ["", " ", "a b", 'a"b', "<b>", "-a", "é", "x" * 129, "a\tb"])
def test_any_other_is_replaced(own, lines):
    response = request("/pets/cats", headers={"X-Request-ID": own.encode("latin-1")})

    made = response.headers["x-request-id"]
    assert len(made) == 16
    assert int(made, 16) >= 0
    assert lines()[-1]["request_id"] == made


def test_the_line_tells_what_was_answered_and_by_which_model(lines):
    request("/pets/cats?key=secret")

    answered = lines()[-1]
    assert {name: answered[name] for name in ("event", "method", "path", "status", "model")} == {
        "event": "answered",
        "method": "GET",
        "path": "/pets/cats",
        "status": 200,
        "model": "cats",
    }
    assert 0.01 <= answered["seconds"] < 10


def test_requests_at_once_keep_their_fields_apart(lines):
    responses = asyncio.run(get(*(f"/pets/{number}" for number in range(20))))

    ids = {str(response.json()): response.headers["x-request-id"] for response in responses}
    assert len(set(ids.values())) == 20
    answered = [line for line in lines() if line["event"] == "answered"]
    assert {line["model"]: line["request_id"] for line in answered} == ids


def test_problems_name_the_request():
    problem = request("/missing", headers={"X-Request-ID": "r1"})

    assert problem.json()["request_id"] == problem.headers["x-request-id"] == "r1"


def test_what_nobody_handled_is_logged_once_and_answered_with_its_id(lines):
    response = request("/bug", headers={"X-Request-ID": "r1"})

    assert response.status_code == 500
    assert response.headers["x-request-id"] == response.json()["request_id"] == "r1"
    assert "secret" not in response.text
    failed, answered = lines()
    assert (failed["event"], failed["request_id"], failed["level"]) == ("failed", "r1", "error")
    assert answered["status"] == 500


def test_an_answer_that_breaks_off_is_no_whole_answer(lines):
    with pytest.raises(ZeroDivisionError):
        request("/broken")

    assert lines()[-1]["status"] == 200


def test_probes_do_not_fill_the_log(lines):
    request("/healthz")

    assert lines() == []
