"""Every error of the services becomes problem+json."""

import asyncio
import errno
import os
from pathlib import Path
from typing import Annotated, Any

import httpx
import pytest
from fastapi import FastAPI, Query
from pydantic import BaseModel, ConfigDict, Field
from structlog.testing import capture_logs

from shared import errors
from shared.http.problems import (
    LONGEST_FIELD,
    MOST_FIELDS,
    add_problem_handlers,
    responses,
)
from trainer_service.errors import TrainingEnded


class Order(BaseModel):
    epochs: int = Field(ge=1)
    names: list[str] = Field(default_factory=list, max_length=1)


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


#: Nothing is there: the errors only name files in it.
STORE = Path("/srv/store")


def create_app() -> FastAPI:
    app = FastAPI()
    add_problem_handlers(app, STORE)

    @app.get("/raise")
    async def fail(kind: str, top: Annotated[int, Query(ge=1)] = 1) -> None:
        raise RAISED[kind]

    @app.post("/order", responses=responses(409, 422))
    async def order(order: Order) -> int:
        return order.epochs

    @app.post("/strict")
    async def strict(nothing: Strict) -> None: ...

    return app


RAISED: dict[str, Exception] = {
    "not_found": errors.ModelNotFound("dogs", ["cats", "pets"]),
    "conflict": TrainingEnded("t1", "succeeded"),
    "too_large": errors.TooLarge("HEADSTART_MAX_FILES allows 4."),
    "media": errors.UnsupportedMedia("Send an image."),
    "image": errors.InvalidImage("truncated", "the JPEG ends early"),
    "unavailable": errors.Unavailable("The queue is full.", retry_after=7),
    "full": OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
    "read-only": OSError(errno.EROFS, os.strerror(errno.EROFS)),
    "closed": PermissionError(errno.EACCES, "Permission denied", str(STORE / "uploads/1.lease")),
    "store": PermissionError(errno.EACCES, "Permission denied", os.fsencode(STORE)),
    "elsewhere": PermissionError(errno.EACCES, "Permission denied", "/etc/secret"),
    "bug": ZeroDivisionError("secret of the implementation"),
}


def request(method: str, path: str, **options: Any) -> httpx.Response:
    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(create_app(), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.request(method, path, **options)

    response = asyncio.run(send())
    if response.status_code >= 400:
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json()["status"] == response.status_code
        assert response.json()["type"] == "about:blank"
    return response


@pytest.mark.parametrize(
    ("kind", "status", "title"),
    [
        ("not_found", 404, "Not found"),
        ("conflict", 409, "Conflict"),
        ("too_large", 413, "Too large"),
        ("media", 415, "Unsupported media type"),
        ("image", 422, "Invalid image"),
        ("unavailable", 503, "Unavailable"),
    ],
)
def test_an_error_is_answered_with_its_status_and_words(kind, status, title):
    response = request("GET", "/raise", params={"kind": kind})

    assert response.status_code == status
    assert response.json() == {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": str(RAISED[kind]),
    }


def test_unavailable_says_when_to_try_again():
    assert request("GET", "/raise?kind=unavailable").headers["retry-after"] == "7"


@pytest.mark.parametrize(
    ("kind", "status", "words"),
    [("full", 507, "no space left"), ("read-only", 503, "Read-only file system")],
)
def test_a_disk_that_can_not_be_written_to_is_told(kind, status, words):
    response = request("GET", "/raise", params={"kind": kind})

    assert response.status_code == status
    assert words in response.json()["detail"]
    assert (status == 503) == ("retry-after" in response.headers)


@pytest.mark.parametrize(
    ("kind", "named"), [("closed", "uploads/1.lease in the store"), ("store", "The store")]
)
def test_a_closed_part_of_the_store_is_named(kind, named):
    with capture_logs() as logs:
        response = request("GET", "/raise", params={"kind": kind})

    assert (response.status_code, response.json()["title"]) == (500, "Not permitted")
    reason = f"Permission denied (user id {os.geteuid()})"
    assert response.json()["detail"] == f"{named} can't be used: {reason}."
    [line] = logs
    assert line["event"] == "the store can't be used"
    assert "exc_info" not in line


@pytest.mark.parametrize("kind", ["bug", "elsewhere"])
def test_a_bug_gives_nothing_away(kind):
    with capture_logs() as logs:
        response = request("GET", "/raise", params={"kind": kind})

    assert response.status_code == 500
    assert "secret" not in response.text
    assert logs[0]["exc_info"]


def test_a_wrong_parameter_is_named_with_what_came():
    response = request("GET", "/raise?kind=bug&top=0")

    assert response.status_code == 422
    assert response.json()["errors"] == [
        {
            "field": "top",
            "detail": "Input should be greater than or equal to 1. Received: '0'",
        }
    ]


def test_every_wrong_field_of_a_body_is_named():
    response = request("POST", "/order", json={"epochs": 0, "names": ["a", "b"]})

    assert response.status_code == 422
    assert [error["field"] for error in response.json()["errors"]] == ["epochs", "names"]


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/nothing", 404), ("DELETE", "/order", 405)]
)
def test_the_framework_s_own_errors_are_problems_too(method, path, status):
    assert request(method, path).status_code == status


def test_openapi_declares_problems_and_every_reference_resolves():
    document = request("GET", "/openapi.json").json()

    declared = document["paths"]["/order"]["post"]["responses"]
    assert set(declared) == {"200", "409", "422"}
    schema = declared["422"]["content"]["application/problem+json"]["schema"]
    assert schema["properties"]["errors"]["items"]["properties"].keys() == {"field", "detail"}
    for reference in references(document):
        assert resolve(document, reference)


def references(node: Any) -> list[str]:
    if isinstance(node, list):
        return [found for child in node for found in references(child)]
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + references(list(node.values()))
    return []


def resolve(document: dict[str, Any], reference: str) -> Any:
    assert reference.startswith("#/")
    node: Any = document
    for part in reference.removeprefix("#/").split("/"):
        node = node[part]
    return node


def test_a_request_that_is_wrong_throughout_gets_a_short_answer():
    wrong = {f"names.{number}": number for number in range(20_000)}

    response = request("POST", "/strict", json=wrong | {"x" * 100_000: 1})

    assert response.status_code == 422
    assert len(response.json()["errors"]) == MOST_FIELDS
    assert response.json()["detail"].endswith(f"; and {20_001 - MOST_FIELDS} more")
    assert len(response.content) < 10_000


def test_a_long_name_of_a_field_is_cut_off():
    response = request("POST", "/strict", json={"x" * 100_000: 1})

    assert response.json()["errors"][0]["field"] == "x" * LONGEST_FIELD
    assert len(response.content) < 1_000
