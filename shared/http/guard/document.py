"""Describes keys, and the answers that the guard gives before any route, in OpenAPI."""

from typing import Any

from fastapi import FastAPI

from shared.http.guard.access import SESSION_COOKIE, is_open
from shared.http.guard.origin import SAFE_METHODS
from shared.http.problems import PROBLEM_TYPE, responses
from shared.http.requests import HEALTH

SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "session": {"type": "apiKey", "in": "cookie", "name": SESSION_COOKIE},
}
#: Alternatives; the empty one stands for a service without keys.
SECURITY: list[dict[str, list[str]]] = [{}, {"bearer": []}, {"header": []}, {"session": []}]


def describe_access(app: FastAPI) -> None:
    """Add keys and refusals of all routes to the OpenAPI document of `app`."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        document = generate()
        document.setdefault("components", {})["securitySchemes"] = SCHEMES
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                _describe(operation, path, method)
        return document

    # FastAPI's documentation recommends replacing the method.
    app.openapi = openapi  # type: ignore[method-assign]


def _describe(operation: dict[str, Any], path: str, method: str) -> None:
    statuses = []
    if not is_open(path):
        operation["security"] = SECURITY
        statuses.append(401)
    if path not in HEALTH:
        statuses.append(421)
    if method.upper() not in SAFE_METHODS:
        statuses += [403, 413]
    if "requestBody" in operation:
        statuses.append(400)  # the body is not even text
    described = operation["responses"].get("422", {})
    if described and PROBLEM_TYPE not in described["content"]:
        # FastAPI describes its own answer; shared.http.problems gives another.
        del operation["responses"]["422"]
        statuses.append(422)
    for status, response in responses(*statuses).items():
        operation["responses"].setdefault(str(status), response)
